"""One look at a node a tick, shared by the followers of many set-ups.

`SharedSource` is a `BlockSource`. `refresh` asks the node for its mempool and then its tip; until the next refresh all
followers get these. A block is listed once, whoever asks for it, and a transaction in it is fetched once: what lies
under a hash never changes. A waiting transaction is fetched once a refresh, since it may come back with another
witness.

What is told is one chain: when the node turns out to have another tip than was told, because a block came between two
questions, the source looks again at once, and a follower that is in the middle of reading starts anew. Whatever left
the mempool after it was listed is found in that newer chain, if it was confirmed.
"""

from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bitcoin.core import CTransaction

from bitvm.chain.interface import BlockExtract, BlockId
from bitvm.chain.remote import RemoteNode

REMEMBERED_BLOCKS = 144
"""Blocks whose lists of ids are kept, a day; 130 kB each on the main network."""

_ID_BYTES = 32


@dataclass(slots=True)
class _Block:
    """A block that was listed: its ids one after the other, and the transactions somebody asked for."""

    block: BlockId
    parent: bytes
    joined_txids: bytes
    transactions: dict[bytes, CTransaction] = field(default_factory=dict)

    def txids(self) -> list[bytes]:
        """The ids in the order of the block."""
        joined = self.joined_txids
        return [joined[at : at + _ID_BYTES] for at in range(0, len(joined), _ID_BYTES)]


class SharedSource:
    """What `node` has, asked once; used by one thread at a time."""

    def __init__(self, node: RemoteNode, *, remember: int = REMEMBERED_BLOCKS) -> None:
        """Ask nothing yet; the first question refreshes. `remember` counts blocks."""
        self._node, self._remember = node, remember
        self._tip: BlockId | None = None
        self._hashes: dict[int, bytes] = {}
        self._blocks: OrderedDict[bytes, _Block] = OrderedDict()
        self._listed: frozenset[bytes] = frozenset()
        self._waiting: dict[bytes, CTransaction] = {}
        self._current = False

    def refresh(self) -> None:
        """Ask for mempool and tip. Raises ChainError; then the next question asks again."""
        self._current = False
        self._listed = frozenset(self._node.mempool_txids())  # first: what confirms meanwhile is in both places
        self._waiting = {}
        self._look()
        self._current = True

    def tip(self) -> BlockId:
        """See `BlockSource`; the tip of the last look."""
        self._refresh_if_needed()
        assert self._tip is not None
        return self._tip

    def block_hash(self, height: int) -> bytes:
        """See `BlockSource`; the block below `tip`, or on top of it if the node has grown."""
        self._refresh_if_needed()
        while height not in self._hashes:
            found = self._node.block_hash(height)
            if not self._look():  # or the answer may belong to another chain than the one that was told
                self._hashes[height] = found
        return self._hashes[height]

    def extract(self, block_hash: bytes, txids: Collection[bytes]) -> BlockExtract:
        """See `BlockSource`."""
        block = self._block(block_hash)
        found = [each for each in block.txids() if each in txids]
        for each in found:
            if each not in block.transactions:
                block.transactions[each] = self._node.confirmed_transaction(each, block_hash)
        return BlockExtract(block.block, block.parent, tuple(block.transactions[each] for each in found))

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        """See `BlockSource`; of what was in the mempool at the last refresh."""
        self._refresh_if_needed()
        transactions = []
        for each in self._listed.intersection(txids):
            if each not in self._waiting:
                found = self._node.waiting_transaction(each)
                if found is None:  # confirmed, replaced or evicted since
                    self._listed -= {each}
                    self._look()
                    continue
                self._waiting[each] = found
            transactions.append(self._waiting[each])
        return transactions

    def _refresh_if_needed(self) -> None:
        if not self._current:
            self.refresh()

    def _look(self) -> bool:
        """Ask for the tip, and forget the hashes of a chain that the node has left; whether the tip is another."""
        tip = self._node.tip_if_not(self._tip)
        if tip is None:
            return False
        old, self._tip = self._tip, tip
        grown = old is not None and old.height < tip.height and self._node.block_hash(old.height) == old.hash
        if not grown:
            self._hashes.clear()
        self._hashes[tip.height] = tip.hash
        return True

    def _block(self, block_hash: bytes) -> _Block:
        if block_hash not in self._blocks:
            listing = self._node.listing(block_hash)
            self._blocks[block_hash] = _Block(listing.block, listing.parent, b"".join(listing.txids))
            if len(self._blocks) > self._remember:
                self._blocks.popitem(last=False)
        self._blocks.move_to_end(block_hash)
        return self._blocks[block_hash]
