"""The disputed computation as a party knows it: state roots at any step, any single step, and what proves it.

``Execution`` runs the machine. It keeps snapshots at the points of level 1 that differ, so that an answer to a choice
costs the interval, not the whole run; as many as there is room for (`bitvm.game.snapshots`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, Protocol

from bitvm.game.opening import (
    PathOpening,
    QuestionError,
    choices_of,
    entry_of,
    entry_opening,
    start_opening,
    step_opening,
)
from bitvm.game.snapshots import Snapshots
from bitvm.game.trace_list import interval_start
from bitvm.graph.parameters import Parameters
from bitvm.leaves.fields import ENTRIES, Kind
from lvm.boot import input_root
from lvm.elf import Image
from lvm.machine import Engine, Machine, StepRoots, new_machine, step_roots
from lvm.opening import BootOpening, open_boot, step_openings
from lvm.snapshot import Snapshot

ACCEPTED = (1, 0)
"""``halted`` and ``exit_code`` of a run that counts as accepted."""


class Computation(Protocol):
    """What a party's strategy asks."""

    @property
    def input_root(self) -> bytes:
        """Root of INPUT, 24 bytes."""
        ...

    @property
    def start_root(self) -> bytes:
        """Root of the state in which the run is booted, 24 bytes: the image, or the end of the claim before."""
        ...

    @property
    def final_root(self) -> bytes:
        """State root after all steps of the claim, 24 bytes."""
        ...

    @property
    def accepted(self) -> bool:
        """Whether the run halted by ECALL with exit code 0."""
        ...

    def points(self, level: int, start: int) -> tuple[bytes, ...]:
        """Return the k-1 interior state roots of ``level`` in the interval that begins at step ``start``."""
        ...

    def step(self, index: int) -> StepRoots:
        """Return step ``index`` with the roots around it."""
        ...

    def opening(self, kind: Kind, index: int) -> PathOpening:
        """Return what proves a statement about step ``index``; raises QuestionError where there is no such statement.

        LEFT and RIGHT are proved in this computation's own lists.
        """
        ...


class UnfinishedError(Exception):
    """A run that has not ended was asked for something; the message says why it has not."""


class Unfinished:
    """A computation whose run has not ended: whatever it is asked, it raises UnfinishedError."""

    def __init__(self, why: str) -> None:
        """Take what to say."""
        self._why = why

    @property
    def input_root(self) -> bytes:
        """See `Computation`."""
        self._refuse()

    @property
    def start_root(self) -> bytes:
        """See `Computation`."""
        self._refuse()

    @property
    def final_root(self) -> bytes:
        """See `Computation`."""
        self._refuse()

    @property
    def accepted(self) -> bool:
        """See `Computation`."""
        self._refuse()

    def points(self, level: int, start: int) -> tuple[bytes, ...]:
        """See `Computation`."""
        self._refuse(level, start)

    def step(self, index: int) -> StepRoots:
        """See `Computation`."""
        self._refuse(index)

    def opening(self, kind: Kind, index: int) -> PathOpening:
        """See `Computation`."""
        self._refuse(kind, index)

    def _refuse(self, *_: object) -> NoReturn:
        raise UnfinishedError(self._why)


class ForeignImageError(ValueError):
    """A program that is not the one the set-up is about: whoever ran it would claim, or accuse, falsely."""


Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""


