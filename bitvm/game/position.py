"""Where a set-up stands, folded from the transactions of the graph that the chain holds.

Nothing else is state: a party that lost everything but its seed and its set-up file gets the same position from the
same blocks. What the parties said is read from the witnesses with the objects that wrote them.

A position looks at one claim of the set-up (``slot``, see ``at_claim``); names are those of that claim's transactions
without the claim's suffix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar, cast

from bitcoin.core import CTransaction

from bitvm.game.hearing import said_of
from bitvm.graph.graph import Graph
from bitvm.graph.model import Coin, Input, Template
from bitvm.graph.setting import game_name
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.choice import ChoiceLeaf, SignedChoice
from bitvm.leaves.claim import ClaimLeaf
from bitvm.leaves.commitment import Commitment, CommitmentLeaf
from bitvm.leaves.message import MessageLeaf
from bitvm.leaves.proof import Said
from bitvm.leaves.statement import StatementError
from bitvm.leaves.step import SignedStep, StepLeaf
from bitvm.script.onetime import OneTimeError, Signature
from bitvm.script.taproot import TaprootError

DecodedT = TypeVar("DecodedT")

AFTER_STEP = ("Ask", "Path", "Descend", "Inside", "Narrow", "Close")
"""Messages after Step, in the order of play."""

SIDE = ("Outline", "Pick", "Detail")
"""Messages of the side path of a level."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A transaction of the graph in a block: with the witness it was spent with, and the block's height."""

    transaction: CTransaction
    height: int


