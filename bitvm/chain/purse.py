"""A wallet on one `TaprootKey` for a real node: it scans no blocks, and what it hands out is recorded on disk.

The node's set of coins is the truth, the database only a memory of which coins to ask about and of what was promised
with them. `refresh` asks the node about every known coin anew, so reorganisations need no care: a coin is free while
the node says that it is confirmed, mature and not spent in its mempool, and nothing is reserved with it. Coins are
found by a scan (on first use, and when asked for) and in the outputs of the purse's own transactions.

A reservation gives a coin to a purpose, a unique text, until it is released: the same coin never goes to two purposes,
whoever has the purse open. Several processes may; every change is one transaction, durable when the call returns. A
transaction is recorded before it is sent, so after a crash the same bytes are sent again. Payments of the purse itself
are sent again by `refresh` until they are confirmed.

Amounts are satoshi, feerates satoshi per virtual byte. Only confirmed coins are handed out: the child of a version 3
transaction may have no other unconfirmed parent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from sqlite_utils import Database

from bitvm.chain.blocks import COINBASE_MATURITY
from bitvm.chain.fees import DUST_P2TR, SEQUENCE_REPLACEABLE, key_path_vsize, sign_key_paths
from bitvm.chain.interface import Rejected
from bitvm.chain.keys import SpendableCoin, TaprootKey, address
from bitvm.chain.purse_form import FORM, SCHEMA, ForeignPurseError, InsufficientFundsError, PurseError
from bitvm.chain.remote import RemoteNode, Unspent
from bitvm.database import transaction
from bitvm.script.weight import txid

PREFIXES = {"main": "bc", "test": "tb", "testnet4": "tb", "signet": "tb", "regtest": "bcrt"}
"""The first letters of an address, by the node's name of the network."""

FORGET_AFTER = 144
"""Blocks for which a coin that is gone is still asked about: a reorganisation may bring it back."""

PAYMENT = "payment "
"""How the purposes of the purse's own payments begin; the transaction id follows."""

_FREE = """
FROM coins LEFT JOIN reservations USING (txid, n), wallet
WHERE purpose IS NULL AND spendable_from <= height + 1 AND NOT pending
ORDER BY value DESC, txid, n
"""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A coin that is promised: to which `purpose`, and the `amount` that was asked for."""

    purpose: str
    coin: SpendableCoin
    amount: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest transaction of a purpose, and the fee it pays."""

    transaction: CTransaction
    fee: int


