"""Gadgets on nibbles: numbers 0..15 on the stack, as a one-time signature leaves them.

Bits are taken off by comparison, since Script has no division: ``x > 7`` is bit 3, and x less 8 times that goes on.
Where only a remainder's class matters, folding is shorter: ``|x - 8|`` maps 0..15 onto 0..8 and keeps x mod 8 up to its
sign. Every comparison is numeric, so that a number that is not minimally encoded means the same.

There is no OP_IF here: a choice is an OP_PICK by the condition, since some nodes do not relay tapscripts that branch.

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


def choose(b: ScriptBuilder, name: str) -> None:
    """``… x y c -> … (x if c else y)``; c is 0 or 1."""
    b.apply(op.OP_PICK, 1, name)
    for _ in range(2):
        b.apply(op.OP_NIP, 2, name)


def choose_number(b: ScriptBuilder, if_true: int, if_false: int, name: str = "") -> None:
    """``… c -> … (if_true if c else if_false)``; c is 0 or 1."""
    b.number(if_true)
    b.number(if_false)
    b.roll_at(2)
    choose(b, name)


def look_up(b: ScriptBuilder, table: Sequence[int], name: str) -> None:
    """``… i -> … table value``: the entry with number i, or the last one if i is larger; i is not negative."""
    for place, value in enumerate(reversed(table)):
        if place and value == table[-place]:
            b.pick_at(0)
        else:
            b.number(value)
    b.roll_at(len(table))
    b.number(len(table) - 1)
    b.binary(op.OP_MIN)
    b.apply(op.OP_PICK, 1, name)


def times_bit(b: ScriptBuilder, weight: int) -> None:
    """``… c -> … weight * c``, c 0 or 1 and weight a power of two: by doubling, or by choice where that is shorter."""
    exponent = weight.bit_length() - 1
    if exponent <= 3:
        times_power_of_two(b, exponent)
    else:
        choose_number(b, weight, 0, b.stack[-1])


def reduce(b: ScriptBuilder, *weights: int) -> None:
    """``… x -> … x mod w``, w the last of the weights: powers of two, falling, each at least half of x's range."""
    name = b.stack[-1]
    for weight in weights:
        b.pick_at(0)
        greater_than(b, weight - 1)
        times_bit(b, weight)
        b.sub(name)


def split_bit(b: ScriptBuilder, weight: int, bit: str, rest: str) -> None:
    """``… x -> … (x >= weight) (x mod weight)`` for x below twice the weight, a power of two."""
    b.pick_at(0)
    greater_than(b, weight - 1)
    b.apply(op.OP_TUCK, 2, bit, "", "")
    times_bit(b, weight)
    b.sub(rest)


def read_signed(b: ScriptBuilder) -> None:
    """``… x -> … (x - 16 if x > 7 else x)`` for a nibble x: the top digit of a signed word."""
    name = b.stack[-1]
    b.pick_at(0)
    greater_than(b, 7)
    times_bit(b, 16)
    b.sub(name)


def bit_1(b: ScriptBuilder, name: str = "") -> None:
    """``… x -> … bit 1 of x`` for x in 0..30.

    2x + 1 tells the bit by its residue mod 8: 1 and 3, or 5 and 7. Folding 2x at 29, 16, 8 and 4 keeps these pairs
    together: it leaves 3 where the bit is set, else 1.
    """
    times_power_of_two(b, 1)
    fold(b, 29, 16, 8, 4)
    greater_than(b, 1, name)


def fold(b: ScriptBuilder, *centres: int) -> None:
    """``… x -> … |x - c|``, for one centre c after the other."""
    for centre in centres:
        b.number(centre)
        b.sub()
        b.unary(op.OP_ABS)


def is_multiple_of_4(b: ScriptBuilder, name: str = "") -> None:
    """``… x -> … (4 divides x)`` for a nibble x: folded at 8, 4 and 2, the multiples and only they become 2."""
    fold(b, 8, 4, 2)
    b.equals_number(2, name)


def is_even(b: ScriptBuilder, name: str = "") -> None:
    """``… x -> … (2 divides x)`` for x in 0..16: folded at 8, 4, 2 and 1, what is even becomes 1, what is odd 0."""
    fold(b, 8, 4, 2, 1)
    b.rename(name)


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
    """``… x y -> … (x AND y)``, by digits of two bits."""
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
    """``… x y -> … (x AND y)`` for numbers 0..3: the smaller, less 1 if it is 1 and the digits add up to 3."""
    b.apply(op.OP_2DUP, 2, "", "", "", "")
    b.add()
    b.equals_number(3, "is three")
    b.roll_at(2)
    b.roll_at(2)
    b.binary(op.OP_MIN)
    b.apply(op.OP_TUCK, 2, "least", "is three", "least")
    b.binary(op.OP_BOOLAND)
    b.sub(name)


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
