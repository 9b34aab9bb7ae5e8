"""The connector ``answer_due``: the prover owes an answer to Choice_r.

    from     Choice_r
    leaves   ``reveal``      Reveal_{r+1}, while r < m; shows R_{r+1} and its list
             ``step``        Step, when r = m; shows the fields of ``bitvm.leaves.step``
             ``covenant``    the challenger's Slash, ``delta`` blocks after it confirmed
"""

from __future__ import annotations

from bitvm.graph.model import COVENANT, PROVER, Output, challenger
from bitvm.graph.setting import Setting, game_name, step_schemes
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.leaves.step import StepLeaf

ANSWER_DUE = "answer_due"


def reveal_leaf(setting: Setting, number: int, level: int) -> CommitmentLeaf:
    """Return the leaf that signs R_``level`` to challenger ``number``."""
    pair = (PROVER, challenger(number))
    fields = {"trace_root": setting.public[game_name(number, f"Reveal_{level}/trace_root")]}
    return CommitmentLeaf("reveal", pair, setting.keys(*pair), fields, setting.parameters.width - 1)


def step_leaf(setting: Setting, number: int) -> StepLeaf:
    """Return the leaf that signs the step to challenger ``number``."""
    pair = (PROVER, challenger(number))
    fields = {name: setting.public[game_name(number, f"Step/{name}")] for name in step_schemes(setting.parameters)}
    levels = range(1, setting.parameters.levels + 1)
    choices = tuple(setting.public[game_name(number, f"Choice_{level}/digit")] for level in levels)
    return StepLeaf("step", pair, setting.keys(*pair), fields, choices, setting.parameters.width)


def build(setting: Setting, number: int, level: int, value: int) -> Output:
    """Return the connector behind Choice_``level`` of challenger ``number``'s game, holding ``value`` satoshi."""
    pair = (PROVER, challenger(number))
    last = level == setting.parameters.levels
    answer = step_leaf(setting, number) if last else reveal_leaf(setting, number, level + 1)
    return Output.locked(ANSWER_DUE, value, (answer, CovenantLeaf(COVENANT, pair, setting.keys(*pair))))
