"""A list of nodes that is shown, not signed: only its size is checked.

A party signs the Merkle root of what it reveals and shows the nodes in the clear (``protocol.md``: sign the root, show
the list). Three 24-byte nodes share a witness item of 72 bytes, because policy allows 80 and every item costs a length
byte and a check. Script checks the sizes, so that a relay cannot pad the transaction; it cannot check the bytes, and
nothing in the game rests on them.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitcoin.core import script as op

from bitvm.leaves.authority import WitnessError
from bitvm.script.builder import ScriptBuilder
from lvm.layout import HASH_BYTES

NODES_AN_ITEM = 3
"""Nodes packed in one witness item: 72 of the 80 bytes that policy allows."""


def list_item_sizes(count: int) -> list[int]:
    """Return the byte sizes of the items that hold ``count`` nodes, in list order."""
    full, rest = divmod(count, NODES_AN_ITEM)
    return [NODES_AN_ITEM * HASH_BYTES] * full + ([rest * HASH_BYTES] if rest else [])


def check_list(b: ScriptBuilder, count: int) -> None:
    """``… item_last … item_first -> …``: every item has its size; the first one is on top."""
    for size in list_item_sizes(count):
        b.apply(op.OP_SIZE, 1, "item", "size")
        b.number(size)
        b.binary(op.OP_EQUAL)
        b.verify()
        b.drop()


def list_items(nodes: Sequence[bytes]) -> list[bytes]:
    """Return the nodes as witness items, bottom first."""
    joined = [b"".join(nodes[i : i + NODES_AN_ITEM]) for i in range(0, len(nodes), NODES_AN_ITEM)]
    return joined[::-1]


def parse_list(leaf: str, items: Sequence[bytes], count: int) -> tuple[bytes, ...]:
    """Read the nodes back from witness items, bottom first; raises WitnessError."""
    sizes = list_item_sizes(count)
    found = [len(item) for item in reversed(items)]
    if found != sizes:
        raise WitnessError(f"{leaf}: list items of {sizes} bytes needed, got {found}")
    joined = b"".join(reversed(items))
    return tuple(joined[i : i + HASH_BYTES] for i in range(0, len(joined), HASH_BYTES))
