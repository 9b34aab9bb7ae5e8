"""Sums and comparisons of 32-bit words that lie on the stack as nibbles.

One gadget serves all of them, `weighted_sum`: Horner's rule from the highest digit down over *signed* digits. To see
whether ``x + y = w`` mod 2^32 one does not add x and y; one sums ``16^i (x_i + y_i - w_i)`` and asks whether that is a
multiple of 2^32. That needs no carry and no reduction: a digit costs 8 bytes for ``* 16`` and one or two a word.

Numbers in Script have 31 bits and a sign, so the top digit t is treated first. Let L be the sum of the seven lower
digits, ``Lmin <= L <= Lmax``. The whole sum ``t * 2^28 + L`` is a multiple of 2^28 only if ``L = k * 2^28`` for one of
the few k between the bounds, and then a multiple of 2^32 only if ``t = -k`` mod 16. So t is brought, mod 16, into the
window of 16 values that begins with the least such -k; below the window it may stay if it equals no -k mod 16. Where t
is below or above all -k, the sum is negative or positive whatever L is, so t may be cut to the next value outside,
which keeps the sum small enough for Script. Hence

    the number left on the stack is 0 exactly if the sum is 0 mod 2^32   (modulo)
    it has the sign of the sum                                           (not modulo)

The bounds are computed from the digits given, so that only what can happen costs bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitcoin.core import script as op

from bitvm.script.builder import MAX_NUMBER, MAX_STACK_ITEMS, ScriptBuilder, ScriptError
from bitvm.script.u4 import greater_than, less_than, take, times_bit, times_power_of_two

DIGITS = 8
_TOP = 1 << 28
"""Weight of the top digit."""


@dataclass(frozen=True)
class Digit:
    """One digit of a sum: names of nibbles to add and to subtract, a constant, and names to remove on the way."""

    plus: tuple[str, ...] = ()
    minus: tuple[str, ...] = ()
    constant: int = 0
    discard: tuple[str, ...] = ()

    def bounds(self, ranges: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
        """Least and greatest value; a name's values are `ranges[name]`, 0..15 if not given."""
        plus = [ranges.get(name, (0, 15)) for name in self.plus]
        minus = [ranges.get(name, (0, 15)) for name in self.minus]
        low = sum(least for least, _ in plus) - sum(greatest for _, greatest in minus)
        high = sum(greatest for _, greatest in plus) - sum(least for least, _ in minus)
        return low + self.constant, high + self.constant


