"""Reveal_r: the prover opens the interval that the challenger chose, r = 2..m.

inputs    Choice_{r-1}.answer_due through ``reveal``
outputs   ``choice_due``    (O_r), see ``bitvm.graph.choice_due``
          ``side``          (D_r), see ``bitvm.graph.side_due``
          ``anchor``        the prover's
signed    prover and challenger
shows     ``trace_root`` (R_r) and list r
"""

from __future__ import annotations

from bitvm.graph import choice_due, side_due
from bitvm.graph.answer_due import ANSWER_DUE
from bitvm.graph.model import PROVER, Input, Template
from bitvm.graph.setting import GameView


def build(game: GameView, level: int, previous: Template) -> Template:
    """Build Reveal_``level``; ``previous`` is Choice_``level - 1``."""
    owed = Input(previous, ANSWER_DUE, ("reveal",))
    value = owed.spent.nValue - game.parameters.answer_price
    outputs = (choice_due.build(game, level, value), side_due.build_side(game))
    return game.template(f"Reveal_{level}", PROVER, (owed,), outputs)
