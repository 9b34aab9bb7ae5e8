"""A set-up as one HTML page, for an operator: whose move it is and until when, what was played, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from bitvm.daemon.commands.deadline import Deadline, deadline_of
from bitvm.daemon.commands.outlook import Owed
from bitvm.daemon.commands.show_picture import draw, nodes_of
from bitvm.daemon.commands.story import Next, Scope, Shown, Story
from bitvm.graph.graph import Graph
from bitvm.graph.model import full_name
from bitvm.pages.frame import legend, page, section, tiles
from bitvm.pages.markup import Markup, element, joined
from bitvm.pages.style import party_class

_CSS = """
main, header > div, footer { max-width: 1060px; }
.problem {
  border: 1px solid var(--wrong); border-radius: 8px; background: var(--wrong-back); color: var(--wrong);
  padding: 10px 14px; margin: 0 0 1em; overflow-wrap: anywhere;
}
.mempool { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
.tree { display: block; }
.tree .edge.waiting { stroke: var(--ink); stroke-width: 2; stroke-dasharray: 7 4; }
.tree .edge.coming { stroke-dasharray: 1 4; stroke-linecap: round; }
.tree .box.waiting rect { stroke: var(--colour); stroke-width: 2; stroke-dasharray: 7 4; }
.tree .box.waiting .name { fill: var(--colour); }
.tree .box.coming rect { stroke: var(--colour); stroke-opacity: .9; stroke-dasharray: 1 4; stroke-linecap: round; }
.tree .rule { stroke: var(--line); }
.tree .when, .tree .head { font-variant-numeric: tabular-nums; }
.legend .n { border: 2px dashed var(--soft); } .legend .g { border: 2px dotted var(--soft); }
.game h3 { margin: 1.6em 0 0; } .game p { margin: 0 0 .4em; }
.game.ours p { font-weight: 600; }
.time { display: block; width: 100%; height: 14px; border-radius: 4px; }
.time .all { fill: var(--colour); opacity: .22; } .time .used { fill: var(--colour); }
.late { --colour: var(--wrong); }
.ends { display: flex; justify-content: space-between; gap: 16px; font-size: .85rem; color: var(--soft); }
.ends b { color: var(--ink); }
td.said { min-width: 18em; overflow-wrap: anywhere; }
tbody th { white-space: nowrap; }
code.txid { display: block; color: var(--soft); font-size: .72rem; }
tfoot th, tfoot td { font-weight: 600; border-bottom: 0; }
@media print { .tree { max-width: 100%; height: auto; } .game { break-inside: avoid; } }
"""


def render(story: Story, graph: Graph, scope: Scope, written: datetime) -> str:
    """Return the page; ``written``: when, in UTC."""
    footer = element(
        "footer",
        f"As of block {story.height:,}; written {written:%Y-%m-%d %H:%M} UTC. The page does not renew itself. "
        "Times are in blocks, sizes in virtual bytes. Fees are ours alone: what our children pay.",
    )
    main = element("main", _games(story, graph), _picture(story, graph, scope), _table(story, graph, scope))
    return page(f"{story.setup}: block {story.height:,}", _CSS, _header(story, graph, scope), main, footer)


# ---- parts


def _header(story: Story, graph: Graph, scope: Scope) -> Markup:
    running = [game for game in story.games if game.state == "running"]
    pressing = min((game for game in running if game.owed), key=lambda game: _pressing(story, game), default=None)
    times = [deadline.left for game in running if (deadline := deadline_of(story, graph, game)) is not None]
    figures = [
        (f"{story.height:,}", "block"),
        (f"{len(running):,}", "games running"),
        (f"{min(times):,}" if times else "none", "blocks left for the next move"),
        (f"{len(story.transactions):,}", "transactions confirmed"),
        (f"{story.spent:,}", "sat of our fees so far"),
    ]
    return element(
        "header",
        element(
            "div",
            element("p", f"set-up, as {story.party}{_limits(scope)}", class_="kind"),
            element("h1", story.setup),
            _problem(story) if story.problem else None,
            element("p", _headline(story, pressing), class_="reason"),
            element("p", _mempool(story), class_="mempool"),
            tiles(*figures),
        ),
    )


def _pressing(story: Story, game: Next) -> tuple[bool, int]:
    """Order games by what an operator must know first: what we owe, then what is due next."""
    if game.owed is None:
        return True, 0
    return game.owed.debtor != story.party, game.owed.deadline


def _limits(scope: Scope) -> str:
    claim = f", claim {scope.claim} alone" if scope.claim else ""
    return claim + (f", game of challenger{scope.game} alone" if scope.game else "")


def _problem(story: Story) -> Markup:
    told = f" {_sentence(story.problem)} This is what was recorded earlier, up to block {story.height:,}."
    return element("p", element("b", "Not up to date."), told, class_="problem", role="alert")


def _headline(story: Story, pressing: Next | None) -> Markup:
    if pressing is None or pressing.owed is None:
        return joined(["No move is owed."])
    return joined([element("b", _whose(story, pressing, pressing.owed)), f" {_sentence(pressing.text)}"])


def _whose(story: Story, game: Next, due: Owed) -> str:
    late = due.left(story.height) == 0
    if due.debtor != story.party:
        return "We can win now." if late and due.creditor == story.party else "Not our move."
    if any(full_name(answer, game.slot) in story.waiting for answer in due.answers):
        return "Our move is in the mempool."
    return "We are late." if late else "Our move."


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _mempool(story: Story) -> str:
    if story.problem:
        return "What is in the mempool is not known."
    waiting = ", ".join(story.waiting)
    return f"In the mempool: {waiting}." if waiting else "Nothing of this set-up is in the mempool."


def _games(story: Story, graph: Graph) -> Markup | None:
    if not story.games:
        return None
    return section("The games", None, [_game(story, graph, game) for game in story.games])


def _game(story: Story, graph: Graph, game: Next) -> Markup:
    deadline = deadline_of(story, graph, game)
    ours = game.owed is not None and game.owed.debtor == story.party
    return element(
        "div",
        element("h3", f"Claim {game.slot}, game of challenger{game.challenger}"),
        element("p", _sentence(game.text)),
        _time(deadline) if deadline is not None else None,
        class_="game ours" if ours else "game",
    )


def _time(deadline: Deadline) -> Markup:
    """Return the time that runs as a bar, with its ends and what is left in words."""
    used = f"{deadline.used:,} of {deadline.blocks:,} blocks used"
    bar = element(
        "svg",
        element("rect", width=deadline.blocks, height=1, class_="all"),
        element("rect", width=deadline.used, height=1, class_="used"),
        viewBox=f"0 0 {deadline.blocks} 1",
        preserveAspectRatio="none",
        class_="time",
        role="img",
        aria_label=f"{used}, {deadline.in_words()}",
    )
    ends = [
        element("span", f"block {deadline.since:,}"),
        element("span", f"{used}, ", element("b", deadline.in_words())),
        element("span", f"block {deadline.by:,}"),
    ]
    class_ = party_class(deadline.party) if deadline.left else "late"
    return element("div", bar, element("div", ends, class_="ends"), class_=class_)


def _picture(story: Story, graph: Graph, scope: Scope) -> Markup:
    nodes = nodes_of(story, graph, scope)
    if not nodes:
        return section("The transactions", "Nothing is confirmed yet.")
    marks = legend(("p", "by the prover"), ("c", "by a challenger"), ("n", "in the mempool"), ("g", "may come next"))
    scrolled = element("div", draw(nodes), class_="scroll", tabindex=0, role="group", aria_label="Picture, may scroll")
    return section("The transactions", "Every transaction below the one that it continues.", marks, scrolled)


def _table(story: Story, graph: Graph, scope: Scope) -> Markup | None:
    columns = {"transaction": None, "party": None, "block": "number", "vB": "number", "our fee, sat": "number"}
    head = [element("th", name, scope="col", class_=class_) for name, class_ in columns.items()]
    head.append(element("th", "what it said, and its txid", scope="col"))
    rows = [*map(_row, story.transactions), *_waiting_rows(story, graph, scope)]
    if not rows:
        return None
    sums = (element("td", f"{story.spent:,}", class_="number"), element("td"))
    total = element("tr", element("th", "our fees so far", scope="row", colspan=4), sums)
    parts = (element("thead", element("tr", head)), element("tbody", rows), element("tfoot", total))
    table = element("table", parts, aria_label="What every transaction said")
    scrolled = element("div", table, class_="scroll", tabindex=0, role="group", aria_label="Table, may scroll")
    return section("What was said", "Read from the witnesses; what is said need not be true.", scrolled)


def _row(shown: Shown) -> Markup:
    fee = f"{shown.fee:,}" if shown.fee else ""
    numbers = f"{shown.height:,}", f"{shown.vsize:,}", fee
    return _cells(shown.name, shown.party, numbers, shown.said, shown.txid)


def _waiting_rows(story: Story, graph: Graph, scope: Scope) -> Iterator[Markup]:
    """Yield rows for what is in the mempool: so that its txids are at hand."""
    for template in map(graph.__getitem__, story.waiting):
        if scope.holds(template):
            yield _cells(template.name, template.mover, ("mempool", "", ""), "", template.txid[::-1].hex())


def _cells(name: str, party: str, numbers: Sequence[str], said: str, txid: str) -> Markup:
    return element(
        "tr",
        element("th", name, scope="row"),
        element("td", party, class_=f"party {party_class(party)}"),
        [element("td", number, class_="number") for number in numbers],
        element("td", said, element("code", txid, class_="txid"), class_="said"),
    )
