"""Exact costs without a run: the weight of every transaction and leaf, and of whole scenarios.

The graph is the real one, built from real keys; every witness is given the largest size each of its items can have.
An index of zero is an empty item, so a played transaction may be a few weight units smaller, never larger.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.graph.fund import contribution
from bitvm.graph.graph import Graph
from bitvm.graph.model import PROVER, Input, Template, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.graph.setting import game_name
from bitvm.keys.journal import Journal
from bitvm.keys.seed import Seed
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.script.weight import witness_weight
from bitvm.setup.exchange import exchange
from bitvm.setup.session import Session
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

ATTESTERS = 2
"""In ``honest_claim_attested``: both must have signed the input."""


@dataclass(frozen=True, slots=True)
class LeafCost:
    """A leaf: the bytes of its script, and the weight of the whole witness that spends through it, at most."""

    script_bytes: int
    weight: int


@dataclass(frozen=True, slots=True)
class ScenarioCost:
    """A scenario: virtual bytes of all its transactions, and how many they are; children that pay fees apart.

    vbytes, counts: the same by who broadcasts, ``prover`` and ``challenger``.
    """

    vsize: int
    transactions: int
    vbytes: Mapping[str, int]
    counts: Mapping[str, int]


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


def kind_of(transaction: str) -> str:
    """Return what a transaction is called in any game, level and claim: ``2/Slash_after_Choice_3#2`` is a
    ``Slash_after_Choice``.
    """
    return re.sub(r"_\d+$", "", transaction.partition("#")[0].rpartition("/")[2])


def family_of(leaf: str) -> str:
    """Return the family of a leaf: the first two parts of its name without levels and other numbers.

    ``compare.left.outline_3_2`` is of ``compare.left``, ``place.left_1`` of ``place.left``, ``entry.0.right`` of
    ``entry``, ``claim.0.1-2`` of ``claim``.
    """
    parts = [re.sub(r"_\d.*$", "", part) for part in leaf.split(".")[:2]]
    return ".".join(part for part in parts if not part[0].isdigit())


# ---- the graph


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


# ---- costs


def costs(levels: int = 5) -> Costs:
    """Return all costs of a game of ``levels`` levels between a prover and one challenger; raises ParameterError."""
    return costs_of(reference_graph(Parameters(bytes(HASH_BYTES), levels=levels)))


def costs_of(graph: Graph) -> Costs:
    """Return all costs of a graph; scenarios are those of the first game on the first claim."""
    transactions = {name: (template.vsize(), template.weight()) for name, template in graph.templates.items()}
    movers = {name: template.mover for name, template in graph.templates.items()}
    return Costs(transactions, movers, _leaves(graph), _scenarios(graph))


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


# ---- scenarios

Part = str | tuple[str, str]
"""A transaction at its largest, or as large as it is when it is opened by this leaf."""


def _scenarios(graph: Graph) -> dict[str, ScenarioCost]:
    levels = graph.setting.parameters.levels
    bisection = tuple(_bisection(levels, demands=False))
    return {
        "honest_claim": _price(graph, _HONEST),
        "honest_claim_attested": _attested_claim(),
        "execution_lie": _price(graph, _in_game((*bisection, "Step", ("Slash", _heaviest(graph["1/Slash"]))))),
        "read_lie": _price(graph, _in_game((*bisection, "Step", "Ask", "Slash_after_Ask"))),
        "worst_case": _price(graph, _in_game((*_bisection(levels, demands=True), *_WRITE_REFUTED))),
    }


@cache
def _attested_claim() -> ScenarioCost:
    """Return the price of an honest claim with attesters, of the default width; it is the same at any level."""
    parameters = Parameters(bytes(HASH_BYTES), levels=1, challengers=ATTESTERS, attesters=ATTESTERS, quorum=ATTESTERS)
    return _price(reference_graph(parameters), _HONEST)


def _heaviest(slash: Template) -> str:
    """Return the execution leaf with which Slash is largest."""
    return max((leaf.name for leaf in EXECUTION_LEAVES), key=lambda name: slash.weight({0: name}))


_HONEST: tuple[Part, ...] = ("Claim", "Payout")

_WRITE_REFUTED: tuple[Part, ...] = (
    "Step",
    "Ask",
    ("Path", "path.write"),
    "Descend",
    ("Inside", "inside.write"),
    "Narrow",
    ("Close", "close.write"),
    "Refute_after_Close",
    "Slash_after_Refute_after_Close",
)
"""A false write, proved to the end: the dearest way through a dispute after Step."""


def _bisection(levels: int, *, demands: bool) -> Iterator[str]:
    """Yield Challenge to the last Choice; with ``demands`` every list is demanded, and its price swept in the end."""
    for level in range(1, levels + 1):
        yield "Challenge" if level == 1 else f"Reveal_{level}"
        if demands:
            yield from (f"{move}_{level}" for move in ("Demand", "Outline", "Pick", "Detail", "Sweep_answered"))
        yield f"Choice_{level}"


def _in_game(parts: Sequence[Part]) -> tuple[Part, ...]:
    return tuple(game_name(1, part) if isinstance(part, str) else (game_name(1, part[0]), part[1]) for part in parts)


def _price(graph: Graph, parts: Sequence[Part]) -> ScenarioCost:
    vbytes = {PROVER: 0, "challenger": 0}
    counts = dict(vbytes)
    for part in parts:
        name, leaf = (part, None) if isinstance(part, str) else part
        template = graph[name]
        role = template.mover.rstrip("0123456789")
        vbytes[role] += template.vsize({0: leaf} if leaf else None)
        counts[role] += 1
    return ScenarioCost(sum(vbytes.values()), len(parts), vbytes, counts)
