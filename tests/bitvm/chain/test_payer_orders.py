"""Orders on a node that has room: what is sent, kept, sent again, refused, and what it may cost."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bitcoin.core import CMutableTransaction, COutPoint, CTransaction, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from chain_bench import Bench
from payer_bench import PayerBench
from sqlite_utils import Database

from bitvm import database
from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.interface import Rejected
from bitvm.chain.payer import CHILD_VSIZE, Delivery, DeliveryState, Order, Payer
from bitvm.chain.purse import Purse
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import NodeUnreachableError
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid, vsize

pytestmark = pytest.mark.bitcoind


@pytest.fixture
def bench(node_chain: BitcoindChain, tmp_path: Path) -> Iterator[PayerBench]:
    bench = PayerBench(node_chain, tmp_path)
    with bench.purse:
        yield bench


def child_of(bench: PayerBench, purpose: str) -> CTransaction:
    recorded = bench.purse.recorded(purpose)
    assert recorded is not None
    return recorded.transaction


# ---- sending


def test_order_is_sent_once_and_then_waits(bench: PayerBench) -> None:
    bench.fund(50_000, 60_000)
    order = bench.order()
    sent = bench.deliver(order)
    child = child_of(bench, order.purpose)
    assert (sent.state, sent.child) == (DeliveryState.SENT, txid(child))
    assert vsize(child) == CHILD_VSIZE
    assert sent.fee == pytest.approx(sent.feerate * (vsize(order.transaction) + CHILD_VSIZE))
    assert set(bench.waiting()) == {txid(order.transaction), txid(child)}
    for _ in range(3):
        assert bench.deliver(order) == replace(sent, state=DeliveryState.WAITING, text="waits")
    bench.chain.mine()
    assert bench.is_confirmed(order)
    assert bench.deliver(order).text == "confirmed"
    bench.payer.settle(order.purpose)
    bench.purse.refresh(bench.chain, bench.chain.height())
    assert bench.purse.balance() == 110_000 - sent.fee
    assert bench.payer.purposes() == ()


def test_bid_rises_with_the_deadline_and_stays_within_the_budget(bench: PayerBench) -> None:
    bench.fund(50_000)
    order = bench.order(blocks=12, budget=30_000)
    states, fees = [], []
    for _ in range(12):
        told = bench.deliver(order)
        states.append(told.state)
        fees.append(told.fee)
        assert set(bench.waiting()) == {txid(order.transaction), told.child}
        bench.mine_empty()
    assert fees == sorted(fees)
    assert fees[-1] == 30_000
    assert states[:7] == [DeliveryState.SENT] + [DeliveryState.WAITING] * 6
    assert states[7:] == [DeliveryState.REPLACED] * 4 + [DeliveryState.WAITING]
    bench.chain.mine()
    assert bench.is_confirmed(order)


def test_order_without_a_hurry_is_not_replaced(bench: PayerBench) -> None:
    bench.fund(50_000)
    order = bench.order(blocks=None)
    bench.deliver(order)
    for _ in range(20):
        bench.mine_empty()
        assert bench.deliver(order).state is DeliveryState.WAITING


def test_transaction_without_anchor_is_sent_as_it_is(bench: PayerBench) -> None:
    order = bench.order(version=2, own_fee=500, anchored=False, budget=0)
    told = bench.deliver(order)
    assert (told.state, told.fee, told.child) == (DeliveryState.SENT, 0, None)
    assert told.feerate == pytest.approx(order.own_fee / vsize(order.transaction))
    assert bench.deliver(order).state is DeliveryState.WAITING
    bench.chain.mine()
    assert bench.deliver(order).text == "confirmed"
    assert bench.payer.purposes() == ()


def test_parent_with_a_fee_of_its_own(bench: PayerBench) -> None:
    order = bench.order(version=2, own_fee=500, budget=20_000)
    alone = bench.deliver(order)
    assert alone.state is DeliveryState.UNPAID
    assert "sent without a child" in alone.text
    assert bench.waiting() == [txid(order.transaction)]
    bench.chain.mine()
    assert bench.deliver(order).text == "confirmed"
    bench.fund(50_000)
    other = bench.order(blocks=1, version=2, own_fee=500, budget=20_000)
    told = bench.deliver(other)
    assert told.state is DeliveryState.SENT
    assert told.fee + other.own_fee == 20_000
    bench.chain.mine()
    assert bench.is_confirmed(other)


# ---- refused


def test_bad_script_is_found_before_anything_is_sent(bench: PayerBench) -> None:
    bench.fund(50_000)
    order = bench.order()
    bad = CMutableTransaction.from_tx(order.transaction)
    bad.wit = CTxWitness([CTxInWitness(CScriptWitness([bytes(64)]))])
    for each in (
        replace(order, transaction=CTransaction.from_tx(bad)),
        replace(order, transaction=CTransaction.from_tx(bad), anchor_index=None),
    ):
        told = bench.deliver(each)
        assert told.state is DeliveryState.REFUSED
        assert "the script of input 0 fails" in told.text
    assert bench.waiting() == []
    assert bench.purse.recorded(order.purpose) is None
    assert bench.deliver(order).state is DeliveryState.SENT


def test_refusal_of_the_node_is_told_and_tried_again(bench: PayerBench) -> None:
    bench.fund(50_000)
    coin = bench.parent_coin()
    order = bench.order(coin=coin, lock=bench.chain.height() + 1)
    refused = bench.deliver(order)
    assert refused.state is DeliveryState.REFUSED
    assert "non-final" in refused.text
    bench.mine_empty()
    told = bench.deliver(order)
    assert (told.state, told.child) == (DeliveryState.SENT, refused.child)


def test_minimum_above_the_budget(bench: PayerBench) -> None:
    bench.fund(50_000)
    order = bench.order(budget=10)
    told = bench.deliver(order)
    assert told.state is DeliveryState.OVER_BUDGET
    assert "the budget of 10 sat leaves 10 sat" in told.text
    assert (bench.waiting(), bench.payer.purposes()) == ([], ())


# ---- coins


def test_no_coin_at_all(bench: PayerBench) -> None:
    told = bench.deliver(bench.order())
    assert told.state is DeliveryState.UNPAID
    assert "the largest free one has 0" in told.text
    assert bench.waiting() == []


def test_coin_too_small_is_followed_by_a_larger_one(bench: PayerBench) -> None:
    bench.fund(1_000, 20_000, 40_000)
    order = bench.order(blocks=12, budget=39_000)
    coins = []
    for _ in range(12):
        told = bench.deliver(order)
        assert told.state is not DeliveryState.REFUSED
        coins.append(child_of(bench, order.purpose).vin[1].prevout)
        assert set(bench.waiting()) == {txid(order.transaction), told.child}
        bench.mine_empty()
    assert told.fee == 39_000
    assert len(set(coins)) == 3
    assert bench.purse.coins() == ()  # all stay with the purpose while any of its children may be about
    bench.chain.mine()
    bench.payer.settle(order.purpose)
    bench.purse.refresh(bench.chain, bench.chain.height())
    assert bench.purse.balance() == 61_000 - 39_000


def test_coin_that_is_all_there_is_pays_what_it_can(bench: PayerBench) -> None:
    bench.fund(10_000)
    order = bench.order(blocks=1, budget=30_000)
    told = bench.deliver(order)
    assert (told.state, told.fee) == (DeliveryState.SENT, 10_000 - 330)
    assert "sent with 9670 sat in place of 30000" in told.text
    again = bench.deliver(order)
    assert (again.state, again.fee) == (DeliveryState.UNPAID, told.fee)
    assert set(bench.waiting()) == {txid(order.transaction), told.child}


def test_payers_with_one_purse_use_different_coins(bench: PayerBench) -> None:
    bench.fund(*[50_000] * 4)
    orders = [bench.order() for _ in range(4)]
    with Purse.open(bench.path, bench.key) as purse, RemoteNode(bench.chain._access) as node:
        payers = [bench.payer, Payer(node, purse)]
        for number, order in enumerate(orders):
            told = payers[number % 2].deliver(order, bench.chain.height())
            assert told.state is DeliveryState.SENT
            other = payers[(number + 1) % 2].deliver(order, bench.chain.height())
            assert (other.state, other.child) == (DeliveryState.WAITING, told.child)
    used = {child_of(bench, order.purpose).vin[1].prevout for order in orders}
    assert len(used) == len(orders)


def test_coin_that_was_spent_elsewhere_is_noticed(bench: PayerBench) -> None:
    """Somebody uses the same seed with another wallet."""
    bench.fund(20_000, 50_000)
    order = bench.order(budget=10_000)
    thief = Bench(bench.chain, Wallet(bench.chain, bench.key))
    coin = bench.purse.coins()[1]
    stolen = thief.spend(bench.key, (coin.outpoint, coin.output), fee=500)
    bench.chain.submit([stolen])
    told = bench.payer.deliver(order, bench.chain.height())
    assert told.state is DeliveryState.UNPAID
    assert "for another purpose" in told.text
    bench.chain.mine()
    told = bench.payer.deliver(order, bench.chain.height())
    assert told.state is DeliveryState.UNPAID
    assert "is gone" in told.text
    told = bench.deliver(order)
    assert told.state is DeliveryState.SENT
    assert child_of(bench, order.purpose).vin[1].prevout != coin.outpoint


def test_child_whose_coin_is_gone_is_made_anew(bench: PayerBench) -> None:
    bench.fund(20_000, 50_000)
    order = bench.order(budget=10_000)
    first = bench.deliver(order)
    coin = bench.purse.reserved()[0].coin
    thief = Bench(bench.chain, Wallet(bench.chain, bench.key))
    bench.chain.submit([thief.spend(bench.key, (coin.outpoint, coin.output), fee=5_000)])
    bench.chain.mine()
    assert not bench.is_confirmed(order)
    again = bench.deliver(order)
    assert again.state is DeliveryState.SENT
    assert again.child != first.child
    assert set(bench.waiting()) == {txid(order.transaction), again.child}


# ---- opponents


def test_opponent_can_neither_attach_nor_replace(bench: PayerBench) -> None:
    bench.fund(50_000)
    coin = bench.parent_coin()
    owner = coin[0]
    order = bench.order(coin=coin, payee=owner)
    told = bench.deliver(order)
    assert told.state is DeliveryState.SENT
    # the owner of the other output, with any fee: the node wants the anchor spent as well
    parent = order.transaction
    thief = Bench(bench.chain, Wallet(bench.chain, owner))
    attached = thief.spend(owner, (COutPoint(txid(parent), 0), parent.vout[0]), fee=40_000, version=3)
    with pytest.raises(Rejected, match="missing-ephemeral-spends"):
        bench.chain.submit([attached])
    # a child of the anchor without its key
    forged = CMutableTransaction.from_tx(child_of(bench, order.purpose))
    forged.vout[0] = CTxOut(1_000, CScript(owner.script_pubkey))
    with pytest.raises(Rejected, match="Invalid Schnorr signature"):
        bench.chain.submit([CTransaction.from_tx(forged)])
    assert bench.deliver(order).state is DeliveryState.WAITING
    bench.chain.mine()
    assert bench.is_confirmed(order)


@pytest.mark.parametrize(("version", "own_fee"), [(3, 0), (2, 1_000)])
def test_rival_that_waits_is_outbid(bench: PayerBench, version: int, own_fee: int) -> None:
    """Two transactions may spend one output: whoever pays more wins."""
    bench.fund(50_000, 60_000)
    coin = bench.parent_coin()
    paid = bench.deliver(hurried(bench, coin))
    assert paid.state is DeliveryState.SENT
    ours = bench.order(coin=coin, version=version, own_fee=own_fee)
    outbids(bench, ours, paid)
    bench.chain.mine()
    assert bench.is_confirmed(ours)


def hurried(bench: PayerBench, coin: Any) -> Order:
    """Return an order whose bid has risen above the market."""
    order = bench.order(coin=coin)
    return replace(order, since=order.since - 8, deadline=order.since + 4)


def outbids(bench: PayerBench, ours: Order, paid: Delivery) -> None:
    told = bench.deliver(ours)
    assert told.state is DeliveryState.SENT, told.text
    assert told.feerate > paid.feerate
    assert set(bench.waiting()) == {txid(ours.transaction), told.child}


def test_an_order_gives_way_to_a_comrade_that_pays_enough(bench: PayerBench) -> None:
    bench.fund(50_000, 60_000)
    coin = bench.parent_coin()
    rival = hurried(bench, coin)
    paid = bench.deliver(rival)
    told = bench.deliver(bench.order(coin=coin, comrades=frozenset({txid(rival.transaction)}), yields_for=1))
    assert told.state is DeliveryState.OUTRUN
    assert txid(rival.transaction)[::-1].hex() in told.text
    assert set(bench.waiting()) == {txid(rival.transaction), paid.child}


@pytest.mark.parametrize("reason", ["parked below our price", "too late to wait for it", "another one waits, too"])
def test_a_comrade_that_does_not_serve_is_outbid(bench: PayerBench, reason: str) -> None:
    """A sybil's transaction that is sent to wait, not to be mined, must not keep ours from being mined."""
    bench.fund(50_000, 60_000)
    coin = bench.parent_coin()
    rival, ours = hurried(bench, coin), bench.order(coin=coin)
    if reason == "parked below our price":
        rival, ours = ours, rival
    paid = bench.deliver(rival)
    comrades = frozenset({bytes(32) if reason == "another one waits, too" else txid(rival.transaction)})
    late = reason == "too late to wait for it"
    outbids(bench, replace(ours, comrades=comrades, yields_below=bench.chain.height() if late else math.inf), paid)


