"""The fast machine: the interface of `lvm.machine.Machine` over the kernels of `lvm.engine`.

Guarantee: whatever the program, every method gives what the specification interpreter gives, step counts and roots
included. Importing this module raises ImportError where Numba is missing or the host is big-endian (the kernels look
at memory as bytes); `lvm.machine.new_machine` then falls back to the specification interpreter.

The 1 GiB of state is a private anonymous mapping: the system commits a page of 4096 bytes when it is first written.
So are the decoded instructions (2 GiB) and the marks of leaves (80 MiB). A new machine costs less than a millisecond
and a few hundred KiB; a page that a program has written costs 4.3 KiB, and about 6 KiB more once its leaves are in the
tree. Copies for snapshots are made page by page, and only of pages that changed since the last snapshot.
"""

from __future__ import annotations

import mmap
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from lvm import engine, isa
from lvm.boot import encode_input
from lvm.control import CONTROL_WORDS, EXIT_ADDRESS, HALTED_ADDRESS, PC_ADDRESS, Control
from lvm.layout import (
    CONTROL_BASE,
    CPU_END,
    INPUT_BASE,
    LEAF_BYTES,
    LEAF_COUNT,
    PAGE_BYTES,
    PAGE_LEAVES,
    PAGE_WORDS,
    REGISTERS_BASE,
    STATE_BYTES,
    STATE_WORD_MASK,
    WORD_BYTES,
    WORD_MASK,
)
from lvm.machine import EngineUnavailableError
from lvm.memory import AddressError, check_word_address
from lvm.native import Runner
from lvm.outcome import Outcome
from lvm.record import StepRecord
from lvm.snapshot import Snapshot
from lvm.tree import BATCH_MAXIMUM, Bytes2D, StateTree

if TYPE_CHECKING:
    from lvm.elf import Image

if sys.byteorder != "little":
    raise ImportError("the fast engine needs a little-endian host")

SLICE_STEPS: Final = 1 << 28
"""Steps in one go, a second at most: in between Python sees signals."""

_STATE_WORDS = STATE_BYTES // WORD_BYTES
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)
_MEMORY_OUTCOMES = frozenset(
    {Outcome.LOAD_MISALIGNED, Outcome.LOAD_FAULT, Outcome.STORE_MISALIGNED, Outcome.STORE_FAULT, Outcome.RETIRE}
)


class KernelHasher:
    """Batches of tree hashes by the engine's kernels; see `lvm.tree.BatchHasher`."""

    def hash_leaves(self, leaves: Bytes2D) -> Bytes2D:
        """(n, 64) bytes, C-contiguous -> (n, 24)."""
        return engine.hash_blocks(leaves.view(np.uint32)).view(np.uint8)

    def hash_nodes(self, pairs: Bytes2D) -> Bytes2D:
        """(n, 48) bytes, left || right, C-contiguous -> (n, 24)."""
        return engine.hash_blocks(pairs.view(np.uint32)).view(np.uint8)


def _lazy_memory(size: int) -> mmap.mmap:
    """Map `size` zero bytes of which only touched pages take memory. Raises EngineUnavailableError."""
    try:
        if sys.platform == "win32":
            return mmap.mmap(-1, size)
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    except OSError as error:
        raise EngineUnavailableError(
            f"the fast engine cannot reserve {size >> 20} MiB of address space ({error}); "
            "raise the limit (ulimit -v, vm.overcommit_memory) or use the engine `spec`"
        ) from error
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
    return mapping


