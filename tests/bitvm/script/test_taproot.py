"""Taproot trees against BIP341's vectors, bitcoin-utils and Core's engine."""

import hashlib
import heapq

import pytest
from bitcoin.core import COutPoint, CScript, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScriptWitness
from bitcoinutils.keys import PublicKey
from bitcoinutils.script import Script
from bitcoinutils.utils import ControlBlock
from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from bitvm.script.builder import push_data
from bitvm.script.engine import verify_input
from bitvm.script.taproot import (
    MAX_DEPTH,
    UNSPENDABLE_KEY,
    DuplicateLeafError,
    TapLeaf,
    TaprootError,
    TapTree,
    UnknownLeafError,
    branch_hash,
    leaf_hash,
)

# BIP341, wallet-test-vectors.json: internal key, leaves by depth, leaf hashes, root, scriptPubKey, control blocks.
VECTORS = [
    (
        "187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27",
        [(0, "20d85a959b0290bf19bb89ed43c916be835475d013da4b362117393e25a48229b8ac")],
        "5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21",
        "5120147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3",
        ["c1187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27"],
    ),
    (
        "93478e9488f956df2396be2ce6c5cced75f900dfa18e7dabd2428aae78451820",
        [(0, "20b617298552a72ade070667e86ca63b8f5789a9fe8731ef91202a91c9f3459007ac")],
        "c525714a7f49c28aedbbba78c005931a81c234b2f6c99a73e4d06082adc8bf2b",
        "5120e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e",
        ["c093478e9488f956df2396be2ce6c5cced75f900dfa18e7dabd2428aae78451820"],
    ),
    (
        "f9f400803e683727b14f463836e1e78e1c64417638aa066919291a225f0e8dd8",
        [
            (1, "2044b178d64c32c4a05cc4f4d1407268f764c940d20ce97abfd44db5c3592b72fdac"),
            (1, "07546170726f6f74"),
        ],
        "ab179431c28d3b68fb798957faf5497d69c883c6fb1e1cd9f81483d87bac90cc",
        "512077e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220",
        [
            "c1f9f400803e683727b14f463836e1e78e1c64417638aa066919291a225f0e8dd8"
            "2cb2b90daa543b544161530c925f285b06196940d6085ca9474d41dc3822c5cb",
            "c1f9f400803e683727b14f463836e1e78e1c64417638aa066919291a225f0e8dd8"
            "64512fecdb5afa04f98839b50e6f0cb7b1e539bf6f205f67934083cdcc3c8d89",
        ],
    ),
    (
        "e0dfe2300b0dd746a3f8674dfd4525623639042569d829c7f0eed9602d263e6f",
        [
            (1, "2072ea6adcf1d371dea8fba1035a09f3d24ed5a059799bae114084130ee5898e69ac"),
            (2, "202352d137f2f3ab38d1eaa976758873377fa5ebb817372c71e2c542313d4abda8ac"),
            (2, "207337c0dd4253cb86f2c43a2351aadd82cccb12a172cd120452b9bb8324f2186aac"),
        ],
        "ccbd66c6f7e8fdab47b3a486f59d28262be857f30d4773f2d5ea47f7761ce0e2",
        "512091b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605",
        [
            "c0e0dfe2300b0dd746a3f8674dfd4525623639042569d829c7f0eed9602d263e6f"
            "ffe578e9ea769027e4f5a3de40732f75a88a6353a09d767ddeb66accef85e553",
            "c0e0dfe2300b0dd746a3f8674dfd4525623639042569d829c7f0eed9602d263e6f"
            "9e31407bffa15fefbf5090b149d53959ecdf3f62b1246780238c24501d5ceaf6"
            "2645a02e0aac1fe69d69755733a9b7621b694bb5b5cde2bbfc94066ed62b9817",
            "c0e0dfe2300b0dd746a3f8674dfd4525623639042569d829c7f0eed9602d263e6f"
            "ba982a91d4fc552163cb1c0da03676102d5b7a014304c01f0c77b2b8e888de1c"
            "2645a02e0aac1fe69d69755733a9b7621b694bb5b5cde2bbfc94066ed62b9817",
        ],
    ),
]


