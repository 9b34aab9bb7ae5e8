"""The two hash functions of the state tree, and the hashes of zero subtrees.

A leaf is hashed as `BLAKE3(64 bytes)[:24]`, a node as `BLAKE3(left || right)[:24]` with 24 bytes left and right: one
block and one compression each. A leaf has 64 bytes and a node 48, so one can never be taken for the other: BLAKE3
puts the length of the block into the compression.
"""

from blake3 import blake3

from lvm.layout import HASH_BYTES, LEAF_BYTES, TREE_HEIGHT


def leaf_hash(leaf: bytes) -> bytes:
    """Hash one leaf: 64 bytes of state, little-endian words, to 24 bytes."""
    if len(leaf) != LEAF_BYTES:
        raise ValueError(f"a leaf has {LEAF_BYTES} bytes, got {len(leaf)}")
    return blake3(leaf).digest(length=HASH_BYTES)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children of 24 bytes to their parent's 24 bytes."""
    if len(left) != HASH_BYTES or len(right) != HASH_BYTES:
        raise ValueError(f"children have {HASH_BYTES} bytes each, got {len(left)} and {len(right)}")
    return blake3(left + right).digest(length=HASH_BYTES)


def _zero_hashes() -> tuple[bytes, ...]:
    hashes = [leaf_hash(bytes(LEAF_BYTES))]
    for _ in range(TREE_HEIGHT):
        hashes.append(node_hash(hashes[-1], hashes[-1]))
    return tuple(hashes)


ZERO: tuple[bytes, ...] = _zero_hashes()
"""`ZERO[h]` is the hash of the all-zero subtree of height h, 0 <= h <= 24."""
