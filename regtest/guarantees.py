"""What a set-up guarantees, to whom and on what conditions, computed from its parameters.

Every line says who has to do what, within how many blocks and with how many satoshi, and what happens otherwise; and it
names the cases of the matrix that show it. Fees are those of a transaction at its largest together with its child, at
one feerate, the parameters' ``fee_ceiling`` unless another is given.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from bitvm.graph.costs import Prices
from bitvm.graph.model import PROVER
from bitvm.graph.parameters import MAX_SEQUENCE_BLOCKS, Parameters

SAFETY = "Safety: no false claim is paid"
BOND = "Safety: no true claim is slashed"
AVAILABILITY = "Availability: nobody's money stays locked"
EVERYBODY = "Everybody"

_ANY_TIME = (
    "Slash_after_",
    "Reclaim",
    "TakeStake_after_",
    "Sweep_",
    "Payout",
    "LatePayout",
    "Withdraw",
    "Fund",
    "Claim",
)
_PROVEN = ("Slash_after_Path", "Slash_after_Inside", "Slash_after_Close", "Slash_after_Compare")
"""Slashes by a proof have to be there before the challenger's time is over; those by a timeout have not."""


@dataclass(frozen=True, slots=True)
class Guarantee:
    """One line: ``who`` ``must`` do something within ``blocks`` and with ``sats`` (None where neither matters)."""

    purpose: str
    who: str
    must: str
    blocks: int | None
    sats: int | None
    otherwise: str
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MoveCost:
    """What a move takes: blocks in which it must be confirmed (None: any time), and satoshi for its fee and child's."""

    name: str
    party: str
    vbytes: int
    sats: int
    blocks: int | None


