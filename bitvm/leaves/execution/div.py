"""Leaves about a written quotient: div, divu (RISC-V manual, "M", "Division Operations").

n is the dividend rs1, d the divisor rs2, w the written word. "Away" means: for n < 0 the signs of n, of remainders and
so on are changed, which makes division round down. The hints are digits of an identity that Script checks in full; the
true quotient is not among them.

w is right exactly if ``0 <= n - w d < |d|`` (away). Against a wrong one, one of two claims holds:

    w is too large:  n - w d < 0        w is too small:  n - (w + 1) d >= 0        (unsigned)

Let E be the left side. The challenger supplies the digits of ``E = 2^35 k + 16 x + l``, ``0 <= l < 16``,
``0 <= x < 2^31``, so that the sign of E is that of k; and the sign of k tells which of the two is claimed. Signed, let
s = 1 if n < 0, else 0. E is ``n - w d - s`` or ``n - (w + u) d - s``, where ``u d = |d|`` (away); the claims become
``(E < 0) != s`` and ``(E < 0) = s``. If n and d have different signs, w is read as signed, else as unsigned, so that
the overflow, -2^31 / -1 = 2^31, is no special case. By zero, w is always too small. So the unsigned leaf refuses to
add 1 to a word of ones (which is never too small for another divisor), the signed one refuses d = 0 with w = -1.
"""

from __future__ import annotations

from dataclasses import replace

from bitcoin.core import script as op

from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.execution.muldecode import executed_muldiv, require_muldiv, signed
from bitvm.leaves.statement import OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.multiply import (
    LOW_BITS,
    Column,
    column_sum,
    product_columns,
    product_tables,
    word_parts,
)
from bitvm.script.u4 import greater_than, less_than, times_bit
from lvm.layout import WORD_MASK

_ALL_ONES_PARTS = (2**LOW_BITS - 1) + (2 ** (32 - LOW_BITS) - 1)
"""Sum of the low and the high part of a word of ones only; every other word's is smaller."""


def _quotient_hints(b: ScriptBuilder) -> None:
    """``| … x k -> k | … x k``; fails unless ``x >= 0``."""
    with b.part("ranges"):
        b.from_alt(2)
        b.pick_at(0)
        b.number(0)
        b.binary(op.OP_GREATERTHANOREQUAL)
        b.verify()
        b.to_alt()
        b.pick_at(0, "k")
        b.to_alt()


def _quotient_sum(b: ScriptBuilder, columns: list[Column]) -> None:
    """``columns are those of -E | … x k -> |``; fails unless ``E = 2^35 k + 16 x + l``, ``0 <= l < 16``."""
    columns[8] = replace(columns[8], bit_3="k")
    columns[1] = replace(columns[1], plus=(*columns[1].plus, "x"), wide=True)
    column_sum(b, columns)
    with b.part("ranges"):
        b.within(-15, 1)
        b.verify()


def less_dividend(columns: list[Column]) -> list[Column]:
    """Subtract rs1, as an unsigned word."""
    return [
        replace(column, minus=(*column.minus, f"rs1.{place}")) if place < 8 else column
        for place, column in enumerate(columns)
    ]


def _divu_body(b: ScriptBuilder) -> None:
    """Win iff ``n < w d``, or ``n >= (w + 1) d`` and w is not all ones."""
    require_muldiv(b, 5)
    _quotient_hints(b)
    b.number(0)
    b.binary(op.OP_GREATERTHANOREQUAL, "step")
    word_parts(b, "written")
    with b.part("step"):
        b.roll("step")
        b.add("low")
        b.apply(op.OP_2DUP, 2, "high", "low", "", "")
        b.add()
        b.number(_ALL_ONES_PARTS + 1)
        b.binary(op.OP_NUMNOTEQUAL)
        b.verify()
    product_tables(b)
    _quotient_sum(b, less_dividend(product_columns("rs2")))


