"""Compare_left, Compare_right: the challenger turns to the points that the prover signed on side paths.

    inputs    Step.verdict_due through ``covenant``
    outputs   ``compare_due``    the challenger owes a proof that a root of the step, A (left) or B (right), is not the
                                 point of a list that it has to be (``bitvm.leaves.side``): Slash_after_Compare_*
                                 ``covenant``: TakeStake, ``delta`` blocks after it confirmed
              ``anchor``         the challenger's
    signed    prover and challenger

The proofs stand on a page of their own, because one output holds at most 128 leaves.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

from bitvm.graph.model import COVENANT, Input, Output, Template
from bitvm.graph.setting import GameView
from bitvm.graph.verdict_due import VERDICT_DUE
from bitvm.leaves.proof import Proof
from bitvm.leaves.side import comparisons

Side = Literal["left", "right"]

COMPARE_DUE = "compare_due"
SIDES: tuple[Side, ...] = ("left", "right")


@cache
def _proofs(side: Side, levels: int, width: int) -> tuple[Proof, ...]:
    return comparisons(side, levels, width)


def proofs(game: GameView, side: Side) -> tuple[Proof, ...]:
    """Return the proofs of one page, the same for all games."""
    return _proofs(side, game.parameters.levels, game.parameters.width)


def build(game: GameView, side: Side, step: Template) -> Template:
    """Build Compare_left or Compare_right."""
    owed = Input(step, VERDICT_DUE, (COVENANT,))
    leaves = [game.proof(proof, game.challenger) for proof in proofs(game, side)]
    due = Output.locked(COMPARE_DUE, owed.spent.nValue, (game.covenant, *leaves))
    return game.template(f"Compare_{side}", game.challenger, (owed,), (due,))
