"""The connector ``verdict_due``: the challenger owes a proof that the step is false, or a question.

    from     Step
    leaves   one for each way in which a step is false by itself (``bitvm.leaves.execution``), or by the claim and its
             own roots (``bitvm.leaves.verdict``): Slash
             ``ask``         Ask: which statement of the step shall be proved
             ``covenant``    Compare_left, Compare_right; TakeStake, ``delta`` blocks after it confirmed

A winning leaf asks for the challenger's signature alone: what it frees is the challenger's own stake, and the outputs
of the bond that is spent with it are bound by the bond's own covenant.
"""

from __future__ import annotations

from functools import cache

from bitvm.graph.model import Output
from bitvm.graph.setting import GameView
from bitvm.leaves.execution.catalogue import EXECUTION_PROOFS
from bitvm.leaves.path.messages import ask
from bitvm.leaves.proof import Proof, ProofLeaf
from bitvm.leaves.verdict import verdict_proofs

VERDICT_DUE = "verdict_due"
ASK = "ask"


@cache
def _proofs(levels: int, width: int) -> tuple[Proof, ...]:
    return (*EXECUTION_PROOFS, *verdict_proofs(levels, width))


def winning_leaves(game: GameView) -> tuple[ProofLeaf, ...]:
    """Return the leaves that let the challenger win against a false step."""
    proofs = _proofs(game.parameters.levels, game.parameters.width)
    return tuple(game.proof(proof, game.challenger) for proof in proofs)


def build(game: GameView, value: int) -> Output:
    """Return the connector behind Step, holding ``value`` satoshi."""
    return Output.locked(VERDICT_DUE, value, (game.covenant, game.message(ask()), *winning_leaves(game)))
