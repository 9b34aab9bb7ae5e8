"""Products of 32-bit words that lie on the stack as nibbles, as part of a larger sum.

Script has no multiplication, but ``OP_PICK`` looks things up. One factor, the *base*, is put together to two numbers,
``base = low + 2^24 high``; of each, the 16 multiples are laid on the stack (`multiples`). A nibble of the other
factor, the *index*, then picks its product with 24 bits at once (`lookup`). All products, and whatever else belongs to
an identity, are summed by Horner's rule from the highest column down (`column_sum`); column c has the weight 16^c.

No carry is propagated. Where a caller knows that the sum is small, it is left in one number: the value after each
column is the sum less the columns still to come, divided by their weight, and that is small whenever the sum is, for
|low| <= 2^24. Where the sum is not small, the caller has the challenger supply multiples of high powers of two
(`bit_3` and `plus` of a column) that make it so, and proves that they are unique.

Script reads numbers of at most 4 bytes, and fails on others; a result may have 5. So a number that was read was within
-(2^31 - 1) .. 2^31 - 1, which is a range check for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, ScriptError
from bitvm.script.u4 import read_signed, take, times_power_of_two

LOW_NIBBLES = 6
"""Nibbles of a word's low part; the high part has the other two."""
LOW_BITS = 4 * LOW_NIBBLES
PRODUCT_TOP = 13
"""Highest column of a product: nibble 7 of the index times the high part."""


def recombine(b: ScriptBuilder, names: Sequence[str], name: str, *, signed: bool = False) -> None:
    """``… nibbles … -> … … number``: consume nibbles, the lowest first in `names`.

    Signed: the highest nibble counts -8..7.
    """
    with b.part("recombine"):
        b.roll(names[-1])
        if signed:
            read_signed(b)
        for nibble in reversed(names[:-1]):
            times_power_of_two(b, 4)
            if b.depth(nibble) > 1:
                b.roll(nibble)
            b.add()
        b.rename(name)


def word_parts(b: ScriptBuilder, word: str, *, signed: bool = False) -> None:
    """``… nibbles of word … -> … … high low``: ``word = low + 2^24 high``; signed: high is -128..127."""
    names = [f"{word}.{index}" for index in range(8)]
    recombine(b, names[LOW_NIBBLES:], "high", signed=signed)
    recombine(b, names[:LOW_NIBBLES], "low")


def multiples(b: ScriptBuilder, table: str) -> None:
    """``… x -> … 15x … 2x x 0``: named ``table.n`` for n x; x is at most 2^27 - 1 in absolute value."""
    with b.part("tables"):
        b.rename("x")
        b.pick_at(0)
        times_power_of_two(b, 4)
        b.pick("x")
        b.sub(f"{table}.15")
        b.roll("x")
        for factor in range(14, 1, -1):
            b.apply(op.OP_2DUP, 2, b.stack[-2], "x", "", "")
            b.sub(f"{table}.{factor}")
            b.roll("x")
        b.rename(f"{table}.1")
        b.number(0, f"{table}.0")


def product_tables(b: ScriptBuilder) -> None:
    """``… high … low -> … … multiples of low, multiples of high``."""
    multiples(b, "low")
    b.roll("high")
    multiples(b, "high")


def drop_table(b: ScriptBuilder, table: str) -> None:
    """``… table sum -> … sum``."""
    with b.part("tables"):
        name = b.stack[-1]
        b.to_alt()
        b.drop(sum(1 for item in b.stack if item.startswith(f"{table}.")))
        b.from_alt()
        b.rename(name)


def lookup(b: ScriptBuilder, table: str, digit: str, *, keep: bool) -> None:
    """``… table … -> … table … (digit * x)``; the digit is consumed unless `keep`. It must be in the table's range."""
    if keep:
        b.pick(digit)
    else:
        b.roll(digit)
    offset = b.depth(f"{table}.0") - 1  # without the digit itself
    if offset == 1:
        b.unary(op.OP_1ADD)
    elif offset > 1:
        b.number(offset)
        b.add()
    b.apply(op.OP_PICK, 1, "")


