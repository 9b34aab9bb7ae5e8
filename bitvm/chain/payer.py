"""Gets a signed transaction confirmed before its deadline: makes, sends, resends and replaces the child that pays.

`Payer.deliver` is called for every wanted transaction on every tick and does what is missing, if anything. A parent
that does not wait in the node's mempool (evicted, or the node was restarted) is sent again with the same child. A child
that pays too little for the time that is left is replaced by a dearer one, from the same coin or a larger one. A child
is recorded in the purse before it is sent, so a process that is killed in between sends the same bytes again.

Before anything is sent for the first time it is checked here: every script under Bitcoin Core's consensus engine, the
size that TRUC allows, that the coin is confirmed and unspent, that the fee is within the budget. What the node refuses
nevertheless is a value, `REFUSED`, with the node's words. A node that does not answer raises NodeUnreachableError.

A parent of version 3 pays nothing, and its child pays for both. One of version 2 pays a fee of its own, which is
counted, and is sent alone if there is no coin for a child. A transaction without anchor is sent as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from bitcoin.core import COutPoint, CTransaction, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.bidding import Bid, bid
from bitvm.chain.fees import (
    DUST_P2TR,
    INCREMENTAL_FEERATE,
    TRUC_PARENT_LIMIT,
    TRUC_VERSION,
    fee_child,
    key_path_vsize,
)
from bitvm.chain.interface import Rejected
from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.chain.purse import Purse, Recorded
from bitvm.chain.purse_form import InsufficientFundsError
from bitvm.chain.remote import RemoteNode
from bitvm.script.engine import failing_input
from bitvm.script.weight import txid, vsize

CHILD_VSIZE = key_path_vsize(2, [CTxOut(0, CScript(bytes(34)))])
"""A child spends anchor and coin, and has one output; far below TRUC's limit of 1,000 vB."""

RELAYED_EVERYWHERE = 1.0
"""The first bid is not below this, though our node may relay less: many nodes do not."""

NO_HURRY = 144
"""Blocks within which an order without a deadline should be confirmed."""


class DeliveryState(StrEnum):
    """How an order stands."""

    SENT = "sent"
    """Sent now, for the first time or again."""

    WAITING = "waiting"
    """In the mempool at a good price."""

    CONFIRMED = "confirmed"
    """In a block."""

    REPLACED = "replaced"
    """Sent now with a dearer child than before."""

    OUTRUN = "outrun"
    """A comrade's transaction that spends the same outputs waits and pays enough, and there is time to see it end."""

    REFUSED = "refused"
    """The node, or the check before it, refuses it."""

    UNPAID = "unpaid"
    """No coin is large enough for the fee; what was sent before still stands."""

    OVER_BUDGET = "over budget"
    """What is relayed costs more than the order may."""


