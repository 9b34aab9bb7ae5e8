"""Snapshots of a run, by step: as many as there is room for.

Whoever makes the input decides what a run writes, so the room is limited: where the snapshots have more pages of their
own than that, every second one is given up, and from then on only every second one is taken. The first one stays.
Beside these, the one is remembered that was needed last: whoever asks once asks again about the same part of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from lvm.snapshot import Snapshot

MOST_PAGES = 32_768
"""Pages of all snapshots of a run that none before has. A page is 4 kB, with the nodes above it about 7 kB."""


class Snapshots:
    """The snapshots at some multiples of ``spacing`` steps, and the one at which the run begins."""

    def __init__(self, spacing: int, kept: Mapping[int, Snapshot], *, most_pages: int = MOST_PAGES) -> None:
        """Take over what is ``kept``, the first snapshot at least."""
        self._spacing, self._most = spacing, most_pages
        self._kept = dict(kept)
        self._first = min(kept)
        self._pages = _own_pages(self._kept)
        self._asked: tuple[int, Snapshot] | None = None

    @property
    def pages(self) -> int:
        """How many pages they have that none before has."""
        if self._asked is None:
            return self._pages
        at, snapshot = self._asked
        return self._pages + _fresh(snapshot, self._nearest_kept(at)[1])

    def nearest(self, step: int) -> tuple[int, Snapshot]:
        """Return the last snapshot that is not after ``step``, and where it is."""
        kept = self._nearest_kept(step)
        return self._asked if self._asked is not None and kept[0] < self._asked[0] <= step else kept

    def _nearest_kept(self, step: int) -> tuple[int, Snapshot]:
        at = max(each for each in self._kept if each <= step)
        return at, self._kept[at]

    def copy_until(self, step: int) -> Snapshots:
        """Return those that are not after ``step``, for a run that is another one from there on."""
        kept = {at: snapshot for at, snapshot in self._kept.items() if at <= step}
        return Snapshots(self._spacing, kept, most_pages=self._most)

    def wants(self, step: int) -> bool:
        """Whether a snapshot at ``step`` would be kept."""
        return step % self._spacing == 0 and step not in self._kept

    def keep(self, step: int, snapshot: Snapshot) -> None:
        """Keep a snapshot, and give up every second one while there are too many pages."""
        if not self.wants(step):
            return
        self._pages += _fresh(snapshot, self._nearest_kept(step)[1])
        self._kept[step] = snapshot
        while self._pages > self._most and len(self._kept) > 1:
            self._spacing *= 2
            left = (at for at in self._kept if at == self._first or at % self._spacing == 0)
            self._kept = {at: self._kept[at] for at in left}
            self._pages = _own_pages(self._kept)

    def remember(self, step: int, snapshot: Snapshot) -> None:
        """Have a snapshot that is needed now, in the place of the one that was needed before."""
        self._asked = step, snapshot

    def drop(self) -> None:
        """Keep the first one alone."""
        self._kept, self._pages, self._asked = {self._first: self._kept[self._first]}, 0, None

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._kept) + (self._asked is not None)

def _own_pages(kept: Mapping[int, Snapshot]) -> int:
    """Count the pages that are not those of the snapshot before; the first one's are the run's anyway."""
    ordered = [kept[at] for at in sorted(kept)]
    return sum(_fresh(after, before) for before, after in pairwise(ordered))


def _fresh(snapshot: Snapshot, before: Snapshot) -> int:
    shared = ((page, before.pages.get(number)) for number, page in snapshot.pages.items())
    return sum(other is None or page.obj is not other.obj for page, other in shared)  # views may be made anew
