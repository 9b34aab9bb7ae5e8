"""A second node in hostile hands: the daemon says so, and is neither ended nor delayed."""

import time

import pytest
import trio
from company import Company, new_stage
from hostile_node import HostileNode, drip, raw, response, silence

from bitvm.daemon.status import NoticeKind

pytestmark = pytest.mark.bitcoind

NAME = "challenger1"
TALKS = (
    raw(response(b'{"result": null, "error": null, "id": 1}')),
    raw(response(b"[]")),
    raw(response(b'{"result": "zz", "error": null}')),
    raw(response(b'{"result": {"height": "7"}, "error": null}')),
    silence,
    drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
)
SLOW_TICK = 3.0
"""Seconds; a call to the second node may last three times as long."""

CLOSED_SECONDS = 5.0
"""Seconds, likewise; the node of the stage ends in them, too."""


@pytest.fixture
def company(tmp_path):
    """A company of which one party's second node is hostile, as `company.hostile` says."""
    with HostileNode(TALKS[0]) as hostile:
        company = Company(new_stage(tmp_path, challengers=1, settings={"second_node": {"url": hostile.url}}))
        company.hostile = hostile
        try:
            company.start(NAME)
            yield company
        finally:
            begun = time.monotonic()
            company.close()
        assert time.monotonic() - begun < CLOSED_SECONDS


async def test_hostile_second_node_neither_ends_nor_delays_a_daemon(company):
    daemon = company.daemons[NAME]
    snapshot = None
    begun = time.monotonic()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.run)
        for talk in TALKS:
            calls = company.hostile.calls
            company.hostile.turn(talk)
            with trio.fail_after(60):
                while company.hostile.calls == calls:
                    await trio.sleep(0.05)
            for _ in range(20):
                snapshot = await daemon.board.newer_than(snapshot)
                assert snapshot.tip is not None
                assert snapshot.ticks == 1 or snapshot.tick_seconds < SLOW_TICK
                told = [notice.kind for notice in snapshot.notices]
                assert set(told) <= {NoticeKind.NODES_DISAGREE}
        assert told == [NoticeKind.NODES_DISAGREE]
        nursery.cancel_scope.cancel()
    print(f"{snapshot.ticks} ticks in {time.monotonic() - begun:.1f} s, the last in {snapshot.tick_seconds:.3f} s")
