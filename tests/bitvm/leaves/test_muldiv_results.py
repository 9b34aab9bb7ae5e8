"""The leaves of the M extension on results: a true one is safe, any wrong one is caught, nothing else concerns them."""

from collections.abc import Iterator
from random import Random

import pytest
from muldivbench import BY_ZERO, EDGES, LEAVES, RESULT, accepts, concerns, hints_about, statement

NAMES = sorted(LEAVES)


def wrong_results(true: int, rng: Random) -> Iterator[int]:
    """Off by one, one bit, one nibble, the negative, extremes, and anything."""
    yield from ((true + 1) % 2**32, (true - 1) % 2**32, -true % 2**32, ~true % 2**32, 0, 2**31, 2**32 - 1)
    yield from (true ^ 1 << 31, true ^ 1 << rng.randrange(32), true ^ rng.randrange(1, 16) << 4 * rng.randrange(8))
    yield rng.getrandbits(32)


def assert_decided(name: str, words: dict[str, int], rng: Random) -> None:
    """A true `written` has no winning hints; a wrong one has, and they win, if the leaf is about such operands."""
    leaf, true = LEAVES[name], RESULT[name](words["rs1"], words["rs2"])
    assert leaf.wins({**words, "written": true}) is None, words
    for written in wrong_results(true, rng):
        lie = {**words, "written": written}
        hints = leaf.wins(lie)
        assert (hints is None) == (written == true or not concerns(name, words)), lie
        if hints is not None:
            assert accepts(leaf, lie, hints), (hints, lie)
            assert not accepts(leaf, {**words, "written": true}, hints), (hints, lie)


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_of_edges(name: str) -> None:
    rng = Random(name)
    for rs1 in EDGES:
        for rs2 in EDGES:
            assert_decided(name, statement(name, rs1, rs2, rng), rng)


@pytest.mark.parametrize("name", NAMES)
def test_random_operands(name: str) -> None:
    rng = Random(name)
    for _ in range(300):
        rs1, rs2 = (rng.getrandbits(rng.choice((32, 32, 31, 24, 16, 8))) for _ in range(2))
        if rng.random() < 0.3:
            rs1 = -rs1 % 2**32
        if rng.random() < 0.3:
            rs2 = -rs2 % 2**32
        assert_decided(name, statement(name, rs1, rs2, rng), rng)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_many_random_operands(name: str) -> None:
    rng = Random()
    for _ in range(5_000):
        rs1, rs2 = (rng.getrandbits(32) >> rng.randrange(32) for _ in range(2))
        assert_decided(name, statement(name, rs1, -rs2 % 2**32 if rng.random() < 0.3 else rs2, rng), rng)


@pytest.mark.parametrize("name", NAMES)
def test_a_remainder_that_is_too_large_by_divisors(name: str) -> None:
    """Results that solve the equation but not the inequality: ``q - i, r + i d``, and for products other digits."""
    leaf, rng = LEAVES[name], Random(name)
    for _ in range(150):
        rs1, rs2 = rng.getrandbits(32), rng.choice((rng.getrandbits(32), rng.getrandbits(31), rng.randrange(1, 99)))
        words, true = statement(name, rs1, rs2, rng), RESULT[name](rs1, rs2)
        for offset in (rs2, -rs2, 2 * rs2, 3 * rs2, 16, -16, 2**27, 2**28, 2**24, 0xFF00_0000):
            lie = {**words, "written": (true + offset) % 2**32}
            if lie["written"] != true:
                hints = leaf.wins(lie)
                assert hints is not None, lie
                assert accepts(leaf, lie, hints), (hints, lie)


@pytest.mark.parametrize("name", NAMES)
def test_no_other_instruction_and_no_other_outcome(name: str) -> None:
    """With hints that win, no other opcode, funct3, funct7, rd = x0 or outcome will do."""
    leaf, rng = LEAVES[name], Random(name)
    for _ in range(4):
        words = statement(name, rng.getrandbits(32), rng.getrandbits(31), rng)
        words["written"] = RESULT[name](words["rs1"], words["rs2"]) ^ 1 << rng.randrange(32)
        hints = leaf.wins(words)
        assert hints is not None
        assert accepts(leaf, words, hints)
        foreign = [words["instr"] & ~0xF80]
        for low, width in ((0, 7), (12, 3), (25, 7)):
            own = words["instr"] & ~((2**width - 1) << low)
            foreign += [own | value << low for value in range(2**width) if own | value << low != words["instr"]]
        for other in [{"instr": instr} for instr in foreign] + [{"outcome": o} for o in range(16) if o != 11]:
            assert leaf.wins(words | other) is None, other
            assert not accepts(leaf, words | other, hints), other


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith(BY_ZERO)])
def test_by_zero_means_by_zero(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for rs2 in (*(digit << 4 * place for place in range(8) for digit in (1, 8, 15)), 2**32 - 1):
        words = statement(name, 0x1234_5678, 0, rng) | {"rs2": rs2, "written": 0xFEDC_BA98}
        assert leaf.wins(words) is None
        assert not any(accepts(leaf, words, hints) for hints in hints_about(name, words)), words


@pytest.mark.parametrize("name", NAMES)
def test_registers_do_not_matter(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    words = statement(name, 0xDEAD_BEEF, 77, rng)
    words["written"] = RESULT[name](words["rs1"], words["rs2"]) + 1
    hints = leaf.wins(words)
    assert hints is not None
    for rd in range(1, 32):
        registers = rd << 7 | rng.randrange(32) << 15 | rng.randrange(32) << 20
        assert accepts(leaf, {**words, "instr": words["instr"] & ~0x01FF_8F80 & 0xFFFF_FFFF | registers}, hints)


def test_bench_knows_what_tempts() -> None:
    """The adversarial hints include the winning ones, or they would prove nothing."""
    rng = Random(1)
    for name in NAMES:
        words = statement(name, 1_000_003, 0x1234, rng)
        lie = {**words, "written": RESULT[name](1_000_003, 0x1234) ^ 1}
        assert any(accepts(LEAVES[name], lie, hints) for hints in hints_about(name, lie)), name
