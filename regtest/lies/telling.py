"""Computations that are false at some steps, and whose every later step follows from the false state.

A *tell* takes the place of a step: it leaves the machine in the state that the prover goes on with, and returns what
the prover will say of the step if it is asked for it. Where the two do not fit together, that is the lie:

=============  =======================================================================================
says           the record is false, and the state after is the one it tells
misread        a word read is false; record and state after are those of a state that holds it
beside         the record is true, and the data word is not all that changes: M and B are false
stored         the record is true, but memory gets another data word: M and B are false
afterwards     the record and M are true, and the control words are not all that changes: B is false
elsewhere      the step is true, of another state than the one before
replaced       the step is true, and the next one is of another state than the one it ends in
unlike         the step is true, but M is said to be another root
=============  =======================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from bitvm.game.computation import Execution
from bitvm.game.opening import PathOpening
from bitvm.game.snapshots import Snapshots
from bitvm.leaves.fields import ENTRIES, Kind
from lvm.control import CONTROL_FIELDS
from lvm.hashing import leaf_hash
from lvm.isa import ECALL_WORD
from lvm.layout import CONTROL_BASE, LEAF_BYTES, WORD_BYTES, physical_word, register_address
from lvm.machine import Machine, StepRoots, step_roots
from lvm.opening import folded, open_leaf
from lvm.record import StepRecord
from lvm.tree import fold
from regtest.hostile import Lie, LieError, false_step
from regtest.worlds import DATA

UNUSED = DATA + 0x40
"""A word of memory, in a leaf of its own, that no program of `regtest.worlds` touches."""

Tell = Callable[[Machine], StepRoots]
"""Takes one step falsely (see the module)."""

Forge = Callable[[PathOpening], PathOpening]
"""Falsifies the path of a statement."""


def poke(machine: Machine, address: int, flip: int = 1) -> None:
    """Flip bits of the word at an address of the state."""
    machine.write_state_word(address, machine.read_word(address) ^ flip)


def _control_leaf(machine: Machine) -> bytes:
    words = (machine.read_word(CONTROL_BASE + offset) for offset in range(0, LEAF_BYTES, WORD_BYTES))
    return b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)


def _written_root(machine: Machine, control_leaf: bytes) -> bytes:
    """Return M: the state after the step with the control leaf before it."""
    return fold(leaf_hash(control_leaf), CONTROL_BASE // LEAF_BYTES, machine.siblings(CONTROL_BASE))


# ---- tells


def says(lie: Lie) -> Tell:
    """Tell an execution lie."""
    return lambda machine: false_step(machine, lie)


def address_read(record: StepRecord, read: str) -> int:
    """Return the byte address of what a step reads: instr, rs1, rs2, mem, or a control word by its name."""
    window = record.before.window
    match read:
        case "instr":
            return physical_word(window, record.pc)
        case "rs1":
            return register_address(10 if record.instr == ECALL_WORD else record.instr >> 15 & 31)
        case "rs2":
            return register_address(record.instr >> 20 & 31)
        case "mem":
            return physical_word(window, record.address)
    return CONTROL_BASE + WORD_BYTES * CONTROL_FIELDS.index(read)


def misread(read: str, flip: int = 1) -> Tell:
    """Take the step of a state in which the word ``read`` has other bits; then put the word back, unless written.

    A false control word is not put back: the step writes them all.
    """

    def tell(machine: Machine) -> StepRoots:
        before, saved = machine.root(), machine.snapshot()
        address = address_read(machine.step(), read)
        machine.restore(saved)
        control_leaf = _control_leaf(machine)
        word = machine.read_word(address)
        poke(machine, address, flip)
        record = machine.step()
        if record.write_address != address and read not in CONTROL_FIELDS:
            machine.write_state_word(address, word)
        return StepRoots(record, before, _written_root(machine, control_leaf), machine.root())

    return tell


def beside(address: int, flip: int = 1) -> Tell:
    """Change another word with the data word."""

    def tell(machine: Machine) -> StepRoots:
        before, control_leaf = machine.root(), _control_leaf(machine)
        record = machine.step()
        poke(machine, address, flip)
        return StepRoots(record, before, _written_root(machine, control_leaf), machine.root())

    return tell


def stored(machine: Machine) -> StepRoots:
    """Write another data word than the one that is said; raises LieError where none is written."""
    before, control_leaf = machine.root(), _control_leaf(machine)
    record = machine.step()
    if record.write_address is None:
        raise LieError(f"step {record.t} writes no data word")
    poke(machine, record.write_address)
    return StepRoots(record, before, _written_root(machine, control_leaf), machine.root())


def afterwards(address: int, flip: int = 1) -> Tell:
    """Change a word together with the control words; of these, too, one may be changed."""

    def tell(machine: Machine) -> StepRoots:
        step = step_roots(machine)
        poke(machine, address, flip)
        return replace(step, b=machine.root())

    return tell


def elsewhere(address: int, flip: int = 1) -> Tell:
    """Take the step of another state than the one before: A is false."""

    def tell(machine: Machine) -> StepRoots:
        poke(machine, address, flip)
        return step_roots(machine)

    return tell


def and_then(tell: Tell, address: int) -> Tell:
    """Go on with another state than the one that ``tell`` ends in."""

    def told(machine: Machine) -> StepRoots:
        step = tell(machine)
        poke(machine, address)
        return step

    return told


def replaced(address: int) -> Tell:
    """Go on with another state than the one the step ends in."""
    return and_then(step_roots, address)


def unlike(tell: Tell, root: bytes) -> Tell:
    """Say that M is ``root``, whatever ``tell`` says."""
    return lambda machine: replace(tell(machine), m=root)


# ---- the computation


@dataclass(frozen=True)
class Story:
    """What a prover lies about.

    tells: by step. start: what is changed in the first state. forged: how paths are falsified, by kind. shown: kinds of
    updates whose leaf after is shown as the prover's state has it, not as the record says.
    """

    tells: Mapping[int, Tell]
    start: Callable[[Machine], None] | None = None
    forged: Mapping[Kind, Forge] | None = None
    shown: frozenset[Kind] = frozenset()


class Lying(Execution):
    """The computation of a prover that tells a story; up to the first lie it is ``true``."""

    def __init__(self, true: Execution, story: Story) -> None:
        """Run on from the first false state."""
        self._story = story
        self.input_root = true.input_root
        self._parameters, self._image, self._engine = true._parameters, true._image, true._engine
        self._boot = true._boot
        first = 0 if story.start is not None else min(story.tells)
        self._snapshots = true._snapshots.copy_until(first)
        nearest, state = self._snapshots.nearest(first)
        self._machine.restore(state)
        if story.start is not None:
            story.start(self._machine)
            self._snapshots = Snapshots(self._parameters.interval(1), {0: self._machine.snapshot()})
        self._roots = {at: root for at, root in true._roots.items() if 0 < at <= first}
        self._run_on(nearest, None)
        self.accepted = True  # a liar claims whatever the run ended in

    def advance(self, machine: Machine, target: int) -> int:
        """Bring ``machine`` to step ``target``, past the lies on the way."""
        executed = 0
        for step in sorted(self._story.tells):
            if machine.t <= step < target:
                executed += super().advance(machine, step) + 1
                self.take_step(machine)
        return executed + super().advance(machine, target)

    def take_step(self, machine: Machine) -> StepRoots:
        """Take one step, a false one where it is due."""
        tell = self._story.tells.get(machine.t)
        return super().take_step(machine) if tell is None else tell(machine)

    def opening(self, kind: Kind, index: int) -> PathOpening:
        """Return the path of a statement as the story has it."""
        opening = super().opening(kind, index)
        if kind in self._story.shown:
            opening = self._as_in_state(opening, index)
        forge = (self._story.forged or {}).get(kind)
        return opening if forge is None else forge(opening)

    def _as_in_state(self, opening: PathOpening, index: int) -> PathOpening:
        """Show the leaf after an update as it is in the state that the prover goes on with."""
        machine = self._at(index)
        control = open_leaf(machine, CONTROL_BASE)
        self.take_step(machine)
        after = open_leaf(machine, opening.place * LEAF_BYTES)
        if opening.kind is Kind.DATA:
            control_after = open_leaf(machine, CONTROL_BASE).with_leaf(control.leaf)
            after = after.in_state_of(control_after)
        return replace(opening, after=(*after.nodes[:-1], opening.after[-1]), after_words=after.words)


# ---- false paths


def other_node(node: bytes) -> bytes:
    """Return a node that differs in one bit."""
    return bytes([node[0] ^ 1]) + node[1:]


def false_below(height: int, word: int | None = None, flip: int = 1) -> Forge:
    """Make the nodes before false below a height, so that the hash breaks just under it.

    They follow from a false leaf where ``word`` is given, else from a false lowest node; that of an entry's path stays,
    for Step has said it. The lowest height leaves all nodes true.
    """

    def forge(opening: PathOpening) -> PathOpening:
        cut, words = height - opening.lowest, opening.words
        lowest = opening.before[0] if opening.kind in ENTRIES else other_node(opening.before[0])
        if word is not None:
            words = (*words[:word], words[word] ^ flip, *words[word + 1 :])
            lowest = leaf_hash(b"".join(each.to_bytes(WORD_BYTES, "little") for each in words))
        false = folded(lowest, opening.place, opening.siblings)
        return replace(opening, before=(*false[:cut], *opening.before[cut:]), words=words)

    return forge


def false_above(height: int) -> Forge:
    """Make the nodes after false above a height, so that the hash breaks just over it; the top stays as Step says."""

    def forge(opening: PathOpening) -> PathOpening:
        cut = height + 1 - opening.lowest
        return replace(
            opening, after=(*opening.after[:cut], *map(other_node, opening.after[cut:-1]), opening.after[-1])
        )

    return forge
