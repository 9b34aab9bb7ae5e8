"""Which feerate to pay now, so that a transaction confirms before its deadline and costs no more than it must.

A bid starts at the market's price for the time that is left. From half of the time on it rises, each block by the same
factor, to the highest feerate allowed, which it pays during the last sixth and in the last block. Before half of the
time and without a deadline it follows the market.

A bid never falls below an earlier one. A new bid replaces the old one only if it is at least a quarter higher, if the
deadline is near, or if the old one is below what the node relays: every replacement costs bandwidth, pays for itself,
and is refused if it is too small. Everything here is pure.
"""

from __future__ import annotations

from dataclasses import dataclass

RISING_FROM = 1 / 2
"""The share of the time after which a bid rises."""
HIGHEST_FROM = 5 / 6
"""The share of the time after which it is the highest allowed."""
LAST_BLOCKS = 1
"""With so many blocks left it is, too, however short the time was."""
WORTH_REPLACING = 1.25
"""How many times the old bid a new one must be to replace it."""


@dataclass(frozen=True, slots=True)
class Bid:
    """What to pay, in satoshi a virtual byte, and whether that takes another transaction than the last one.

    feerate: never above the highest allowed, unless an earlier bid was. replaces: True for the first bid. near: whether
    the deadline is near, so that the highest feerate is paid.
    """

    feerate: float
    replaces: bool
    near: bool


def bid(
    *,
    market: float,
    minimum: float,
    elapsed: int,
    left: int | None,
    highest: float,
    last: float | None = None,
) -> Bid:
    """Return the bid of now.

    market: what confirms within the time that is left. minimum: what is relayed at all. elapsed: blocks since the order
    began. left: blocks until the deadline, None if there is no hurry. highest: the most that may be paid. last: the
    last bid. Where the minimum is above the highest, nothing can be relayed, and the bid is the highest.
    """
    near = left is not None and (left <= LAST_BLOCKS or elapsed >= HIGHEST_FROM * (elapsed + left))
    start = min(max(market, minimum), highest)
    wanted = highest if near else start * _rise(start, highest, elapsed, left)
    if last is None:
        return Bid(wanted, replaces=True, near=near)
    worthwhile = near or wanted >= WORTH_REPLACING * last or last < minimum
    replaces = wanted > last and worthwhile
    return Bid(wanted if replaces else last, replaces, near)


def _rise(start: float, highest: float, elapsed: int, left: int | None) -> float:
    """The factor on `start` that the time has brought: 1 before half of it, `highest / start` at the end."""
    if left is None or start <= 0:
        return 1.0
    share = elapsed / (elapsed + left)
    progress = min(max((share - RISING_FROM) / (HIGHEST_FROM - RISING_FROM), 0.0), 1.0)
    return float((highest / start) ** progress)
