"""Refute: the challenger shows in Script that the prover's path contains a hash that is wrong.

    inputs    Inside.narrow_due (``Refute_after_Inside``) or Close.proof_due (``Refute_after_Close``), through a large
              proof (``bitvm.leaves.path.refutation``)
    outputs   ``proven``    leaf ``covenant``: prover and challenger. Spent by Slash_after_Refute_* and its Reclaim
              ``anchor``    the challenger's; holds dust, as the outputs of a transaction with a fee must
    signed    the challenger alone
    version   2, and ``refute_fee`` paid out of the stake: too large for version 3, which allows 10,000 vB

Nothing but the challenger's signature binds its outputs: the proof is won, what it spends is the challenger's stake,
and Slash, which takes the bond, spends the ``proven`` of this transaction and of no other.
"""

from __future__ import annotations

from bitvm.graph import path_due
from bitvm.graph.model import PAYING_VERSION, Input, Output, Template
from bitvm.graph.parameters import DUST
from bitvm.graph.path import MOVES
from bitvm.graph.setting import GameView

PROVEN = "proven"


def build(game: GameView, answer: Template, after: str) -> Template:
    """Build the Refute that follows ``answer``, called ``after`` in the game: Inside or Close."""
    _, owes = MOVES[after]
    owed = Input(answer, owes, path_due.spending(game, owes).leaf_names(large=True))
    proven = Output.locked(PROVEN, owed.spent.nValue - game.parameters.refute_fee - DUST, (game.covenant,))
    return game.template(f"Refute_after_{after}", game.challenger, (owed,), (proven,), PAYING_VERSION)
