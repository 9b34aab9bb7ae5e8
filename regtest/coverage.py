"""What played cases have used of the game: kinds of transactions, and families of leaves.

Names lose their game, claim and level (`kind_of`, `family_of`), so that one case at one level stands for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from bitvm.graph.costs import kind_of, reference_graph
from bitvm.graph.model import Input
from bitvm.graph.parameters import Parameters
from bitvm.leaves.proof import ProofLeaf
from lvm.layout import HASH_BYTES
from regtest.costs import family_of
from regtest.matrix import CaseResult


@dataclass(frozen=True, slots=True)
class Coverage:
    """Kinds of transactions and families of leaves: all that exist, and how many cases used each.

    proofs: those of ``families`` by which somebody wins. Everything is in the order of the graph.
    """

    kinds: dict[str, int]
    families: dict[str, int]
    proofs: frozenset[str]

    @property
    def unused_kinds(self) -> tuple[str, ...]:
        """Kinds of transactions that no case played."""
        return tuple(name for name, count in self.kinds.items() if not count)

    @property
    def unused_families(self) -> tuple[str, ...]:
        """Families of leaves that no case used."""
        return tuple(name for name, count in self.families.items() if not count)

    def to_json(self) -> dict[str, Any]:
        """Return counts and what is unused as JSON values."""
        return {
            "transactions": self.kinds,
            "leaves": self.families,
            "unused": {"transactions": list(self.unused_kinds), "leaves": list(self.unused_families)},
        }


@cache
def catalogue() -> tuple[tuple[str, ...], tuple[str, ...], frozenset[str]]:
    """Return all kinds of transactions, all families of leaves, and which of these are proofs.

    Of a set-up that has everything: two claims, two challengers, attesters.
    """
    parameters = Parameters(
        bytes(HASH_BYTES), claims=2, levels=2, width=16, challengers=2, attesters=2, quorum=1, tries=2
    )
    kinds: dict[str, None] = {}
    families: dict[str, None] = {}
    proofs: set[str] = set()
    for template in reference_graph(parameters).templates.values():
        kinds[kind_of(template.name)] = None
        for spent in template.inputs:
            if not isinstance(spent, Input):
                continue
            for name in spent.leaves:
                families[family_of(name)] = None
                if isinstance(spent.leaf(name), ProofLeaf):
                    proofs.add(family_of(name))
    return tuple(kinds), tuple(families), frozenset(proofs)


def covering(results: Iterable[CaseResult]) -> tuple[str, ...]:
    """Return the names of few of the cases that together use all that all of them use, the most telling ones first."""
    used = {
        result.name: {kind_of(name) for name in result.templates} | {family_of(name) for name in result.leaves}
        for result in results
    }
    missing, chosen = set().union(*used.values()), []
    while missing:
        best = max(used, key=lambda name: len(used[name] & missing))
        chosen.append(best)
        missing -= used[best]
    return tuple(chosen)


def coverage(results: Iterable[CaseResult]) -> Coverage:
    """Return what the cases have used."""
    kinds, families, proofs = catalogue()
    used_kinds, used_families = dict.fromkeys(kinds, 0), dict.fromkeys(families, 0)
    for result in results:
        for kind in {kind_of(name) for name in result.templates}:
            used_kinds[kind] += 1
        for family in {family_of(name) for name in result.leaves}:
            used_families[family] += 1
    return Coverage(used_kinds, used_families, proofs)