@pytest.mark.parametrize(("internal_key", "leaves", "root", "script_pubkey", "control_blocks"), VECTORS)
def test_the_vectors_of_bip341(internal_key, leaves, root, script_pubkey, control_blocks):
    tapleaves = [
        TapLeaf(str(number), bytes.fromhex(script), 2.0**-depth) for number, (depth, script) in enumerate(leaves)
    ]
    tree = TapTree(tapleaves, bytes.fromhex(internal_key))
    assert tree.root.hex() == root
    assert tree.script_pubkey.hex() == script_pubkey
    assert tree.output_key == tree.script_pubkey[2:]
    assert [tree.depth(leaf.name) for leaf in tree] == [depth for depth, _ in leaves]
    assert [tree.control_block(leaf.name).hex() for leaf in tree] == control_blocks


def test_hashes_of_another_leaf_version():
    # BIP341's vector with leaf version 0xfa
    tapscript = leaf_hash(bytes.fromhex("20387671353e273264c495656e27e39ba899ea8fee3bb69fb2a680e22093447d48ac"))
    other = leaf_hash(bytes.fromhex("06424950333431"), 0xFA)
    assert other.hex() == "f224a923cd0021ab202ab139cc56802ddb92dcfc172b9212261a539df79a112a"
    root = branch_hash(tapscript, other)
    assert root == branch_hash(other, tapscript)
    assert root.hex() == "6c2dc106ab816b73f9d07e3cd1ef2c8c1256f519748e0813e4edd2405d277bef"


def test_nobody_knows_the_secret_of_the_internal_key():
    generator = PrivateKey((1).to_bytes(32, "big")).public_key.format(compressed=False)
    assert hashlib.sha256(generator).digest() == UNSPENDABLE_KEY


def test_bitcoin_utils_builds_the_same_tree():
    scripts = [["OP_1"], ["OP_2", "OP_DROP", "OP_1"], ["ab" * 75], ["cd" * 20, "OP_DROP", "OP_3"]]
    a, b, c, d = (Script(script) for script in scripts)
    internal = PublicKey("02" + UNSPENDABLE_KEY.hex())
    output_key, odd = internal.to_taproot_hex([[a, b], [c, d]])
    tree = TapTree([TapLeaf(name, script.to_bytes()) for name, script in zip("abcd", (a, b, c, d), strict=True)])
    assert (tree.output_key.hex(), tree.parity) == (output_key, odd)
    for index, leaf in enumerate(tree):
        assert tree.control_block(leaf.name) == ControlBlock(internal, [[a, b], [c, d]], index, odd).to_bytes()


def trees() -> st.SearchStrategy[TapTree]:
    weights = st.lists(st.floats(0.001, 1000) | st.sampled_from([1.0, 2.0, 4.0]), min_size=1, max_size=12)
    return weights.map(
        lambda drawn: TapTree(
            [TapLeaf(f"leaf {n}", push_data(bytes([99, n])) + b"\x87", weight) for n, weight in enumerate(drawn)]
        )
    )


def spend(tree: TapTree, witness: list[bytes]) -> bool:
    txin = CTxIn(COutPoint(b"\x07" * 32, 3))
    stacks = CTxWitness([CTxInWitness(CScriptWitness(witness))])
    tx = CTransaction([txin], [CTxOut(900, CScript(b"\x51"))], nVersion=3, witness=stacks)
    return verify_input(tx, 0, [CTxOut(1000, CScript(tree.script_pubkey))])


@settings(max_examples=60)
@given(trees())
def test_core_spends_every_leaf_with_its_own_control_block_only(tree):
    for number, leaf in enumerate(tree):
        items = [bytes([99, number])]
        witness = tree.witness(leaf.name, items)
        assert spend(tree, witness)
        assert tree.read_witness(witness) == (leaf, items)
        assert len(witness[-1]) == 33 + 32 * tree.depth(leaf.name)
        assert not spend(tree, [b"\x01\x01", *witness[1:]])
        for other in tree:
            swapped = [*items, leaf.script, tree.control_block(other.name)]
            assert spend(tree, swapped) == (other is leaf)


@given(trees())
def test_the_expected_depth_is_the_least_possible(tree):
    # Huffman's cost is the sum of all merged weights
    heap = sorted(leaf.weight for leaf in tree)
    least = 0.0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        least += merged
        heapq.heappush(heap, merged)
    assert sum(leaf.weight * tree.depth(leaf.name) for leaf in tree) == pytest.approx(least)
    assert sum(2.0 ** -tree.depth(leaf.name) for leaf in tree) == 1  # a full binary tree


