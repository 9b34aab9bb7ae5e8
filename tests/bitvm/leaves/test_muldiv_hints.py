"""No hint wins against a true result of the M extension, whatever it is and however it is written."""

from itertools import product
from random import Random

import pytest
from leafbench import body_items
from muldivbench import EDGES, LEAVES, accepts, accepts_items, concerns, hints_about, statement

from bitvm.leaves.execution.base import ExecutionLeaf, body_builder
from bitvm.script.builder import MAX_NUMBER, encode_number

NAMES = sorted(LEAVES)
LIMITS = (-MAX_NUMBER, -(2**30), -16, -1, 0, 1, 15, 16, 2**27, 2**28, 2**30, MAX_NUMBER)
GARBAGE = (
    b"\x80",
    b"\x00",
    b"\x00\x00\x00\x80",
    b"\x01\x00",
    b"\x00\x00\x00\x00\x00",
    b"\x00\x00\x00\x80\x00",
    b"\x02" * 80,
)


def representable(hints: tuple[int, ...]) -> bool:
    return all(-(2**39) < hint < 2**39 for hint in hints)


@pytest.mark.parametrize("name", NAMES)
def test_tempting_hints_on_edges(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for rs1, rs2 in product(EDGES, EDGES):
        words = statement(name, rs1, rs2, rng)
        choices = list(filter(representable, hints_about(name, words)))
        for hints in choices if len(choices) < 16 else rng.sample(choices, 16):
            assert not accepts(leaf, words, hints), (hints, words)


@pytest.mark.parametrize("name", NAMES)
def test_tempting_hints_on_random_operands(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for _ in range(100):
        words = statement(name, rng.getrandbits(32), rng.getrandbits(32) >> rng.randrange(32), rng)
        choices = list(filter(representable, hints_about(name, words)))
        for hints in choices if len(choices) < 50 else rng.sample(choices, 50):
            assert not accepts(leaf, words, hints), (hints, words)


@pytest.mark.parametrize("name", NAMES)
def test_extreme_and_random_hints(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for _ in range(40):
        words = statement(name, rng.choice(EDGES), rng.choice(EDGES), rng)
        for _ in range(20):
            hints = tuple(rng.choice((*LIMITS, rng.randrange(-MAX_NUMBER, MAX_NUMBER))) for _ in leaf.hints)
            assert not accepts(leaf, words, hints), (hints, words)


def shifted(leaf: ExecutionLeaf, items: list[bytes]) -> list[list[bytes]]:
    """The hints with one replaced by garbage."""
    return [[*items[:i], item, *items[i + 1 :]] for i in range(len(leaf.hints)) for item in GARBAGE]


@pytest.mark.parametrize("name", NAMES)
def test_garbage_in_hints(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for rs1, rs2 in ((0, 0), (0, 5), (7, 0), (2**31, 2**32 - 1), (1_000, 7), (2**31, 2**31)):
        words = statement(name, rs1, rs2, rng)
        for hints in list(filter(representable, hints_about(name, words)))[:6]:
            for items in shifted(leaf, [encode_number(hint) for hint in hints]):
                assert not accepts_items(leaf, [*body_items(leaf, words), *items]), (items, words)


def padded(item: bytes) -> bytes:
    """The same number with a superfluous byte."""
    return item[:-1] + bytes([item[-1] & 0x7F, item[-1] & 0x80]) if item else b"\x80"


@pytest.mark.parametrize("name", NAMES)
def test_encodings_of_nibbles_and_hints_do_not_matter(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for rs1, rs2 in product((0, 5, 2**31, 2**32 - 1, 0x1234_5678), repeat=2):
        words = statement(name, rs1, rs2, rng)
        lie = {**words, "written": words["written"] ^ 0x10}
        hints = leaf.wins(lie)
        if not concerns(name, words):
            assert hints is None
            continue
        assert hints is not None
        items = [encode_number(hint) for hint in hints]
        items = [padded(item) if len(item) < 4 else item for item in items]
        assert accepts_items(leaf, [*map(padded, body_items(leaf, lie)), *items]), (hints, lie)
        assert not accepts_items(leaf, [*map(padded, body_items(leaf, words)), *items]), (hints, words)


def test_sizes() -> None:
    """Bytes of a leaf without signatures; BitVMX needs 3,895 for mul, 4,487 for mulh, 4,777 for divu, 5,833 for div."""
    largest = {"mul": 380, "mulh": 533, "mulhsu": 514, "mulhu": 494, "div": 581, "divu": 483}
    largest |= {"rem": 581, "remu": 515, "rem_by_zero": 78, "remu_by_zero": 78}
    for name, leaf in LEAVES.items():
        builder = body_builder(leaf)
        leaf.body(builder)
        assert len(builder.script()) <= largest[name]
        assert builder.peak < 100
