"""How a game ended, if it did."""

from __future__ import annotations

from bitvm.game.position import Position

LOST = ("TakeStake_after_", "Dismiss_")
"""The stake went to the prover."""

WON = ("Slash", "Reclaim")
"""The challenger got its stake back."""

_ENDS = (*LOST, *WON)


def ending(position: Position, number: int) -> str | None:
    """Return the plain name, without the game, of what ended challenger ``number``'s game; None while it runs."""
    prefix = f"{number}/"
    for full_name in position.confirmed:
        template = position.graph[full_name]
        if template.claim == position.slot and template.plain.startswith(prefix):
            name = template.plain.removeprefix(prefix)
            if name.startswith(_ENDS):
                return name
    return None
