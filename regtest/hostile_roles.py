"""Roles of daemons that do not play fair: the honest daemons with one thing changed.

A lying prover runs its claim's program wrongly at one step, and believes it. An accuser disputes a true claim at a step
of its choice. Either says and signs all the rest as the honest daemon does. Who sleeps is a process that is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bitvm.daemon.computations import Job, Run
from bitvm.daemon.role import Bench, Judged
from bitvm.game.computation import Execution
from bitvm.game.moves import Decision, Wait
from bitvm.game.position import Position
from challenger.role import ChallengerRole
from lvm.machine import Engine
from regtest.hostile import LIES, accuse, tell


def lying(lie: str, step: int | None) -> Run:
    """Return how a prover runs that tells a lie of `LIES` at a step, None to find one that changes the end."""

    def run(job: Job, engine: Engine) -> Execution:
        true = Execution(job.parameters, job.image, job.data, previous=job.previous, engine=engine)
        return tell(true, LIES[lie], step)[0]

    return run


@dataclass
class Accuser:
    """The role of a challenger that accuses a true first claim at ``step``."""

    bench: Bench
    step: int

    def __post_init__(self) -> None:
        """Hold the honest role, which knows the inputs and runs."""
        self._honest = ChallengerRole(self.bench)

    def decide(self, position: Position) -> Mapping[str, Decision]:
        """Accuse without cause; what follows is what an honest challenger would do with that choice."""
        key = f"1:{self._honest.number}"
        run = self._honest.runs(position)[0]
        if run is None:
            return {key: Wait("the run of claim 1 has not ended")}
        decisions = accuse(position.at_claim(1), run, self._honest.number, self.step)
        return {f"1:{name}": decision for name, decision in decisions.items()}

    def judged(self, position: Position, slot: int) -> Judged:
        """Judge honestly; it knows that it lies."""
        return self._honest.judged(position, slot)
