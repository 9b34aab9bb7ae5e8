"""The challenger's role: it judges every claim by its own run, and fights the earliest false one."""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.daemon.role import Bench, Judged, claimed_input
from bitvm.game.challenger import decide_setup
from bitvm.game.computation import Execution
from bitvm.game.moves import Decision
from bitvm.game.position import Position
from bitvm.graph.model import challenger_number


class ChallengerRole:
    """The honest challenger of one set-up."""

    def __init__(self, bench: Bench) -> None:
        """Take what the role works with."""
        self._bench = bench
        self.number = challenger_number(bench.party)

    def decide(self, position: Position) -> Mapping[str, Decision]:
        """See `Role`."""
        return decide_setup(position, self.runs(position), self.number)

    def runs(self, position: Position) -> tuple[Execution | None, ...]:
        """Return our own runs on the inputs that are claimed, claim after claim, as far as they have ended."""
        self._bench.missing.clear()
        return self._bench.runs(self._roots(position))

    def judged(self, position: Position, slot: int) -> Judged:
        """See `Role`."""
        return self._bench.judge(position, self._roots(position), slot)

    def _roots(self, position: Position) -> tuple[bytes | None, ...]:
        return tuple(claimed_input(position, slot) for slot in self._bench.slots)
