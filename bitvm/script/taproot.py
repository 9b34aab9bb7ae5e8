"""Taproot outputs that only their leaves can spend (BIP341; leaf version 0xc0, BIP342).

A `TapTree` places its leaves by Huffman's algorithm: a leaf of twice the weight lies about one level higher, where its
control block is 32 bytes shorter. The shape depends on the order and weights of the leaves alone, so two parties that
list the same leaves derive the same output, byte for byte.

Hashes, keys and control blocks are made when first asked for. `depth` needs no hash at all: what a leaf costs in a
witness is known before its script is final.

Keys are 32-byte x-only points, hashes 32 bytes, all in the byte order in which they appear in scripts.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from coincurve import PublicKeyXOnly

from bitvm.script.weight import compact_size

LEAF_VERSION = 0xC0
"""Tapscript (BIP342)."""

MAX_DEPTH = 128
"""Longest Merkle path that a control block can hold (BIP341)."""

ANNEX_TAG = 0x50
"""First byte of a last witness item that is an annex (BIP341)."""

UNSPENDABLE_KEY = bytes.fromhex("50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0")
"""BIP341's point H: its x coordinate is the SHA256 of the generator's uncompressed encoding, so nobody can know its
discrete logarithm, and an output with H inside has no key path. Everybody sees that from the control block."""


_Item = TypeVar("_Item")


class TaprootError(ValueError):
    """A tree that cannot be built."""


class DuplicateLeafError(TaprootError):
    """Two leaves of one tree share a name or a script."""


class UnknownLeafError(TaprootError, LookupError):
    """No leaf of the tree has this name, script or control block."""


def tagged_hash(tag: str, *message: bytes) -> bytes:
    """Return BIP340's SHA256(SHA256(tag) || SHA256(tag) || message), the message given in parts."""
    prefix = hashlib.sha256(tag.encode()).digest()
    digest = hashlib.sha256(prefix + prefix)
    for part in message:  # a script may be large: not copied
        digest.update(part)
    return digest.digest()


def leaf_hash(script: bytes, version: int = LEAF_VERSION) -> bytes:
    """Return the TapLeaf hash of `script`: what a tree holds, and what a signature in that leaf commits to."""
    return tagged_hash("TapLeaf", bytes([version]) + compact_size(len(script)), script)


def branch_hash(one: bytes, other: bytes) -> bytes:
    """Return the TapBranch hash of two nodes, in either order: the lexicographically smaller comes first."""
    return tagged_hash("TapBranch", min(one, other) + max(one, other))


@dataclass(frozen=True, slots=True)
class TapLeaf:
    """A leaf: its name in the tree, its script, and how likely it is to be used relative to the others (> 0)."""

    name: str
    script: bytes
    weight: float = 1.0


