"""Fund: everybody's coins become the slots of the claims and one stake a challenger.

    inputs    coins of every party (SegWit, so that the id does not depend on signatures)
    outputs   ``slot_c``          bond and connectors of claim c, that of the first also ``next``; Claim spends it
              ``stake_i``         challenger i's stake on its own key: its only use in the game is Challenge, and
                                  spending it elsewhere means that i has left
              ``change_PARTY``    what a party gets back
    signed    by every party, on its own coins, after the whole graph below it is signed and stored

Fund pays its own fee out of the coins.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitvm.graph.model import PAYING_VERSION, PROVER, Coin, GraphError, Output, ScriptLeaf, Template, challenger
from bitvm.graph.parameters import DUST, Parameters
from bitvm.graph.setting import Setting
from bitvm.leaves.authority import CovenantLeaf

MAX_STANDARD_WEIGHT = 400_000
"""Weight units of the largest transaction that is relayed (policy)."""

WITHDRAW = "withdraw"
"""The leaf through which Withdraw returns an unclaimed slot."""


def contribution(parameters: Parameters, party: str) -> int:
    """Return what Fund needs of a party, in satoshi, before fees: the slots, or a stake."""
    if party == PROVER:
        return sum(_slot_value(parameters, claim) for claim in range(1, parameters.claims + 1))
    return parameters.stake


def _slot_value(parameters: Parameters, claim: int) -> int:
    """Bond and connectors; ``next``, which every claim of several hands on to the next, comes with the first."""
    return parameters.bond + DUST * (parameters.challengers + (claim == 1 < parameters.claims))


def slot_output(claim: int) -> str:
    """Return the name of the slot of ``claim``."""
    return f"slot_{claim}"


def stake_output(number: int) -> str:
    """Return the name of challenger ``number``'s stake."""
    return f"stake_{number}"


def build(setting: Setting, claim_leaves: Sequence[Sequence[ScriptLeaf]]) -> Template:
    """Build Fund; ``claim_leaves`` are those through which each claim is made.

    Raises GraphError where a party's coins do not cover what it gives and gets, or are too many.
    """
    withdraw = CovenantLeaf(WITHDRAW, setting.parties, setting.keys(*setting.parties))
    outputs = [
        Output.locked(slot_output(claim), _slot_value(setting.parameters, claim), [*leaves, withdraw])
        for claim, leaves in enumerate(claim_leaves, start=1)
    ]
    coins: list[Coin] = []
    change: list[Output] = []
    for party, participant in setting.participants.items():
        given = sum(coin.spent.nValue for coin in participant.coins)
        needed = contribution(setting.parameters, party)
        if given < needed + participant.change or not participant.change >= 0:
            raise GraphError(
                f"Fund: {party} gives {given} sat, takes {participant.change} sat back, "
                f"and has to contribute {needed} sat"
            )
        coins += participant.coins
        if participant.change:
            change.append(Output(f"change_{party}", participant.change, participant.change_script))
    if len({coin.outpoint for coin in coins}) != len(coins):
        raise GraphError("Fund: a coin is given twice")
    for number in range(1, setting.parameters.challengers + 1):
        key = setting.participants[challenger(number)].stake_key
        outputs.append(Output.keyed(stake_output(number), setting.parameters.stake, key))
    fund = Template("Fund", PROVER, tuple(coins), (*outputs, *change), PAYING_VERSION)
    if fund.weight() > MAX_STANDARD_WEIGHT:
        raise GraphError(f"Fund: {len(coins)} coins make it {fund.weight()} WU; {MAX_STANDARD_WEIGHT} are relayed")
    return fund
