"""The graph of one set-up: every transaction that can be part of it, and its hash.

    Fund ─ slot ─┬─ Claim ─ bond ─┬─ Payout (with all connectors), LatePayout
                 │                └─ Slash, Slash_after_Choice_r
                 └─ Withdraw
    Claim.connector_i + Fund.stake_i ─ Challenge ─ Choice_1 ─ Reveal_2 ─ Choice_2 … Choice_m ─ Step ─ Slash
                                           └ TakeStake   └ Slash   └ TakeStake          └ Slash  └ TakeStake

Two parties with the same set-up data build the same graph, compare its hash, and sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bitvm.graph import challenge, choice, claim, fund, payout, reveal, slash, step, take_stake
from bitvm.graph.choice_due import CHOICE_DUE
from bitvm.graph.model import GraphError, Input, Template
from bitvm.graph.setting import Setting
from bitvm.graph.verdict_due import VERDICT_DUE


@dataclass(frozen=True, slots=True)
class SignatureSlot:
    """A Schnorr signature of the graph: who signs which input of which template through which leaf."""

    party: str
    template: str
    index: int
    leaf: str


@dataclass(frozen=True)
class Graph:
    """All templates of a set-up by name, parents before children."""

    setting: Setting
    templates: Mapping[str, Template]

    def __getitem__(self, name: str) -> Template:
        """Return a template by name; raises GraphError."""
        try:
            return self.templates[name]
        except KeyError:
            raise GraphError(f"no transaction {name!r} in the graph") from None

    def by_txid(self) -> dict[bytes, Template]:
        """Return the templates by transaction id."""
        return {template.txid: template for template in self.templates.values()}

    def hash(self) -> bytes:
        """Return 32 bytes that commit to parameters, every template and every leaf script."""
        digest = hashlib.sha256(self.setting.parameters.canonical())
        for name, template in self.templates.items():
            digest.update(name.encode() + b"\0" + template.txid)
        return digest.digest()

    def signature_slots(self) -> Iterator[SignatureSlot]:
        """Yield every Schnorr signature that templates need before their mover moves, in a fixed order.

        The mover of a template signs when it moves; everybody else at set-up.
        """
        for template in self.templates.values():
            for index, spent in enumerate(template.inputs):
                if not isinstance(spent, Input):
                    continue
                for name in spent.leaves:
                    for party in spent.leaf(name).signers:
                        if party != template.mover:
                            yield SignatureSlot(party, template.name, index, name)


def build(setting: Setting) -> Graph:
    """Build the graph; raises GraphError."""
    templates: list[Template] = []

    def keep(template: Template) -> Template:
        templates.append(template)
        return template

    funded = keep(fund.build(setting, claim.leaf(setting)))
    keep(claim.build_withdraw(setting, funded))
    claimed = keep(claim.build(setting, funded))
    keep(payout.build(setting, claimed))
    keep(payout.build_late(setting, claimed))
    for number in range(1, setting.parameters.challengers + 1):
        previous = keep(challenge.build(setting, number, funded, claimed))
        for level in range(1, setting.parameters.levels + 1):
            keep(take_stake.build(setting, number, previous, CHOICE_DUE))
            chosen = keep(choice.build(setting, number, level, previous))
            keep(slash.build_timeout(setting, number, level, chosen, claimed))
            if level < setting.parameters.levels:
                previous = keep(reveal.build(setting, number, level + 1, chosen))
            else:
                previous = keep(step.build(setting, number, chosen))
        keep(take_stake.build(setting, number, previous, VERDICT_DUE))
        keep(slash.build(setting, number, previous, claimed))
    return Graph(setting, {template.name: template for template in templates})