class Purse:
    """An open purse, used by one thread at a time; a context manager that closes it."""

    def __init__(self, path: Path, key: TaprootKey, database: Database) -> None:
        """Take a checked database; use `create` or `open`."""
        self.path, self.key = path, key
        self._database = database

    @classmethod
    def create(cls, path: Path, key: TaprootKey) -> Purse:
        """Make the empty purse of `key` and open it; raises PurseError and never touches what is there."""

        def schema(database: Database) -> None:
            for statement in SCHEMA.split(";"):
                database.execute(statement)
            database.execute("INSERT INTO wallet VALUES (?, 0, 0)", [key.script_pubkey])

        FORM.create(path, schema)
        return cls.open(path, key)

    @classmethod
    def open(cls, path: Path, key: TaprootKey) -> Purse:
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

    def address(self, network: str) -> str:
        """The same as an address on `network`, called as nodes call it ("main", "regtest", ..)."""
        return address(self.script_pubkey, PREFIXES[network])

    # ---- following the node

    def refresh(self, node: RemoteNode, height: int, *, scan: bool = False) -> None:
        """Ask `node`, whose tip is at `height`, about every known coin, and send payments again that do not wait.

        With `scan`, and the first time, coins that are not known are looked for, which takes minutes on a large chain.
        """
        found = node.coins_of(self.script_pubkey) if scan or not self._row("SELECT scanned FROM wallet")[0] else None
        known = {_outpoint(*row[:2]): row[2:] for row in self._rows(_COINS)}
        asked = {outpoint: node.coin(outpoint, include_mempool=False) for outpoint in known}
        asked |= found or {}
        pending = node.mempool_spenders([outpoint for outpoint, unspent in asked.items() if unspent])
        states = {
            outpoint: _state(unspent, known.get(outpoint), height, pending=outpoint in pending)
            for outpoint, unspent in asked.items()
        }
        changed = [(*_key(outpoint), *state) for outpoint, state in states.items() if known.get(outpoint) != state]
        if changed or found is not None or self._row("SELECT height FROM wallet")[0] != height:
            with self._writing() as database:
                database.conn.executemany("INSERT OR REPLACE INTO coins VALUES (?, ?, ?, ?, ?, ?)", changed)
                database.execute("UPDATE wallet SET height = ?, scanned = max(scanned, ?)", [height, found is not None])
                self._forget(height - FORGET_AFTER)
        self._send_again(node)

    def learn(self, payment: CTransaction) -> None:
        """Remember the outputs of a transaction that pay this purse, so that `refresh` asks about them."""
        with self._writing():
            self._learn(payment)

    def _learn(self, payment: CTransaction) -> None:
        for n, output in enumerate(payment.vout):
            if bytes(output.scriptPubKey) == self.script_pubkey:
                row = [txid(payment), n, output.nValue]
                self._database.execute("INSERT OR IGNORE INTO coins VALUES (?, ?, ?, NULL, 0, NULL)", row)

    def _forget(self, height: int) -> None:
        """Remove coins that were gone at `height` already, and the payments that spent them."""
        gone = "(SELECT txid, n FROM coins WHERE gone_since < ?)"
        mine = f"(txid, n) IN {gone} AND substr(purpose, 1, {len(PAYMENT)}) = '{PAYMENT}'"
        self._database.execute(f"DELETE FROM reservations WHERE {mine}", [height])
        self._database.execute(
            f"DELETE FROM recorded WHERE substr(purpose, 1, {len(PAYMENT)}) = '{PAYMENT}' "
            "AND purpose NOT IN (SELECT purpose FROM reservations)"
        )
        reserved = "(txid, n) IN (SELECT txid, n FROM reservations)"
        self._database.execute(f"DELETE FROM coins WHERE gone_since < ? AND NOT {reserved}", [height])

    def _send_again(self, node: RemoteNode) -> None:
        open_ones = self._rows(
            "SELECT DISTINCT raw FROM recorded JOIN reservations USING (purpose) JOIN coins USING (txid, n) "
            f"WHERE substr(purpose, 1, {len(PAYMENT)}) = '{PAYMENT}' AND gone_since IS NULL AND NOT pending"
        )
        for (raw,) in open_ones:
            with suppress(Rejected):  # the next refresh tries again: a full mempool does not stay full
                node.submit([CTransaction.deserialize(raw)])

    # ---- coins

    def coins(self) -> tuple[SpendableCoin, ...]:
        """Confirmed, mature coins, neither reserved nor spent by a waiting transaction; largest first."""
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

    def release(self, purpose: str) -> None:
        """Give back the coins of `purpose`, and forget its recorded transaction."""
        with self._writing() as database:
            database.execute("DELETE FROM reservations WHERE purpose = ?", [purpose])
            database.execute("DELETE FROM recorded WHERE purpose = ?", [purpose])

    def reserved(self) -> tuple[Reservation, ...]:
        """What is promised, oldest first."""
        return self._reservations()

    def _choose(self, amount: int) -> tuple[SpendableCoin, ...]:
        free = self.coins()
        large_enough = [coin for coin in free if coin.output.nValue >= amount]
        if large_enough:
            return tuple(large_enough[-1:])
        chosen: list[SpendableCoin] = []
        for coin in free:
            chosen.append(coin)
            if sum(each.output.nValue for each in chosen) >= amount:
                return tuple(chosen)
        total = sum(coin.output.nValue for coin in free)
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

    # ---- transactions

    def record(self, purpose: str, made: CTransaction, fee: int) -> None:
        """Remember the newest transaction of `purpose`, before it is sent, and its outputs that come back."""
        with self._writing():
            self._record(purpose, made, fee)

    def recorded(self, purpose: str) -> Recorded | None:
        """The newest transaction of `purpose`, or None."""
        rows = self._rows("SELECT raw, fee FROM recorded WHERE purpose = ?", purpose)
        return Recorded(CTransaction.deserialize(rows[0][0]), rows[0][1]) if rows else None

    def purposes(self, prefix: str = "") -> tuple[str, ...]:
        """The purposes that begin with `prefix` and have a coin or a recorded transaction, in order."""
        rows = self._rows(
            "SELECT purpose FROM reservations WHERE substr(purpose, 1, ?1) = ?2 "
            "UNION SELECT purpose FROM recorded WHERE substr(purpose, 1, ?1) = ?2 ORDER BY purpose",
            len(prefix),
            prefix,
        )
        return tuple(purpose for (purpose,) in rows)

    def split(self, node: RemoteNode, count: int, value: int, feerate: float) -> CTransaction:
        """Cut free coins into `count` coins of `value` and the change, and send that; they are free once confirmed.

        Raises InsufficientFundsError, or Rejected; where the node does not answer, `refresh` sends it later.
        """
        return self._pay(node, [CTxOut(value, CScript(self.script_pubkey))] * count, feerate)

    def send(self, node: RemoteNode, script_pubkey: bytes, amount: int, feerate: float) -> CTransaction:
        """Pay `amount` to somebody; as `split`."""
        return self._pay(node, [CTxOut(amount, CScript(script_pubkey))], feerate)

    def take_back(self, node: RemoteNode, purpose: str, feerate: float) -> CTransaction:
        """Pay the coins of `purpose` to ourselves, so that no other transaction can spend them; as `split`.

        Raises PurseError where nothing is promised to `purpose`, or where the coins are worth no more than the fee.
        """
        with self._writing() as database:
            coins = tuple(held.coin for held in self._reservations(purpose))
            if not coins:
                raise PurseError(f"nothing is promised to {purpose!r}")
            script = CScript(self.script_pubkey)
            fee = math.ceil(feerate * key_path_vsize(len(coins), [CTxOut(0, script)]))
            value = sum(coin.output.nValue for coin in coins) - fee
            if value < DUST_P2TR:
                raise PurseError(f"the coins of {purpose!r} are worth less than the fee of {fee} sat")
            made = self._signed(coins, [CTxOut(value, script)])
            mine = PAYMENT + txid(made)[::-1].hex()
            database.execute("UPDATE reservations SET purpose = ? WHERE purpose = ?", [mine, purpose])
            self._record(mine, made, fee)
        try:
            node.submit([made])
        except Rejected:
            with self._writing() as database:
                database.execute("UPDATE reservations SET purpose = ? WHERE purpose = ?", [purpose, mine])
                database.execute("DELETE FROM recorded WHERE purpose = ?", [mine])
            raise
        return made

    def _pay(self, node: RemoteNode, outputs: Sequence[CTxOut], feerate: float) -> CTransaction:
        with self._writing():
            made, coins, fee = self._payment(outputs, feerate)
            purpose = PAYMENT + txid(made)[::-1].hex()
            self._reserve(purpose, coins, sum(output.nValue for output in outputs))
            self._record(purpose, made, fee)
        try:
            node.submit([made])
        except Rejected:
            self.release(purpose)
            raise
        return made

    def _payment(
        self, outputs: Sequence[CTxOut], feerate: float
    ) -> tuple[CTransaction, tuple[SpendableCoin, ...], int]:
        """Sign a payment from free coins, with its fee; the change is its last output, where it is worth one."""
        amount = sum(output.nValue for output in outputs)
        change = CTxOut(0, CScript(self.script_pubkey))
        coins: tuple[SpendableCoin, ...] = ()
        fee = 0
        while sum(coin.output.nValue for coin in coins) < amount + fee:
            coins = self._choose(amount + fee)
            fee = math.ceil(feerate * key_path_vsize(len(coins), [*outputs, change]))
        rest = sum(coin.output.nValue for coin in coins) - amount - fee
        with_change = [*outputs, CTxOut(rest, change.scriptPubKey)] if rest >= DUST_P2TR else list(outputs)
        return self._signed(coins, with_change), coins, fee if rest >= DUST_P2TR else fee + rest

    def _signed(self, coins: Sequence[SpendableCoin], outputs: Sequence[CTxOut]) -> CTransaction:
        inputs = [CTxIn(coin.outpoint, nSequence=SEQUENCE_REPLACEABLE) for coin in coins]
        unsigned = CTransaction(inputs, list(outputs), nVersion=2)
        return sign_key_paths(unsigned, [coin.output for coin in coins], [self.key] * len(coins))

    def _record(self, purpose: str, made: CTransaction, fee: int) -> None:
        row = [purpose, made.serialize(), fee]
        self._database.execute("INSERT OR REPLACE INTO recorded VALUES (?, ?, ?)", row)
        self._learn(made)

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
