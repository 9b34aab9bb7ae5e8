"""A daemon that is killed at its own commits: run as a program, ``crashing.py MODE LOG COMMAND...``.

MODE ``after`` kills the process (SIGKILL, as kill -9 does) right after its first commit that counts, ``before`` right
before its second: by then it has done whatever follows from the first, and nothing that needs the second. Started again
and again, such a daemon goes through a whole dispute, and every commit of it was once the last thing that it did.

A commit counts if it changes something, and unless its name begins with one of those in CRASH_SKIP. What makes a new
database does not count: it is a draft until it gets its name. Each one that counts is written to LOG before
the process ends: the database, and the method that commits.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from sqlite_utils import Database

import bitvm.database


def name_of(database: Database) -> str:
    """Return the file and the method of a commit: ``journal:Journal.record``."""
    rows = database.execute("PRAGMA database_list").fetchall()
    stem = Path(next(path for _, name, path in rows if name == "main")).stem
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename in (__file__, bitvm.database.__file__, _CONTEXTLIB):
        frame = frame.f_back
    while frame is not None and frame.f_code.co_name.startswith("_"):
        frame = frame.f_back
    return f"{stem}:{frame.f_code.co_qualname if frame is not None else '?'}"


_CONTEXTLIB = sys.modules["contextlib"].__file__


def killing(mode: str, log: Path, skip: tuple[str, ...]) -> Callable[[Database], None]:
    """Return the commit that kills its process."""
    real, counted = bitvm.database.commit, 0
    changes: dict[int, int] = {}

    def commit(database: Database) -> None:
        nonlocal counted
        name, before = name_of(database), changes.get(id(database), 0)
        changes[id(database)] = database.conn.total_changes
        if name.startswith(skip) or name.endswith(".create") or database.conn.total_changes == before:
            real(database)
            return
        counted += 1
        if mode == "before" and counted == 2:
            die(f"before {name}")
        real(database)
        if mode == "after":
            die(f"after {name}")

    def die(what: str) -> None:
        with log.open("a") as file:
            file.write(f"{what}\n")
            file.flush()
            os.fsync(file.fileno())
        os.kill(os.getpid(), signal.SIGKILL)

    return commit


def main() -> int:
    mode, log, program, *arguments = sys.argv[1:]
    skip = tuple(filter(None, os.environ.get("CRASH_SKIP", "").split(",")))
    bitvm.database.commit = killing(mode, Path(log), skip)
    if program == "challenger":
        from challenger.cli import main as run
    elif program == "regtest":
        from regtest.cli import main as run
    else:
        from bitvm.cli import main as run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
