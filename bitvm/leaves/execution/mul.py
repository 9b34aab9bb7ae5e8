"""Leaves about a written product: mul, mulh, mulhsu, mulhu (RISC-V manual, "M" Extension, "Multiplication Operations").

`mul`: let D be ``rs1 * rs2 - written``, less products of weight 2^32 and more, which do not matter. The challenger
supplies one multiple of 2^32 and wins if ``r = D + 2^32 c`` is not 0. Script adds r up from two numbers that it has
read, so |r| < 2^32, and against a true `written` r can only be 0.

The high words: `written` is right exactly if ``0 <= D < 2^32`` for ``D = rs1 * rs2 - 2^32 written``, where each word is
signed or not as the instruction says (`written` is signed if rs1 is). The challenger supplies the digits of

    D = 2^59 k + 2^28 x + l,    0 <= l < 2^28,    0 <= x < 2^31,

which are unique, as Script checks the ranges: of l by comparison; of x by ``x >= 0`` and, from above, by reading
it as a number. l is what the sum leaves. The challenger wins if ``k != 0`` or ``x > 15``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bitcoin.core import script as op

from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.execution.muldecode import executed_muldiv, require_muldiv, signed
from bitvm.leaves.statement import OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.multiply import (
    LOW_BITS,
    PRODUCT_TOP,
    Column,
    column_sum,
    negated,
    product_columns,
    product_tables,
    word_parts,
)
from bitvm.script.u4 import greater_than, read_signed
from lvm.layout import WORD_MASK

# ---- mul


def _mul_body(b: ScriptBuilder) -> None:
    """Win iff ``rs1 * rs2 - written`` is not 0 mod 2^32."""
    require_muldiv(b, 0)
    word_parts(b, "rs2")
    product_tables(b)
    b.from_alt()
    columns = [
        replace(column, minus=(f"written.{place}",), wide=place == 0)
        for place, column in enumerate(product_columns("rs1", top=7))
    ]
    column_sum(b, columns, start="multiple")
    b.verify()


def _mul_wins(words: Words) -> tuple[int, ...] | None:
    if not executed_muldiv(words, 0):
        return None
    low, high = words["rs2"] & (1 << LOW_BITS) - 1, words["rs2"] >> LOW_BITS
    difference = low * words["rs1"] + (high * (words["rs1"] & 0xFF) << LOW_BITS) - words["written"]
    rest = difference & WORD_MASK
    if rest == 0:
        return None
    if rest > 2**31:
        rest -= 2**32
    return ((rest - difference) >> 32,)


# ---- mulh, mulhsu, mulhu


@dataclass(frozen=True)
class _HighProduct:
    """How an instruction reads its operands. The base is the operand that is cheapest to sign: not an unsigned one."""

    name: str
    funct3: int
    base: str
    index: str
    signed_base: bool
    signed_index: bool


_HIGH_PRODUCTS = (
    _HighProduct("mulh", 1, "rs2", "rs1", signed_base=True, signed_index=True),
    _HighProduct("mulhsu", 2, "rs1", "rs2", signed_base=True, signed_index=False),
    _HighProduct("mulhu", 3, "rs2", "rs1", signed_base=False, signed_index=False),
)


def _high_body(product: _HighProduct) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Sum ``-D + 2^59 k + 2^28 x = -l``."""
        require_muldiv(b, product.funct3)
        _require_too_large(b)
        if product.signed_index:
            b.pick(f"{product.index}.7")
            greater_than(b, 7, "sign")
        word_parts(b, product.base, signed=product.signed_base)
        product_tables(b)
        b.roll("written.7")
        if product.signed_base:
            read_signed(b)
        b.rename("start")
        columns = product_columns(product.index, sign="sign" if product.signed_index else None)
        column_sum(b, _less_written(negated(columns)), start="start")
        with b.part("ranges"):
            b.within(-(2**28 - 1), 1)
            b.verify()

    return body


def _require_too_large(b: ScriptBuilder) -> None:
    """``| … x k -> | … x k``; fails unless ``x >= 0``, and ``k != 0`` or ``x > 15``."""
    with b.part("ranges"):
        b.from_alt(2)
        b.apply(op.OP_2DUP, 2, "k", "x", "", "")
        greater_than(b, 15)
        b.binary(op.OP_BOOLOR)
        b.verify()
        b.pick_at(0)
        b.number(0)
        b.binary(op.OP_GREATERTHANOREQUAL)
        b.verify()
        b.to_alt(2)


def _less_written(columns: Sequence[Column]) -> list[Column]:
    """Add ``2^32 written``, but for its highest nibble, which the sum starts with, and k and x."""
    columns = [*columns, *[Column()] * (PRODUCT_TOP + 2 - len(columns))]
    for place in range(8, len(columns)):
        columns[place] = replace(columns[place], plus=(*columns[place].plus, f"written.{place - 8}"))
    columns[7] = replace(columns[7], plus=(*columns[7].plus, "x"), wide=True)
    columns[14] = replace(columns[14], bit_3="k")
    return columns


def _high_wins(product: _HighProduct) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        if not executed_muldiv(words, product.funct3):
            return None
        base = signed(words[product.base]) if product.signed_base else words[product.base]
        index = signed(words[product.index]) if product.signed_index else words[product.index]
        written = signed(words["written"]) if product.signed_base else words["written"]
        difference = base * index - (written << 32)
        if 0 <= difference < 2**32:
            return None
        return difference >> 59, difference >> 28 & 2**31 - 1

    return wins


MUL_LEAVES: tuple[ExecutionLeaf, ...] = (
    ExecutionLeaf(
        "written.mul",
        "mul retired, rd is not x0, and written is not rs1 * rs2 mod 2^32",
        (OPERATION,),
        ("multiple",),
        _mul_body,
        _mul_wins,
    ),
    *(
        ExecutionLeaf(
            f"written.{product.name}",
            f"{product.name} retired, rd is not x0, and written is not the high word of the product",
            (OPERATION,),
            ("k", "x"),
            _high_body(product),
            _high_wins(product),
        )
        for product in _HIGH_PRODUCTS
    ),
)
