"""How pages look: light and dark, a colour for each side, and what all of them have in common."""

from __future__ import annotations

from bitvm.graph.model import PROVER


def party_class(party: str) -> str:
    """Return the CSS class that gives an element a party's colour."""
    return "mover-prover" if party == PROVER else "mover-challenger"


BASE_CSS = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1d1c1a; --soft: #6a665f; --line: #e0dcd3; --edge: #b5afa3;
  --prover: #0b7285; --challenger: #a61e6d; --on-colour: #ffffff;
  --agreed: #b9d9c3; --disputed: #ecc8bd; --chosen: #c92a2a; --wrong: #c92a2a; --wrong-back: #fdeceb; --true: #2b7a43;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --card: #1c1f24; --ink: #e9e6df; --soft: #9d998f; --line: #32363d; --edge: #575c66;
    --prover: #4cc0d4; --challenger: #ee7fb6; --on-colour: #14161a;
    --agreed: #2f5a3f; --disputed: #6b3a30; --chosen: #ff7b6b; --wrong: #ff8f82; --wrong-back: #3a2020; --true: #77cf93;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main, header > div, footer { max-width: 880px; margin: 0 auto; padding: 0 20px; }
header { border-bottom: 1px solid var(--line); background: var(--card); padding: 40px 0 32px; }
header .kind { color: var(--soft); margin: 0; font-size: .95rem; }
h1 { font-size: clamp(1.9rem, 6vw, 2.9rem); line-height: 1.15; margin: .2em 0 .3em; letter-spacing: -.02em; }
header .reason { font-size: 1.2rem; margin: 0 0 .8em; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 20px; margin: 28px 0 0; }
.tiles dt { color: var(--soft); font-size: .85rem; line-height: 1.3; }
.tiles dd { margin: 0; font-size: 1.7rem; font-weight: 650; letter-spacing: -.02em; line-height: 1.2; }
.tiles > div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
section { margin: 52px 0; }
h2 { font-size: 1.4rem; letter-spacing: -.01em; margin: 0 0 .3em; }
h3 { font-size: 1.02rem; margin: 2em 0 .4em; }
section > p { max-width: 44em; margin: .3em 0 1.2em; }
code, pre, .assembly { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font-size: .9em; }
.prover { color: var(--prover); font-weight: 600; } .challenger { color: var(--challenger); font-weight: 600; }

.tree text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--soft); }
.tree .name { font-size: 14px; font-weight: 600; }
.tree .edge { fill: none; stroke: var(--edge); stroke-width: 1.5; stroke-dasharray: 4 4; }
.tree .edge.played { stroke: var(--ink); stroke-width: 2.5; stroke-dasharray: none; }
.tree rect { fill: var(--paper); stroke: var(--edge); stroke-dasharray: 4 4; }
.mover-prover { --colour: var(--prover); } .mover-challenger { --colour: var(--challenger); }
.tree .box.played rect { fill: var(--colour); stroke: none; }
.tree .box.played text { fill: var(--on-colour); }
.tree .box:not(.played) .name { font-weight: 500; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; font-size: .9rem; color: var(--soft); margin: 0 0 20px; }
.legend i { display: inline-block; width: .85em; height: .85em; border-radius: 3px; margin-right: .45em; }
.legend .p { background: var(--prover); } .legend .c { background: var(--challenger); }
.legend .n { border: 1px dashed var(--soft); }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
thead th { color: var(--soft); font-weight: 500; white-space: nowrap; }
tbody th { font-weight: 400; }
td.number, th.number { text-align: right; }
td.party { color: var(--colour); font-weight: 600; }

footer { color: var(--soft); font-size: .87rem; padding-top: 20px; padding-bottom: 60px; }
footer code { overflow-wrap: anywhere; }
@media print {
  header { padding: 0 0 20px; background: none; } section { margin: 28px 0; }
  h2, h3 { break-after: avoid; } svg, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  .legend i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
