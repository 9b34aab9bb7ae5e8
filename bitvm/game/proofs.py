"""Which proof holds against what was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bitvm.graph.model import Input, ScriptLeaf, Template
from bitvm.leaves.proof import Hints, ProofLeaf, Said


@dataclass(frozen=True, slots=True)
class Found:
    """A leaf that holds, what it shows in words, and the hints it needs."""

    leaf: str
    statement: str
    hints: Hints


def find_proof(template: Template, said: Said) -> Found | None:
    """Return the lightest leaf of ``template``'s first input that holds against ``said``; None if none does."""
    spent = template.inputs[0]
    if not isinstance(spent, Input):
        return None
    leaves = [(spent.leaf(name), found) for name in spent.leaves for found in _holding(spent.leaf(name), said)]
    lightest = min(leaves, key=lambda pair: sum(pair[0].item_sizes()), default=None)
    return None if lightest is None else lightest[1]


def _holding(leaf: ScriptLeaf, said: Said) -> Iterator[Found]:
    if not isinstance(leaf, ProofLeaf) or not said.signatures.keys() >= set(leaf.proof.keys):
        return
    hints = leaf.proof.wins(said)
    if hints is not None:
        yield Found(leaf.name, leaf.proof.statement, hints)
