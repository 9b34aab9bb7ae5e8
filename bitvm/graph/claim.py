"""Claim: the prover says that the program, run on an input, ends in a state.

    inputs    Fund.slot, through ``claim``
    outputs   ``bond``           leaf ``covenant``: everybody. Spent by Payout, LatePayout or one challenger's Slash
              ``connector_i``    leaf ``covenant``: prover and challenger i. Spent by Challenge of i, or Payout
              ``anchor``         the prover's
    signed    by everybody
    shows     ``input_root``, ``trace_root`` (R_1), ``final_root``, and list 1

Withdraw returns the slot to the prover when no claim was made for ``delta_long`` blocks after Fund.
"""

from __future__ import annotations

from bitvm.graph.fund import SLOT
from bitvm.graph.model import ANCHOR, COVENANT, PROVER, Input, Output, Template, challenger
from bitvm.graph.parameters import DUST
from bitvm.graph.setting import CLAIM_FIELDS, Setting
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.commitment import CommitmentLeaf

BOND = "bond"


def connector(number: int) -> str:
    """Return the name of challenger ``number``'s connector."""
    return f"connector_{number}"


def leaf(setting: Setting) -> CommitmentLeaf:
    """Return the leaf that signs the claim."""
    fields = {name: setting.public[f"Claim/{name}"] for name in CLAIM_FIELDS}
    parties = setting.parties
    return CommitmentLeaf("claim", parties, setting.keys(*parties), fields, setting.parameters.width - 1)


def build(setting: Setting, fund: Template) -> Template:
    """Build Claim."""
    everybody = CovenantLeaf(COVENANT, setting.parties, setting.keys(*setting.parties))
    outputs = [Output.locked(BOND, setting.parameters.bond, [everybody])]
    for number in range(1, setting.parameters.challengers + 1):
        pair = (PROVER, challenger(number))
        outputs.append(Output.locked(connector(number), DUST, [CovenantLeaf(COVENANT, pair, setting.keys(*pair))]))
    outputs.append(Output.keyed(ANCHOR, 0, setting.participants[PROVER].anchor_key))
    return Template("Claim", PROVER, (Input(fund, SLOT, ("claim",)),), tuple(outputs))


def build_withdraw(setting: Setting, fund: Template) -> Template:
    """Build Withdraw: the slot goes back to the prover, ``delta_long`` blocks after Fund."""
    prover = setting.participants[PROVER]
    slot = Input(fund, SLOT, ("withdraw",), setting.parameters.delta_long)
    outputs = (
        Output("prover", slot.spent.nValue, prover.payout_script),
        Output.keyed(ANCHOR, 0, prover.anchor_key),
    )
    return Template("Withdraw", PROVER, (slot,), outputs)
