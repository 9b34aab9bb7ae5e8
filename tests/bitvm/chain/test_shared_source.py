"""Many followers on one look at a node: the same updates as alone, for a fraction of the questions."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chain_bench import Bench
from follower_bench import FreeGraph, told

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.follower import Follower
from bitvm.chain.interface import BlockSource, UnknownBlockError
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import NodeUnreachableError
from bitvm.chain.shared import SharedSource
from bitvm.chain.sightings import Sightings, wtxid
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid
from regtest.follower import observe

pytestmark = pytest.mark.bitcoind

FOLLOWERS = 20
BLOCKS = 10


class CountingNode(RemoteNode):
    """A node that counts what it is asked, and lets a test act before any question."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.calls: Counter[str] = Counter()
        self.before: Callable[[str], None] = lambda method: None  # noqa: ARG005

    def call(self, method: str, *arguments: object) -> Any:
        self.before(method)
        self.calls[method] += 1
        return super().call(method, *arguments)


@pytest.fixture
def chain(node_chain: BitcoindChain) -> BitcoindChain:
    return node_chain


@pytest.fixture
def counting(node: BitcoindNode) -> Iterator[CountingNode]:
    with CountingNode(node.url) as counting:
        yield counting


def follow(source: BlockSource, path: Path, graph: FreeGraph) -> Follower:
    store = Sightings.create(path, graph.watched, graph.start)
    return Follower(source, store, confirmations=6, stall_after=1e9)


def test_followers_see_what_each_would_see_alone_for_a_fraction_of_the_questions(
    tmp_path: Path, chain: BitcoindChain, counting: CountingNode, node: BitcoindNode
) -> None:
    graphs = [FreeGraph(chain, salt=salt, depth=1) for salt in range(FOLLOWERS)]
    shared, alone = SharedSource(counting), CountingNode(node.url)
    followers = [follow(shared, tmp_path / f"{n}", graph) for n, graph in enumerate(graphs)]
    loners = [follow(alone, tmp_path / f"alone{n}", graph) for n, graph in enumerate(graphs)]
    shared.refresh()
    for each in (*followers, *loners):
        each.tick(0)
    counting.calls.clear()
    alone.calls.clear()
    for number in range(BLOCKS):
        chain.submit([graphs[number].transaction("Fund")])
        if number:
            chain.submit([graphs[number - 1].transaction("Fund.a0")])
        for mined in range(2):
            shared.refresh()
            updates = [each.tick(0) for each in followers]
            assert updates == [each.tick(0) for each in loners]
            if not mined:
                chain.mine()
    assert counting.calls["getblock"] == BLOCKS
    assert counting.calls["getrawmempool"] == 2 * BLOCKS
    assert alone.calls["getblock"] == BLOCKS * FOLLOWERS
    assert counting.calls.total() * 10 < alone.calls.total()
    print(f"{FOLLOWERS} followers, {BLOCKS} blocks: {counting.calls.total()} calls, alone {alone.calls.total()}")
    alone.close()


def test_reorganisation_between_any_two_questions(tmp_path: Path, chain: BitcoindChain, counting: CountingNode) -> None:
    graph = FreeGraph(chain, depth=1)
    moment, reached = 0, True
    while reached:
        store = tmp_path / f"{moment}"
        shared = SharedSource(counting)
        following = follow(shared, store, graph)
        following.tick(0)
        countdown = iter(range(moment, -1000, -1))
        reached = False

        def replace(method: str, countdown: Iterator[int] = countdown) -> None:
            nonlocal reached
            if method and next(countdown) == 0:
                reached = True
                chain.reorganise(3)

        chain.submit([graph.transaction("Fund", moment)])
        chain.mine(4)
        shared.refresh()
        counting.before = replace
        update = following.tick(0)
        counting.before = lambda method: None  # noqa: ARG005
        assert update.tip.height >= chain.height() - 1
        if not reached:
            break
        shared.refresh()
        update = following.tick(0)
        assert update.tip == chain.tip()
        assert told(observe(chain, graph.graph)) == told(graph.position(update.tip.height, update.confirmed))
        moment += 1
        if chain.confirmation(graph.graph["Fund"].txid) is None:
            chain.mine()
        graph = FreeGraph(chain, salt=moment, depth=1)
    assert moment >= 4


def test_waiting_transactions_are_those_of_the_last_refresh(chain: BitcoindChain, counting: CountingNode) -> None:
    bench = Bench(chain, Wallet(chain, Bench.key()))
    shared = SharedSource(counting)
    assert shared.tip() == chain.tip()
    key = bench.key()
    first = bench.spend(key, chain.faucet(key.script_pubkey, 10_000), fee=500)
    chain.submit([first])
    assert not shared.waiting([txid(first)])
    shared.refresh()
    before = shared.tip()
    assert [wtxid(tx) for tx in shared.waiting([txid(first)])] == [wtxid(first)]
    assert shared.waiting([b"\x00" * 32]) == []
    shared.refresh()
    chain.mine()
    assert shared.tip() == before
    assert shared.waiting([txid(first)]) == []  # it has left the mempool, so the source has looked again
    assert shared.tip() == chain.tip()
    assert [txid(tx) for tx in shared.extract(shared.tip().hash, [txid(first)]).transactions] == [txid(first)]


def test_errors_pass_and_the_next_question_asks_again(chain: BitcoindChain, counting: CountingNode) -> None:
    shared = SharedSource(counting, remember=2)
    with pytest.raises(UnknownBlockError):
        shared.block_hash(chain.height() + 1)
    with pytest.raises(UnknownBlockError):
        shared.extract(b"\x01" * 32, [])

    def fail(method: str) -> None:
        raise NodeUnreachableError(method)

    counting.before = fail
    with pytest.raises(NodeUnreachableError):
        shared.refresh()
    with pytest.raises(NodeUnreachableError):
        shared.tip()
    counting.before = lambda method: None  # noqa: ARG005
    chain.mine()
    assert shared.tip() == chain.tip()
    for height in (1, 2, 3, 1):
        assert shared.extract(shared.block_hash(height), []) == counting.extract(counting.block_hash(height), [])
    assert len(shared._blocks) == 2
