"""Exact costs without a run: the weight of every transaction and leaf, and of whole scenarios.

The graph is the real one, built from real keys; every witness is given the largest size each of its items can have.
An index of zero is an empty item, so a played transaction may be a few weight units smaller, never larger.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.graph.fund import contribution
from bitvm.graph.graph import Graph
from bitvm.graph.model import Input, Template, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.keys.journal import Journal
from bitvm.keys.seed import Seed
from bitvm.script.weight import witness_weight
from bitvm.setup.exchange import exchange
from bitvm.setup.session import Session
from lvm.layout import HASH_BYTES


@dataclass(frozen=True, slots=True)
class LeafCost:
    """A leaf: the bytes of its script, and the weight of the whole witness that spends through it, at most."""

    script_bytes: int
    weight: int


@dataclass(frozen=True, slots=True)
class ScenarioCost:
    """A scenario: virtual bytes of all its transactions, and how many they are; children that pay fees apart."""

    vsize: int
    transactions: int


@dataclass(frozen=True, slots=True)
class Costs:
    """Transactions by name as (vsize, weight), leaves and scenarios by name."""

    transactions: Mapping[str, tuple[int, int]]
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
                name: {"vsize": cost.vsize, "transactions": cost.transactions} for name, cost in self.scenarios.items()
            },
        }


def reference_graph(parameters: Parameters) -> Graph:
    """Return the graph of a set-up between parties with made-up coins: names and sizes are those of any other."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="costs-")))
        sessions = [_session(party, parameters, folder, stack) for party in all_parties(parameters.challengers)]
        return exchange(sessions).signed[0].graph


def _session(party: str, parameters: Parameters, folder: Path, stack: ExitStack) -> Session:
    secret = hashlib.sha256(f"reference {party}".encode()).digest()
    key = TaprootKey(secret)
    value = contribution(parameters, party)
    coin = SpendableCoin(COutPoint(secret, 0), CTxOut(value, CScript(key.script_pubkey)), key)
    seed = Seed(secret)
    return Session(
        party,
        parameters,
        seed,
        stack.enter_context(Journal.create(folder / f"{party}.sqlite", seed)),
        nonce=secret,
        coins=[coin],
        change=0,
        change_script=key.script_pubkey,
        payout_script=key.script_pubkey,
    )


def costs(levels: int = 5) -> Costs:
    """Return all costs of a game of ``levels`` levels between a prover and one challenger; raises ParameterError."""
    graph = reference_graph(Parameters(bytes(HASH_BYTES), levels=levels))
    transactions = {name: (template.vsize(), template.weight()) for name, template in graph.templates.items()}
    return Costs(transactions, _leaves(graph), _scenarios(transactions, levels))


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


def _scenarios(transactions: Mapping[str, tuple[int, int]], levels: int) -> dict[str, ScenarioCost]:
    game = ["Challenge", *(f"Choice_{r}" for r in range(1, levels + 1)), *(f"Reveal_{r}" for r in range(2, levels + 1))]
    scenarios = {
        "honest_claim": ["Claim", "Payout"],
        "execution_lie": [f"1/{name}" for name in (*game, "Step", "Slash")],
    }
    return {
        name: ScenarioCost(sum(transactions[part][0] for part in parts), len(parts))
        for name, parts in scenarios.items()
    }
