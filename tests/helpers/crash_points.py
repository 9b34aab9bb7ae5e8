"""Crashes in this process, at commits: the daemon's tick ends there, as if the process had been killed.

Every commit of a home goes through `bitvm.database.commit`. `Crashing` counts those of one party and raises `Crash`,
which nothing in a daemon catches, right before or right after some of them. What was not committed is rolled back by
SQLite, as it is after a kill.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from sqlite_utils import Database
from storm import Storm

import bitvm.database

BEFORE, AFTER = "before", "after"
_CALLERS = 4


class Crash(BaseException):
    """The daemon ends here."""


@dataclass
class Crashing:
    """Where the daemon of ``party`` crashes.

    when: on which side of a commit. only: the number of the commit, counted from 1; None for every one, each time that
    it is tried first: what is done again after the crash passes. commits: the names of all commits. crashes: those at
    which it crashed.
    """

    party: str
    when: str
    only: int | None = None
    commits: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    _turn: int = 0
    _here: Counter[str] = field(default_factory=Counter)
    _passed: set[tuple[int, str, int]] = field(default_factory=set)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Crash in the block."""
        real = bitvm.database.commit

        def commit(database: Database) -> None:
            path = _path(database)
            if f"/{self.party}/home/" not in path:
                real(database)
                return
            name = f"{Path(path).name}: {_callers()}"
            self.commits.append(name)
            due = self._is_due(name)
            if not due or self.when == AFTER:
                real(database)
            if due:
                self.crashes.append(f"{self.when} commit {len(self.commits)}, {name}")
                raise Crash(self.crashes[-1])

        bitvm.database.commit = commit  # type: ignore[assignment]
        try:
            yield
        finally:
            bitvm.database.commit = real

    def _is_due(self, name: str) -> bool:
        if self.only is not None:
            return len(self.commits) == self.only
        self._here[name] += 1
        key = (self._turn, name, self._here[name])
        due = key not in self._passed
        self._passed.add(key)
        return due

    def started_again(self) -> None:
        """Expect the commits of this turn once more."""
        self._here.clear()

    def next_turn(self) -> None:
        """Expect new commits."""
        self._turn += 1
        self._here.clear()


@dataclass
class CrashingStorm(Storm):
    """A company in which one daemon crashes, and is started again."""

    crashing: Crashing | None = None

    def start(self, *names: str) -> None:
        for name in names or tuple(self.stage.actors):
            self._until_done(name, lambda name=name: super(CrashingStorm, self).start(name))

    def tick(self, *names: str) -> None:
        self.look()
        for name in names or tuple(self.daemons):
            self._until_done(name, lambda name=name: super(CrashingStorm, self).tick(name))

    def _until_done(self, name: str, act: Callable[[], None]) -> None:
        assert self.crashing is not None
        self.crashing.next_turn()
        while True:
            try:
                if name not in self.daemons:
                    super().start(name)
                act()
            except Crash:
                if name in self._stacks:
                    self._stacks.pop(name).close()
                self.daemons.pop(name, None)
                self.crashing.started_again()
            else:
                return


def _path(database: Database) -> str:
    rows = database.execute("PRAGMA database_list").fetchall()
    return next(str(path) for _, name, path in rows if name == "main")


def _callers() -> str:
    """Return the functions that lead to this commit, innermost first: what is written, and why."""
    frame: FrameType | None = sys._getframe(2)
    found: list[str] = []
    while frame is not None and len(found) < _CALLERS:
        code = frame.f_code
        if "/bitvm/" in code.co_filename and not code.co_filename.endswith("/database.py"):
            found.append(code.co_qualname)
        frame = frame.f_back
    return " < ".join(found)
