"""The page: verdict, game tree, bisection, instruction, costs, parameters."""

from __future__ import annotations

from pathlib import Path

from bitvm.graph.documentation import parameter_meanings
from bitvm.graph.setting import game_name
from regtest.match import FEERATE
from regtest.report import bisection, costs, instruction, story, tree
from regtest.report.facts import decisive_game, disputed_step, levels_of, verdict_leaf
from regtest.report.markup import Child, Markup, document, element, joined, stylesheet
from regtest.report.style import CSS, party_class
from regtest.simulate import Result

DEFAULT_LEVELS = 5
"""Levels at which a dispute is as large as those that others' figures are about."""


def render(result: Result) -> str:
    """Return the whole page as HTML."""
    number = decisive_game(result)
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", f"{story.headline(result)}: a dispute on Bitcoin"),
            stylesheet(CSS),
        ]
    )
    sections = [
        _tree(result, number),
        _bisection(result, number),
        _instruction(result, number),
        _costs(result, number),
        _parameters(result),
    ]
    return document("en", head, joined([_header(result, number), element("main", sections), _footer(result)]))


def _section(title: str, text: Child, *content: Child) -> Markup:
    return element("section", element("h2", title), element("p", text) if text else None, *content)


def _header(result: Result, number: int) -> Markup:
    totals = result.totals()
    steps = f"{result.prepared.parameters.steps:,}"
    tiles = [
        (f"{totals['dispute']:,}", "vbytes after the claim"),
        (str(totals["dispute_transactions"]), "transactions after the claim"),
        (str(totals["blocks"]), "blocks from Fund to the end"),
        (f"{totals['fees']:,}", f"sat of fees, at {FEERATE:g} sat/vB"),
    ]
    if result.position.has(game_name(number, "Step")):
        tiles.insert(0, ("1", f"step left of {steps}"))
    winner, reason = result.outcome.winner, result.outcome.reason
    return element(
        "header",
        element(
            "div",
            element("p", f"{Path(result.scenario.program).name} · {story.kind(result)}", class_="kind"),
            element("h1", story.headline(result), class_=party_class(winner) if winner != "nobody" else None),
            element("p", element("b", f"{winner} wins."), f" {reason[:1].upper()}{reason[1:]}.", class_="reason"),
            element("p", story.story(result, number), class_="story"),
            element(
                "dl",
                [element("div", element("dt", name), element("dd", figure)) for figure, name in tiles],
                class_="tiles",
            ),
        ),
    )


def _legend(*entries: tuple[str, str]) -> Markup:
    spans = [element("span", element("i", class_=class_), name) for class_, name in entries]
    return element("p", spans, class_="legend")


def _tree(result: Result, number: int) -> Markup:
    text = (
        "All transactions are signed before any money moves; which of them are played is the game. On the left the "
        "moves, one answering the other, with the output that each spends; on the right what becomes possible when a "
        "party lets its time pass. Whatever pays the prover out or slashes it spends the bond of Claim as well."
    )
    if result.scenario.challengers > 1:
        text += f" This is the game of challenger {number}, one of {result.scenario.challengers}."
    legend = _legend(("p", "by the prover"), ("c", "by a challenger"), ("n", "possible, not played"))
    own = {"", str(number)}
    seen = [c for c in result.confirmations if c.name.rpartition("/")[0] in own]
    return _section("The game", text, legend, tree.draw(result.position.graph, number, seen))


def _bisection(result: Result, number: int) -> Markup | None:
    levels = levels_of(result, number)
    if not levels:
        return None
    legend = _legend(("agreed", "right end agreed"), ("chosen", "chosen part"), ("disputed", "right end disputed"))
    drawing = bisection.draw(levels, disputed_step(result, number))
    return _section("The bisection", story.on_dispute(result, number), legend, drawing)


def _instruction(result: Result, number: int) -> Markup | None:
    step = disputed_step(result, number)
    if step is None:
        return None
    leaf = verdict_leaf(result, number)
    judged = [element("h3", "The leaf that judged it"), instruction.judge(leaf)] if leaf is not None else None
    text = story.on_step(step, leaf)
    return _section("The disputed instruction", text, instruction.describe(step), judged)


def _costs(result: Result, number: int) -> Markup:
    parameters, totals = result.prepared.parameters, result.totals()
    text = [
        "Virtual bytes by transaction, in the order of the chain: ",
        *(
            [element("b", f"{vsize:,}", class_=party_class(party).removeprefix("mover-")), f" by {party}, "]
            for party, vsize in totals["vsize"].items()
        ),
        f"{totals['all']:,} in all with Fund and Claim.",
    ]
    legend = _legend(("p", "prover"), ("c", "challenger"), ("child", "the child that pays the fee of both"))
    compared = None
    if parameters.levels == DEFAULT_LEVELS and result.position.has(game_name(number, "Slash")):
        compared = [
            element("h3", "Beside others, for a dispute about an execution, without the claim"),
            costs.comparison(totals["dispute"], parameters.levels, parameters.width),
        ]
    listed = [element("h3", "All transactions"), costs.table(result.confirmations)]
    return _section("What it cost", text, legend, costs.chart(result.confirmations), compared, listed)


def _parameters(result: Result) -> Markup:
    parameters, meanings = result.prepared.parameters, parameter_meanings()
    rows = []
    for name, value in parameters.to_json().items():
        if name == "image_root":
            continue
        cells = (element("td", element("code", f"{value:,}")), element("td", meanings[name].replace("``", "")))
        rows.append(element("tr", element("th", name, scope="row"), cells))
    roots = [
        ("State before", result.prepared.parameters.image_root.hex()),
        ("Input", result.prepared.true.input_root.hex()),
        ("State after", result.prepared.true.final_root.hex()),
        ("State after, as claimed", result.prepared.claimed.final_root.hex()),
        ("Set-up", f"{result.setup.seconds:.2f} s, {result.setup.exchanged:,} bytes exchanged by all parties"),
    ]
    facts = [[element("dt", name), element("dd", element("code", value))] for name, value in roots]
    return _section(
        "Parameters and set-up",
        "What all parties agreed on before they derived a key. Amounts are in satoshi, times in blocks.",
        element("dl", facts, class_="facts"),
        element("div", element("table", element("tbody", rows)), class_="scroll"),
    )


def _footer(result: Result) -> Markup:
    return element(
        "footer",
        "Played on a private chain under Bitcoin Core's consensus rules, with seed ",
        element("code", str(result.scenario.seed)),
        ". Virtual bytes of a dispute leave out Fund and Claim.",
    )