# ---- crashes


def test_process_that_dies_around_any_record_sends_the_same_bytes(
    bench: PayerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.fund(50_000, 60_000)
    order = bench.order()
    commit = database.commit
    for moment in range(4):  # before and after the reservation, before and after the record of the child
        countdown = iter(range(moment // 2, -10, -1))

        def die(opened: Database, countdown: Iterator[int] = countdown, late: bool = moment % 2 == 1) -> None:
            last = next(countdown) == 0
            if not last or late:
                commit(opened)
            if last:
                raise KeyboardInterrupt

        monkeypatch.setattr(database, "commit", die)
        with Purse.open(bench.path, bench.key) as purse, pytest.raises(KeyboardInterrupt):
            Payer(bench.chain, purse).deliver(order, bench.chain.height())
        monkeypatch.setattr(database, "commit", commit)
        assert bench.waiting() == []
        if moment == 1:
            assert len(bench.purse.reserved()) == 1
    child = child_of(bench, order.purpose)
    told = bench.deliver(order)
    assert (told.state, told.child) == (DeliveryState.SENT, txid(child))
    assert child_of(bench, order.purpose).serialize() == child.serialize()
    assert len(bench.purse.reserved()) == 1


def test_absent_node_is_an_error_and_nothing_is_lost(bench: PayerBench) -> None:
    bench.fund(50_000)
    order = bench.order()
    with RemoteNode("http://a:b@127.0.0.1:1") as absent, pytest.raises(NodeUnreachableError):
        Payer(absent, bench.purse).deliver(order, bench.chain.height())
    assert bench.deliver(order).state is DeliveryState.SENT
