from dataclasses import replace

import pytest

from bitvm.graph.parameters import ParameterError, Parameters

GOOD = Parameters(bytes(24))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_root": bytes(32)}, "image_root: 24 bytes"),
        ({"levels": 0}, "levels: a whole number from 1 to 8"),
        ({"levels": True}, "levels"),
        ({"levels": 6}, "more than 2\\^32"),
        ({"width": 32}, "width: one of"),
        ({"width": 256, "levels": 4}, "width: one of"),
        ({"entry": 2}, "entry: a multiple of 4"),
        ({"entry": -4}, "entry: a whole number"),
        ({"entry": 2**32}, "entry: a whole number"),
        ({"claims": 0}, "claims: a whole number from 1 to 64"),
        ({"claims": 65}, "claims"),
        ({"attesters": 2, "quorum": 1}, "attesters: a whole number from 0 to 1"),
        ({"challengers": 8, "attesters": 5, "quorum": 1}, "attesters: a whole number from 0 to 4"),
        ({"attesters": 1}, "quorum: a whole number from 1 to 1"),
        ({"quorum": 1}, "quorum: a whole number from 0 to 0"),
        ({"attesters": 1, "quorum": 2}, "quorum"),
        ({"tries": 0}, "tries"),
        ({"tries": 17}, "tries"),
        ({"answer_price": 329}, "answer_price"),
        ({"answer_price": 800_000}, "stake: levels"),
        ({"refute_fee": 0}, "refute_fee"),
        ({"refute_fee": 3_999_000}, "stake: levels"),
        ({"fee_ceiling": 0}, "fee_ceiling"),
        ({"delta": 40_000, "delta_long": 65_535}, "delta_long"),
        ({"challengers": 17}, "challengers"),
        ({"confirmations": 0}, "confirmations"),
        ({"delta": 4}, "delta: more than twice"),
        ({"delta": 1.5}, "delta"),
        ({"delta_long": 100}, "delta_long: at least"),
        ({"delta_long": 70_000}, "65535"),
        ({"stake": 100}, "stake"),
        ({"reward": 20_000_000}, "bond: .* must exceed"),
    ],
)
def test_impossible_parameters_are_named(change, message):
    with pytest.raises(ParameterError, match=message):
        replace(GOOD, **change)


def test_a_file_round_trips_and_its_errors_name_file_and_field(tmp_path):
    path = tmp_path / "set-up.yaml"
    path.write_text(f"image_root: '{'ab' * 24}'\nlevels: 3\ndelta: 20\n")
    loaded = Parameters.load(path)
    assert (loaded.levels, loaded.delta, loaded.image_root) == (3, 20, b"\xab" * 24)
    assert Parameters.from_mapping(loaded.to_json()) == loaded
    for text, message in (
        ("levels: 3\n", "image_root: missing"),
        ("image_root: zz\n", "not hexadecimal"),
        ("image_root: 12\n", "not hexadecimal"),
        (f"image_root: '{'ab' * 24}'\nlevel: 3\n", "unknown fields: level"),
        ("- 1\n", "a mapping"),
        ("a: [\n", "set-up.yaml"),
        ("levels: 3\nlevels: 4\n", "a field is given twice near line 2"),
    ):
        path.write_text(text)
        with pytest.raises(ParameterError, match=message) as caught:
            Parameters.load(path)
        assert str(path) in str(caught.value)
    with pytest.raises(ParameterError, match="No such file"):
        Parameters.load(tmp_path / "none.yaml")


def test_figures_follow_from_the_fields():
    assert GOOD.steps == 2**30
    assert [GOOD.interval(level) for level in range(1, 6)] == [2**24, 2**18, 2**12, 64, 1]
    assert GOOD.burn == GOOD.bond - GOOD.reward
    assert replace(GOOD, challengers=3).burn == GOOD.burn - 2 * GOOD.compensation
    assert GOOD.moves == 5 + 4 + 1 + 4 * 5 + 7 + 1
    assert GOOD.longest_game == (GOOD.moves + 1) * (GOOD.delta + 1)
    assert GOOD.canonical() != replace(GOOD, delta=13).canonical()


def test_the_least_stake_leaves_all_outputs_above_dust():
    least = 5 * GOOD.answer_price + GOOD.refute_fee + 3 * 330
    assert replace(GOOD, stake=least).stake == least
    with pytest.raises(ParameterError, match=f"{least} sat needed at least, got {least - 1}"):
        replace(GOOD, stake=least - 1)
