"""Exact costs without a run: the weight of every transaction and leaf, and of whole scenarios.

The graph is the real one, built from real keys; every witness is given the largest size each of its items can have.
An index of zero is an empty item, so a played transaction may be a few weight units smaller, never larger.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitvm.graph.costs import ScenarioCost, reference_graph, scenarios_of
from bitvm.graph.graph import Graph
from bitvm.graph.model import Input, Template
from bitvm.graph.parameters import Parameters
from bitvm.script.weight import witness_weight
from lvm.layout import HASH_BYTES

TARGETS: Mapping[str, int] = {
    "honest_claim_attested": 5_000,
    "execution_lie": 18_000,
    "read_lie": 19_000,
    "worst_case": 110_000,
}
"""Virtual bytes that a scenario of five levels must not exceed."""

PRE_SIGNED_LIMIT = 10_000
"""Virtual bytes that a pre-signed transaction stays below: version 3 allows no more (BIP431)."""


@dataclass(frozen=True, slots=True)
class LeafCost:
    """A leaf: the bytes of its script, and the weight of the whole witness that spends through it, at most."""

    script_bytes: int
    weight: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Transactions by name as (vsize, weight), with who broadcasts them; leaves and scenarios by name."""

    transactions: Mapping[str, tuple[int, int]]
    movers: Mapping[str, str]
    leaves: Mapping[str, LeafCost]
    scenarios: Mapping[str, ScenarioCost]

    def to_json(self) -> dict[str, Any]:
        """Return ``transactions``, ``leaves`` and ``scenarios`` as JSON values."""
        return {
            "transactions": [
                {"name": name, "vsize": vsize, "weight": weight} for name, (vsize, weight) in self.transactions.items()
            ],
            "leaves": {
                name: {"script_bytes": leaf.script_bytes, "weight": leaf.weight} for name, leaf in self.leaves.items()
            },
            "scenarios": {
                name: {"vsize": cost.vsize, "transactions": cost.transactions, "vbytes": dict(cost.vbytes)}
                for name, cost in self.scenarios.items()
            },
        }


# ---- names


def family_of(leaf: str) -> str:
    """Return the family of a leaf: the first two parts of its name without levels and other numbers.

    ``compare.left.outline_3_2`` is of ``compare.left``, ``place.left_1`` of ``place.left``, ``entry.0.right`` of
    ``entry``, ``claim.0.1-2`` of ``claim``.
    """
    parts = [re.sub(r"_\d.*$", "", part) for part in leaf.split(".")[:2]]
    return ".".join(part for part in parts if not part[0].isdigit())


# ---- costs


def costs(levels: int = 5) -> Costs:
    """Return all costs of a game of ``levels`` levels between a prover and one challenger; raises ParameterError."""
    return costs_of(reference_graph(Parameters(bytes(HASH_BYTES), levels=levels)))


def costs_of(graph: Graph) -> Costs:
    """Return all costs of a graph; scenarios are those of the first game on the first claim."""
    transactions = {name: (template.vsize(), template.weight()) for name, template in graph.templates.items()}
    movers = {name: template.mover for name, template in graph.templates.items()}
    return Costs(transactions, movers, _leaves(graph), scenarios_of(graph))


def _leaves(graph: Graph) -> dict[str, LeafCost]:
    """Return every leaf once; those that differ between places (``reveal`` and its like do not) by their largest."""
    found: dict[str, LeafCost] = {}
    for template in graph.templates.values():
        for index, spent in enumerate(template.inputs):
            if not isinstance(spent, Input):
                continue
            for name in spent.leaves:
                cost = _leaf_cost(template, index, name)
                if name not in found or found[name].weight < cost.weight:
                    found[name] = cost
    return found


def _leaf_cost(template: Template, index: int, name: str) -> LeafCost:
    spent = template.inputs[index]
    if not isinstance(spent, Input):
        raise TypeError(f"{template.name}: input {index} has no leaves")
    leaf = spent.leaf(name)
    items = template.input_witness(index, name, [bytes(size) for size in leaf.item_sizes()])
    return LeafCost(len(leaf.script), witness_weight(items))
