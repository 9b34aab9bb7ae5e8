"""Both backends as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from chain_bench import Bench

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.interface import RegtestChain
from bitvm.chain.purse import Purse
from bitvm.chain.wallet import Wallet


@pytest.fixture(scope="session")
def node() -> Iterator[BitcoindNode]:
    """Yield one private node for all tests."""
    with BitcoindNode() as running:
        yield running


@pytest.fixture(scope="session")
def _node_chain(node: BitcoindNode) -> Iterator[BitcoindChain]:
    """Yield that node's chain, whose index has read the blocks of all tests before."""
    with BitcoindChain(node) as chain:
        yield chain


@pytest.fixture
def node_chain(_node_chain: BitcoindChain) -> Iterator[BitcoindChain]:
    """Yield the chain of the private node, and let nothing of the test wait in its mempool for the next one."""
    yield _node_chain
    _node_chain.mine()


@pytest.fixture
def embedded() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


@pytest.fixture(params=["embedded", pytest.param("bitcoind", marks=pytest.mark.bitcoind)])
def chain(request: pytest.FixtureRequest) -> RegtestChain:
    """Return each backend in turn."""
    found: RegtestChain = request.getfixturevalue({"embedded": "embedded", "bitcoind": "node_chain"}[request.param])
    return found


@pytest.fixture
def bench(chain: RegtestChain) -> Bench:
    """Return a bench whose wallet holds three coins of 200,000 sat."""
    wallet = Wallet(chain, Bench.key())
    for _ in range(3):
        chain.faucet(wallet.script_pubkey, 200_000)
    return Bench(chain, wallet)


@pytest.fixture
def purse(tmp_path: Path) -> Iterator[Purse]:
    """Yield an empty purse on a key of its own."""
    with Purse.create(tmp_path / "wallet", Bench.key()) as purse:
        yield purse
