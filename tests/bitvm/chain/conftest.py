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


@pytest.fixture
def embedded() -> Iterator[EmbeddedChain]:
    with EmbeddedChain() as chain:
        yield chain


@pytest.fixture(params=["embedded", pytest.param("bitcoind", marks=pytest.mark.bitcoind)])
def chain(request: pytest.FixtureRequest) -> Iterator[RegtestChain]:
    """Yield each backend in turn."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded")
        return
    with BitcoindChain(request.getfixturevalue("node")) as chain:
        yield chain
        chain.mine()  # the node outlives the test: nothing may wait for the next one


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
