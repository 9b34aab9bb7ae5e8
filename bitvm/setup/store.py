"""What a party remembers of a set-up in progress: enough to go on after a crash at any moment, and to the same graph.

Stored are the party, the parameters (their SHA256), the nonce of the offer, and the messages of each round: one's own
from the moment it is made, those of all others when the round is complete and was verified. Seed, coins and these
messages give the same session again, so at the end they are the signed graph. A message that is stored never changes:
another one in its place is refused with StoreConflictError.

How: one SQLite database, rollback journal, synchronous=EXTRA (the journal's folder entry counts too), every change
under BEGIN IMMEDIATE. Every message carries its SHA256, all are checked when the store is opened. A store that is
missing, damaged, foreign or of another set-up is refused and left as it is; `create` makes a new one, `open` never.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from sqlite_utils import Database

from bitvm.graph.model import all_parties
from bitvm.graph.parameters import Parameters
from bitvm.keys.seed import sync_folder

APPLICATION_ID = 0x4256_5331
"""SQLite's application_id of a set-up store: "BVS1"."""

SCHEMA_VERSION = 1
NONCE_BYTES = 32
ROUNDS = 4
"""Offers, keys, agreements, Fund's witnesses."""

BUSY_SECONDS = 30.0
"""How long a process waits for another one's change."""

_HEADER_BYTES = 100
_SQLITE_MAGIC = b"SQLite format 3\x00"


class SetupStoreError(Exception):
    """A set-up store that cannot be used, or cannot take a message: disk full, folder missing, locked for too long."""


class SetupStoreExistsError(SetupStoreError):
    """There is a file where a new store should be."""


class SetupStoreMissingError(SetupStoreError):
    """There is no store at this path."""


class ForeignSetupStoreError(SetupStoreError):
    """The file is not a set-up store of this version."""


class SetupStoreCorruptError(SetupStoreError):
    """The store is damaged: truncated, malformed, or a message is not the one that was stored."""


class AnotherSetupError(SetupStoreError):
    """The store belongs to another party or to other parameters."""


class StoreConflictError(SetupStoreError):
    """Another message is stored in this place."""


