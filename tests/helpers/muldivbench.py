"""The leaves of the M extension: statements, the truth, and the hints that a thief would try."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from random import Random

from bitcoin.core import script as op
from leafbench import Spender, body_items

from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.execution.frame import body_script
from bitvm.leaves.execution.muldiv import MULDIV_LEAVES
from bitvm.script.builder import encode_number
from lvm.spec import muldiv

LEAVES: Mapping[str, ExecutionLeaf] = {leaf.name.removeprefix("written."): leaf for leaf in MULDIV_LEAVES}
BY_ZERO = "_by_zero"
"""Ends the names of leaves about the divisor 0 only; there, `statement` and `RESULT` divide by 0, whatever rs2."""
INSTRUCTION: Mapping[str, str] = {name: name.removesuffix(BY_ZERO) for name in LEAVES}
FUNCT3 = {name: i for i, name in enumerate(("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"))}
EDGES = [value % 2**32 for value in (0, 1, 2, 3, -1, -2, -3, 15, 16, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000, 0x55555555)]
EDGES += [value % 2**32 for value in (-(2**31), -(2**31) + 1, 2**31 - 1, 2**31 - 2, 2**28, -(2**28), 0x8000_0010)]


def _result(name: str) -> Callable[[int, int], int]:
    function: Callable[[int, int], int] = getattr(muldiv, INSTRUCTION[name])
    return (lambda rs1, _: function(rs1, 0)) if name.endswith(BY_ZERO) else function


RESULT: Mapping[str, Callable[[int, int], int]] = {name: _result(name) for name in LEAVES}


def concerns(name: str, words: Words) -> bool:
    """Whether this leaf has to judge `written` of its instruction."""
    return f"{name}{BY_ZERO}" not in LEAVES or words["rs2"] != 0


def signed(word: int) -> int:
    return word - (word >> 31 << 32)


def statement(name: str, rs1: int, rs2: int, rng: Random) -> dict[str, int]:
    """The true words of group `operation`, with random registers."""
    registers = rng.randrange(1, 32) << 7 | rng.randrange(32) << 15 | rng.randrange(32) << 20
    rs2 = 0 if name.endswith(BY_ZERO) else rs2
    instr = 1 << 25 | FUNCT3[INSTRUCTION[name]] << 12 | 0x33 | registers
    return {"outcome": 11, "instr": instr, "mode": 0, "rs1": rs1, "rs2": rs2, "written": RESULT[name](rs1, rs2)}


@cache
def _spender(name: str) -> Spender:
    leaf = LEAVES[name]
    return Spender(bytes([op.OP_TOALTSTACK]) * len(leaf.hints) + body_script(leaf))


def accepts(leaf: ExecutionLeaf, words: Words, hints: Sequence[int]) -> bool:
    return accepts_items(leaf, [*body_items(leaf, words), *map(encode_number, hints)])


def accepts_items(leaf: ExecutionLeaf, items: Sequence[bytes]) -> bool:
    return _spender(leaf.name.removeprefix("written.")).accepts(items)


def hints_about(name: str, words: Words) -> Iterator[tuple[int, ...]]:
    """Hints that fit an identity of the statement, its neighbours, and the same number cut in other ways."""
    n, d, w = words["rs1"], words["rs2"], words["written"]
    if name.endswith(BY_ZERO):
        yield from ((index,) for index in range(-1, 10))
    elif name == "mul":
        true = (d & 0xFF_FFFF) * n + ((d >> 24) * (n & 0xFF) << 24) - w
        yield from ((-(true >> 32) + i,) for i in range(-3, 4))
    elif name in ("mulh", "mulhsu", "mulhu"):
        a, b = n if name == "mulhu" else signed(n), signed(d) if name == "mulh" else d
        for written in {w, signed(w)}:
            yield from _cuts(a * b - (written << 32), 28)
    elif name in ("div", "divu"):
        for value in _quotient_values(name, n, d, w):
            yield from _cuts(value, 4)
    else:
        yield from _remainder_hints(name, n, d, w)


def _cuts(value: int, low_bits: int) -> Iterator[tuple[int, int]]:
    """``value = 2^(31 + low_bits) k + 2^low_bits x + l`` with other and with impossible k and x."""
    k, x = value >> low_bits + 31, value >> low_bits & 2**31 - 1
    for i in range(-2, 3):
        for j in (-1, 0, 1):
            yield k + i, x - (i << 31) + j
            yield k + i, x + j


def _quotient_values(name: str, n: int, d: int, w: int) -> set[int]:
    readings = {(n, d, w)} if name == "divu" else {(signed(n), signed(d), w), (signed(n), signed(d), signed(w))}
    return {n - (w + u) * d - s for n, d, w in readings for u in (-1, 0, 1) for s in (0, 1)}


def _remainder_hints(name: str, n: int, d: int, w: int) -> Iterator[tuple[int, int, int]]:
    if name == "rem":
        n, d, w = signed(n), signed(d), signed(w)
    divisor = d or -(2**32)
    around = {(n - w) // divisor, n // divisor, 0, *(t // divisor for t in (2**31, -(2**31), 2**32, w, -w))}
    for quotient in {q + i for q in around for i in (-2, -1, 0, 1, 2)}:
        for high in {quotient >> 24, (quotient >> 24) + 1, (quotient >> 24) - 1, 0}:
            for by_divisor in (0, 1):
                yield quotient - (high << 24), high, by_divisor
