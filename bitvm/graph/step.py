"""Step: the prover shows the one machine step that is left of the dispute.

inputs    Choice_m.answer_due through ``step``
outputs   ``verdict_due``    see ``bitvm.graph.verdict_due``
          ``anchor``         the prover's
signed    prover and challenger
shows     the fields of ``bitvm.leaves.step``
"""

from __future__ import annotations

from bitvm.graph import verdict_due
from bitvm.graph.answer_due import ANSWER_DUE
from bitvm.graph.model import PROVER, Input, Template
from bitvm.graph.setting import GameView


def build(game: GameView, previous: Template) -> Template:
    """Build Step; ``previous`` is the last Choice."""
    owed = Input(previous, ANSWER_DUE, ("step",))
    return game.template("Step", PROVER, (owed,), (verdict_due.build(game, owed.spent.nValue),))
