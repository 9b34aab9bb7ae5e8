"""Hints of new blocks from a real node: the daemon looks at once, and goes on without them."""

import sys

import pytest
import trio
from company import Company, new_stage

from bitvm.daemon.hints import listen_to_hints
from regtest.stage import free_port

pytestmark = pytest.mark.bitcoind

NEVER = 600
"""Seconds between two looks without a hint."""
ENOUGH = 60


@pytest.fixture
def company(tmp_path):
    port = free_port()
    node = (f"-zmqpubhashblock=tcp://127.0.0.1:{port}",)
    settings = {"node": {"zmq": f"tcp://127.0.0.1:{port}", "poll_seconds": NEVER}}
    with new_stage(tmp_path, node_arguments=node, settings=settings) as stage:
        company = Company(stage)
        company.start("challenger1")
        yield company
        company.stop()


async def test_a_block_is_looked_at_when_the_node_tells_of_it(company):
    daemon, chain = company.daemons["challenger1"], company.stage.chain

    async def sees(height):
        """Mine until a block is seen: what is published before the socket is connected is lost."""
        while (seen := daemon.board.latest) is None or (seen.tip or 0) < height:
            await trio.to_thread.run_sync(chain.mine, 1)
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.run, [listen_to_hints])
        with trio.fail_after(ENOUGH):
            await sees(chain.height() + 1)
            for _ in range(3):
                await trio.to_thread.run_sync(chain.mine, 1)
                height = chain.height()
                while daemon.board.latest.tip < height:
                    await trio.sleep(0.05)
        nursery.cancel_scope.cancel()


async def test_without_the_library_the_daemon_says_so_and_polls(company, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "zmq", None)
    with trio.fail_after(ENOUGH):
        await listen_to_hints(company.daemons["challenger1"])
    assert "pyzmq is not installed" in caplog.text
