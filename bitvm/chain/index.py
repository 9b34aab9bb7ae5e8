"""An index of the active chain: where a transaction was confirmed, who spends an output, which coins are left.

Both backends keep one, so that no node needs `txindex` and both answer alike. Blocks are connected at the tip and
disconnected from it; the index is at all times a function of the connected blocks alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxOut

from bitvm.chain.interface import ChainError
from bitvm.script.weight import txid


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output: `height` of its block, and whether a coinbase made it (then it matures slowly)."""

    output: CTxOut
    height: int
    coinbase: bool


@dataclass(frozen=True, slots=True)
class IndexedBlock:
    """A block of the active chain: `block_hash` in internal order, `time` as in its header, in seconds."""

    block_hash: bytes
    time: int
    transactions: tuple[CTransaction, ...]
    txids: tuple[bytes, ...]


class BlockIndex:
    """The active chain from the genesis block on."""

    def __init__(self) -> None:
        """Start before the genesis block; connect it first."""
        self._blocks: list[IndexedBlock] = []
        self._confirmed: dict[bytes, tuple[CTransaction, int]] = {}
        self._spenders: dict[COutPoint, tuple[CTransaction, int]] = {}

    @property
    def height(self) -> int:
        """Height of the newest connected block, -1 before the genesis block."""
        return len(self._blocks) - 1

    def block(self, height: int) -> IndexedBlock:
        """The connected block at `height`; ChainError where there is none."""
        if not 0 <= height < len(self._blocks):
            raise ChainError(f"no block at height {height}: the chain ends at height {self.height}")
        return self._blocks[height]

    def connect(self, block_hash: bytes, time: int, transactions: Sequence[CTransaction]) -> None:
        """Append a validated block."""
        height = len(self._blocks)
        txids = tuple(txid(tx) for tx in transactions)
        self._blocks.append(IndexedBlock(block_hash, time, tuple(transactions), txids))
        for tx, tx_id in zip(transactions, txids, strict=True):
            self._confirmed[tx_id] = (tx, height)
            for outpoint in _spent_outpoints(tx):
                self._spenders[outpoint] = (tx, height)

    def disconnect(self) -> IndexedBlock:
        """Remove the newest block and return it."""
        if len(self._blocks) <= 1:
            raise ChainError("the genesis block cannot be disconnected")
        block = self._blocks.pop()
        for tx, tx_id in zip(block.transactions, block.txids, strict=True):
            del self._confirmed[tx_id]
            for outpoint in _spent_outpoints(tx):
                del self._spenders[outpoint]
        return block

    def confirmation(self, tx_id: bytes) -> int | None:
        """Height of the block that holds transaction `tx_id`, or None."""
        found = self._confirmed.get(tx_id)
        return found[1] if found else None

    def spender(self, outpoint: COutPoint) -> tuple[CTransaction, int] | None:
        """The transaction that spends `outpoint`, with its height, or None."""
        return self._spenders.get(outpoint)

    def coin(self, outpoint: COutPoint) -> Coin | None:
        """The unspent output at `outpoint`, or None if there is none or it is spent."""
        found = self._confirmed.get(outpoint.hash)
        if found is None or outpoint.n >= len(found[0].vout) or outpoint in self._spenders:
            return None
        transaction, height = found
        return Coin(transaction.vout[outpoint.n], height, transaction.is_coinbase())

    def median_time_past(self, height: int) -> int:
        """BIP113: the median time of the block at `height` and the ten before it, in seconds."""
        times = sorted(block.time for block in self._blocks[max(0, height - 10) : height + 1])
        return times[len(times) // 2]


def _spent_outpoints(tx: CTransaction) -> list[COutPoint]:
    """What a transaction spends: nothing, if it is a coinbase."""
    return [] if tx.is_coinbase() else [txin.prevout for txin in tx.vin]
