"""All execution leaves, as such and as proofs, the search for one that wins, and their sizes.

Against a true statement no leaf wins. Against a statement whose reads (the control words before, instr, rs1, rs2, and
mem at the signed address) are true, and that differs from the truth in any result, at least one wins: a wrong mode or
outcome is caught by an outcome leaf, and under the right ones each result is a function of the reads that one family of
leaves checks, whatever the instruction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from bitvm.leaves.execution.access import ACCESS_LEAVES
from bitvm.leaves.execution.alu import ALU_LEAVES
from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.execution.compare import COMPARE_LEAVES
from bitvm.leaves.execution.control import CONTROL_LEAVES
from bitvm.leaves.execution.csr import CSR_LEAVES
from bitvm.leaves.execution.frame import body_script, execution_proof
from bitvm.leaves.execution.logic import LOGIC_LEAVES
from bitvm.leaves.execution.memory import MEMORY_LEAVES
from bitvm.leaves.execution.muldiv import MULDIV_LEAVES
from bitvm.leaves.execution.next_pc import NEXT_PC_LEAVES
from bitvm.leaves.execution.outcome import OUTCOME_LEAVES
from bitvm.leaves.execution.shift import SHIFT_LEAVES
from bitvm.leaves.proof import Proof
from bitvm.leaves.statement import GROUPS

EXECUTION_LEAVES: tuple[ExecutionLeaf, ...] = (
    *OUTCOME_LEAVES,
    *ACCESS_LEAVES,
    *ALU_LEAVES,
    *LOGIC_LEAVES,
    *SHIFT_LEAVES,
    *COMPARE_LEAVES,
    *MULDIV_LEAVES,
    *MEMORY_LEAVES,
    *NEXT_PC_LEAVES,
    *CONTROL_LEAVES,
    *CSR_LEAVES,
)
"""Every way to win against a Step whose reads are true; names are unique."""

EXECUTION_PROOFS: tuple[Proof, ...] = tuple(map(execution_proof, EXECUTION_LEAVES))
"""The same, in the same order, as proofs; they are those of every game."""

BITVMX_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "written.addi": 857,
        "written.add": 966,
        "written.logic": 1243,
        "next_pc.branch": 1297,
        "written.shift_left": 1561,
        "written.mul": 3895,
        "written.mulh": 4487,
        "written.divu": 4777,
        "written.div": 5833,
    }
)
"""Bytes, without signatures, of BitVMX's leaf for the same instruction, measured, where there is one."""


def winning_leaves(words: Words) -> Iterator[tuple[ExecutionLeaf, tuple[int, ...]]]:
    """Yield every leaf that wins against the statement, with its hints, in the order of the catalogue."""
    for leaf in EXECUTION_LEAVES:
        hints = leaf.wins(words)
        if hints is not None:
            yield leaf, hints


def find_winning(words: Words) -> tuple[ExecutionLeaf, tuple[int, ...]] | None:
    """Return the leaf that wins with the fewest signed nibbles to open, and its hints; None if none wins.

    `words` holds all fields of the statement.
    """
    return min(winning_leaves(words), key=lambda found: _opened_nibbles(found[0]), default=None)


def _opened_nibbles(leaf: ExecutionLeaf) -> int:
    return sum(GROUPS[group].nibbles for group in leaf.groups)


def leaf_bytes() -> dict[str, int]:
    """Return, by leaf, the bytes of its body with the end of the script: all but signatures and public values."""
    return {leaf.name: len(body_script(leaf)) for leaf in EXECUTION_LEAVES}
