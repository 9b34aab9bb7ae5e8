"""What a party remembers of a set-up in progress: enough to go on after a crash at any moment, and to the same graph.

Stored are the party, the parameters (their SHA256), the nonce of the offer, and the messages of each round: one's own
from the moment it is made, those of all others when the round is complete and was verified; all with their seals
(`bitvm.setup.seal`). Seed, coins and these messages give the same session again, so at the end they are the signed
graph. A message that is stored never changes: another one in its place is refused with StoreConflictError.

How: one SQLite database, rollback journal, synchronous=EXTRA (the journal's folder entry counts too), every change
under BEGIN IMMEDIATE. Every message carries its SHA256, all are checked when the store is opened. A store that is
missing, damaged, foreign or of another set-up is refused and left as it is; `create` makes a new one, `open` never.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType

from sqlite_utils import Database

from bitvm.database import Form, transaction
from bitvm.graph.model import all_parties
from bitvm.graph.parameters import Parameters

APPLICATION_ID = 0x4256_5331
"""SQLite's application_id of a set-up store: "BVS1"."""

NONCE_BYTES = 32
ROUNDS = 4
"""Offers, keys, agreements, Fund's witnesses."""


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


FORM = Form(
    APPLICATION_ID,
    schema_version=2,  # version 1 held messages that nobody had sealed
    absent="no set-up store",
    precious="a set-up",
    error=SetupStoreError,
    exists=SetupStoreExistsError,
    missing=SetupStoreMissingError,
    foreign=ForeignSetupStoreError,
    corrupt=SetupStoreCorruptError,
    wal=False,
)
"""What a set-up store is as an SQLite database."""


def stored_party(path: Path) -> str:
    """Return whose store this is, without checking the rest of it; raises SetupStoreError."""
    with closing(FORM.open(path)) as database, FORM.errors(path):
        rows = database.execute("SELECT party FROM setup").fetchall()
    if len(rows) != 1:
        raise SetupStoreCorruptError(f"{path}: damaged: it does not say whose it is")
    return str(rows[0][0])


class SetupStore:
    """An open store, for one thread at a time; a context manager that closes it."""

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
        FORM.create(path, lambda database: _write_schema(database, party, parameters))
        return cls.open(path, party, parameters)

    @classmethod
    def open(cls, path: Path, party: str, parameters: Parameters) -> SetupStore:
        """Open the store of this party and these parameters, after checking every message; raises SetupStoreError."""
        database = FORM.open(path)
        try:
            with FORM.errors(path):
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
        with FORM.errors(self.path), transaction(self._database):
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
        with FORM.errors(self.path):
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
        with FORM.errors(self.path):
            rows = self._database.execute(
                "SELECT round FROM messages GROUP BY round HAVING count(*) = ?", [len(self.parties)]
            ).fetchall()
        return len(rows)

    def _check(self, parameters: bytes) -> bytes:
        """Check the whole database, reading only; return the nonce."""
        FORM.integrity(self.path, self._database)
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


def _digest(parameters: Parameters) -> bytes:
    return hashlib.sha256(parameters.canonical()).digest()


def _write_schema(database: Database, party: str, parameters: Parameters) -> None:
    database.execute("CREATE TABLE setup (party TEXT NOT NULL, parameters BLOB NOT NULL, nonce BLOB NOT NULL) STRICT")
    database.execute(
        "CREATE TABLE messages (round INTEGER NOT NULL, party TEXT NOT NULL, data BLOB NOT NULL, sha256 BLOB NOT NULL,"
        " PRIMARY KEY (round, party)) STRICT"
    )
    database.execute("INSERT INTO setup VALUES (?, ?, ?)", [party, _digest(parameters), os.urandom(NONCE_BYTES)])
