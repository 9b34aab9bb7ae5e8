"""Which proof holds against what was said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bitvm.graph.model import Input, ScriptLeaf, Template
from bitvm.leaves.execution.frame import SignedExecutionLeaf
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
    hints = None
    if isinstance(leaf, SignedExecutionLeaf):
        hints, statement = leaf.leaf.wins(said.words), leaf.leaf.statement
    elif isinstance(leaf, ProofLeaf) and said.signatures.keys() >= set(leaf.proof.keys):
        hints, statement = leaf.proof.wins(said), leaf.proof.statement
    if hints is not None:
        yield Found(leaf.name, statement, hints)
