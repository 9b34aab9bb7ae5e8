"""The connectors of the side path at level r: on it the prover signs the points of list r that it only showed.

    name             from                       owed by       leaves beside ``covenant``
    ``side``         Challenge (r = 1),         nobody
                     Reveal_r (r > 1)
    ``outline_due``  Demand_r                   prover        ``outline``    Outline_r
    ``pick_due``     Outline_r                  challenger    ``pick``       Pick_r
    ``detail_due``   Pick_r                     prover        ``detail``     Detail_r
    ``answered``     Detail_r                   challenger: Choice_r

Each holds ``answer_price``. Through ``covenant`` go Demand_r (from ``side``) and, with ``choice_due`` (O_r) and its own
lock of ``delta`` blocks, what punishes the one that does not move: the prover's TakeStake where the challenger owes,
the challenger's Slash where the prover owes. When O_r is gone otherwise, a Sweep ends the side path, ``delta_long``
blocks after its last move.
"""

from __future__ import annotations

from bitvm.graph.model import Output
from bitvm.graph.setting import GameView
from bitvm.leaves.side import detail_message, outline_message, pick_message

SIDE = "side"
OUTLINE_DUE = "outline_due"
PICK_DUE = "pick_due"
DETAIL_DUE = "detail_due"
ANSWERED = "answered"

_MESSAGES = {OUTLINE_DUE: outline_message, PICK_DUE: pick_message, DETAIL_DUE: detail_message}


def build_side(game: GameView) -> Output:
    """Return D_r, the first of them."""
    return Output.locked(SIDE, game.parameters.answer_price, (game.covenant,))


def build_owed(game: GameView, name: str, level: int) -> Output:
    """Return the connector ``name`` that owes a message at ``level``."""
    message = _MESSAGES[name](level, game.parameters.width)
    return Output.locked(name, game.parameters.answer_price, (game.message(message), game.covenant))


def build_answered(game: GameView) -> Output:
    """Return the last of them."""
    return Output.locked(ANSWERED, game.parameters.answer_price, (game.covenant,))
