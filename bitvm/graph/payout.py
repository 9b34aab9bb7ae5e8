"""Payout and LatePayout: the prover gets its bond back.

Payout       ``delta_claim`` blocks after Claim; spends Claim.bond and *all* connectors, so that one Challenge in
             time makes it impossible for good. Signed by everybody
LatePayout   ``delta_long`` blocks after Claim, longer than any game; spends Claim.bond alone. Signed by everybody
outputs      ``prover``, and the prover's ``anchor``
"""

from __future__ import annotations

from bitvm.graph.claim import BOND, connector
from bitvm.graph.model import COVENANT, PROVER, Input, Output, Template
from bitvm.graph.setting import ClaimView


def build(view: ClaimView, claim: Template) -> Template:
    """Build Payout."""
    numbers = range(1, view.parameters.challengers + 1)
    connectors = [Input(claim, connector(number), (COVENANT,)) for number in numbers]
    return _to_prover("Payout", view, [Input(claim, BOND, (COVENANT,), view.parameters.delta_claim), *connectors])


def build_late(view: ClaimView, claim: Template) -> Template:
    """Build LatePayout."""
    return _to_prover("LatePayout", view, [Input(claim, BOND, (COVENANT,), view.parameters.delta_long)])


def _to_prover(name: str, view: ClaimView, inputs: list[Input]) -> Template:
    paid = sum(i.spent.nValue for i in inputs)
    return view.template(
        name, PROVER, inputs, [Output("prover", paid, view.setting.participants[PROVER].payout_script)]
    )
