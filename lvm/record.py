"""The record of one step: all that a third party needs to judge it.

Reads are total. Every field is a function of the state before the step, used by the instruction or not:

* `instr` is the word at `pc & 0x3FFFFFFC`;
* `rs1` is the register that instr[19:15] names, except for the encoding of ECALL, where it is a0 (x10);
  `rs2` is the register that instr[24:20] names;
* `address` is `x[rs1] + imm` mod 2^32 where a load or store is executed (it completes, or faults as a load or
  store), else 0;
* `mem` is the word at `address & 0x3FFFFFFC`;
* `written` is the data word that the step writes: the new value of a register other than x0, or the merged memory
  word of a store; 0 where nothing is written. Where it goes follows from the instruction: `write_address`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lvm import isa
from lvm.control import Control
from lvm.layout import STATE_WORD_MASK, register_address
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
        """Address of the instruction."""
        return self.before.pc

    @property
    def next_pc(self) -> int:
        """The pc of the state after."""
        return self.after.pc

    @property
    def write_address(self) -> int | None:
        """Byte address of the word that `written` goes to; None where the step writes no data word."""
        if self.outcome is not Outcome.RETIRE:
            return None
        opcode = self.instr & 0x7F
        if opcode == isa.STORE:
            return self.address & STATE_WORD_MASK
        rd = self.instr >> 7 & 31
        if rd == 0 or opcode in isa.OPCODES_WITHOUT_RD:
            return None
        return register_address(rd)