class TapTree:
    """A Taproot output and the leaves that can spend it."""

    def __init__(self, leaves: Sequence[TapLeaf], internal_key: bytes = UNSPENDABLE_KEY) -> None:
        """Place the leaves, without hashing anything yet.

        Raises DuplicateLeafError, or TaprootError when there is no leaf, a weight is not a positive finite number or a
        leaf lies deeper than 128. An `internal_key` that is no x-only point raises TaprootError where it is needed.
        """
        if not leaves:
            raise TaprootError("a tree has at least one leaf")
        self._leaves = {leaf.name: leaf for leaf in leaves}
        if len(self._leaves) != len(leaves):
            raise DuplicateLeafError(f"two leaves are named {_first_repeated([leaf.name for leaf in leaves])!r}")
        self._by_script = {leaf.script: leaf for leaf in leaves}
        if len(self._by_script) != len(leaves):
            script = _first_repeated([leaf.script for leaf in leaves])
            names = [leaf.name for leaf in leaves if leaf.script == script]
            raise DuplicateLeafError(f"leaves {names} have one and the same script")
        for leaf in leaves:
            if not (math.isfinite(leaf.weight) and leaf.weight > 0):
                raise TaprootError(f"leaf {leaf.name!r} has weight {leaf.weight}; weights are positive and finite")
        self.internal_key = internal_key
        self._merges = _huffman_merges([leaf.weight for leaf in leaves])
        self._parents = _parents(len(leaves), self._merges)
        self._numbers = {name: number for number, name in enumerate(self._leaves)}
        for name in self._leaves:
            if (depth := self.depth(name)) > MAX_DEPTH:
                raise TaprootError(f"leaf {name!r} lies {depth} deep, {MAX_DEPTH} is the most: level the weights")

    def __iter__(self) -> Iterator[TapLeaf]:
        """Iterate over the leaves in the order they were given."""
        return iter(self._leaves.values())

    def __len__(self) -> int:
        """Return the number of leaves."""
        return len(self._leaves)

    def __contains__(self, name: object) -> bool:
        """Whether a leaf has this name."""
        return name in self._leaves

    def leaf(self, name: str) -> TapLeaf:
        """Return the leaf called `name`; raises UnknownLeafError."""
        try:
            return self._leaves[name]
        except KeyError:
            raise UnknownLeafError(f"no leaf {name!r} among {', '.join(self._leaves)}") from None

    def leaf_hash(self, name: str) -> bytes:
        """Return the TapLeaf hash of the leaf called `name`; raises UnknownLeafError."""
        return self._nodes[self._number(name)]

    def depth(self, name: str) -> int:
        """Return the number of hashes in the leaf's Merkle path; raises UnknownLeafError."""
        return sum(1 for _ in self._ancestry(self._number(name))) - 1

    @cached_property
    def root(self) -> bytes:
        """The Merkle root of the tree."""
        return self._nodes[-1]

    @property
    def output_key(self) -> bytes:
        """The x-only key in the output: internal key + TapTweak(internal key || root) · G."""
        return self._tweaked[0]

    @property
    def parity(self) -> int:
        """1 if the output key's point has an odd y, else 0."""
        return self._tweaked[1]

    @property
    def script_pubkey(self) -> bytes:
        """The 34 bytes OP_1 <output key>."""
        return b"\x51\x20" + self.output_key

    def control_block(self, name: str) -> bytes:
        """Return leaf version and parity, internal key, Merkle path: 33 + 32 · depth bytes; raises UnknownLeafError."""
        *below_root, _ = self._ancestry(self._number(name))
        path = b"".join(self._nodes[self._sibling(node)] for node in below_root)
        return bytes([LEAF_VERSION | self.parity]) + self.internal_key + path

    def witness(self, name: str, items: Sequence[bytes]) -> list[bytes]:
        """Return the witness that spends through the leaf: `items` (stack bottom first), script, control block."""
        return [*items, self.leaf(name).script, self.control_block(name)]

    def read_witness(self, witness: Sequence[bytes]) -> tuple[TapLeaf, list[bytes]]:
        """Return the leaf that `witness` spends through and the items shown to it (stack bottom first).

        An annex is dropped, as consensus ignores it. Raises UnknownLeafError for a witness that does not spend this
        output through a leaf.
        """
        stack = list(witness)
        if len(stack) >= 2 and stack[-1][:1] == bytes([ANNEX_TAG]):
            stack.pop()
        if len(stack) < 2:
            raise UnknownLeafError("a script-path witness ends in a script and a control block")
        *items, script, control_block = stack
        leaf = self._by_script.get(script)
        if leaf is None or control_block != self.control_block(leaf.name):
            raise UnknownLeafError(f"no leaf of this tree has this script ({len(script)} bytes) and control block")
        return leaf, items

    # Nodes are numbered: leaves 0..n-1 in the order given, then inner nodes in the order Huffman made them; the root
    # is the last.

    @cached_property
    def _nodes(self) -> list[bytes]:
        nodes = [leaf_hash(leaf.script) for leaf in self._leaves.values()]
        for left, right in self._merges:
            nodes.append(branch_hash(nodes[left], nodes[right]))
        return nodes

    @cached_property
    def _tweaked(self) -> tuple[bytes, int]:
        try:
            key = PublicKeyXOnly(self.internal_key)
            key.tweak_add(tagged_hash("TapTweak", self.internal_key + self.root))
        except ValueError as error:
            raise TaprootError(f"internal key {self.internal_key.hex()} cannot be tweaked: {error}") from error
        return key.format(), int(key.parity)

    @property
    def _root_number(self) -> int:
        return len(self._parents) - 1

    def _number(self, name: str) -> int:
        return self._numbers[self.leaf(name).name]

    def _sibling(self, node: int) -> int:
        left, right = self._merges[self._parents[node] - len(self._leaves)]
        return right if node == left else left

    def _ancestry(self, node: int) -> Iterator[int]:
        """Yield the node, its parent and so on up to the root."""
        yield node
        while node != self._root_number:
            node = self._parents[node]
            yield node


def _huffman_merges(weights: Sequence[float]) -> list[tuple[int, int]]:
    """Return which two nodes each inner node joins, in the order of their making; ties go to the older node."""
    heap = [(weight, number) for number, weight in enumerate(weights)]
    heapq.heapify(heap)
    merges = []
    for parent in range(len(weights), 2 * len(weights) - 1):
        light, left = heapq.heappop(heap)
        heavy, right = heapq.heappop(heap)
        heapq.heappush(heap, (light + heavy, parent))
        merges.append((left, right))
    return merges


def _parents(leaf_count: int, merges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the parent of every node; the root is its own."""
    parents = list(range(leaf_count + len(merges)))
    for parent, children in enumerate(merges, start=leaf_count):
        for child in children:
            parents[child] = parent
    return parents


def _first_repeated(items: Sequence[_Item]) -> _Item:
    return next(item for number, item in enumerate(items) if item in items[:number])
