"""The lists of a trace commitment (``protocol.md``, Trace commitments).

Level r covers an interval that the level above chose, cut into k parts. Its list holds the state roots at the k-1
interior points; with a zero node at the end it is the leaves of a Merkle tree whose root R_r is signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from lvm.hashing import node_hash
from lvm.layout import HASH_BYTES


def trace_root(points: Sequence[bytes]) -> bytes:
    """Return the root over the interior points (k-1 nodes of 24 bytes) and the zero entry behind them."""
    nodes = [*points, bytes(HASH_BYTES)]
    if len(nodes) & (len(nodes) - 1):
        raise ValueError(f"a list has one node less than a power of two, got {len(points)}")
    while len(nodes) > 1:
        nodes = [node_hash(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return nodes[0]


def first_disagreement(theirs: Sequence[bytes], ours: Sequence[bytes]) -> int:
    """Return the choice: the first interval whose right end differs.

    Both lists hold the interior points of one level. Where none of them differs, the disputed point is the parent's
    right end, so the choice is the last interval.
    """
    if len(theirs) != len(ours):
        raise ValueError(f"lists of {len(theirs)} and {len(ours)} points")
    for position, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if their != our:
            return position
    return len(ours)


def interval_start(choices: Sequence[int], width: int, levels: int) -> int:
    """Return the first step of the interval that the choices so far select."""
    return sum(choice * width ** (levels - level) for level, choice in enumerate(choices, start=1))
