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
from bitvm.graph.model import ANCHOR, PROVER, Input, Output, Template
from bitvm.graph.setting import Setting, game_name


def build(setting: Setting, number: int, previous: Template) -> Template:
    """Build Step; ``previous`` is the last Choice."""
    owed = Input(previous, ANSWER_DUE, ("step",))
    outputs = (
        verdict_due.build(setting, number, owed.spent.nValue),
        Output.keyed(ANCHOR, 0, setting.participants[PROVER].anchor_key),
    )
    return Template(game_name(number, "Step"), PROVER, (owed,), outputs)
