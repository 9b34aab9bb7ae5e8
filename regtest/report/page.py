"""The page: verdict, game tree, bisection, instruction, costs, parameters."""

from __future__ import annotations

from pathlib import Path

from bitvm.graph.documentation import parameter_meanings
from bitvm.graph.setting import game_name
from bitvm.pages.frame import legend, page, section, tiles
from bitvm.pages.markup import Markup, element
from bitvm.pages.style import party_class
from regtest.match import FEERATE
from regtest.report import bisection, costs, instruction, story, tree
from regtest.report.facts import decisive_game, disputed_step, levels_of, verdict_leaf
from regtest.report.style import REPORT_CSS
from regtest.simulate import Result

DEFAULT_LEVELS = 5
"""Levels at which a dispute is as large as those that others' figures are about."""


def render(result: Result) -> str:
    """Return the whole page as HTML."""
    number = decisive_game(result)
    sections = [
        _tree(result, number),
        _bisection(result, number),
        _instruction(result, number),
        _costs(result, number),
        _parameters(result),
    ]
    title = f"{story.headline(result)}: a dispute on Bitcoin"
    return page(title, REPORT_CSS, _header(result, number), element("main", sections), _footer(result))


def _header(result: Result, number: int) -> Markup:
    totals = result.totals()
    steps = f"{result.prepared.parameters.steps:,}"
    figures = [
        (f"{totals['dispute']:,}", "vbytes after the claim"),
        (str(totals["dispute_transactions"]), "transactions after the claim"),
        (str(totals["blocks"]), "blocks from Fund to the end"),
        (f"{totals['fees']:,}", f"sat of fees, at {FEERATE:g} sat/vB"),
    ]
    if result.position.has(game_name(number, "Step")):
        figures.insert(0, ("1", f"step left of {steps}"))
    winner, reason = result.outcome.winner, result.outcome.reason
    return element(
        "header",
        element(
            "div",
            element("p", f"{Path(result.scenario.program).name} · {story.kind(result)}", class_="kind"),
            element("h1", story.headline(result), class_=party_class(winner) if winner != "nobody" else None),
            element("p", element("b", f"{winner} wins."), f" {reason[:1].upper()}{reason[1:]}.", class_="reason"),
            element("p", story.story(result, number), class_="story"),
            tiles(*figures),
        ),
    )


def _tree(result: Result, number: int) -> Markup:
    text = (
        "All transactions are signed before any money moves; which of them are played is the game. On the left the "
        "moves, one answering the other, with the output that each spends; on the right what becomes possible when a "
        "party lets its time pass. Whatever pays the prover out or slashes it spends the bond of Claim as well."
    )
    if result.scenario.challengers > 1:
        text += f" This is the game of challenger {number}, one of {result.scenario.challengers}."
    marks = legend(("p", "by the prover"), ("c", "by a challenger"), ("n", "possible, not played"))
    own = {"", str(number)}
    seen = [c for c in result.confirmations if c.name.rpartition("/")[0] in own]
    return section("The game", text, marks, tree.draw(result.position.graph, number, seen))


def _bisection(result: Result, number: int) -> Markup | None:
    levels = levels_of(result, number)
    if not levels:
        return None
    marks = legend(("agreed", "right end agreed"), ("chosen", "chosen part"), ("disputed", "right end disputed"))
    drawing = bisection.draw(levels, disputed_step(result, number))
    return section("The bisection", story.on_dispute(result, number), marks, drawing)


def _instruction(result: Result, number: int) -> Markup | None:
    step = disputed_step(result, number)
    if step is None:
        return None
    leaf = verdict_leaf(result, number)
    judged = [element("h3", "The leaf that judged it"), instruction.judge(leaf)] if leaf is not None else None
    text = story.on_step(step, leaf)
    return section("The disputed instruction", text, instruction.describe(step), judged)


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
    marks = legend(("p", "prover"), ("c", "challenger"), ("child", "the child that pays the fee of both"))
    compared = None
    if parameters.levels == DEFAULT_LEVELS and result.position.has(game_name(number, "Slash")):
        compared = [
            element("h3", "Beside others, for a dispute about an execution, without the claim"),
            costs.comparison(totals["dispute"], parameters.levels, parameters.width),
        ]
    listed = [element("h3", "All transactions"), costs.table(result.confirmations)]
    return section("What it cost", text, marks, costs.chart(result.confirmations), compared, listed)


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
    return section(
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
