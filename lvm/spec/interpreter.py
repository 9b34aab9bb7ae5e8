"""The specification interpreter: the machine's `step`, its rules in their order.

It is the reference for the fast engine and for the leaves that judge a step, and it is the engine where Numba is
missing. Registers and control words are read from and written to the state's words; nothing is cached beside them.
The mode is part of the state: user mode where the control word `window` is not 0, else kernel mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvm.boot import encode_input
from lvm.control import (
    CONTROL_FIELDS,
    EXIT_ADDRESS,
    FUEL_ADDRESS,
    HALTED_ADDRESS,
    PC_ADDRESS,
    WINDOW_ADDRESS,
    Control,
)
from lvm.isa import ECALL_WORD, PRIVILEGED, IllegalInstruction, decode
from lvm.layout import (
    CONTROL_BASE,
    CPU_END,
    FETCH_END,
    INPUT_BASE,
    LEAF_BYTES,
    REGISTERS_BASE,
    WORD_BYTES,
    physical_word,
    register_address,
)
from lvm.memory import AddressError, check_word_address
from lvm.outcome import Outcome
from lvm.record import StepRecord
from lvm.snapshot import Snapshot
from lvm.spec import system
from lvm.spec.effect import Effect
from lvm.spec.execute import EXECUTE, Operands, may_access
from lvm.spec.word import u32
from lvm.tree import StateTree

if TYPE_CHECKING:
    from lvm.elf import Image

A0 = register_address(10)


class SpecMachine:
    """The machine by its specification; see `lvm.machine.Machine` for the interface."""

    def __init__(self, image: Image) -> None:
        """Load the image; INPUT and CPU are zero until `boot`."""
        self.t = 0
        self._memory = image.memory()
        self._tree = StateTree()

    # -- one step ------------------------------------------------------------------------------------------------

    def _effect(self) -> Effect:
        """Find what the next step does: the rules in order, the first that applies decides."""
        memory = self._memory
        pc, window = memory.read_word(PC_ADDRESS), memory.read_word(WINDOW_ADDRESS)
        if memory.read_word(HALTED_ADDRESS):
            return Effect(pc, outcome=Outcome.HALTED)
        if window and memory.read_word(FUEL_ADDRESS) == 0:
            return Effect(pc, outcome=Outcome.FUEL)
        if pc & 3:
            return Effect(pc, outcome=Outcome.PC_MISALIGNED)
        if not may_access(window, pc, FETCH_END):
            return Effect(pc, outcome=Outcome.FETCH_FAULT)
        try:
            instruction = decode(memory.read_word(physical_word(window, pc)))
        except IllegalInstruction:
            return Effect(pc, outcome=Outcome.ILLEGAL)
        if window and instruction.name in PRIVILEGED:
            return Effect(pc, outcome=Outcome.ILLEGAL)
        rs1 = memory.read_word(REGISTERS_BASE + 4 * instruction.rs1)
        rs2 = memory.read_word(REGISTERS_BASE + 4 * instruction.rs2)
        return EXECUTE[instruction.name](Operands(instruction, pc, rs1, rs2, memory, window))

    def _apply(self, effect: Effect) -> None:
        """Write the data word, if there is one, then the control leaf, if it changes."""
        if effect.outcome is not Outcome.HALTED:
            if effect.write_address is not None:
                self._memory.write_word(effect.write_address, effect.written)
            for address, word in self._control_words(effect).items():
                self._memory.write_word(address, word)
        self.t += 1

    def _control_words(self, effect: Effect) -> dict[int, int]:
        """Return the control words that the step writes, by address. In user mode every step that has fuel uses 1."""
        read, outcome = self._memory.read_word, effect.outcome
        window = read(WINDOW_ADDRESS)
        words = {}
        if window and outcome is not Outcome.FUEL:
            words[FUEL_ADDRESS] = read(FUEL_ADDRESS) - 1
        if outcome is Outcome.RETIRE:
            words[PC_ADDRESS] = effect.next_pc
            words.update([effect.control] if effect.control else [])
        elif window:
            words.update(system.trap(outcome, read(PC_ADDRESS)))
        else:
            words.update(system.halt(outcome, read(A0)))
        return words

    def step(self) -> StepRecord:
        """Take one step and return its record."""
        read = self._memory.read_word
        before = self.control()
        effect = self._effect()
        instr = read(physical_word(before.window, before.pc))
        rs1 = 10 if instr == ECALL_WORD else instr >> 15 & 31
        operands = read(register_address(rs1)), read(register_address(instr >> 20 & 31))
        mem = read(physical_word(before.window, effect.address))
        t = self.t
        self._apply(effect)
        return StepRecord(
            t=t,
            outcome=effect.outcome,
            before=before,
            after=self.control(),
            instr=instr,
            rs1=operands[0],
            rs2=operands[1],
            address=effect.address,
            mem=mem,
            written=effect.written,
        )

    def run(self, steps: int) -> int:
        """Advance t by exactly `steps`; return how many were executed, the halting one included."""
        if steps < 0:
            raise ValueError(f"cannot run {steps} steps")
        for executed in range(steps):
            effect = self._effect()
            if effect.outcome is Outcome.HALTED:
                self.t += steps - executed
                return executed
            self._apply(effect)
        return steps

    # -- the state -----------------------------------------------------------------------------------------------

    def boot(self, entry: int, input_bytes: bytes) -> None:
        """Apply Boot() to the state as it stands and set t = 0."""
        content = encode_input(input_bytes)
        self._memory.clear(INPUT_BASE, CPU_END)
        self._memory.load(INPUT_BASE, content)
        self._memory.write_word(PC_ADDRESS, entry)
        self.t = 0

    @property
    def halted(self) -> int:
        """0 running, 1 halted by ECALL, 2 halted by a fault."""
        return self._memory.read_word(HALTED_ADDRESS)

    @property
    def exit_code(self) -> int:
        """a0 at the ECALL, or the cause of the fault."""
        return self._memory.read_word(EXIT_ADDRESS)

    def control(self) -> Control:
        """Return the control words."""
        read = self._memory.read_word
        return Control(*(read(CONTROL_BASE + WORD_BYTES * index) for index in range(len(CONTROL_FIELDS))))

    def register(self, index: int) -> int:
        """Return register `x<index>`; raises AddressError for another index than 0..31."""
        if not 0 <= index < 32:
            raise AddressError(f"no register x{index}")
        return self._memory.read_word(register_address(index))

    def read_word(self, address: int) -> int:
        """Return any word of the state."""
        check_word_address(address)
        return self._memory.read_word(address)

    def write_state_word(self, address: int, value: int) -> None:
        """Set any word of the state, past all rules."""
        check_word_address(address)
        self._memory.write_word(address, u32(value))

    def root(self) -> bytes:
        """Return the state root, 24 bytes, brought up to date from the leaves that changed."""
        self._update_tree()
        return self._tree.root

    def siblings(self, address: int) -> tuple[bytes, ...]:
        """Return the Merkle path of the leaf that holds `address`."""
        check_word_address(address)
        self._update_tree()
        return self._tree.siblings(address // LEAF_BYTES)

    def _update_tree(self) -> None:
        dirty = list(self._memory.dirty)
        if dirty:
            self._tree.update(dirty, b"".join(map(self._memory.read_leaf, dirty)))
            self._memory.dirty.clear()

    def snapshot(self) -> Snapshot:
        """Save the state, copy-on-write."""
        return Snapshot(self.t, self._memory.freeze(), self._tree.snapshot(), frozenset(self._memory.dirty))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back (or forward) to a snapshot, made by this machine or by any other."""
        self.t = snapshot.t
        self._memory.thaw(snapshot.pages, snapshot.dirty)
        self._tree.restore(snapshot.tree)
