"""``show``: one set-up as a tree of its confirmed transactions, with what each said, and what comes next."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from bitvm.daemon.commands.desk import Desk, SetupView, Side, open_desk
from bitvm.daemon.commands.framework import FINE, Command, CommandError, HelpText, answer, said
from bitvm.daemon.commands.outlook import Owed, named, owed, short_name
from bitvm.daemon.commands.words import words_of_transaction
from bitvm.daemon.reports import game_state
from bitvm.game.position import Position
from bitvm.graph.claim import BOND
from bitvm.graph.graph import FUND
from bitvm.graph.model import Input, Template
from bitvm.script.weight import txid, vsize

_STYLES = {"prover": "cyan", "challenger": "magenta"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A confirmed transaction.

    name: full name. parent: that of the transaction whose output it spends first, None for the first. fee: what our
    child pays for it in satoshi, None where it is not ours. said: what its witness says, in words.
    """

    name: str
    parent: str | None
    party: str
    height: int
    txid: str
    vsize: int
    fee: int | None
    said: str


@dataclass(frozen=True, slots=True)
class Next:
    """What comes next in a game. owed: what is owed; None where nothing is. text: the same in words."""

    slot: int
    challenger: int
    state: str
    owed: Owed | None
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """A set-up as its transactions tell it. waiting: names of what is in the mempool. spent: our fees, in satoshi."""

    setup: str
    party: str
    height: int
    problem: str
    transactions: tuple[Shown, ...]
    waiting: tuple[str, ...]
    games: tuple[Next, ...]
    spent: int


def commands(side: Side) -> tuple[Command, ...]:
    """Return the command."""
    text = HelpText(
        "a set-up as a tree of its transactions",
        """\
Show what was played in a set-up: every confirmed transaction below the one that it continues, with its block, size, who
sent it, and what it said, read from its witness. Then, for every game that runs: whose move it is, how many blocks are
left for it, and what happens if it does not come. Fees are known of our own transactions; they are what our children
pay.""",
        f"""\
examples:
  {side.program} show ledger-1
  {side.program} show ledger-1 --claim 2 --game 1
  {side.program} show ledger-1 --json | jq '.games[] | select(.owed) | .text'""",
    )
    return (Command("show", text, partial(_show, side), _add),)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("setup", metavar="SETUP", help="the name of a finished set-up")
    parser.add_argument("--claim", type=int, metavar="N", help="this claim alone, from 1")
    parser.add_argument("--game", type=int, metavar="I", help="the game of challenger I alone, from 1")


def _show(side: Side, arguments: argparse.Namespace) -> int:
    with open_desk(arguments, side) as desk:
        (view,) = desk.views(arguments.setup)
        check_range(view, "--claim", arguments.claim, view.plan.parameters.claims)
        check_range(view, "--game", arguments.game, view.plan.parameters.challengers)
        story = story_of(desk, view, arguments.claim, arguments.game)
    answer(arguments, story, show_story)
    return FINE


def check_range(view: SetupView, option: str, value: int | None, highest: int) -> None:
    """Raise CommandError for a number that the set-up does not have."""
    if value is not None and not 1 <= value <= highest:
        raise CommandError(f"{option} {value}: {view.name} has 1 to {highest}")


def story_of(desk: Desk, view: SetupView, claim: int | None = None, game: int | None = None) -> Story:
    """Return what was played, of one claim or game alone if they are given."""
    position, fees = view.look.position, desk.store.fees(view.name)
    shown = tuple(
        _shown(position, position.graph[name], fees.get(name))
        for name in _in_order(position)
        if _is_wanted(position.graph[name], claim, game)
    )
    graph = view.archive.graph
    by_txid = graph.by_txid()
    slots = [claim] if claim else range(1, view.plan.parameters.claims + 1)
    numbers = [game] if game else range(1, view.plan.parameters.challengers + 1)
    return Story(
        setup=view.name,
        party=view.party,
        height=position.height,
        problem=view.look.problem,
        transactions=shown,
        waiting=tuple(by_txid[txid(waiting)].name for waiting in view.look.waiting),
        games=tuple(
            next_of(position.at_claim(slot), number)
            for slot in slots
            if position.at_claim(slot).has("Claim")
            for number in numbers
        ),
        spent=sum(each.fee or 0 for each in shown),
    )


