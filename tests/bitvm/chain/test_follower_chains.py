"""The follower on real chains: what it tells is what the whole chain shows, through every reorganisation."""

import random
from pathlib import Path

import pytest
from follower_bench import FreeGraph, mine_exactly, told

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.follower import Follower, Update
from bitvm.chain.interface import BlockSource, PrunedBlockError, RegtestChain, Rejected, UnknownBlockError
from bitvm.chain.sightings import Sightings, wtxid
from bitvm.script.weight import txid
from regtest.follower import observe

CONFIRMATIONS = 6
PRUNED_CHAIN = 800


def follower(source: BlockSource, store: Sightings, window: int = 2_016) -> Follower:
    return Follower(source, store, confirmations=CONFIRMATIONS, stall_after=1e9, window=window)


class Record:
    """What a reader of the whole chain and the mempool would have seen: the sightings there must be."""

    def __init__(self, chain: EmbeddedChain, graph: FreeGraph) -> None:
        self._chain, self._graph = chain, graph
        self.seen: set[tuple[bytes, bytes | None]] = set()

    def look(self) -> None:
        for height in range(self._graph.start, self._chain.height() + 1):
            for tx in self._chain.block_transactions(height):
                if txid(tx) in self._graph.watched:
                    self.seen.add((wtxid(tx), self._chain.block_hash(height)))
        waiting = [tx for tx in self._chain.mempool() if txid(tx) in self._graph.watched]
        self.seen |= {(wtxid(tx), None) for tx in waiting}


def stir(chain: EmbeddedChain, graph: FreeGraph, dice: random.Random, deepest: int) -> None:
    """Do one random thing to the chain."""
    name, variant = dice.choice(list(graph.graph.templates)), dice.randrange(4)
    match dice.randrange(4):
        case 0:
            chain.mine(dice.randrange(1, 4))
        case 1:
            chain.reorganise(dice.randrange(1, min(deepest, chain.height() - graph.start) + 1))
        case 2:
            try:
                chain.submit([graph.transaction(name, variant)])
            except Rejected:
                return
        case _:
            confirmed = chain.confirmation(graph.graph[name].txid) is not None
            free = all(
                chain.spender(i.outpoint) is None and chain.confirmation(i.outpoint.hash) is not None
                for i in graph.graph[name].inputs
            )
            if free and not confirmed:
                mine_exactly(chain, graph.transaction(name, variant))


@pytest.mark.parametrize(
    ("seed", "window", "deepest"), [(1, 2_016, 6), (2, 2_016, 6), (3, 7, 6), (4, 7, 14), (5, 7, 14)]
)
def test_update_is_what_the_whole_chain_shows(tmp_path: Path, seed: int, window: int, deepest: int) -> None:
    dice = random.Random(seed)
    with EmbeddedChain() as chain:
        graph = FreeGraph(chain)
        chain.mine(1)
        record = Record(chain, graph)
        store = Sightings.create(tmp_path / "sightings", graph.watched, graph.start)
        follow = follower(chain, store, window)
        fresh, reorganised, confirmed, rescanned = True, 0, 0, 0
        for _ in range(150):
            for _ in range(dice.choice((0, 1, 1, 1, 4))):
                stir(chain, graph, dice, deepest)
            record.look()
            update = follow.tick(0)
            shown = observe(chain, graph.graph)
            position = graph.position(update.tip.height, update.confirmed)
            assert (position.height, told(position)) == (shown.height, told(shown))
            assert update.tip == chain.tip()
            assert {wtxid(tx) for tx in update.waiting} == {
                wtxid(tx) for tx in chain.mempool() if txid(tx) in graph.watched
            }
            sightings = [sighting for tx_id in graph.watched for sighting in store.seen(tx_id)]
            assert {(s.wtxid, s.block and s.block.hash) for s in sightings} == record.seen
            assert sorted(s.number for s in sightings) == list(range(1, len(record.seen) + 1))
            assert not update.alarms
            assert not (fresh and update.disappeared)
            fresh = False
            reorganised += update.reorg_depth > 0
            rescanned += update.rescanned
            confirmed = max(confirmed, len(update.confirmed))
            if dice.random() < 0.2:  # a restart
                store.close()
                store = Sightings.open(tmp_path / "sightings", graph.watched)
                follow = follower(chain, store, window)
        store.close()
        assert reorganised > 10
        assert confirmed > 3
        assert (rescanned > 0) == (deepest > window)


