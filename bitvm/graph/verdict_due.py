"""The connector ``verdict_due``: the challenger owes a proof that the step is false.

    from     Step
    leaves   one for each way in which a step can be false (``bitvm.leaves.execution``): Slash
             ``covenant``    TakeStake, ``delta`` blocks after it confirmed

A winning leaf asks for the challenger's signature alone: what it frees is the challenger's own stake, and the outputs
of the bond that is spent with it are bound by the bond's own covenant.
"""

from __future__ import annotations

from bitvm.graph.model import COVENANT, PROVER, Output, challenger
from bitvm.graph.setting import Setting, game_name
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.leaves.execution.frame import SignedExecutionLeaf
from bitvm.leaves.statement import GROUPS

VERDICT_DUE = "verdict_due"


def execution_leaves(setting: Setting, number: int) -> tuple[SignedExecutionLeaf, ...]:
    """Return the leaves that let challenger ``number`` win against a false step."""
    mover = challenger(number)
    public = {group: setting.public[game_name(number, f"Step/{group}")] for group in GROUPS}
    (key,) = setting.keys(mover)
    return tuple(SignedExecutionLeaf(leaf, mover, key, public) for leaf in EXECUTION_LEAVES)


def build(setting: Setting, number: int, value: int) -> Output:
    """Return the connector behind Step of challenger ``number``'s game, holding ``value`` satoshi."""
    pair = (PROVER, challenger(number))
    timeout = CovenantLeaf(COVENANT, pair, setting.keys(*pair))
    return Output.locked(VERDICT_DUE, value, (timeout, *execution_leaves(setting, number)))
