"""Where set-ups stand, seen from outside of a daemon: the node is followed in a temporary folder, no home is touched.

What a daemon has recorded is copied first, so that only the blocks since then are read. Where the node does not answer,
or lacks blocks, what was recorded has to do, and the look says so.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bitcoin.core import CTransaction

from bitvm.chain.follower import Follower
from bitvm.chain.interface import BlockId, ChainError
from bitvm.chain.remote import RemoteNode
from bitvm.chain.shared import SharedSource
from bitvm.chain.sightings import Sightings
from bitvm.daemon.commands.framework import CommandError
from bitvm.database import copy
from bitvm.game.position import Position
from bitvm.graph.graph import Graph

NEVER_STALLED = 1e12
"""Seconds; whoever looks once does not judge how long a block takes."""


class QuietNode(RemoteNode):
    """A node that is only asked: whatever is to be sent is not."""

    def submit(self, package: Sequence[CTransaction]) -> None:
        """Send nothing."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where a set-up stands.

    tip: the block up to which the chain was read. waiting: its transactions in the mempool. problem: why the node could
    not be followed and this is what was recorded earlier; empty where it was.
    """

    position: Position
    tip: BlockId
    waiting: tuple[CTransaction, ...]
    problem: str = ""


class Lookout:
    """Follows one node for any number of set-ups; a context manager that removes its temporary folder."""

    def __init__(self, node: RemoteNode) -> None:
        """Ask nothing yet."""
        self._source = SharedSource(node)
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bitvm-look-")))
        self._followers: dict[str, tuple[Follower, Sightings]] = {}
        self._problem = ""

    def __enter__(self) -> Self:
        """Return the lookout itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close everything."""
        self._stack.close()

    def refresh(self) -> BlockId | None:
        """Ask the node for its tip and mempool, for all looks that follow; None where it does not answer."""
        self._problem = ""
        try:
            self._source.refresh()
            return self._source.tip()
        except ChainError as error:
            self._problem = f"the node: {error}"
            return None

    def look(self, name: str, graph: Graph, first_height: int, kept: Path | None = None) -> Look:
        """Return where the set-up stands, by the newest `refresh`.

        kept: what a daemon has recorded of it, if there is one. Raises SightingsError, CopyError, and CommandError
        where neither the node nor a record says anything.
        """
        if name not in self._followers:
            self._followers[name] = self._follow(name, graph, first_height, kept)
        follower, sightings = self._followers[name]
        problem = self._problem
        if not problem:
            try:
                update = follower.tick(time.monotonic())
                return Look(Position.fold(graph, update.tip.height, update.confirmed), update.tip, update.waiting)
            except ChainError as error:
                problem = f"the node: {error}"
        tip = sightings.tip()
        if tip is None:
            raise CommandError(f"{name}: {problem}; nothing was recorded earlier, so start the node")
        confirmed = [(seen.transaction, seen.block.height) for seen in sightings.confirmed() if seen.block]
        return Look(Position.fold(graph, tip.height, confirmed), tip, (), problem)

    def _follow(self, name: str, graph: Graph, first_height: int, kept: Path | None) -> tuple[Follower, Sightings]:
        path, watched = self._folder / f"{name}.sqlite", graph.by_txid()
        if kept is not None and kept.exists():
            copy(kept, path)
            sightings = Sightings.open(path, watched)
        else:
            sightings = Sightings.create(path, watched, first_height)
        self._stack.callback(sightings.close)
        confirmations = graph.setting.parameters.confirmations
        return Follower(self._source, sightings, confirmations=confirmations, stall_after=NEVER_STALLED), sightings