def _div_body(b: ScriptBuilder) -> None:
    """Win iff w is too large or too small as the module's docstring says, and not both d = 0 and w = -1."""
    require_muldiv(b, 4)
    _quotient_hints(b)
    with b.part("signs"):
        _div_signs(b)
    word_parts(b, "written")
    _require_not_by_zero(b)
    with b.part("step"):
        b.roll("step")
        b.add("low")
        b.roll("high")
        b.pick_at(0)
        greater_than(b, 127)
        b.roll("unlike")
        b.binary(op.OP_BOOLAND)
        times_bit(b, 256)
        b.sub("high")
        b.roll("low")
    product_tables(b)
    columns = less_dividend(product_columns("rs2", sign="divisor_sign"))
    for place in (0, 8):  # s itself, and n = rs1 - 2^32 s
        columns[place] = replace(columns[place], plus=(*columns[place].plus, "sign"), kept=("sign",))
    _quotient_sum(b, columns)


def _div_signs(b: ScriptBuilder) -> None:
    """``k -> sign divisor_sign unlike step``: n < 0; d < 0; whether these differ; what to add to w."""
    less_than(b, 0, "negative")
    b.pick("rs1.7")
    greater_than(b, 7, "sign")
    b.apply(op.OP_TUCK, 2, "sign", "negative", "")
    b.binary(op.OP_NUMEQUAL, "too small")
    b.pick("rs2.7")
    greater_than(b, 7, "divisor_sign")
    b.pick_at(0)
    b.pick("sign")
    b.binary(op.OP_NUMNOTEQUAL, "unlike")
    b.roll("too small")
    b.apply(op.OP_2DUP, 2, "unlike", "too small", "", "")
    b.binary(op.OP_BOOLAND)
    times_bit(b, 2)
    b.sub("step")


def _require_not_by_zero(b: ScriptBuilder) -> None:
    """``… high low -> … high low``; fails if d is zero and w all ones: sums to zero numbers of one sign."""
    with b.part("by zero"):
        b.apply(op.OP_2DUP, 2, "high", "low", "", "")
        b.add()
        b.number(_ALL_ONES_PARTS)
        b.sub()
        for place in reversed(range(8)):
            b.pick(f"rs2.{place}")
            b.sub()
        b.verify()


def _divu_wins(words: Words) -> tuple[int, ...] | None:
    if not executed_muldiv(words, 5):
        return None
    n, d, w = words["rs1"], words["rs2"], words["written"]
    if n < w * d:
        return _quotient_digits(n - w * d)
    if n >= (w + 1) * d and w != WORD_MASK:
        return _quotient_digits(n - (w + 1) * d)
    return None


def _div_wins(words: Words) -> tuple[int, ...] | None:
    if not executed_muldiv(words, 4) or (words["rs2"] == 0 and words["written"] == WORD_MASK):
        return None
    n, d = signed(words["rs1"]), signed(words["rs2"])
    unlike = (n < 0) != (d < 0)
    w = signed(words["written"]) if unlike else words["written"]
    away = -1 if n < 0 else 1
    rest = n - w * d
    if away * rest < 0:
        return _quotient_digits(rest - (n < 0))
    if away * rest >= abs(d):
        return _quotient_digits(rest - away * abs(d) - (n < 0))
    return None


def _quotient_digits(value: int) -> tuple[int, ...]:
    """Return k and x of ``value = 2^35 k + 16 x + l``."""
    return value >> 35, value >> 4 & 2**31 - 1


DIV_LEAVES: tuple[ExecutionLeaf, ...] = (
    ExecutionLeaf(
        "written.div",
        "div retired, rd is not x0, and written is not the signed quotient",
        (OPERATION,),
        ("k", "x"),
        _div_body,
        _div_wins,
    ),
    ExecutionLeaf(
        "written.divu",
        "divu retired, rd is not x0, and written is not the unsigned quotient",
        (OPERATION,),
        ("k", "x"),
        _divu_body,
        _divu_wins,
    ),
)
