"""The hash of a leaf of the state tree, ``BLAKE3(64 bytes)[:24]``, as a fragment of Bitcoin Script.

A leaf fills the block: 16 little-endian words, block length 64. Nibbles in range are presumed; see `block`, also for
the order of the items::

    leaf_hash_differs    … words[0..127] claimed[0..47]  ->  … differs
      falling            … words[127..0] claimed[47..0]  ->  … differs

Nibble 8w + i of the words is nibble i of word w, the lowest first.
"""

from __future__ import annotations

from bitvm.script.blake3.block import hash_differs

LEAF_WORDS = 16


def leaf_hash_differs(*, falling: bool = False) -> bytes:
    """``… words claimed -> … differs``: true iff the first 24 bytes of the leaf's hash are not as claimed."""
    return hash_differs(LEAF_WORDS, falling=falling).script()
