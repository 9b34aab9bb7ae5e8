"""Reveal_r: the prover opens the interval that the challenger chose, r = 2..m.

    inputs    Choice_{r-1}.answer_due through ``reveal``
    outputs   ``choice_due``    (O_r), see ``bitvm.graph.choice_due``
              ``anchor``        the prover's
    signed    prover and challenger
    shows     ``trace_root`` (R_r) and list r
"""

from __future__ import annotations

from bitvm.graph import choice_due
from bitvm.graph.answer_due import ANSWER_DUE
from bitvm.graph.model import ANCHOR, PROVER, Input, Output, Template
from bitvm.graph.setting import Setting, game_name


def build(setting: Setting, number: int, level: int, previous: Template) -> Template:
    """Build Reveal_``level``; ``previous`` is Choice_``level - 1``."""
    owed = Input(previous, ANSWER_DUE, ("reveal",))
    outputs = (
        choice_due.build(setting, number, level, owed.spent.nValue),
        Output.keyed(ANCHOR, 0, setting.participants[PROVER].anchor_key),
    )
    return Template(game_name(number, f"Reveal_{level}"), PROVER, (owed,), outputs)
