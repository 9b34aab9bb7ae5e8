"""One simulated dispute, from set-up to verdict, as figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitvm.chain.interface import RegtestChain
from bitvm.game import challenger as honest_challenger
from bitvm.game import prover as honest_prover
from bitvm.game.ending import ending
from bitvm.game.moves import Decision
from bitvm.game.position import Position
from bitvm.graph.claim import BOND
from bitvm.graph.model import PROVER, challenger
from regtest.hostile import accuse
from regtest.match import Confirmation, Match, Narrator, SetupFigures
from regtest.players import Strategy
from regtest.scenario import Prepared, Scenario

CLAIM_TRANSACTIONS = ("Fund", "Claim")
"""What is not counted as the cost of a dispute."""

SLASH_AFTER, TAKE_STAKE_AFTER, DISMISS = "Slash_after_", "TakeStake_after_", "Dismiss_"
"""Names of the ends of a game, before the name of the move that they follow."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a match ended.

    winner: the party that got the bond or its share of it, "nobody" where the bond is still locked. reason: one
    sentence, without its full stop.
    """

    winner: str
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """A finished simulation.

    fell_silent: whether the scenario's silent party came to the move at which it was to fall silent.
    """

    scenario: Scenario
    prepared: Prepared
    outcome: Outcome
    confirmations: tuple[Confirmation, ...]
    setup: SetupFigures
    position: Position
    fell_silent: bool

    def to_json(self) -> dict[str, Any]:
        """Return winner, reason, levels, steps, lie, transactions, totals and the set-up's figures."""
        return {
            "winner": self.outcome.winner,
            "reason": self.outcome.reason,
            "levels": self.scenario.levels,
            "steps": self.prepared.true.executed,
            "lie": None if self.prepared.lie is None else f"{self.prepared.lie.name}@{self.prepared.lie_step}",
            "transactions": [
                {
                    "name": confirmation.name,
                    "party": confirmation.party,
                    "txid": confirmation.txid,
                    "vsize": confirmation.vsize,
                    "weight": confirmation.weight,
                    "height": confirmation.height,
                    "child_vsize": confirmation.child_vsize,
                    "fee": confirmation.fee,
                }
                for confirmation in self.confirmations
            ],
            "totals": self.totals(),
            "setup": {"seconds": round(self.setup.seconds, 3), "bytes": self.setup.exchanged},
        }

    def totals(self) -> dict[str, Any]:
        """Return vbytes a party and in all; ``dispute`` leaves out Fund and Claim. Children are counted apart."""
        vsize: dict[str, int] = {}
        for confirmation in self.confirmations:
            vsize[confirmation.party] = vsize.get(confirmation.party, 0) + confirmation.vsize
        dispute = [c for c in self.confirmations if c.name not in CLAIM_TRANSACTIONS]
        return {
            "vsize": vsize,
            "all": sum(vsize.values()),
            "dispute": sum(c.vsize for c in dispute),
            "dispute_transactions": len(dispute),
            "children": sum(c.child_vsize for c in self.confirmations),
            "fees": sum(c.fee for c in self.confirmations),
            "blocks": self.confirmations[-1].height - self.confirmations[0].height if self.confirmations else 0,
        }


def simulate(scenario: Scenario, prepared: Prepared, chain: RegtestChain, narrator: Narrator) -> Result:
    """Play a prepared scenario on a chain."""
    with new_match(scenario, prepared, chain, narrator) as match:
        return result_of(scenario, prepared, match, match.play())


def new_match(scenario: Scenario, prepared: Prepared, chain: RegtestChain, narrator: Narrator) -> Match:
    """Return the match of a prepared scenario: set up, funded, every party seated."""
    match = Match(chain, prepared.parameters, scenario.seed, narrator)
    match.seat(PROVER, _prover(prepared), scenario.silence)
    for number in range(1, scenario.challengers + 1):
        accused = scenario.accuse if number == 1 else None
        match.seat(challenger(number), _challenger(prepared, number, accused), scenario.silence)
    return match


def result_of(scenario: Scenario, prepared: Prepared, match: Match, position: Position) -> Result:
    """Return the result of a match that was played to its end, ``position``."""
    fell_silent = any(player.has_fallen_silent for player in match.players.values())
    confirmations = tuple(match.confirmations)
    return Result(scenario, prepared, _outcome(position), confirmations, match.setup, position, fell_silent)


def _prover(prepared: Prepared) -> Strategy:
    def strategy(position: Position) -> Mapping[str, Decision]:
        return honest_prover.decide(position, prepared.claimed)

    return strategy


def _challenger(prepared: Prepared, number: int, accused: int | None) -> Strategy:
    def strategy(position: Position) -> Mapping[str, Decision]:
        if accused is not None:
            return accuse(position, prepared.true, number, accused)
        return honest_challenger.decide(position, prepared.true, number)

    return strategy


def _outcome(position: Position) -> Outcome:
    if not position.has("Claim"):
        return Outcome("nobody", "the prover made no claim")
    spender = position.spent_by("Claim", BOND)
    if spender is None:
        return Outcome("nobody", "the bond is still locked")
    number, _, name = spender.rpartition("/")
    if not number:
        return Outcome(PROVER, _why_it_stood(position))
    winner = challenger(int(number))
    return Outcome(winner, f"{_why_it_fell(position, int(number), name)}, and the bond was slashed")


def _why_it_fell(position: Position, number: int, slash: str) -> str:
    if slash == "Slash":
        return f"step {position.step(number).index:,} was judged false in Script"
    after = slash.removeprefix(SLASH_AFTER)
    if after.startswith("Refute"):
        return "a hash of the prover's was refuted in Script"
    if after in ("Path", "Inside", "Close", "Compare_left", "Compare_right"):
        return f"what the prover signed was judged false in Script after {after}"
    return f"the prover did not answer {after} in time"


def _why_it_stood(position: Position) -> str:
    lost = []
    for number in range(1, position.graph.setting.parameters.challengers + 1):
        how = ending(position, number)
        if how is not None and how.startswith(TAKE_STAKE_AFTER):
            lost.append(f"{challenger(number)} did not answer {how.removeprefix(TAKE_STAKE_AFTER)} in time")
        elif how is not None and how.startswith(DISMISS):
            lost.append(f"{challenger(number)} asked what makes no sense in {how.removeprefix(DISMISS)}")
    if not lost:
        return "nobody challenged the claim in time, and the bond went back"
    return f"{' and '.join(lost)}, and the bond went back"
