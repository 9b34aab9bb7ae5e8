"""The honest challenger: a position and its own computation in, a decision out.

    Claim, verdict INVALID                    Challenge, before ``delta_claim`` is over
    Challenge or Reveal_r                     Choice_r: the first interval whose right end is false
    a list that does not hash to its root     Demand_r, Pick_r, and Choice_r from what is signed then
    Choice_r, no answer                       wait; after ``delta``, slash
    Step                                      slash with the leaf that shows the lie; or
                                              Compare, where a root is not the point that was signed in its place; or
                                              Ask for the statement that is false
    Path, Inside, Close                       slash with a proof, or Refute a hash; otherwise Descend, Narrow
    a question, no answer                     wait; after ``delta``, slash

Slash takes the bond along. Where somebody else's Slash was first, and is buried, Reclaim takes the stake back. Where it
was there before Challenge, there is nothing to challenge; but until it is buried a reorganisation may take it back, so
it does not let the time for Challenge run out.

A claim about an input that cannot exist, whose root encodes no node, is false at step 0, whatever its lists say.

A challenger that finds the claim VALID, or cannot tell yet (UNKNOWN), makes no move. It never points at an interval
whose left end it does not agree with, so the step that is left at the end is the first false one. What it needs no
computation for (a timeout, a proof against Step) it does while its own run is not finished, after a restart for
instance. A witness that cannot be read is an alarm, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitvm.game import side
from bitvm.game.computation import Computation
from bitvm.game.ending import LOST, ending
from bitvm.game.facts import slot_facts
from bitvm.game.finality import ClaimFacts, Verdict, earliest_false, ended_by
from bitvm.game.moves import Decision, Move, Prove, Say, SayChoice, Statement, Wait
from bitvm.game.opening import PathOpening, QuestionError, descend, first_false_kind, listed_opening, narrow
from bitvm.game.position import Position
from bitvm.game.proofs import find_proof
from bitvm.game.side import Standing, standing
from bitvm.game.side_list import choice_of_answers, pick_of_outline
from bitvm.game.sweeping import sweeps
from bitvm.game.trace_list import first_disagreement, interval_start, trace_root
from bitvm.game.window import challenged_until, in_time, is_closing, latest_start
from bitvm.graph.claim import BOND
from bitvm.graph.setting import game_name
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.fields import ENTRIES, Kind
from bitvm.leaves.proof import Said
from bitvm.leaves.step import step_index


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and its reason."""

    verdict: Verdict
    why: str


def judge(position: Position, computation: Computation | None) -> Judgement:
    """Judge the claim; ``computation`` is None while the challenger's own run is not finished."""
    try:
        claim = position.claim()
    except WitnessError as error:
        return Judgement(Verdict.UNKNOWN, f"the claim cannot be read: {error}")
    if claim.nodes["input_root"] is None:
        return Judgement(Verdict.INVALID, "no input has the claimed root")
    if computation is None:
        return Judgement(Verdict.UNKNOWN, "the computation is not finished")
    if claim.nodes["input_root"] != computation.input_root:
        return Judgement(Verdict.UNKNOWN, "the claim is about an input that we do not have")
    if claim.nodes["final_root"] != computation.final_root:
        return Judgement(Verdict.INVALID, "the run ends in another state")
    if not computation.accepted:
        return Judgement(Verdict.INVALID, "the run is not accepted")
    return Judgement(Verdict.VALID, "the run ends in the claimed state")


def decide_setup(position: Position, computations: Sequence[Computation | None], number: int) -> Mapping[str, Decision]:
    """Return the decisions of challenger ``number`` by ``slot:key``: its game, or its view of each claim.

    The stake is spent once, on the earliest false claim that can be challenged (`bitvm.game.finality`): nothing after a
    slashed claim is ever final, so what comes later needs no challenge. A claim for which it comes too late, or will
    not be there, is an alarm, under the key "setup", before and after the stake is spent.
    """
    facts = claim_facts(position, computations, number)
    target, ended = earliest_false(facts), ended_by(facts)
    known = _by_slot(position, computations)
    made = [slot for slot in known if position.at_claim(slot).has("Claim")]
    played = [slot for slot in made if position.at_claim(slot).has(game_name(number, "Challenge"))]
    decisions: dict[str, Decision] = {}
    for slot in played:
        found = decide(position.at_claim(slot), known[slot], number)
        decisions |= {f"{slot}:{key}": decision for key, decision in found.items()}
    for slot in made if not played else ():
        if target.claim is not None and slot > target.claim:
            break
        at, key = position.at_claim(slot), f"{slot}:{number}"
        decisions[key] = decision = _on_claim(at, known[slot], number)
        if ended is not None and slot > ended:
            decisions[key] = Wait(f"claim {ended} was slashed, and nothing behind it is ever final", over=True)
        elif isinstance(decision, Move) and slot != target.claim:
            decisions[key] = Wait(f"{decision.why}; the stake is kept for an earlier claim", latest_start(at))
    if target.alarms:
        decisions["setup"] = Wait("; ".join(target.alarms), alarm=True)
    return decisions


