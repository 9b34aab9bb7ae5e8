"""The parties of a match: a strategy, a signer, a wallet, each with secrets of its own.

A player reads the chain, asks its pure strategy, signs what that returns and submits it with a child that pays. It may
be told to fall silent at a move, which is how a match shows the timeouts. Where somebody else's transaction already
waits to spend the same output (two challengers slash one bond), it lets that one go first and decides anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bitcoin.core import CTransaction

from bitvm.chain.fees import DUST_P2TR, TRUC_CHILD_LIMIT
from bitvm.chain.interface import Chain, RegtestChain
from bitvm.chain.wallet import Wallet
from bitvm.game.moves import Decision, Move, Wait
from bitvm.game.position import Position
from bitvm.game.responder import Responder
from bitvm.graph.model import ANCHOR
from bitvm.keys.secrets import Secrets
from bitvm.script.weight import vsize
from bitvm.setup.session import SignedGraph

Strategy = Callable[[Position], Mapping[str, Decision]]
"""Decisions by game ("bond" for the prover's own), given a position."""


@dataclass(frozen=True, slots=True)
class Silence:
    """From the move ``template`` on (a name without the game's number) the party does nothing more."""

    party: str
    template: str


@dataclass(frozen=True, slots=True)
class Played:
    """A transaction of the graph that a player submitted, with the child that pays ``fee`` satoshi for both."""

    move: Move
    party: str
    transaction: CTransaction
    child: CTransaction
    fee: int


class Observer(Protocol):
    """Hears what players do."""

    def played(self, played: Played) -> None:
        """A player submitted a transaction."""
        ...

    def silent(self, party: str, move: Move) -> None:
        """A player lets a move pass."""
        ...


@dataclass
class Player:
    """One party of a match.

    feerate: sat/vB of a parent and its child together. silence: where it is to fall silent, if it is. decisions: the
    newest ones.
    """

    party: str
    strategy: Strategy
    signed: SignedGraph
    secrets: Secrets
    wallet: Wallet
    feerate: float
    silence: Silence | None = None
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    has_fallen_silent: bool = False
    _submitted: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make the signer."""
        self._responder = Responder(self.signed, self.secrets)

    def act(self, position: Position, chain: RegtestChain, observer: Observer) -> bool:
        """Make every move that is due, each once; returns whether there was one."""
        moved = False
        self.decisions = self.strategy(position)
        for decision in self.decisions.values():
            if not isinstance(decision, Move) or decision.template in self._submitted:
                continue
            if self._falls_silent(decision):
                observer.silent(self.party, decision)
                self._submitted.add(decision.template)
                continue
            transaction = self._responder.transaction(decision, position)
            if _is_outrun(transaction, chain):
                continue
            played = self._pay_for(decision, transaction)
            chain.submit([transaction, played.child])
            self._submitted.add(decision.template)
            observer.played(played)
            moved = True
        return moved

    def waits(self) -> list[Wait]:
        """Return what the player still waits for; nothing once it has fallen silent."""
        waits = [decision for decision in self.decisions.values() if isinstance(decision, Wait)]
        return [] if self.has_fallen_silent else [wait for wait in waits if not wait.over]

    def _falls_silent(self, move: Move) -> bool:
        if self.silence is not None and move.template.rpartition("/")[2] == self.silence.template:
            self.has_fallen_silent = True
        return self.has_fallen_silent

    def _pay_for(self, move: Move, transaction: CTransaction) -> Played:
        """Build the child; its coin covers the fee of the largest child there can be."""
        anchor = self.signed.graph[move.template].index(ANCHOR)
        coin = self.wallet.reserve(math.ceil(self.feerate * (vsize(transaction) + TRUC_CHILD_LIMIT)) + DUST_P2TR)
        child = self.wallet.fee_child(transaction, anchor, self.feerate, anchor_key=self.secrets.anchor, coin=coin)
        spent = coin.output.nValue + transaction.vout[anchor].nValue
        return Played(move, self.party, transaction, child, spent - child.vout[0].nValue)


def _is_outrun(transaction: CTransaction, chain: Chain) -> bool:
    """Whether something else waits for the next block that spends one of the transaction's inputs."""
    awaited = {txin.prevout for waiting in chain.mempool() for txin in waiting.vin}
    return any(txin.prevout in awaited for txin in transaction.vin)
