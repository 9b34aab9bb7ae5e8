"""The one-time journal: no one-time key of an honest party ever signs two messages.

A one-time key that signs twice is broken, so what is about to be signed is recorded first. `Journal.sign` commits
(path, scheme, message) to disk and only then makes the signature; a path that holds another message, or the same one
under another scheme, is refused with AlreadySigned, and the same message again gives the same signature. This holds
across crashes, restarts and any number of processes that have the journal open.

How: one SQLite database, write-ahead log, synchronous=FULL, every record under BEGIN IMMEDIATE, checkpointed at once
so that the database file alone is complete. Every entry carries a PRF check under the seed, all are verified when the
journal is opened. A journal that is missing, damaged, foreign or of another seed is refused and left as it is: an empty
journal in its place would let keys sign again. So `create` makes a new one, and `open` never does.

What it cannot see: an older copy put in its place. After a restore, first record what opponent and chain have seen.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

from sqlite_utils import Database

from bitvm.keys.path import KeyPath, KeyPathError
from bitvm.keys.seed import Purpose, Seed, sync_folder

APPLICATION_ID = 0x4256_4A31
"""SQLite's application_id of a journal: "BVJ1"."""

SCHEMA_VERSION = 1
BUSY_SECONDS = 30.0
"""How long a process waits for another one's record."""

_HEADER_BYTES = 100
_SQLITE_MAGIC = b"SQLite format 3\x00"

Message: TypeAlias = bytes | Sequence[int]
"""What is signed: bytes (a node: 24 bytes), or small numbers 0..255 (the digits of a window)."""

PublicKey_co = TypeVar("PublicKey_co", covariant=True)
Signature_co = TypeVar("Signature_co", covariant=True)
AnySignature = TypeVar("AnySignature")
AnyPublicKey = TypeVar("AnyPublicKey")


class SecretKey(Protocol[PublicKey_co, Signature_co]):
    """A one-time key as `bitvm.script.onetime` makes it."""

    @property
    def public(self) -> PublicKey_co:
        """What Script needs to check a signature."""

    def sign(self, message: Any) -> Signature_co:
        """Return the signature, a function of key and message alone."""


class Scheme(Protocol[PublicKey_co, Signature_co]):
    """A one-time signature scheme; schemes that differ in anything have different names."""

    @property
    def name(self) -> str:
        """The name, part of every key of the scheme."""

    def encode(self, message: Any) -> Any:
        """Raise the scheme's own error if `message` is not one of its messages."""

    def secret_key(self, seed: bytes) -> SecretKey[PublicKey_co, Signature_co]:
        """Return the key that grows from 32 bytes."""


class JournalError(Exception):
    """A journal that cannot be used, or a record that it refuses."""


class JournalExistsError(JournalError):
    """There is a file where a new journal should be."""


class JournalMissingError(JournalError):
    """There is no journal at this path."""


class ForeignJournalError(JournalError):
    """The file is not a journal: not SQLite, or the database of another application."""


class JournalVersionError(JournalError):
    """The journal has a schema that this version does not know."""


class JournalSeedError(JournalError):
    """The journal belongs to another seed."""


class JournalCorruptError(JournalError):
    """The journal is damaged: truncated, malformed, or an entry fails its check."""


class JournalBusyError(JournalError):
    """Another process kept the journal locked for too long."""


class MessageError(ValueError):
    """A message that is neither bytes nor numbers 0..255."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record: the key at `path` signs `message` (canonical bytes) under the scheme of this name, nothing else."""

    path: KeyPath
    scheme: str
    message: bytes

    def __str__(self) -> str:
        """Return the message and its scheme, for people."""
        return f"{self.message.hex() or '(empty)'} ({self.scheme})"


class AlreadySigned(JournalError):  # noqa: N818 - the fact, and the name, that callers ask about
    """The key has a message already: `recorded` is what it may sign, `refused` what it was asked to sign."""

    def __init__(self, recorded: Entry, refused: Entry) -> None:
        """Take both entries, of one path."""
        super().__init__(f"{recorded.path}: holds {recorded}, refused {refused}")
        self.path = recorded.path
        self.recorded = recorded
        self.refused = refused


