"""What a daemon must remember and the chain cannot tell it; a database of its home.

    signed         every transaction of the graph that we signed, before it is sent: the bytes, and what was paid for it
    verdicts       what we thought of each claim, and why
    queue          the inputs that a prover is to claim, by slot
    attestations   what attesters signed for the next claim, and the try that was asked for last
    facts          single values by name: the newest block acted on, where a recovery began, what was given up and since
                   when it cannot come any more

The chain comes first: what stands here is never a reason to believe that something happened. Rows are only added or
replaced by newer ones of the same thing. A transaction is checked against its id when it is read. Roots are 24 bytes,
ids 32 bytes in internal order, set-ups are called by their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from bitcoin.core import CTransaction
from sqlite_utils import Database

from bitvm.chain.sightings import wtxid
from bitvm.database import Form, transaction


class DaemonStoreError(Exception):
    """A daemon's database that cannot be used, or cannot be written."""


class DaemonStoreCorruptError(DaemonStoreError):
    """The database is damaged."""


class ClaimQueuedError(DaemonStoreError):
    """Another input is queued for the slot, and may have been signed for already."""


FORM = Form(
    0x4256_4431,
    1,
    absent="no database of a daemon; a new home has one, and a backup",
    precious="what a daemon remembers",
    error=DaemonStoreError,
    corrupt=DaemonStoreCorruptError,
)

_RECOVERED = "recovery ended at block"

_GIVEN_UP = "given up "
"""How the facts about set-ups begin whose coins for Fund were taken back; the name follows."""

_TAKEN_BACK = "taken back "
"""How the facts begin about the block in which such coins were found to be spent; the name follows."""

