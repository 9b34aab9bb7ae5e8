"""Choice_r: the challenger points at the interval of list r whose end it disputes.

inputs    ``choice_due`` (O_r) of Challenge or Reveal_r, through ``choice``
outputs   ``answer_due``    see ``bitvm.graph.answer_due``
          ``anchor``        the challenger's
signed    prover and challenger
shows     ``d_r``
"""

from __future__ import annotations

from bitvm.graph import answer_due
from bitvm.graph.choice_due import CHOICE_DUE
from bitvm.graph.model import Input, Template
from bitvm.graph.setting import GameView


def build(game: GameView, level: int, previous: Template) -> Template:
    """Build Choice_``level``; ``previous`` is Challenge or Reveal_``level``."""
    owed = Input(previous, CHOICE_DUE, ("choice",))
    outputs = (answer_due.build(game, level, owed.spent.nValue),)
    return game.template(f"Choice_{level}", game.challenger, (owed,), outputs)