class Execution:
    """The computation that the machine does: ``image`` booted on ``input_bytes``.

    ``previous`` is the run of the claim before, in whose final state this one boots: its memory persists. The first
    claim's run has none and boots in the image. Runs once when it is made, up to the last step of the claim or the
    halt. Raises ForeignImageError where image or entry point are not those of the parameters, and InputTooLargeError.
    """

    _idle: Machine | None = None

    def __init__(
        self,
        parameters: Parameters,
        image: Image,
        input_bytes: bytes,
        *,
        previous: Execution | None = None,
        engine: Engine = "auto",
        progress: Progress | None = None,
    ) -> None:
        """Run the program and keep level 1."""
        if image.root() != parameters.image_root:
            raise ForeignImageError(f"the set-up is about {parameters.image_root.hex()}, not {image.root().hex()}")
        if image.entry != parameters.entry:
            raise ForeignImageError(f"the set-up's runs begin at {parameters.entry:#x}, not at {image.entry:#x}")
        self.input_root = input_root(input_bytes)
        self._parameters, self._image, self._engine = parameters, image, engine
        if previous is not None:
            self._machine.restore(previous.final_state())
        self._boot: BootOpening = open_boot(self._machine, self.input_root, image.entry)
        self._machine.boot(image.entry, input_bytes)
        self._snapshots = Snapshots(parameters.interval(1), {0: self._machine.snapshot()})
        self._roots: dict[int, bytes] = {}
        self._run_on(0, progress)

    @property
    def start_root(self) -> bytes:
        """Root of the state in which the run is booted, 24 bytes."""
        return self._boot.before[-1]

    def points(self, level: int, start: int) -> tuple[bytes, ...]:
        """Return the k-1 interior state roots of ``level`` in the interval that begins at step ``start``."""
        interval = self._parameters.interval(level)
        wanted = [start + interval * i for i in range(1, self._parameters.width)]
        if any(point not in self._roots for point in wanted):
            machine = self._at(start)
            for point in wanted:
                self.advance(machine, point)
                self._roots[point] = machine.root()
        return tuple(self._roots[point] for point in wanted)

    def step(self, index: int) -> StepRoots:
        """Return step ``index`` with the roots around it."""
        return self.take_step(self._at(index))

    @property
    def pages(self) -> int:
        """How many pages `slim` would give up."""
        return self._snapshots.pages + (0 if self._idle is None else len(self._final.pages))

    def slim(self) -> None:
        """Give up what makes answers quick, for a run that is not likely to be asked: the next costs the whole run."""
        self._snapshots.drop()
        self._idle = None

    def final_state(self) -> Snapshot:
        """Return the state after all steps of the claim, in which the next claim's run boots."""
        return self._final

    def opening(self, kind: Kind, index: int) -> PathOpening:
        """Return what proves a statement about step ``index``; raises QuestionError where there is no such statement.

        Roots are those that Step states; a computation that lies there has a path that does not lead to them.
        """
        if kind is Kind.START and index:
            raise QuestionError("dismiss.start", f"step {index} does not follow from Boot")
        if kind in ENTRIES:
            return self._entry(kind, index)
        machine = self._at(index)
        saved = machine.snapshot()
        step = self.take_step(machine)
        if kind is Kind.START:
            return start_opening(self._boot, self.input_root, step.a)
        machine.restore(saved)
        return step_opening(kind, step, step_openings(machine, step.record))

    def _entry(self, kind: Kind, index: int) -> PathOpening:
        """Open the entry left or right of a step in the list that it is of."""
        width, levels = self._parameters.width, self._parameters.levels
        choices = choices_of(index, width, levels)
        level, place = entry_of(kind, choices, width)
        points = self.points(level, interval_start(choices[: level - 1], width, levels))
        step = self.step(index)
        return entry_opening(kind, level, place, points, step.a if kind is Kind.LEFT else step.b)

    @property
    def _machine(self) -> Machine:
        """The machine, in whatever state; another one after `slim`."""
        if self._idle is None:
            self._idle = new_machine(self._image, engine=self._engine)
        return self._idle

    # ---- what a hostile prover's computation changes

    def advance(self, machine: Machine, target: int) -> int:
        """Bring ``machine`` to step ``target``; return how many steps were executed."""
        return machine.run(target - machine.t)

    def take_step(self, machine: Machine) -> StepRoots:
        """Take one step and return it with its roots."""
        return step_roots(machine)

    def _run_on(self, first: int, progress: Progress | None) -> None:
        """Run from step ``first``, a point of level 1 at which the machine is, to the end of the claim."""
        interval, width = self._parameters.interval(1), self._parameters.width
        machine = self._machine
        self.executed = first
        """Steps until the halt, the halting one included."""
        for number in range(first // interval + 1, width + 1):
            running = not machine.halted
            self.executed += self.advance(machine, number * interval)
            if number < width:
                self._roots[number * interval] = machine.root()
                if running and self._snapshots.wants(number * interval):
                    self._snapshots.keep(number * interval, machine.snapshot())
            if progress is not None:
                progress(number * interval, self._parameters.steps)
        self.final_root = machine.root()
        self._final = machine.snapshot()
        self.halted, self.exit_code = machine.halted, machine.exit_code
        self.accepted = (self.halted, self.exit_code) == ACCEPTED

    def _at(self, index: int) -> Machine:
        """Return the machine at step ``index``, from the nearest snapshot before it.

        On the way a snapshot is taken where the interval begins, if there is none.
        """
        machine, point = self._machine, index - index % self._parameters.interval(1)
        machine.restore(self._snapshots.nearest(index)[1])
        if machine.t < point:
            self.advance(machine, point)
            self._snapshots.remember(point, machine.snapshot())
        self.advance(machine, index)
        return machine
