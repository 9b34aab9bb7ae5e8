"""The connector ``answer_due``: the prover owes an answer to Choice_r.

from     Choice_r
leaves   ``reveal``      Reveal_{r+1}, while r < m; shows R_{r+1} and its list
         ``step``        Step, when r = m; shows the fields of ``bitvm.leaves.step``
         ``covenant``    the challenger's Slash, ``delta`` blocks after it confirmed
"""

from __future__ import annotations

from bitvm.graph.model import Output
from bitvm.graph.setting import GameView, step_schemes
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.leaves.step import StepLeaf

ANSWER_DUE = "answer_due"


def _reveal_leaf(game: GameView, level: int) -> CommitmentLeaf:
    """Return the leaf that signs R_``level``."""
    fields = {"trace_root": game.public[f"Reveal_{level}/trace_root"]}
    return CommitmentLeaf("reveal", game.pair, game.pair_keys, fields, game.parameters.width - 1)


def _step_leaf(game: GameView) -> StepLeaf:
    """Return the leaf that signs the step."""
    fields = {name: game.public[f"Step/{name}"] for name in step_schemes(game.parameters)}
    choices = tuple(game.public[f"Choice_{level}/digit"] for level in range(1, game.parameters.levels + 1))
    return StepLeaf("step", game.pair, game.pair_keys, fields, choices, game.parameters.width)


def build(game: GameView, level: int, value: int) -> Output:
    """Return the connector behind Choice_``level``, holding ``value`` satoshi."""
    last = level == game.parameters.levels
    answer = _step_leaf(game) if last else _reveal_leaf(game, level + 1)
    return Output.locked(ANSWER_DUE, value, (answer, game.covenant))
