"""The honest prover: a position and a computation in, decisions out.

    no Claim yet                              claim; or Withdraw, if the run was not accepted
    Challenge or Reveal_r, no Choice_r        wait; after ``delta``, take the stake
    Choice_r, r < m                           Reveal_{r+1}
    Choice_m                                  Step
    Step, no Slash                            wait; after ``delta``, take the stake
    no Challenge, ``delta_claim`` over        Payout
    ``delta_long`` over                       LatePayout

A statement is made only in answer to a move that is buried, so that it is a function of what will not change. The
prover answers every game by itself; a decision is returned for each, and one for the bond. A game whose moves cannot
be read is an alarm, and takes neither the other games nor the bond down with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bitvm.game.computation import Computation
from bitvm.game.moves import Decision, Move, SayCommitment, SayStep, Wait
from bitvm.game.position import Position
from bitvm.game.trace_list import interval_start, trace_root
from bitvm.graph.claim import BOND
from bitvm.graph.setting import game_name
from bitvm.graph.verdict_due import VERDICT_DUE
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.statement import words_of

BOND_DECISION = "bond"
"""Key of the decision that concerns claim and bond."""


def decide(position: Position, computation: Computation) -> Mapping[str, Decision]:
    """Return the prover's decision on the bond and on every game, by ``BOND_DECISION`` or the game's number."""
    decisions: dict[str, Decision] = {BOND_DECISION: _on_bond(position, computation)}
    if position.has("Claim"):
        for number in range(1, position.graph.setting.parameters.challengers + 1):
            decisions[str(number)] = _in_readable_game(position, computation, number)
    return decisions


def moves(position: Position, computation: Computation) -> Iterator[Move]:
    """Yield the decisions that are moves."""
    return (decision for decision in decide(position, computation).values() if isinstance(decision, Move))


def _on_bond(position: Position, computation: Computation) -> Decision:
    if not position.has("Claim"):
        return _on_slot(position, computation)
    spender = position.spent_by("Claim", BOND)
    if spender is not None:
        return Wait(f"the bond was spent by {spender}", over=True)
    games = range(1, position.graph.setting.parameters.challengers + 1)
    challenged = any(position.has(game_name(number, "Challenge")) for number in games)
    name = "LatePayout" if challenged else "Payout"
    template = position.graph[name]
    if position.unlocked(template):
        return Move(name, "nobody slashed the bond in time")
    why = "the bond is locked while a challenge runs" if challenged else "the bond is locked"
    return Wait(why, position.unlock_height(template))


def _on_slot(position: Position, computation: Computation) -> Decision:
    """Claim, or take the slot back where the program accepted nothing that could be claimed."""
    if position.has("Withdraw"):
        return Wait("the slot was withdrawn", over=True)
    if not position.buried("Fund"):
        return Wait("Fund is not buried yet")
    if computation.accepted:
        return Move("Claim", "claim the result and show list 1", claim_statement(computation))
    withdraw = position.graph["Withdraw"]
    if position.unlocked(withdraw):
        return Move("Withdraw", "the run is not accepted: the slot goes back")
    why = "the run is not accepted: there is nothing to claim, and the slot is locked"
    return Wait(why, position.unlock_height(withdraw), alarm=True)


def claim_statement(computation: Computation) -> SayCommitment:
    """Return what Claim says about a computation."""
    points = computation.points(1, 0)
    nodes = {
        "input_root": computation.input_root,
        "trace_root": trace_root(points),
        "final_root": computation.final_root,
    }
    return SayCommitment(nodes, points)


def _in_readable_game(position: Position, computation: Computation, number: int) -> Decision:
    try:
        return _in_game(position, computation, number)
    except WitnessError as error:
        return Wait(f"game {number} cannot be read: {error}", alarm=True)


def _in_game(position: Position, computation: Computation, number: int) -> Decision:
    levels = position.graph.setting.parameters.levels
    if not position.has(game_name(number, "Challenge")):
        return Wait(f"challenger {number} has not challenged")
    if position.has(game_name(number, "Step")):
        return _after_step(position, number)
    for level in range(levels, 0, -1):
        if position.has(game_name(number, f"Choice_{level}")):
            return _answer(position, computation, number, level)
        previous = "Challenge" if level == 1 else f"Reveal_{level}"
        if position.has(game_name(number, previous)):
            return _take_stake(position, number, previous, f"Choice_{level}")
    raise AssertionError("a challenged game has a last move")


def _answer(position: Position, computation: Computation, number: int, level: int) -> Decision:
    """Answer Choice_``level``: Reveal_{level+1}, or Step after the last."""
    parameters = position.graph.setting.parameters
    name = game_name(number, f"Choice_{level}")
    slashed = game_name(number, f"Slash_after_Choice_{level}")
    if position.has(slashed):
        return Wait("slashed for not answering", over=True)
    if not position.buried(name):
        return Wait(f"{name} is not buried yet")
    choices = tuple(position.choice(number, r).choice for r in range(1, level + 1))
    start = interval_start(choices, parameters.width, parameters.levels)
    if level < parameters.levels:
        points = computation.points(level + 1, start)
        statement = SayCommitment({"trace_root": trace_root(points)}, points)
        why = f"open interval {choices[-1]}: list {level + 1}"
        return Move(game_name(number, f"Reveal_{level + 1}"), why, statement)
    step = computation.step(start)
    roots = {"root_before": step.a, "root_written": step.m, "root_after": step.b}
    say = SayStep(choices, roots, words_of(step.record))
    return Move(game_name(number, "Step"), f"show step {start:,}", say)


def _after_step(position: Position, number: int) -> Decision:
    spender = position.spent_by(game_name(number, "Step"), VERDICT_DUE)
    if spender == game_name(number, "Slash"):
        return Wait("slashed for a false step", over=True)
    return _take_stake(position, number, "Step", "a proof that the step is false")


def _take_stake(position: Position, number: int, previous: str, owed: str) -> Decision:
    """Wait for what challenger ``number`` owes after ``previous``, and take its stake when ``delta`` is over."""
    name = game_name(number, f"TakeStake_after_{previous}")
    if position.has(name):
        return Wait(f"challenger {number} lost its stake", over=True)
    template = position.graph[name]
    if position.unlocked(template):
        return Move(name, f"challenger {number} did not deliver {owed} in time")
    return Wait(f"challenger {number} owes {owed}", position.unlock_height(template))
