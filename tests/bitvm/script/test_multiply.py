"""Products by look-up against Python's, under Core's engine."""

from dataclasses import replace
from random import Random

import pytest
from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, ScriptError, encode_number
from bitvm.script.engine import run_leaf
from bitvm.script.multiply import (
    Column,
    Lookup,
    column_sum,
    lookup,
    multiples,
    product_columns,
    product_tables,
    recombine,
    word_parts,
)

A, B = ([f"{word}.{index}" for index in range(8)] for word in "ab")


def leaves(b: ScriptBuilder, value: int, items: list[int]) -> bool:
    """Whether the script leaves `value` on top of whatever else."""
    b.number(value)
    b.binary(op.OP_NUMEQUAL)
    b.verify()
    b.drop(len(b.stack))
    b.number(1)
    return run_leaf(b.script(), [encode_number(item) for item in items])


def nibbles(word: int) -> list[int]:
    return [word >> 4 * index & 15 for index in range(8)]


@pytest.mark.parametrize("signed", [False, True])
def test_recombined_numbers(signed: bool) -> None:
    rng = Random(1)
    for _ in range(50):
        word = rng.getrandbits(24)
        b = ScriptBuilder(A[:6])
        recombine(b, A[:6], "word", signed=signed)
        assert leaves(b, word - (1 << 24 if signed and word >> 23 else 0), nibbles(word)[:6])


@pytest.mark.parametrize("factor", [0, 1, -1, 0x00FF_FFFF, 2**24, 2**27 - 1, -(2**27) + 1])
def test_multiples(factor: int) -> None:
    for digit in range(16):
        b = ScriptBuilder(["digit", "x"])
        multiples(b, "table")
        lookup(b, "table", "digit", keep=True)
        assert leaves(b, digit * factor, [digit, factor])


def test_a_product_that_fits_is_left_in_one_number() -> None:
    """``a b - 2^59 high - 2^28 middle``: the sum is small, its terms are not."""
    rng = Random(2)
    for _ in range(60):
        first, second = rng.getrandbits(32), rng.getrandbits(32)
        high, middle = first * second >> 59, first * second >> 28 & 2**31 - 1
        b = ScriptBuilder([*A, *B, "high", "middle"])
        b.to_alt(2)
        word_parts(b, "b")
        product_tables(b)
        columns = [*product_columns("a"), Column(bit_3="high")]
        columns[7] = replace(columns[7], plus=(*columns[7].plus, "middle"), wide=True)
        b.number(0, "start")
        column_sum(b, columns, start="start")
        low = first * second & 2**28 - 1
        assert leaves(b, low, [*nibbles(first), *nibbles(second), -high, -middle]), (first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [(0xFFFF_FFFF, 0), (2**30, -1), (1, -(2**30)), (5, -(2**27)), (123, -0x00AB_CDEF), (123, 0x00AB_CDEF)],
)
def test_a_signed_index(first: int, second: int) -> None:
    """``a (b - 2^32 sign)``: the product is small, the columns are not."""
    for sign in (0, 1):
        b = ScriptBuilder(["sign", *A, *B])
        word_parts(b, "a")
        product_tables(b)
        column_sum(b, product_columns("b", sign="sign"))
        right = sign == (second < 0)
        assert leaves(b, first * second, [sign, *nibbles(first), *nibbles(second % 2**32)]) == (right or first == 0)


def test_what_cannot_be_written() -> None:
    b = ScriptBuilder(["digit", "x"])
    multiples(b, "table")
    with pytest.raises(ScriptError, match="start"):
        column_sum(b, [Column((Lookup("table", "digit", keep=False),))], start="start")
