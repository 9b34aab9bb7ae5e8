"""Sizes and weights of what the game is built from, computed by writing the scripts: leaves, signatures, node hash.

Nothing here needs a set-up: keys are made up, since no size depends on their values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.execution.catalogue import BITVMX_BYTES, EXECUTION_PROOFS, leaf_bytes
from bitvm.leaves.execution.frame import GROUP_SCHEMES, group_path
from bitvm.leaves.proof import ProofLeaf
from bitvm.script.onetime import NODE, NODE_USED, Form, Window, cost
from bitvm.script.onetime.chain import VALUE_BYTES
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme
from bitvm.script.taproot import TapLeaf, TapTree
from bitvm.script.weight import witness_weight
from lvm.layout import HASH_BYTES

WINTERNITZ_DIGIT = 97
"""Weight units of one 4-bit digit under list-pick Winternitz, with the size check that safety needs."""

WORDS_IN_GROUP = 5
"""Words of 32 bits that one key signs together, in the figures for a word."""


@dataclass(frozen=True, slots=True)
class LeafFigures:
    """An execution leaf. body_bytes: without signatures and public values. weight: its whole witness, at most.

    bitvmx_bytes: BitVMX's leaf for the same instruction without signatures, None where it has none or none is known.
    """

    name: str
    statement: str
    body_bytes: int
    script_bytes: int
    weight: int
    bitvmx_bytes: int | None


@dataclass(frozen=True, slots=True)
class SchemeFigures:
    """What signing one thing costs, in weight units; ``items`` are its witness items.

    shown, used: None where the scheme is not opened in that form. winternitz: the same under list-pick Winternitz.
    """

    signs: str
    scheme: str
    shown: int | None
    used: int | None
    items: int
    winternitz: int


def leaf_figures() -> list[LeafFigures]:
    """Return every execution leaf, in the order of the catalogue."""
    public = {group_path(group): _public_key(group, scheme) for group, scheme in GROUP_SCHEMES.items()}
    key = hashlib.sha256(b"challenger").digest()
    leaves = [ProofLeaf(proof, "challenger1", key, public) for proof in EXECUTION_PROOFS]
    timeout = CovenantLeaf("covenant", ("prover", "challenger1"), (hashlib.sha256(b"prover").digest(), key))
    scripts = {leaf.name: leaf.script for leaf in leaves}
    tree = TapTree([TapLeaf(name, script) for name, script in (*scripts.items(), (timeout.name, timeout.script))])
    bodies = leaf_bytes()
    return [
        LeafFigures(
            leaf.name,
            leaf.proof.statement,
            bodies[leaf.name],
            len(scripts[leaf.name]),
            witness_weight(tree.witness(leaf.name, [bytes(size) for size in leaf.item_sizes()])),
            BITVMX_BYTES.get(leaf.name),
        )
        for leaf in leaves
    ]


def _public_key(name: str, scheme: AnyScheme) -> PublicKey:
    values = (hashlib.sha256(f"{name} {chain}".encode()).digest()[:VALUE_BYTES] for chain in range(scheme.chains))
    return PublicKey(scheme, tuple(values))


def scheme_figures(width: int = 64, levels: int = 5) -> list[SchemeFigures]:
    """Return what the game signs, with each scheme's weight and Winternitz's."""
    words = Window(width=16, slots=8 * WORDS_IN_GROUP)
    root = isqrt(width)
    choice, index = Window(width=root, slots=2), Window(width=root, slots=2 * levels)
    choice_bits = width.bit_length() - 1
    both = (Form.SHOWN, Form.USED)
    return [
        _scheme("node", NODE, 8 * HASH_BYTES, [Form.SHOWN]),
        _scheme("node, used later", NODE_USED, 8 * HASH_BYTES, both),
        _scheme(f"{WORDS_IN_GROUP} words", words, 32 * WORDS_IN_GROUP, both),
        _scheme(f"choice of {width}", choice, choice_bits, both),
        _scheme(f"{levels} choices", index, levels * choice_bits, both),
    ]


def winternitz_weight(bits: int) -> int:
    """Return what ``bits`` cost under list-pick Winternitz with 4-bit digits, those of the checksum included."""
    digits = -(-bits // 4)
    checksum = -(-(15 * digits).bit_length() // 4)
    return WINTERNITZ_DIGIT * (digits + checksum)


def _scheme(signs: str, scheme: AnyScheme, bits: int, forms: Sequence[Form]) -> SchemeFigures:
    weights = {form: cost(scheme, form).maximum for form in forms}
    return SchemeFigures(
        signs,
        scheme.name,
        weights.get(Form.SHOWN),
        weights.get(Form.USED),
        2 * scheme.slots,
        winternitz_weight(bits),
    )
