"""Whose move it is in a game, until when, and what happens otherwise: a function of the position alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bitvm.game.position import Position
from bitvm.graph.claim import BOND
from bitvm.graph.model import NO_LOCK, PROVER, Input, Template, challenger

_WINS = ("Slash_after_", "Reclaim_after_", "TakeStake_after_")
"""How the names of what wins by a timeout begin, behind ``number/``."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A move that a party owes.

    debtor, creditor: party names. deadline: the height from which the creditor can win by ``penalty``, the plain name
    of a transaction. answers: plain names of the transactions that would be in time, each in a block below deadline.
    """

    debtor: str
    creditor: str
    deadline: int
    penalty: str
    answers: tuple[str, ...]

    @property
    def by(self) -> int:
        """The last block in which an answer is safe."""
        return self.deadline - 1

    def left(self, height: int) -> int:
        """Return how many blocks after ``height`` can still hold the answer."""
        return max(0, self.by - height)

    def wanted(self) -> str:
        """Return the answers in words."""
        return " or ".join(map(short_name, self.answers)) or "its move"


def owed(position: Position, number: int) -> Owed | None:
    """Return what is owed in challenger ``number``'s game of the position's claim; None where no timeout runs."""
    running: list[tuple[int, bool, str]] = []
    for template in _of_game(position, number):
        if _is_timeout(template) and short_name(template.plain).startswith(_WINS) and _is_open(position, template):
            height = position.unlock_height(template)
            if height is not None:
                running.append((height, _kind(template) != "Slash", template.name))
    if not running:
        return None
    deadline, _, name = min(running)
    penalty = position.graph[name]
    creditor = penalty.mover
    debtor = challenger(number) if creditor == PROVER else PROVER
    answers = tuple(template.plain for template in _answers(position, number, penalty, debtor))
    return Owed(debtor, creditor, deadline, penalty.plain, answers)


def named(party: str) -> str:
    """Return a party's name as a sentence has it."""
    return f"the {party}" if party == PROVER else party


def short_name(plain: str) -> str:
    """Return a transaction's name without the number of its game and of its claim."""
    return plain.partition("#")[0].rpartition("/")[2]


def _answers(position: Position, number: int, penalty: Template, debtor: str) -> Iterator[Template]:
    """Yield the moves of the debtor that take an output which ``penalty`` needs."""
    contested = {_output(spent) for spent in penalty.inputs if isinstance(spent, Input) and spent.output != BOND}
    bond_gone = position.spent_by("Claim", BOND) is not None
    for template in _of_game(position, number):
        if template.mover != debtor or _is_timeout(template) or not _is_open(position, template):
            continue
        if _kind(template) == ("Slash" if bond_gone else "Reclaim"):
            continue
        if contested & {_output(spent) for spent in template.inputs if isinstance(spent, Input)}:
            yield template


def _of_game(position: Position, number: int) -> Iterator[Template]:
    prefix = f"{number}/"
    for template in position.graph.templates.values():
        if template.claim == position.slot and template.plain.startswith(prefix):
            yield template


def _is_open(position: Position, template: Template) -> bool:
    """Whether all that a transaction spends is confirmed and unspent."""
    confirmed = position.unlock_height(template) is not None
    return confirmed and not any(map(position.is_spent, template.inputs))


def _kind(template: Template) -> str:
    return short_name(template.plain).partition("_")[0]


def _output(spent: Input) -> tuple[str, str]:
    return spent.source.name, spent.output


def _is_timeout(template: Template) -> bool:
    return any(spent.sequence != NO_LOCK for spent in template.inputs)