@dataclass(frozen=True, slots=True)
class Order:
    """A transaction that should be confirmed.

    purpose: unique, and the same for the same transaction. transaction: signed. anchor_index, anchor_key: the output
    whose spend pays, and its key; None where the transaction pays for itself. spent: the outputs that it spends.
    since: height at which it was wanted first. deadline: height from which the opponent can make its absence count;
    None if there is no hurry. budget: satoshi, at most, that transaction and child pay. comrades: ids of transactions
    that spend the same outputs and serve the same end. Below the height ``yields_below`` the order gives way to one of
    them that waits and pays what it would pay itself: a bidding war would serve the miners alone. Whatever else
    waits in its place is outbid, and so is a comrade that pays too little to be mined or comes too late.
    """

    purpose: str
    transaction: CTransaction
    anchor_index: int | None
    anchor_key: TaprootKey | None
    spent: Sequence[CTxOut]
    since: int
    deadline: int | None
    budget: int
    comrades: frozenset[bytes] = frozenset()
    yields_below: float = math.inf

    @property
    def own_fee(self) -> int:
        """What the transaction pays without its child."""
        paid = sum(output.nValue for output in self.transaction.vout)
        return int(sum(output.nValue for output in self.spent) - paid)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What `deliver` found or did; `feerate` of transaction and child together, `fee` and id of the newest child."""

    state: DeliveryState
    feerate: float
    fee: int
    child: bytes | None
    text: str


class _CannotPayError(Exception):
    """No child that is worth sending; `state` and message say why."""

    def __init__(self, state: DeliveryState, text: str) -> None:
        super().__init__(text)
        self.state = state


class Payer:
    """Delivers orders to `node` with coins of `purse`; used by one thread at a time."""

    def __init__(self, node: RemoteNode, purse: Purse, *, max_feerate: float = math.inf) -> None:
        """Ask nothing yet. max_feerate: what is never exceeded, in satoshi a virtual byte, whatever a budget allows."""
        self._node, self._purse, self._max_feerate = node, purse, max_feerate
        self._market: tuple[int, dict[int, float]] = (-1, {})

    def deliver(self, order: Order, height: int) -> Delivery:
        """Do what is missing for `order`; `height` is the node's tip. Raises ChainError if the node is not there."""
        waits = self._waits(order.transaction)
        if not waits and self._is_confirmed(order.transaction):
            return self._told(order, DeliveryState.CONFIRMED, "confirmed")
        rivals = [] if waits else self._rivals(order)
        if rivals and self._gives_way(order, rivals, height):
            text = f"{rivals[0][::-1].hex()} waits, which spends the same outputs"
            return self._told(order, DeliveryState.OUTRUN, text)
        if order.anchor_index is None:
            return self._deliver_alone(order, DeliveryState.SENT, "sent; it pays for itself", waits=waits)
        recorded = self._purse.recorded(order.purpose)
        if recorded is not None and not self._is_sound(order, recorded):
            recorded = None
        floor = max(self._node.minimum_feerate(), self._outbidding(order, rivals))
        offer = self._offer(order, recorded, floor, height)
        if recorded is not None and not offer.replaces:
            return self._keep(order, recorded, waits=waits)
        try:
            child, fee, coin, remark = self._child(order, offer, recorded, floor)
            self._check(order, child, coin, waits=waits)
        except _CannotPayError as error:
            return self._unpaid(order, recorded, error, waits=waits)
        self._purse.record(order.purpose, child, fee)
        state = DeliveryState.SENT if recorded is None else DeliveryState.REPLACED
        return self._submit(order, [order.transaction, child], state, remark)

    def settle(self, purpose: str) -> None:
        """Free the coins of an order that is buried, or can never be confirmed any more."""
        self._purse.release(purpose)

    def purposes(self, prefix: str = "") -> tuple[str, ...]:
        """The purposes beginning with `prefix` that hold coins or have a child."""
        return self._purse.purposes(prefix)

    # ---- what is there

    def _waits(self, transaction: CTransaction) -> bool:
        return self._node.mempool_entry(txid(transaction)) is not None

    def _is_confirmed(self, transaction: CTransaction) -> bool:
        """Whether an output of the transaction is a confirmed coin."""
        outpoints = (COutPoint(txid(transaction), n) for n in range(len(transaction.vout)))
        return any(self._node.coin(each, include_mempool=False) is not None for each in outpoints)

    def _rivals(self, order: Order) -> list[bytes]:
        """Ids of other waiting transactions that spend the same outputs."""
        spenders = self._node.mempool_spenders([txin.prevout for txin in order.transaction.vin])
        return sorted(set(spenders.values()))

    def _gives_way(self, order: Order, rivals: Sequence[bytes], height: int) -> bool:
        """Whether comrades alone wait in the order's place, early enough, and pay what it would pay without them."""
        if height >= order.yields_below or not order.comrades.issuperset(rivals):
            return False
        offer = self._offer(order, None, self._node.minimum_feerate(), height).feerate
        entries = [self._node.mempool_entry(rival) for rival in rivals]
        return all(entry and entry.descendants_fee / entry.descendants_vsize >= offer for entry in entries)

    def _is_sound(self, order: Order, recorded: Recorded) -> bool:
        """Whether the recorded child spends this order's anchor, and a coin that still exists."""
        spent = [txin.prevout for txin in recorded.transaction.vin]
        others = [outpoint for outpoint in spent if outpoint != _anchor(order)]
        return len(others) + 1 == len(spent) and all(
            self._node.coin(each, include_mempool=False) is not None for each in others
        )

    def _told(self, order: Order, state: DeliveryState, text: str) -> Delivery:
        """Make a delivery about the child that is recorded now."""
        recorded = None if order.anchor_index is None else self._purse.recorded(order.purpose)
        if recorded is None:
            return Delivery(state, order.own_fee / vsize(order.transaction), 0, None, text)
        return Delivery(state, _feerate(order, recorded.fee), recorded.fee, txid(recorded.transaction), text)

    # ---- prices

    def _offer(self, order: Order, recorded: Recorded | None, floor: float, height: int) -> Bid:
        left = None if order.deadline is None else max(order.deadline - height, 0)
        return bid(
            market=self._market_feerate(NO_HURRY if left is None else max(left // 2, 1), height),
            minimum=floor,
            elapsed=max(height - order.since, 0),
            left=left,
            highest=self._budget(order) / _package_vsize(order),
            last=None if recorded is None else _feerate(order, recorded.fee),
        )

    def _budget(self, order: Order) -> int:
        """Return what transaction and child may pay: the order's budget, within the highest feerate there is."""
        return math.floor(min(order.budget, self._max_feerate * _package_vsize(order)))

    def _market_feerate(self, blocks: int, height: int) -> float:
        """What confirms within `blocks` blocks, asked once a block."""
        if self._market[0] != height:
            self._market = (height, {})
        known = self._market[1]
        if blocks not in known:
            known[blocks] = max(self._node.market_feerate(blocks), RELAYED_EVERYWHERE)
        return known[blocks]

    def _outbidding(self, order: Order, rivals: Sequence[bytes]) -> float:
        """The feerate that replaces `rivals` and what spends from them: dearer a byte, and it pays for itself."""
        entries = [entry for entry in map(self._node.mempool_entry, rivals) if entry is not None]
        if not entries:
            return 0.0
        size = _package_vsize(order)
        fees = sum(entry.descendants_fee for entry in entries) + INCREMENTAL_FEERATE * size
        dearest = max(max(each.fee / each.vsize, each.descendants_fee / each.descendants_vsize) for each in entries)
        return max(fees / size, dearest + INCREMENTAL_FEERATE)

    # ---- sending

    def _keep(self, order: Order, recorded: Recorded, *, waits: bool) -> Delivery:
        """Leave a child that pays enough where it is, or send it again."""
        if waits and self._waits(recorded.transaction):
            return self._told(order, DeliveryState.WAITING, "waits")
        return self._submit(order, [order.transaction, recorded.transaction], DeliveryState.SENT, "sent again")

    def _submit(self, order: Order, package: Sequence[CTransaction], sent: DeliveryState, text: str) -> Delivery:
        try:
            self._node.submit(package)
        except Rejected as error:
            return self._told(order, DeliveryState.REFUSED, f"the node refuses {error}")
        return self._told(order, sent, text)

    def _deliver_alone(self, order: Order, sent: DeliveryState, text: str, *, waits: bool) -> Delivery:
        """Send the transaction without a child, unless it waits."""
        if waits:
            return self._told(order, DeliveryState.WAITING if sent is DeliveryState.SENT else sent, text)
        if failing_input(order.transaction, order.spent) is not None:
            return self._told(order, DeliveryState.REFUSED, _bad_script("transaction", order.transaction, order.spent))
        return self._submit(order, [order.transaction], sent, text)

    def _unpaid(self, order: Order, recorded: Recorded | None, error: _CannotPayError, *, waits: bool) -> Delivery:
        """Do what can be done without a new child: what was sent before, or a parent that pays for itself."""
        if recorded is not None:
            kept = self._keep(order, recorded, waits=waits)
            as_dear_as_may_be = error.state is DeliveryState.OVER_BUDGET and kept.state is DeliveryState.WAITING
            return kept if as_dear_as_may_be else self._told(order, error.state, str(error))
        if order.own_fee > 0 and error.state is not DeliveryState.REFUSED:
            return self._deliver_alone(order, error.state, f"{error}; sent without a child", waits=waits)
        return self._told(order, error.state, str(error))

    # ---- children

    def _child(
        self, order: Order, offer: Bid, recorded: Recorded | None, floor: float
    ) -> tuple[CTransaction, int, SpendableCoin, str]:
        """Make the child that brings the order to the offered feerate, or as near as the coins go.

        Returns it with its fee, its coin and a remark.
        """
        assert order.anchor_index is not None
        assert order.anchor_key is not None
        size = _package_vsize(order)
        least = math.ceil(max(floor * size - order.own_fee, floor * CHILD_VSIZE))
        if recorded is not None:
            least = max(least, recorded.fee + INCREMENTAL_FEERATE * CHILD_VSIZE)
        budget = self._budget(order)
        most = budget - order.own_fee
        if least > most:
            text = f"the child would have to pay {least} sat, and the budget of {budget} sat leaves {most} sat"
            raise _CannotPayError(DeliveryState.OVER_BUDGET, text)
        wanted = min(max(math.ceil(offer.feerate * size - order.own_fee), least), most)
        overhead = DUST_P2TR - order.transaction.vout[order.anchor_index].nValue
        try:
            coin, fee = self._coin(order.purpose, wanted, least, overhead)
        except InsufficientFundsError as error:
            raise _CannotPayError(DeliveryState.UNPAID, f"the wallet cannot pay a child: {error}") from error
        # `fee_child` rounds up: half a satoshi less makes it exactly this fee
        child = fee_child(order.transaction, order.anchor_index, order.anchor_key, coin, (fee - 0.5) / size)
        remark = "sent" if fee == wanted else f"sent with {fee} sat in place of {wanted}: no coin is larger"
        return child, fee, coin, remark

    def _coin(self, purpose: str, wanted: int, least: int, overhead: int) -> tuple[SpendableCoin, int]:
        """Reserve a coin for a fee of `wanted`, or the largest if it reaches for `least`; with the fee it can pay."""
        try:
            return self._purse.reserve(purpose, wanted + overhead), wanted
        except InsufficientFundsError:
            held = [each.coin.output.nValue for each in self._purse.reserved() if each.purpose == purpose]
            largest = max([*held, *(coin.output.nValue for coin in self._purse.coins())], default=0)
            coin = self._purse.reserve(purpose, max(least + overhead, largest))
            return coin, min(wanted, coin.output.nValue - overhead)

    def _check(self, order: Order, child: CTransaction, coin: SpendableCoin, *, waits: bool) -> None:
        """Judge a package before it is sent for the first time; raises _CannotPayError."""
        parent, refused = order.transaction, DeliveryState.REFUSED
        assert order.anchor_index is not None
        if not waits and failing_input(parent, order.spent) is not None:
            raise _CannotPayError(refused, _bad_script("transaction", parent, order.spent))
        spent_by_child = [parent.vout[order.anchor_index], coin.output]
        if failing_input(child, spent_by_child) is not None:
            raise _CannotPayError(refused, _bad_script("child", child, spent_by_child))
        if parent.nVersion == TRUC_VERSION and vsize(parent) > TRUC_PARENT_LIMIT:
            raise _CannotPayError(refused, f"version 3, but {vsize(parent)} vB: more than {TRUC_PARENT_LIMIT}")
        unspent = self._node.coin(coin.outpoint, include_mempool=False)
        if unspent is None or unspent.output != coin.output:
            text = f"the wallet's coin {coin.outpoint.hash[::-1].hex()}:{coin.outpoint.n} is gone; refresh the wallet"
            raise _CannotPayError(DeliveryState.UNPAID, text)
        anchor = _anchor(order)
        spenders = self._node.mempool_spenders([anchor, coin.outpoint])
        if coin.outpoint in spenders and spenders.get(anchor) != spenders[coin.outpoint]:
            text = f"{spenders[coin.outpoint][::-1].hex()} waits and spends the wallet's coin for another purpose"
            raise _CannotPayError(DeliveryState.UNPAID, text)


def _anchor(order: Order) -> COutPoint:
    return COutPoint(txid(order.transaction), order.anchor_index)


def _package_vsize(order: Order) -> int:
    return vsize(order.transaction) + CHILD_VSIZE


def _feerate(order: Order, child_fee: int) -> float:
    """The feerate of transaction and child together."""
    return (order.own_fee + child_fee) / _package_vsize(order)


def _bad_script(what: str, transaction: CTransaction, spent: Sequence[CTxOut]) -> str:
    return f"{what} {txid(transaction)[::-1].hex()}: the script of input {failing_input(transaction, spent)} fails"
