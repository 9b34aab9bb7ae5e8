"""A set-up as its transactions tell it: what was played, what waits, and what comes next, as plain values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bitvm.daemon.commands.desk import Desk, SetupView
from bitvm.daemon.commands.outlook import Owed, named, owed, short_name
from bitvm.daemon.commands.words import words_of_transaction
from bitvm.daemon.reports import game_state
from bitvm.game.position import Position
from bitvm.game.window import challenged_until
from bitvm.graph.claim import BOND
from bitvm.graph.graph import FUND
from bitvm.graph.model import Input, Template
from bitvm.script.weight import txid, vsize


@dataclass(frozen=True, slots=True)
class Scope:
    """What of a set-up is told: one claim, or the game of one challenger, alone; all where they are None."""

    claim: int | None = None
    game: int | None = None

    def holds(self, template: Template) -> bool:
        """Whether a transaction is told of."""
        if template.plain == FUND:
            return True
        number = template.plain.rpartition("/")[0]
        return self.claim in (None, template.claim) and (self.game is None or number in ("", str(self.game)))


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


def story_of(desk: Desk, view: SetupView, scope: Scope) -> Story:
    """Return what was played, as far as the scope goes."""
    position, fees = view.look.position, desk.store.fees(view.name)
    shown = tuple(
        _shown(position, position.graph[name], fees.get(name))
        for name in _in_order(position)
        if scope.holds(position.graph[name])
    )
    graph = view.archive.graph
    by_txid = graph.by_txid()
    slots = [scope.claim] if scope.claim else range(1, view.plan.parameters.claims + 1)
    numbers = [scope.game] if scope.game else range(1, view.plan.parameters.challengers + 1)
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
        left = max(0, challenged_until(at) - 1 - at.height)
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


def _shown(position: Position, template: Template, fee: int | None) -> Shown:
    seen = position.confirmed[template.name]
    return Shown(
        template.name,
        parent_of(template),
        template.mover,
        seen.height,
        template.txid[::-1].hex(),
        vsize(seen.transaction),
        fee,
        words_of_transaction(position, template),
    )


def parent_of(template: Template) -> str | None:
    """Return what a transaction continues: the game rather than the bond."""
    sources = [spent for spent in template.inputs if isinstance(spent, Input)]
    if not sources:
        return None
    return next((spent for spent in sources if spent.output != BOND), sources[0]).source.name
