"""The inputs that an attester has promised to hold: bytes by their root, on disk before anything is signed.

A row of ``inputs`` is one input; a row of ``promises`` says for which claim of which set-up it is kept.
`InputStore.keep` returns when both are durable, `release` forgets a claim and then every input that no claim needs any
more. Call it once the claim is final, or the set-up has ended: until then other challengers may ask for the bytes.

How: one SQLite database, rollback journal, synchronous=EXTRA (the journal's folder entry counts too), every change
under BEGIN IMMEDIATE. What is read is hashed again, so bytes that come back are the bytes of their root or an error.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from sqlite_utils import Database

from bitvm.keys.seed import sync_folder
from lvm.boot import input_root

APPLICATION_ID = 0x4256_4931
"""SQLite's application_id of an input store: "BVI1"."""

SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0
"""How long a process waits for another one's change."""


class InputStoreError(Exception):
    """An input store that cannot be used, or cannot take an input: disk full, folder missing, locked for too long."""


class ForeignStoreError(InputStoreError):
    """The file is not an input store of this version."""


class InputStoreCorruptError(InputStoreError):
    """The store is damaged: malformed, or an input is not that of its root."""


class InputMissingError(InputStoreError):
    """No input of this root is held."""


class InputStore:
    """An open store, for the thread that opened it; a context manager that closes it."""

    def __init__(self, path: Path) -> None:
        """Open the store at ``path``, or make an empty one where there is no file; raises InputStoreError."""
        self.path = path
        with self._errors():
            self._database = _connect(path)
            try:
                self._prepare()
            except BaseException:
                self._database.close()
                raise

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
        with self._errors(), self._transaction():
            self._database.execute("INSERT OR IGNORE INTO inputs (root, data) VALUES (?, ?)", [root, data])
            added = self._database.execute(
                "INSERT OR IGNORE INTO promises (setup, claim, root) VALUES (?, ?, ?)", [setup, claim, root]
            )
            return bool(added.rowcount)

    def withdraw(self, setup: bytes, claim: int, root: bytes) -> None:
        """Take one promise back: nothing was signed about ``root``, so nobody relies on it."""
        self._forget("setup = ? AND claim = ? AND root = ?", [setup, claim, root])

    def release(self, setup: bytes, claim: int) -> None:
        """Let everything go that was kept for a claim alone; call it when the claim is final or can never be."""
        self._forget("setup = ? AND claim = ?", [setup, claim])

    def read(self, root: bytes) -> bytes:
        """Return the input of this root; raises InputMissingError and InputStoreCorruptError."""
        with self._errors():
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
        with self._errors():
            return tuple(bytes(root) for (root,) in self._database.execute(query, [setup, claim]).fetchall())

    def _forget(self, condition: str, values: list[bytes | int]) -> None:
        with self._errors(), self._transaction():
            self._database.execute(f"DELETE FROM promises WHERE {condition}", values)
            self._database.execute("DELETE FROM inputs WHERE root NOT IN (SELECT root FROM promises)")

    def _prepare(self) -> None:
        """Recognise the database, or write the schema into an empty one, in one transaction."""
        with self._transaction():
            (application,) = self._database.execute("PRAGMA application_id").fetchone()
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            (tables,) = self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not tables and (application, version) == (0, 0):
                self._database.execute("CREATE TABLE inputs (root BLOB PRIMARY KEY, data BLOB NOT NULL) STRICT")
                self._database.execute(
                    "CREATE TABLE promises (setup BLOB NOT NULL, claim INTEGER NOT NULL, root BLOB NOT NULL,"
                    " PRIMARY KEY (setup, claim, root)) STRICT"
                )
                self._database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
                raise ForeignStoreError(
                    f"{self.path}: not an input store of version {SCHEMA_VERSION}"
                    f" (application {application:#010x}, version {version})"
                )
        sync_folder(self.path.absolute().parent)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what the block does, durably, or nothing of it; nobody else writes meanwhile."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        finally:
            if self._database.conn.in_transaction:
                self._database.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise InputStoreError(f"{self.path}: {error}") from error
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise ForeignStoreError(f"{self.path}: not an SQLite database") from error
            raise InputStoreCorruptError(f"{self.path}: damaged: {error}") from error


def _connect(path: Path) -> Database:
    """Open SQLite, transactions under our own control."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=rwc", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.execute("PRAGMA synchronous = EXTRA")
        return Database(connection, execute_plugins=False)
    except sqlite3.Error:
        connection.close()
        raise
