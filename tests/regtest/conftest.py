"""An arena on each backend, for the whole session: what one test has had played, others look at."""

from collections.abc import Iterator

import pytest
from arena import Arena

from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.embedded import EmbeddedChain


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a node, which is slow, play the first case of each test; the others are soak tests."""
    played = set[object]()
    for item in items:
        call = getattr(item, "callspec", None)
        if isinstance(item, pytest.Function) and call is not None and call.params.get("arena") == "bitcoind":
            if item.function in played or item.get_closest_marker("slow_on_a_node"):
                item.add_marker(pytest.mark.soak)
            played.add(item.function)


@pytest.fixture(scope="session", params=["embedded", pytest.param("bitcoind", marks=pytest.mark.bitcoind)])
def arena(request: pytest.FixtureRequest) -> Iterator[Arena]:
    backend = EmbeddedChain if request.param == "embedded" else BitcoindChain
    with backend() as chain:
        yield Arena(chain)
