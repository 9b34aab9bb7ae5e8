"""What an execution leaf is.

A leaf is a body of Script that runs to its end only if a result that the prover signed is wrong, and a pure twin of it
in Python. Three rules make a leaf fair, and the tests hold every leaf against them:

* Every value on the stack is signed by the prover, constant, or a hint of the challenger.
* A hint points (which nibble differs), in a checked range; whatever it is, the body accepts no true statement. A hint
  that is a value is unique: the script checks the whole identity that defines it.
* No leaf accepts a statement whose words are all true. A leaf that judges a result may presume that other results,
  outcome and mode above all, are right (``RETIRE`` implies a legal encoding, say): a wrong one is the win of another
  leaf. This never goes round in a circle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bitvm.leaves.statement import Words, nibble_names
from bitvm.script.builder import ScriptBuilder

__all__ = ["ExecutionLeaf", "Words", "body_builder", "differing_nibble", "won"]


@dataclass(frozen=True)
class ExecutionLeaf:
    """One way for the challenger to win against a Step."""

    name: str
    """``family.member``, unique."""
    statement: str
    """What is wrong if the leaf accepts."""
    groups: tuple[str, ...]
    """The groups of the statement that the leaf opens; the first one's nibbles are on top of the stack."""
    hints: tuple[str, ...]
    """Names of the challenger's hints; the first is on top of the alt stack."""
    body: Callable[[ScriptBuilder], None]
    """Writes the script: entry ``nibbles of the groups | hints``; fails unless the leaf wins; may leave items.

    Nibbles are numbers 0..15 and hints any items. Both may have superfluous zero bytes, as consensus permits: until
    arithmetic has made them minimal, only opcodes that read numbers may touch them (no OP_IF, no OP_EQUAL).
    """
    wins: Callable[[Words], tuple[int, ...] | None]
    """Hints with which the body accepts these words, None if there are none. Reads the leaf's groups only."""


def body_builder(leaf: ExecutionLeaf) -> ScriptBuilder:
    """Return a builder whose stacks are as `leaf.body` finds them, with nothing written."""
    top_first = [name for group in leaf.groups for name in nibble_names(group)]
    builder = ScriptBuilder(top_first[::-1])
    builder.alt = list(reversed(leaf.hints))
    return builder


def won(condition: bool) -> tuple[int, ...] | None:
    """Return what `wins` of a leaf without hints returns."""
    return () if condition else None


def differing_nibble(claimed: int, true: int) -> int | None:
    """Index of the lowest nibble in which two words differ, None if they are equal."""
    difference = claimed ^ true
    return ((difference & -difference).bit_length() - 1) // 4 if difference else None
