"""The inputs that an attester has promised to hold: bytes by their root, on disk before anything is signed.

A row of ``inputs`` is one input; a row of ``promises`` says for which claim of which set-up it is kept.
`InputStore.keep` returns when both are durable. Inputs stay when their set-up is over: a claim of another set-up may
have the same input and read it without a promise of its own, and `verify` judges old claims by it.

How: one SQLite database, rollback journal, synchronous=EXTRA (the journal's folder entry counts too), every change
under BEGIN IMMEDIATE. What is read is hashed again, so bytes that come back are the bytes of their root or an error.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from sqlite_utils import Database

from bitvm.database import Form, transaction
from lvm.boot import input_root

APPLICATION_ID = 0x4256_4931
"""SQLite's application_id of an input store: "BVI1"."""


class InputStoreError(Exception):
    """An input store that cannot be used, or cannot take an input: disk full, folder missing, locked for too long."""


class ForeignStoreError(InputStoreError):
    """The file is not an input store of this version."""


class InputStoreCorruptError(InputStoreError):
    """The store is damaged: malformed, or an input is not that of its root."""


class InputMissingError(InputStoreError):
    """No input of this root is held."""


class _InputStoreExistsError(InputStoreError):
    """Another process was faster to make the store."""


FORM = Form(
    APPLICATION_ID,
    schema_version=1,
    absent="no input store",
    precious="an input store",
    error=InputStoreError,
    exists=_InputStoreExistsError,
    foreign=ForeignStoreError,
    corrupt=InputStoreCorruptError,
    wal=False,
)
"""What an input store is as an SQLite database."""


class InputStore:
    """An open store, for one thread at a time; a context manager that closes it."""

    def __init__(self, path: Path) -> None:
        """Open the store at ``path``, or make an empty one where there is no file; raises InputStoreError."""
        self.path = path
        if not path.exists():
            with contextlib.suppress(_InputStoreExistsError):
                FORM.create(path, _write_schema)
        self._database = FORM.open(path)

    def close(self) -> None:
        """Close the database. What was kept is on disk already."""
        self._database.close()

    def __enter__(self) -> InputStore:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def keep(self, setup: bytes, claim: int, data: bytes) -> bool:
        """Hold ``data`` durably for ``claim`` (from 1) of the set-up; return whether it was not yet held for it.

        Raises InputTooLargeError, and InputStoreError when it cannot be written; then nothing has changed.
        """
        root = input_root(data)
        with FORM.errors(self.path), transaction(self._database):
            self._database.execute("INSERT OR IGNORE INTO inputs (root, data) VALUES (?, ?)", [root, data])
            added = self._database.execute(
                "INSERT OR IGNORE INTO promises (setup, claim, root) VALUES (?, ?, ?)", [setup, claim, root]
            )
            return bool(added.rowcount)

    def withdraw(self, setup: bytes, claim: int, root: bytes) -> None:
        """Take one promise back: nothing was signed about ``root``, so nobody relies on it."""
        with FORM.errors(self.path), transaction(self._database):
            self._database.execute(
                "DELETE FROM promises WHERE setup = ? AND claim = ? AND root = ?", [setup, claim, root]
            )
            self._database.execute("DELETE FROM inputs WHERE root NOT IN (SELECT root FROM promises)")

    def read(self, root: bytes) -> bytes:
        """Return the input of this root; raises InputMissingError and InputStoreCorruptError."""
        with FORM.errors(self.path):
            row = self._database.execute("SELECT data FROM inputs WHERE root = ?", [root]).fetchone()
        if row is None:
            raise InputMissingError(f"{self.path}: no input with root {root.hex()}")
        data = bytes(row[0])
        if input_root(data) != root:
            raise InputStoreCorruptError(f"{self.path}: damaged: the input of {root.hex()} has another root")
        return data

    def roots(self, setup: bytes, claim: int) -> tuple[bytes, ...]:
        """Return the roots that are kept for a claim, ascending."""
        query = "SELECT root FROM promises WHERE setup = ? AND claim = ? ORDER BY root"
        with FORM.errors(self.path):
            return tuple(bytes(root) for (root,) in self._database.execute(query, [setup, claim]).fetchall())


def _write_schema(database: Database) -> None:
    database.execute("CREATE TABLE inputs (root BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT")
    database.execute(
        "CREATE TABLE promises (setup BLOB NOT NULL, claim INTEGER NOT NULL, root BLOB NOT NULL,"
        " PRIMARY KEY (setup, claim, root)) STRICT"
    )
