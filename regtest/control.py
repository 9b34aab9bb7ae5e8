"""The control experiment: with a family of proofs taken away, do the cases that rest on it go wrong?

A matrix in which nothing can go wrong proves nothing. So each family is hidden in turn: every party decides as if the
graph did not have these leaves. The chain still does, and the other party plays as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from bitvm.chain.interface import RegtestChain
from bitvm.game.position import Position
from bitvm.graph.model import Coin, Input, Template
from bitvm.leaves.proof import ProofLeaf
from regtest.cases import Case, Decisions, Seats
from regtest.costs import family_of
from regtest.coverage import catalogue as game_catalogue
from regtest.matrix import CaseResult, Catalogue, Task, all_cases, play_case, play_tasks
from regtest.players import Strategy


@dataclass(frozen=True)
class BlindPosition(Position):
    """A position in whose graph some proofs do not exist.

    hidden: their family, or their names up to a dot: ``word`` are all of ``word.rs1``, ``word.control`` …
    """

    hidden: str = ""

    def template(self, name: str) -> Template:
        """Return a template without the hidden leaves."""
        template = super().template(name)
        seen = tuple(self._seen(spent) for spent in template.inputs)
        return template if seen == template.inputs else replace(template, inputs=seen)

    def _seen(self, spent: Input | Coin) -> Input | Coin:
        if not isinstance(spent, Input) or not any(self._is_hidden(spent, name) for name in spent.leaves):
            return spent
        return replace(spent, leaves=tuple(name for name in spent.leaves if not self._is_hidden(spent, name)))

    def _is_hidden(self, spent: Input, name: str) -> bool:
        if family_of(name) != self.hidden and not f"{name}.".startswith(f"{self.hidden}."):
            return False
        return isinstance(spent.leaf(name), ProofLeaf)


def blinded(strategy: Strategy, hidden: str) -> Strategy:
    """Return the strategy of a party that does not know the proofs ``hidden`` (see `BlindPosition`)."""

    def decide(position: Position) -> Decisions:
        blind = BlindPosition(position.graph, position.height, position.confirmed, position.slot, hidden=hidden)
        return strategy(blind)

    return decide


def seats_without(hidden: str, case: Case) -> Seats:
    """Seat the parties of a case; none of them knows the proofs ``hidden``."""
    seats = case.seats()
    return Seats(seats.parameters, {party: blinded(strategy, hidden) for party, strategy in seats.strategies.items()})


def play_without(case: Case, disabled_leaf_prefix: str, chain: RegtestChain) -> CaseResult:
    """Play a case in which nobody knows the proofs of this prefix."""
    return play_case(case, chain, seats=seats_without(disabled_leaf_prefix, case))


@dataclass(frozen=True, slots=True)
class Control:
    """What became of the cases that use ``family`` when it was hidden.

    lost: names of those that the right party did not win. otherwise: those that it won by other means than it had to.
    unmoved: those that were right all the same.
    """

    family: str
    lost: tuple[str, ...]
    otherwise: tuple[str, ...]
    unmoved: tuple[str, ...]

    @property
    def goes_wrong(self) -> bool:
        """Whether any case goes wrong without the family."""
        return bool(self.lost or self.otherwise)


Heard = Callable[[int, int], None]
"""Hears how many matches of how many are played."""


def control(
    results: Iterable[CaseResult],
    *,
    catalogue: Catalogue = all_cases,
    most: int = 3,
    jobs: int = 1,
    heard: Heard | None = None,
) -> list[Control]:
    """Hide each family of proofs in turn and play again up to ``most`` of the cases that used it, the shortest first.

    ``results``: of the cases, played as they are. Families that no case used come out with nothing gone wrong.
    """
    plan = _plan(list(results), most)
    tasks = [Task(name, partial(seats_without, family)) for family, names in plan.items() for name in names]
    outcomes: dict[str, list[CaseResult]] = {family: [] for family in plan}
    families = [family for family, names in plan.items() for _ in names]
    played = play_tasks(tasks, catalogue=catalogue, jobs=jobs)
    for count, (place, result) in enumerate(played, start=1):
        outcomes[families[place]].append(result)
        if heard is not None:
            heard(count, len(tasks))
    return [_control(family, found) for family, found in outcomes.items()]


def _plan(results: Sequence[CaseResult], most: int) -> Mapping[str, list[str]]:
    """Return, by family of proofs, which cases to play without it."""
    _, families, proofs = game_catalogue()
    right = sorted((result for result in results if result.ok), key=lambda result: result.transactions)
    return {
        family: [r.name for r in right if family in {family_of(leaf) for leaf in r.leaves}][:most]
        for family in families
        if family in proofs
    }


def _control(family: str, results: Sequence[CaseResult]) -> Control:
    lost = tuple(result.name for result in results if result.winner != result.expected)
    wrong = tuple(result.name for result in results if not result.ok and result.name not in lost)
    return Control(family, lost, wrong, tuple(result.name for result in results if result.ok))