def next_of(at: Position, number: int) -> Next:
    """Return what comes next in a game of the position's claim."""
    state = game_state(at, number)
    if state == "open":
        until = at.height_of("Claim") + at.graph.setting.parameters.delta_claim
        left = max(0, until - 1 - at.height)
        return Next(at.slot, number, state, None, f"not challenged; a Challenge is in time for {left} more blocks")
    if state != "running":
        texts = {"won": "won by the challenger", "lost": "lost by the challenger", "closed": "never played"}
        return Next(at.slot, number, state, None, texts[state])
    due = owed(at, number)
    if due is None:
        return Next(at.slot, number, state, None, "no timeout runs: the winning transaction can be sent")
    return Next(at.slot, number, state, due, in_words(due, at.height))


def in_words(due: Owed, height: int) -> str:
    """Say what is owed, and what happens otherwise."""
    penalty = short_name(due.penalty)
    if due.left(height) == 0:
        return f"{named(due.debtor)} is late with {due.wanted()}: {named(due.creditor)} can take {penalty} now"
    return (
        f"{named(due.debtor)} owes {due.wanted()} by block {due.by:,} ({due.left(height)} left); "
        f"else {named(due.creditor)} takes {penalty}"
    )


def _in_order(position: Position) -> Iterator[str]:
    """Yield the confirmed transactions, parents first."""
    return (name for name in position.graph.templates if name in position.confirmed)


def _is_wanted(template: Template, claim: int | None, game: int | None) -> bool:
    if template.plain == FUND:
        return True
    number = template.plain.rpartition("/")[0]
    return claim in (None, template.claim) and (game is None or number in ("", str(game)))


def _shown(position: Position, template: Template, fee: int | None) -> Shown:
    seen = position.confirmed[template.name]
    return Shown(
        template.name,
        _parent(template),
        template.mover,
        seen.height,
        template.txid[::-1].hex(),
        vsize(seen.transaction),
        fee,
        words_of_transaction(position, template),
    )


def _parent(template: Template) -> str | None:
    """Return what a transaction continues: the game rather than the bond."""
    sources = [spent for spent in template.inputs if isinstance(spent, Input)]
    if not sources:
        return None
    return next((spent for spent in sources if spent.output != BOND), sources[0]).source.name


# ---- the picture


def show_story(console: Console, story: Story) -> None:
    """Print the tree, and what comes next."""
    console.print(said(f"{story.setup}, as {story.party}, block {story.height:,}", "bold"))
    if story.problem:
        console.print(said(f"{story.problem}; shown as of that block", "yellow"))
    branches: dict[str, Tree] = {}
    roots: list[Tree] = []
    for shown in story.transactions:
        above = branches.get(shown.parent or "")
        branch = Tree(_line(shown), guide_style="dim")
        (roots if above is None else above.children).append(branch)
        branches[shown.name] = branch
    for root in roots:
        console.print(root)
    if not story.transactions:
        console.print(said("Nothing is confirmed yet.", "dim"))
    if story.waiting:
        console.print(said(f"in the mempool: {', '.join(story.waiting)}"))
    for game in story.games:
        style = "bold" if game.owed is not None else "dim"
        console.print(said(f"claim {game.slot}, game of challenger{game.challenger}: {game.text}", style))
    console.print(said(f"our fees so far: {story.spent:,} sat"))


def _line(shown: Shown) -> Text:
    style = _STYLES[shown.party.rstrip("0123456789")]
    line = Text()
    line.append(short_name(shown.name), style=f"bold {style}")
    line.append(f"  {shown.party}, block {shown.height:,}, {shown.vsize:,} vB", style="dim")
    if shown.fee:
        line.append(f", {shown.fee:,} sat", style="dim")
    if shown.said:
        line.append(f"\n{shown.said}")
    return line
