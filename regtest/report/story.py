"""The verdict and the story of a game in sentences, for every way in which a simulation can end."""

from __future__ import annotations

from bitvm.graph.model import PROVER
from bitvm.graph.setting import game_name
from regtest.report.facts import DisputedStep, VerdictLeaf
from regtest.simulate import Result

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def power(base: int, exponent: int) -> str:
    """Return a power as it is printed."""
    return f"{base}{str(exponent).translate(_SUPERSCRIPT)}"


def headline(result: Result) -> str:
    """Return the verdict in a few words."""
    winner = result.outcome.winner
    if winner == PROVER:
        return "The prover is paid" if _true(result) else "A false claim is paid"
    if winner.startswith("challenger"):
        return "The false claim is slashed" if not _true(result) else "A true claim is slashed"
    return "Nobody wins"


def kind(result: Result) -> str:
    """Return what was played, in a few words."""
    scenario, lie = result.scenario, result.prepared.lie
    parts = ["An honest claim" if lie is None else f"A claim with a lie ({lie.name}: {lie.meaning})"]
    if scenario.accuse is not None:
        parts.append(f"falsely accused at step {scenario.accuse:,}")
    if scenario.silence is not None:
        parts.append(f"{scenario.silence.party} falls silent at {scenario.silence.template}")
    return ", ".join(parts)


def story(result: Result, number: int) -> str:
    """Return the game in a few sentences."""
    prepared, parameters = result.prepared, result.prepared.parameters
    sentences = [
        f"The program runs {prepared.true.executed:,} steps of RV32IM; a claim covers "
        f"{power(parameters.width, parameters.levels)} = {parameters.steps:,}."
    ]
    if prepared.lie is not None:
        sentences.append(f"At step {prepared.lie_step:,} the prover's run departs from the true one.")
    if result.position.has(game_name(number, "Step")):
        moves = sum(result.position.has(game_name(number, f"Choice_{r}")) for r in range(1, parameters.levels + 1))
        sentences.append(f"{moves} choices narrowed the dispute to one instruction.")
    if _true(result) and result.outcome.winner.startswith("challenger"):
        sentences.append("The claim was true, but a prover that does not answer in time cannot be told from a liar.")
    if not _true(result) and result.outcome.winner == PROVER:
        sentences.append(
            "The claim was false, but nobody saw a dispute through: a claim is safe as long as one challenger is "
            "honest and answers in time."
        )
    return " ".join(sentences)


def on_dispute(result: Result, number: int) -> str:
    """Return how game ``number`` was narrowed, or that there was nothing to narrow."""
    position = result.position
    if not position.has(game_name(number, "Challenge")):
        inside = result.prepared.parameters.width - 1
        return f"Nobody challenged, so nothing was narrowed. The claim shows the states at {inside} points of the run."
    if result.scenario.accuse is not None:
        return (
            "At each level the prover shows the machine's state at the ends of all parts. All of them are true, but "
            "this challenger points at a part nevertheless."
        )
    rule = (
        "At each level the prover shows the machine's state at the ends of all parts, and the challenger points at the "
        "first part whose left end it agrees with and whose right end it does not."
    )
    if position.has(game_name(number, "Step")):
        return rule
    return f"{rule} Here a party let its time pass before one step was left."


def on_step(step: DisputedStep, leaf: VerdictLeaf | None) -> str:
    """Return what the disputed step shows."""
    wrong = step.wrong()
    if leaf is not None:
        return (
            f"The prover had to sign every word of step {step.index:,}. What it signed is not what the instruction "
            "does, and a leaf of its own output's Script tells so."
        )
    if not wrong:
        return (
            f"The prover signed every word of step {step.index:,}, and all are true: no leaf of the output's Script "
            "accepts, so the challenger's stake goes to the prover when its time is over."
        )
    return f"The prover signed a false step {step.index:,}, and the challenger let its time to prove so pass."


def _true(result: Result) -> bool:
    return result.prepared.lie is None
