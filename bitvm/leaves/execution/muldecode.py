"""Recognising an instruction of the M extension: opcode OP, funct7 1; in Script and in Python."""

from __future__ import annotations

from bitvm.leaves.execution import decode
from bitvm.leaves.statement import Words
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import require_number
from lvm import isa

MULDIV_FUNCT7 = 1


def require_muldiv(b: ScriptBuilder, funct3: int) -> None:
    """``operands, instr, outcome -> operands``; fails unless `funct3` of M retired and rd is not x0."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, isa.OP)
    decode.require_funct3(b, funct3)
    with b.part("decode"):
        b.roll("instr.7")
        require_number(b, 0)
        b.roll("instr.6")  # funct7[2:0] and a bit of rs2
        b.within(2, 4)
        b.verify()
        b.drop(b.depth("written.7"))


def executed_muldiv(words: Words, funct3: int) -> bool:
    """Whether the M instruction `funct3` retired and writes a register."""
    return (
        decode.retired(words)
        and decode.opcode(words) == isa.OP
        and decode.funct7(words) == MULDIV_FUNCT7
        and decode.funct3(words) == funct3
        and decode.rd(words) != 0
    )


def signed(word: int) -> int:
    """Read a word as a two's complement number."""
    return word - (word >> 31 << 32)
