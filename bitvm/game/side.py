"""Where the side path of a level stands, and what the prover signs on it.

A list that is missing, or does not hash to its signed root, is demanded: the prover signs the points w, 2w …, the
challenger picks a group, the prover signs the points inside it (``bitvm.leaves.side``; w is the square root of k).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from math import isqrt

from bitvm.game.position import Position
from bitvm.graph.setting import game_name


class Standing(StrEnum):
    """The last move on the side path of a level."""

    UNTOUCHED = "Untouched"
    DEMANDED = "Demand"
    OUTLINED = "Outline"
    PICKED = "Pick"
    ANSWERED = "Detail"


OWED = {
    Standing.UNTOUCHED: "side",
    Standing.DEMANDED: "outline",
    Standing.OUTLINED: "pick",
    Standing.PICKED: "detail",
    Standing.ANSWERED: "answered",
}
"""The part of a Sweep's name that tells which output it takes."""


def opener(level: int) -> str:
    """Return the transaction that opens a level: it shows list ``level`` or, for the first, disputes the claim's."""
    return "Challenge" if level == 1 else f"Reveal_{level}"


def standing(position: Position, number: int, level: int) -> Standing:
    """Return how far the side path of ``level`` in challenger ``number``'s game has come."""
    for state in (Standing.ANSWERED, Standing.PICKED, Standing.OUTLINED, Standing.DEMANDED):
        if position.has(game_name(number, f"{state}_{level}")):
            return state
    return Standing.UNTOUCHED


def last_move(state: Standing, level: int) -> str:
    """Return the name, without the game, of the last transaction on the side path or, if untouched, its opener."""
    return opener(level) if state is Standing.UNTOUCHED else f"{state}_{level}"


def outline_messages(points: Sequence[bytes], level: int, width: int) -> Mapping[str, bytes]:
    """Return what Outline signs, by key path, of a list's k-1 interior points."""
    step = isqrt(width)
    return {f"Outline_{level}/point_{i}": points[step * i - 1] for i in range(1, step)}


def detail_messages(points: Sequence[bytes], level: int, width: int, group: int) -> Mapping[str, bytes | tuple[int]]:
    """Return what Detail signs, by key path: the group again, and the points inside it."""
    step = isqrt(width)
    inside = {f"Detail_{level}/point_{j}": points[step * group + j - 1] for j in range(1, step)}
    return {f"Detail_{level}/group": (group,), **inside}
