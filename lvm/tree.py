"""The Merkle tree over the state: sparse, incremental, copy-on-write.

The tree stores hashes only, and only where something was ever written; elsewhere the 25 constants of `hashing.ZERO`
stand. It is brought up to date from the leaves that changed. Nodes are named by height (leaves 0, root 24) and index
from the left. A Merkle path is the tuple of the 24 siblings of a leaf, from height 0 to height 23.

Storage: the tree is cut into four tiers of six levels. A block holds one subtree of a tier as a heap of 128 slots of
24 bytes: slot 1 is its top, slots 2i and 2i + 1 are the children of slot i (so both children are one run of 48
bytes), slots 64..127 are the tops of the blocks below, or leaf hashes. Blocks are shared between a tree and its
snapshots and copied before the first write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from lvm.hashing import ZERO, node_hash
from lvm.layout import HASH_BYTES, LEAF_BYTES, LEAF_COUNT, TREE_HEIGHT

TIER_LEVELS = 6
TIERS = TREE_HEIGHT // TIER_LEVELS
BLOCK_CHILDREN = 1 << TIER_LEVELS
BLOCK_SLOTS = 2 * BLOCK_CHILDREN

BATCH_MINIMUM = 48
"""Below this many changed leaves the scalar path is faster than numpy's overhead."""
BATCH_MAXIMUM = 1 << 16
"""Leaves a batch; bounds the working memory."""

Bytes2D = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


class BatchHasher(Protocol):
    """Hashes many leaves or nodes at once; must agree with `lvm.hashing`."""

    def hash_leaves(self, leaves: Bytes2D) -> Bytes2D:
        """(n, 64) bytes, C-contiguous -> (n, 24)."""

    def hash_nodes(self, pairs: Bytes2D) -> Bytes2D:
        """(n, 48) bytes, left || right, C-contiguous -> (n, 24)."""


@dataclass(frozen=True, slots=True, eq=False)
class TreeSnapshot:
    """A tree at one moment; its blocks are shared and must not be written."""

    blocks: Mapping[tuple[int, int], bytearray]


def _zero_block(tier: int) -> bytes:
    """Return the block of a zero subtree: slots at depth d hold the zero hash of height (tier + 1) * 6 - d."""
    top = (tier + 1) * TIER_LEVELS
    slots = [bytes(HASH_BYTES), *(ZERO[top - slot.bit_length() + 1] for slot in range(1, BLOCK_SLOTS))]
    return b"".join(slots)


_ZERO_BLOCKS = tuple(_zero_block(tier) for tier in range(TIERS))


