"""The state tree against a naive recomputation, its snapshots, and the batch path against the scalar one."""

from random import Random

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from lvm.hashing import ZERO, leaf_hash, node_hash
from lvm.layout import LEAF_COUNT
from lvm.tree import BATCH_MINIMUM, Bytes2D, StateTree, fold

INDEX = st.one_of(
    st.sampled_from([0, 1, 2, 63, 64, 65, 4095, 4096, LEAF_COUNT // 2 - 1, LEAF_COUNT // 2, LEAF_COUNT - 1]),
    st.integers(0, LEAF_COUNT - 1),
    st.integers(0, 130),
)
LEAF = st.one_of(st.just(bytes(64)), st.binary(min_size=64, max_size=64))
CHANGES = st.dictionaries(INDEX, LEAF, max_size=12)


def truncated(data: bytes) -> bytes:
    return blake3(data).digest()[:24]


def naive_nodes(leaves: dict[int, bytes]) -> dict[tuple[int, int], bytes]:
    """Every node above a leaf of `leaves`, by height and index, straight from the definition."""
    zero = truncated(bytes(64))
    level = {index: truncated(leaf) for index, leaf in leaves.items()} or {0: zero}
    nodes = {(0, index): value for index, value in level.items()}
    for height in range(1, 25):
        level = {index // 2: truncated(level.get(index & ~1, zero) + level.get(index | 1, zero)) for index in level}
        zero = truncated(zero + zero)
        nodes |= {(height, index): value for index, value in level.items()}
    return nodes


def put(tree: StateTree, leaves: dict[int, bytes]) -> None:
    tree.update(list(leaves), b"".join(leaves.values()))


class PlainBatchHasher:
    """The batch interface, one hash at a time; remembers that it was used."""

    def __init__(self) -> None:
        self.hashed = 0

    def _hash(self, rows: Bytes2D) -> Bytes2D:
        self.hashed += len(rows)
        joined = b"".join(truncated(row.tobytes()) for row in rows)
        return np.frombuffer(joined, dtype=np.uint8).reshape(-1, 24)

    hash_leaves = hash_nodes = _hash


def test_hashes_are_truncated_blake3_of_one_block() -> None:
    leaf, left, right = bytes(range(64)), bytes(range(24)), bytes(range(24, 48))
    assert leaf_hash(leaf) == truncated(leaf)
    assert node_hash(left, right) == truncated(left + right)
    assert leaf_hash(leaf).hex() == "4eed7141ea4a5cd4b788606bd23f46e212af9cacebacdc7d"  # BLAKE3's own test vector
    for size in (0, 48, 63, 65):
        with pytest.raises(ValueError, match="64 bytes"):
            leaf_hash(bytes(size))
    with pytest.raises(ValueError, match="24 bytes"):
        node_hash(left, right + b"\0")


def test_zero_hashes() -> None:
    assert len(ZERO) == 25
    assert ZERO[0] == truncated(bytes(64))
    assert all(ZERO[height + 1] == truncated(ZERO[height] * 2) for height in range(24))
    tree = StateTree()
    assert tree.root == ZERO[24]
    assert tree.siblings(12345) == ZERO[:24]


@settings(max_examples=60)
@given(st.lists(CHANGES, min_size=1, max_size=4))
def test_incremental_updates_agree_with_a_naive_tree(history: list[dict[int, bytes]]) -> None:
    tree, leaves = StateTree(), dict[int, bytes]()
    for changes in history:
        put(tree, changes)
        leaves |= changes
    nodes = naive_nodes(leaves)
    assert tree.root == nodes[24, 0]
    for (height, index), value in nodes.items():
        assert tree.node(height, index) == value
    for index, leaf in leaves.items():
        siblings = tree.siblings(index)
        assert siblings == tuple(nodes.get((height, index >> height ^ 1), ZERO[height]) for height in range(24))
        assert fold(leaf_hash(leaf), index, siblings) == tree.root


def test_writing_zeros_back_gives_the_zero_root() -> None:
    tree = StateTree()
    put(tree, {5: b"\1" * 64, LEAF_COUNT - 1: b"\2" * 64})
    put(tree, {5: bytes(64), LEAF_COUNT - 1: bytes(64)})
    assert tree.root == ZERO[24]


def test_fold_from_an_inner_node() -> None:
    tree = StateTree()
    put(tree, {0xABCDEF: b"\7" * 64})
    for height in (0, 6, 17, 23, 24):
        index = 0xABCDEF >> height
        assert fold(tree.node(height, index), index, tree.siblings(0xABCDEF)[height:]) == tree.root


def test_path_of_one_leaf_proves_no_other() -> None:
    tree = StateTree()
    put(tree, {8: b"\1" * 64})
    siblings = tree.siblings(8)
    assert fold(leaf_hash(b"\1" * 64), 9, siblings) != tree.root
    assert fold(leaf_hash(b"\1" * 63 + b"\2"), 8, siblings) != tree.root


@pytest.mark.parametrize("count", [BATCH_MINIMUM, 300, 5000])
def test_batch_path_agrees_with_the_scalar_path(count: int) -> None:
    rng = Random(count)
    hasher = PlainBatchHasher()
    scalar, batch = StateTree(), StateTree(hasher)
    for spread in (count * 2, LEAF_COUNT):
        indices = rng.sample(range(spread), count)
        leaves = rng.randbytes(64 * count)
        scalar.update(indices, leaves)
        batch.update(np.array(indices), np.frombuffer(leaves, dtype=np.uint8).reshape(-1, 64))
        assert batch.root == scalar.root
        assert all(batch.siblings(index) == scalar.siblings(index) for index in indices[:50])
    assert hasher.hashed > 2 * count


def test_few_leaves_do_not_go_through_the_batch() -> None:
    hasher = PlainBatchHasher()
    put(StateTree(hasher), {1: b"\1" * 64})
    assert hasher.hashed == 0


@pytest.mark.parametrize("hasher", [None, PlainBatchHasher()])
def test_snapshots_are_isolated_both_ways(hasher: PlainBatchHasher | None) -> None:
    rng = Random(3)
    tree = StateTree(hasher)
    tree.update(range(100), rng.randbytes(6400))
    first, saved = tree.root, tree.snapshot()
    tree.update(range(50, 150), rng.randbytes(6400))
    second = tree.root
    other = StateTree()
    other.restore(saved)
    assert other.root == first
    put(other, {7: b"\7" * 64})
    assert tree.root == second
    tree.restore(saved)
    assert tree.root == first


def test_bad_arguments() -> None:
    tree = StateTree()
    with pytest.raises(ValueError, match="need 128 bytes, got 64"):
        tree.update([1, 2], bytes(64))
    for index in (-1, LEAF_COUNT):
        with pytest.raises(ValueError, match="outside"):
            tree.update([index], bytes(64))
    for height, index in ((-1, 0), (25, 0), (24, 1), (0, LEAF_COUNT), (3, -1)):
        with pytest.raises(ValueError, match="no node"):
            tree.node(height, index)
    tree.update([], b"")
    assert tree.root == ZERO[24]
