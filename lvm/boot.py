"""Boot: how a run begins, as states and as roots.

`Boot(prev_root, input_root)` replaces the height-17 node over INPUT and CPU by `node(input_root, CPU_INIT)`, where
CPU_INIT is the hash of a CPU subtree that is zero but for pc = the program's entry point. So memory persists from one
run to the next, and a run's first state differs from its predecessor's last by one subtree.
"""

from __future__ import annotations

from collections.abc import Sequence

from lvm.control import Control
from lvm.hashing import ZERO, leaf_hash, node_hash
from lvm.layout import (
    CONTROL_BASE,
    CPU_NODE,
    INPUT_BASE,
    INPUT_MAX_BYTES,
    INPUT_NODE,
    LEAF_BYTES,
    RANGE_HEIGHT,
    TREE_HEIGHT,
    WORD_BYTES,
)
from lvm.tree import BatchHasher, StateTree, fold

BOOT_HEIGHT = RANGE_HEIGHT + 1
"""Height of the node that Boot replaces."""
BOOT_NODE = CPU_NODE >> 1
"""Its index at that height."""


class InputTooLargeError(ValueError):
    """The input does not fit into INPUT."""


def encode_input(data: bytes) -> bytes:
    """Return INPUT's bytes: the length as a little-endian word, then the data. Raises InputTooLargeError."""
    if len(data) > INPUT_MAX_BYTES:
        raise InputTooLargeError(f"input has {len(data)} bytes; INPUT holds at most {INPUT_MAX_BYTES}")
    return len(data).to_bytes(WORD_BYTES, "little") + data


def input_root(data: bytes, hasher: BatchHasher | None = None) -> bytes:
    """Return the height-16 root (24 bytes) of INPUT holding `data`. Raises InputTooLargeError."""
    content = encode_input(data)
    content += bytes(-len(content) % LEAF_BYTES)
    first = INPUT_BASE // LEAF_BYTES
    tree = StateTree(hasher)
    tree.update(range(first, first + len(content) // LEAF_BYTES), content)
    return tree.node(RANGE_HEIGHT, INPUT_NODE)


def cpu_root(entry: int) -> bytes:
    """Return CPU_INIT (24 bytes, height 16) of a program with this entry point."""
    leaf = Control(pc=entry).to_bytes().ljust(LEAF_BYTES, b"\0")
    return fold(leaf_hash(leaf), CONTROL_BASE // LEAF_BYTES, ZERO[:RANGE_HEIGHT])


def boot_root(siblings: Sequence[bytes], input_root: bytes, entry: int) -> bytes:
    """Return the root of Boot(prev_root, input_root).

    `siblings` are the seven siblings of the replaced node in the previous state, heights 17..23; `input_root` has 24
    bytes. Raises ValueError for another number of siblings.
    """
    if len(siblings) != TREE_HEIGHT - BOOT_HEIGHT:
        raise ValueError(f"Boot needs {TREE_HEIGHT - BOOT_HEIGHT} siblings, got {len(siblings)}")
    return fold(node_hash(input_root, cpu_root(entry)), BOOT_NODE, siblings)