class StateTree:
    """The tree of one machine. It starts as the tree of the all-zero state."""

    def __init__(self, hasher: BatchHasher | None = None) -> None:
        """Use `hasher` where many leaves change at once, where one is given."""
        self._hasher = hasher
        self._blocks: dict[tuple[int, int], bytearray] = {}
        self._owned: set[tuple[int, int]] = set()

    @property
    def root(self) -> bytes:
        """The state root as of the last update, 24 bytes."""
        return self.node(TREE_HEIGHT, 0)

    def node(self, height: int, index: int) -> bytes:
        """Return the 24-byte hash of the node `index` at `height`; raises ValueError outside the tree."""
        if not (0 <= height <= TREE_HEIGHT and 0 <= index < 1 << (TREE_HEIGHT - height)):
            raise ValueError(f"no node {index} at height {height} in a tree of height {TREE_HEIGHT}")
        tier = min(height // TIER_LEVELS, TIERS - 1)
        depth = (tier + 1) * TIER_LEVELS - height
        block = self._blocks.get((tier, index >> depth))
        if block is None:
            return ZERO[height]
        slot = 1 << depth | index & ((1 << depth) - 1)
        return bytes(block[HASH_BYTES * slot : HASH_BYTES * (slot + 1)])

    def siblings(self, leaf_index: int) -> tuple[bytes, ...]:
        """Return the Merkle path of a leaf: 24 siblings, heights 0..23."""
        return tuple(self.node(height, leaf_index >> height ^ 1) for height in range(TREE_HEIGHT))

    def update(self, indices: Sequence[int] | Indices, leaves: bytes | bytearray | Bytes2D) -> None:
        """Bring the tree up to date with changed leaves.

        `indices` are distinct leaf indices in any order, `leaves` the 64 bytes of each, in the same order. Raises
        ValueError where the sizes do not match or an index lies outside the tree.
        """
        order = np.asarray(indices, dtype=np.int64)
        data = np.frombuffer(leaves, dtype=np.uint8) if isinstance(leaves, bytes | bytearray) else leaves
        if data.size != LEAF_BYTES * order.size:
            raise ValueError(f"{order.size} leaves need {LEAF_BYTES * order.size} bytes, got {data.size}")
        if order.size and not (order.min() >= 0 and order.max() < LEAF_COUNT):
            raise ValueError(f"leaf index outside 0..{LEAF_COUNT - 1}")
        rows = data.reshape(-1, LEAF_BYTES)
        if self._hasher is None or order.size < BATCH_MINIMUM:
            self._update_each(order.tolist(), rows.tobytes())
            return
        for start in range(0, order.size, BATCH_MAXIMUM):
            chunk = slice(start, start + BATCH_MAXIMUM)
            self._update_batch(self._hasher, order[chunk], np.ascontiguousarray(rows[chunk]))

    def snapshot(self) -> TreeSnapshot:
        """Return the tree as it stands; costs one shallow copy of the table of blocks."""
        self._owned.clear()
        return TreeSnapshot(dict(self._blocks))

    def restore(self, snapshot: TreeSnapshot) -> None:
        """Go back to a snapshot of this or any other tree."""
        self._owned.clear()
        self._blocks = dict(snapshot.blocks)

    def _writable(self, tier: int, index: int) -> bytearray:
        key = (tier, index)
        if key not in self._owned:
            self._blocks[key] = bytearray(self._blocks.get(key, _ZERO_BLOCKS[tier]))
            self._owned.add(key)
        return self._blocks[key]

    def _update_each(self, indices: list[int], leaves: bytes) -> None:
        """One hash at a time. Each tier turns the new nodes at its foot into the new nodes at its top."""
        nodes = {
            index: blake3(leaves[LEAF_BYTES * row : LEAF_BYTES * (row + 1)]).digest(length=HASH_BYTES)
            for row, index in enumerate(indices)
        }
        for tier in range(TIERS):
            changed: dict[int, list[int]] = {}
            for index in nodes:
                changed.setdefault(index // BLOCK_CHILDREN, []).append(index)
            nodes = {
                index: _refresh(self._writable(tier, index), children, nodes) for index, children in changed.items()
            }

    def _update_batch(self, hasher: BatchHasher, indices: Indices, leaves: Bytes2D) -> None:
        """The same, level by level over a stack of copies of all blocks that change in a tier."""
        hashes = hasher.hash_leaves(leaves)
        for tier in range(TIERS):
            blocks, rows = np.unique(indices // BLOCK_CHILDREN, return_inverse=True)
            stack = self._stack(tier, blocks)
            slots = BLOCK_CHILDREN + indices % BLOCK_CHILDREN
            stack[rows, slots] = hashes
            pairs = stack.reshape(-1, 2 * HASH_BYTES)
            places = rows * BLOCK_SLOTS + slots
            for _ in range(TIER_LEVELS):
                row, slot = np.divmod(places, BLOCK_SLOTS)
                places = np.unique(row * BLOCK_SLOTS + slot // 2)
                row, slot = np.divmod(places, BLOCK_SLOTS)
                stack[row, slot] = hasher.hash_nodes(pairs[row * BLOCK_CHILDREN + slot])
            for index, block in zip(blocks.tolist(), stack, strict=True):
                self._blocks[tier, index] = bytearray(block.tobytes())
                self._owned.add((tier, index))
            indices, hashes = blocks, np.ascontiguousarray(stack[:, 1])

    def _stack(self, tier: int, blocks: Indices) -> npt.NDArray[np.uint8]:
        """Copy blocks into one array (n, 128, 24)."""
        joined = b"".join(self._blocks.get((tier, index), _ZERO_BLOCKS[tier]) for index in blocks.tolist())
        return np.frombuffer(bytearray(joined), dtype=np.uint8).reshape(-1, BLOCK_SLOTS, HASH_BYTES)


def _refresh(block: bytearray, children: list[int], hashes: Mapping[int, bytes]) -> bytes:
    """Put new hashes into the foot of a block, rehash upwards, return the new top."""
    slots = {BLOCK_CHILDREN + child % BLOCK_CHILDREN: hashes[child] for child in children}
    for slot, value in slots.items():
        block[HASH_BYTES * slot : HASH_BYTES * (slot + 1)] = value
    for level in _levels_above(slots):
        for slot in level:
            pair = block[2 * HASH_BYTES * slot : 2 * HASH_BYTES * (slot + 1)]
            block[HASH_BYTES * slot : HASH_BYTES * (slot + 1)] = blake3(pair).digest(length=HASH_BYTES)
    return bytes(block[HASH_BYTES : 2 * HASH_BYTES])


def _levels_above(slots: Mapping[int, bytes]) -> Iterator[set[int]]:
    level = {slot // 2 for slot in slots}
    while 0 not in level:
        yield level
        level = {slot // 2 for slot in level}


def fold(node: bytes, index: int, siblings: Sequence[bytes]) -> bytes:
    """Return the hash that a node and the siblings above it lead to.

    `node` is the hash (24 bytes) of node `index` at the height where `siblings` starts; the result is the node
    `len(siblings)` levels up, the root for a full path.
    """
    for sibling in siblings:
        node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        index >>= 1
    return node
