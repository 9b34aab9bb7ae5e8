"""TakeStake: the challenger did not move, and its stake goes to the prover.

    inputs    ``choice_due`` of Challenge or Reveal_r, or Step.verdict_due, through ``covenant``, ``delta`` blocks
              after it confirmed
    outputs   ``prover``, and the prover's ``anchor``
    signed    prover and challenger
"""

from __future__ import annotations

from bitvm.graph.model import ANCHOR, COVENANT, PROVER, Input, Output, Template
from bitvm.graph.setting import Setting, game_name


def build(setting: Setting, number: int, previous: Template, output: str) -> Template:
    """Build the TakeStake that follows ``previous`` when challenger ``number`` leaves its ``output`` alone."""
    owed = Input(previous, output, (COVENANT,), setting.parameters.delta)
    prover = setting.participants[PROVER]
    outputs = (
        Output("prover", owed.spent.nValue, prover.payout_script),
        Output.keyed(ANCHOR, 0, prover.anchor_key),
    )
    after = previous.name.split("/")[1]
    return Template(game_name(number, f"TakeStake_after_{after}"), PROVER, (owed,), outputs)
