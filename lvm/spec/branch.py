"""Control transfer: manual, chapter RV32I, "Control Transfer Instructions".

A branch is a condition on rs1 and rs2; if it holds, the target is `pc + imm`. A jump always goes to its target and
leaves the return address `pc + 4` in rd. A target that is not a multiple of 4 faults on the jump or taken branch
itself; that rule stands in `lvm.spec.interpreter`.
"""

from collections.abc import Callable, Mapping

from lvm.spec.word import s32, u32


def beq(rs1: int, rs2: int) -> bool:
    """Branch if equal."""
    return rs1 == rs2


def bne(rs1: int, rs2: int) -> bool:
    """Branch if not equal."""
    return rs1 != rs2


def blt(rs1: int, rs2: int) -> bool:
    """Branch if less, signed."""
    return s32(rs1) < s32(rs2)


def bge(rs1: int, rs2: int) -> bool:
    """Branch if greater or equal, signed."""
    return s32(rs1) >= s32(rs2)


def bltu(rs1: int, rs2: int) -> bool:
    """Branch if less, unsigned."""
    return rs1 < rs2


def bgeu(rs1: int, rs2: int) -> bool:
    """Branch if greater or equal, unsigned."""
    return rs1 >= rs2


def jal(pc: int, rs1: int, imm: int) -> int:  # noqa: ARG001 - one shape for the family
    """Target of JAL: `pc + imm`."""
    return u32(pc + imm)


def jalr(pc: int, rs1: int, imm: int) -> int:  # noqa: ARG001 - one shape for the family
    """Target of JALR: `rs1 + imm` with its lowest bit cleared."""
    return u32(rs1 + imm) & ~1


CONDITION: Mapping[str, Callable[[int, int], bool]] = {
    "beq": beq,
    "bne": bne,
    "blt": blt,
    "bge": bge,
    "bltu": bltu,
    "bgeu": bgeu,
}
"""Branches on rs1 and rs2."""

JUMP: Mapping[str, Callable[[int, int, int], int]] = {"jal": jal, "jalr": jalr}
"""Jumps: the target from pc, rs1 and the immediate."""
