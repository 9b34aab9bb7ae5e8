"""Slash and Reclaim: the prover lied or went silent, and the challenger has its stake back; Slash also takes the bond.

    inputs    what the challenger won
                by a proof     ``Slash``                          Step.verdict_due
                               ``_after_Path``                    ``descend_due``
                               ``_after_Inside``                  ``narrow_due``, small proofs
                               ``_after_Close``                   ``proof_due``, small proofs
                               ``_after_Compare_left``, ``right`` ``compare_due``
                by Refute      ``_after_Refute_after_Inside``, ``_Close``  ``proven`` through ``covenant``
                by a timeout   ``_after_Choice_r``                ``answer_due``       through ``covenant``, ``delta``
                               ``_after_Demand_r``, ``_Pick_r``   ``outline_due``,     blocks after it confirmed; of a
                                                                  ``detail_due``       side path with ``choice_due``
                               ``_after_Ask``, ``_Descend``,      ``path_due``, ``inside_due``,
                               ``_Narrow``                        ``close_due``
              and, of Slash alone, Claim.bond through ``covenant``
    outputs   ``challenger``        what it won, and of Slash the reward
              ``compensation_j``    Slash: to every other challenger, whether it challenged or not
              ``burn``              Slash: OP_RETURN: the rest, so that a prover cannot win by slashing itself
              ``anchor``            the challenger's
    signed    bond: everybody; covenants: prover and challenger; a proof: the challenger

Reclaim is Slash without the bond, for a challenger that won after another one, or LatePayout, took it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitcoin.core import script as op

from bitvm.graph.claim import BOND
from bitvm.graph.model import COVENANT, Input, Output, Template, challenger
from bitvm.graph.setting import GameView

BURN_SCRIPT = bytes([op.OP_RETURN])


def build(game: GameView, after: str, won: Sequence[Input], claim: Template) -> tuple[Template, Template]:
    """Build Slash and Reclaim of what the challenger ``won``; ``after`` is the move that it follows, "" for Step."""
    suffix = f"_after_{after}" if after else ""
    mover = game.challenger
    value = sum(spent.spent.nValue for spent in won)
    bond = Input(claim, BOND, (COVENANT,))
    rewarded = game.pay(mover, value + game.parameters.reward)
    slash = game.template(f"Slash{suffix}", mover, (*won, bond), (rewarded, *_rest(game)))
    return slash, game.template(f"Reclaim{suffix}", mover, won, (game.pay(mover, value),))


def _rest(game: GameView) -> list[Output]:
    """What becomes of the bond beside the reward."""
    parameters, participants = game.parameters, game.claim.setting.participants
    others = [number for number in range(1, parameters.challengers + 1) if number != game.number]
    compensations = [
        Output(f"compensation_{other}", parameters.compensation, participants[challenger(other)].payout_script)
        for other in others
    ]
    return [*compensations, Output("burn", parameters.burn, BURN_SCRIPT)]
