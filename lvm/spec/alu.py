"""Integer computation: manual, chapter RV32I, "Integer Computational Instructions".

Each function takes two operand words and returns the result word. The second operand is `rs2` in the register form
and the sign-extended immediate, as a word, in the immediate form (`addi` is `add`, `slli` is `sll`, ...). LUI and
AUIPC take pc and the immediate.
"""

from collections.abc import Callable, Mapping

from lvm.spec.word import s32, u32


def add(rs1: int, rs2: int) -> int:
    """`rd = rs1 + rs2`; overflow is ignored."""
    return u32(rs1 + rs2)


def sub(rs1: int, rs2: int) -> int:
    """`rd = rs1 - rs2`; overflow is ignored."""
    return u32(rs1 - rs2)


def sll(rs1: int, rs2: int) -> int:
    """Shift left by the low 5 bits of rs2."""
    return u32(rs1 << (rs2 & 31))


def srl(rs1: int, rs2: int) -> int:
    """Shift right by the low 5 bits of rs2, zeros coming in."""
    return rs1 >> (rs2 & 31)


def sra(rs1: int, rs2: int) -> int:
    """Shift right by the low 5 bits of rs2, copies of the sign coming in."""
    return u32(s32(rs1) >> (rs2 & 31))


def slt(rs1: int, rs2: int) -> int:
    """`rd = 1` if rs1 < rs2 as signed numbers, else 0."""
    return int(s32(rs1) < s32(rs2))


def sltu(rs1: int, rs2: int) -> int:
    """`rd = 1` if rs1 < rs2 as unsigned numbers, else 0. (SLTIU sign-extends its immediate first.)"""
    return int(rs1 < rs2)


def xor(rs1: int, rs2: int) -> int:
    """`rd = rs1 ^ rs2`."""
    return rs1 ^ rs2


def or_(rs1: int, rs2: int) -> int:
    """`rd = rs1 | rs2`."""
    return rs1 | rs2


def and_(rs1: int, rs2: int) -> int:
    """`rd = rs1 & rs2`."""
    return rs1 & rs2


def lui(pc: int, imm: int) -> int:  # noqa: ARG001 - one shape for the family
    """`rd = imm`, the immediate being in the upper 20 bits."""
    return imm


def auipc(pc: int, imm: int) -> int:
    """`rd = pc + imm`, the immediate being in the upper 20 bits."""
    return u32(pc + imm)


REGISTER: Mapping[str, Callable[[int, int], int]] = {
    "add": add,
    "sub": sub,
    "sll": sll,
    "slt": slt,
    "sltu": sltu,
    "xor": xor,
    "srl": srl,
    "sra": sra,
    "or": or_,
    "and": and_,
}
"""Instructions on rs1 and rs2."""

IMMEDIATE: Mapping[str, Callable[[int, int], int]] = {
    "addi": add,
    "slti": slt,
    "sltiu": sltu,
    "xori": xor,
    "ori": or_,
    "andi": and_,
    "slli": sll,
    "srli": srl,
    "srai": sra,
}
"""Instructions on rs1 and the immediate."""

UPPER: Mapping[str, Callable[[int, int], int]] = {"lui": lui, "auipc": auipc}
"""Instructions on pc and the upper immediate."""
