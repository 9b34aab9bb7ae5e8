"""Challenge: a challenger puts its stake against the claim.

    inputs    Claim.connector_i through ``covenant``; Fund.stake_i through the challenger's own key
    outputs   ``choice_due``    (O_1), see ``bitvm.graph.choice_due``
              ``anchor``        the challenger's
    signed    connector: prover and challenger; stake: the challenger
    when      before ``delta_claim`` has passed since Claim; later, Payout may be there first
"""

from __future__ import annotations

from bitvm.graph import choice_due
from bitvm.graph.claim import connector
from bitvm.graph.fund import stake_output
from bitvm.graph.model import ANCHOR, COVENANT, Input, Output, Template, challenger
from bitvm.graph.setting import Setting, game_name


def build(setting: Setting, number: int, fund: Template, claim: Template) -> Template:
    """Build the Challenge of challenger ``number``."""
    inputs = (Input(claim, connector(number), (COVENANT,)), Input(fund, stake_output(number), ()))
    value = sum(i.spent.nValue for i in inputs)
    mover = challenger(number)
    outputs = (
        choice_due.build(setting, number, 1, value),
        Output.keyed(ANCHOR, 0, setting.participants[mover].anchor_key),
    )
    return Template(game_name(number, "Challenge"), mover, inputs, outputs)
