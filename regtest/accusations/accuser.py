"""A challenger without cause: it makes the moves of a script, takes what it can win, and is silent when it is through.

A script is a line of plain names, each with the number that is signed, if any is::

    Challenge Demand_1 Pick_1=2 Choice_1=9 Choice_2=0 Ask=1 Descend=2 Narrow=3

A move is made as soon as its inputs are there and its locks have run, so a script can say what an honest challenger
never does: choose while a demand is not answered, or demand after it has chosen. ``Challenge@7`` is confirmed 7 blocks
after what it spends, no earlier; the name of a move of the prover's waits for that one.

Whatever the honest strategy would win by, a timeout or a proof that holds, the accuser takes at once: so an honest
prover that fails only a little loses its case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitvm.game import challenger as honest_challenger
from bitvm.game.computation import Computation
from bitvm.game.moves import Decision, Move, Say, SayChoice, Statement, Wait
from bitvm.game.position import Position
from bitvm.graph.model import PROVER, Input, Template
from bitvm.graph.setting import game_name
from regtest.cases import plain_name
from regtest.players import Strategy

WINNING = ("Slash", "Reclaim", "Refute")
"""How the names of the moves begin that take what is won."""

_SAID = {"Ask": "kind", "Descend": "gap", "Narrow": "gap"}
"""Fields of the questions after Step."""


@dataclass(frozen=True, slots=True)
class ScriptMove:
    """One move of a script: plain name without the game, what is signed, and the least age of what it spends."""

    name: str
    number: int | None
    age: int

    @classmethod
    def parse(cls, word: str) -> ScriptMove:
        """Read ``NAME``, ``NAME=NUMBER`` or ``NAME@AGE``; raises ValueError for a number that is none."""
        rest, _, age = word.partition("@")
        name, _, number = rest.partition("=")
        return cls(name, int(number) if number else None, int(age or 0))

    def statement(self) -> Statement | None:
        """Return what the move says."""
        if self.number is None:
            return None
        if self.name.startswith("Choice_"):
            return SayChoice(self.number)
        field = "group" if self.name.startswith("Pick_") else _SAID[self.name]
        return Say({f"{self.name}/{field}": (self.number,)})


@dataclass(frozen=True)
class Accuser:
    """The strategy of challenger ``number`` on claim ``slot``; ``computation`` is its own, and true."""

    script: tuple[ScriptMove, ...]
    computation: Computation | None
    number: int
    slot: int

    def __call__(self, position: Position) -> Mapping[str, Decision]:
        """Decide, by the keys of the honest strategy."""
        position, main = position.at_claim(self.slot), str(self.number)
        honest = dict(honest_challenger.decide(position, self.computation, self.number))
        decision = honest.pop(main)
        if not (isinstance(decision, Move) and plain_name(decision).startswith(WINNING)):
            until = decision.until if isinstance(decision, Wait) else None
            decision = self._next(position) or Wait("silent", until)
        return {main: decision, **honest}

    def _next(self, position: Position) -> Decision | None:
        """Return the first move of the script that is not made, or what it waits for; None if it cannot be made now."""
        for move in self.script:
            name = game_name(self.number, move.name)
            if position.has(name):
                continue
            template = position.template(name)
            if template.mover == PROVER:
                return None
            if any(position.is_spent(spent) for spent in template.inputs):
                return Wait(f"{name} comes too late", over=True)
            due = _due(position, template, move.age)
            if due is None:
                return None
            if position.height + 1 < due:
                return Wait(f"{name} is due later", due)
            return Move(template.name, "accuse without cause", move.statement())
        return None


def _due(position: Position, template: Template, age: int) -> int | None:
    """Return the first height for the move, None while what it spends is not there."""
    unlocked = position.unlock_height(template)
    first = template.inputs[0]
    if unlocked is None or not isinstance(first, Input):
        return None
    return max(unlocked, position.confirmed[first.source.name].height + age)


def accuser(script: str, computation: Computation | None, number: int = 1, slot: int = 1) -> Strategy:
    """Return the strategy that plays ``script`` (see the module)."""
    return Accuser(tuple(map(ScriptMove.parse, script.split())), computation, number, slot)
