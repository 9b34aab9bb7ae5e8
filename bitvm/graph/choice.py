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
from bitvm.graph.model import ANCHOR, Input, Output, Template, challenger
from bitvm.graph.setting import Setting, game_name


def build(setting: Setting, number: int, level: int, previous: Template) -> Template:
    """Build Choice_``level``; ``previous`` is Challenge or Reveal_``level``."""
    owed = Input(previous, CHOICE_DUE, ("choice",))
    mover = challenger(number)
    outputs = (
        answer_due.build(setting, number, level, owed.spent.nValue),
        Output.keyed(ANCHOR, 0, setting.participants[mover].anchor_key),
    )
    return Template(game_name(number, f"Choice_{level}"), mover, (owed,), outputs)