_TABLES: Mapping[str, tuple[dict[str, type], tuple[str, ...]]] = {
    "signed": (
        {"wtxid": bytes, "setup": str, "template": str, "raw": bytes, "height": int, "fee": int},
        ("setup", "template", "wtxid"),
    ),
    "verdicts": (
        {"setup": str, "slot": int, "input_root": bytes, "verdict": str, "why": str, "seconds": float},
        ("setup", "slot", "input_root"),
    ),
    "queue": ({"setup": str, "slot": int, "input_root": bytes}, ("setup", "slot")),
    "attempts": ({"setup": str, "slot": int, "attempt": int}, ("setup", "slot")),
    "attestations": (
        {"setup": str, "slot": int, "attempt": int, "party": str, "data": bytes},
        ("setup", "slot", "attempt", "party"),
    ),
    "facts": ({"name": str, "value": str}, ("name",)),
}


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction that we signed. height: of the newest block then. fee: of its newest child, in satoshi."""

    template: str
    transaction: CTransaction
    height: int
    fee: int


@dataclass(frozen=True, slots=True)
class KeptVerdict:
    """What we thought of a claim about an input. seconds: of our own run; 0 where there was none."""

    slot: int
    input_root: bytes
    verdict: str
    why: str
    seconds: float


class DaemonStore:
    """An open database, used by one thread at a time; a context manager that closes it."""

    def __init__(self, path: Path, database: Database) -> None:
        """Take a checked database; use `create` or `open`."""
        self.path = path
        self._database = database

    @classmethod
    def create(cls, path: Path) -> DaemonStore:
        """Make an empty database and open it; raises DaemonStoreError and never touches what is there."""
        FORM.create(path, _write_schema)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> DaemonStore:
        """Open the database after checking it; raises DaemonStoreError, and then has not changed the file."""
        database = FORM.open(path, lambda reader: FORM.integrity(path, reader))
        return cls(path, database)

    def close(self) -> None:
        """Close the database. What was kept is on disk already."""
        self._database.close()

    def __enter__(self) -> DaemonStore:
        """Return the store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    # ---- what we signed

    def keep_signed(self, setup: str, template: str, signed: CTransaction, height: int) -> None:
        """Remember a transaction before it is sent; the same one again changes nothing."""
        key = wtxid(signed)
        if self._rows("SELECT 1 FROM signed WHERE setup = ? AND template = ? AND wtxid = ?", setup, template, key):
            return
        row = (key, setup, template, signed.serialize(), height, 0)
        self._write("INSERT INTO signed (wtxid, setup, template, raw, height, fee) VALUES (?, ?, ?, ?, ?, ?)", *row)

    def keep_fee(self, setup: str, template: str, fee: int) -> None:
        """Remember what the newest child for a transaction pays, in satoshi."""
        if any(fee != kept for (kept,) in self._rows(_FEES, setup, template)):
            self._write("UPDATE signed SET fee = ? WHERE setup = ? AND template = ?", fee, setup, template)

    def fees(self, setup: str) -> Mapping[str, int]:
        """Return what the newest children pay, by transaction, in satoshi."""
        return dict(self._rows("SELECT template, max(fee) FROM signed WHERE setup = ? GROUP BY template", setup))

    def signed(self, setup: str, template: str | None = None) -> tuple[Signed, ...]:
        """Return what we signed in a set-up, or of one of its transactions alone, oldest first."""
        query = "SELECT template, raw, height, fee, wtxid FROM signed WHERE setup = ? AND (? IS NULL OR template = ?)"
        rows = self._rows(f"{query} ORDER BY height, rowid", setup, template, template)
        return tuple(self._signed(*row) for row in rows)

    def _signed(self, template: str, raw: bytes, height: int, fee: int, key: bytes) -> Signed:
        found = CTransaction.deserialize(raw)
        if wtxid(found) != key:
            raise DaemonStoreCorruptError(f"{self.path}: damaged: {template} is not the transaction that was signed")
        return Signed(template, found, height, fee)

    # ---- verdicts

    def keep_verdict(self, setup: str, kept: KeptVerdict) -> None:
        """Remember the newest verdict on a claim about an input; the same one, however long it took, is not new."""
        if replace(kept, seconds=0.0) in (replace(known, seconds=0.0) for known in self.verdicts(setup)):
            return
        row = (setup, kept.slot, kept.input_root, kept.verdict, kept.why, kept.seconds)
        columns = "setup, slot, input_root, verdict, why, seconds"
        self._write(f"INSERT OR REPLACE INTO verdicts ({columns}) VALUES (?, ?, ?, ?, ?, ?)", *row)

    def verdicts(self, setup: str) -> tuple[KeptVerdict, ...]:
        """Return the verdicts on the claims of a set-up, by slot."""
        query = "SELECT slot, input_root, verdict, why, seconds FROM verdicts WHERE setup = ? ORDER BY slot"
        return tuple(KeptVerdict(*row) for row in self._rows(query, setup))

    # ---- what is to be claimed

    def queue(self, setup: str, slot: int, input_root: bytes) -> None:
        """Queue an input for a slot; raises ClaimQueuedError where another one is queued.

        It stays: the claim may have been signed already, and a one-time key signs one claim.
        """
        queued = self.queued(setup).get(slot)
        if queued == input_root:
            return
        if queued is not None:
            raise ClaimQueuedError(f"slot {slot} of {setup} is to claim the input {queued.hex()}; take another slot")
        self._write("INSERT INTO queue (setup, slot, input_root) VALUES (?, ?, ?)", setup, slot, input_root)

    def queued(self, setup: str) -> Mapping[int, bytes]:
        """Return the roots of the inputs that are to be claimed, by slot."""
        return dict(self._rows("SELECT slot, input_root FROM queue WHERE setup = ? ORDER BY slot", setup))

    # ---- attestations

    def keep_attempt(self, setup: str, slot: int, attempt: int) -> None:
        """Remember the try that attesters are asked for."""
        self._write("INSERT OR REPLACE INTO attempts (setup, slot, attempt) VALUES (?, ?, ?)", setup, slot, attempt)

    def attempt(self, setup: str, slot: int) -> int | None:
        """Return the try that attesters were asked for last."""
        rows = self._rows("SELECT attempt FROM attempts WHERE setup = ? AND slot = ?", setup, slot)
        return int(rows[0][0]) if rows else None

    def keep_attestation(self, setup: str, slot: int, attempt: int, party: str, data: bytes) -> None:
        """Remember what an attester answered to a try; its first answer counts."""
        row = (setup, slot, attempt, party, data)
        self._write(
            "INSERT OR IGNORE INTO attestations (setup, slot, attempt, party, data) VALUES (?, ?, ?, ?, ?)", *row
        )

    def attestations(self, setup: str, slot: int) -> tuple[bytes, ...]:
        """Return what attesters answered for a slot, in all tries."""
        query = "SELECT data FROM attestations WHERE setup = ? AND slot = ? ORDER BY attempt, party"
        return tuple(bytes(data) for (data,) in self._rows(query, setup, slot))

    # ---- single values

    def keep_fact(self, name: str, value: str) -> None:
        """Remember a value by name."""
        if self.fact(name) != value:
            self._write("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", name, value)

    def fact(self, name: str) -> str | None:
        """Return a value by name; None where there is none."""
        rows = self._rows("SELECT value FROM facts WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def keep_recovery(self, height: int, setups: Sequence[str]) -> None:
        """Remember at which block the recovery of the home ended, and which set-ups were in it."""
        self.keep_fact(_RECOVERED, " ".join([str(height), *setups]))

    def recovered_at(self, setup: str) -> int | None:
        """Return at which block the recovery ended that this set-up went through; None where it went through none."""
        height, *setups = (self.fact(_RECOVERED) or "0").split()
        return int(height) if setup in setups else None

    def give_up(self, setup: str, *, given_up: bool = True) -> None:
        """Remember that Fund of a set-up shall not be sent any more, or shall be after all."""
        self.keep_fact(_GIVEN_UP + setup, "yes" if given_up else "")
        self.keep_taken_back(setup, None)

    def is_given_up(self, setup: str) -> bool:
        """Whether our coins for Fund of a set-up were to be taken back; they may not be yet, and never be."""
        return bool(self.fact(_GIVEN_UP + setup))

    def keep_taken_back(self, setup: str, height: int | None) -> None:
        """Remember the block at which coins that we gave to Fund were first seen spent otherwise; None: they are not.

        It is no news where a block is known already: the first one counts.
        """
        if height is None or self.taken_back_at(setup) is None:
            self.keep_fact(_TAKEN_BACK + setup, "" if height is None else str(height))

    def taken_back_at(self, setup: str) -> int | None:
        """Return the height of that block; None where the coins are there, or nobody has looked."""
        height = self.fact(_TAKEN_BACK + setup)
        return int(height) if height else None

    # ---- SQLite

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with FORM.errors(self.path):
            rows: list[Any] = self._database.execute(statement, list(values)).fetchall()
        return rows

    def _write(self, statement: str, *values: object) -> None:
        with FORM.errors(self.path), transaction(self._database):
            self._database.execute(statement, list(values))


_FEES = "SELECT fee FROM signed WHERE setup = ? AND template = ?"


def _write_schema(database: Database) -> None:
    for name, (columns, key) in _TABLES.items():
        database.table(name).create(columns, pk=key, not_null=set(columns), strict=True)
