"""The coins of a `Purse`: which ones there are, as the node says, and what each of them is promised to.

The node's set of coins is the truth, the database only a memory of which coins to ask about and of what was promised
with them. Following the chain asks the node about every known coin anew, so reorganisations need no care: a coin is
free while the node says that it is confirmed, mature and not spent in its mempool, and nothing is reserved with it.

A node that reads the chain anew, replaced or repaired, has none of the coins for a while. Below the height at which it
was followed last it is believed only as far as a reorganisation may go: else nothing is asked, and nothing forgotten.

Anybody can pay to the purse's script. A coin below `WORTHLESS` costs more than it brings as soon as fees rise: it is
never used and never counted, so nobody fills a purse with dust that looks like money.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitcoin.core import COutPoint, CTransaction, CTxOut
from bitcoin.core.script import CScript
from sqlite_utils import Database

from bitvm.chain.blocks import COINBASE_MATURITY
from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.chain.purse_form import FORM, SCHEMA, ForeignPurseError, InsufficientFundsError
from bitvm.chain.remote import RemoteNode, Unspent
from bitvm.database import transaction
from bitvm.script.weight import txid

FORGET_AFTER = 144
"""Blocks for which a coin that is gone is still asked about: a reorganisation may bring it back.

A node that lacks fewer blocks than this is followed all the same: it has all coins again before one is forgotten."""

WORTHLESS = 1_000
"""Satoshi; a smaller coin is left alone."""

_FREE = f"""
FROM coins LEFT JOIN reservations USING (txid, n), wallet
WHERE purpose IS NULL AND spendable_from <= height + 1 AND NOT pending AND value >= {WORTHLESS}
ORDER BY value DESC, txid, n
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A coin that is promised: to which `purpose`, and the `amount` that was asked for."""

    purpose: str
    coin: SpendableCoin
    amount: int


class CoinBook:
    """The coins of one key; used by one thread at a time, a context manager that closes it."""

    def __init__(self, path: Path, key: TaprootKey, database: Database) -> None:
        """Take a checked database; use `create` or `open`."""
        self.path, self.key = path, key
        self._database = database
        self.vanished = False
        """Whether at the newest look free coins were gone which nothing of ours has spent, as far as is known."""

    @classmethod
    def create(cls, path: Path, key: TaprootKey) -> Self:
        """Make the empty purse of `key` and open it; raises PurseError and never touches what is there."""

        def schema(database: Database) -> None:
            for statement in SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT INTO wallet VALUES (?, 0, 0)", [key.script_pubkey])

        FORM.create(path, schema)
        return cls.open(path, key)

    @classmethod
    def open(cls, path: Path, key: TaprootKey) -> Self:
        """Open the purse of `key`; ForeignPurseError if it is another key's, or another PurseError."""

        def check(database: Database) -> None:
            FORM.integrity(path, database)
            if database.execute("SELECT script FROM wallet").fetchall() != [(key.script_pubkey,)]:
                raise ForeignPurseError(f"{path}: the wallet of another key; it belongs to another seed")

        return cls(path, key, FORM.open(path, check))

    def close(self) -> None:
        """Close the database. What was promised is on disk already."""
        self._database.close()

    def __enter__(self) -> Self:
        """Return the purse itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    @property
    def script_pubkey(self) -> bytes:
        """Where the purse receives."""
        return self.key.script_pubkey

    # ---- following the node

    @property
    def searched(self) -> bool:
        """Whether what a search had found was ever taken over; what the purse has is not known before."""
        return bool(self._row("SELECT scanned FROM wallet")[0])

    def search(self, node: RemoteNode) -> frozenset[COutPoint]:
        """Let `node` find the coins of the script: minutes on a large chain. Touches nothing, so any thread may.

        Those are left out that anybody may have put there to keep us busy. Raises ChainError.
        """
        found = node.coins_of(self.script_pubkey)
        return frozenset(outpoint for outpoint, unspent in found.items() if unspent.output.nValue >= WORTHLESS)

    def _follow(
        self, node: RemoteNode, height: int, found: Collection[COutPoint] | None
    ) -> Mapping[COutPoint, bytes]:
        """Ask `node`, whose tip is at `height`, about every coin, those that a search has `found` and those known.

        Returns which waiting transaction spends which. What was found and is gone since is passed over.
        """
        self.vanished = False
        if height < self._height() - FORGET_AFTER:
            return {}
        known = {_outpoint(*row[:2]): row[2:] for row in self._rows(_COINS)}
        asked = {outpoint: node.coin(outpoint, include_mempool=False) for outpoint in {*known, *(found or ())}}
        asked = {outpoint: unspent for outpoint, unspent in asked.items() if unspent or outpoint in known}
        spenders = node.mempool_spenders([outpoint for outpoint, unspent in asked.items() if unspent])
        states = {
            outpoint: _state(unspent, known.get(outpoint), height, pending=outpoint in spenders)
            for outpoint, unspent in asked.items()
        }
        promised = {_outpoint(*row) for row in self._rows("SELECT txid, n FROM reservations")}
        self.vanished = any(_vanishes(known[each], states[each]) for each in known.keys() - promised)
        changed = [(*_key(outpoint), *state) for outpoint, state in states.items() if known.get(outpoint) != state]
        first = found is not None and not self.searched
        if changed or first or self._height() != height:
            with self._writing() as database:
                database.conn.executemany("INSERT OR REPLACE INTO coins VALUES (?, ?, ?, ?, ?, ?)", changed)
                database.execute("UPDATE wallet SET height = ?, scanned = scanned OR ?", [height, first])
                self._forget(height - FORGET_AFTER)
        return spenders

    def learn(self, payment: CTransaction) -> None:
        """Remember the outputs of a transaction that pay this purse, so that `refresh` asks about them."""
        with self._writing():
            self._learn(payment)

    def _learn(self, payment: CTransaction) -> None:
        for n, output in enumerate(payment.vout):
            if self.is_ours(output):
                row = [txid(payment), n, output.nValue]
                self._database.execute("INSERT OR IGNORE INTO coins VALUES (?, ?, ?, NULL, 0, NULL)", row)

    def is_ours(self, output: CTxOut) -> bool:
        """Whether an output pays this purse."""
        return bytes(output.scriptPubKey) == self.script_pubkey

    def _forget(self, height: int) -> None:
        """Remove coins that were gone at `height` already."""
        reserved = "(txid, n) IN (SELECT txid, n FROM reservations)"
        self._database.execute(f"DELETE FROM coins WHERE gone_since < ? AND NOT {reserved}", [height])

    def _height(self) -> int:
        """Return the node's tip when it was followed last."""
        return int(self._row("SELECT height FROM wallet")[0])

    # ---- coins

    def coins(self) -> tuple[SpendableCoin, ...]:
        """Confirmed, mature coins, neither reserved nor spent by a waiting transaction, nor dust; largest first."""
        return tuple(self._coin(*row) for row in self._rows(f"SELECT txid, n, value {_FREE}"))

    def balance(self) -> int:
        """Sum of `coins()`."""
        return sum(coin.output.nValue for coin in self.coins())

    def reserve(self, purpose: str, amount: int) -> SpendableCoin:
        """Give `purpose` the smallest free coin of at least `amount`; the coin it has, if that one is large enough.

        A coin that was too small stays with the purpose too, since a transaction that spends it may be about. A coin
        that is gone does not count. InsufficientFundsError if there is none.
        """
        with self._writing():
            for reservation in reversed(self._reservations(purpose, present=True)):
                if reservation.coin.output.nValue >= amount:
                    return reservation.coin
            free = self.coins()
            large_enough = [coin for coin in free if coin.output.nValue >= amount]
            if not large_enough:
                largest = free[0].output.nValue if free else 0
                raise InsufficientFundsError(f"no single coin of {amount} sat; the largest free one has {largest}")
            self._reserve(purpose, large_enough[-1:], amount)
            return large_enough[-1]

    def reserve_many(self, purpose: str, amount: int) -> tuple[SpendableCoin, ...]:
        """Give `purpose` coins of at least `amount` together; those it has, if they suffice.

        One coin if one is large enough, the smallest such, or else the largest coins. InsufficientFundsError.
        """
        with self._writing():
            held = tuple(reservation.coin for reservation in self._reservations(purpose, present=True))
            missing = amount - sum(coin.output.nValue for coin in held)
            if missing > 0:
                more = self._choose(missing)
                self._reserve(purpose, more, amount)
                held += more
            return held

    def reserved(self) -> tuple[Reservation, ...]:
        """What is promised, oldest first."""
        return self._reservations()

    def _choose(self, amount: int, each: int = 0) -> tuple[SpendableCoin, ...]:
        """Choose free coins that hold `amount` beyond the `each` satoshi that it costs to spend one of them.

        A coin that is worth no more than that is not chosen. InsufficientFundsError.
        """
        free = [coin for coin in self.coins() if coin.output.nValue > each]
        large_enough = [coin for coin in free if coin.output.nValue - each >= amount]
        if large_enough:
            return tuple(large_enough[-1:])
        chosen: list[SpendableCoin] = []
        for coin in free:
            chosen.append(coin)
            if sum(one.output.nValue - each for one in chosen) >= amount:
                return tuple(chosen)
        total = sum(coin.output.nValue - each for coin in free)
        raise InsufficientFundsError(f"{amount} sat are needed, but the free coins hold {total}")

    def _reserve(self, purpose: str, coins: Sequence[SpendableCoin], amount: int) -> None:
        for coin in coins:
            row = [*_key(coin.outpoint), purpose, amount]
            self._database.execute("INSERT INTO reservations (txid, n, purpose, amount) VALUES (?, ?, ?, ?)", row)

    def _reservations(self, purpose: str | None = None, *, present: bool = False) -> tuple[Reservation, ...]:
        """Return the reservations (of a purpose), oldest first; `present` leaves out coins that are not confirmed."""
        rows = self._rows(
            "SELECT purpose, amount, txid, n, value FROM reservations JOIN coins USING (txid, n) "
            "WHERE (?1 IS NULL OR purpose = ?1) AND (NOT ?2 OR spendable_from IS NOT NULL) ORDER BY number",
            purpose,
            present,
        )
        return tuple(Reservation(owner, self._coin(*coin), amount) for owner, amount, *coin in rows)

    # ---- SQLite

    def _coin(self, tx_id: bytes, n: int, value: int) -> SpendableCoin:
        return SpendableCoin(COutPoint(tx_id, n), CTxOut(value, CScript(self.script_pubkey)), self.key)

    def _rows(self, statement: str, *values: object) -> list[Any]:
        with FORM.errors(self.path):
            rows: list[Any] = self._database.execute(statement, list(values)).fetchall()
        return rows

    def _row(self, statement: str) -> Any:
        return self._rows(statement)[0]

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        with FORM.errors(self.path), transaction(self._database):
            yield self._database


_COINS = "SELECT txid, n, value, spendable_from, pending, gone_since FROM coins"


def _outpoint(tx_id: bytes, n: int) -> COutPoint:
    return COutPoint(tx_id, n)


def _key(outpoint: COutPoint) -> tuple[bytes, int]:
    return bytes(outpoint.hash), outpoint.n


def _state(
    unspent: Unspent | None, known: tuple[Any, ...] | None, height: int, *, pending: bool
) -> tuple[int, int | None, int, int | None]:
    """What is remembered of a coin: its value, the first block that may spend it, whether one waits, since when gone.

    A coin that the node does not have is not spendable; it may be spent, or not be confirmed yet.
    """
    if unspent is not None:
        wait = COINBASE_MATURITY if unspent.coinbase else 1
        return unspent.output.nValue, height - unspent.confirmations + 1 + wait, int(pending), None
    assert known is not None
    gone_since = known[3] if known[1] is None and known[3] is not None else height
    return known[0], None, 0, gone_since


def _vanishes(known: tuple[Any, ...], state: tuple[Any, ...]) -> bool:
    """Whether a coin that was there, and that nothing was seen to spend, is gone."""
    return known[1] is not None and not known[2] and state[1] is None
