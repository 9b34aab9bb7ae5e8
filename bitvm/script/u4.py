"""Gadgets on nibbles: numbers 0..15 on the stack, as a one-time signature leaves them.

Bits are taken off by comparison, since Script has no division: ``x > 7`` is bit 3, and ``x - 8`` goes on with the rest.
Where only a remainder's class matters, folding is shorter: ``|x - 8|`` maps 0..15 onto 0..8 and keeps x mod 8 up to its
sign. Every comparison is numeric, so that a number that is not minimally encoded means the same.

Stack pictures: bottom to top, ``main | alt``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, ScriptError


def take(b: ScriptBuilder, name: str) -> None:
    """``… x … -> … … x``: move an item to the top, from the alt stack if it is the top there."""
    if b.alt and b.alt[-1] == name:
        b.from_alt()
    else:
        b.roll(name)


def require_number(b: ScriptBuilder, value: int) -> None:
    """``… x -> …``; fails unless ``x == value``."""
    b.equals_number(value)
    b.verify()


def is_value_or_plus_8(b: ScriptBuilder, value: int, name: str = "") -> None:
    """``… x -> … (x mod 8 == value)`` for a nibble x and a value 0..7: x is 4 away from value + 4."""
    b.number(value + 4)
    b.sub()
    b.unary(op.OP_ABS)
    b.equals_number(4, name)


def require_low_3_bits(b: ScriptBuilder, value: int) -> None:
    """``… x -> …``; fails unless ``x mod 8 == value``, x a nibble."""
    is_value_or_plus_8(b, value)
    b.verify()


def greater_than(b: ScriptBuilder, value: int, name: str = "") -> None:
    """``… x -> … (x > value)``."""
    b.number(value)
    b.binary(op.OP_GREATERTHAN, name)


def less_than(b: ScriptBuilder, value: int, name: str = "") -> None:
    """``… x -> … (x < value)``."""
    b.number(value)
    b.binary(op.OP_LESSTHAN, name)


def reduce(b: ScriptBuilder, *weights: int) -> None:
    """``… x -> … x mod w``, w the last of the weights: powers of two, falling, each at least half of x's range."""
    name = b.stack[-1]
    for weight in weights:
        b.pick_at(0)
        greater_than(b, weight - 1)
        b.if_()
        b.number(weight)
        b.sub(name)
        b.endif()


def split_bit_3(b: ScriptBuilder, bit: str, rest: str) -> None:
    """``… x -> … (x > 7) (x mod 8)`` for a nibble x."""
    b.pick_at(0)
    greater_than(b, 7)
    b.apply(op.OP_TUCK, 2, bit, rest, "")
    b.if_()
    b.number(8)
    b.sub(rest)
    b.endif()


def is_multiple_of_4(b: ScriptBuilder, name: str = "") -> None:
    """``… x -> … (4 divides x)`` for a nibble x: folded at 8, 4 and 2, the multiples and only they become 2."""
    for fold in (8, 4, 2):
        b.number(fold)
        b.sub()
        b.unary(op.OP_ABS)
    b.equals_number(2, name)


def is_even(b: ScriptBuilder, name: str = "") -> None:
    """``… x -> … (2 divides x)`` for a nibble x: folded at 8, 4, 2 and 1, what is even becomes 1, what is odd 0."""
    for fold in (8, 4, 2, 1):
        b.number(fold)
        b.sub()
        b.unary(op.OP_ABS, name)


def times_power_of_two(b: ScriptBuilder, exponent: int) -> None:
    """``… x -> … x * 2^exponent`` by doubling."""
    name = b.stack[-1]
    for _ in range(exponent):
        b.pick_at(0)
        b.add(name)


def split_digits(b: ScriptBuilder, high: str, low: str) -> None:
    """``… x -> … (x div 4) (x mod 4)`` for a nibble x: the high digit counts the multiples of 4 that x reaches."""
    b.pick_at(0)
    greater_than(b, 3)
    for threshold in (7, 11):
        b.pick_at(1)
        greater_than(b, threshold)
        b.add()
    b.apply(op.OP_TUCK, 2, high, low, "")
    times_power_of_two(b, 2)
    b.sub(low)


def and_nibbles(b: ScriptBuilder) -> None:
    """``… x y -> … (x AND y)``, by digits of two bits: AND is the smaller digit, but 0 where the digits add up to 3."""
    split_digits(b, "y.high", "y.low")
    b.roll_at(2, "x")
    split_digits(b, "x.high", "x.low")
    b.roll("y.low")
    _and_digits(b, "low")
    b.to_alt()
    _and_digits(b, "high")
    times_power_of_two(b, 2)
    b.from_alt()
    b.add("and")


def _and_digits(b: ScriptBuilder, name: str) -> None:
    """``… x y -> … (x AND y)`` for numbers 0..3."""
    b.apply(op.OP_2DUP, 2, "", "", "", "")
    b.add()
    b.equals_number(3)
    b.if_()
    b.drop(2)
    b.number(0, name)
    b.else_()
    b.binary(op.OP_MIN, name)
    b.endif()


def require_index(b: ScriptBuilder, count: int, name: str) -> None:
    """``… x -> … x``; fails unless ``0 <= x < count``."""
    b.rename(name)
    b.pick_at(0)
    b.within(0, count)
    b.verify()


def pick_indexed(b: ScriptBuilder, names: Sequence[str], new_name: str) -> None:
    """``… i -> … x_i``: copy the item called ``names[i]``; the names lie at equal distances of at most 3.

    Nothing here keeps i in range. Raises ScriptError when the names do not lie so.
    """
    depths = [b.depth(name) - 1 for name in names]  # without i itself
    stride = depths[1] - depths[0]
    if not 1 <= abs(stride) <= 3 or any(far - near != stride for near, far in pairwise(depths)):
        raise ScriptError(f"{list(names)} do not lie at equal distances on the stack {b.stack}")
    for _ in range(abs(stride) - 1):
        b.pick_at(0)
    for _ in range(abs(stride) - 1):
        b.add()
    if stride > 0:
        if depths[0]:
            b.number(depths[0])
            b.add()
    else:
        b.number(depths[0])
        b.apply(op.OP_SWAP, 2, "", "")
        b.sub()
    b.apply(op.OP_PICK, 1, new_name)
