"""Slash: a false claim costs the prover its bond.

    inputs    either Step.verdict_due through a winning leaf (``Slash``),
              or ``answer_due`` of a Choice through ``covenant``, ``delta`` blocks after it confirmed, because the
              prover did not answer (``Slash_after_Choice_r``);
              and Claim.bond through ``covenant``
    outputs   ``challenger``        its stake, its connector and the reward
              ``compensation_j``    to every other challenger, whether it challenged or not
              ``burn``              OP_RETURN: the rest, so that a prover cannot win by slashing itself
              ``anchor``            the challenger's
    signed    bond: everybody; answer_due: prover and challenger; a winning leaf: the challenger
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.graph.answer_due import ANSWER_DUE
from bitvm.graph.claim import BOND
from bitvm.graph.model import ANCHOR, COVENANT, Input, Output, Template, challenger
from bitvm.graph.setting import Setting, game_name
from bitvm.graph.verdict_due import VERDICT_DUE
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES

BURN_SCRIPT = bytes([op.OP_RETURN])


def build(setting: Setting, number: int, step: Template, claim: Template) -> Template:
    """Build Slash: challenger ``number`` wins by a leaf of ``step``."""
    verdict = Input(step, VERDICT_DUE, tuple(leaf.name for leaf in EXECUTION_LEAVES))
    return _slash(game_name(number, "Slash"), setting, number, verdict, claim)


def build_timeout(setting: Setting, number: int, level: int, previous: Template, claim: Template) -> Template:
    """Build the Slash of challenger ``number`` when the prover does not answer Choice_``level``."""
    owed = Input(previous, ANSWER_DUE, (COVENANT,), setting.parameters.delta)
    return _slash(game_name(number, f"Slash_after_Choice_{level}"), setting, number, owed, claim)


def _slash(name: str, setting: Setting, number: int, won: Input, claim: Template) -> Template:
    parameters = setting.parameters
    mover = setting.participants[challenger(number)]
    outputs = [Output("challenger", won.spent.nValue + parameters.reward, mover.payout_script)]
    for other in range(1, parameters.challengers + 1):
        if other != number:
            script = setting.participants[challenger(other)].payout_script
            outputs.append(Output(f"compensation_{other}", parameters.compensation, script))
    outputs.append(Output("burn", parameters.burn, BURN_SCRIPT))
    outputs.append(Output.keyed(ANCHOR, 0, mover.anchor_key))
    return Template(name, challenger(number), (won, Input(claim, BOND, (COVENANT,))), tuple(outputs))
