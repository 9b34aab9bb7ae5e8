"""What transactions cost without a run: sizes, scenarios, fees, and what an honest party must be able to pay.

The graph is the real one, built from made-up keys; every witness is given the largest size each of its items can have.
An index of zero is an empty item, so a played transaction may be a few bytes smaller, never larger. Fees are those of a
transaction together with its child, at one feerate in satoshi per virtual byte.

Sizes are those of a game between a prover and one challenger. What further challengers, attesters and claims add to the
few transactions that grow with them is measured on graphs of one level and added, rounded up.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import key_path_vsize
from bitvm.graph.fund import contribution
from bitvm.graph.graph import Graph, build
from bitvm.graph.model import PROVER, Coin, GraphError, Template, all_parties
from bitvm.graph.parameters import DUST, MAX_SEQUENCE_BLOCKS, Parameters
from bitvm.graph.setting import KeySpec, Participant, Setting, game_name, key_plan
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.script.onetime.chain import VALUE_BYTES
from bitvm.script.onetime.public import PublicKey
from lvm.layout import HASH_BYTES

CHILD_VSIZE = key_path_vsize(2, [CTxOut(DUST, CScript(b"\x51\x20" + bytes(32)))])
"""Virtual bytes of the child that pays for a transaction: it spends the anchor and one coin."""

_WORST_CASE = "worst_case"
_WORST_START = "worst_case at the start"

ATTESTERS = 2
"""In ``honest_claim_attested``: both must have signed the input."""


@dataclass(frozen=True, slots=True)
class ScenarioCost:
    """A scenario: virtual bytes of all its transactions, and how many they are; children that pay fees apart.

    vbytes, counts: the same by who broadcasts, ``prover`` and ``challenger``.
    """

    vsize: int
    transactions: int
    vbytes: Mapping[str, int]
    counts: Mapping[str, int]


def kind_of(transaction: str) -> str:
    """Return what a transaction is called in any game, level and claim: ``2/Slash_after_Choice_3#2`` is a
    ``Slash_after_Choice``.
    """
    return re.sub(r"_\d+$", "", transaction.partition("#")[0].rpartition("/")[2])


def role_of(party: str) -> str:
    """Return ``prover`` or ``challenger``."""
    return party.rstrip("0123456789")


# ---- the graph


def reference_graph(parameters: Parameters) -> Graph:
    """Return the graph of a set-up between parties that do not exist: names and sizes are those of any other."""
    participants = {party: _participant(parameters, party) for party in all_parties(parameters.challengers)}
    public = {spec.path: _public_key(spec) for spec in key_plan(parameters)}
    return build(Setting(parameters, participants, public))


def _made_up(*parts: object) -> bytes:
    return hashlib.sha256(repr(("reference", *parts)).encode()).digest()


def _participant(parameters: Parameters, party: str) -> Participant:
    key, stake_key, anchor_key = (_made_up(party, name) for name in ("key", "stake", "anchor"))
    script = b"\x51\x20" + _made_up(party, "payout")
    coin = Coin(COutPoint(_made_up(party, "coin"), 0), CTxOut(contribution(parameters, party), CScript(script)))
    return Participant(key, stake_key, anchor_key, script, (coin,), script, 0)


def _public_key(spec: KeySpec) -> PublicKey:
    values = (_made_up(spec.path, chain)[:VALUE_BYTES] for chain in range(spec.scheme.chains))
    return PublicKey(spec.scheme, tuple(values))


# ---- scenarios

Part = str | tuple[str, str]
"""A transaction at its largest, or as large as it is when it is opened by this leaf."""


def scenarios_of(graph: Graph) -> dict[str, ScenarioCost]:
    """Return the costs of what can happen, by name: those of the first game on the first claim."""
    levels = graph.setting.parameters.levels
    bisection = tuple(_bisection(levels, demands=False))
    return {
        "honest_claim": _price(graph, _HONEST),
        "honest_claim_attested": _attested_claim(),
        "execution_lie": _price(graph, _in_game((*bisection, "Step", ("Slash", _heaviest(graph["1/Slash"]))))),
        "read_lie": _price(graph, _in_game((*bisection, "Step", "Ask", "Slash_after_Ask"))),
        _WORST_CASE: _price(graph, _in_game((*_bisection(levels, demands=True), *_WRITE_REFUTED))),
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
"""A false write, proved to the end: the dearest way through a dispute after Step, both parties taken together."""

_START_REFUTED: tuple[Part, ...] = (
    "Step",
    "Ask",
    ("Path", "path.start"),
    "Descend",
    ("Inside", "inside.start"),
    "Refute_after_Inside",
    "Slash_after_Refute_after_Inside",
)
"""A false first state: shorter, but its Refute is the largest, so for the challenger alone it is dearer."""


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
        role = role_of(template.mover)
        vbytes[role] += template.vsize({0: leaf} if leaf else None)
        counts[role] += 1
    return ScenarioCost(sum(vbytes.values()), len(parts), vbytes, counts)


# ---- fees


@dataclass(frozen=True, slots=True)
class Move:
    """A kind of transaction at its largest: its name, who broadcasts it (``prover``, ``challenger``), its size."""

    kind: str
    role: str
    vbytes: int


class Prices:
    """What moves and scenarios cost in a set-up of these parameters, in satoshi."""

    def __init__(self, parameters: Parameters, feerate: float, graph: Graph | None = None) -> None:
        """Take a feerate in satoshi per virtual byte.

        graph: the set-up's own, which is measured. Without one reference graphs are, the same ones once a process.
        """
        self.parameters, self.feerate = parameters, feerate
        self._a_challenger: Mapping[str, float] = {}
        self._attested: Mapping[str, float] = {}
        if graph is not None:
            self._game = _measured(graph)
            return
        self._game = _game(parameters.levels, parameters.width)
        self._a_challenger = _growth(_small(1), _small(2))
        if parameters.attesters or parameters.claims > 1:
            base = _small(max(parameters.attesters, 1))
            more = replace(
                base,
                attesters=parameters.attesters,
                quorum=parameters.quorum,
                tries=parameters.tries,
                claims=min(parameters.claims, 2),
            )
            self._attested = _growth(base, more)

    def fee(self, vbytes: int, transactions: int = 1) -> int:
        """Return what transactions of ``vbytes`` in all cost with their children."""
        return math.ceil(self.feerate * (vbytes + transactions * CHILD_VSIZE))

    def moves(self) -> tuple[Move, ...]:
        """Return every kind of move, in the order of the graph; Fund, which is the set-up's, is none."""
        found: dict[str, Move] = {}
        for name, vsize in self._game.vsizes.items():
            kind = kind_of(name)
            vbytes = vsize + self._grown(kind)
            if kind != "Fund" and (kind not in found or found[kind].vbytes < vbytes):
                found[kind] = Move(kind, role_of(self._game.movers[name]), vbytes)
        return tuple(found.values())

    def scenario(self, name: str, role: str) -> int:
        """Return the fees of ``prover`` or ``challenger`` in a scenario."""
        cost = self._game.scenarios[name]
        growing = ("Claim", "Payout") if name == "honest_claim" else ("Slash",)
        mover = PROVER if name == "honest_claim" else "challenger"
        grown = sum(map(self._grown, growing)) if role == mover else 0
        return self.fee(cost.vbytes[role] + grown, cost.counts[role])

    def worst_game(self, role: str) -> int:
        """Return the fees of ``prover`` or ``challenger`` in the game that costs it most."""
        return max(self.scenario(name, role) for name in (_WORST_CASE, _WORST_START))

    def dearest(self, role: str, *prefixes: str) -> int:
        """Return the fee of the largest move of a party whose kind begins with one of ``prefixes``."""
        found = (move.vbytes for move in self.moves() if move.role == role and move.kind.startswith(prefixes))
        return self.fee(max(found))

    def _grown(self, kind: str) -> int:
        """Return the virtual bytes that further challengers, attesters and claims add to a transaction, rounded up."""
        kind = "Slash" if kind.startswith("Slash") else kind
        growth = (self.parameters.challengers - 1) * self._a_challenger.get(kind, 0.0) + self._attested.get(kind, 0.0)
        return math.ceil(growth) + (growth > 0)


