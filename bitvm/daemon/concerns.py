"""What in a set-up somebody should look at: pure, from the position and the decisions on it.

A strategy raises an alarm wherever a person could help. Most of these pass by themselves: a run that has not ended yet,
a claim that cannot be judged yet. They become notices when the time to act on them gets short, and not before, so that
whoever is called has a reason to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bitvm.daemon.role import Judged
from bitvm.daemon.status import Notice, NoticeKind, Severity
from bitvm.game.ending import ending
from bitvm.game.finality import Verdict
from bitvm.game.moves import Decision, Wait
from bitvm.game.position import Position
from bitvm.game.urgency import Rivals
from bitvm.game.window import challenged_until, in_time
from bitvm.graph.claim import BOND
from bitvm.graph.model import PROVER, challenger_number
from bitvm.graph.setting import game_name

_SETUP = "setup"
"""The key under which a challenger's strategy speaks of the whole set-up."""

_UNFINISHED = "the computation is not finished"


@dataclass(frozen=True)
class Concerns:
    """What a party looks out for in one set-up. short: how many blocks before a deadline are few."""

    name: str
    party: str
    rivals: Rivals
    short: int

    def find(
        self, position: Position, decisions: Mapping[str, Decision], judge: Callable[[int], Judged]
    ) -> Iterator[Notice]:
        """Yield the notices about a position; ``judge`` says what we think of the claim in a slot that was made."""
        for slot, left in self._unjudged(position, judge):
            text = f"claim {slot}: cannot be judged, and Payout is {left} blocks away"
            yield self._notice(NoticeKind.UNKNOWN_NEAR_DEADLINE, text)
        for key, decision in decisions.items():
            if isinstance(decision, Wait) and decision.alarm:
                yield from self._of_alarm(position, key, decision)

    def _of_alarm(self, position: Position, key: str, decision: Wait) -> Iterator[Notice]:
        if key == _SETUP:
            for part in decision.why.split("; "):
                if Verdict.UNKNOWN.value not in part:
                    yield self._notice(NoticeKind.GAME_ALARM, part)
            return
        slot, _, game = key.partition(":")
        left = self._blocks_left(position.at_claim(int(slot)), game)
        if _UNFINISHED in decision.why:
            if left is not None and left <= self.short:
                yield self._notice(NoticeKind.MOVE_AT_RISK, f"{key}: {decision.why}, and {left} blocks are left")
        elif Verdict.UNKNOWN.value not in decision.why:
            urgent = decision.over or left is not None
            severity = Severity.CRITICAL if urgent else Severity.WARNING
            yield self._notice(NoticeKind.GAME_ALARM, f"{key}: {decision.why}", severity)

    def _blocks_left(self, at: Position, game: str) -> int | None:
        """Return the blocks left for a move that we owe in a game; None where we owe none."""
        number = game.partition("/")[0]
        owed = self.rivals.owed(at, int(number)) if number.isdecimal() else None
        return owed[1] - at.height if owed is not None and owed[0] == self.party else None

    def _unjudged(self, position: Position, judge: Callable[[int], Judged]) -> Iterator[tuple[int, int]]:
        """Yield the claims that a challenger cannot judge although it will soon be too late, with the blocks left.

        Within the last ``delta`` blocks the stake may go onto a later claim, so it is soon then at the latest. When it
        is too late, nobody can help; nothing behind a buried Slash, or behind a claim that we dispute, needs us.
        """
        parameters = position.graph.setting.parameters
        short = max(self.short, parameters.delta)
        for slot in range(1, parameters.claims + 1) if self.party != PROVER else ():
            at = position.at_claim(slot)
            if not at.has("Claim") or self._ends_here(at):
                return
            left = challenged_until(at) - position.height
            if (
                at.spent_by("Claim", BOND) is None
                and in_time(at)
                and left <= short
                and judge(slot).verdict is Verdict.UNKNOWN
            ):
                yield slot, left

    def _ends_here(self, at: Position) -> bool:
        """Whether nothing behind the position's claim can become final, or our stake is at work on it."""
        spender = at.spent_by("Claim", BOND)
        if spender is not None and at.template(spender).mover != PROVER:
            return at.buried(spender)
        number = challenger_number(self.party)
        return at.has(game_name(number, "Challenge")) and ending(at, number) is None

    def _notice(self, kind: NoticeKind, text: str, severity: Severity = Severity.CRITICAL) -> Notice:
        return Notice(kind, severity, text, self.name)