def claim_facts(position: Position, computations: Sequence[Computation | None], number: int) -> tuple[ClaimFacts, ...]:
    """Return what challenger ``number`` knows of every claim slot; ``computations``: its own, as far as it has them."""
    known = _by_slot(position, computations)
    return tuple(_facts(position.at_claim(slot), known[slot], number) for slot in known)


def _by_slot(position: Position, computations: Sequence[Computation | None]) -> Mapping[int, Computation | None]:
    """Return the computations by claim slot, None where there is none."""
    slots = range(1, position.graph.setting.parameters.claims + 1)
    return {slot: computations[slot - 1] if slot <= len(computations) else None for slot in slots}


def _facts(position: Position, computation: Computation | None, number: int) -> ClaimFacts:
    if not position.has("Claim"):
        return slot_facts(position)
    return slot_facts(
        position,
        judge(position, computation).verdict,
        challengeable=_challengeable(position, number) and _can_be_shown(position, computation),
        challenged=position.has(game_name(number, "Challenge")) and not _has_lost(position, number),
    )


def _challengeable(position: Position, number: int) -> bool:
    """Whether Challenge can be made, and would still be confirmed before Payout can be."""
    inputs = position.template(game_name(number, "Challenge")).inputs
    return in_time(position) and not any(position.is_spent(spent) for spent in inputs)


def _can_be_shown(position: Position, computation: Computation | None) -> bool:
    """Whether a dispute would show that the claim is false, should it be: whether our run begins where it begins.

    A false claim that was not challenged leaves another state to the next one, which may be true of that state. Whoever
    disputes it then, by a run from the true state, accuses step 0 in vain and loses its stake.
    """
    if position.slot == 1:
        return True
    try:
        before = position.at_claim(position.slot - 1).claim().nodes["final_root"]
        without_run = position.claim().nodes["input_root"] is None
    except WitnessError:
        return False
    return without_run or computation is None or before == computation.start_root


def _has_lost(position: Position, number: int) -> bool:
    over = ending(position, number)
    return over is not None and over.startswith(LOST)


def decide(position: Position, computation: Computation | None, number: int) -> Mapping[str, Decision]:
    """Return the decisions of challenger ``number`` on the position's claim, by game number or ``number/level``."""
    main = str(number)
    if not position.has("Claim"):
        return {main: Wait("there is no claim")}
    if not position.has(game_name(number, "Challenge")):
        return {main: _on_claim(position, computation, number)}
    swept = sweeps(position, number)
    over = ending(position, number)
    if over is not None:
        lost = _has_lost(position, number)
        why = "the prover took our stake" if lost else f"we ended the game with {over}"
        return {main: Wait(why, over=True, alarm=lost), **swept}
    try:
        return {main: _in_game(position, computation, number), **swept}
    except WitnessError as error:
        return {main: Wait(f"our game cannot be read: {error}", alarm=True), **swept}


def _move(position: Position, name: str, why: str, statement: Statement | None = None, leaf: str | None = None) -> Move:
    return Move(position.template(name).name, why, statement, leaf)


def _on_claim(position: Position, computation: Computation | None, number: int) -> Decision:
    spender = position.spent_by("Claim", BOND)
    if spender is not None and (position.buried(spender) or not is_closing(position)):
        return Wait(f"the bond was spent by {spender}", over=True)
    judgement = judge(position, computation)
    until = challenged_until(position)
    if judgement.verdict is not Verdict.INVALID:
        return Wait(f"{judgement.verdict}: {judgement.why}", until, alarm=judgement.verdict is Verdict.UNKNOWN)
    if not position.buried("Claim"):
        return Wait(f"INVALID: {judgement.why}; Claim is not buried yet")
    if not _challengeable(position, number):
        return Wait(f"INVALID: {judgement.why}; too late to challenge", alarm=True)
    if not _can_be_shown(position, computation):
        return Wait(f"INVALID: {judgement.why}; but it starts where our run does not, and may be true of that state")
    return _move(position, game_name(number, "Challenge"), f"INVALID: {judgement.why}")


