"""The record of one step: all that a third party needs to judge it.

Reads are total. Every field is a function of the state before the step, used by the instruction or not; `window` is
the control word of that name, 0 in kernel mode:

* `instr` is the word at `(window | pc) & 0x3FFFFFFC`;
* `rs1` is the register that instr[19:15] names, except for the encoding of ECALL, where it is a0 (x10);
  `rs2` is the register that instr[24:20] names;
* `address` is `x[rs1] + imm` mod 2^32 where a load or store is executed (it completes, or faults as a load or
  store), else 0; in user mode it is the address that the program sees;
* `mem` is the word at `(window | address) & 0x3FFFFFFC`;
* `written` is the data word that the step writes: the new value of a register other than x0 (for CSRRS that of the
  CSR), or the merged memory word of a store; 0 where nothing is written. Where it goes follows from the instruction:
  `write_address`. Control words, CSRs among them, are no data words: they stand in `after`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lvm import isa
from lvm.control import Control
from lvm.layout import physical_word, register_address
from lvm.outcome import Outcome


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step, from state t to state t + 1. Every word is an unsigned 32-bit integer."""

    t: int
    """Number of steps done since boot, before this one."""
    outcome: Outcome
    before: Control
    """The control words of the state before."""
    after: Control
    """The control words of the state after."""
    instr: int
    rs1: int
    rs2: int
    address: int
    mem: int
    written: int

    @property
    def pc(self) -> int:
        """Address of the instruction; in user mode as the program sees it."""
        return self.before.pc

    @property
    def next_pc(self) -> int:
        """The pc of the state after."""
        return self.after.pc

    @property
    def write_address(self) -> int | None:
        """Byte address in the state of the word that `written` goes to; None where the step writes no data word."""
        if self.outcome is not Outcome.RETIRE:
            return None
        opcode = self.instr & 0x7F
        if opcode == isa.STORE:
            return physical_word(self.before.window, self.address)
        rd = self.instr >> 7 & 31
        if rd == 0 or opcode in isa.OPCODES_WITHOUT_RD:
            return None
        return register_address(rd)