class SetupStore:
    """An open store, for the thread that opened it; a context manager that closes it."""

    def __init__(self, path: Path, database: Database, party: str, parameters: Parameters) -> None:
        """Take a connected database and check all of it; use `create` or `open`."""
        self.path = path
        self.party = party
        self.parties = all_parties(parameters.challengers)
        self._database = database
        self.nonce = self._check(_digest(parameters))

    @classmethod
    def create(cls, path: Path, party: str, parameters: Parameters) -> SetupStore:
        """Make the store of a new set-up, with a fresh nonce; raises SetupStoreExistsError where there is a file.

        The file appears under its name when it is complete and on disk, or not at all.
        """
        folder = path.absolute().parent
        try:
            with _errors_of(path), tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=folder) as drafts:
                draft = Path(drafts) / path.name
                with closing(_connect(draft, "rwc")) as database:
                    _write_schema(database, party, parameters)
                draft.chmod(0o600)
                os.link(draft, path)
            sync_folder(folder)
        except FileExistsError:
            raise SetupStoreExistsError(f"{path}: exists; a set-up is never replaced") from None
        except OSError as error:
            raise SetupStoreError(f"{path}: cannot be made: {error.strerror}") from error
        return cls.open(path, party, parameters)

    @classmethod
    def open(cls, path: Path, party: str, parameters: Parameters) -> SetupStore:
        """Open the store of this party and these parameters, after checking every message; raises SetupStoreError."""
        _check_header(path)
        with _errors_of(path):
            database = _connect(path, "rw")
            try:
                return cls(path, database, party, parameters)
            except BaseException:
                database.close()
                raise

    def close(self) -> None:
        """Close the database. What was kept is on disk already."""
        self._database.close()

    def __enter__(self) -> SetupStore:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def keep(self, number: int, messages: Mapping[str, bytes]) -> None:
        """Store messages of round ``number`` (from 0) by party, durably, all or none.

        Raises StoreConflictError where another message of a party is stored, SetupStoreError when it cannot be written.
        """
        with _errors_of(self.path), self._transaction():
            for party, data in messages.items():
                row = self._database.execute(
                    "SELECT data FROM messages WHERE round = ? AND party = ?", [number, party]
                ).fetchone()
                if row is None:
                    self._database.execute(
                        "INSERT INTO messages (round, party, data, sha256) VALUES (?, ?, ?, ?)",
                        [number, party, data, hashlib.sha256(data).digest()],
                    )
                elif bytes(row[0]) != data:
                    raise StoreConflictError(f"{self.path}: another message of {party} in round {number} is stored")

    def messages(self, number: int) -> dict[str, bytes]:
        """Return the messages of round ``number`` that are stored, in party order; raises SetupStoreCorruptError."""
        with _errors_of(self.path):
            rows = self._database.execute(
                "SELECT party, data, sha256 FROM messages WHERE round = ?", [number]
            ).fetchall()
        found = {}
        for party, data, digest in rows:
            if hashlib.sha256(data).digest() != digest:
                raise SetupStoreCorruptError(f"{self.path}: damaged: round {number}, the message of {party}")
            found[party] = bytes(data)
        return {party: found[party] for party in self.parties if party in found}

    def complete(self) -> int:
        """Return how many rounds are complete, 0 to `ROUNDS`."""
        with _errors_of(self.path):
            rows = self._database.execute(
                "SELECT round FROM messages GROUP BY round HAVING count(*) = ?", [len(self.parties)]
            ).fetchall()
        return len(rows)

    def _check(self, parameters: bytes) -> bytes:
        """Check the whole database, reading only; return the nonce."""
        problems = [text for (text,) in self._database.execute("PRAGMA integrity_check").fetchall() if text != "ok"]
        if problems:
            raise SetupStoreCorruptError(f"{self.path}: damaged: {problems[0]}")
        rows = self._database.execute("SELECT party, parameters, nonce FROM setup").fetchall()
        if len(rows) != 1 or len(rows[0][2]) != NONCE_BYTES:
            raise SetupStoreCorruptError(f"{self.path}: damaged: it does not say what set-up it is")
        party, digest, nonce = rows[0]
        if party != self.party:
            raise AnotherSetupError(f"{self.path}: the set-up of {party}, not of {self.party}")
        if digest != parameters:
            raise AnotherSetupError(f"{self.path}: a set-up with other parameters")
        self._check_order()
        return bytes(nonce)

    def _check_order(self) -> None:
        """Check that whole rounds come first, then at most one's own message of the next."""
        counts = [len(self.messages(number)) for number in range(ROUNDS)]
        (stored,) = self._database.execute("SELECT count(*) FROM messages").fetchone()
        done = next((number for number, count in enumerate(counts) if count < len(self.parties)), ROUNDS)
        rest = [party for number in range(done, ROUNDS) for party in self.messages(number)]
        known = done * len(self.parties) + len(rest)
        if stored != known or (rest and (rest != [self.party] or not counts[done])):
            raise SetupStoreCorruptError(f"{self.path}: damaged: messages are missing or of nobody's")

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


def _digest(parameters: Parameters) -> bytes:
    return hashlib.sha256(parameters.canonical()).digest()


def _connect(path: Path, mode: str) -> Database:
    """Open SQLite in `mode` (rw, rwc), transactions under our own control."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.execute("PRAGMA synchronous = EXTRA")
        return Database(connection, execute_plugins=False)
    except sqlite3.Error:
        connection.close()
        raise


def _write_schema(database: Database, party: str, parameters: Parameters) -> None:
    database.execute("CREATE TABLE setup (party TEXT NOT NULL, parameters BLOB NOT NULL, nonce BLOB NOT NULL) STRICT")
    database.execute(
        "CREATE TABLE messages (round INTEGER NOT NULL, party TEXT NOT NULL, data BLOB NOT NULL, sha256 BLOB NOT NULL,"
        " PRIMARY KEY (round, party)) STRICT"
    )
    database.execute("INSERT INTO setup VALUES (?, ?, ?)", [party, _digest(parameters), os.urandom(NONCE_BYTES)])
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _check_header(path: Path) -> None:
    """Recognise the file by its first bytes, before SQLite opens it (file format, section 1.3)."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise SetupStoreMissingError(f"{path}: no set-up store") from None
    except OSError as error:
        raise SetupStoreError(f"{path}: cannot be read: {error.strerror}") from error
    if not header.startswith(_SQLITE_MAGIC[: len(header)]):
        raise ForeignSetupStoreError(f"{path}: not an SQLite database")
    if len(header) < _HEADER_BYTES:
        raise SetupStoreCorruptError(f"{path}: truncated: {len(header)} bytes")
    application, version = int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big")
    if (application, version) != (APPLICATION_ID, SCHEMA_VERSION):
        raise ForeignSetupStoreError(
            f"{path}: not a set-up store of version {SCHEMA_VERSION} (application {application:#010x}, {version})"
        )


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SetupStoreError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise SetupStoreCorruptError(f"{path}: damaged: {error}") from error
