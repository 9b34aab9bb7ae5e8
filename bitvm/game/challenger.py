"""The honest challenger: a position and its own computation in, a decision out.

    Claim, verdict INVALID                    Challenge, before ``delta_claim`` is over
    Challenge or Reveal_r                     Choice_r: the first interval whose right end is false
    Choice_r, no answer                       wait; after ``delta``, slash
    Step                                      slash with the leaf that shows the lie

A challenger that finds the claim VALID, or cannot tell yet (UNKNOWN), makes no move. It never points at an interval
whose left end it does not agree with, so the step that is left at the end is the first false one. What it needs no
computation for (a timeout, a proof against Step) it does while its own run is not finished, after a restart for
instance. A witness that cannot be read is an alarm, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bitvm.game.computation import Computation
from bitvm.game.moves import Decision, Move, Prove, SayChoice, Wait
from bitvm.game.position import Position
from bitvm.game.trace_list import first_disagreement, interval_start, trace_root
from bitvm.graph.claim import BOND
from bitvm.graph.setting import game_name
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.execution.catalogue import find_winning


class Verdict(StrEnum):
    """What a challenger thinks of a claim."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason."""

    verdict: Verdict
    why: str


def judge(position: Position, computation: Computation | None) -> Judgement:
    """Judge the claim; ``computation`` is None while the challenger's own run is not finished."""
    if computation is None:
        return Judgement(Verdict.UNKNOWN, "the computation is not finished")
    try:
        claim = position.claim()
    except WitnessError as error:
        return Judgement(Verdict.UNKNOWN, f"the claim cannot be read: {error}")
    if claim.nodes["input_root"] != computation.input_root:
        return Judgement(Verdict.UNKNOWN, "the claim is about an input that we do not have")
    if claim.nodes["final_root"] != computation.final_root:
        return Judgement(Verdict.INVALID, "the run ends in another state")
    if not computation.accepted:
        return Judgement(Verdict.INVALID, "the run is not accepted")
    return Judgement(Verdict.VALID, "the run ends in the claimed state")


def decide(position: Position, computation: Computation | None, number: int) -> Decision:
    """Return the decision of challenger ``number``."""
    if not position.has("Claim"):
        return Wait("there is no claim")
    spender = position.spent_by("Claim", BOND)
    if spender is not None:
        return Wait(f"the bond was spent by {spender}", over=True)
    if not position.has(game_name(number, "Challenge")):
        return _on_claim(position, computation, number)
    try:
        return _in_game(position, computation, number)
    except WitnessError as error:
        return Wait(f"our game cannot be read: {error}", alarm=True)


def _in_game(position: Position, computation: Computation | None, number: int) -> Decision:
    if position.has(game_name(number, "Step")):
        return _prove(position, number)
    for level in range(position.graph.setting.parameters.levels, 0, -1):
        if position.has(game_name(number, f"Choice_{level}")):
            return _await_answer(position, number, level)
        previous = "Challenge" if level == 1 else f"Reveal_{level}"
        if position.has(game_name(number, previous)):
            return _choose(position, computation, number, level, game_name(number, previous))
    raise AssertionError("a challenged game has a last move")


def _on_claim(position: Position, computation: Computation | None, number: int) -> Decision:
    judgement = judge(position, computation)
    until = position.confirmed["Claim"].height + position.graph.setting.parameters.delta_claim
    if judgement.verdict is not Verdict.INVALID or computation is None:
        return Wait(f"{judgement.verdict}: {judgement.why}", until, alarm=judgement.verdict is Verdict.UNKNOWN)
    obstacle = _obstacle(position, computation)
    if obstacle is not None:
        return Wait(f"INVALID: {judgement.why}; but {obstacle}", until, alarm=True)
    if not position.buried("Claim"):
        return Wait(f"INVALID: {judgement.why}; Claim is not buried yet")
    if position.height + 1 >= until:
        return Wait(f"INVALID: {judgement.why}; too late to challenge", alarm=True)
    return Move(game_name(number, "Challenge"), f"INVALID: {judgement.why}")


def _obstacle(position: Position, computation: Computation) -> str | None:
    """Return why a false claim cannot be bisected, None if it can: no stake is risked on a game that cannot be won."""
    claim = position.claim()
    if claim.nodes["final_root"] == computation.final_root:
        return "both runs end in the same state, so there is no step to dispute"
    if trace_root(claim.listed) != claim.nodes["trace_root"]:
        return "list 1 does not hash to its signed root"
    return None


def _choose(position: Position, computation: Computation | None, number: int, level: int, previous: str) -> Decision:
    if _stake_taken(position, number, previous):
        return Wait("the prover took our stake", over=True, alarm=True)
    if computation is None:
        return Wait("the computation is not finished", alarm=True)
    if not position.buried(previous):
        return Wait(f"{previous} is not buried yet")
    parameters = position.graph.setting.parameters
    shown = position.reveal(number, level)
    if trace_root(shown.listed) != shown.nodes["trace_root"]:
        return Wait(f"list {level} does not hash to its signed root", alarm=True)
    choices = [position.choice(number, r).choice for r in range(1, level)]
    start = interval_start(choices, parameters.width, parameters.levels)
    choice = first_disagreement(shown.listed, computation.points(level, start))
    left = start + choice * parameters.interval(level)
    why = f"agree at step {left:,}, not at step {left + parameters.interval(level):,}"
    return Move(game_name(number, f"Choice_{level}"), why, SayChoice(choice))


def _await_answer(position: Position, number: int, level: int) -> Decision:
    name = game_name(number, f"Slash_after_Choice_{level}")
    template = position.graph[name]
    if position.unlocked(template):
        return Move(name, f"the prover did not answer Choice_{level} in time")
    return Wait(f"the prover owes an answer to Choice_{level}", position.unlock_height(template))


def _prove(position: Position, number: int) -> Decision:
    if _stake_taken(position, number, game_name(number, "Step")):
        return Wait("the prover took our stake", over=True, alarm=True)
    step = position.step(number)
    found = find_winning(step.words)
    if found is None:
        return Wait("no execution leaf wins: the step follows from what the prover says it read", alarm=True)
    leaf, hints = found
    return Move(game_name(number, "Slash"), f"step {step.index:,}: {leaf.statement}", Prove(hints), leaf.name)


def _stake_taken(position: Position, number: int, previous: str) -> bool:
    return position.has(game_name(number, f"TakeStake_after_{previous.rpartition('/')[2]}"))
