"""Openings: what proves a leaf of the state, a step's reads and writes, and a boot, as pure data.

An opening is a leaf (64 bytes, little-endian words) with the 24 siblings on its way to the root, heights 0..23. Whoever
changes the leaf and folds the same siblings gets the root of the state in which this leaf alone was changed: so one
list of siblings proves both roots of an update. A step makes two updates, A -> M of the data word and M -> B of the
control leaf; Boot makes one, of the node at height 17.

Hashes have 24 bytes. Heights count from the leaves (0) to the root (24).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lvm.boot import BOOT_HEIGHT, BOOT_NODE, cpu_root
from lvm.control import Control
from lvm.hashing import leaf_hash, node_hash
from lvm.isa import ECALL_WORD
from lvm.layout import (
    CONTROL_BASE,
    CPU_BASE,
    INPUT_BASE,
    LEAF_BYTES,
    RANGE_HEIGHT,
    REGISTERS_BASE,
    WORD_BYTES,
    physical_word,
    register_address,
)
from lvm.machine import Machine
from lvm.record import StepRecord


def folded(node: bytes, index: int, siblings: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the path from ``node``, number ``index`` of its height, upwards: one node more than there are siblings."""
    nodes = [node]
    for height, sibling in enumerate(siblings):
        right_child = index >> height & 1
        nodes.append(node_hash(sibling, nodes[-1]) if right_child else node_hash(nodes[-1], sibling))
    return tuple(nodes)


@dataclass(frozen=True)
class Opening:
    """A leaf in one state.

    place: its index, 0..2^24 - 1. leaf: its 64 bytes. siblings: 24 hashes, heights 0..23.
    """

    place: int
    leaf: bytes
    siblings: tuple[bytes, ...]

    @cached_property
    def nodes(self) -> tuple[bytes, ...]:
        """The 25 nodes on the way from the leaf's hash (height 0) to the root (height 24)."""
        return folded(leaf_hash(self.leaf), self.place, self.siblings)

    def node(self, height: int) -> bytes:
        """Return the node of the path at ``height``, 0..24."""
        return self.nodes[height]

    @property
    def root(self) -> bytes:
        """Root of the state."""
        return self.nodes[-1]

    @property
    def words(self) -> tuple[int, ...]:
        """The leaf's 16 words, unsigned."""
        cuts = range(0, LEAF_BYTES, WORD_BYTES)
        return tuple(int.from_bytes(self.leaf[cut : cut + WORD_BYTES], "little") for cut in cuts)

    def with_leaf(self, leaf: bytes) -> Opening:
        """Return the opening in the state that differs in this leaf alone; raises ValueError unless it has 64 bytes."""
        if len(leaf) != LEAF_BYTES:
            raise ValueError(f"a leaf has {LEAF_BYTES} bytes, got {len(leaf)}")
        return replace(self, leaf=leaf)

    def with_word(self, address: int, word: int) -> Opening:
        """Return the opening in the state that differs in the word at a byte address within this leaf alone.

        Raises ValueError where the address lies in another leaf.
        """
        place, offset = divmod(address, LEAF_BYTES)
        if place != self.place:
            raise ValueError(f"{address:#x} lies in leaf {place:#x}, not in {self.place:#x}")
        cut = self.leaf[:offset], word.to_bytes(WORD_BYTES, "little"), self.leaf[offset + WORD_BYTES :]
        return self.with_leaf(b"".join(cut))

    def in_state_of(self, changed: Opening) -> Opening:
        """Return the opening of this leaf in the state of ``changed``, which differs in that leaf alone."""
        if changed.place == self.place:
            return changed
        meeting = (self.place ^ changed.place).bit_length() - 1
        siblings = (*self.siblings[:meeting], changed.node(meeting), *self.siblings[meeting + 1 :])
        return replace(self, siblings=siblings)


def open_leaf(machine: Machine, address: int) -> Opening:
    """Return the opening of the leaf that holds the word at ``address``, a byte address. Raises AddressError."""
    first = address // LEAF_BYTES * LEAF_BYTES
    words = (machine.read_word(first + offset) for offset in range(0, LEAF_BYTES, WORD_BYTES))
    leaf = b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)
    return Opening(first // LEAF_BYTES, leaf, machine.siblings(address))


@dataclass(frozen=True, slots=True)
class Update:
    """A leaf before and after it alone was changed; both openings have the same place and siblings."""

    before: Opening
    after: Opening


@dataclass(frozen=True, slots=True)
class StepOpenings:
    """All that proves one step: five reads in state A, and the updates A -> M and M -> B.

    A step that writes no data word has M = A: ``data`` is then, by convention, the leaf of x0, unchanged.
    """

    control: Opening
    instr: Opening
    rs1: Opening
    rs2: Opening
    mem: Opening
    data: Update
    state: Update


def step_openings(machine: Machine, record: StepRecord) -> StepOpenings:
    """Return the openings of a step, the machine being in the state before it; the machine stays as it is.

    Where things are read and written follows from the record alone, even if it is no true record of this state: then
    the leaves before are those of the state, and the updates are those that the record tells.
    """
    control = open_leaf(machine, CONTROL_BASE)
    window, written_to = record.before.window, record.write_address
    data = open_leaf(machine, REGISTERS_BASE if written_to is None else written_to)
    data_after = data if written_to is None else data.with_word(written_to, record.written)
    state = control.in_state_of(data_after)
    return StepOpenings(
        control=control,
        instr=open_leaf(machine, physical_word(window, record.pc)),
        rs1=open_leaf(machine, register_address(10 if record.instr == ECALL_WORD else record.instr >> 15 & 31)),
        rs2=open_leaf(machine, register_address(record.instr >> 20 & 31)),
        mem=open_leaf(machine, physical_word(window, record.address)),
        data=Update(data, data_after),
        state=Update(state, state.with_leaf(_control_leaf(record.after, state.leaf))),
    )


def _control_leaf(control: Control, before: bytes) -> bytes:
    """Return the control leaf with new control words; what stands behind them stays."""
    words = control.to_bytes()
    return words + before[len(words) :]


@dataclass(frozen=True)
class BootOpening:
    """The update that Boot is: node `BOOT_NODE` at height 17, a right child all the way up.

    replaced, replacement: that node in the state before and in the run's first state. siblings: 7 hashes, heights
    17..23, the same in both.
    """

    replaced: bytes
    replacement: bytes
    siblings: tuple[bytes, ...]

    @cached_property
    def before(self) -> tuple[bytes, ...]:
        """The 8 nodes from height 17 to prev_root (height 24)."""
        return folded(self.replaced, BOOT_NODE, self.siblings)

    @cached_property
    def after(self) -> tuple[bytes, ...]:
        """The 8 nodes from height 17 to Boot(prev_root, input_root)."""
        return folded(self.replacement, BOOT_NODE, self.siblings)


def open_boot(machine: Machine, input_root: bytes, entry: int) -> BootOpening:
    """Return what booting the machine on an input (24-byte root of INPUT) does to its state as it stands now."""
    beside_input, beside_cpu = machine.siblings(INPUT_BASE), machine.siblings(CPU_BASE)
    replaced = node_hash(beside_cpu[RANGE_HEIGHT], beside_input[RANGE_HEIGHT])
    return BootOpening(replaced, node_hash(input_root, cpu_root(entry)), beside_input[BOOT_HEIGHT:])
