"""Nibble gadgets under Core's engine, exhaustively."""

from collections.abc import Callable
from functools import partial

import pytest

from bitvm.script import u4
from bitvm.script.builder import ScriptBuilder, ScriptError, encode_number
from bitvm.script.engine import run_leaf

Gadget = Callable[[ScriptBuilder], None]


def results(gadget: Gadget, inputs: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether the gadget leaves exactly `expected` (top last) for these inputs."""
    names = [f"x{i}" for i in range(len(inputs))]
    b = ScriptBuilder(names)
    gadget(b)
    for value in reversed(expected):
        b.equals_number(value)
        b.verify()
    b.drop(len(b.stack))
    b.number(1)
    return run_leaf(b.script(), [encode_number(value) for value in inputs])


def is_right(gadget: Gadget, inputs: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    wrong = (*expected[:-1], expected[-1] + 1)
    return results(gadget, inputs, expected) and not results(gadget, inputs, wrong)


@pytest.mark.parametrize("x", range(16))
def test_gadgets_of_one_nibble(x: int) -> None:
    assert is_right(u4.is_multiple_of_4, (x,), (int(x % 4 == 0),))
    assert is_right(u4.is_even, (x,), (int(x % 2 == 0),))
    assert is_right(lambda b: u4.split_bit(b, 8, "bit", "rest"), (x,), (x >> 3, x & 7))
    assert is_right(u4.read_signed, (x,), (x - 16 if x > 7 else x,))
    assert is_right(lambda b: u4.split_digits(b, "high", "low"), (x,), (x >> 2, x & 3))
    assert is_right(lambda b: u4.times_power_of_two(b, 5), (x,), (x << 5,))
    assert is_right(lambda b: u4.reduce(b, 8, 4), (x,), (x % 4,))
    for value in range(8):
        assert is_right(partial(u4.is_value_or_plus_8, value=value), (x,), (int(x % 8 == value),))
        assert is_right(partial(u4.greater_than, value=value), (x,), (int(x > value),))
        assert is_right(partial(u4.less_than, value=value), (x,), (int(x < value),))


@pytest.mark.parametrize("x", range(64))
def test_reduce(x: int) -> None:
    assert is_right(lambda b: u4.reduce(b, 32, 16, 8), (x,), (x % 8,))


@pytest.mark.parametrize("x", range(31))
def test_bits_of_small_sums(x: int) -> None:
    assert is_right(u4.bit_1, (x,), (x >> 1 & 1,))
    if x <= 16:
        assert is_right(u4.is_even, (x,), (int(x % 2 == 0),))
    assert is_right(lambda b: u4.split_bit(b, 16, "bit", "rest"), (x,), (x >> 4, x & 15))


@pytest.mark.parametrize("condition", [0, 1])
def test_choices(condition: int) -> None:
    assert is_right(lambda b: u4.choose(b, "chosen"), (7, 9, condition), (7 if condition else 9,))
    assert is_right(lambda b: u4.choose_number(b, 100, -5), (condition,), (100 if condition else -5,))
    for weight in (1, 2, 4, 8, 16, 64):
        assert is_right(partial(u4.times_bit, weight=weight), (condition,), (weight * condition,))


@pytest.mark.parametrize("x", range(16))
def test_and(x: int) -> None:
    for y in range(16):
        assert is_right(u4.and_nibbles, (x, y), (x & y,))


def test_requirements() -> None:
    for x in range(-1, 17):
        b = ScriptBuilder(["x"])
        u4.require_index(b, 9, "x")
        b.drop()
        b.number(1)
        assert run_leaf(b.script(), [encode_number(x)]) == (0 <= x < 9)
        b = ScriptBuilder(["x"])
        u4.require_number(b, 7)
        b.number(1)
        assert run_leaf(b.script(), [encode_number(x)]) == (x == 7)


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("below", [0, 1])
def test_pick_indexed(stride: int, reverse: bool, below: int) -> None:
    names = [f"x{i}" for i in range(stride * 5)]
    wanted = names[below if stride > below else 0 :: stride][:: -1 if reverse else 1]
    for index, name in enumerate(wanted):
        b = ScriptBuilder([*names, "index"])
        u4.pick_indexed(b, wanted, "picked")
        b.equals_number(100 + names.index(name))
        b.verify()
        b.drop(len(b.stack))
        b.number(1)
        assert run_leaf(b.script(), [*(encode_number(100 + i) for i in range(len(names))), encode_number(index)])


def test_pick_indexed_refuses_uneven_distances() -> None:
    b = ScriptBuilder(["a", "b", "c", "d", "index"])
    with pytest.raises(ScriptError, match="equal distances"):
        u4.pick_indexed(b, ["a", "b", "d"], "picked")


def test_take_prefers_the_top_of_the_alt_stack() -> None:
    b = ScriptBuilder(["x", "y"])
    b.to_alt()
    b.alt[-1] = "x"
    u4.take(b, "x")
    assert (b.stack, b.alt) == (["x", "x"], [])