@dataclass(frozen=True, slots=True)
class Check:
    """An inequality that makes the game worth playing honestly, and whether it holds."""

    what: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its unit: ``blocks`` or ``sat``."""

    group: str
    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Guarantees:
    """Everything that follows from ``parameters`` at ``feerate`` (sat/vB)."""

    parameters: Parameters
    feerate: float
    lines: tuple[Guarantee, ...]
    moves: tuple[MoveCost, ...]
    figures: tuple[Figure, ...]
    checks: tuple[Check, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "parameters": self.parameters.to_json(),
            "feerate": self.feerate,
            "guarantees": [asdict(line) for line in self.lines],
            "moves": [asdict(move) for move in self.moves],
            "figures": [asdict(figure) for figure in self.figures],
            "checks": [asdict(check) for check in self.checks],
        }


def with_room(parameters: Parameters) -> Parameters:
    """Return the parameters with the default ``delta_long``, or what the longest game needs if that is more."""
    needed = parameters.delta_claim + parameters.longest_game
    default = Parameters(parameters.image_root).delta_long
    return replace(parameters, delta_long=min(max(default, needed), MAX_SEQUENCE_BLOCKS))


# ---- fees


def move_costs(prices: Prices) -> tuple[MoveCost, ...]:
    """Return what every kind of move takes."""
    return tuple(
        MoveCost(move.kind, move.role, move.vbytes, prices.fee(move.vbytes), _blocks(prices.parameters, move.kind))
        for move in prices.moves()
    )


def _blocks(parameters: Parameters, kind: str) -> int | None:
    if kind == "Challenge":
        return parameters.delta_claim
    return None if kind.startswith(_ANY_TIME) and not kind.startswith(_PROVEN) else parameters.delta


# ---- the table


def guarantees(parameters: Parameters, feerate: float | None = None) -> Guarantees:
    """Return what the parameters guarantee at a feerate in sat/vB (default: ``fee_ceiling``)."""
    rate = parameters.fee_ceiling if feerate is None else feerate
    prices = Prices(parameters, rate)
    moves = move_costs(prices)
    lines = (
        *_no_false_claim(parameters, prices, moves),
        *_no_stolen_bond(parameters, prices, moves),
        *_no_lock(parameters, moves),
        *_everybody(parameters),
    )
    return Guarantees(parameters, rate, lines, moves, _figures(parameters, prices), _checks(parameters, prices))


def _dearest(moves: tuple[MoveCost, ...], party: str) -> int:
    return max(move.sats for move in moves if move.party == party)


def _sats(moves: tuple[MoveCost, ...], *names: str) -> int:
    return sum(move.sats for move in moves if move.name in names)


def _no_false_claim(p: Parameters, prices: Prices, moves: tuple[MoveCost, ...]) -> list[Guarantee]:
    one = f"one of {p.challengers} challengers" if p.challengers > 1 else "the challenger"
    worst = prices.scenario("worst_case", "challenger")
    within = p.delta_claim - p.confirmations
    lines = [
        (one, "has the input and runs the program", within, None, "it cannot tell a false claim", _UNKNOWN),
        (one, "stakes", None, p.stake, "it cannot challenge", _STAKED),
        (one, "challenges a false claim", within, _sats(moves, "Challenge"), "the claim is paid", _CHALLENGED),
        (one, "makes each move it owes", p.delta, _dearest(moves, "challenger"), "its stake is lost", _SILENT),
        (one, "can pay the fees of the worst game", None, worst, "its stake is lost", _WORST),
        (one, "slashes, or reclaims its stake", p.delta_long, _sats(moves, "Slash"), "late payout", _RACE),
    ]
    if p.claims > 1:
        waits = max(p.delta_claim - p.delta, 0)
        early = "can judge an earlier claim before a later false one must be challenged"
        lines.append((one, "stakes on the earliest false claim only", None, None, "no stake is left", _EARLIEST))
        lines.append((one, early, waits, None, "its stake goes onto the later one", _UNKNOWN))
    found = [Guarantee(SAFETY, *line) for line in lines]
    if p.attesters:
        honest = p.attesters - p.quorum + 1
        must = f"sign only inputs that every challenger can get: {honest} of {p.attesters} suffice"
        found.append(Guarantee(SAFETY, "attesters", must, None, None, "a claim nobody can judge", _NO_CASE))
    return found


def _no_stolen_bond(p: Parameters, prices: Prices, moves: tuple[MoveCost, ...]) -> list[Guarantee]:
    worst = prices.scenario("worst_case", PROVER)
    against = f"against {p.challengers} hostile challengers at once" if p.challengers > 1 else "of the worst game"
    lines = [
        ("makes each move it owes", p.delta, _dearest(moves, PROVER), "its bond is slashed", _PROVER_SILENT),
        (f"can pay the fees {against}", None, p.challengers * worst, "its bond is slashed", _DEMANDED),
        (
            "takes the stake of a false accuser",
            None,
            _sats(moves, "TakeStake_after_Step"),
            "it bears its costs",
            _ACCUSED,
        ),
    ]
    return [Guarantee(BOND, PROVER, *line) for line in lines]


def _no_lock(p: Parameters, moves: tuple[MoveCost, ...]) -> list[Guarantee]:
    late = p.delta_long
    lines = [
        (PROVER, "is paid when nobody challenges", p.delta_claim, _sats(moves, "Payout"), "it waits", _PAID),
        (PROVER, "is paid whatever games still run", late, _sats(moves, "LatePayout"), "it waits", _LATE),
        (
            PROVER,
            "withdraws the slot of a claim not made",
            late + p.delta_claim,
            _sats(moves, "Withdraw"),
            "it waits",
            _WITHDRAWN,
        ),
        ("both", "sweep what a side path holds", p.delta_long, _sats(moves, "Sweep_side"), "it waits", _SWEPT),
    ]
    found = [Guarantee(AVAILABILITY, *line) for line in lines]
    if p.attesters:
        must = f"{p.quorum} of {p.attesters} sign the input, in one of {p.tries} tries"
        found.append(Guarantee(AVAILABILITY, "attesters", must, None, None, "no claim can be made", _NO_CASE))
    return found


def _everybody(p: Parameters) -> list[Guarantee]:
    lines = [
        (
            f"sees reorgs of at most {p.confirmations} blocks",
            p.confirmations,
            "a one-time key may sign twice",
            _NO_CASE,
        ),
        (f"finds room in blocks at {p.fee_ceiling} sat/vB or less", p.delta, "it counts as silent", _LAST_BLOCK),
    ]
    return [Guarantee(EVERYBODY, "everybody", must, blocks, None, other, cases) for must, blocks, other, cases in lines]


# Names or prefixes of cases of the matrix that show a line.
_UNKNOWN = ("claims/lie/unknown_first",)
_STAKED = ("claims/lie/stake_spent",)
_CHALLENGED = ("lie/says/", "accuse/last_block/Challenge")
_SILENT = ("accuse/silence/",)
_WORST = ("both/two_honest/timeout/Refute_after_Close",)
_RACE = ("both/two_honest/", "both/late_payout/")
_EARLIEST = ("claims/lie/",)
_PROVER_SILENT = ("both/two_honest/timeout/",)
_DEMANDED = ("accuse/demand/", "accuse/question/")
_ACCUSED = ("accuse/silence/", "accuse/choice/")
_PAID = ("claims/honest",)
_LATE = ("both/late_payout/", "accuse/silence/")
_WITHDRAWN = ("claims/withdrawn",)
_SWEPT = ("accuse/void/",)
_LAST_BLOCK = ("both/slow/", "accuse/last_block/")
_NO_CASE: tuple[str, ...] = ()
"""Attesters and reorganisations are not in the matrix; tests of their own show them."""


# ---- figures and checks


def _figures(p: Parameters, prices: Prices) -> tuple[Figure, ...]:
    blocks: dict[str, float] = {
        "a claim that nobody challenges": p.delta_claim,
        "longest game after Challenge": p.longest_game,
        "longest dispute after Claim": p.delta_claim + p.longest_game,
        "after which the prover is paid in any case": p.delta_long,
    }
    money: dict[str, float] = {
        "bond": p.bond,
        "of a slashed bond to the challenger": p.reward,
        "of a slashed bond to each other challenger": p.compensation,
        "of a slashed bond burnt": p.burn,
        "stake of a challenger": p.stake,
        "price of a demand": p.answer_price,
        "a liar loses in all": p.bond + prices.scenario("execution_lie", PROVER),
        "a false accuser loses in all": p.stake + prices.scenario("read_lie", "challenger"),
    }
    groups: list[tuple[str, dict[str, float], str]] = [("Time", blocks, "blocks"), ("Money", money, "sat")]
    fees: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for scenario in ("honest_claim", "execution_lie", "read_lie", "worst_case"):
        liar, honest = (prices.scenario(scenario, party) for party in (PROVER, "challenger"))
        fees |= {f"{scenario}, prover": liar, f"{scenario}, challenger": honest}
        if scenario != "honest_claim":
            ratios |= {f"{scenario}, fees alone": liar / honest, f"{scenario}, with the bond": (p.bond + liar) / honest}
    accuser = p.stake + prices.scenario("worst_case", "challenger")
    accused = {"worst_case, with the stake": accuser / prices.scenario("worst_case", PROVER)}
    groups += [
        (f"Fees at {prices.feerate:g} sat/vB, children included", fees, "sat"),
        ("What a liar pays for 1 sat of the honest challenger", ratios, "sat"),
        ("What a false accuser pays for 1 sat of the honest prover", accused, "sat"),
    ]
    return tuple(Figure(group, name, value, unit) for group, figures, unit in groups for name, value in figures.items())


def _checks(p: Parameters, prices: Prices) -> tuple[Check, ...]:
    prover, theirs = prices.scenario("worst_case", PROVER), prices.scenario("worst_case", "challenger")
    demands = p.levels * p.answer_price + p.refute_fee
    execution = prices.scenario("execution_lie", "challenger")
    reclaim = p.challengers > 1  # after a comrade's Slash, which is buried first
    needed = 2 * p.confirmations + (3 if reclaim else 2)
    why = "a Slash follows, or another's and Reclaim" if reclaim else "answered, and put back once"
    longest = p.delta_claim + p.longest_game
    room = p.delta_claim - p.confirmations - 1
    kept = p.delta_claim - p.delta - p.confirmations
    found = {
        f"stake {p.stake:,} sat >= {prover:,} sat, what a false accusation costs an honest prover": p.stake >= prover,
        f"reward {p.reward:,} sat >= {theirs + demands:,} sat, what a dispute costs an honest challenger": (
            p.reward >= theirs + demands
        ),
        f"compensation {p.compensation:,} sat >= {execution:,} sat, what an execution lie costs a second challenger": (
            p.compensation >= execution
        ),
        f"burn {p.burn:,} sat > 0: who slashes itself loses": p.burn > 0,
        f"delta {p.delta} blocks >= 2 * confirmations + {needed % 2 + 2} = {needed}: a move is buried, {why}": (
            p.delta >= needed
        ),
        f"delta_claim leaves {room} blocks for Challenge once Claim is buried, more than confirmations": (
            room > p.confirmations
        ),
        f"delta_long {p.delta_long} blocks >= delta_claim + longest game = {longest}": p.delta_long >= longest,
    }
    if p.claims > 1:
        found[f"delta_claim leaves {max(kept, 0)} blocks in which a stake is kept for an earlier claim"] = kept > 0
    return tuple(Check(what, holds) for what, holds in found.items())