def _in_game(position: Position, computation: Computation | None, number: int) -> Decision:
    if position.has(game_name(number, "Step")):
        return _after_step(position, computation, number)
    for level in range(position.graph.setting.parameters.levels, 0, -1):
        if position.has(game_name(number, f"Choice_{level}")):
            return _await_answer(position, number, f"Choice_{level}")
        if position.has(game_name(number, side.opener(level))):
            return _choose(position, computation, number, level)
    raise AssertionError("a challenged game has a last move")


# ---- winning


def _win(position: Position, number: int, slash: str, why: str, proof: tuple[Prove, str] | None = None) -> Decision:
    """Slash; or take the stake back alone, where the bond is gone for good."""
    statement, leaf = proof if proof is not None else (None, None)
    spender = position.spent_by("Claim", BOND)
    if spender is None:
        return _move(position, game_name(number, slash), why, statement, leaf)
    if not position.buried(spender):
        return Wait(f"{why}; but {spender} spent the bond and is not buried yet")
    return _move(position, game_name(number, _reclaim(slash)), f"{why}; the bond went to {spender}", statement, leaf)


def _reclaim(slash: str) -> str:
    """Return the name of Slash's twin without the bond."""
    return slash.replace("Slash", "Reclaim", 1)


def _await_answer(position: Position, number: int, asked: str) -> Decision:
    slash = f"Slash_after_{asked}"
    template = position.template(game_name(number, slash))
    won = position.template(game_name(number, _reclaim(slash))).inputs
    if any(map(position.is_spent, won)):
        return Wait(f"what the prover owed after {asked} is gone", alarm=True)
    if position.unlocked(template):
        return _win(position, number, slash, f"the prover did not answer {asked} in time")
    return Wait(f"the prover owes an answer to {asked}", position.unlock_height(template))


def _proof(position: Position, number: int, slash: str, said: Said) -> Decision | None:
    """Win by a proof of ``slash`` that holds, None if none does."""
    found = find_proof(position.template(game_name(number, slash)), said)
    if found is None:
        return None
    return _win(position, number, slash, found.statement, (Prove(found.hints), found.leaf))


# ---- bisection


def _choose(position: Position, computation: Computation | None, number: int, level: int) -> Decision:
    """Point at the first false interval of list ``level``; have the list signed first where it is not as signed."""
    if position.claim().nodes["input_root"] is None:
        return _choose_start(position, number, level)
    state = standing(position, number, level)
    if state in (Standing.DEMANDED, Standing.PICKED):
        return _await_answer(position, number, f"{state}_{level}")
    if computation is None:
        return Wait("the computation is not finished", alarm=True)
    last = game_name(number, side.last_move(state, level))
    if not position.buried(last):
        return Wait(f"{last} is not buried yet")
    parameters = position.graph.setting.parameters
    choices = [position.choice(number, r).choice for r in range(1, level)]
    start = interval_start(choices, parameters.width, parameters.levels)
    truth = computation.points(level, start)
    if state is Standing.UNTOUCHED:
        shown = position.reveal(number, level)
        if trace_root(shown.listed) != shown.nodes["trace_root"]:
            return _move(position, game_name(number, f"Demand_{level}"), f"list {level} does not hash to its root")
        choice = first_disagreement(shown.listed, truth)
    else:
        said = position.said(number)
        if state is Standing.OUTLINED:
            group = pick_of_outline(said, level, truth)
            say = Say({f"Pick_{level}/group": (group,)})
            name = game_name(number, f"Pick_{level}")
            return _move(position, name, f"the first false point of list {level} is in group {group}", say)
        choice = choice_of_answers(said, level, truth)
    left = start + choice * parameters.interval(level)
    why = f"agree at step {left:,}, not at step {left + parameters.interval(level):,}"
    return _move(position, game_name(number, f"Choice_{level}"), why, SayChoice(choice))


def _choose_start(position: Position, number: int, level: int) -> Decision:
    """Point at step 0, whatever the lists say: it cannot follow from an input that does not exist."""
    last = game_name(number, side.opener(level))
    if not position.buried(last):
        return Wait(f"{last} is not buried yet")
    name = game_name(number, f"Choice_{level}")
    return _move(position, name, "no input has the claimed root: step 0 is false", SayChoice(0))


# ---- after Step


