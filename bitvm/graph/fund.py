"""Fund: everybody's coins become the slot of a claim and one stake a challenger.

    inputs    coins of every party (SegWit, so that the id does not depend on signatures)
    outputs   ``slot``            bond and connectors; Claim spends it
              ``stake_i``         challenger i's stake on its own key: its only use in the game is Challenge, and
                                  spending it elsewhere means that i has left
              ``change_PARTY``    what a party gets back
    signed    by every party, on its own coins, after the whole graph below it is signed and stored

Fund pays its own fee out of the coins; it is the only transaction of the graph that does.
"""

from __future__ import annotations

from bitvm.graph.model import PROVER, Coin, GraphError, Output, Template, challenger
from bitvm.graph.parameters import DUST, Parameters
from bitvm.graph.setting import Setting
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.commitment import CommitmentLeaf

FUND_VERSION = 2

MAX_STANDARD_WEIGHT = 400_000
"""Weight units of the largest transaction that is relayed (policy)."""

SLOT = "slot"


def contribution(parameters: Parameters, party: str) -> int:
    """Return what Fund needs of a party, in satoshi, before fees: bond and connectors, or a stake."""
    if party == PROVER:
        return parameters.bond + DUST * parameters.challengers
    return parameters.stake


def stake_output(number: int) -> str:
    """Return the name of challenger ``number``'s stake."""
    return f"stake_{number}"


def build(setting: Setting, claim_leaf: CommitmentLeaf) -> Template:
    """Build Fund; raises GraphError where a party's coins do not cover what it gives and gets, or are too many."""
    outputs = [Output.locked(SLOT, contribution(setting.parameters, PROVER), [claim_leaf, abandon_leaf(setting)])]
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
    fund = Template("Fund", PROVER, tuple(coins), (*outputs, *change), FUND_VERSION)
    if fund.weight() > MAX_STANDARD_WEIGHT:
        raise GraphError(f"Fund: {len(coins)} coins make it {fund.weight()} WU; {MAX_STANDARD_WEIGHT} are relayed")
    return fund


def abandon_leaf(setting: Setting) -> CovenantLeaf:
    """Return the leaf through which Withdraw returns an unclaimed slot."""
    return CovenantLeaf("withdraw", setting.parties, setting.keys(*setting.parties))