@dataclass(frozen=True, slots=True)
class _Game:
    """What a graph says about sizes, in virtual bytes. scenarios: `scenarios_of`, and one that is no example."""

    vsizes: Mapping[str, int]
    movers: Mapping[str, str]
    scenarios: Mapping[str, ScenarioCost]


@cache
def _game(levels: int, width: int) -> _Game:
    """Return the sizes of a game of one challenger: amounts and times do not change them."""
    graph = reference_graph(Parameters(bytes(HASH_BYTES), levels=levels, width=width, delta_long=MAX_SEQUENCE_BLOCKS))
    measured = _measured(graph)
    return replace(measured, scenarios={**scenarios_of(graph), **measured.scenarios})


def _measured(graph: Graph) -> _Game:
    """Return the sizes of the first game on the first claim, and the dearest ways through it."""
    first = {
        name: template
        for name, template in graph.templates.items()
        if template.claim == 1 and template.plain.rpartition("/")[0] in ("", "1")
    }
    demanded = tuple(_bisection(graph.setting.parameters.levels, demands=True))
    return _Game(
        {name: template.vsize() for name, template in first.items()},
        {name: template.mover for name, template in first.items()},
        {
            _WORST_CASE: _price(graph, _in_game((*demanded, *_WRITE_REFUTED))),
            _WORST_START: _price(graph, _in_game((*demanded, *_START_REFUTED))),
        },
    )