@dataclass(frozen=True)
class Lookup:
    """A term ``digit * table``; see `lookup`."""

    table: str
    digit: str
    keep: bool


@dataclass(frozen=True)
class Column:
    """The terms of one column of weight 16^c.

    plus, minus: products and names of items to take (an alt stack's top from there); copies are taken of names in
    `kept`. bit_3: a number on top of the alt stack to add with weight 8 * 16^c. wide: the terms are added to one half
    of the sum, so that neither half grows beyond 2^30 by more than half the terms. dropped: a table not needed after
    this column.
    """

    plus: tuple[Lookup | str, ...] = ()
    minus: tuple[Lookup | str, ...] = ()
    kept: tuple[str, ...] = ()
    constant: int = 0
    bit_3: str | None = None
    wide: bool = False
    dropped: str | None = None


def negated(columns: Sequence[Column]) -> list[Column]:
    """Swap the terms to add with those to subtract; constants and `bit_3` stay."""
    return [replace(column, plus=column.minus, minus=column.plus) for column in columns]


def product_columns(index: str, *, top: int = PRODUCT_TOP, keep: bool = False, sign: str | None = None) -> list[Column]:
    """Return the columns 0..`top` of ``base * index``, the lowest first.

    index: the word whose nibbles look up; they are consumed unless `keep`. sign: name of a bit that counts as a
    further, negative digit of weight 16^8, so that 1 makes the factor ``index - 2^32``; its columns are 8 and 14, so
    that `top` must be 13.
    """
    columns = []
    for place in range(top + 1):
        terms = []
        if place >= LOW_NIBBLES:
            terms.append(Lookup("high", f"{index}.{place - LOW_NIBBLES}", keep=True))
        if place < 8:
            terms.append(Lookup("low", f"{index}.{place}", keep=keep))
        columns.append(Column(tuple(terms), dropped="high" if place == LOW_NIBBLES else None))
    if sign is not None:
        columns[8] = replace(columns[8], minus=(Lookup("low", sign, keep=True),))
        columns.append(Column(minus=(Lookup("high", sign, keep=True),)))
    return columns


def column_sum(b: ScriptBuilder, columns: Sequence[Column], *, start: str | None = None) -> None:
    """``… terms … -> … … sum``: the sum over all columns, the lowest first in `columns`, weighted by 16^c.

    start: an item on top of the stack that counts with the weight above the highest column. Raises ScriptError when the
    highest column has nothing to start from.
    """
    with b.part("columns"):
        if start is not None and b.stack[-1] != start:
            raise ScriptError(f"{start!r} is not on top of the stack {b.stack}")
        empty = start is None
        for column in reversed(columns):
            if not empty:
                _shift(b, column)
            _add_terms(b, column, empty=empty)
            empty = False
            if column.wide:
                b.add()
            b.rename("sum")
            if column.dropped is not None:
                drop_table(b, column.dropped)


def _shift(b: ScriptBuilder, column: Column) -> None:
    """``… sum -> … 16 sum``, or ``… 8 sum, 8 sum`` before a wide column; `bit_3` goes in on the way."""
    times_power_of_two(b, 1)
    if column.bit_3 is not None:
        take(b, column.bit_3)
        b.add()
    times_power_of_two(b, 2)
    b.pick_at(0)
    if not column.wide:
        b.add()


def _add_terms(b: ScriptBuilder, column: Column, *, empty: bool) -> None:
    for terms, code in ((column.plus, op.OP_ADD), (column.minus, op.OP_SUB)):
        for term in terms:
            if isinstance(term, Lookup):
                lookup(b, term.table, term.digit, keep=term.keep)
            elif term in column.kept:
                b.pick(term)
            else:
                take(b, term)
            if not empty:
                b.binary(code)
            elif code == op.OP_SUB:
                b.unary(op.OP_NEGATE)
            empty = False
    if column.constant:
        b.number(abs(column.constant))
        b.binary(op.OP_ADD if column.constant > 0 else op.OP_SUB)
