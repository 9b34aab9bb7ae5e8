"""A node over RPC without an index: blocks, mempool, coins, feerates, credentials, packages."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from chain_bench import Bench

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.fees import fee_child, sign_key_paths
from bitvm.chain.interface import ChainError, PrunedBlockError, Rejected
from bitvm.chain.keys import TaprootKey
from bitvm.chain.remote import RECENT_BLOCKS, RemoteNode
from bitvm.chain.rpc import CredentialsError, NodeUnreachableError
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid

pytestmark = pytest.mark.bitcoind


@pytest.fixture
def bench(node_chain: BitcoindChain) -> Bench:
    wallet = Wallet(node_chain, Bench.key())
    node_chain.faucet(wallet.script_pubkey, 200_000)
    return Bench(node_chain, wallet)


@pytest.fixture
def remote(node: BitcoindNode) -> Iterator[RemoteNode]:
    with RemoteNode(node.cookie) as remote:
        yield remote


def package(bench: Bench, feerate: float = 2) -> list[CTransaction]:
    parent = bench.parent(bench.key(), bench.wallet.key)
    return [parent, bench.wallet.fee_child(parent, 1, feerate)]


# ---- packages


def test_package_is_sent_again_without_an_index(bench: Bench, remote: RemoteNode) -> None:
    sent = package(bench)
    remote.submit(sent)
    remote.submit(sent)
    remote.submit(sent[:1])
    assert bench.waiting() == [txid(tx) for tx in sent]
    bench.chain.mine()
    remote.submit(sent)
    remote.submit(sent[:1])
    assert bench.waiting() == []


def test_confirmed_parent_and_new_child(bench: Bench, remote: RemoteNode) -> None:
    """The parent was mined with another child of its output; the rest of the package is judged alone."""
    key = bench.key()
    parent = bench.spend(key, bench.chain.faucet(key.script_pubkey, 10_000), fee=500)
    remote.submit([parent])
    bench.chain.mine()
    child = bench.spend(key, (COutPoint(txid(parent), 0), parent.vout[0]), fee=500)
    remote.submit([parent, child])
    assert bench.waiting() == [txid(child)]


def test_spent_transaction_is_recognised_while_it_is_recent(bench: Bench, remote: RemoteNode) -> None:
    key = bench.key()
    first = bench.spend(key, bench.chain.faucet(key.script_pubkey, 10_000), fee=500)
    second = bench.spend(key, (COutPoint(txid(first), 0), first.vout[0]), fee=500)
    for transaction in (first, second):
        remote.submit([transaction])
    bench.chain.mine()
    remote.submit([first])
    bench.chain.mine(RECENT_BLOCKS)
    remote.submit([second])
    with pytest.raises(Rejected, match="missingorspent"):
        remote.submit([first])


def test_refusal_is_in_the_nodes_words(bench: Bench, remote: RemoteNode) -> None:
    key = bench.key()
    coin = bench.chain.faucet(key.script_pubkey, 10_000)
    with pytest.raises(Rejected, match="bad-txns-in-belowout"):
        remote.submit([bench.spend(key, coin, fee=-1)])
    parent = bench.parent(key, bench.wallet.key)
    poor = fee_child(parent, 1, bench.wallet.key, bench.wallet.reserve(1_000), feerate=0.01)
    with pytest.raises(Rejected, match="min relay fee not met"):
        remote.submit([parent, poor])
    assert bench.waiting() == []


# ---- coins and mempool


def test_coin_with_and_without_the_mempool(bench: Bench, remote: RemoteNode) -> None:
    key = bench.key()
    outpoint, output = bench.chain.faucet(key.script_pubkey, 10_000)
    assert remote.coin(outpoint) == (output, 1, False)
    spending = bench.spend(key, (outpoint, output), fee=500)
    remote.submit([spending])
    assert remote.coin(outpoint) is None
    assert remote.coin(outpoint, include_mempool=False) == (output, 1, False)
    assert remote.coin(COutPoint(txid(spending), 0)) == (spending.vout[0], 0, False)
    assert remote.coin(COutPoint(txid(spending), 0), include_mempool=False) is None
    assert remote.coin(COutPoint(txid(spending), 1)) is None
    assert remote.mempool_spenders([outpoint, COutPoint(txid(spending), 0)]) == {outpoint: txid(spending)}
    assert remote.mempool_spenders([]) == {}


def test_coins_of_a_script(bench: Bench, remote: RemoteNode) -> None:
    key = bench.key()
    assert remote.coins_of(key.script_pubkey) == {}
    first, second = (bench.chain.faucet(key.script_pubkey, amount) for amount in (10_000, 20_000))
    assert remote.coins_of(key.script_pubkey) == {first[0]: (first[1], 2, False), second[0]: (second[1], 1, False)}
    remote.submit([bench.spend(key, first, fee=500)])
    assert len(remote.coins_of(key.script_pubkey)) == 2


def test_mempool_entry_counts_the_children(bench: Bench, remote: RemoteNode) -> None:
    parent, child = package(bench)
    assert remote.mempool_entry(txid(parent)) is None
    assert remote.waiting_transaction(txid(parent)) is None
    remote.submit([parent, child])
    entry, childs = remote.mempool_entry(txid(parent)), remote.mempool_entry(txid(child))
    assert entry is not None
    assert childs is not None
    assert (entry.fee, entry.descendants_fee, childs.vsize) == (0, childs.fee, 169)
    assert entry.descendants_vsize == entry.vsize + childs.vsize
    assert remote.waiting_transaction(txid(child)) == child
    assert [txid(tx) for tx in remote.waiting([txid(child)])] == [txid(child)]


# ---- the node


def test_info(bench: Bench, remote: RemoteNode) -> None:
    info = remote.info()
    assert (info.network, info.blocks, info.headers) == ("regtest", bench.chain.height(), bench.chain.height())
    assert (info.initial_download, info.pruned, info.prune_height, info.peers) == (False, False, None, 0)
    assert "Satoshi" in info.version
    assert info.warnings == ()


def test_pruned_node_says_so(tmp_path: Path) -> None:
    with (
        BitcoindNode(datadir=tmp_path, extra_arguments=["-fastprune", "-prune=1"]) as running,
        BitcoindChain(running) as chain,
        RemoteNode(running.url) as remote,
    ):
        chain.mine(800)
        kept = chain.call("pruneblockchain", 500)
        info = remote.info()
        assert info.pruned
        assert info.prune_height == kept + 1
        with pytest.raises(PrunedBlockError):
            remote.listing(remote.block_hash(1))
        assert remote.tip().height == 800
        key = Bench.key()
        outpoint, output = chain.faucet(key.script_pubkey, 10_000)
        spending = Bench(chain, Wallet(chain, key)).spend(key, (outpoint, output), fee=500)
        remote.submit([spending])
        chain.mine()
        remote.submit([spending])


def test_new_cookie_after_a_restart(tmp_path: Path) -> None:
    first = BitcoindNode(datadir=tmp_path)
    remote, stubborn = RemoteNode(first.cookie), RemoteNode(first.url)
    assert remote.tip().height == stubborn.tip().height == 0
    first.close()
    for node in (remote, stubborn):
        with pytest.raises(NodeUnreachableError):
            node.tip()
    with BitcoindNode(datadir=tmp_path, port=first.cookie.port) as second:
        assert second.cookie == first.cookie
        assert remote.tip().height == 0
        with pytest.raises(CredentialsError, match="refuses user and password"):
            stubborn.tip()
        wrong = RemoteNode(replace(second.cookie, path=tmp_path / "none"))
        with pytest.raises(NodeUnreachableError, match="no usable credentials in"):
            wrong.tip()
        remote.close()
        stubborn.close()


def test_halted_node_is_unreachable(tmp_path: Path) -> None:
    with BitcoindNode(datadir=tmp_path) as running, RemoteNode(running.cookie, timeout=0.5) as remote:
        os.kill(running.pid, signal.SIGSTOP)
        os.waitpid(running.pid, os.WUNTRACED)  # it has stopped; until then it may answer
        try:
            with pytest.raises(NodeUnreachableError, match="timed out"):
                remote.tip()
        finally:
            os.kill(running.pid, signal.SIGCONT)
        with RemoteNode(running.cookie) as patient:
            assert patient.tip().height == 0


@pytest.mark.parametrize("url", ["", "https://a:b@host:1", "http://host:1", "http://a:b@host", "http://a:b@host:x"])
def test_address_without_a_part_is_refused(url: str) -> None:
    with pytest.raises(ChainError, match="http://user:password@host:port"):
        RemoteNode(url)


# ---- feerates


def pay_from_many(chain: BitcoindChain, key: TaprootKey, count: int) -> list[tuple[COutPoint, CTxOut]]:
    """Confirm `count` coins of 100,000 sat on `key`."""
    outpoint, output = chain.faucet(key.script_pubkey, 101_000 * count)
    outputs = [CTxOut(100_000, CScript(key.script_pubkey))] * count
    unsigned = CTransaction([CTxIn(outpoint)], outputs, nVersion=2)
    chain.submit([cut := sign_key_paths(unsigned, [output], [key])])
    chain.mine()
    return [(COutPoint(txid(cut), n), each) for n, each in enumerate(cut.vout)]


def test_market_feerate_follows_full_blocks(tmp_path: Path) -> None:
    limit = 100_000
    arguments = [f"-blockmaxweight={limit}"]
    with (
        BitcoindNode(datadir=tmp_path, extra_arguments=arguments) as running,
        BitcoindChain(running) as chain,
        RemoteNode(running.url, block_weight=limit) as remote,
    ):
        key = Bench.key()
        bench = Bench(chain, Wallet(chain, key))
        coins = pay_from_many(chain, key, 230)
        minimum = remote.minimum_feerate()
        assert 0 < minimum <= 1
        assert remote.market_feerate(6) == minimum
        for coin in coins:
            remote.submit([bench.spend(key, coin, fee=111 * 50)])
        chain.mine()
        assert 50 <= remote.market_feerate(6) <= 52
        for _ in range(8):
            chain.mine()
        assert remote.market_feerate(6) < 52


def test_minimum_feerate_rises_with_a_full_mempool(tmp_path: Path) -> None:
    with (
        BitcoindNode(datadir=tmp_path, extra_arguments=["-minrelaytxfee=0.00003"]) as running,
        RemoteNode(running.url) as remote,
    ):
        assert remote.minimum_feerate() == pytest.approx(3)


@pytest.mark.parametrize(
    ("version", "outdated"),
    [
        ("/Satoshi:28.3.0/", True),
        ("/Satoshi:29.0.0/Knots:20250305/", False),
        ("/Satoshi:100.0.0/", False),
        ("/Satoshi:9.0.0(x)/", True),
        ("my own node", False),
    ],
)
def test_an_old_node_says_so(node: BitcoindNode, version: str, outdated: bool) -> None:
    with RemoteNode(node.cookie) as remote:
        info = remote.info()
    assert not info.outdated
    assert replace(info, version=version).outdated == outdated
