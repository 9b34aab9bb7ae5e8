"""The turns that Close claims, against the place that Path claims: every place nibble, gap, narrow and claim."""

from random import Random

import pytest
from pathwords import (
    accepts,
    assert_agree,
    assert_encodings_do_not_matter,
    changed,
    leaf_accepts,
)

from bitvm.leaves.fields import Kind
from bitvm.leaves.path.turns import turn_proofs
from bitvm.leaves.proof import Said

(TURNS,) = turn_proofs()


def close(place: int, gap: int, narrow: int, turns: int, kind: int = Kind.INSTR) -> Said:
    return Said(
        {
            "path.kind": int(kind),
            "path.level": 0,
            "path.place": place,
            "close.gap": gap,
            "close.narrow": narrow,
            "close.turns": turns,
        }
    )


@pytest.mark.parametrize("gap", range(3))
@pytest.mark.parametrize("narrow", range(4))
def test_every_claim_but_the_two_bits_loses(gap: int, narrow: int) -> None:
    rng = Random(4 * gap + narrow)
    for pair in range(4):
        place = rng.getrandbits(24) & ~(3 << 8 * gap + 2 * narrow) | pair << 8 * gap + 2 * narrow
        bits = [int(bit) for bit in reversed(f"{place:024b}")]
        lower, upper = bits[8 * gap + 2 * narrow], bits[8 * gap + 2 * narrow + 1]
        for turns in range(16):
            said = close(place, gap, narrow, turns)
            true = turns == lower + 2 * upper
            assert (TURNS.wins(said) is None) == true
            assert accepts(TURNS, said, ()) != true


def test_one_wrong_bit_of_the_place_is_seen_only_where_it_is_shown() -> None:
    place = 0x5A_C3_96
    for gap in range(3):
        for narrow in range(4):
            level = 8 * gap + 2 * narrow
            turns = place >> level & 3
            for bit in range(24):
                shown = bit in {level, level + 1}
                assert accepts(TURNS, close(place ^ 1 << bit, gap, narrow, turns), ()) == shown


def test_agrees_with_the_twin_on_anything() -> None:
    rng = Random(1)
    verdicts = [
        assert_agree(
            TURNS,
            close(rng.getrandbits(24), rng.choice((0, 1, 2, 3, 15)), rng.randrange(6), rng.randrange(5), kind),
            rng,
        )
        for kind in range(16)
        for _ in range(40)
    ]
    assert set(verdicts) == {False, True}


@pytest.mark.parametrize("kind", range(Kind.LEFT, 16))
def test_entries_have_no_turns(kind: int) -> None:
    assert not accepts(TURNS, close(0, 0, 0, 3, kind), ())


def test_places_that_close_cannot_show() -> None:
    for gap, narrow in ((3, 0), (15, 3), (0, 4), (2, 15)):
        assert not accepts(TURNS, close(0, gap, narrow, 3), ())


def test_encodings_do_not_matter() -> None:
    rng = Random(2)
    for _ in range(20):
        gap, narrow, place = rng.randrange(3), rng.randrange(4), rng.getrandbits(24)
        true = close(place, gap, narrow, place >> 8 * gap + 2 * narrow & 3)
        lie = changed(true, close__turns=true.words["close.turns"] ^ rng.randint(1, 15))
        assert_encodings_do_not_matter(TURNS, lie, true, rng)


def test_whole_leaf() -> None:
    assert leaf_accepts(TURNS, close(0x123456, 1, 2, 0), ())  # bits 13, 12 of the place are 11
    assert not leaf_accepts(TURNS, close(0x123456, 1, 2, 3), ())
