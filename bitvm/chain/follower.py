"""Follows the active chain for some transactions: what is confirmed now, what was taken back, what is wrong.

`Follower.tick` asks the node, reads the blocks that are new and returns an `Update`. What it returns, it has recorded
in its `Sightings` before, so a follower that is stopped at any point and started again goes on where it was. Each block
is read once: a pruned node serves as long as it keeps the blocks that are new since the last tick.

The update is a function of the active chain (and of the mempool) alone; `confirmed` is what `Position.fold` takes.
Reorganisations are found by hash: the newest remembered block that is still active is the fork, the blocks above it are
taken back and the new ones read. Only a reorganisation deeper than the window of remembered hashes makes it read from
the start again. Every block has to name the one before as its parent, so a chain that changes between two questions
is noticed and asked anew, never mixed.

What is wrong with the nodes is a value, an `Alarm`, and comes with every update while it lasts; what makes following
impossible is an exception (NodeUnreachableError, PrunedBlockError, RestlessChainError, SightingsError), after which the
next tick tries again. Time is passed in, in seconds of any clock that only goes forward.

What it cannot see: a block that came and went between two ticks, and whatever happened while it was not running.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bitcoin.core import CTransaction

from bitvm.chain.interface import (
    BlockExtract,
    BlockId,
    BlockSource,
    ChainError,
    HashSource,
    PrunedBlockError,
    UnknownBlockError,
)
from bitvm.chain.sightings import Sighting, Sightings, wtxid

WINDOW = 2_016
"""How many block hashes are remembered; two weeks, far more than any reorganisation within the guarantees."""

BLOCKS_PER_RECORD = 100
"""Blocks recorded at a time while catching up."""

ATTEMPTS = 10
"""How often one tick starts anew because the chain changed under it."""


class RestlessChainError(ChainError):
    """The node's chain changed at every attempt to read it, or its answers contradict each other."""


class AlarmKind(StrEnum):
    """What is wrong with a node."""

    STALLED = "stalled"
    """No new block for longer than allowed."""

    BEHIND = "behind"
    """The node shows less of the chain than it, or the second node, has shown: it starts, resyncs or was restored."""

    DISAGREES = "disagrees"
    """The second node has other blocks, and more of them than a reorganisation within the guarantees replaces."""

    SECOND_BEHIND = "second behind"
    """The second node is too far behind to compare."""

    SECOND_UNREACHABLE = "second unreachable"
    """The second node does not answer, so nothing is compared."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something wrong with a node; `amount` in seconds (STALLED) or blocks (the others; 0 where unreachable)."""

    kind: AlarmKind
    amount: float
    text: str


@dataclass(frozen=True, slots=True)
class Update:
    """What a tick found.

    tip: the block up to which everything is read; the node's own newest where that lies below the start. confirmed:
    the watched transactions in the active chain, with their heights, lowest first. waiting: those in the mempool.
    disappeared: sightings that an earlier update reported as confirmed, and whose transaction is not confirmed any more
    or has another witness now. reorg_depth: blocks taken back since the last update. rescanned: whether the
    reorganisation was deeper than the window, so that everything was read again and `reorg_depth` is an upper bound.
    """

    tip: BlockId
    confirmed: tuple[tuple[CTransaction, int], ...]
    waiting: tuple[CTransaction, ...]
    disappeared: tuple[Sighting, ...]
    reorg_depth: int
    rescanned: bool
    alarms: tuple[Alarm, ...]


