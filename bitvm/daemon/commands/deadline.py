"""The time that runs in a game, as a span of blocks: what of it is used, and what is left."""

from __future__ import annotations

from dataclasses import dataclass

from bitvm.daemon.commands.story import Next, Story
from bitvm.graph.graph import Graph
from bitvm.graph.model import NO_LOCK, Input, challenger, full_name


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time that runs.

    party: who has to move. since: the block in which the time began to run. by: the last block in time. height: now.
    """

    party: str
    since: int
    by: int
    height: int

    @property
    def blocks(self) -> int:
        """How many blocks there are for the move."""
        return self.by - self.since

    @property
    def used(self) -> int:
        """How many of these blocks are over."""
        return min(self.blocks, self.height - self.since)

    @property
    def left(self) -> int:
        """How many of these blocks are still to come."""
        return self.blocks - self.used

    def in_words(self) -> str:
        """Say what is left."""
        if self.left == 0:
            return f"late since block {self.by + 1:,}"
        return f"{self.left:,} block{'' if self.left == 1 else 's'} left"


def deadline_of(story: Story, graph: Graph, game: Next) -> Deadline | None:
    """Return the time that runs in a game: for the owed move, or for a Challenge; None where there is none."""
    heights = {shown.name: shown.height for shown in story.transactions}
    if game.owed is not None:
        penalty = graph[full_name(game.owed.penalty, game.slot)]
        locked = [
            (heights[spent.source.name], spent.sequence)
            for spent in penalty.inputs
            if isinstance(spent, Input) and spent.sequence != NO_LOCK
        ]
        since, blocks = max(locked, key=sum)
        return Deadline(game.owed.debtor, since, since + blocks - 1, story.height)
    if game.state == "open":
        since, blocks = heights[full_name("Claim", game.slot)], graph.setting.parameters.delta_claim
        deadline = Deadline(challenger(game.challenger), since, since + blocks - 1, story.height)
        return deadline if deadline.left else None  # nobody is late who does not challenge
    return None