class FastMachine:
    """The machine by its compiled engine; see `lvm.machine.Machine` for the interface."""

    def __init__(self, image: Image) -> None:
        """Load the image; INPUT and CPU are zero until `boot`."""
        self.t = 0
        state = _lazy_memory(STATE_BYTES)
        self._bytes = memoryview(state)
        self._words = self._bytes.cast("I")
        self._arrays = engine.Arrays(
            memory=np.frombuffer(state, np.uint32),
            code=np.frombuffer(_lazy_memory(8 * _STATE_WORDS), np.uint64),
            flags=np.frombuffer(_lazy_memory(LEAF_COUNT), np.uint8),
            dirty=np.frombuffer(_lazy_memory(4 * LEAF_COUNT), np.uint32),
            cursor=np.zeros(engine.CURSOR_WORDS, np.uint64),
        )
        self._cursor = self._arrays.cursor
        self._runner = Runner(self._arrays)
        self._tree = StateTree(KernelHasher())
        self._pages: dict[int, memoryview] = {}
        """Pages as the last snapshot, made or restored, has them; absent pages are zero there."""
        self._changed: set[int] = set()
        """Pages that may differ from that, apart from those of the leaves that are dirty now."""
        for segment in image.segments:
            self._load(segment.address, segment.data)

    # -- steps ---------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> int:
        """Advance t by exactly `steps`; return how many were executed, the halting one included."""
        if steps < 0:
            raise ValueError(f"cannot run {steps} steps")
        executed = 0
        while executed < steps and not self.halted:
            taken = self._runner.run(min(steps - executed, SLICE_STEPS))
            executed += taken
            self.t += taken
        self.t += steps - executed
        return executed

    def step(self) -> StepRecord:
        """Take one step and return its record."""
        t, before, words = self.t, self.control(), self._words
        window = before.window
        instr = self._read(window | before.pc)
        rs1 = words[_register_word(10 if instr == isa.ECALL_WORD else instr >> 15 & 31)]
        rs2 = words[_register_word(instr >> 20 & 31)]
        address = _access_address(instr, rs1)
        mem, first = self._read(window | address), self._read(window)
        outcome = Outcome.HALTED
        self.t += 1
        if not before.halted:
            engine.run(*self._arrays, 1)
            outcome = Outcome(int(self._cursor[engine.LAST_OUTCOME]))
        if outcome not in _MEMORY_OUTCOMES:
            address, mem = 0, first
        record = StepRecord(t, outcome, before, self.control(), instr, rs1, rs2, address, mem, 0)
        target = record.write_address
        return record if target is None else replace(record, written=self._read(target))

    # -- the state -----------------------------------------------------------------------------------------------

    @property
    def halted(self) -> int:
        """0 running, 1 halted by ECALL, 2 halted by a fault."""
        return self._words[HALTED_ADDRESS // WORD_BYTES]

    @property
    def exit_code(self) -> int:
        """a0 at the ECALL, or the cause of the fault."""
        return self._words[EXIT_ADDRESS // WORD_BYTES]

    def control(self) -> Control:
        """Return the control words."""
        first = CONTROL_BASE // WORD_BYTES
        return Control.from_words(self._words[first : first + CONTROL_WORDS].tolist())

    def register(self, index: int) -> int:
        """Return register `x<index>`; raises AddressError for another index than 0..31."""
        if not 0 <= index < 32:
            raise AddressError(f"no register x{index}")
        return self._words[_register_word(index)]

    def read_word(self, address: int) -> int:
        """Return any word of the state."""
        check_word_address(address)
        return self._read(address)

    def _read(self, address: int) -> int:
        """Reads are total: any 32-bit value is taken to a word of the state."""
        return self._words[(address & STATE_WORD_MASK) // WORD_BYTES]

    def write_state_word(self, address: int, value: int) -> None:
        """Set any word of the state, past all rules."""
        check_word_address(address)
        self._load(address, (value & WORD_MASK).to_bytes(WORD_BYTES, "little"))

    def _load(self, address: int, data: bytes) -> None:
        """Write bytes from any byte address on."""
        end = address + len(data)
        if end > STATE_BYTES:
            raise AddressError(f"{len(data)} bytes at {address:#x} do not fit below {STATE_BYTES:#x}")
        self._bytes[address:end] = data
        self._touch(address // LEAF_BYTES, -(-end // LEAF_BYTES))

    def _touch(self, first_leaf: int, end_leaf: int) -> None:
        engine.touch_leaves(first_leaf, end_leaf, *self._arrays[1:])

    def boot(self, entry: int, input_bytes: bytes) -> None:
        """Apply Boot() to the state as it stands and set t = 0."""
        content = encode_input(input_bytes)
        for page in self._pages.keys() | self._changed | self._dirty_pages():
            if INPUT_BASE <= page * PAGE_BYTES < CPU_END:
                self._load(page * PAGE_BYTES, bytes(PAGE_BYTES))
        self._load(INPUT_BASE, content)
        self.write_state_word(PC_ADDRESS, entry)
        self.t = 0

    # -- the tree ------------------------------------------------------------------------------------------------

    def root(self) -> bytes:
        """Return the state root, 24 bytes, brought up to date from the leaves that changed."""
        self._update_tree()
        return self._tree.root

    def siblings(self, address: int) -> tuple[bytes, ...]:
        """Return the Merkle path of the leaf that holds `address`."""
        check_word_address(address)
        self._update_tree()
        return self._tree.siblings(address // LEAF_BYTES)

    def _dirty_leaves(self) -> npt.NDArray[np.uint32]:
        return self._arrays.dirty[: int(self._cursor[engine.DIRTY_COUNT])]

    def _dirty_pages(self) -> set[int]:
        return set(np.unique(self._dirty_leaves() // PAGE_LEAVES).tolist())

    def _update_tree(self) -> None:
        leaves = np.sort(self._dirty_leaves()).astype(np.int64)
        if not leaves.size:
            return
        rows = self._arrays.memory.view(np.uint8).reshape(LEAF_COUNT, LEAF_BYTES)
        for start in range(0, leaves.size, BATCH_MAXIMUM):
            batch = leaves[start : start + BATCH_MAXIMUM]
            self._tree.update(batch, rows[batch])
        self._changed |= self._dirty_pages()
        self._arrays.flags[leaves] &= ~np.uint8(engine.DIRTY)
        self._cursor[engine.DIRTY_COUNT] = 0

    # -- snapshots -----------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Save the state: copies the pages that changed since the last snapshot and shares all others with it."""
        self._update_tree()
        pages = dict(self._pages)
        for page in self._changed:
            start = page * PAGE_BYTES
            pages[page] = memoryview(bytes(self._bytes[start : start + PAGE_BYTES])).cast("I")
        self._pages = pages
        self._changed.clear()
        return Snapshot(self.t, pages, self._tree.snapshot(), frozenset())

    def restore(self, snapshot: Snapshot) -> None:
        """Go back (or forward) to a snapshot, made by this machine or by any other; writes only pages that differ."""
        self._update_tree()
        wanted = snapshot.pages
        for page in self._pages.keys() | self._changed | wanted.keys():
            source = wanted.get(page)
            if page in self._changed or self._pages.get(page) is not source:
                words = bytes(PAGE_BYTES) if source is None else source
                self._words[page * PAGE_WORDS : (page + 1) * PAGE_WORDS] = memoryview(words).cast("B").cast("I")
                first = page * PAGE_LEAVES
                engine.forget_code(first, first + PAGE_LEAVES, self._arrays.code, self._arrays.flags, self._cursor)
        self._pages = dict(wanted)
        self._changed.clear()
        self._tree.restore(snapshot.tree)
        for leaf in snapshot.dirty:
            self._touch(leaf, leaf + 1)
        self.t = snapshot.t


def _register_word(index: int) -> int:
    return REGISTERS_BASE // WORD_BYTES + index


def _access_address(instr: int, rs1: int) -> int:
    """Return the address a load or store of this word would use, in any state; 0 for other opcodes."""
    opcode = instr & 0x7F
    if opcode == isa.LOAD:
        offset = instr >> 20
    elif opcode == isa.STORE:
        offset = instr >> 25 << 5 | instr >> 7 & 31
    else:
        return 0
    return rs1 + isa.sign_extend(offset, 12) & WORD_MASK