def one_time_public_key(seed: Seed, path: KeyPath, scheme: Scheme[AnyPublicKey, object]) -> AnyPublicKey:
    """Return the public key at `path`, for the set-up. Only a journal signs with the secret one."""
    return _secret_key(seed, path, scheme).public


class Journal:
    """An open journal, for the thread that opened it; a context manager that closes it."""

    def __init__(self, path: Path, seed: Seed, database: Database) -> None:
        """Take a checked database; use `create` or `open`."""
        self.path = path
        self._seed = seed
        self._database = database

    @classmethod
    def create(cls, path: Path, seed: Seed) -> Journal:
        """Make the empty journal of `seed` and open it; raises JournalExistsError and never touches what is there.

        The file appears under its name when it is complete and on disk, or not at all.
        """
        try:
            with _errors_of(path), tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                draft = Path(folder) / path.name
                with closing(_connect(draft, "rwc")) as database:
                    _write_schema(database, seed)
                draft.chmod(0o600)  # it says what will be signed
                os.link(draft, path)
            sync_folder(path.parent)
        except FileExistsError:
            raise JournalExistsError(f"{path}: exists; a journal is never replaced") from None
        except OSError as error:
            raise JournalError(f"{path}: cannot be made: {error.strerror}") from error
        return cls.open(path, seed)

    @classmethod
    def open(cls, path: Path, seed: Seed) -> Journal:
        """Open the journal of `seed`, after checking every entry.

        Raises JournalMissingError, ForeignJournalError, JournalVersionError, JournalSeedError, JournalCorruptError or
        JournalBusyError, and then has not changed the file.
        """
        _check_header(path)
        with _errors_of(path):
            with closing(_connect(path, "ro")) as reader:
                cls(path, seed, reader)._check()
            database = _connect(path, "rw")
        return cls(path, seed, database)

    def close(self) -> None:
        """Close the database. What was recorded is on disk already."""
        self._database.close()

    def __enter__(self) -> Journal:
        """Return the journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def sign(self, path: KeyPath, scheme: Scheme[object, AnySignature], message: Message) -> AnySignature:
        """Record that the key at `path` signs `message`, then sign it; see `sign_many`."""
        (signature,) = self.sign_many([(path, scheme, message)])
        return signature

    def sign_many(
        self, requests: Sequence[tuple[KeyPath, Scheme[object, AnySignature], Message]]
    ) -> tuple[AnySignature, ...]:
        """Record all (path, scheme, message) in one transaction, then return the signatures in the same order.

        Raises AlreadySigned, or the scheme's error for a message that is not one of its own; then nothing is recorded.
        """
        requests = [(path, scheme, _frozen(message)) for path, scheme, message in requests]
        self.record(requests)
        return tuple(_secret_key(self._seed, path, scheme).sign(message) for path, scheme, message in requests)

    def record(self, requests: Sequence[tuple[KeyPath, Scheme[object, object], Message]]) -> None:
        """Record all (path, scheme, message), or none, durably, without signing; raises as `sign_many` does.

        This is how messages that a party sent before a restore, as its opponent or the chain has seen them, come back.
        """
        entries = []
        for path, scheme, message in requests:
            frozen = _frozen(message)
            scheme.encode(frozen)
            entries.append(Entry(path, scheme.name, bytes(frozen)))
        with _errors_of(self.path), self._transaction():
            for entry in entries:
                recorded = self.recorded(entry.path)
                if recorded is None:
                    self._insert(entry)
                elif recorded != entry:
                    raise AlreadySigned(recorded, entry)

    def recorded(self, path: KeyPath) -> Entry | None:
        """Return what the key at `path` may sign, or None while it is free; raises JournalCorruptError."""
        with _errors_of(self.path):
            row = self._database.execute(
                "SELECT path, scheme, message, seal FROM entries WHERE path = ?", [str(path)]
            ).fetchone()
        return None if row is None else self._unsealed(row)

    def entries(self) -> Iterator[Entry]:
        """Iterate over all entries in the order of their paths; raises JournalCorruptError."""
        with _errors_of(self.path):
            rows = self._database.execute("SELECT path, scheme, message, seal FROM entries ORDER BY path").fetchall()
        return map(self._unsealed, rows)

    def _insert(self, entry: Entry) -> None:
        self._database.execute(
            "INSERT INTO entries (path, scheme, message, seal) VALUES (?, ?, ?, ?)",
            [str(entry.path), entry.scheme, entry.message, self._seal(entry)],
        )

    def _seal(self, entry: Entry) -> bytes:
        return self._seed.prf(Purpose.JOURNAL, bytes(entry.path), entry.scheme.encode(), entry.message)

    def _unsealed(self, row: tuple[str, str, bytes, bytes]) -> Entry:
        path, scheme, message, seal = row
        try:
            entry = Entry(KeyPath.parse(path), scheme, message)
        except KeyPathError as error:
            raise JournalCorruptError(f"{self.path}: damaged: {error}") from error
        if seal != self._seal(entry):
            raise JournalCorruptError(f"{self.path}: damaged: the entry {path} fails its check")
        return entry

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

    def _check(self) -> None:
        """Check the whole database, reading only."""
        problems = [text for (text,) in self._database.execute("PRAGMA integrity_check").fetchall() if text != "ok"]
        if problems:
            raise JournalCorruptError(f"{self.path}: damaged: {problems[0]}")
        identities = [identity for (identity,) in self._database.execute("SELECT identity FROM seed").fetchall()]
        if identities != [self._seed.identity]:
            raise JournalSeedError(f"{self.path}: belongs to another seed than {self._seed}")
        for _ in self.entries():
            pass


def _secret_key(
    seed: Seed, path: KeyPath, scheme: Scheme[AnyPublicKey, AnySignature]
) -> SecretKey[AnyPublicKey, AnySignature]:
    return scheme.secret_key(seed.prf(Purpose.ONE_TIME, bytes(path), scheme.name.encode()))


def _frozen(message: Message) -> bytes | tuple[int, ...]:
    """Return a copy that nobody can change between record and signature; its `bytes()` is the canonical message."""
    if isinstance(message, bytes | bytearray | memoryview):
        return bytes(message)
    try:
        return tuple(bytes(iter(message)))
    except (TypeError, ValueError) as error:
        raise MessageError(f"a message is bytes or numbers 0..255, not {message!r}") from error


def _connect(path: Path, mode: str) -> Database:
    """Open SQLite in `mode` (ro, rw, rwc), transactions under our own control."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 1")
        return Database(connection, execute_plugins=False)
    except sqlite3.Error:
        connection.close()
        raise


