"""TakeStake and Dismiss: the challenger did not move, or asked what makes no sense, and its stake goes to the prover.

    inputs    TakeStake, each input through ``covenant``, ``delta`` blocks after it confirmed:
                ``_after_Challenge``, ``_Reveal_r``                    ``choice_due`` and ``side`` (D_r)
                ``_after_Outline_r``                                   ``choice_due`` and ``pick_due``
                ``_after_Detail_r``                                    ``choice_due`` and ``answered``
                ``_after_Step``                                        ``verdict_due``
                ``_after_Path``, ``_Inside``, ``_Close``               ``descend_due``, ``narrow_due``, ``proof_due``
                ``_after_Compare_left``, ``_right``                    ``compare_due``
              Dismiss, through ``dismiss.*``, without a lock:
                ``_Ask``, ``_Descend``, ``_Narrow``                    ``path_due``, ``inside_due``, ``close_due``
    outputs   ``prover``, and the prover's ``anchor``
    signed    TakeStake: prover and challenger; Dismiss: the prover

At a level with a side path two connectors say who owes: while the challenger owes on both, the prover may take both.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitvm.graph import path_due
from bitvm.graph.model import COVENANT, PROVER, Input, Template
from bitvm.graph.path import MOVES
from bitvm.graph.setting import GameView

DISMISSED = {"Ask": "Path", "Descend": "Inside", "Narrow": "Close"}
"""The answers that a question can be denied, by question."""


def build(game: GameView, after: str, owed: Sequence[tuple[Template, str]]) -> Template:
    """Build the TakeStake after the move ``after`` of the game; ``owed`` are the outputs that the challenger left."""
    inputs = [Input(source, output, (COVENANT,), game.parameters.delta) for source, output in owed]
    return _to_prover(game, f"TakeStake_after_{after}", inputs)


def build_dismiss(game: GameView, question: str, asked: Template) -> Template:
    """Build the Dismiss of ``asked``, which is called ``question`` in the game."""
    owes, _ = MOVES[DISMISSED[question]]
    names = path_due.spending(game, owes).leaf_names()
    return _to_prover(game, f"Dismiss_{question}", [Input(asked, owes, names)])


def _to_prover(game: GameView, name: str, inputs: Sequence[Input]) -> Template:
    return game.template(name, PROVER, inputs, (game.pay(PROVER, sum(i.spent.nValue for i in inputs)),))
