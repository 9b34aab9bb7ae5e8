"""Re-executions beside the daemon's loop: wanted in a tick, run in threads, there in a later tick.

A run is named by its set-up and the roots of the inputs of all claims up to its own, since memory persists from one
claim to the next. So a claim that a reorganisation replaces by another one is another run, and an old result is never
taken for it. A run is kept for as long as its set-up needs it, and its snapshots, so that an answer costs an interval.
But the prover decides how much a run writes and how many there are: where there is no room, the older ones are slimmed.

A run that fails is made again after `RETRY_SECONDS`, for as long as it is wanted: memory may be free again. Only an
input or program that can never be run (ValueError) has failed for good.

`want` and `finished` are called by the thread of a tick, `start` and what it starts by the event loop between two
ticks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import trio

from bitvm.daemon.logs import get_logger
from bitvm.game.computation import Execution
from bitvm.game.snapshots import MOST_PAGES
from bitvm.graph.parameters import Parameters
from lvm.elf import Image
from lvm.machine import Engine

_log = get_logger(__name__)

RETRY_SECONDS = 60.0
"""After so long a run that failed is made again."""

ROOM = 4 * MOST_PAGES
"""Pages for what makes the answers of the newest runs quick, of all set-ups together; about 1 GB."""


@dataclass(frozen=True, slots=True)
class RunName:
    """Which run: ``inputs`` are the input roots (24 bytes) of the set-up's claims, first claim first, its own last."""

    setup: str
    inputs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """What a run needs. ``previous``: the run of the claim before."""

    parameters: Parameters
    image: Image
    data: bytes = field(repr=False)
    previous: Execution | None


Run = Callable[[Job, Engine], Execution]
"""Executes a job; raises ValueError for a program or input that cannot be run."""


def execute(job: Job, engine: Engine) -> Execution:
    """Run a job honestly."""
    return Execution(job.parameters, job.image, job.data, previous=job.previous, engine=engine)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that ended: its result, None if it failed; how long it took, in seconds.

    failure: why it failed. again_at: when it is made again, on the clock of `time.monotonic`; None where it is not.
    """

    execution: Execution | None
    seconds: float
    failure: str = ""
    again_at: float | None = None


class Computations:
    """The runs of a daemon."""

    def __init__(self, engine: Engine, workers: int, run: Run = execute) -> None:
        """Run nothing yet; at most ``workers`` runs go on at a time."""
        self._engine, self._run = engine, run
        self._limiter = trio.CapacityLimiter(workers)
        self._finished: dict[RunName, Finished] = {}
        self._wanted: dict[RunName, Job] = {}
        self._running: set[RunName] = set()
        self._slimmed: set[RunName] = set()
        self.seconds: list[float] = []
        """How long every run took that ended since the start."""

    def finished(self, name: RunName) -> Finished | None:
        """Return how a run ended; None before."""
        return self._finished.get(name)

    def is_due(self, name: RunName) -> bool:
        """Whether a run has to be begun: it is not made yet nor under way, or it failed long enough ago."""
        ended = self._finished.get(name)
        over = ended is not None and (ended.again_at is None or time.monotonic() < ended.again_at)
        return not over and name not in self._running and name not in self._wanted

    def want(self, name: RunName, job: Job) -> None:
        """Have a run made, if it `is_due`."""
        if self.is_due(name):
            self._wanted[name] = job

    def forget(self, setup: str, needed: set[RunName]) -> None:
        """Drop the results of a set-up that nobody needs any more."""
        for name in list(self._finished):  # of this moment: other runs end meanwhile
            if name.setup == setup and name not in needed:
                del self._finished[name]

    def start(self, nursery: trio.Nursery, ended: Callable[[], None]) -> None:
        """Start what is wanted; ``ended`` is called in the event loop whenever a run has ended."""
        self._slim()
        for name, job in self._wanted.items():
            self._running.add(name)
            nursery.start_soon(self._make, name, job, ended)
        self._wanted = {}

    def make_wanted(self) -> bool:
        """Make in this thread what is wanted, for whoever has no loop; whether there was something."""
        self._slim()
        wanted, self._wanted = self._wanted, {}
        for name, job in wanted.items():
            self._finished[name] = self.run_now(job)
            self.seconds.append(self._finished[name].seconds)
        return bool(wanted)

    def _slim(self) -> None:
        """Slim the older runs, each once: one that is asked all the same keeps one snapshot, which answers need."""
        self._slimmed &= self._finished.keys()
        ended = [(name, each.execution) for name, each in self._finished.items() if each.execution is not None]
        room = ROOM
        for name, execution in reversed(ended):
            room -= execution.pages
            if room < 0 and name != ended[-1][0] and name not in self._slimmed:
                execution.slim()
                self._slimmed.add(name)

    async def _make(self, name: RunName, job: Job, ended: Callable[[], None]) -> None:
        try:
            measured = partial(self.run_now, job)
            # Abandoned at the end of the daemon: a run has no effects, and can take long.
            found = await trio.to_thread.run_sync(measured, abandon_on_cancel=True, limiter=self._limiter)
            self._finished[name] = found
            self.seconds.append(found.seconds)
        finally:
            self._running.discard(name)
        ended()

    def run_now(self, job: Job) -> Finished:
        """Run a job in this thread; whatever goes wrong is a failure of this run, and no other one's."""
        begun = time.monotonic()
        try:
            execution = self._run(job, self._engine)
        except Exception as error:
            now, final = time.monotonic(), isinstance(error, ValueError)
            _log.exception("run failed", seconds=round(now - begun, 3))
            return Finished(None, now - begun, repr(error), None if final else now + RETRY_SECONDS)
        return Finished(execution, time.monotonic() - begun)
