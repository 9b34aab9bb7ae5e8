"""BLAKE3 of an inner node in Bitcoin Script: ``BLAKE3(left || right)[:24]`` from nibbles (see `node`)."""

from bitvm.script.blake3.encoding import NibbleError, from_nibbles, nibbles
from bitvm.script.blake3.node import budget, node_hash, node_hash_differs, peak_stack_items

__all__ = [
    "NibbleError",
    "budget",
    "from_nibbles",
    "nibbles",
    "node_hash",
    "node_hash_differs",
    "peak_stack_items",
]
