"""What our one-time keys are seen to have signed: it goes into the journal, whoever had it signed.

Every witness that is seen, in a block, a mempool or the memory of another party, is read once, and our own messages in
it are recorded before anything is signed on it. In ordinary times the journal holds them already; after a restore it
learns them in this way. A message that contradicts the journal shows that somebody else signs with this seed, a second
daemon for instance. That cannot be undone, so it is a notice that stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bitcoin.core import CTransaction

from bitvm.chain.sightings import Sightings, wtxid
from bitvm.daemon.role import Bench
from bitvm.daemon.status import Notice, NoticeKind, Severity
from bitvm.game.recall import recall, restore_journal


class Memory:
    """The messages of one party in one set-up."""

    def __init__(self, bench: Bench, sightings: Sightings) -> None:
        """Read nothing yet."""
        self._bench, self._sightings = bench, sightings
        self._read: set[bytes] | None = None
        self._conflicts: dict[str, str] = {}

    def learn(self, transactions: Iterable[CTransaction]) -> None:
        """Record what we signed in ``transactions``, the first time in all that was ever seen; raises JournalError."""
        new = {wtxid(each): each for each in transactions}
        if self._read is None:
            new |= {wtxid(each): each for each in self._all_seen()}
        new = {key: each for key, each in new.items() if key not in (self._read or ())}
        if new:
            recalled = recall(self._bench.archive.graph, self._bench.party, new.values())
            for conflict in restore_journal(self._bench.secrets, recalled):
                self._conflicts.setdefault(str(conflict.path), str(conflict))
            for path in recalled.labels:
                self._conflicts.setdefault(path, f"{path}: signed what no honest party signs")
        self._read = (self._read or set()) | new.keys()

    def notices(self) -> Iterator[Notice]:
        """Yield what contradicts the journal."""
        for text in self._conflicts.values():
            told = f"{text}; somebody else signs with this seed"
            yield Notice(NoticeKind.CANNOT_SIGN, Severity.CRITICAL, told, self._bench.name)

    def _all_seen(self) -> Iterator[CTransaction]:
        for template in self._bench.archive.graph.templates.values():
            yield from self._sightings.witnesses(template.txid)