def test_same_leaves_same_output():
    def tree() -> TapTree:
        return TapTree([TapLeaf(str(n), bytes([0x51] * n), 1 + n % 3) for n in range(1, 20)])

    assert tree().script_pubkey == tree().script_pubkey
    # Fixed for good: outputs of set-ups made by an older version must be found again.
    assert tree().root.hex() == "07cf12eb2efa4d2d5a05e886147edcf737d3b9fae4671bc3429f08b89ce2f084"


def test_weight_moves_a_leaf_up():
    tree = TapTree([TapLeaf("often", b"\x51", 100), *(TapLeaf(str(n), bytes([0x52 + n])) for n in range(8))])
    assert tree.depth("often") == 1
    assert {tree.depth(str(n)) for n in range(8)} == {4}


def test_depth_needs_no_hash_and_no_valid_key():
    tree = TapTree([TapLeaf("a", b"\x51"), TapLeaf("b", b"\x52")], internal_key=b"\xff" * 32)
    assert tree.depth("a") == 1
    with pytest.raises(TaprootError, match="ffff"):
        _ = tree.output_key


def test_an_annex_is_not_shown_to_the_script():
    tree = TapTree([TapLeaf("a", b"\x51"), TapLeaf("b", b"\x52")])
    leaf, items = tree.read_witness([*tree.witness("a", []), b"\x50 annex"])
    assert (leaf.name, items) == ("a", [])


@pytest.mark.parametrize(
    "witness", [[], [b"\x51"], [b"\x51", b"\x50"], [b"\x40" * 64], [b"\x51", b"\xc0" * 33], [b"\x53", b"\xc0" * 65]]
)
def test_a_foreign_witness_is_refused(witness):
    tree = TapTree([TapLeaf("a", b"\x51"), TapLeaf("b", b"\x52")])
    with pytest.raises(UnknownLeafError):
        tree.read_witness(witness)


def test_the_control_block_of_another_leaf_is_refused():
    tree = TapTree([TapLeaf("a", b"\x51"), TapLeaf("b", b"\x52")])
    with pytest.raises(UnknownLeafError):
        tree.read_witness([tree.leaf("a").script, tree.control_block("b")])


@pytest.mark.parametrize("method", ["leaf", "depth", "control_block", "leaf_hash"])
def test_an_unknown_name_is_an_error(method):
    tree = TapTree([TapLeaf("a", b"\x51")])
    assert "a" in tree
    assert "b" not in tree
    with pytest.raises(UnknownLeafError, match="'b'"):
        getattr(tree, method)("b")


@pytest.mark.parametrize(
    ("leaves", "error", "words"),
    [
        ([], TaprootError, "at least one"),
        ([TapLeaf("a", b"\x51"), TapLeaf("a", b"\x52")], DuplicateLeafError, "'a'"),
        ([TapLeaf("a", b"\x51"), TapLeaf("b", b"\x51")], DuplicateLeafError, "'a', 'b'"),
        ([TapLeaf("a", b"\x51", 0)], TaprootError, "weight 0"),
        ([TapLeaf("a", b"\x51", -1.0)], TaprootError, "weight -1"),
        ([TapLeaf("a", b"\x51", float("nan"))], TaprootError, "weight nan"),
        ([TapLeaf("a", b"\x51", float("inf"))], TaprootError, "weight inf"),
        ([TapLeaf(str(n), bytes([0x01, n]), 4.0**n) for n in range(MAX_DEPTH + 2)], TaprootError, "deep"),
    ],
)
def test_a_tree_that_cannot_be(leaves, error, words):
    with pytest.raises(error, match=words):
        TapTree(leaves)


def test_the_deepest_tree_that_consensus_allows():
    leaves = [TapLeaf(str(n), push_data(bytes([99, n])) + b"\x87", 4.0**n) for n in range(MAX_DEPTH + 1)]
    tree = TapTree(leaves)
    assert tree.depth("0") == MAX_DEPTH
    assert spend(tree, tree.witness("0", [bytes([99, 0])]))
