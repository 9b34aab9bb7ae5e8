import trio

from bitvm.daemon.board import Board
from bitvm.daemon.status import Snapshot


def snapshot(ticks: int) -> Snapshot:
    return Snapshot("prover", 0.0, None, None, None, False, ticks=ticks)


async def test_who_waits_sees_the_newest_and_skips_what_was_between(autojump_clock: trio.testing.MockClock) -> None:  # noqa: ARG001
    board = Board()
    seen: list[int] = []

    async def look() -> None:
        last: Snapshot | None = None
        while True:
            last = await board.newer_than(last)
            seen.append(last.ticks)
            await trio.sleep(10)

    assert board.latest is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        nursery.start_soon(look)
        for ticks in range(5):
            await trio.sleep(4)
            board.publish(snapshot(ticks))
            assert board.latest == snapshot(ticks)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert seen == [0, 0, 2, 2, 4, 4]