class Follower:
    """Follows `source` for the transactions that `store` watches; one thread at a time."""

    def __init__(
        self,
        source: BlockSource,
        store: Sightings,
        *,
        confirmations: int,
        stall_after: float,
        second: HashSource | None = None,
        window: int = WINDOW,
    ) -> None:
        """Ask nothing yet.

        confirmations: the deepest reorganisation within the guarantees, in blocks. stall_after: seconds without a new
        block that are too many. second: another node to compare with; it is asked in every tick, so it answers from
        what it knows (`bitvm.chain.second`). window: block hashes to remember.
        """
        if window <= confirmations:
            raise ValueError(f"a window of {window} blocks cannot judge a reorganisation of {confirmations}")
        self._source, self._store, self._second = source, store, second
        self._confirmations, self._stall_after, self._window = confirmations, stall_after, window
        self._start = store.start()
        self._advance: tuple[int, float] | None = None  # the greatest height of the node's tip, and when it was new
        self._confirmed = store.confirmed()
        self._reported = (store.tip(), self._confirmed)
        self._lowest_fork: int | None = None
        self._rescanned = False

    def tick(self, now: float) -> Update:
        """Follow the chain up to its tip; `now` in seconds. Raises ChainError or SightingsError, see above."""
        waiting = tuple(self._source.waiting(self._store.watched))  # first: what confirms meanwhile is in both places
        for _ in range(ATTEMPTS):
            node_tip = self._source.tip()
            if self._missing(node_tip):
                self._record(node_tip.height if self._tip is None else self._tip.height, (), waiting)
                break
            if self._reach(node_tip, waiting):
                break
        else:
            raise RestlessChainError(f"the chain changed {ATTEMPTS} times while it was read, up to block {node_tip}")
        return self._update(node_tip, waiting, tuple(self._alarms(node_tip, now)))

    @property
    def _tip(self) -> BlockId | None:
        return self._store.tip()

    def _update(self, node_tip: BlockId, waiting: Sequence[CTransaction], alarms: tuple[Alarm, ...]) -> Update:
        """Compare with the last update, and remember this one."""
        old_tip, old_confirmed = self._reported
        still = {sighting.wtxid for sighting in self._confirmed}
        taken_back = 0 if old_tip is None or self._lowest_fork is None else old_tip.height - self._lowest_fork
        update = Update(
            tip=self._tip or node_tip,
            confirmed=tuple((seen.transaction, seen.block.height) for seen in self._confirmed if seen.block),
            waiting=tuple(transaction for transaction in waiting if wtxid(transaction) not in still),
            disappeared=tuple(sighting for sighting in old_confirmed if sighting.wtxid not in still),
            reorg_depth=max(0, taken_back),
            rescanned=self._rescanned,
            alarms=alarms,
        )
        self._reported = (self._tip, self._confirmed)
        self._lowest_fork, self._rescanned = None, False
        return update

    # ---- following

    def _missing(self, node_tip: BlockId) -> int:
        """Return how many blocks the node lacks of what is read already or of the start; 0 if it can be followed.

        A chain is only ever replaced by one with more work. A node whose tip is an ancestor of what was read, or lies
        below all that is remembered, has not reorganised: it is not there yet, and nothing is taken back for it.
        """
        tip, lowest = self._tip, self._store.lowest()
        if tip is None or lowest is None:
            return max(0, self._start - node_tip.height)
        if node_tip.height < lowest or (
            node_tip.height < tip.height and self._store.block_hash(node_tip.height) == node_tip.hash
        ):
            return tip.height - node_tip.height
        return 0

    def _reach(self, node_tip: BlockId, waiting: Sequence[CTransaction]) -> bool:
        """Record everything up to `node_tip`; False if the chain has changed meanwhile, and must be asked anew."""
        fork = self._fork(node_tip)
        if fork == node_tip.height:
            if self._tip != node_tip:
                return False
            self._record(fork, (), waiting)
        for after in range(fork, node_tip.height, BLOCKS_PER_RECORD):
            heights = range(after + 1, min(after + BLOCKS_PER_RECORD, node_tip.height) + 1)
            blocks = self._read(heights, self._store.block_hash(after))
            if blocks is None:
                return False
            self._record(after, blocks, waiting)
        return self._tip == node_tip

    def _fork(self, node_tip: BlockId) -> int:
        """Height of the newest block that is read and still active; below the start if there is none."""
        tip, lowest = self._tip, self._store.lowest()
        if tip is None or lowest is None:
            return self._start - 1
        if self._is_active(tip.height, node_tip):
            return tip.height
        stale = bisect_left(range(lowest, tip.height), True, key=lambda height: not self._is_active(height, node_tip))
        return lowest + stale - 1 if stale else self._start - 1

    def _is_active(self, height: int, node_tip: BlockId) -> bool:
        """Whether the block that is remembered at `height` is the node's, too."""
        try:
            return height <= node_tip.height and self._source.block_hash(height) == self._store.block_hash(height)
        except UnknownBlockError:
            return False

    def _read(self, heights: range, parent: bytes | None) -> list[BlockExtract] | None:
        """Read blocks, the first one on top of `parent` (None: of any); None if they are no chain any more."""
        blocks: list[BlockExtract] = []
        for height in heights:
            try:
                block = BlockId(height, self._source.block_hash(height))
                extract = self._source.extract(block.hash, self._store.watched)
            except UnknownBlockError:
                return None
            except PrunedBlockError as error:
                raise PrunedBlockError(self._pruned(height)) from error
            if extract.block != block or (parent is not None and extract.parent != parent):
                return None
            blocks.append(extract)
            parent = block.hash
        return blocks

    def _pruned(self, height: int) -> str:
        reached = "nothing is read yet" if self._tip is None else f"read up to block {self._tip}"
        return f"the node has deleted block {height}, which is needed ({reached}); follow a node that has it"

    def _record(self, after: int, blocks: Sequence[BlockExtract], waiting: Sequence[CTransaction]) -> None:
        tip, lowest = self._tip, self._store.lowest()
        stale = tip is not None and tip.height > after
        self._store.record(after, blocks, waiting, keep=self._window)
        if stale:
            self._lowest_fork = after if self._lowest_fork is None else min(after, self._lowest_fork)
            self._rescanned |= after < self._start < (lowest or 0)
        if stale or any(extract.transactions for extract in blocks):
            self._confirmed = self._store.confirmed()

    # ---- alarms

    def _alarms(self, node_tip: BlockId, now: float) -> Iterator[Alarm]:
        if self._advance is None or node_tip.height > self._advance[0]:
            self._advance = (node_tip.height, now)
        silent = now - self._advance[1]
        if silent > self._stall_after:
            yield Alarm(AlarmKind.STALLED, silent, f"no block after {node_tip} for {silent:.0f} s")
        missing = self._missing(node_tip)
        if missing:
            yield Alarm(AlarmKind.BEHIND, missing, f"the node is at block {node_tip}, {missing} blocks behind")
        if self._second is not None:
            try:
                yield from self._compare(self._second)
            except UnknownBlockError:
                return  # it is not known yet, or its chain has changed since the tip was told; the next tick asks again
            except ChainError as error:
                yield Alarm(AlarmKind.SECOND_UNREACHABLE, 0, f"the second node does not answer: {error}")

    def _compare(self, second: HashSource) -> Iterator[Alarm]:
        """Compare what is read with the second node's blocks at the same heights, newest first."""
        tip, other = self._tip, second.tip()
        if tip is None:
            return
        ahead = other.height - tip.height
        if ahead > self._confirmations:
            yield Alarm(AlarmKind.BEHIND, ahead, f"the second node is {ahead} blocks ahead, at block {other}")
        if -ahead > self._confirmations:
            yield Alarm(AlarmKind.SECOND_BEHIND, -ahead, f"the second node is at block {other}, {-ahead} behind")
        common = min(tip.height, other.height)
        differing = 0
        while differing <= self._confirmations:
            remembered = self._store.block_hash(common - differing)
            if remembered is None or second.block_hash(common - differing) == remembered:
                return
            differing += 1
        text = f"the second node has another block at each of the heights {common - differing + 1} to {common}"
        yield Alarm(AlarmKind.DISAGREES, differing, text)