def _small(challengers: int) -> Parameters:
    return Parameters(bytes(HASH_BYTES), levels=1, width=4, challengers=challengers)


_GROWING = {
    "Claim": "Claim",
    "Payout": "Payout",
    "LatePayout": "LatePayout",
    "Withdraw": "Withdraw",
    "Slash": "1/Slash",
}
"""The transactions whose size depends on how many challengers, attesters and claims there are."""


@cache
def _growth(small: Parameters, large: Parameters) -> Mapping[str, float]:
    """Return the virtual bytes that one small set-up's transactions have more than another's."""
    weights: list[dict[str, int]] = []
    for parameters in (small, large):
        templates = reference_graph(parameters).templates.values()
        weights.append(
            {
                kind: max(template.weight() for template in templates if template.plain == plain)
                for kind, plain in _GROWING.items()
            }
        )
    return {kind: (weights[1][kind] - weights[0][kind]) / 4 for kind in _GROWING}


# ---- what an honest party must be able to pay


@dataclass(frozen=True, slots=True)
class DefenceLine:
    """One thing to pay for, how often, and what it costs in all, in satoshi."""

    what: str
    times: int
    sats: int


@dataclass(frozen=True, slots=True)
class Defence:
    """What an honest party must be able to pay in one set-up, in satoshi.

    contribution: what Fund takes of it; it comes back unless the party lies or falls silent. lines: fees, children
    included, when everybody else does the worst that it can at once.
    """

    contribution: int
    lines: tuple[DefenceLine, ...]

    @property
    def fees(self) -> int:
        """All fees, to keep in the wallet until the set-up has ended."""
        return sum(line.sats for line in self.lines)

    @property
    def total(self) -> int:
        """Fees and contribution, to have before the set-up."""
        return self.contribution + self.fees


def defence(parameters: Parameters, party: str, feerate: float | None = None, graph: Graph | None = None) -> Defence:
    """Return what ``party`` must be able to pay at a feerate (default: ``fee_ceiling``); raises GraphError.

    graph: the set-up's own, if it is built; measuring it is quicker, and says the same.

    The prover makes and ends every claim, and plays the worst game of every challenger, which has one stake and so one
    game. A challenger plays the worst game once, and then may need both Slash, which the worst game holds, and Reclaim.
    """
    if party not in all_parties(parameters.challengers):
        raise GraphError(f"no party {party!r}; there are {', '.join(all_parties(parameters.challengers))}")
    prices = Prices(parameters, parameters.fee_ceiling if feerate is None else feerate, graph)
    role = role_of(party)
    games = parameters.challengers if role == PROVER else 1
    found: list[tuple[str, int, int]] = []
    if role == PROVER:
        found += [
            ("Claim", parameters.claims, prices.dearest(role, "Claim")),
            ("end of a claim", parameters.claims, prices.dearest(role, "Payout", "LatePayout", "Withdraw")),
        ]
    found.append(("worst game", games, prices.worst_game(role)))
    if role == PROVER:
        found.append(("stake of a false accuser", games, prices.dearest(role, "TakeStake", "Dismiss")))
    else:
        found.append(("Reclaim", games, prices.dearest(role, "Reclaim")))
    lines = tuple(DefenceLine(what, times, times * sats) for what, times, sats in found)
    return Defence(contribution(parameters, party), lines)
