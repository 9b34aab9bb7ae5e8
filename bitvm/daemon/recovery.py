"""After a restore from a backup: know again what was signed, before anything is signed.

The backup is older than what the party signed last. Every message that it signed since has been sent, so it is on the
chain, in a mempool, or in the memory of an opponent. So the daemon is silent, and

    1  reads the chain and the mempool as always, and keeps what its opponents say that they have seen
    2  records in the journal what its own one-time keys say in all of that
    3  goes on when `confirmations` + 1 blocks have come since: what was on its way has been confirmed by then, or is
       answered again from the same position, with the same words

A key that the journal and the chain know with two messages is a notice that stays: somebody else signs with this seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bitvm.daemon.backup import finish_recovery, recovery_pending
from bitvm.daemon.engagement import Engagement
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import Notice, NoticeKind, Severity
from bitvm.daemon.workplace import Workplace
from bitvm.game.recall import recall, restore_journal

_log = get_logger(__name__)

BEGAN = "recovery began at block"
"""The fact under which the store keeps where a recovery began."""


class Recovery:
    """The recovery of a home, if one is pending."""

    def __init__(self, place: Workplace) -> None:
        """Look whether the home was restored and has not recovered since."""
        self._place = place
        self.pending = recovery_pending(place.home.path)

    def step(self, engagements: Mapping[str, Engagement], height: int, now: float) -> Iterator[Notice]:
        """Record what is known at ``height`` and end the recovery when it is due; yields what is to be told."""
        began = self._began(height)
        yield from self._record(engagements, now)
        longest = max((each.bench.parameters.confirmations for each in engagements.values()), default=0)
        left = began + longest + 1 - height
        if left > 0:
            text = f"restored: nothing is signed for {left} more blocks"
            yield Notice(NoticeKind.RECOVERING, Severity.WARNING, text)
            return
        finish_recovery(self._place.home.path)
        self.pending = False
        _log.warning("recovered: moves are signed again", height=height)

    def _began(self, height: int) -> int:
        """Return the block at which the first tick after the restore was; a lower one after a deep reorganisation."""
        kept = self._place.store.fact(BEGAN)
        if kept is None:
            self._place.store.keep_fact(BEGAN, str(height))
            return height
        return int(kept)

    def _record(self, engagements: Mapping[str, Engagement], now: float) -> Iterator[Notice]:
        for name, engagement in engagements.items():
            engagement.follow(now)
            bench = engagement.bench
            seen = [
                transaction
                for template in bench.archive.graph.templates.values()
                for transaction in engagement.sightings.witnesses(template.txid)
            ]
            recalled = recall(bench.archive.graph, bench.party, seen)
            for conflict in restore_journal(bench.secrets, recalled):
                yield Notice(NoticeKind.CANNOT_SIGN, Severity.CRITICAL, f"{conflict.path}: {conflict}", name)
            for path in recalled.labels:
                text = f"{path}: signed what no honest party signs; somebody else has this seed"
                yield Notice(NoticeKind.CANNOT_SIGN, Severity.CRITICAL, text, name)
