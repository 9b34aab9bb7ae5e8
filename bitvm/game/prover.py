"""The honest prover: a position and a computation in, decisions out.

    no Claim yet                              claim; or Withdraw, after ``delta_long``, if nothing can be claimed
    Challenge or Reveal_r, no Choice_r        wait; after ``delta``, take the stake
    Demand_r, Pick_r                          Outline_r, Detail_r, while Choice_r is not made
    Choice_r, r < m                           Reveal_{r+1}
    Choice_m                                  Step
    Ask, Descend, Narrow                      Path, Inside, Close; or take the stake, if the question makes no sense
    Step, Path, Inside, Close, Compare        wait for a proof or a question; after ``delta``, take the stake
    no Challenge, ``delta_claim`` over        Payout
    ``delta_long`` over                       LatePayout

A statement is made only in answer to a move that is buried, so that it is a function of what will not change. The
prover answers every game by itself; a decision is returned for each, one for the bond, and one for each side path that
needs it. A game whose moves cannot be read is an alarm, and takes neither the other games nor the bond down with it. A
run that has not ended (`Unfinished`) keeps from being made only what depends on it: not a timeout, and not Payout.

A slot goes back as soon as it may where nothing is to be claimed, the run is not accepted, or the slot before has gone
back. What may pass by itself, a run that goes on, attesters who have not signed, a claim before that is not made, is
given ``delta_claim`` more, the time in which a challenger runs the program: a restart alone gives no slot up. Then the
slot goes back too, or bond and stakes would be locked for ever. Withdraw signs nothing with a one-time key, so what
comes later may still be claimed: only one of the two can be confirmed, and a Claim always says the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bitvm.game import side
from bitvm.game.computation import Computation, UnfinishedError
from bitvm.game.ending import ending
from bitvm.game.moves import Decision, Move, Prove, Say, SayCommitment, SayStep, Statement, Wait
from bitvm.game.opening import close_fields, inside_fields, message_name, path_fields
from bitvm.game.position import Position
from bitvm.game.proofs import find_proof
from bitvm.game.side import Standing, standing
from bitvm.game.trace_list import interval_start, trace_root
from bitvm.graph.choice_due import CHOICE_DUE
from bitvm.graph.claim import BOND, claim_leaf
from bitvm.graph.model import challenger
from bitvm.graph.parameters import DUST
from bitvm.graph.setting import attest_field, game_name
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.fields import Kind
from bitvm.leaves.statement import words_of
from bitvm.leaves.step import step_index
from bitvm.setup.attestation import Attested

BOND_DECISION = "bond"
"""Key of the decision that concerns claim and bond."""

UNFINISHED = "the computation is not finished"
"""How a decision begins that waits for our own run although a move is owed."""

_QUESTIONS = (("Narrow", "Close"), ("Descend", "Inside"), ("Ask", "Path"))
"""Each question after Step with its answer, the last one first."""


def decide_setup(
    position: Position, computations: Sequence[Computation | None], attested: Mapping[int, Attested] | None = None
) -> Mapping[str, Decision]:
    """Return the decisions on all claims, by ``slot:key`` with the keys of `decide`.

    computations: those of claims 1, 2 …, as far as they are known; None for a slot in which nothing will be claimed.
    attested: by slot.
    """
    decisions: dict[str, Decision] = {}
    for slot, computation in enumerate(computations, start=1):
        if computation is None:
            found = {BOND_DECISION: _withdraw(position.at_claim(slot), "there is nothing to claim")}
        else:
            found = dict(decide(position.at_claim(slot), computation, (attested or {}).get(slot)))
        decisions |= {f"{slot}:{key}": decision for key, decision in found.items()}
    return decisions


def decide(position: Position, computation: Computation, attested: Attested | None = None) -> Mapping[str, Decision]:
    """Return the decisions on the position's claim: by ``BOND_DECISION``, the game's number, or ``number/level``.

    attested: what attesters signed for this claim, where the set-up has attesters.
    """
    decisions: dict[str, Decision] = {BOND_DECISION: _on_bond(position, computation, attested)}
    if position.has("Claim"):
        for number in range(1, position.graph.setting.parameters.challengers + 1):
            decisions |= _in_readable_game(position, computation, number)
    return decisions


def moves(position: Position, computation: Computation) -> Iterator[Move]:
    """Yield the decisions that are moves."""
    return (decision for decision in decide(position, computation).values() if isinstance(decision, Move))


def _move(position: Position, name: str, why: str, statement: Statement | None = None, leaf: str | None = None) -> Move:
    return Move(position.template(name).name, why, statement, leaf)


# ---- claim and bond


def _on_bond(position: Position, computation: Computation, attested: Attested | None) -> Decision:
    if not position.has("Claim"):
        return _on_slot(position, computation, attested)
    spender = position.spent_by("Claim", BOND)
    if spender is not None:
        return Wait(f"the bond was spent by {spender}", over=True)
    games = range(1, position.graph.setting.parameters.challengers + 1)
    challenged = any(position.has(game_name(number, "Challenge")) for number in games)
    name = "LatePayout" if challenged else "Payout"
    template = position.template(name)
    if position.unlocked(template):
        return _move(position, name, "nobody slashed the bond in time")
    why = "the bond is locked while a challenge runs" if challenged else "the bond is locked"
    return Wait(why, position.unlock_height(template))


def _on_slot(position: Position, computation: Computation, attested: Attested | None) -> Decision:
    """Claim, or take the slot back where nothing can be claimed: at once if it never can, else after some patience."""
    if position.has("Withdraw"):
        return _withdraw(position, "there is nothing to claim")
    if position.slot > 1 and position.at_claim(position.slot - 1).has("Withdraw"):
        return _withdraw(position, f"slot {position.slot - 1} went back, so nothing can be claimed behind it")
    try:
        if not computation.accepted:
            why = f"the run on the input {computation.input_root.hex()} is not accepted, so this slot claims nothing"
            return _withdraw(position, why, alarm=True)
        decision = _claim(position, computation, attested)
    except UnfinishedError as error:
        decision = Wait(str(error), alarm=False)
    if isinstance(decision, Wait) and _patience_ends(position):
        return _withdraw(position, decision.why, alarm=decision.alarm)
    return decision


def _patience_ends(position: Position) -> bool:
    """Whether Withdraw was possible for so long that the slot is not kept for what may still come."""
    parameters = position.graph.setting.parameters
    patience = parameters.delta_long + parameters.delta_claim
    return position.has("Fund") and position.height + 1 >= position.height_of("Fund") + patience


def _withdraw(position: Position, why: str, *, alarm: bool = False) -> Decision:
    if position.has("Withdraw"):
        return Wait("the slot was withdrawn", over=True)
    withdraw = position.template("Withdraw")
    if position.unlocked(withdraw):
        return _move(position, "Withdraw", f"{why}: the slot goes back")
    return Wait(
        f"{why}: its bond comes back with Withdraw, which is locked", position.unlock_height(withdraw), alarm=alarm
    )


def _claim(position: Position, computation: Computation, attested: Attested | None) -> Decision:
    if not position.buried("Fund"):
        return Wait("Fund is not buried yet")
    if position.slot > 1 and not position.at_claim(position.slot - 1).buried("Claim"):
        return Wait("the claim before is not buried yet")
    why, say = "claim the result and show list 1", claim_statement(computation)
    attesters = range(1, position.graph.setting.parameters.attesters + 1)
    if not attesters:
        return _move(position, "Claim", why, say)
    if attested is None or attested.input_root != computation.input_root:
        return Wait("too few attesters signed the input", alarm=True)
    quorum = [number for number in attesters if challenger(number) in attested.signatures]
    signed = {attest_field(number, attested.attempt): attested.signatures[challenger(number)] for number in quorum}
    leaf = claim_leaf(attested.attempt, quorum)
    return _move(position, "Claim", why, replace(say, attestations=signed), leaf)


def claim_statement(computation: Computation) -> SayCommitment:
    """Return what Claim says about a computation, without attestations."""
    points = computation.points(1, 0)
    nodes = {
        "input_root": computation.input_root,
        "trace_root": trace_root(points),
        "final_root": computation.final_root,
    }
    return SayCommitment(nodes, points)


# ---- a game


def _in_readable_game(position: Position, computation: Computation, number: int) -> dict[str, Decision]:
    try:
        return _in_game(position, computation, number)
    except WitnessError as error:
        return {str(number): Wait(f"game {number} cannot be read: {error}", alarm=True)}
    except UnfinishedError as error:
        sweeps = dict(_sweeps(position, number))
        return {str(number): Wait(f"{UNFINISHED}: {error}", alarm=True), **sweeps}


def _in_game(position: Position, computation: Computation, number: int) -> dict[str, Decision]:
    main = str(number)
    if not position.has(game_name(number, "Challenge")):
        return {main: Wait(f"challenger {number} has not challenged")}
    levels = range(position.graph.setting.parameters.levels, 0, -1)
    sweeps = dict(_sweeps(position, number))
    over = ending(position, number)
    if over is not None:
        return {main: Wait(f"the game ended with {over}", over=True), **sweeps}
    if position.has(game_name(number, "Step")):
        return {main: _after_step(position, computation, number), **sweeps}
    for level in levels:
        if position.has(game_name(number, f"Choice_{level}")):
            return {main: _answer(position, computation, number, level), **sweeps}
        if position.has(game_name(number, side.opener(level))):
            return {**_await_choice(position, computation, number, level), **sweeps}
    raise AssertionError("a challenged game has a last move")


def _await_choice(position: Position, computation: Computation, number: int, level: int) -> dict[str, Decision]:
    """Wait for Choice_``level``, or answer on its side path if the challenger wants the list signed."""
    state = standing(position, number, level)
    if state in (Standing.UNTOUCHED, Standing.OUTLINED, Standing.ANSWERED):
        owed = f"Pick_{level} or Choice_{level}" if state is Standing.OUTLINED else f"Choice_{level}"
        return {str(number): _take_stake(position, number, side.last_move(state, level), owed)}
    asked = game_name(number, f"{state}_{level}")
    if not position.buried(asked):
        return {str(number): Wait(f"{asked} is not buried yet")}
    parameters = position.graph.setting.parameters
    choices = [position.choice(number, r).choice for r in range(1, level)]
    points = computation.points(level, interval_start(choices, parameters.width, parameters.levels))
    if state is Standing.DEMANDED:
        say = Say(side.outline_messages(points, level, parameters.width))
        return {str(number): _move(position, game_name(number, f"Outline_{level}"), f"outline list {level}", say)}
    group = position.said(number).words[f"pick_{level}.group"]
    say = Say(side.detail_messages(points, level, parameters.width, group))
    why = f"show group {group} of list {level}"
    return {str(number): _move(position, game_name(number, f"Detail_{level}"), why, say)}


def _answer(position: Position, computation: Computation, number: int, level: int) -> Decision:
    """Answer Choice_``level``: Reveal_{level+1}, or Step after the last."""
    parameters = position.graph.setting.parameters
    name = game_name(number, f"Choice_{level}")
    if not position.buried(name):
        return Wait(f"{name} is not buried yet")
    choices = tuple(position.choice(number, r).choice for r in range(1, level + 1))
    start = interval_start(choices, parameters.width, parameters.levels)
    if level < parameters.levels:
        points = computation.points(level + 1, start)
        statement = SayCommitment({"trace_root": trace_root(points)}, points)
        why = f"open interval {choices[-1]}: list {level + 1}"
        return _move(position, game_name(number, f"Reveal_{level + 1}"), why, statement)
    step = computation.step(start)
    roots = {"root_before": step.a, "root_written": step.m, "root_after": step.b}
    say = SayStep(choices, roots, words_of(step.record))
    return _move(position, game_name(number, "Step"), f"show step {start:,}", say)


def _after_step(position: Position, computation: Computation, number: int) -> Decision:
    for question, answer in _QUESTIONS:
        if position.has(game_name(number, answer)):
            return _take_stake(position, number, answer, "a proof or a question")
        asked = game_name(number, question)
        if position.has(asked):
            if not position.buried(asked):
                return Wait(f"{asked} is not buried yet")
            return _explain(position, computation, number, question, answer)
    for page in ("Compare_left", "Compare_right"):
        if position.has(game_name(number, page)):
            return _take_stake(position, number, page, "a proof that a signed point differs")
    return _take_stake(position, number, "Step", "a proof that the step is false")


def _explain(position: Position, computation: Computation, number: int, question: str, answer: str) -> Decision:
    """Answer a question after Step, or take the stake of who asks what makes no sense."""
    said = position.said(number)
    dismiss = game_name(number, f"Dismiss_{question}")
    found = find_proof(position.template(dismiss), said)
    if found is not None:
        return _move(position, dismiss, found.statement, Prove(found.hints), found.leaf)
    index = step_index(said.choices, position.graph.setting.parameters.width)
    opening = computation.opening(Kind(said.words["ask.kind"]), index)
    gap, narrow = said.words.get("descend.gap", 0), said.words.get("narrow.gap", 0)
    match answer:
        case "Path":
            messages = path_fields(opening)
        case "Inside":
            messages = inside_fields(opening, gap)
        case _:
            messages = close_fields(opening, gap, narrow)
    why = f"prove {opening.kind.name}: {answer}"
    leaf = message_name(answer, opening, gap)
    return _move(position, game_name(number, answer), why, Say(messages), leaf)


def _take_stake(position: Position, number: int, previous: str, owed: str) -> Decision:
    """Wait for what challenger ``number`` owes after ``previous``, and take its stake when ``delta`` is over."""
    name = game_name(number, f"TakeStake_after_{previous}")
    template = position.template(name)
    if any(position.is_spent(spent) for spent in template.inputs):  # by Refute, or by a Sweep after a long sleep
        return Wait(f"{name} can be made no more", alarm=True)
    if position.unlocked(template):
        return _move(position, name, f"challenger {number} did not deliver {owed} in time")
    return Wait(f"challenger {number} owes {owed}", position.unlock_height(template))


def _sweeps(position: Position, number: int) -> Iterator[tuple[str, Decision]]:
    """Yield, for each side path on which the prover was made to answer, how it gets the level's side money.

    Dust is left: it is not worth the fee.
    """
    parameters = position.graph.setting.parameters
    for level in range(1, parameters.levels + 1) if parameters.answer_price > DUST else ():
        state = standing(position, number, level)
        if state is Standing.UNTOUCHED or position.open(game_name(number, side.opener(level)), CHOICE_DUE):
            continue
        name = game_name(number, f"Sweep_{side.OWED[state]}_{level}")
        template = position.template(name)
        source = template.inputs[0]
        if position.is_spent(source):
            continue
        if position.unlocked(template):
            yield f"{number}/{level}", _move(position, name, f"the side money of level {level}")
        else:
            yield f"{number}/{level}", Wait(f"the side money of level {level}", position.unlock_height(template))
