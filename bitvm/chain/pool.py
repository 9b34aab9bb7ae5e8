"""Transactions that wait for the next block of the embedded chain.

A package enters as a whole or not at all. Every transaction in it is valid in the next block on top of the
transactions already waiting: inputs exist and are unspent, coinbases are mature, locks (BIP65, BIP68, BIP113) have
expired, no value is made, and every script passes Bitcoin Core's engine. On top come the relay rules of
`policy`. A package that spends what a waiting transaction spends replaces it and all that builds on it, if it pays
more in total fees and at least a higher feerate for its own size (BIP125's rules 3 and 4 in short).
"""

import contextlib
from collections.abc import Iterable, Sequence

from bitcoin.core import COutPoint, CTransaction

from bitvm.chain import policy
from bitvm.chain.blocks import BLOCK_OVERHEAD_WEIGHT, BLOCK_WEIGHT_LIMIT, COINBASE_MATURITY
from bitvm.chain.fees import INCREMENTAL_FEERATE
from bitvm.chain.index import BlockIndex, Coin
from bitvm.chain.interface import ChainError, Rejected
from bitvm.chain.policy import PoolEntry
from bitvm.script.engine import UndecodableTransactionError, failing_input
from bitvm.script.weight import WitnessShapeError, txid, vsize, weight

SEQUENCE_FINAL = 0xFFFFFFFF
SEQUENCE_LOCK_DISABLED = 1 << 31
SEQUENCE_LOCK_SECONDS = 1 << 22
SEQUENCE_LOCK_MASK = 0xFFFF
SEQUENCE_LOCK_GRANULARITY = 9
"""BIP68 counts time in units of 2^9 seconds."""
LOCKTIME_THRESHOLD = 500_000_000
MAX_MONEY = 21_000_000 * 100_000_000


class ScriptRejected(Rejected):
    """An input's script failed; `chain` is the transaction after the unconfirmed ones that it builds on."""

    def __init__(self, chain: Sequence[CTransaction], input_index: int) -> None:
        """Name the input that failed."""
        super().__init__(txid(chain[-1]), f"mandatory-script-verify-flag-failed, input {input_index}")
        self.chain = tuple(chain)


