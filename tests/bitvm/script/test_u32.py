"""Sums of signed digits under Core's engine, where carries, borrows and both ends of Script's numbers meet."""

from dataclasses import replace
from itertools import product
from random import Random

import pytest

from bitvm.script.builder import ScriptBuilder, ScriptError, encode_number
from bitvm.script.engine import run_leaf
from bitvm.script.u32 import Digit, digits_of, weighted_sum

EDGES = (0, 1, 0xF, 0x10, 0xFFF_FFFF, 0x1000_0000, 0x7FFF_FFFF, 0x8000_0000, 0xF000_0000, 0xFFFF_FFFF)


def nibbles(word: int) -> list[int]:
    return [word >> 4 * i & 15 for i in range(8)]


class Sum:
    """``sum of plus - sum of minus + constant``, as a script that accepts if the sum is zero, or of one sign."""

    def __init__(self, plus: int, minus: int, constant: int = 0, discard: int = 0) -> None:
        self.plus = [f"p{i}" for i in range(plus)]
        self.minus = [f"m{i}" for i in range(minus)]
        self.discard = [f"d{i}" for i in range(discard)]
        self.words = [*self.plus, *self.minus, *self.discard]
        lowest, *rest = digits_of(self.plus, self.minus, self.discard)
        self.digits = [replace(lowest, constant=constant), *rest]
        tests = [(True, 0), (False, 0), (False, 1), (False, -1)]
        self.scripts = {(modulo, test): self._script(modulo, test) for modulo, test in tests}

    def _script(self, modulo: bool, test: int) -> bytes:
        b = ScriptBuilder([f"{word}.{i}" for i in range(8) for word in self.words])
        weighted_sum(b, self.digits, modulo=modulo)
        if test < 0:
            b.unary(0x8F)  # OP_NEGATE
        b.number(0)
        b.binary(0x9C if test == 0 else 0xA0)  # OP_NUMEQUAL, OP_GREATERTHAN
        return b.script()

    def accepts(self, modulo: bool, test: int, values: list[int]) -> bool:
        cut = [nibbles(value) for value in values]
        items = [encode_number(digits[i]) for i in range(8) for digits in cut]
        return run_leaf(self.scripts[modulo, test], items)


@pytest.mark.parametrize(
    ("plus", "minus", "constant"),
    [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 4), (1, 1, -7), (2, 2, 0), (3, 1, 1), (1, 3, -1), (1, 0, 0), (0, 1, 5)],
)
def test_sums(plus: int, minus: int, constant: int) -> None:
    gadget, rng = Sum(plus, minus, constant, discard=1), Random(f"{plus} {minus} {constant}")
    for number in range(60):
        values = [rng.choice(EDGES) if rng.random() < 0.7 else rng.getrandbits(32) for _ in gadget.words]
        total = sum(values[:plus]) - sum(values[plus : plus + minus]) + constant
        if number % 2:  # make it zero mod 2^32, or nearly
            last = plus + minus - 1
            off = rng.choice((0, 0, 1, -1, 1 << 28))
            values[last] = (values[last] + (total if minus else -total) + off) % (1 << 32)
            total = sum(values[:plus]) - sum(values[plus : plus + minus]) + constant
        assert gadget.accepts(True, 0, values) == (total % (1 << 32) == 0), values
        assert gadget.accepts(False, 0, values) == (total == 0), values
        assert gadget.accepts(False, 1, values) == (total > 0), values
        assert gadget.accepts(False, -1, values) == (total < 0), values


def test_every_pair_of_top_digits() -> None:
    """The top digit is brought into its window and cut; below it, nothing, a carry or a borrow."""
    gadget = Sum(2, 1)
    for a, w, low in product(range(16), range(16), (0, 0xFFF_FFFF)):
        values = [a << 28 | low, 0x1FFF_FFFF, w << 28 | (low and 0xFFF_FFFE)]
        total = values[0] + values[1] - values[2]
        assert gadget.accepts(True, 0, values) == (total % (1 << 32) == 0), values


def test_items_with_other_ranges_and_from_the_alt_stack() -> None:
    b = ScriptBuilder([*(f"x.{i}" for i in range(8)), "far", "sign"])
    b.to_alt(2)
    digits = digits_of(plus=["x"])
    digits[2] = replace(digits[2], plus=("x.2", "far"))
    digits[5] = replace(digits[5], minus=("sign",))
    with pytest.raises(ScriptError, match="no item"):
        weighted_sum(ScriptBuilder(["x.0"]), digits, modulo=True)
    b.alt.reverse()
    b.from_alt(2)
    b.roll("far")
    b.to_alt()
    b.roll("sign")
    b.to_alt()
    weighted_sum(b, digits, modulo=True, ranges={"far": (0, 40), "sign": (-1, 1)})
    b.unary(0x91)  # OP_NOT
    assert b.stack == [""]
    for far, sign in product((0, 7, 40), (-1, 0, 1)):
        x = (-(far << 8) + (sign << 20)) % (1 << 32)
        items = [*map(encode_number, nibbles(x)), encode_number(sign), encode_number(far)]
        assert run_leaf(b.script(), items)
        assert not run_leaf(b.script(), [encode_number((x ^ 1) & 15), *items[1:]])


def test_impossible_sums_are_refused() -> None:
    b = ScriptBuilder([f"x.{i}" for i in range(8)])
    with pytest.raises(ScriptError, match="8 digits"):
        weighted_sum(b, [Digit()] * 7, modulo=True)
    with pytest.raises(ScriptError, match="different items"):
        weighted_sum(b, [Digit(plus=("x.0",))] * 8, modulo=True)
    with pytest.raises(ScriptError, match="too many words"):
        weighted_sum(b, digits_of(plus=["x"]), modulo=False, ranges={"x.6": (0, 4000)})