def _after_step(position: Position, computation: Computation | None, number: int) -> Decision:
    said = position.said(number)
    for refute in ("Refute_after_Close", "Refute_after_Inside"):
        if position.has(game_name(number, refute)):
            return _win(position, number, f"Slash_after_{refute}", "a hash of the prover's was refuted")
    for page in ("Compare_left", "Compare_right"):
        if position.has(game_name(number, page)):
            won = _proof(position, number, f"Slash_after_{page}", said)
            return won or Wait("no signed point differs from the root", alarm=True)
    for asked in ("Narrow", "Descend", "Ask"):
        answer = {"Narrow": "Close", "Descend": "Inside", "Ask": "Path"}[asked]
        if position.has(game_name(number, answer)):
            return _on_answer(position, computation, number, said, answer)
        if position.has(game_name(number, asked)):
            return _await_answer(position, number, asked)
    return _on_step(position, computation, number, said)


def _on_step(position: Position, computation: Computation | None, number: int, said: Said) -> Decision:
    """Prove the step false by itself, compare its ends with signed points, or ask for what is false."""
    won = _proof(position, number, "Slash", said)
    if won is not None:
        return won
    if not position.buried(game_name(number, "Step")):  # nothing but a proof withstands another Step in its place
        return Wait("Step is not buried yet", alarm=computation is None)
    if position.claim().nodes["input_root"] is None:
        return _ask(position, number, Kind.START)
    for page in ("Compare_left", "Compare_right"):
        if find_proof(position.template(game_name(number, f"Slash_after_{page}")), said) is not None:
            return _move(position, game_name(number, page), "a root of the step is not the point that was signed")
    if computation is None:
        return Wait("the computation is not finished", alarm=True)
    parameters = position.graph.setting.parameters
    right = listed_opening(Kind.RIGHT, said.choices, parameters.width, _listed(position, number))
    kind = first_false_kind(computation.step(step_index(said.choices, parameters.width)), said, right)
    if kind is None:
        return Wait("nothing that the prover signed is false", alarm=True)
    return _ask(position, number, kind)


def _ask(position: Position, number: int, kind: Kind) -> Move:
    say = Say({"Ask/kind": (int(kind),)})
    return _move(position, game_name(number, "Ask"), f"ask for the proof of {kind.name}", say)


def _listed(position: Position, number: int) -> Mapping[int, tuple[bytes, ...]]:
    """Return the lists shown in the game that hash to their signed roots, by level."""
    found = {}
    for level in range(1, position.graph.setting.parameters.levels + 1):
        shown = position.reveal(number, level)
        if trace_root(shown.listed) == shown.nodes["trace_root"]:
            found[level] = shown.listed
    return found


def _on_answer(position: Position, computation: Computation | None, number: int, said: Said, answer: str) -> Decision:
    """Show that an answer after Step is false, or ask on."""
    won = _proof(position, number, f"Slash_after_{answer}", said)
    if won is not None:
        return won
    refute = game_name(number, f"Refute_after_{answer}")
    if answer in ("Inside", "Close"):
        found = find_proof(position.template(refute), said)
        if found is not None:
            return _move(position, refute, found.statement, Prove(found.hints), found.leaf)
    if answer == "Close":
        return Wait("nothing that the prover signed is false", alarm=True)
    if computation is None:
        return Wait("the computation is not finished", alarm=True)
    if not position.buried(game_name(number, answer)):
        return Wait(f"{answer} is not buried yet")
    truth = _true_opening(position, computation, number, said)
    if truth is None:
        return Wait("the list that would show the lie was not shown", alarm=True)
    try:
        if answer == "Path":
            question, gap = "Descend", descend(truth, said)
        else:
            question, gap = "Narrow", narrow(truth, said, said.words["descend.gap"])
    except QuestionError:  # Inside has shown all that there is
        gap = None
    if gap is None:
        return Wait("nothing that the prover signed is false", alarm=True)
    say = Say({f"{question}/gap": (gap,)})
    return _move(position, game_name(number, question), f"the lie is in gap {gap}", say)


def _true_opening(position: Position, computation: Computation, number: int, said: Said) -> PathOpening | None:
    """Return the path that the prover should have shown: of an entry, in the list that it showed itself."""
    kind, width = Kind(said.words["path.kind"]), position.graph.setting.parameters.width
    if kind in ENTRIES:
        return listed_opening(kind, said.choices, width, _listed(position, number))
    return computation.opening(kind, step_index(said.choices, width))
