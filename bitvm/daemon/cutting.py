"""Which coins of a wallet to cut into fee coins, and into how many; pure.

A fee coin has to pay for a move in bad times, so a coin counts as one, is *usable*, from half of the wanted value on.
Smaller coins, left over from moves or paid by anybody, go into the next cut if they bring more than their input costs.
Amounts are satoshi, feerates satoshi per virtual byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitcoin.core import CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import key_path_vsize
from bitvm.chain.keys import SpendableCoin
from bitvm.chain.purse import INPUT_VSIZE

LEFT_TO_A_GAME = 2
"""Coins that a cut leaves to each game that runs."""

MOST_SMALL = 100
MOST_CUT = 500
"""Small coins in one cut, and fee coins out of it: so it is far from what nodes refuse as too large."""

_OUTPUT = CTxOut(0, CScript(b"\x51\x20" + bytes(32)))
_OUTPUT_VSIZE = len(_OUTPUT.serialize())


@dataclass(frozen=True, slots=True)
class Cut:
    """Cut these coins into ``count`` fee coins and the change."""

    coins: tuple[SpendableCoin, ...]
    count: int


def spare(free: Sequence[SpendableCoin], usable: int, running: int, in_use: int) -> list[SpendableCoin]:
    """Return the free coins, given largest first, that a cut must leave to ``running`` games.

    usable: the value from which a coin counts. in_use: usable coins that pay for moves now. Two for each game, small
    ones first: the large ones are there to be cut; where there are not so many, the largest that are too small, too.
    With less than one usable coin for each game, games would have to wait for each other, and the largest is cut.
    """
    large = [coin for coin in free if coin.output.nValue >= usable]
    left = LEFT_TO_A_GAME * running
    spared = [*large[max(len(large) - left, 0) :], *free[len(large) :]][:left]
    if len(large) + in_use < running:
        spared = [coin for coin in spared if coin not in large[:1]]
    return spared


def plan_cut(free: Sequence[SpendableCoin], wanted: int, value: int, feerate: float) -> Cut | None:
    """Return the cut of ``free``, given largest first, that makes ``wanted`` more usable coins of ``value`` each.

    It takes the small ones that are worth it, and as few large ones as it can. Fewer coins are made where the money
    does not reach; None where there would be no more usable ones than before.
    """
    each = math.ceil(feerate * INPUT_VSIZE)
    large = [coin for coin in free if coin.output.nValue >= value + value // 2]
    small = [coin for coin in free if each < coin.output.nValue < value // 2][:MOST_SMALL]
    found, most = None, 0
    for number in range(len(large) + 1):
        coins = (*large[:number], *small)
        count, change = _yield(coins, wanted + number, value, feerate)
        more = count + (change >= value // 2) - number
        if count and more > most:
            found, most = Cut(coins, count), more
        if most >= wanted:
            break
    return found


def _yield(coins: Sequence[SpendableCoin], wanted: int, value: int, feerate: float) -> tuple[int, int]:
    """Return how many fee coins a cut makes at most, and its change, which may be one of those that are wanted."""
    fixed = key_path_vsize(len(coins), [_OUTPUT]) + 2  # with very many outputs their number takes two bytes more
    rest = sum(coin.output.nValue for coin in coins) - math.ceil(feerate * fixed)
    a_coin = value + math.ceil(feerate * _OUTPUT_VSIZE)
    count = min(max(wanted - 1, 1), max(rest, 0) // a_coin, MOST_CUT)
    return count, rest - count * a_coin
