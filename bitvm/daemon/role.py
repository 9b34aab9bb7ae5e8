"""What a daemon's role decides: the only place where prover and challenger differ.

A role turns a position into decisions, from what the party itself computed. It reads its inputs and results and asks
for runs and inputs that it lacks; it never signs, sends or waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bitvm.daemon.computations import Computations, Job, RunName
from bitvm.daemon.store import DaemonStore
from bitvm.game.challenger import judge
from bitvm.game.computation import Execution
from bitvm.game.finality import Verdict
from bitvm.game.moves import Decision
from bitvm.game.position import Position
from bitvm.graph.parameters import Parameters
from bitvm.keys.secrets import Secrets
from bitvm.leaves.authority import WitnessError
from bitvm.setup.archive import Archive
from bitvm.setup.input_store import InputMissingError, InputStore
from lvm.elf import Image


@dataclass(frozen=True, slots=True)
class Judged:
    """What a party thinks of a claim that was made. seconds: how long its own run took."""

    verdict: Verdict
    why: str
    seconds: float | None = None


@dataclass(frozen=True)
class Bench:
    """What a role works with, for one set-up."""

    name: str
    archive: Archive
    secrets: Secrets = field(repr=False)
    image: Image
    store: DaemonStore
    inputs: InputStore
    computations: Computations
    missing: dict[bytes, int] = field(default_factory=dict)
    """Input roots that were needed and not held in the newest decision, with their claim."""
    failures: dict[int, str] = field(default_factory=dict)
    """Why runs failed that were needed in the newest decision, by claim."""

    @property
    def party(self) -> str:
        """Who we are in the set-up."""
        return self.archive.party

    @property
    def parameters(self) -> Parameters:
        """The parameters of the set-up."""
        return self.archive.graph.setting.parameters

    @property
    def slots(self) -> range:
        """The claim slots."""
        return range(1, self.parameters.claims + 1)

    def runs(self, roots: Sequence[bytes | None]) -> tuple[Execution | None, ...]:
        """Return the runs on inputs of these roots, claim after claim, as far as they have ended.

        Wants the ones that can be begun. A claim without a root, or without the bytes, ends the sequence, since later
        runs begin in the state that its own leaves behind.
        """
        self.failures.clear()
        names, done = list(self._names(roots)), list(self._done(roots))
        for slot, name in names[len(done) : len(done) + 1]:
            ended = self.computations.finished(name)
            if ended is not None:
                self.failures[slot] = ended.failure
            self._want(name, slot, done[-1] if done else None)
        self.computations.forget(self.name, {name for _, name in names[: len(done) + 1]})
        return (*done, *[None] * (len(roots) - len(done)))

    def _done(self, roots: Sequence[bytes | None]) -> Iterator[Execution]:
        """Yield the runs that have ended, claim after claim, up to the first that has not, or has failed."""
        for _, name in self._names(roots):
            ended = self.computations.finished(name)
            if ended is None or ended.execution is None:
                return
            yield ended.execution

    def _seconds(self, roots: Sequence[bytes | None], slot: int) -> float | None:
        """Return how many seconds the run of a claim took; None before it has ended."""
        names = dict(self._names(roots))
        ended = self.computations.finished(names[slot]) if slot in names else None
        return None if ended is None else ended.seconds

    def judge(self, position: Position, roots: Sequence[bytes | None], slot: int) -> Judged:
        """Judge the claim in a slot, which was made, by our own run on inputs of these roots, claim after claim.

        Wants nothing and changes nothing: a decision does that.
        """
        found = judge(position.at_claim(slot), dict(enumerate(self._done(roots), 1)).get(slot))
        return Judged(found.verdict, found.why, self._seconds(roots, slot))

    def _names(self, roots: Sequence[bytes | None]) -> Iterator[tuple[int, RunName]]:
        before: tuple[bytes, ...] = ()
        for slot, root in enumerate(roots, start=1):
            if root is None:
                return
            before = (*before, root)
            yield slot, RunName(self.name, before)

    def _want(self, name: RunName, slot: int, previous: Execution | None) -> None:
        if not self.computations.is_due(name):
            return  # an input is read, and hashed, only when it is needed
        root = name.inputs[-1]
        try:
            data = self.inputs.read(root)
        except InputMissingError:
            self.missing[root] = slot
            return
        self.computations.want(name, Job(self.parameters, self.image, data, previous))


class Role(Protocol):
    """The decisions of one party in one set-up."""

    def decide(self, position: Position) -> Mapping[str, Decision]:
        """Return the decisions on all claims by ``slot:key`` (see `bitvm.game.prover`, `bitvm.game.challenger`)."""
        ...

    def judged(self, position: Position, slot: int) -> Judged:
        """Return what the party thinks of a claim that was made."""
        ...


RoleMaker = Callable[[Bench], Role]


def claimed_input(position: Position, slot: int) -> bytes | None:
    """Return the input root (24 bytes) that a claim states; None if it is not made, cannot be read, or is no node."""
    at = position.at_claim(slot)
    if not at.has("Claim"):
        return None
    try:
        return at.claim().nodes["input_root"]
    except WitnessError:
        return None