def digits_of(plus: Sequence[str] = (), minus: Sequence[str] = (), discard: Sequence[str] = ()) -> list[Digit]:
    """Return the digits of a sum of whole words, lowest first, the words given by name."""

    def at(index: int, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{word}.{index}" for word in words)

    return [Digit(at(i, plus), at(i, minus), discard=at(i, discard)) for i in range(DIGITS)]


def weighted_sum(
    b: ScriptBuilder, digits: Sequence[Digit], *, modulo: bool, ranges: Mapping[str, tuple[int, int]] | None = None
) -> None:
    """``… digits … -> … … sum``: consume the digits and leave a number as the module's docstring says, named ``sum``.

    `digits` are eight, lowest first; no name occurs twice. Items are taken from wherever they lie (a name on top of the
    alt stack from there), the nearest first. `ranges` gives the least and greatest value of items that are not nibbles.
    Raises ScriptError when the sum would not fit Script's numbers.
    """
    names = [name for digit in digits for name in (*digit.plus, *digit.minus, *digit.discard)]
    if len(digits) != DIGITS or len(set(names)) != len(names):
        raise ScriptError(f"a word has {DIGITS} digits of different items, got {digits}")
    ranges = ranges or {}
    lower = [digit.bounds(ranges) for digit in digits[:-1]]
    low = sum(bound << 4 * index for index, (bound, _) in enumerate(lower))
    high = sum(bound << 4 * index for index, (_, bound) in enumerate(lower))
    with b.part("sum"):
        _top_digit(b, digits[-1])
        bounds = digits[-1].bounds(ranges)
        if modulo:
            bounds = _into_window(b, bounds, least=-(high // _TOP), greatest=low // -_TOP)
        _cut(b, bounds, low, high)
        for digit in reversed(digits[:-1]):
            times_power_of_two(b, 4)
            _add_terms(b, digit, "sum")


def _top_digit(b: ScriptBuilder, digit: Digit) -> None:
    plus, minus = list(digit.plus), list(digit.minus)
    if plus and minus and b.stack[-2:] == [plus[-1], minus[-1]]:
        b.sub("sum")
        plus.pop()
        minus.pop()
    elif plus:
        first = min(plus, key=lambda name: _distance(b, name))
        plus.remove(first)
        take(b, first)
        b.rename("sum")
    else:
        take(b, minus.pop(0))
        b.unary(op.OP_NEGATE, "sum")
    _add_terms(b, Digit(tuple(plus), tuple(minus), digit.constant, digit.discard), "sum")


def _distance(b: ScriptBuilder, name: str) -> int:
    """How far away an item is: the alt stack's top is at hand, what lies under it there comes last."""
    if b.alt and b.alt[-1] == name:
        return 0
    return MAX_STACK_ITEMS if name in b.alt else b.depth(name)


def _add_terms(b: ScriptBuilder, digit: Digit, name: str) -> None:
    """``… terms … sum -> … … sum``, the nearest term first."""
    terms = dict.fromkeys(digit.plus, op.OP_ADD) | dict.fromkeys(digit.minus, op.OP_SUB)
    terms |= dict.fromkeys(digit.discard, op.OP_NIP)
    while terms:
        term = min(terms, key=lambda term: _distance(b, term))
        code = terms.pop(term)
        near = b.stack[-2] == term and not (b.alt and b.alt[-1] == term)
        if code == op.OP_NIP and not near:
            raise ScriptError(f"{term!r} is not next to the sum on {b.stack}")
        if not (near and code in (op.OP_ADD, op.OP_NIP)):
            take(b, term)
        b.binary(code, name)
    match digit.constant:
        case 0:
            pass
        case 1:
            b.unary(op.OP_1ADD, name)
        case -1:
            b.unary(op.OP_1SUB, name)
        case constant:
            b.number(constant)
            b.add(name)


def _into_window(b: ScriptBuilder, bounds: tuple[int, int], *, least: int, greatest: int) -> tuple[int, int]:
    """Bring the top digit mod 16 into ``least .. least + 15``, where ``least .. greatest`` are the values that matter.

    Below `least`, a value stays where it is unless it is one that matters. Returns the new bounds.
    """
    low, high = bounds
    while high >= least + 16:
        b.pick_at(0)
        greater_than(b, least + 15)
        _shift_if(b, op.OP_SUB)
        high = max(least + 15, high - 16)
    while low <= greatest - 16:
        b.pick_at(0)
        less_than(b, greatest - 15)
        _shift_if(b, op.OP_ADD)
        low, high = min(greatest - 15, low + 16), max(high, greatest)
    return low, high


def _shift_if(b: ScriptBuilder, code: int) -> None:
    """``… t c -> … (t +- 16 if c else t)``."""
    times_bit(b, 16)
    b.binary(code, "sum")


def _cut(b: ScriptBuilder, bounds: tuple[int, int], low: int, high: int) -> None:
    """Cut the top digit to what keeps the sum's sign, where the sum would otherwise be too large for Script."""
    slack = 16 * 16  # of the terms of the last digit, added one after another
    least, greatest = -(high // _TOP) - 1, -low // _TOP + 1
    if bounds[0] * _TOP + low < -MAX_NUMBER + slack:
        b.number(least)
        b.binary(op.OP_MAX, "sum")
        bounds = (least, bounds[1])
    if bounds[1] * _TOP + high > MAX_NUMBER - slack:
        b.number(greatest)
        b.binary(op.OP_MIN, "sum")
        bounds = (bounds[0], greatest)
    if bounds[0] * _TOP + low < -MAX_NUMBER + slack or bounds[1] * _TOP + high > MAX_NUMBER - slack:
        raise ScriptError("the sum does not fit Script's numbers: too many words")
