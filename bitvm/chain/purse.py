"""A wallet on one `TaprootKey` for a real node: it scans no blocks, and what it hands out is recorded on disk.

Which coins there are, and what they are promised to, is in `bitvm.chain.purse_coins`; here are the transactions that
spend them. `refresh` brings all of it up to date. Coins are found by `search` and in the outputs of the purse's own
transactions.

A reservation gives a coin to a purpose, a unique text, until it is released: the same coin never goes to two purposes,
whoever has the purse open. Several processes may; every change is one transaction, durable when the call returns. A
transaction is recorded before it is sent, so after a crash the same bytes are sent again.

Payments of the purse itself are sent again by `refresh` until they are confirmed. One that waits for too long can be
replaced by a dearer one, and then either may be confirmed: both stay known until one of them is.

Amounts are satoshi, feerates satoshi per virtual byte. Only confirmed coins are handed out: the child of a version 3
transaction may have no other unconfirmed parent.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import DUST_P2TR, INCREMENTAL_FEERATE, SEQUENCE_REPLACEABLE, key_path_vsize, sign_key_paths
from bitvm.chain.interface import Rejected
from bitvm.chain.keys import SpendableCoin, address
from bitvm.chain.purse_coins import CoinBook
from bitvm.chain.purse_form import InsufficientFundsError, PurseError
from bitvm.chain.remote import RemoteNode
from bitvm.script.weight import txid

PREFIXES = {"main": "bc", "test": "tb", "testnet4": "tb", "signet": "tb", "regtest": "bcrt"}
"""The first letters of an address, by the node's name of the network."""

PAYMENT = "payment "
"""How the purposes of the purse's own payments begin; the transaction id follows, that of the first one if replaced."""

INPUT_VSIZE = 58
"""Virtual bytes of an input of the purse, rounded up."""

_REPLACED = "replaced "
"""What older versions of a payment are recorded under: this, their own id, a space, and the payment's purpose."""
_REPLACED_BEGIN = len(_REPLACED) + 64 + 1
"""Where the payment's purpose begins in that."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The newest transaction of a purpose, and the fee it pays."""

    transaction: CTransaction
    fee: int


@dataclass(frozen=True, slots=True)
class Payment:
    """The newest form of a payment of the purse itself that is not confirmed; `since`: a height at which it waited."""

    purpose: str
    transaction: CTransaction
    fee: int
    since: int


