"""An arena on each backend, for the whole session: what one test has had played, others look at."""

from collections.abc import Iterator

import pytest
from arena import Arena

from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.embedded import EmbeddedChain


@pytest.fixture(scope="session", params=["embedded", pytest.param("bitcoind", marks=pytest.mark.bitcoind)])
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    backend = EmbeddedChain if request.param == "embedded" else BitcoindChain
    with backend() as chain:
        yield Arena(chain)