@dataclass(frozen=True)
class Position:
    """The set-up at ``height``: which templates are confirmed.

    confirmed: by the template's full name. slot: the claim that is looked at, from 1. read: what witnesses were found
    to say, by transaction and witness, so that a signature is verified once however often somebody asks.
    """

    graph: Graph
    height: int
    confirmed: Mapping[str, Confirmed]
    slot: int = 1
    read: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fold(
        cls,
        graph: Graph,
        height: int,
        transactions: Iterable[tuple[CTransaction, int]],
        before: Position | None = None,
    ) -> Position:
        """Build the position at ``height`` from (transaction, height) pairs; transactions of others are passed over.

        before: an earlier position of this graph; what was read there is not read again.
        """
        by_txid = graph.by_txid()
        confirmed = {}
        for transaction, found_at in transactions:
            template = by_txid.get(transaction.GetTxid())
            if template is not None:
                confirmed[template.name] = Confirmed(transaction, found_at)
        return cls(graph, height, confirmed, read={} if before is None else before.read)

    def at_claim(self, slot: int) -> Position:
        """Return the same position, looking at another claim."""
        return replace(self, slot=slot)

    def template(self, name: str) -> Template:
        """Return a template of this claim by its plain name; raises GraphError."""
        return self.graph.claim(self.slot)[name]

    def seen(self, name: str) -> Confirmed | None:
        """Return a template of this claim as it was confirmed, None if it was not."""
        return self.confirmed.get(self.template(name).name)

    def has(self, name: str) -> bool:
        """Whether a template of this claim is confirmed."""
        return self.seen(name) is not None

    def height_of(self, name: str) -> int:
        """Return the height of a confirmed template of this claim; raises WitnessError where it is not confirmed."""
        seen = self.seen(name)
        if seen is None:
            raise WitnessError(f"{name} is not confirmed")
        return seen.height

    def buried(self, name: str) -> bool:
        """Whether ``confirmations`` blocks lie on top of a template's own.

        So it outlives a reorg of ``confirmations`` blocks. One block less, and a miner could put the same transaction
        back with another signed message in its witness, for which the answer is already signed and wrong.
        """
        seen = self.seen(name)
        return seen is not None and self.height - seen.height >= self.graph.setting.parameters.confirmations

    def unlocked(self, template: Template) -> bool:
        """Whether the next block may hold ``template``: its inputs are confirmed and their relative locks have run."""
        return self.unlock_height(template) is not None and self.height + 1 >= (self.unlock_height(template) or 0)

    def unlock_height(self, template: Template) -> int | None:
        """Return the first height at which a block may hold ``template``; None while an input is not confirmed."""
        heights = [self.height + 1]
        for spent in template.inputs:
            if not isinstance(spent, Input):
                continue
            source = self.confirmed.get(spent.source.name)
            if source is None:
                return None
            locked = spent.sequence if spent.sequence < 2**16 else 0
            heights.append(source.height + locked)
        return max(heights)

    def spent_by(self, source: str, output: str) -> str | None:
        """Return the plain name of the confirmed template that spends an output of this claim, or None."""
        spender = self._spenders.get((self.template(source).name, output))
        return None if spender is None else spender.plain

    def open(self, source: str, output: str) -> bool:
        """Whether an output of this claim is confirmed and no template has spent it."""
        return self.has(source) and self.spent_by(source, output) is None

    def is_spent(self, spent: Input | Coin) -> bool:
        """Whether a confirmed template spends the output of the graph that ``spent`` spends."""
        return isinstance(spent, Input) and (spent.source.name, spent.output) in self._spenders

    @cached_property
    def _spenders(self) -> Mapping[tuple[str, str], Template]:
        return {
            (spent.source.name, spent.output): self.graph[name]
            for name in self.confirmed
            for spent in self.graph[name].inputs
            if isinstance(spent, Input)
        }

    # ---- what was said

    def claim(self) -> Commitment:
        """Return what Claim shows."""
        return self._decoded("Claim", _claim)

    def reveal(self, number: int, level: int) -> Commitment:
        """Return what Reveal_``level`` of challenger ``number``'s game shows; level 1 is Claim."""
        return self.claim() if level == 1 else self._commitment(game_name(number, f"Reveal_{level}"))

    def choice(self, number: int, level: int) -> SignedChoice:
        """Return what Choice_``level`` of challenger ``number``'s game shows."""
        return self._decoded(game_name(number, f"Choice_{level}"), _choice)

    def step(self, number: int) -> SignedStep:
        """Return what Step of challenger ``number``'s game shows."""
        return self._decoded(game_name(number, "Step"), _step)

    def message(self, number: int, transaction: str) -> Mapping[str, Signature]:
        """Return what the mover of a message of challenger ``number``'s game signed in it, by key path."""
        return self._decoded(game_name(number, transaction), _message)

    def heard(self, number: int) -> Mapping[str, Signature]:
        """Return all that both parties signed in challenger ``number``'s game and before it, by key path.

        Raises WitnessError where something cannot be read.
        """
        levels = range(1, self.graph.setting.parameters.levels + 1)
        found = {f"Claim/{name}": signature for name, signature in self.claim().signatures.items()}
        if self.slot > 1:
            found["Before/final_root"] = self.at_claim(self.slot - 1).claim().signatures["final_root"]
        for level in levels:
            if self.has(game_name(number, f"Choice_{level}")):
                found[f"Choice_{level}/digit"] = self.choice(number, level).signature
            if level > 1 and self.has(game_name(number, f"Reveal_{level}")):
                found[f"Reveal_{level}/trace_root"] = self.reveal(number, level).signatures["trace_root"]
        if self.has(game_name(number, "Step")):
            found |= {f"Step/{name}": signature for name, signature in self.step(number).signatures.items()}
        for transaction in (*(f"{name}_{level}" for name in SIDE for level in levels), *AFTER_STEP):
            if self.has(game_name(number, transaction)):
                found |= self.message(number, transaction)
        return found

    def said(self, number: int) -> Said:
        """Return what both parties said in challenger ``number``'s game; raises WitnessError."""
        setting = self.graph.setting
        heard = self.heard(number)
        key = ("said", self.slot, number, tuple(heard.items()))
        if key not in self.read:
            public = setting.game_public(self.slot, number)
            try:
                self.read[key] = said_of(heard, public, setting.parameters.width)
            except (OneTimeError, StatementError) as error:
                raise WitnessError(f"game {number}: {error}") from error
        return cast(Said, self.read[key])

    def _commitment(self, name: str) -> Commitment:
        return self._decoded(name, _commitment)

    def _decoded(self, name: str, decode: Callable[[object, list[bytes]], DecodedT]) -> DecodedT:
        """Return what a confirmed template's first input shows, read once for every witness."""
        stack = tuple(self._stack(name))
        key = (decode, self.slot, name, *stack)
        if key not in self.read:
            self.read[key] = decode(*self._opened(name))
        return cast(DecodedT, self.read[key])

    def _opened(self, name: str) -> tuple[object, list[bytes]]:
        """Return the leaf through which a confirmed template spends its first input, and the items shown to it."""
        stack = self._stack(name)
        spent = self.template(name).inputs[0]
        tree = spent.source.output(spent.output).tree if isinstance(spent, Input) else None
        if tree is None or not isinstance(spent, Input):
            raise TypeError(f"{name} is not opened by a leaf")
        try:
            leaf, items = tree.read_witness(stack)
        except TaprootError as error:
            raise WitnessError(f"{name}: {error}") from error
        return spent.leaf(leaf.name), items

    def _stack(self, name: str) -> list[bytes]:
        """Return the witness of a confirmed template's first input."""
        seen = self.seen(name)
        if seen is None:
            raise WitnessError(f"{name} is not confirmed")
        return [bytes(item) for item in seen.transaction.wit.vtxinwit[0].scriptWitness.stack]


# ---- what a leaf shows, of the kind that its transaction has


def _claim(leaf: object, items: list[bytes]) -> Commitment:
    if isinstance(leaf, ClaimLeaf | CommitmentLeaf):
        return leaf.decode(items)
    raise TypeError("Claim is not opened by a claim leaf")


def _commitment(leaf: object, items: list[bytes]) -> Commitment:
    if isinstance(leaf, CommitmentLeaf):
        return leaf.decode(items)
    raise TypeError("Reveal is not opened by a commitment leaf")


def _choice(leaf: object, items: list[bytes]) -> SignedChoice:
    if isinstance(leaf, ChoiceLeaf):
        return leaf.decode(items)
    raise TypeError("Choice is not opened by a choice leaf")


def _step(leaf: object, items: list[bytes]) -> SignedStep:
    if isinstance(leaf, StepLeaf):
        return leaf.decode(items)
    raise TypeError("Step is not opened by a step leaf")


def _message(leaf: object, items: list[bytes]) -> Mapping[str, Signature]:
    """Return what the mover of a message signed in it, by key path."""
    if isinstance(leaf, MessageLeaf):
        signatures = leaf.decode(items)
        return {path: signatures[path] for path in leaf.message.own}
    raise TypeError("a message is not opened by a message leaf")