class Purse(CoinBook):
    """An open purse, used by one thread at a time; a context manager that closes it."""

    def address(self, network: str) -> str:
        """Where the purse receives, as an address on `network`, called as nodes call it ("main", "regtest", ..)."""
        return address(self.script_pubkey, PREFIXES[network])

    def refresh(self, node: RemoteNode, height: int, found: Collection[COutPoint] | None = None) -> None:
        """Ask `node`, whose tip is at `height`, about every known coin, and send payments again that do not wait.

        found: what a `search` has found, which is known from now on; None where none has ended.
        Nothing is asked of a node that is far below the height of the refresh before: it has the coins not yet.
        """
        spenders = self._follow(node, height, found)
        for payment in self.payments():
            if any(spenders.get(txin.prevout) != txid(payment.transaction) for txin in payment.transaction.vin):
                with suppress(Rejected):  # the next refresh tries again: a full mempool does not stay full
                    node.submit([payment.transaction])

    # ---- records

    def record(self, purpose: str, made: CTransaction, fee: int) -> None:
        """Remember the newest transaction of `purpose`, before it is sent, and its outputs that come back."""
        with self._writing():
            self._record(purpose, made, fee)

    def recorded(self, purpose: str) -> Recorded | None:
        """The newest transaction of `purpose`, or None."""
        rows = self._rows("SELECT raw, fee FROM recorded WHERE purpose = ?", purpose)
        return Recorded(CTransaction.deserialize(rows[0][0]), rows[0][1]) if rows else None

    def release(self, purpose: str) -> None:
        """Give back the coins of `purpose`, and forget its recorded transaction."""
        with self._writing() as database:
            database.execute("DELETE FROM reservations WHERE purpose = ?", [purpose])
            database.execute("DELETE FROM recorded WHERE purpose = ?", [purpose])

    def purposes(self, prefix: str = "") -> tuple[str, ...]:
        """The purposes that begin with `prefix` and have a coin or a recorded transaction, in order."""
        rows = self._rows(
            "SELECT purpose FROM reservations WHERE substr(purpose, 1, ?1) = ?2 "
            "UNION SELECT purpose FROM recorded WHERE substr(purpose, 1, ?1) = ?2 ORDER BY purpose",
            len(prefix),
            prefix,
        )
        return tuple(purpose for (purpose,) in rows)

    def payments(self) -> tuple[Payment, ...]:
        """The purse's own payments whose coins no block has spent yet, in their newest form."""
        rows = self._rows(
            "SELECT DISTINCT purpose, raw, fee FROM recorded JOIN reservations USING (purpose) JOIN coins "
            "USING (txid, n) WHERE substr(purpose, 1, ?) = ? AND gone_since IS NULL ORDER BY purpose",
            len(PAYMENT),
            PAYMENT,
        )
        found = ((purpose, CTransaction.deserialize(raw), fee) for purpose, raw, fee in rows)
        return tuple(Payment(purpose, made, fee, self._since(made)) for purpose, made, fee in found)

    def _since(self, made: CTransaction) -> int:
        """Return since when an output of ours is not there that this one would make."""
        (missing,) = self._rows("SELECT min(gone_since) FROM coins WHERE txid = ?", txid(made))[0]
        return self._height() if missing is None else int(missing)

    def _record(self, purpose: str, made: CTransaction, fee: int) -> None:
        row = [purpose, made.serialize(), fee]
        self._database.execute("INSERT OR REPLACE INTO recorded VALUES (?, ?, ?)", row)
        self._learn(made)

    def _forget(self, height: int) -> None:
        """Remove coins that were gone at `height` already, and the payments that spent them."""
        gone = "(SELECT txid, n FROM coins WHERE gone_since < ?)"
        mine = f"(txid, n) IN {gone} AND substr(purpose, 1, {len(PAYMENT)}) = '{PAYMENT}'"
        self._database.execute(f"DELETE FROM reservations WHERE {mine}", [height])
        for prefix, begin in ((PAYMENT, 1), (_REPLACED, _REPLACED_BEGIN + 1)):
            self._database.execute(
                f"DELETE FROM recorded WHERE substr(purpose, 1, {len(prefix)}) = '{prefix}' "
                f"AND substr(purpose, {begin}) NOT IN (SELECT purpose FROM reservations)"
            )
        super()._forget(height)
        for raw in self._waiting():  # their outputs are as if gone, until one is confirmed
            self._learn(CTransaction.deserialize(raw))

    def _waiting(self) -> list[bytes]:
        """Return all forms of all payments that are not confirmed."""
        waiting = {payment.purpose for payment in self.payments()}
        rows = self._rows("SELECT purpose, raw FROM recorded")
        return [raw for purpose, raw in rows if _owner(purpose) in waiting]

    # ---- payments

    def split(
        self, node: RemoteNode, count: int, value: int, feerate: float, coins: Sequence[SpendableCoin] | None = None
    ) -> CTransaction:
        """Cut free coins into `count` coins of `value` and the change, and send that; they are free once confirmed.

        coins: all of these and no others, where they are given. Raises InsufficientFundsError, or Rejected; where the
        node does not answer, `refresh` sends it later.
        """
        return self._pay(node, [CTxOut(value, CScript(self.script_pubkey))] * count, feerate, coins)

    def send(self, node: RemoteNode, script_pubkey: bytes, amount: int, feerate: float) -> CTransaction:
        """Pay `amount` to somebody; as `split`."""
        return self._pay(node, [CTxOut(amount, CScript(script_pubkey))], feerate, None)

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
            value = _sum(coins) - fee
            if value < DUST_P2TR:
                raise PurseError(f"the coins of {purpose!r} are worth less than the fee of {fee} sat")
            made = self._signed(coins, [CTxOut(value, script)])
            mine = PAYMENT + _name(made)
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

    def replace(self, node: RemoteNode, payment: Payment, feerate: float) -> CTransaction:
        """Put a dearer form in the place of a payment that waits, from the same coins; the change pays for that.

        What goes to others stays as it is; what we pay ourselves may shrink, the last output first. Raises PurseError
        where that is not possible, or not dear enough to be relayed, and then nothing has changed. Rejected where the
        node refuses it; it stays recorded then and is offered again, beside the form before, which may be confirmed.
        """
        with self._writing():
            held = {each.coin.outpoint: each.coin for each in self._reservations(payment.purpose)}
            coins = [held[txin.prevout] for txin in payment.transaction.vin]
            outputs = self._shrunk(payment.transaction.vout, _sum(coins), len(coins), feerate)
            made = self._signed(coins, outputs)
            fee = _sum(coins) - sum(output.nValue for output in outputs)
            least = payment.fee + math.ceil(INCREMENTAL_FEERATE * key_path_vsize(len(coins), outputs))
            if fee < least:
                raise PurseError(f"a replacement has to pay {least} sat at least; {feerate:g} sat/vB are {fee} sat")
            self._record(f"{_REPLACED}{_name(payment.transaction)} {payment.purpose}", payment.transaction, payment.fee)
            self._record(payment.purpose, made, fee)
        node.submit([made])
        return made

    def _shrunk(self, before: Sequence[CTxOut], value: int, inputs: int, feerate: float) -> list[CTxOut]:
        """Return the outputs of a payment from coins of `value` at a feerate: our last ones smaller, or not there."""
        outputs = list(before)
        while outputs and self.is_ours(outputs[-1]):
            fee = math.ceil(feerate * key_path_vsize(inputs, outputs))
            last = outputs.pop()
            left = value - sum(output.nValue for output in outputs) - fee
            if left >= DUST_P2TR:
                return [*outputs, CTxOut(left, last.scriptPubKey)]
        raise InsufficientFundsError("what the payment leaves to ourselves does not pay for a higher fee")

    def _pay(
        self, node: RemoteNode, outputs: Sequence[CTxOut], feerate: float, coins: Sequence[SpendableCoin] | None
    ) -> CTransaction:
        with self._writing():
            made, spent, fee = self._payment(outputs, feerate, coins)
            purpose = PAYMENT + _name(made)
            self._reserve(purpose, spent, sum(output.nValue for output in outputs))
            self._record(purpose, made, fee)
        try:
            node.submit([made])
        except Rejected:
            self.release(purpose)
            raise
        return made

    def _payment(
        self, outputs: Sequence[CTxOut], feerate: float, given: Sequence[SpendableCoin] | None
    ) -> tuple[CTransaction, Sequence[SpendableCoin], int]:
        """Sign a payment from free coins, with its fee; the change is its last output, where it is worth one."""
        amount = sum(output.nValue for output in outputs)
        change = CTxOut(0, CScript(self.script_pubkey))
        coins = self._choose_for([*outputs, change], feerate) if given is None else given
        if not {coin.outpoint for coin in coins} <= {coin.outpoint for coin in self.coins()}:
            raise InsufficientFundsError("a coin that was to be spent is promised to something else, or gone")
        fee = math.ceil(feerate * key_path_vsize(len(coins), [*outputs, change]))
        rest = _sum(coins) - amount - fee
        if rest < 0:
            raise InsufficientFundsError(f"{amount + fee} sat are needed, but the coins hold {_sum(coins)}")
        with_change = [*outputs, CTxOut(rest, change.scriptPubKey)] if rest >= DUST_P2TR else list(outputs)
        return self._signed(coins, with_change), coins, fee if rest >= DUST_P2TR else fee + rest

    def _choose_for(self, outputs: Sequence[CTxOut], feerate: float) -> tuple[SpendableCoin, ...]:
        """Choose free coins that pay `outputs` and the fee; InsufficientFundsError."""
        fixed = key_path_vsize(0, outputs) + 2  # with very many inputs their number takes two bytes more
        amount = sum(output.nValue for output in outputs) + math.ceil(feerate * fixed)
        return self._choose(amount, math.ceil(feerate * INPUT_VSIZE))

    def _signed(self, coins: Sequence[SpendableCoin], outputs: Sequence[CTxOut]) -> CTransaction:
        inputs = [CTxIn(coin.outpoint, nSequence=SEQUENCE_REPLACEABLE) for coin in coins]
        unsigned = CTransaction(inputs, list(outputs), nVersion=2)
        return sign_key_paths(unsigned, [coin.output for coin in coins], [self.key] * len(coins))


def _sum(coins: Sequence[SpendableCoin]) -> int:
    return sum(coin.output.nValue for coin in coins)


def _name(transaction: CTransaction) -> str:
    """Return the id of a transaction as explorers show it."""
    return txid(transaction)[::-1].hex()


def _owner(recorded: str) -> str:
    """Return the purpose of a recorded transaction, also of one that was replaced."""
    return recorded[_REPLACED_BEGIN:] if recorded.startswith(_REPLACED) else recorded
