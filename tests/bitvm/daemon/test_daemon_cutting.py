"""Which coins are cut into fee coins, and which are left to the games that run."""

from __future__ import annotations

import random

import pytest
from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import key_path_vsize
from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.daemon.cutting import MOST_CUT, MOST_SMALL, plan_cut, spare

KEY = TaprootKey(b"\x01" * 32)
VALUE = 300_000
USABLE = VALUE // 2


def coins(*values):
    """Return coins of these values, largest first, as a purse does."""
    script = CScript(KEY.script_pubkey)
    made = [(value, number) for number, value in enumerate(sorted(values, reverse=True))]
    return [SpendableCoin(COutPoint(bytes(32), number), CTxOut(value, script), KEY) for value, number in made]


def values(found):
    return [coin.output.nValue for coin in found]


def usable_after(free, cut, feerate):
    """Return how many usable coins there are when the cut is confirmed."""
    outputs = [CTxOut(VALUE, CScript(KEY.script_pubkey))] * cut.count
    size = key_path_vsize(len(cut.coins), [*outputs, CTxOut(0, CScript(KEY.script_pubkey))])
    change = sum(values(cut.coins)) - cut.count * VALUE - feerate * size
    assert change > -1
    left = [coin for coin in free if coin not in cut.coins]
    return cut.count + (change >= USABLE) + sum(value >= USABLE for value in values(left))


def test_one_large_coin_becomes_as_many_as_are_wanted():
    free = coins(15_000_000)
    cut = plan_cut(free, 31, VALUE, 10)
    assert usable_after(free, cut, 10) == 32


def test_fewer_are_made_where_the_money_does_not_reach():
    free = coins(1_000_000)
    cut = plan_cut(free, 31, VALUE, 10)
    assert (cut.count, usable_after(free, cut, 10)) == (3, 3)


def test_what_is_worn_down_is_melted_and_dust_is_not():
    free = coins(*[100_000] * 6, 2_000, 1_000)
    cut = plan_cut(free, 5, VALUE, 20)
    assert (values(cut.coins), cut.count) == ([*[100_000] * 6, 2_000], 1)
    assert plan_cut(coins(*[100_000] * 2), 5, VALUE, 20) is None


def test_coins_that_are_good_as_they_are_stay():
    free = coins(*[VALUE] * 5, 400_000, 2_000_000)
    assert values(plan_cut(free, 3, VALUE, 5).coins) == [2_000_000]
    assert plan_cut(coins(*[VALUE] * 5), 3, VALUE, 5) is None
    assert plan_cut(coins(460_000), 1, VALUE, 100) is None, "it would be one coin, as before"


def test_a_cut_is_never_too_large():
    cut = plan_cut(coins(*[10_000] * 5_000, 10**10), 3_000, VALUE, 1)
    assert (len(cut.coins), cut.count) == (MOST_SMALL + 1, MOST_CUT)


def test_every_cut_makes_more_usable_coins():
    draw = random.Random(7)
    for _ in range(2_000):
        free = coins(*[int(10 ** draw.uniform(3, 7.3)) for _ in range(draw.randrange(12))])
        wanted, feerate = draw.randint(1, 20), 10 ** draw.uniform(0, 2.7)
        cut = plan_cut(free, wanted, VALUE, feerate)
        if cut is not None:
            before = sum(value >= USABLE for value in values(free))
            assert before < usable_after(free, cut, feerate) <= before + wanted + 1


@pytest.mark.parametrize(
    ("running", "in_use", "free", "spared"),
    [
        (0, 0, [15_000_000, VALUE], []),
        (1, 0, [15_000_000, VALUE, VALUE], [VALUE, VALUE]),
        (1, 0, [15_000_000], [15_000_000]),
        (2, 0, [15_000_000, VALUE, 100_000, 90_000, 80_000], [15_000_000, VALUE, 100_000, 90_000]),
        (3, 1, [15_000_000, VALUE], [15_000_000, VALUE]),
        (4, 1, [15_000_000, VALUE], [VALUE]),
        (16, 0, [15_000_000, 100_000, 90_000], [100_000, 90_000]),
        (2, 0, [100_000] * 6, [100_000] * 4),
    ],
)
def test_running_games_keep_their_coins(running, in_use, free, spared):
    assert values(spare(coins(*free), USABLE, running, in_use)) == spared
