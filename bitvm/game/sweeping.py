"""How a challenger gets back what the side path of a level set aside, where it demanded nothing."""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.game import side
from bitvm.game.moves import Decision, Move, Wait
from bitvm.game.position import Position
from bitvm.game.side import Standing, standing
from bitvm.graph.parameters import DUST
from bitvm.graph.setting import game_name


def sweeps(position: Position, number: int) -> Mapping[str, Decision]:
    """Return the decisions of challenger ``number`` on the side money of its levels, by ``number/level``.

    Dust is left where it is.
    """
    decisions: dict[str, Decision] = {}
    parameters = position.graph.setting.parameters
    for level in range(1, parameters.levels + 1) if parameters.answer_price > DUST else ():
        opener = game_name(number, side.opener(level))
        if standing(position, number, level) is not Standing.UNTOUCHED or not position.has(opener):
            continue
        template = position.template(game_name(number, f"Sweep_side_{level}"))
        if position.is_spent(template.inputs[0]):
            continue
        if position.unlocked(template):
            decisions[f"{number}/{level}"] = Move(template.name, f"the side money of level {level} comes back")
        else:
            until = position.unlock_height(template)
            decisions[f"{number}/{level}"] = Wait(f"the side money of level {level} is locked", until)
    return decisions
