"""The hash of an inner node of the state tree, ``BLAKE3(left || right)[:24]``, as fragments of Bitcoin Script.

Nibbles in range are presumed; see `block`, also for the order of the items::

    node_hash_differs    … left[0..47] right[0..47] claimed[0..47]  ->  … differs
      falling            … right[47..0] left[47..0] claimed[47..0]  ->  … differs
    node_hash            … left[0..47] right[0..47]                 ->  … hash[0..47]
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from bitvm.script.blake3.block import HASH_NIBBLES, SCALED_OUTPUT, compress, hash_differs, message_names
from bitvm.script.blake3.compression import Compression
from bitvm.script.blake3.encoding import PLAIN, PLAIN_BASE, ROW, SUM_BASE, XOR, TableBuilder

NODE_WORDS = 12


def node_hash_differs(*, falling: bool = False) -> bytes:
    """``… left right claimed -> … differs``: true iff ``BLAKE3(left || right)[:24]`` is not what is claimed."""
    return hash_differs(NODE_WORDS, falling=falling).script()


def node_hash() -> bytes:
    """``… left right -> … hash``: the 48 nibbles of ``BLAKE3(left || right)[:24]``."""
    return _hash().script()


def budget() -> Mapping[str, int]:
    """Return the bytes of node_hash_differs by part, the largest first."""
    parts = sorted(hash_differs(NODE_WORDS).budget.items(), key=lambda part: -part[1])
    return MappingProxyType(dict(parts))


def peak_stack_items() -> int:
    """Return how many items node_hash_differs has on both stacks at most, its 144 inputs included."""
    return hash_differs(NODE_WORDS).peak


@cache
def _hash() -> TableBuilder:
    script = TableBuilder(message_names(NODE_WORDS))
    compression = compress(script, NODE_WORDS)
    with script.part("output"):
        for k in reversed(range(HASH_NIBBLES)):
            _output_nibble(script, compression, k)
            script.number(PLAIN_BASE)
            script.add()
            script.look_up(PLAIN)
            script.to_alt()
    with script.part("clean up"):
        script.drop_tables()
    with script.part("output"):
        script.from_alt(HASH_NIBBLES)
    return script


def _output_nibble(script: TableBuilder, compression: Compression, k: int) -> None:
    """``… state -> … state' 3n``: nibble k of the hash; the encodings of the state are as in `block`."""
    word, i = divmod(k, 8)
    script.pick(compression.name(word + 8, i))
    if k < SCALED_OUTPUT:
        script.look_up(ROW)
        script.look_up(XOR)  # with zero: reduces and scales
        script.roll(compression.name(word, i), "")
    else:
        script.roll(compression.name(word, i), "")
        script.number(SUM_BASE)
        script.add()
    script.look_up(ROW)
    script.add()
    script.look_up(XOR)
