"""Challenge: a challenger puts its stake against the claim.

inputs    Claim.connector_i through ``covenant``; Fund.stake_i through the challenger's own key
outputs   ``choice_due``    (O_1), see ``bitvm.graph.choice_due``
          ``side``          (D_1), see ``bitvm.graph.side_due``
          ``anchor``        the challenger's
signed    connector: prover and challenger; stake: the challenger
when      before ``delta_claim`` has passed since Claim; later, Payout may be there first
"""

from __future__ import annotations

from bitvm.graph import choice_due, side_due
from bitvm.graph.claim import connector
from bitvm.graph.fund import stake_output
from bitvm.graph.model import COVENANT, Input, Template
from bitvm.graph.setting import GameView


def build(game: GameView, fund: Template, claim: Template) -> Template:
    """Build Challenge."""
    inputs = (Input(claim, connector(game.number), (COVENANT,)), Input(fund, stake_output(game.number), ()))
    value = sum(i.spent.nValue for i in inputs) - game.parameters.answer_price
    outputs = (choice_due.build(game, 1, value), side_due.build_side(game))
    return game.template("Challenge", game.challenger, inputs, outputs)