class Pool:
    """The waiting transactions on top of `index`."""

    def __init__(self, index: BlockIndex) -> None:
        """Start empty; the pool reads `index` and never writes it."""
        self._index = index
        self._entries: dict[bytes, PoolEntry] = {}  # parents before children
        self._spends: dict[COutPoint, bytes] = {}

    def transactions(self) -> tuple[CTransaction, ...]:
        """Return what waits, parents before their children."""
        return tuple(entry.tx for entry in self._entries.values())

    def submit(self, package: Sequence[CTransaction]) -> None:
        """Accept `package`, parents first, or raise Rejected and change nothing."""
        if not package:
            raise ChainError("a package holds at least one transaction")
        new: dict[bytes, PoolEntry] = {}
        for tx in package:
            tx_id = txid(tx)
            if tx_id not in self._entries and self._index.confirmation(tx_id) is None:
                new[tx_id] = self._validate(tx, tx_id, new)
        if not new:
            return
        entries = list(new.values())
        replaced = self._conflicts(entries)
        policy.check_package(entries)
        staying = [entry for tx_id, entry in self._entries.items() if tx_id not in replaced]
        policy.check_topology(entries, staying)
        self._check_replacement(entries, replaced)
        self._remove(replaced)
        for entry in entries:
            self._add(entry)

    def select_for_block(self) -> list[PoolEntry]:
        """Choose what fits into one block, oldest first and never a child without its parent."""
        chosen: list[PoolEntry] = []
        left_out: set[bytes] = set()
        room = BLOCK_WEIGHT_LIMIT - BLOCK_OVERHEAD_WEIGHT
        for entry in self._entries.values():
            size = weight(entry.tx)
            if size > room or entry.parents & left_out:
                left_out.add(entry.txid)
                continue
            room -= size
            chosen.append(entry)
        return chosen

    def follow(self, returned: Iterable[CTransaction] = ()) -> None:
        """After the index changed: keep what is still valid and not confirmed, `returned` by a reorganisation first."""
        candidates = [*returned, *self.transactions()]
        self._entries.clear()
        self._spends.clear()
        for tx in candidates:
            tx_id = txid(tx)
            if self._index.confirmation(tx_id) is not None:
                continue
            with contextlib.suppress(Rejected):
                entry = self._validate(tx, tx_id, {})
                if not self._conflicts([entry]):
                    self._add(entry)

    def _add(self, entry: PoolEntry) -> None:
        self._entries[entry.txid] = entry
        for txin in entry.tx.vin:
            self._spends[txin.prevout] = entry.txid

    def _remove(self, txids: Iterable[bytes]) -> None:
        for tx_id in txids:
            for txin in self._entries.pop(tx_id).tx.vin:
                del self._spends[txin.prevout]

    def _conflicts(self, entries: Sequence[PoolEntry]) -> list[bytes]:
        """Waiting transactions that spend what `entries` spend, with all their descendants."""
        inputs = [txin.prevout for entry in entries for txin in entry.tx.vin]
        found = {self._spends[outpoint] for outpoint in inputs if outpoint in self._spends}
        for tx_id, waiting in self._entries.items():  # parents come first, so one pass finds all descendants
            if waiting.parents & found:
                found.add(tx_id)
        for entry in entries:
            if entry.parents & found:
                raise Rejected(entry.txid, "bad-txns-spends-conflicting-tx")
        return [tx_id for tx_id in self._entries if tx_id in found]

    def _check_replacement(self, entries: Sequence[PoolEntry], replaced: Sequence[bytes]) -> None:
        if not replaced:
            return
        paid = sum(entry.fee for entry in entries)
        size = sum(vsize(entry.tx) for entry in entries)
        old_fees = sum(self._entries[tx_id].fee for tx_id in replaced)
        old_size = sum(vsize(self._entries[tx_id].tx) for tx_id in replaced)
        if paid < old_fees + INCREMENTAL_FEERATE * size or paid * old_size <= old_fees * size:
            raise Rejected(entries[-1].txid, f"insufficient fee, rejecting replacement: {paid} against {old_fees}")

    def _validate(self, tx: CTransaction, tx_id: bytes, package: dict[bytes, PoolEntry]) -> PoolEntry:
        """Check one transaction on top of the waiting ones and of `package`, those before it in its package."""
        check_shape(tx, tx_id)
        coins = [self._coin(txin.prevout, tx_id, package) for txin in tx.vin]
        fee = self._check_amounts(tx, tx_id, coins)
        self._check_locks(tx, tx_id, coins)
        spent = [coin.output for coin in coins]
        try:
            policy.check_alone(tx, tx_id, spent)
            failed = failing_input(tx, spent)
        except (WitnessShapeError, UndecodableTransactionError) as error:
            raise Rejected(tx_id, "TX decode failed") from error
        if failed is not None:
            raise ScriptRejected([*self._ancestors(tx, package), tx], failed)
        unconfirmed = {txin.prevout.hash for txin in tx.vin} & (self._entries.keys() | package.keys())
        return PoolEntry(tx, tx_id, fee, frozenset(unconfirmed))

    def _coin(self, outpoint: COutPoint, tx_id: bytes, package: dict[bytes, PoolEntry]) -> Coin:
        """Find the coin at `outpoint`: confirmed, waiting (BIP68 counts it as of the next block) or in the package."""
        parent = package.get(outpoint.hash) or self._entries.get(outpoint.hash)
        coin = self._index.coin(outpoint)
        if parent is not None and outpoint.n < len(parent.tx.vout):
            coin = Coin(parent.tx.vout[outpoint.n], self._index.height + 1, coinbase=False)
        if coin is None or any(txin.prevout == outpoint for other in package.values() for txin in other.tx.vin):
            raise Rejected(tx_id, f"bad-txns-inputs-missingorspent, {outpoint}")
        return coin

    def _ancestors(self, tx: CTransaction, package: dict[bytes, PoolEntry]) -> list[CTransaction]:
        """Unconfirmed transactions that `tx` builds on, parents first."""
        known = {**self._entries, **package}
        wanted = {txin.prevout.hash for txin in tx.vin}
        found: list[CTransaction] = []
        for entry in reversed(known.values()):
            if entry.txid in wanted:
                wanted |= entry.parents
                found.append(entry.tx)
        return found[::-1]

    def _check_amounts(self, tx: CTransaction, tx_id: bytes, coins: Sequence[Coin]) -> int:
        next_height = self._index.height + 1
        if any(coin.coinbase and next_height - coin.height < COINBASE_MATURITY for coin in coins):
            raise Rejected(tx_id, "bad-txns-premature-spend-of-coinbase")
        fee = sum(coin.output.nValue for coin in coins) - sum(output.nValue for output in tx.vout)
        if fee < 0:
            raise Rejected(tx_id, f"bad-txns-in-belowout, outputs exceed inputs by {-fee} sat")
        return int(fee)

    def _check_locks(self, tx: CTransaction, tx_id: bytes, coins: Sequence[Coin]) -> None:
        height = self._index.height
        now = self._index.median_time_past(height)
        limit = height + 1 if tx.nLockTime < LOCKTIME_THRESHOLD else now
        if tx.nLockTime and tx.nLockTime >= limit and any(txin.nSequence != SEQUENCE_FINAL for txin in tx.vin):
            raise Rejected(tx_id, "non-final")
        for txin, coin in zip(tx.vin, coins, strict=True):
            if tx.nVersion < 2 or txin.nSequence & SEQUENCE_LOCK_DISABLED:
                continue
            lock = txin.nSequence & SEQUENCE_LOCK_MASK
            if txin.nSequence & SEQUENCE_LOCK_SECONDS:
                since = self._index.median_time_past(max(coin.height - 1, 0))
                expired = since + (lock << SEQUENCE_LOCK_GRANULARITY) <= now
            else:
                expired = coin.height + lock <= height + 1
            if not expired:
                raise Rejected(tx_id, "non-BIP68-final")


def check_shape(tx: CTransaction, tx_id: bytes) -> None:
    """Judge a transaction by itself (consensus): inputs, outputs, amounts, no input twice; or Rejected."""
    if not tx.vin:
        raise Rejected(tx_id, "bad-txns-vin-empty")
    if not tx.vout:
        raise Rejected(tx_id, "bad-txns-vout-empty")
    if len({txin.prevout for txin in tx.vin}) != len(tx.vin):
        raise Rejected(tx_id, "bad-txns-inputs-duplicate")
    if tx.is_coinbase() or any(txin.prevout.is_null() for txin in tx.vin):
        raise Rejected(tx_id, "coinbase")
    if any(not 0 <= output.nValue <= MAX_MONEY for output in tx.vout):
        raise Rejected(tx_id, "bad-txns-vout-toolarge")
    if sum(output.nValue for output in tx.vout) > MAX_MONEY:
        raise Rejected(tx_id, "bad-txns-txouttotal-toolarge")
