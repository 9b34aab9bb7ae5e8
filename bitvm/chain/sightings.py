"""What a follower has seen, on disk: every witness of every watched transaction, and how far it has read.

A transaction of the graph has one id and many possible witnesses: after a reorganisation the opponent may confirm the
same transaction with another signed message in it. What was seen before is evidence, so nothing is ever removed here:
every (transaction, place) is kept, where a place is a block, active or stale, or the mempool, numbered as first seen.

`Sightings.record` writes in one SQLite transaction what some blocks and the mempool hold and the position up to which
the chain has been read, durably before it returns (write-ahead log, synchronous=FULL, checkpointed at once). A process
that is killed at any point goes on from the newest position and has every sighting before it exactly once.

`create` makes a new database and `open` never does. A database that is missing, foreign, damaged or of other
transactions is refused and left as it is. Every row is checked when the database is opened: transactions against their
ids, the others against a checksum. Hashes and ids are 32 bytes in internal order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from bitcoin.core import CTransaction
from sqlite_utils import Database

from bitvm.chain.interface import BlockExtract, BlockId
from bitvm.database import Form
from bitvm.database import transaction as sqlite_transaction
from bitvm.script.weight import txid

APPLICATION_ID = 0x4256_4731
"""SQLite's application_id of this database: "BVG1"."""

_MEMPOOL = b""
"""The block hash of what was seen in the mempool."""
_NO_HEIGHT = -1


class SightingsError(Exception):
    """A database of sightings that cannot be used."""


class SightingsExistError(SightingsError):
    """There is a file where a new database should be."""


class SightingsMissingError(SightingsError):
    """There is no database at this path."""


class ForeignSightingsError(SightingsError):
    """Not a database of sightings, one of an unknown schema, or one that watches other transactions."""


class SightingsCorruptError(SightingsError):
    """The database is damaged: truncated, malformed, or a row fails its check."""


class SightingsBusyError(SightingsError):
    """Another process kept the database locked for too long."""


class BlockOrderError(SightingsError):
    """Blocks that do not follow each other, or not what is recorded."""


FORM = Form(
    APPLICATION_ID,
    schema_version=1,
    absent="no such database of sightings",
    precious="what was seen",
    error=SightingsError,
    exists=SightingsExistError,
    missing=SightingsMissingError,
    foreign=ForeignSightingsError,
    corrupt=SightingsCorruptError,
    busy=SightingsBusyError,
)
"""What a database of sightings is as an SQLite database."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A transaction, with one witness, in one place.

    number: from 1, in the order of first sight. block: None is the mempool. active: whether the block belonged to the
    active chain when it was last followed.
    """

    number: int
    transaction: CTransaction
    block: BlockId | None
    active: bool

    @property
    def txid(self) -> bytes:
        """The transaction's id, the same for every witness."""
        return txid(self.transaction)

    @property
    def wtxid(self) -> bytes:
        """The id of transaction and witness together."""
        return wtxid(self.transaction)


