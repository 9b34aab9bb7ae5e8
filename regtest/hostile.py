"""Dishonest parties: provers whose computation goes wrong at one step, and challengers who accuse without cause.

A lying prover plays the honest strategy on a dishonest computation: up to step s the machine runs as it should, step s
ends in another state, and from there the machine runs honestly on. So everything it says fits together but for one
step, which is the best a liar can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bitvm.game import challenger as honest_challenger
from bitvm.game.computation import Computation, Execution
from bitvm.game.moves import Decision, Move, SayChoice, Wait
from bitvm.game.position import Position
from bitvm.graph.claim import connector
from bitvm.graph.setting import game_name
from lvm.hashing import leaf_hash
from lvm.layout import CONTROL_BASE, LEAF_BYTES, physical_word
from lvm.machine import Machine, StepRoots
from lvm.outcome import Outcome
from lvm.record import StepRecord
from lvm.tree import fold

STORE = 0x23
"""Opcode of the stores."""

SEARCHED = 1_000
"""Steps that are looked at for one that allows a lie."""


class LieError(ValueError):
    """A lie that cannot be told at this step, or is not known."""


@dataclass(frozen=True, slots=True)
class Lie:
    """One way to falsify a step.

    says: what the prover claims instead of the true record, None where this lie is not possible at that step. The
    state after follows from the false record.
    """

    name: str
    meaning: str
    says: Callable[[StepRecord], StepRecord | None]


def _written(record: StepRecord) -> StepRecord | None:
    return replace(record, written=record.written ^ 1) if record.write_address is not None else None


def _address(record: StepRecord) -> StepRecord | None:
    if record.outcome is not Outcome.RETIRE or record.instr & 0x7F != STORE:
        return None
    return replace(record, address=record.address ^ 4)


def _outcome(record: StepRecord) -> StepRecord | None:
    if record.outcome is not Outcome.RETIRE:
        return None
    halted = replace(record.before, halted=2, exit_code=2)
    return replace(record, outcome=Outcome.ILLEGAL, written=0, address=0, after=halted)


def _control(**change: Callable[[int], int]) -> Callable[[StepRecord], StepRecord | None]:
    def says(record: StepRecord) -> StepRecord | None:
        words = {name: f(getattr(record.after, name)) for name, f in change.items()}
        return replace(record, after=replace(record.after, **words))

    return says


LIES: Mapping[str, Lie] = {
    lie.name: lie
    for lie in (
        Lie("written", "another value is written", _written),
        Lie("next_pc", "execution goes on elsewhere", _control(pc=lambda pc: pc ^ 4)),
        Lie("address", "a store goes to another address", _address),
        Lie("outcome", "a legal instruction is called illegal", _outcome),
        Lie("halt", "the machine has halted, accepted", _control(halted=lambda _: 1, exit_code=lambda _: 0)),
        Lie("exit_code", "the exit code changes", _control(exit_code=lambda code: code ^ 1)),
        Lie("fuel", "fuel changes", _control(fuel=lambda fuel: fuel ^ 1)),
        Lie("window", "the machine is said to be in user mode", _control(window=lambda window: window ^ 0x100000)),
    )
}
"""Execution lies by name; each is caught by an execution leaf."""


class LyingExecution(Execution):
    """The computation of a prover that lies at one step; up to there it is ``true``, whose snapshots it takes over."""

    def __init__(self, true: Execution, lie: Lie, step: int) -> None:
        """Run on from the lie told at ``step``."""
        self._lie, self._step = lie, step
        self.input_root = true.input_root
        self._parameters, self._image, self._engine = true._parameters, true._image, true._engine
        self._boot = true._boot
        self._snapshots = true._snapshots.copy_until(step)
        start, state = self._snapshots.nearest(step)
        self._roots = {at: root for at, root in true._roots.items() if at <= step}
        self._machine.restore(state)
        self._run_on(start, None)
        self.accepted = True  # a liar claims whatever the run ended in

    def advance(self, machine: Machine, target: int) -> int:
        """Bring ``machine`` to step ``target``, past the lie where it lies on the way."""
        if not machine.t <= self._step < target:
            return super().advance(machine, target)
        executed = super().advance(machine, self._step)
        self.take_step(machine)
        return executed + 1 + super().advance(machine, target)

    def take_step(self, machine: Machine) -> StepRoots:
        """Take one step, the false one where it is due."""
        if machine.t != self._step:
            return super().take_step(machine)
        return false_step(machine, self._lie)


def false_step(machine: Machine, lie: Lie) -> StepRoots:
    """Take one step as the lie has it; raises LieError where it is not possible."""
    before = machine.root()
    snapshot = machine.snapshot()
    true = machine.step()
    false = lie.says(true)
    if false is None:
        raise LieError(f"{lie.name}: not possible at step {true.t}, instruction {true.instr:#010x}")
    machine.restore(snapshot)
    target = false.write_address
    if target is not None:
        if false.address != true.address:
            false = replace(false, mem=machine.read_word(physical_word(false.before.window, false.address)))
        machine.write_state_word(target, false.written)
    control_leaf = b"".join(
        machine.read_word(CONTROL_BASE + offset).to_bytes(4, "little") for offset in range(0, LEAF_BYTES, 4)
    )
    for position, word in enumerate(false.after.to_words()):
        machine.write_state_word(CONTROL_BASE + 4 * position, word)
    machine.t = true.t + 1
    after = machine.root()
    written = fold(leaf_hash(control_leaf), CONTROL_BASE // LEAF_BYTES, machine.siblings(CONTROL_BASE))
    return StepRoots(false, before, written, after)


def tell(true: Execution, lie: Lie, wanted: int | None) -> tuple[LyingExecution, int]:
    """Return a computation in which the lie is told and the step at which: ``wanted``, or one that is found.

    A lie can heal: the false value is overwritten before anything depends on it, and the run ends in the true state.
    Then the claim is true. Without ``wanted``, later and later places are tried until the final state is false.

    Raises LieError where the lie is not possible at ``wanted`` or heals, or where none of the places will do.
    """
    if wanted is not None:
        if not 0 <= wanted < true.executed:
            raise LieError(f"{lie.name}@{wanted}: the run has the steps 0 to {true.executed - 1}")
        if lie.says(true.step(wanted).record) is None:
            raise LieError(f"{lie.name}@{wanted}: not possible at that step; leave the step out to have one found")
        lying = LyingExecution(true, lie, wanted)
        if lying.final_root == true.final_root:
            raise LieError(f"{lie.name}@{wanted}: the run ends in the true state all the same; take another step")
        return lying, wanted
    left = true.executed
    while left:
        left //= 2
        for step in range(true.executed - left, min(true.executed - left + SEARCHED, true.executed)):
            if lie.says(true.step(step).record) is not None:
                lying = LyingExecution(true, lie, step)
                if lying.final_root != true.final_root:
                    return lying, step
                break
    raise LieError(f"{lie.name}: no step was found at which this lie changes the end of the run")


def accuse(position: Position, computation: Computation, number: int, step: int) -> Mapping[str, Decision]:
    """Decide as a challenger that disputes a true claim, pointing at ``step``."""
    parameters, main = position.graph.setting.parameters, str(number)
    if not position.has("Claim"):
        return {main: Wait("there is no claim")}
    if not position.has(game_name(number, "Challenge")):
        if position.spent_by("Claim", connector(number)) is not None:
            return {main: Wait("the prover took its bond back", over=True)}
        return {main: Move(game_name(number, "Challenge"), "accuse the prover without cause")}
    decisions = dict(honest_challenger.decide(position, computation, number))
    decision = decisions[main]
    if isinstance(decision, Move) and isinstance(decision.statement, SayChoice):
        level = int(decision.template.rpartition("_")[2])
        choice = step // parameters.interval(level) % parameters.width
        decisions[main] = Move(decision.template, f"dispute step {step} without cause", SayChoice(choice))
    return decisions
