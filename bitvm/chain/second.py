"""What a second node shows, to compare with ours: somebody else's, so it may be slow, broken or hostile.

`look` asks it, in a thread of its own, again and again. `tip` and `block_hash` answer at once from what the newest look
has found, so that whoever compares never waits for it. A look begins at the tip and goes from each block to the one
that it names as its parent, so all that it finds is one chain, whatever happens between two questions. It ends where it
meets what is known already, after `COMPARED_BLOCKS` blocks, or when its time is over; then the next one goes on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bitvm.chain.interface import BlockId, ChainError, UnknownBlockError
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import BadAnswerError, NodeUnreachableError

COMPARED_BLOCKS = 288
"""Newest blocks that are known: two days, and more than twice the 100 blocks of the deepest reorganisation that a
set-up bears, so that they are compared even where one node is as many blocks behind."""
LOOK_SECONDS = 10.0
"""A look ends with the question during which so much time is over."""


@dataclass(frozen=True, slots=True)
class _View:
    """What is known: the tip, the hashes of the blocks at it and below without a gap, and when the look ended.

    failure: why the newest look found nothing.
    """

    at: float
    tip: BlockId | None = None
    hashes: Mapping[int, bytes] = field(default_factory=dict)
    failure: str = ""


class SecondNode:
    """Somebody else's node. One thread looks; any other may ask what it has found."""

    def __init__(self, node: RemoteNode, *, patience: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet. patience: seconds after which what was found is too old to be compared with."""
        self._node, self._patience, self._clock = node, patience, clock
        self._view = _View(clock())

    def tip(self) -> BlockId:
        """Newest block of its chain.

        NodeUnreachableError if the newest look failed or is too old; UnknownBlockError before the first has ended.
        """
        view = self._view
        if view.failure:
            raise NodeUnreachableError(view.failure)
        if self._clock() - view.at > self._patience:
            raise NodeUnreachableError("what it has said is too old")
        if view.tip is None:
            raise UnknownBlockError("nothing is known of the second node yet")
        return view.tip

    def block_hash(self, height: int) -> bytes:
        """Hash of its block at `height`; UnknownBlockError if that is not known (yet)."""
        try:
            return self._view.hashes[height]
        except KeyError as error:
            raise UnknownBlockError(f"the second node's block at height {height} is not known") from error

    def look(self) -> None:
        """Ask what is new; what goes wrong is told by `tip`. Ends after `LOOK_SECONDS` and one question."""
        try:
            view = self._newer(self._view)
        except ChainError as error:
            view = replace(self._view, failure=str(error))
        self._view = replace(view, at=self._clock())

    def _newer(self, old: _View) -> _View:
        end = self._clock() + LOOK_SECONDS
        tip = self._node.tip_if_not(old.tip) or old.tip
        assert tip is not None  # nothing is not a tip, so it was told one
        lowest, floor = tip.height, max(0, tip.height - COMPARED_BLOCKS + 1)
        hashes, known = {lowest: tip.hash}, old.hashes
        while True:
            if known.get(lowest) == hashes[lowest]:  # from here on it is the chain that is known
                hashes.update((height, name) for height, name in known.items() if height < lowest)
                lowest, known = min(hashes), {}
            if lowest <= floor or self._clock() > end:
                break
            hashes[lowest - 1] = self._parent(BlockId(lowest, hashes[lowest]))
            lowest -= 1
        return _View(old.at, tip, {height: name for height, name in hashes.items() if height >= floor})

    def _parent(self, child: BlockId) -> bytes:
        block, parent = self._node.header(child.hash)
        if block != child:
            raise BadAnswerError("getblockheader", f"block {block} lies below a block {child.height + 1}")
        return parent
