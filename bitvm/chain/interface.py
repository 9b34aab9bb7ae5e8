"""What the game needs of a Bitcoin node, and nothing else.

Transactions are python-bitcoinlib's `CTransaction`; a transaction id is 32 `bytes` in internal order (the order
inside an outpoint, reversed from what explorers show); amounts are satoshi; heights count from the genesis
block, 0. A chain is read as its active blocks: what a reorganisation removes is no longer reported.

A submitted package is one transaction, or a parent and the child that pays for it. What already waits or is confirmed
may be submitted again, alone or in a package, so that a package can be sent again after every block.

`Chain` answers questions about the whole chain and keeps an index for it. `BlockSource` is all that a follower needs:
it keeps nothing, names blocks by their hashes (32 bytes in internal order), so that no reorganisation comes between two
questions unnoticed, and asks a pruned node only for the blocks that the caller asks for.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bitcoin.core import COutPoint, CTransaction, CTxOut


class ChainError(Exception):
    """A chain could not do what was asked; the message says why and what to do."""


class Rejected(ChainError):  # noqa: N818 - a verdict about a transaction, named as nodes name it
    """A transaction was refused: `txid` (internal order) and `reason` in the node's own words."""

    def __init__(self, txid: bytes, reason: str) -> None:
        """Show the id as explorers do, reversed."""
        super().__init__(f"{txid[::-1].hex()}: {reason}")
        self.txid = txid
        self.reason = reason


class UnknownBlockError(ChainError):
    """There is no such block: none with this hash, or none at this height of the active chain."""


class PrunedBlockError(ChainError):
    """The node knows the block, but has deleted its transactions."""


@dataclass(frozen=True, slots=True)
class BlockId:
    """A block: its height, and its hash (32 bytes, internal order)."""

    height: int
    hash: bytes

    def __str__(self) -> str:
        """Return height and hash as people read them."""
        return f"{self.height} ({self.hash[::-1].hex()})"


@dataclass(frozen=True, slots=True)
class BlockExtract:
    """Some transactions of a block, in its order; `parent` is the hash of the block before (zeros at genesis)."""

    block: BlockId
    parent: bytes
    transactions: tuple[CTransaction, ...]


class HashSource(Protocol):
    """The hashes of the active chain, as a node has it now."""

    def tip(self) -> BlockId:
        """Newest block of the active chain."""
        ...

    def block_hash(self, height: int) -> bytes:
        """Hash of the active block at `height`; UnknownBlockError where there is none."""
        ...


class BlockSource(HashSource, Protocol):
    """The active chain block by block, as a node has it now."""

    def extract(self, block_hash: bytes, txids: Collection[bytes]) -> BlockExtract:
        """The transactions among `txids` in a block, active or stale; UnknownBlockError, PrunedBlockError."""
        ...

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        """The transactions among `txids` in the mempool, in no particular order."""
        ...


class Chain(Protocol):
    """The active chain and the transactions waiting for it."""

    def height(self) -> int:
        """Height of the newest block."""
        ...

    def block_transactions(self, height: int) -> Sequence[CTransaction]:
        """Transactions of the active block at `height`, coinbase first; ChainError where there is none."""
        ...

    def confirmation(self, txid: bytes) -> int | None:
        """Height of the active block that holds `txid`, or None."""
        ...

    def spender(self, outpoint: COutPoint) -> tuple[CTransaction, int] | None:
        """The confirmed transaction that spends `outpoint`, with its height, or None."""
        ...

    def submit(self, package: Sequence[CTransaction]) -> None:
        """Offer a transaction, or a parent and its fee child in that order; Rejected if any is refused."""
        ...

    def mempool(self) -> Sequence[CTransaction]:
        """Transactions accepted and not yet confirmed, parents before their children."""
        ...


class RegtestChain(Chain, Protocol):
    """A private chain, which in addition obeys."""

    def mine(self, blocks: int = 1) -> None:
        """Mine `blocks` blocks; the first ones take up what waits."""
        ...

    def faucet(self, script_pubkey: bytes, amount: int) -> tuple[COutPoint, CTxOut]:
        """Pay `amount` satoshi to `script_pubkey` and mine one block; the confirmed coin."""
        ...

    def reorganise(self, depth: int) -> None:
        """Replace the newest `depth` blocks by `depth + 1` others; their transactions wait again if they can."""
        ...

    def close(self) -> None:
        """Stop and clean up; the chain is gone."""
        ...

    def __enter__(self) -> Self:
        """Return the chain itself."""
        ...

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the chain."""
        ...