@pytest.mark.parametrize("depth", range(1, 7))
def test_reorganised_move_disappears_changes_and_returns(chain: RegtestChain, tmp_path: Path, depth: int) -> None:
    """The opponent's move is taken back, comes again with another witness, and then as it was; nothing is forgotten."""
    source = chain
    assert isinstance(source, EmbeddedChain | BitcoindChain)
    graph = FreeGraph(chain, salt=depth, depth=1)
    fund, first, second = graph.transaction("Fund"), graph.transaction("Fund.a0", 1), graph.transaction("Fund.a0", 2)
    assert txid(first) == txid(second)
    mine_exactly(chain, fund)
    with Sightings.create(tmp_path / "sightings", graph.watched, graph.start) as store:
        follow = follower(source, store)
        follow.tick(0)

        def settled(*expected: object, reorg: int, gone: int) -> Update:
            update = follow.tick(0)
            assert [tx.serialize() for tx, _ in update.confirmed] == [tx.serialize() for tx in (fund, *expected)]
            assert (update.reorg_depth, len(update.disappeared), update.rescanned) == (reorg, gone, False)
            shown = observe(chain, graph.graph)
            assert told(graph.position(update.tip.height, update.confirmed)) == told(shown)
            return update

        mine_exactly(chain, first)
        if depth > 1:
            chain.mine(depth - 1)
        settled(first, reorg=0, gone=0)
        chain.reorganise(depth)
        update = settled(reorg=depth, gone=1)
        assert [tx.serialize() for tx in update.waiting] == [first.serialize()]
        assert update.disappeared[0].transaction.serialize() == first.serialize()
        mine_exactly(chain, second)
        assert settled(second, reorg=0, gone=0).waiting == ()
        chain.reorganise(1)
        mine_exactly(chain, first)
        update = settled(first, reorg=1, gone=1)  # taken back and changed between two ticks
        assert update.disappeared[0].wtxid == wtxid(second)
        assert [wtxid(tx) for tx in store.witnesses(txid(first))] == [wtxid(first), wtxid(second)]
        places = [(s.wtxid == wtxid(first), s.block is not None, s.active) for s in store.seen(txid(first))]
        assert places[:3] == [(True, True, False), (True, False, False), (False, True, False)]
        assert places[-1] == (True, True, True)


def test_blocks_are_found_by_hash_and_read_in_part(chain: RegtestChain) -> None:
    source = chain
    assert isinstance(source, EmbeddedChain | BitcoindChain)
    graph = FreeGraph(chain, salt=77, depth=1)
    fund = graph.transaction("Fund", 5)
    chain.submit([fund])
    assert [tx.serialize() for tx in source.waiting(graph.watched)] == [fund.serialize()]
    assert not source.waiting([b"\x01" * 32])
    chain.mine()
    tip = source.tip()
    assert tip.height == chain.height()
    assert source.block_hash(tip.height) == tip.hash
    extract = source.extract(tip.hash, graph.watched)
    assert (extract.block, extract.parent) == (tip, source.block_hash(tip.height - 1))
    assert [tx.serialize() for tx in extract.transactions] == [fund.serialize()]
    assert not source.extract(tip.hash, [b"\x01" * 32]).transactions
    chain.reorganise(1)
    assert source.extract(tip.hash, graph.watched) == extract  # stale, and still there
    assert source.block_hash(tip.height) != tip.hash
    assert source.extract(source.block_hash(0), []).parent == bytes(32)
    for height in (-1, chain.height() + 1):
        with pytest.raises(UnknownBlockError):
            source.block_hash(height)
    with pytest.raises(UnknownBlockError):
        source.extract(b"\x01" * 32, [])


@pytest.mark.bitcoind
def test_pruned_node_serves_a_follower_that_has_read_what_is_gone(tmp_path: Path) -> None:
    with (
        BitcoindNode(extra_arguments=("-prune=1", "-fastprune")) as node,
        BitcoindChain(node) as chain,
        BitcoindChain(node) as source,
    ):
        graph = FreeGraph(chain, depth=1)
        mine_exactly(chain, graph.transaction("Fund"))
        path = tmp_path / "sightings"
        with Sightings.create(path, graph.watched, graph.start) as store:
            assert len(follower(source, store).tick(0).confirmed) == 1
        chain.mine(PRUNED_CHAIN - chain.height() - 300)
        with Sightings.open(path, graph.watched) as store:
            follower(source, store).tick(0)
        chain.mine(300)
        last_pruned = chain.call("pruneblockchain", PRUNED_CHAIN - 300)
        assert last_pruned > graph.start
        mine_exactly(chain, graph.transaction("Fund.a0"))
        with Sightings.open(path, graph.watched) as store:
            update = follower(source, store).tick(0)
            assert [height for _, height in update.confirmed] == [graph.start + 1, chain.height()]
        with Sightings.create(tmp_path / "late", graph.watched, graph.start) as late:
            with pytest.raises(PrunedBlockError, match=rf"has deleted block {graph.start}, .*nothing is read yet"):
                follower(source, late).tick(0)
            assert late.tip() is None
        assert source._index.height == -1  # no index was built for it
