"""Claim: the prover says that the program, run on an input, ends in a state.

    inputs    Fund.slot_c, through ``claim``; with attesters through ``claim.T.I-J``: the attesters I and J signed the
              input at their try T. From the second claim on also ``next`` of the claim before, through the prover's key
    outputs   ``bond``           leaf ``covenant``: everybody. Spent by Payout, LatePayout or one challenger's Slash
              ``connector_i``    leaf ``covenant``: prover and challenger i. Spent by Challenge of i, or Payout
              ``next``           where there are several slots: on the prover's own key, for the next claim, so that
                                 claims come in their order
              ``anchor``         the prover's
    signed    slot: by everybody; next: by the prover
    shows     ``input_root``, ``trace_root`` (R_1), ``final_root``, and list 1

Withdraw returns the slot to the prover when no claim was made for ``delta_long`` blocks after Fund.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from bitvm.graph.fund import WITHDRAW, slot_output
from bitvm.graph.model import PROVER, Input, Output, Template
from bitvm.graph.parameters import DUST
from bitvm.graph.setting import CLAIM_FIELDS, ClaimView, attest_field
from bitvm.leaves.claim import ClaimLeaf
from bitvm.leaves.commitment import CommitmentLeaf

BOND = "bond"
NEXT = "next"


def connector(number: int) -> str:
    """Return the name of challenger ``number``'s connector."""
    return f"connector_{number}"


def claim_leaf(attempt: int, quorum: Sequence[int]) -> str:
    """Return the name of the leaf for what the attesters ``quorum``, in order, signed at a try, from 0."""
    return f"claim.{attempt}.{'-'.join(map(str, quorum))}"


def leaves(view: ClaimView) -> tuple[CommitmentLeaf | ClaimLeaf, ...]:
    """Return the leaves that sign the claim: one, or with attesters one a try and quorum of them."""
    parameters, setting = view.parameters, view.setting
    parties, keys = setting.parties, setting.keys(*setting.parties)
    fields = {name: view.one_time(name) for name in CLAIM_FIELDS}
    listed = parameters.width - 1
    if not parameters.attesters:
        return (CommitmentLeaf("claim", parties, keys, fields, listed),)
    found = []
    for attempt in range(parameters.tries):
        for quorum in combinations(range(1, parameters.attesters + 1), parameters.quorum):
            names = [attest_field(number, attempt) for number in quorum]
            attesters = {attester: view.one_time(attester) for attester in names}
            found.append(ClaimLeaf(claim_leaf(attempt, quorum), parties, keys, fields, listed, attesters))
    return tuple(found)


def build(view: ClaimView, fund: Template, before: Template | None) -> Template:
    """Build Claim; ``before`` is the claim before, None for the first one."""
    inputs = [Input(fund, slot_output(view.claim), tuple(leaf.name for leaf in leaves(view)))]
    if before is not None:
        inputs.append(Input(before, NEXT, ()))
    numbers = range(1, view.parameters.challengers + 1)
    outputs = [
        Output.locked(BOND, view.parameters.bond, [view.everybody]),
        *(Output.locked(connector(number), DUST, [view.game(number).covenant]) for number in numbers),
    ]
    if view.parameters.claims > 1:
        outputs.append(Output.keyed(NEXT, DUST, view.setting.participants[PROVER].stake_key))
    return view.template("Claim", PROVER, inputs, outputs)


def build_withdraw(view: ClaimView, fund: Template) -> Template:
    """Build Withdraw: the slot goes back to the prover, ``delta_long`` blocks after Fund."""
    slot = Input(fund, slot_output(view.claim), (WITHDRAW,), view.parameters.delta_long)
    back = Output("prover", slot.spent.nValue, view.setting.participants[PROVER].payout_script)
    return view.template("Withdraw", PROVER, (slot,), (back,))
