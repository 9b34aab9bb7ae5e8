"""BLAKE3 of the state tree's nodes and leaves in Bitcoin Script, from nibbles (see `node` and `leaf`)."""

from bitvm.script.blake3.encoding import NibbleError, from_nibbles, nibbles
from bitvm.script.blake3.leaf import leaf_hash_differs
from bitvm.script.blake3.node import budget, node_hash, node_hash_differs, peak_stack_items

__all__ = [
    "NibbleError",
    "budget",
    "from_nibbles",
    "leaf_hash_differs",
    "nibbles",
    "node_hash",
    "node_hash_differs",
    "peak_stack_items",
]
