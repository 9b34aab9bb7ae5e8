"""Where the newest snapshot of a daemon hangs, for whoever wants to look: metrics, alerts, the HTTP server.

The tick publishes and never waits for those who look; who looks late sees the newest snapshot only. All of this is for
one event loop: a worker thread does not publish.
"""

from __future__ import annotations

import trio

from bitvm.daemon.status import Snapshot


class Board:
    """Holds the newest snapshot."""

    def __init__(self) -> None:
        """Begin empty."""
        self._latest: Snapshot | None = None
        self._changed = trio.Event()

    @property
    def latest(self) -> Snapshot | None:
        """The newest snapshot, None before the first tick."""
        return self._latest

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the newest snapshot and wake up who waits for it."""
        self._latest = snapshot
        self._changed.set()
        self._changed = trio.Event()

    async def newer_than(self, seen: Snapshot | None) -> Snapshot:
        """Wait until there is another snapshot than `seen`, and return it."""
        while self._latest is None or self._latest is seen:
            await self._changed.wait()
        return self._latest
