"""From an execution leaf to a proof: its groups are keys of Step, its body and its twin read words that Step signs.

`bitvm.leaves.proof` makes the whole leaf of it. The nibbles are not normalised there: bodies treat them as numbers only
(see `base`), which saves 3 WU each.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.leaves.execution.base import ExecutionLeaf, body_builder
from bitvm.leaves.proof import Proof, write_body
from bitvm.leaves.statement import GROUPS
from bitvm.script.onetime import Window

GROUP_SCHEMES: Mapping[str, Window] = {name: Window(width=16, slots=group.nibbles) for name, group in GROUPS.items()}
"""How each group of the statement is signed: one digit a nibble, in the order of `nibble_names`."""


def group_path(group: str) -> str:
    """Return the path of the key that signs a group of the statement."""
    return f"Step/{group}"


def execution_proof(leaf: ExecutionLeaf) -> Proof:
    """Return the proof that Step is false in the way that the leaf knows."""
    keys = tuple(group_path(group) for group in leaf.groups)
    return Proof(leaf.name, leaf.statement, keys, leaf.hints, leaf.body, lambda said: leaf.wins(said.words))


def body_script(leaf: ExecutionLeaf) -> bytes:
    """Return what a leaf's script does once the signatures are checked, to its end."""
    builder = body_builder(leaf)
    write_body(builder, leaf.body)
    return builder.script()