class Sightings:
    """An open database, used by one thread at a time; a context manager that closes it."""

    def __init__(self, path: Path, watched: Collection[bytes], database: Database) -> None:
        """Take a checked database; use `create` or `open`."""
        self.path = path
        self.watched = frozenset(watched)
        self._database = database

    @classmethod
    def create(cls, path: Path, watched: Collection[bytes], start: int) -> Sightings:
        """Make an empty database that watches the transactions `watched` from block `start` on, and open it.

        None of them may be able to confirm below `start`, whatever is reorganised. Raises SightingsExistError and
        never touches what is there: the file appears under its name when it is complete and on disk, or not at all.
        """
        FORM.create(path, lambda database: _write_schema(database, _identity(watched), start))
        return cls.open(path, watched)

    @classmethod
    def open(cls, path: Path, watched: Collection[bytes]) -> Sightings:
        """Open the database that watches exactly `watched`, after checking every row.

        Raises SightingsMissingError, ForeignSightingsError, SightingsCorruptError or SightingsBusyError, and then has
        not changed the file.
        """
        return cls(path, watched, FORM.open(path, lambda reader: cls(path, watched, reader)._check()))

    def close(self) -> None:
        """Close the database. What was recorded is on disk already."""
        self._database.close()

    def __enter__(self) -> Sightings:
        """Return the database itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # ---- reading

    def start(self) -> int:
        """Height of the first block that is read."""
        ((start,),) = self._rows("SELECT start FROM watch")
        return int(start)

    def tip(self) -> BlockId | None:
        """Return the block up to which everything is recorded; None before the first."""
        rows = self._rows("SELECT height, hash FROM blocks ORDER BY height DESC LIMIT 1")
        return BlockId(*rows[0]) if rows else None

    def lowest(self) -> int | None:
        """Height of the oldest block whose hash is still remembered; None before the first."""
        ((lowest,),) = self._rows("SELECT min(height) FROM blocks")
        return None if lowest is None else int(lowest)

    def block_hash(self, height: int) -> bytes | None:
        """Hash of the block that was active at `height` when last followed; None where none is remembered."""
        rows = self._rows("SELECT hash FROM blocks WHERE height = ?", height)
        return bytes(rows[0][0]) if rows else None

    def confirmed(self) -> tuple[Sighting, ...]:
        """Return the watched transactions in the active chain up to `tip`, lowest block first."""
        return self._sightings("active = 1 ORDER BY height, number")

    def seen(self, tx_id: bytes) -> tuple[Sighting, ...]:
        """Return every sighting there ever was of a transaction, whatever its witness, in the order of first sight."""
        return self._sightings("txid = ? ORDER BY number", tx_id)

    def witnesses(self, tx_id: bytes) -> tuple[CTransaction, ...]:
        """Return a transaction with every witness that was ever seen, each once, in the order of first sight."""
        return tuple({sighting.wtxid: sighting.transaction for sighting in self.seen(tx_id)}.values())

    # ---- writing

    def record(self, after: int, blocks: Sequence[BlockExtract], waiting: Sequence[CTransaction], *, keep: int) -> None:
        """Record all of this, durably, or nothing of it.

        Blocks remembered above height `after` are stale; `blocks` follow the one at `after`, in ascending order
        without a gap; `waiting` are in the mempool. The hashes of the newest `keep` blocks stay remembered. Raises
        BlockOrderError.
        """
        self._check_order(after, blocks)
        tip = self.tip()
        stale = tip is not None and tip.height > after
        new = [transaction for transaction in waiting if not self._knows(transaction, _MEMPOOL)]
        if not (stale or blocks or new):
            return
        with FORM.errors(self.path), sqlite_transaction(self._database):
            if stale:
                self._take_back(after)
            for transaction in new:
                self._insert(transaction, None)
            for extract in blocks:
                self._connect_block(extract)
            if blocks:
                self._execute("DELETE FROM blocks WHERE height <= ?", blocks[-1].block.height - keep)

    def _check_order(self, after: int, blocks: Sequence[BlockExtract]) -> None:
        parent = self.block_hash(after)
        if blocks and parent is None and after != self.start() - 1:
            raise BlockOrderError(f"{self.path}: no block is remembered at height {after}, so none can follow it")
        for height, extract in enumerate(blocks, after + 1):
            if extract.block.height != height or parent not in (None, extract.parent):
                raise BlockOrderError(f"{self.path}: block {extract.block} does not follow the one at {height - 1}")
            parent = extract.block.hash

    def _take_back(self, after: int) -> None:
        self._execute("DELETE FROM blocks WHERE height > ?", after)
        rows = self._rows(
            "SELECT number, wtxid, block_hash, height FROM sightings WHERE active = 1 AND height > ?", after
        )
        for row in rows:
            self._activate(*row, active=False)

    def _connect_block(self, extract: BlockExtract) -> None:
        block = extract.block
        for transaction in extract.transactions:
            if not self._knows(transaction, block.hash):
                self._insert(transaction, block)
                continue
            key = (wtxid(transaction), block.hash)
            ((number,),) = self._rows("SELECT number FROM sightings WHERE wtxid = ? AND block_hash = ?", *key)
            self._activate(number, *key, block.height, active=True)
        row = (block.height, block.hash, _seal(block.height, block.hash))
        self._execute("INSERT INTO blocks (height, hash, seal) VALUES (?, ?, ?)", *row)

    def _insert(self, transaction: CTransaction, block: BlockId | None) -> None:
        content = (wtxid(transaction), txid(transaction), transaction.serialize())
        self._execute("INSERT OR IGNORE INTO transactions (wtxid, txid, raw) VALUES (?, ?, ?)", *content)
        ((number,),) = self._rows("SELECT count(*) + 1 FROM sightings")
        place = (_MEMPOOL, _NO_HEIGHT) if block is None else (block.hash, block.height)
        row = (number, content[0], *place, int(block is not None))
        self._execute(
            "INSERT INTO sightings (number, wtxid, block_hash, height, active, seal) VALUES (?, ?, ?, ?, ?, ?)",
            *(*row, _seal(*row)),
        )

    def _activate(self, number: int, wtx_id: bytes, block_hash: bytes, height: int, *, active: bool) -> None:
        seal = _seal(number, wtx_id, block_hash, height, int(active))
        self._execute("UPDATE sightings SET active = ?, seal = ? WHERE number = ?", int(active), seal, number)

    def _knows(self, transaction: CTransaction, block_hash: bytes) -> bool:
        key = (wtxid(transaction), block_hash)
        return bool(self._rows("SELECT 1 FROM sightings WHERE wtxid = ? AND block_hash = ?", *key))

    # ---- SQLite

    def _sightings(self, condition: str, *values: object) -> tuple[Sighting, ...]:
        columns = "number, raw, block_hash, height, active"
        rows = self._rows(f"SELECT {columns} FROM sightings JOIN transactions USING (wtxid) WHERE {condition}", *values)
        return tuple(
            Sighting(
                number,
                CTransaction.deserialize(raw),
                None if block_hash == _MEMPOOL else BlockId(height, block_hash),
                bool(active),
            )
            for number, raw, block_hash, height, active in rows
        )

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with FORM.errors(self.path):
            rows: list[Any] = self._database.execute(statement, list(values)).fetchall()
        return rows

    def _execute(self, statement: str, *values: object) -> None:
        self._database.execute(statement, list(values))

    def _check(self) -> None:
        """Check the whole database, reading only."""
        FORM.integrity(self.path, self._database)
        self._check_watch()
        for wtx_id, tx_id, raw in self._rows("SELECT wtxid, txid, raw FROM transactions"):
            if _double_sha256(raw) != wtx_id or txid(CTransaction.deserialize(raw)) != tx_id:
                raise SightingsCorruptError(f"{self.path}: damaged: a transaction is not the one that it was")
        for table, columns in (("sightings", "number, wtxid, block_hash, height, active"), ("blocks", "height, hash")):
            for *fields, seal in self._rows(f"SELECT {columns}, seal FROM {table}"):
                if _seal(*fields) != seal:
                    raise SightingsCorruptError(f"{self.path}: damaged: a row of {table} fails its check")
        statement = "SELECT count(*), count(txid), max(number) FROM sightings LEFT JOIN transactions USING (wtxid)"
        ((count, readable, highest),) = self._rows(statement)
        ((top, bottom, remembered),) = self._rows("SELECT max(height), min(height), count(*) FROM blocks")
        if not count == readable == (highest or 0) or (remembered and top - bottom + 1 != remembered):
            raise SightingsCorruptError(f"{self.path}: damaged: rows are missing")

    def _check_watch(self) -> None:
        rows = self._rows("SELECT identity, start, seal FROM watch")
        if len(rows) != 1 or _seal(*rows[0][:2]) != rows[0][2]:
            raise SightingsCorruptError(f"{self.path}: damaged: does not say what it watches")
        if rows[0][0] != _identity(self.watched):
            raise ForeignSightingsError(f"{self.path}: watches other transactions; it belongs to another set-up")


def wtxid(transaction: CTransaction) -> bytes:
    """Return the id of a transaction and its witness together (BIP141)."""
    return _double_sha256(transaction.serialize())


def _identity(watched: Collection[bytes]) -> bytes:
    return hashlib.sha256(b"".join(sorted(watched))).digest()


def _seal(*fields: int | bytes) -> bytes:
    """Return 8 bytes that damage to a row would not match; no defence against somebody who writes the file."""
    return hashlib.sha256(repr(fields).encode()).digest()[:8]


def _double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def _write_schema(database: Database, identity: bytes, start: int) -> None:
    tables: dict[str, tuple[dict[str, type], str]] = {
        "transactions": ({"wtxid": bytes, "txid": bytes, "raw": bytes}, "wtxid"),
        "sightings": (
            {"number": int, "wtxid": bytes, "block_hash": bytes, "height": int, "active": int, "seal": bytes},
            "number",
        ),
        "blocks": ({"height": int, "hash": bytes, "seal": bytes}, "height"),
        "watch": ({"identity": bytes, "start": int, "seal": bytes}, "identity"),
    }
    for name, (columns, key) in tables.items():
        database.table(name).create(columns, pk=key, not_null=set(columns), strict=True)
    database.table("sightings").create_index(["wtxid", "block_hash"], unique=True)
    database.table("transactions").create_index(["txid"])
    database.table("watch").insert({"identity": identity, "start": start, "seal": _seal(identity, start)})
