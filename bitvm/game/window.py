"""In which blocks a claim can be challenged, and which of them are the last ones that surely suffice.

Payout can be confirmed ``delta_claim`` blocks after Claim, so Challenge must be in a block below that. Claim c spends
an output of Claim c-1 and is never in a lower block: the window of a claim never ends before that of the claim before
it. So a later false claim can wait until the earlier ones are decided, but for its last ``delta`` blocks: then it is
challenged whatever is known of them.

Those blocks are enough, as they are for every other move. ``delta`` is more than ``confirmations`` + 2: one block to
confirm Challenge; then a reorganisation that takes that block and ``confirmations`` - 1 others, and is a block longer
than what it replaces; and one block to confirm Challenge again, below the end of the window.
"""

from __future__ import annotations

from bitvm.game.position import Position


def challenged_until(position: Position) -> int:
    """Return the height from which on Payout can be confirmed; raises WitnessError where there is no Claim."""
    return position.height_of("Claim") + position.graph.setting.parameters.delta_claim


def in_time(position: Position) -> bool:
    """Whether Challenge would still be confirmed before Payout can be."""
    return position.height + 1 < challenged_until(position)


def is_closing(position: Position) -> bool:
    """Whether Challenge would still come in time, but can be put off no longer."""
    return in_time(position) and position.height >= latest_start(position)


def latest_start(position: Position) -> int:
    """Return the height at which a challenger that keeps its stake for an earlier claim must make up its mind."""
    return challenged_until(position) - position.graph.setting.parameters.delta
