"""A key-path Taproot wallet on one key, for stakes, bonds and fees.

The wallet sees its coins in the blocks of a chain and follows reorganisations. It spends confirmed, mature coins
only: a version 3 child may have no unconfirmed parent but the one it pays for. A coin handed out is reserved until
it is spent on the chain or released, so two payments never use the same one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.blocks import COINBASE_MATURITY
from bitvm.chain.fees import DUST_P2TR, SEQUENCE_REPLACEABLE, fee_child, key_path_vsize, sign_key_paths
from bitvm.chain.interface import Chain
from bitvm.chain.keys import SpendableCoin, TaprootKey, address
from bitvm.script.weight import txid, vsize


class InsufficientFundsError(Exception):
    """The confirmed, unreserved coins do not reach; the message gives both amounts in satoshi."""


@dataclass(frozen=True, slots=True)
class _WalletCoin:
    coin: SpendableCoin
    spendable_from: int  # height of the first block that may spend it


@dataclass(frozen=True, slots=True)
class _ScannedBlock:
    """What one block did to the wallet, so that it can be undone."""

    identity: bytes  # the coinbase's id: no two blocks have the same
    received: list[COutPoint] = field(default_factory=list)
    spent: list[_WalletCoin] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _PaidParent:
    """The coin that pays for a parent, and the fee of its newest child."""

    coin: SpendableCoin
    fee: int


class Wallet:
    """Coins of one `TaprootKey` on one chain."""

    def __init__(self, chain: Chain, key: TaprootKey) -> None:
        """Scan nothing yet; the first question about coins reads the chain."""
        self._chain = chain
        self.key = key
        self._scanned: list[_ScannedBlock] = []
        self._coins: dict[COutPoint, _WalletCoin] = {}
        self._reserved: set[COutPoint] = set()
        self._paid_parents: dict[bytes, _PaidParent] = {}

    @property
    def script_pubkey(self) -> bytes:
        """Where the wallet receives."""
        return self.key.script_pubkey

    @property
    def address(self) -> str:
        """The same as a regtest address."""
        return address(self.script_pubkey)

    def coins(self) -> tuple[SpendableCoin, ...]:
        """Confirmed, mature coins, neither reserved nor spent by a waiting transaction; largest first."""
        self._scan()
        pending = {txin.prevout for tx in self._chain.mempool() for txin in tx.vin}
        next_height = self._chain.height() + 1
        free = (
            held.coin
            for outpoint, held in self._coins.items()
            if held.spendable_from <= next_height and outpoint not in self._reserved and outpoint not in pending
        )
        return tuple(sorted(free, key=lambda coin: coin.output.nValue, reverse=True))

    def balance(self) -> int:
        """Sum of `coins()` in satoshi."""
        return sum(coin.output.nValue for coin in self.coins())

    def reserve(self, amount: int) -> SpendableCoin:
        """Reserve the smallest coin of at least `amount` satoshi, or InsufficientFundsError."""
        coins = self.coins()
        large_enough = [coin for coin in coins if coin.output.nValue >= amount]
        if not large_enough:
            largest = coins[0].output.nValue if coins else 0
            raise InsufficientFundsError(f"no single coin of {amount} sat; the largest free one has {largest}")
        self._reserved.add(large_enough[-1].outpoint)
        return large_enough[-1]

    def release(self, coin: SpendableCoin) -> None:
        """Give a reserved coin back."""
        self._reserved.discard(coin.outpoint)

    def pay(self, script_pubkey: bytes, amount: int, feerate: float) -> CTransaction:
        """Build and sign a payment: output 0 to `script_pubkey`, output 1 the change if worth an output.

        `feerate` is in sat/vB. The coins used stay reserved; `release` them if the transaction is never sent.
        """
        payment, change = CTxOut(amount, CScript(script_pubkey)), CTxOut(0, CScript(self.script_pubkey))
        chosen: list[SpendableCoin] = []
        total = 0
        for coin in self.coins():
            chosen.append(coin)
            total += coin.output.nValue
            rest = total - amount - math.ceil(feerate * key_path_vsize(len(chosen), [payment, change]))
            if rest >= 0:
                change = CTxOut(rest, change.scriptPubKey)
                self._reserved.update(each.outpoint for each in chosen)
                return self._sign(chosen, [payment, change] if rest >= DUST_P2TR else [payment])
        raise InsufficientFundsError(f"{amount} sat and a fee, but the free coins hold {total}")

    def fee_child(
        self,
        parent: CTransaction,
        anchor_index: int,
        feerate: float,
        *,
        anchor_key: TaprootKey | None = None,
        coin: SpendableCoin | None = None,
    ) -> CTransaction:
        """Build the child that pays for `parent` (see `fees.fee_child`) from `coin` or one reserved now.

        `anchor_key` is the wallet's own key by default. Asked again for the same parent, the wallet uses the same
        coin and pays at least what replacing the earlier child takes.
        """
        key = anchor_key or self.key
        parent_txid = txid(parent)
        earlier = self._paid_parents.get(parent_txid)
        if earlier is not None:
            coin = earlier.coin
        if coin is None:
            child_size = key_path_vsize(2, [CTxOut(0, CScript(self.script_pubkey))])
            coin = self.reserve(math.ceil(feerate * (vsize(parent) + child_size)) + DUST_P2TR)
        replaced_fee = earlier.fee if earlier else 0
        child = fee_child(parent, anchor_index, key, coin, feerate, replaced_fee=replaced_fee)
        fee = coin.output.nValue + parent.vout[anchor_index].nValue - child.vout[0].nValue
        self._reserved.add(coin.outpoint)
        self._paid_parents[parent_txid] = _PaidParent(coin, fee)
        return child

    def _sign(self, coins: Sequence[SpendableCoin], outputs: Sequence[CTxOut]) -> CTransaction:
        inputs = [CTxIn(coin.outpoint, nSequence=SEQUENCE_REPLACEABLE) for coin in coins]
        unsigned = CTransaction(inputs, outputs, nVersion=2)
        return sign_key_paths(unsigned, [coin.output for coin in coins], [coin.key for coin in coins])

    def _scan(self) -> None:
        height = self._chain.height()
        while self._scanned and not self._is_active(len(self._scanned) - 1, height):
            self._undo(self._scanned.pop())
        for next_height in range(len(self._scanned), height + 1):
            self._scanned.append(self._apply(next_height))

    def _is_active(self, scanned_height: int, height: int) -> bool:
        if scanned_height > height:
            return False
        identity = txid(self._chain.block_transactions(scanned_height)[0])
        return bool(identity == self._scanned[scanned_height].identity)

    def _apply(self, height: int) -> _ScannedBlock:
        transactions = self._chain.block_transactions(height)
        block = _ScannedBlock(txid(transactions[0]))
        for tx in transactions:
            for txin in tx.vin:
                if txin.prevout in self._coins:
                    block.spent.append(self._coins.pop(txin.prevout))
                    self._reserved.discard(txin.prevout)
            mine = [n for n, output in enumerate(tx.vout) if bytes(output.scriptPubKey) == self.script_pubkey]
            for n in mine:
                outpoint = COutPoint(txid(tx), n)
                spendable_from = height + (COINBASE_MATURITY if tx.is_coinbase() else 1)
                self._coins[outpoint] = _WalletCoin(SpendableCoin(outpoint, tx.vout[n], self.key), spendable_from)
                block.received.append(outpoint)
        return block

    def _undo(self, block: _ScannedBlock) -> None:
        for held in block.spent:
            self._coins[held.coin.outpoint] = held
        for outpoint in block.received:
            self._coins.pop(outpoint, None)
