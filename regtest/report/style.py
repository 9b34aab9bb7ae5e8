"""How a report looks, beyond what all pages have in common."""

from __future__ import annotations

REPORT_CSS = """
header .story { color: var(--soft); margin: 0; max-width: 44em; }
h1.mover-prover { color: var(--prover); } h1.mover-challenger { color: var(--challenger); }
.tree { display: block; width: 100%; max-width: 600px; height: auto; margin: 0 auto; }
.tree .output { font-size: 11px; font-style: italic; }
.legend .agreed { background: var(--agreed); } .legend .disputed { background: var(--disputed); }
.legend .chosen { background: var(--chosen); } .legend .child { background: var(--soft); opacity: .4; }
pre {
  overflow: auto; white-space: pre-wrap; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 14px;
  font-size: .78rem; line-height: 1.5; max-height: 32em;
}
.words tr.wrong { background: var(--wrong-back); }
.words th, .words td { padding-left: 10px; }
.mark { color: var(--wrong); font-weight: 600; white-space: nowrap; }
.decimal { color: var(--soft); font-size: .85em; white-space: nowrap; }
.assembly { font-size: clamp(1.15rem, 4.5vw, 1.6rem); margin: .2em 0 .8em; }
.assembly code { font-size: 1em; }
.txid { display: inline-block; max-width: 11em; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
.facts { display: grid; grid-template-columns: minmax(9em, auto) 1fr; gap: 6px 20px; margin: 0 0 1em; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; }

.level { margin: 0 0 6px; font-size: .92rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.level b { color: var(--ink); }
.bar { display: block; width: 100%; height: 26px; }
.bar .agreed { fill: var(--agreed); } .bar .disputed { fill: var(--disputed); } .bar .chosen { fill: var(--chosen); }
.funnel { position: relative; padding: 14px 0 0; }
.ends { display: flex; justify-content: space-between; gap: 16px; padding: 0 10px; }
.ends:last-child { padding-bottom: 34px; }
.funnel .level { position: relative; padding: 20px 10px 8px; margin: 0; text-align: center; }
.funnel svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.funnel polygon { fill: var(--chosen); opacity: .1; }
.end {
  position: relative; margin: 0; font-size: .8rem; line-height: 1.5; color: var(--soft);
  font-variant-numeric: tabular-nums;
}
.end.right { text-align: right; }
.end .agreed b { color: var(--true); } .end .disputed b { color: var(--wrong); }
summary { cursor: pointer; color: var(--soft); font-size: .9rem; padding: 4px 0; }
.bisection details { margin: 18px 0 0; }
.bisection details .scroll { margin-bottom: 20px; }
.last {
  margin: 0; padding: 12px; text-align: center;
  border: 2px solid var(--chosen); border-radius: 10px;
  font-size: 1.1rem; font-variant-numeric: tabular-nums;
}
.wrong .said code, code.wrong { color: var(--wrong); }

.chart { display: grid; gap: 5px; }
.row { display: grid; grid-template-columns: minmax(8.5em, 12em) 1fr 4.2em; gap: 12px; align-items: center; }
.row svg { width: 100%; height: 18px; display: block; border-radius: 3px; }
.row rect { fill: var(--colour, var(--soft)); }
.row rect.child { opacity: .35; }
.row .name { font-size: .87rem; overflow-wrap: anywhere; line-height: 1.25; }
.row .number { text-align: right; font-size: .87rem; font-variant-numeric: tabular-nums; }
@media (max-width: 560px) {
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: 10px; }
  .row { grid-template-columns: 7.2em 1fr 3.6em; gap: 8px; }
  .end { font-size: .72rem; }
  .decimal { display: none; }
}
"""
