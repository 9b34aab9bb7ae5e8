"""Multiplication and division: manual, chapter "M" Extension.

Each function takes the words of rs1 and rs2 and returns the result word. Division never traps: by zero the quotient
is all ones and the remainder the dividend; the one signed overflow, -2^31 / -1, gives -2^31 and remainder 0.
Division rounds towards zero, and a remainder has the sign of the dividend.
"""

from collections.abc import Callable, Mapping

from lvm.layout import WORD_MASK
from lvm.spec.word import s32, u32


def mul(rs1: int, rs2: int) -> int:
    """Lower 32 bits of the product; signed and unsigned agree there."""
    return u32(rs1 * rs2)


def mulh(rs1: int, rs2: int) -> int:
    """Upper 32 bits of signed x signed."""
    return u32(s32(rs1) * s32(rs2) >> 32)


def mulhsu(rs1: int, rs2: int) -> int:
    """Upper 32 bits of signed rs1 x unsigned rs2."""
    return u32(s32(rs1) * rs2 >> 32)


def mulhu(rs1: int, rs2: int) -> int:
    """Upper 32 bits of unsigned x unsigned."""
    return rs1 * rs2 >> 32


def div(rs1: int, rs2: int) -> int:
    """Signed quotient, rounded towards zero."""
    if rs2 == 0:
        return WORD_MASK
    dividend, divisor = s32(rs1), s32(rs2)
    quotient = abs(dividend) // abs(divisor)
    return u32(-quotient if (dividend < 0) != (divisor < 0) else quotient)


def divu(rs1: int, rs2: int) -> int:
    """Unsigned quotient."""
    return WORD_MASK if rs2 == 0 else rs1 // rs2


def rem(rs1: int, rs2: int) -> int:
    """Signed remainder, with the sign of the dividend."""
    if rs2 == 0:
        return rs1
    dividend, divisor = s32(rs1), s32(rs2)
    remainder = abs(dividend) % abs(divisor)
    return u32(-remainder if dividend < 0 else remainder)


def remu(rs1: int, rs2: int) -> int:
    """Unsigned remainder."""
    return rs1 if rs2 == 0 else rs1 % rs2


REGISTER: Mapping[str, Callable[[int, int], int]] = {
    "mul": mul,
    "mulh": mulh,
    "mulhsu": mulhsu,
    "mulhu": mulhu,
    "div": div,
    "divu": divu,
    "rem": rem,
    "remu": remu,
}
"""Instructions on rs1 and rs2."""
