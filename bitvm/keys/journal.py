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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

from sqlite_utils import Database

from bitvm.database import Form, transaction
from bitvm.keys.path import KeyPath, KeyPathError
from bitvm.keys.seed import Purpose, Seed

APPLICATION_ID = 0x4256_4A31
"""SQLite's application_id of a journal: "BVJ1"."""

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


FORM = Form(
    APPLICATION_ID,
    schema_version=1,
    absent="no journal; only a party that has never signed may create one",
    precious="a journal",
    error=JournalError,
    exists=JournalExistsError,
    missing=JournalMissingError,
    foreign=ForeignJournalError,
    version=JournalVersionError,
    corrupt=JournalCorruptError,
    busy=JournalBusyError,
)
"""What a journal is as an SQLite database."""


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
    """An open journal, for one thread at a time; a context manager that closes it."""

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
        FORM.create(path, lambda database: _write_schema(database, seed))
        return cls.open(path, seed)

    @classmethod
    def open(cls, path: Path, seed: Seed) -> Journal:
        """Open the journal of `seed`, after checking every entry.

        Raises JournalMissingError, ForeignJournalError, JournalVersionError, JournalSeedError, JournalCorruptError or
        JournalBusyError, and then has not changed the file.
        """
        return cls(path, seed, FORM.open(path, lambda reader: cls(path, seed, reader)._check()))

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
        with FORM.errors(self.path), transaction(self._database):
            for entry in entries:
                recorded = self.recorded(entry.path)
                if recorded is None:
                    self._insert(entry)
                elif recorded != entry:
                    raise AlreadySigned(recorded, entry)

    def recorded(self, path: KeyPath) -> Entry | None:
        """Return what the key at `path` may sign, or None while it is free; raises JournalCorruptError."""
        with FORM.errors(self.path):
            row = self._database.execute(
                "SELECT path, scheme, message, seal FROM entries WHERE path = ?", [str(path)]
            ).fetchone()
        return None if row is None else self._unsealed(row)

    def entries(self) -> Iterator[Entry]:
        """Iterate over all entries in the order of their paths; raises JournalCorruptError."""
        with FORM.errors(self.path):
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

    def _check(self) -> None:
        """Check the whole database, reading only."""
        FORM.integrity(self.path, self._database)
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


def _write_schema(database: Database, seed: Seed) -> None:
    columns = {"path": str, "scheme": str, "message": bytes, "seal": bytes}
    database.table("entries").create(columns, pk="path", not_null=set(columns), strict=True)
    database.table("seed").create({"identity": bytes}, not_null={"identity"}, strict=True)
    database.table("seed").insert({"identity": seed.identity})
