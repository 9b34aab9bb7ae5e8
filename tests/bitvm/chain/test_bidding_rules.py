"""What a bid does whatever the market does: it rises, it ends at the highest, it does not fidget."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitvm.chain.bidding import WORTH_REPLACING, Bid, bid

feerates = st.floats(0.1, 10_000)
spans = st.integers(1, 500)


def course(span: int, market: float, highest: float, minimum: float = 0.1) -> list[Bid]:
    """Return the bids of an order that is never confirmed, block by block."""
    bids: list[Bid] = []
    for elapsed in range(span):
        last = bids[-1].feerate if bids else None
        bids.append(
            bid(market=market, minimum=minimum, elapsed=elapsed, left=span - elapsed, highest=highest, last=last)
        )
    return bids


@given(span=spans, market=feerates, highest=feerates)
def test_bid_ends_at_the_highest_in_the_last_third(span: int, market: float, highest: float) -> None:
    bids = course(span, market, highest)
    assert bids[-1].feerate == highest
    first = next(elapsed for elapsed, each in enumerate(bids) if each.feerate == highest)
    if market < highest / WORTH_REPLACING:
        assert first + 1 >= 2 * span / 3 or first >= span - 2
    assert bids[0].feerate == (min(market, highest) if span > 1 else highest)


@given(data=st.data(), span=st.integers(1, 60), highest=feerates)
def test_bid_never_falls_and_never_exceeds_the_highest(data: st.DataObject, span: int, highest: float) -> None:
    last = None
    for elapsed in range(span + 3):
        now = bid(
            market=data.draw(feerates),
            minimum=data.draw(st.floats(0.1, 50)),
            elapsed=elapsed,
            left=data.draw(st.sampled_from([None, span - elapsed])),
            highest=highest,
            last=last,
        )
        assert now.feerate <= highest
        assert last is None or now.feerate >= last
        assert now.replaces == (last is None or now.feerate > last)
        last = now.feerate


@given(market=feerates, elapsed=st.integers(0, 500), left=st.none() | spans, highest=feerates)
def test_nothing_changes_while_nothing_changes(market: float, elapsed: int, left: int | None, highest: float) -> None:
    first = bid(market=market, minimum=0.1, elapsed=elapsed, left=left, highest=highest)
    again = bid(market=market, minimum=0.1, elapsed=elapsed, left=left, highest=highest, last=first.feerate)
    assert first.replaces
    assert (again.feerate, again.replaces) == (first.feerate, False)


@given(span=st.integers(6, 500), market=feerates, highest=feerates)
def test_replacements_are_few_and_worth_it(span: int, market: float, highest: float) -> None:
    bids = course(span, market, highest)
    for before, after in itertools.pairwise(bids):
        if after.replaces:
            assert after.feerate >= WORTH_REPLACING * before.feerate or after.near
    assert sum(each.replaces for each in bids) <= 54  # a factor of 100,000 in steps of a quarter, and the last one


@given(market=feerates, last=feerates, elapsed=spans)
def test_without_a_deadline_it_follows_the_market_up(market: float, last: float, elapsed: int) -> None:
    now = bid(market=market, minimum=0.1, elapsed=elapsed, left=None, highest=1e6, last=last)
    assert now.feerate == (market if market >= WORTH_REPLACING * last else last)
    assert not now.near


@pytest.mark.parametrize(("minimum", "feerate"), [(5.0, 5.0), (4.0, 4.0), (20.0, 10.0)])
def test_bid_below_the_minimum_is_raised(minimum: float, feerate: float) -> None:
    now = bid(market=1, minimum=minimum, elapsed=0, left=None, highest=10, last=3.9)
    assert now == Bid(feerate, replaces=True, near=False)


def test_bid_that_would_only_be_a_little_higher_waits_for_the_end() -> None:
    early = bid(market=10, minimum=1, elapsed=0, left=12, highest=11, last=10)
    late = bid(market=10, minimum=1, elapsed=10, left=2, highest=11, last=10)
    assert (early, late) == (Bid(10, replaces=False, near=False), Bid(11, replaces=True, near=True))


def test_course_of_a_typical_order() -> None:
    feerates = [round(each.feerate, 1) for each in course(12, market=5, highest=80)]
    assert feerates == [5, 5, 5, 5, 5, 5, 5, 10, 20, 40, 80, 80]