def _write_schema(database: Database, seed: Seed) -> None:
    columns = {"path": str, "scheme": str, "message": bytes, "seal": bytes}
    database.table("entries").create(columns, pk="path", not_null=set(columns), strict=True)
    database.table("seed").create({"identity": bytes}, not_null={"identity"}, strict=True)
    database.table("seed").insert({"identity": seed.identity})
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    database.enable_wal()


def _check_header(path: Path) -> None:
    """Recognise the file by its first bytes, before SQLite opens it (file format, section 1.3)."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except FileNotFoundError:
        raise JournalMissingError(f"{path}: no journal; only a party that has never signed may create one") from None
    except OSError as error:
        raise JournalError(f"{path}: cannot be read: {error.strerror}") from error
    if not header.startswith(_SQLITE_MAGIC[: len(header)]):
        raise ForeignJournalError(f"{path}: not an SQLite database")
    if len(header) < _HEADER_BYTES:
        raise JournalCorruptError(f"{path}: truncated: {len(header)} bytes")
    application = int.from_bytes(header[68:72], "big")
    if application != APPLICATION_ID:
        raise ForeignJournalError(f"{path}: the database of another application ({application:#010x})")
    version = int.from_bytes(header[60:64], "big")
    if version != SCHEMA_VERSION:
        raise JournalVersionError(f"{path}: schema version {version}; this program knows {SCHEMA_VERSION}")


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise JournalBusyError(f"{path}: locked for more than {BUSY_SECONDS:.0f} s by another process") from error
        raise JournalError(f"{path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise JournalCorruptError(f"{path}: damaged: {error}") from error
