"""What the matrix plays: a case is a world, a strategy a party, and who must win by what.

A hostile party is an honest strategy with deviations: functions that take the decisions which honesty would have made
and return others. So a liar answers all that it does not lie about as well as it can, which is what a thief would do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bitvm.game import challenger as honest_challenger
from bitvm.game import prover as honest_prover
from bitvm.game.computation import Computation
from bitvm.game.moves import Decision, Move, Say, Wait
from bitvm.game.position import Position
from bitvm.graph.model import Input
from bitvm.graph.parameters import Parameters
from bitvm.keys.journal import Message
from regtest.players import Strategy

Decisions = Mapping[str, Decision]
Deviation = Callable[[Position, Decisions], Decisions]
"""Takes what honesty would do, returns what is done."""


@dataclass(frozen=True)
class Seats:
    """Who plays how.

    strategies: by party; all parties of the parameters. computations of nobody are needed beside what they hold.
    """

    parameters: Parameters
    strategies: Mapping[str, Strategy]


@dataclass(frozen=True)
class Case:
    """One row of the matrix.

    name: ``family/…``, unique. story: one sentence. winner: the party that has the bond or its share at the end.
    decides: plain names of transactions that must be confirmed, and by which the case is decided. leaves: names of
    proofs, one of which must have been used, where it matters. absent: plain names that must not be confirmed.
    seats: builds the parties; called once a play.
    """

    name: str
    story: str
    winner: str
    decides: tuple[str, ...]
    seats: Callable[[], Seats]
    leaves: tuple[str, ...] = ()
    absent: tuple[str, ...] = field(default=())


def prover_of(*computations: Computation) -> Strategy:
    """Return the honest strategy of a prover that claims these computations, one a claim."""
    if len(computations) == 1:
        return lambda position: honest_prover.decide(position, computations[0])
    return lambda position: honest_prover.decide_setup(position, computations)


def challenger_of(number: int, *computations: Computation | None) -> Strategy:
    """Return the honest strategy of challenger ``number``, which knows these computations, one a claim."""
    if len(computations) == 1:
        return lambda position: honest_challenger.decide(position, computations[0], number)
    return lambda position: honest_challenger.decide_setup(position, computations, number)


def deviating(strategy: Strategy, *deviations: Deviation) -> Strategy:
    """Return a strategy whose decisions pass through the deviations, the first one first."""

    def deviate(position: Position) -> Decisions:
        decisions = strategy(position)
        for deviation in deviations:
            decisions = deviation(position, decisions)
        return decisions

    return deviate


def asleep(_: Position) -> Decisions:
    """Do nothing at all."""
    return {}


def plain_name(move: Move) -> str:
    """Return a move's transaction without the game's number and the claim's."""
    return move.template.partition("#")[0].rpartition("/")[2]


def on_moves(change: Callable[[Position, Move], Decision]) -> Deviation:
    """Return the deviation that passes every move through ``change``."""

    def deviation(position: Position, decisions: Decisions) -> Decisions:
        return {key: change(position, d) if isinstance(d, Move) else d for key, d in decisions.items()}

    return deviation


def silent_at(*names: str) -> Deviation:
    """Return the deviation that never makes the moves of these plain names."""
    return on_moves(lambda _, move: Wait("silent", over=True) if plain_name(move) in names else move)


def from_age(age: int, *names: str) -> Deviation:
    """Return the deviation that makes these moves, or all, in blocks at least ``age`` after what they spend."""

    def later(position: Position, move: Move) -> Decision:
        first = position.graph[move.template].inputs[0]
        if (names and plain_name(move) not in names) or not isinstance(first, Input):
            return move
        due = position.confirmed[first.source.name].height + age
        return move if position.height + 1 >= due else Wait("every move takes its time", due)

    return on_moves(later)


def saying(name: str, change: Callable[[Mapping[str, Message]], Mapping[str, Message]]) -> Deviation:
    """Return the deviation that signs something else in the message ``name``: Path, Ask, Outline_1 …"""

    def changed(_: Position, move: Move) -> Move:
        if plain_name(move) != name or not isinstance(move.statement, Say):
            return move
        return replace(move, why=f"{move.why} (a lie)", statement=Say(change(move.statement.messages)))

    return on_moves(changed)


def flipped(message: Message, place: int = 0) -> Message:
    """Return a node with one bit flipped, or symbols with one of them moved to its neighbour below or above."""
    if isinstance(message, bytes):
        return bytes([message[0] ^ 1]) + message[1:]
    symbols = list(message)
    symbols[place] ^= 1
    return tuple(symbols)


def flipping(name: str, path: str, place: int = 0) -> Deviation:
    """Return the deviation that signs one field of message ``name`` falsely."""
    return saying(name, lambda messages: {**messages, path: flipped(messages[path], place)})


def unique(cases: Sequence[Case]) -> Iterator[Case]:
    """Yield the cases; raises ValueError where two have one name."""
    seen: set[str] = set()
    for case in cases:
        if case.name in seen:
            raise ValueError(f"two cases are called {case.name}")
        seen.add(case.name)
        yield case
