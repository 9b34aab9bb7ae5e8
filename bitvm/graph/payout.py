"""Payout and LatePayout: the prover gets its bond back.

    Payout       ``delta_claim`` blocks after Claim; spends Claim.bond and *all* connectors, so that one Challenge in
                 time makes it impossible for good. Signed by everybody
    LatePayout   ``delta_long`` blocks after Claim, longer than any game; spends Claim.bond alone. Signed by everybody
    outputs      ``prover``, and the prover's ``anchor``
"""

from __future__ import annotations

from bitvm.graph.claim import BOND, connector
from bitvm.graph.model import ANCHOR, COVENANT, PROVER, Input, Output, Template
from bitvm.graph.setting import Setting


def build(setting: Setting, claim: Template) -> Template:
    """Build Payout."""
    inputs = [Input(claim, BOND, (COVENANT,), setting.parameters.delta_claim)]
    inputs += [
        Input(claim, connector(number), (COVENANT,)) for number in range(1, setting.parameters.challengers + 1)
    ]
    return _to_prover("Payout", setting, inputs)


def build_late(setting: Setting, claim: Template) -> Template:
    """Build LatePayout."""
    return _to_prover("LatePayout", setting, [Input(claim, BOND, (COVENANT,), setting.parameters.delta_long)])


def _to_prover(name: str, setting: Setting, inputs: list[Input]) -> Template:
    prover = setting.participants[PROVER]
    outputs = (
        Output("prover", sum(i.spent.nValue for i in inputs), prover.payout_script),
        Output.keyed(ANCHOR, 0, prover.anchor_key),
    )
    return Template(name, PROVER, tuple(inputs), outputs)
