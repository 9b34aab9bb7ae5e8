"""Where a set-up stands, folded from the transactions of the graph that the chain holds.

Nothing else is state: a party that lost everything but its seed and its set-up file gets the same position from the
same blocks. What the parties said is read from the witnesses with the objects that wrote them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bitcoin.core import CTransaction

from bitvm.graph.graph import Graph
from bitvm.graph.model import Input, Template
from bitvm.graph.setting import game_name
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.choice import ChoiceLeaf, SignedChoice
from bitvm.leaves.commitment import Commitment, CommitmentLeaf
from bitvm.leaves.step import SignedStep, StepLeaf


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A transaction of the graph in a block: with the witness it was spent with, and the block's height."""

    transaction: CTransaction
    height: int


@dataclass(frozen=True)
class Position:
    """The set-up at ``height``: which templates are confirmed.

    confirmed: by template name.
    """

    graph: Graph
    height: int
    confirmed: Mapping[str, Confirmed]

    @classmethod
    def fold(cls, graph: Graph, height: int, transactions: Iterable[tuple[CTransaction, int]]) -> Position:
        """Build the position at ``height`` from (transaction, height) pairs; transactions of others are passed over."""
        by_txid = graph.by_txid()
        confirmed = {}
        for transaction, found_at in transactions:
            template = by_txid.get(transaction.GetTxid())
            if template is not None:
                confirmed[template.name] = Confirmed(transaction, found_at)
        return cls(graph, height, confirmed)

    def has(self, name: str) -> bool:
        """Whether a template is confirmed."""
        return name in self.confirmed

    def buried(self, name: str) -> bool:
        """Whether ``confirmations`` blocks lie on top of a template's own.

        So it outlives a reorg of ``confirmations`` blocks. One block less, and a miner could put the same transaction
        back with another signed message in its witness, for which the answer is already signed and wrong.
        """
        seen = self.confirmed.get(name)
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
        """Return the confirmed template that spends an output, or None."""
        for name in self.confirmed:
            for spent in self.graph[name].inputs:
                if isinstance(spent, Input) and (spent.source.name, spent.output) == (source, output):
                    return name
        return None

    # ---- what was said

    def claim(self) -> Commitment:
        """Return what Claim shows."""
        return self._commitment("Claim", "claim")

    def reveal(self, number: int, level: int) -> Commitment:
        """Return what Reveal_``level`` of challenger ``number``'s game shows; level 1 is Claim."""
        return self.claim() if level == 1 else self._commitment(game_name(number, f"Reveal_{level}"), "reveal")

    def choice(self, number: int, level: int) -> SignedChoice:
        """Return what Choice_``level`` of challenger ``number``'s game shows."""
        name = game_name(number, f"Choice_{level}")
        leaf = self._leaf(name, "choice")
        if not isinstance(leaf, ChoiceLeaf):
            raise TypeError(f"{name} is not opened by a choice leaf")
        return leaf.decode(self._items(name))

    def step(self, number: int) -> SignedStep:
        """Return what Step of challenger ``number``'s game shows."""
        name = game_name(number, "Step")
        leaf = self._leaf(name, "step")
        if not isinstance(leaf, StepLeaf):
            raise TypeError(f"{name} is not opened by a step leaf")
        return leaf.decode(self._items(name))

    def _commitment(self, name: str, leaf_name: str) -> Commitment:
        leaf = self._leaf(name, leaf_name)
        if not isinstance(leaf, CommitmentLeaf):
            raise TypeError(f"{name} is not opened by a commitment leaf")
        return leaf.decode(self._items(name))

    def _leaf(self, name: str, leaf: str) -> object:
        spent = self.graph[name].inputs[0]
        if not isinstance(spent, Input):
            raise TypeError(f"{name} is not opened by a leaf")
        return spent.leaf(leaf)

    def _items(self, name: str) -> list[bytes]:
        """Return the witness of a confirmed template's first input, below script and control block."""
        seen = self.confirmed.get(name)
        if seen is None:
            raise WitnessError(f"{name} is not confirmed")
        return [bytes(item) for item in seen.transaction.wit.vtxinwit[0].scriptWitness.stack][:-2]
