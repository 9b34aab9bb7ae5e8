"""Orders among other people's payments: full blocks, a full mempool, a sudden rush, a node that starts over."""

import random
from pathlib import Path

import pytest
from payer_bench import PayerBench, payer_bench

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.payer import DeliveryState, Order
from bitvm.script.weight import txid

pytestmark = pytest.mark.bitcoind

SMALL_BLOCKS = 100_000
"""Weight of a block in which about 200 payments find room."""
PER_BLOCK = 210


def confirm(bench: PayerBench, order: Order) -> tuple[int, int, float]:
    """Deliver every block until the order is confirmed: blocks it took, the fee, the first feerate."""
    first = bench.deliver(order)
    told = first
    while not bench.is_confirmed(order):
        assert order.deadline is not None
        assert bench.chain.height() < order.deadline
        assert told.state in (DeliveryState.SENT, DeliveryState.WAITING, DeliveryState.REPLACED), told
        bench.chain.mine()
        told = bench.deliver(order)
    return bench.chain.height() - order.since, told.fee, first.feerate


def test_order_confirms_among_dearer_payments(tmp_path: Path) -> None:
    """Enough payments wait to fill every block until the deadline, at 20 to 60 sat/vB."""
    dice = random.Random(1)
    with payer_bench(tmp_path, block_weight=SMALL_BLOCKS) as bench:
        bench.fund(100_000)
        crowd = bench.crowd(11 * PER_BLOCK)
        order = bench.order(blocks=10, budget=50_000)
        crowd.pay([dice.uniform(20, 60) for _ in range(11 * PER_BLOCK)])
        blocks, fee, first = confirm(bench, order)
        print(f"confirmed after {blocks} of 10 blocks for {fee} sat, first bid {first:.2f} sat/vB")
        assert first < 5  # no block was full yet
        assert len(bench.waiting()) > PER_BLOCK
        assert fee < 50_000


def test_order_confirms_through_a_rush(tmp_path: Path) -> None:
    """Prices rise fifty times while the order waits; the next bids follow the blocks."""
    with payer_bench(tmp_path, block_weight=SMALL_BLOCKS) as bench:
        bench.fund(100_000, 100_000)
        crowd = bench.crowd(11 * PER_BLOCK)
        order, later = (bench.order(blocks=10, budget=90_000) for _ in range(2))
        crowd.pay([1.0] * PER_BLOCK)
        assert bench.deliver(order).feerate <= 2
        crowd.pay([50.0] * (9 * PER_BLOCK))
        blocks, fee, _ = confirm(bench, order)
        print(f"confirmed after {blocks} of 10 blocks for {fee} sat")
        assert blocks <= 4
        told = bench.deliver(later)
        assert told.feerate >= 50
        bench.chain.mine()
        assert bench.is_confirmed(later)


def test_order_comes_back_into_a_full_mempool(tmp_path: Path) -> None:
    """The node throws the order out for dearer transactions, and takes it again at the price of now."""
    with payer_bench(tmp_path, "-maxmempool=5", "-datacarriersize=83") as bench:
        bench.fund(50_000, 200_000)
        crowd = bench.crowd(60, value=30_000_000)
        order = bench.order(blocks=None, budget=100_000)
        poor = bench.order(budget=5_000)
        sent = bench.deliver(order)
        assert sent.feerate < 5
        crowd.fill(20, outputs=2_000)
        assert txid(order.transaction) not in bench.waiting()
        assert bench.chain.minimum_feerate() > 20
        told = bench.deliver(order)
        assert told.state is DeliveryState.REPLACED, told
        assert told.feerate > 20
        assert bench.deliver(order).state is DeliveryState.WAITING
        assert bench.deliver(poor).state is DeliveryState.OVER_BUDGET
        bench.chain.mine()
        assert bench.is_confirmed(order)


def test_node_that_starts_with_an_empty_mempool(tmp_path: Path) -> None:
    datadir = tmp_path / "node"
    arguments = ["-persistmempool=0"]
    first = BitcoindNode(datadir=datadir, extra_arguments=arguments)
    with BitcoindChain(first) as chain:
        bench = PayerBench(chain, tmp_path)
        bench.fund(50_000)
        order = bench.order()
        sent = bench.deliver(order)
    first.close()
    with BitcoindNode(datadir=datadir, extra_arguments=arguments) as second, BitcoindChain(second) as chain:
        bench.move(chain)
        assert bench.waiting() == []
        told = bench.deliver(order)
        assert (told.state, told.child, told.text) == (DeliveryState.SENT, sent.child, "sent again")
        chain.mine()
        assert bench.is_confirmed(order)
        bench.purse.close()
