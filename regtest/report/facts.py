"""What a report shows, read off a finished simulation: the game that decided, its bisection, its step, its verdict.

Everything said comes from the witnesses on the chain; everything true comes from the challengers' own run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitvm.graph.model import Input
from bitvm.graph.setting import game_name
from bitvm.leaves.execution.base import ExecutionLeaf
from bitvm.leaves.execution.catalogue import BITVMX_BYTES, EXECUTION_LEAVES, leaf_bytes
from bitvm.leaves.statement import words_of
from bitvm.script.weight import witness_weight
from lvm.record import StepRecord
from regtest.simulate import Result


@dataclass(frozen=True, slots=True)
class Point:
    """A step at which both parties have a state root; ``claimed`` is None for a label that encodes no node."""

    step: int
    claimed: bytes | None
    true: bytes

    @property
    def agreed(self) -> bool:
        """Whether both roots are the same."""
        return self.claimed == self.true


@dataclass(frozen=True, slots=True)
class Level:
    """A level of the bisection: an interval, the points inside it that the prover showed, and the part chosen.

    points: all of the interval, both ends included, so that part i lies between points i and i + 1. choice: None
    where the challenger has not chosen.
    """

    number: int
    part_steps: int
    points: Sequence[Point]
    choice: int | None

    @property
    def parts(self) -> int:
        """Into how many parts the interval is cut."""
        return len(self.points) - 1


@dataclass(frozen=True, slots=True)
class DisputedStep:
    """The step that the bisection ended at: words that the prover signed, and the true record and words."""

    index: int
    claimed: dict[str, int]
    true: dict[str, int]
    record: StepRecord

    def wrong(self) -> tuple[str, ...]:
        """Return the names of the words that are false."""
        return tuple(name for name, word in self.claimed.items() if self.true[name] != word)


@dataclass(frozen=True, slots=True)
class VerdictLeaf:
    """The execution leaf through which the bond was slashed.

    script_bytes: of the whole script. body_bytes: without signatures and public values. weight: of the whole witness
    of that input. bitvmx_bytes: of BitVMX's leaf for the same instruction, without signatures, where known.
    """

    leaf: ExecutionLeaf
    script_bytes: int
    body_bytes: int
    weight: int
    bitvmx_bytes: int | None


def decisive_game(result: Result) -> int:
    """Return the number of the game to show: the winner's, else the first that was challenged, else 1."""
    position = result.position
    winner = result.outcome.winner
    if winner.startswith("challenger"):
        return int(winner.removeprefix("challenger"))
    numbers = range(1, result.scenario.challengers + 1)
    return next((number for number in numbers if position.has(game_name(number, "Challenge"))), 1)


def levels_of(result: Result, number: int) -> list[Level]:
    """Return the levels that the prover opened; the first is the claim's, whether anybody disputed it or not."""
    position, parameters = result.position, result.prepared.parameters
    if not position.has("Claim"):
        return []
    true = result.prepared.true
    boot = true.step(0).a
    left, right = Point(0, boot, boot), Point(parameters.steps, position.claim().nodes["final_root"], true.final_root)
    levels: list[Level] = []
    for level in range(1, parameters.levels + 1):
        if level > 1 and not position.has(game_name(number, f"Reveal_{level}")):
            break
        listed = position.reveal(number, level).listed
        interval = parameters.interval(level)
        inner = [
            Point(left.step + interval * (i + 1), claimed, truth)
            for i, (claimed, truth) in enumerate(zip(listed, true.points(level, left.step), strict=True))
        ]
        points = (left, *inner, right)
        chosen = position.has(game_name(number, f"Choice_{level}"))
        choice = position.choice(number, level).choice if chosen else None
        levels.append(Level(level, interval, points, choice))
        if choice is None:
            break
        left, right = points[choice], points[choice + 1]
    return levels


def disputed_step(result: Result, number: int) -> DisputedStep | None:
    """Return the step of game ``number``, None if it did not come to one."""
    if not result.position.has(game_name(number, "Step")):
        return None
    said = result.position.step(number)
    record = result.prepared.true.step(said.index).record
    return DisputedStep(said.index, dict(said.words), words_of(record), record)


def verdict_leaf(result: Result, number: int) -> VerdictLeaf | None:
    """Return the execution leaf that judged the step of game ``number``, None if none did."""
    name = game_name(number, "Slash")
    seen = result.position.confirmed.get(name)
    spent = result.position.graph[name].inputs[0]
    if seen is None or not isinstance(spent, Input):
        return None
    items = [bytes(item) for item in seen.transaction.wit.vtxinwit[0].scriptWitness.stack]
    script = items[-2]
    for leaf in EXECUTION_LEAVES:
        if spent.leaf(leaf.name).script == script:
            bitvmx = BITVMX_BYTES.get(leaf.name)
            return VerdictLeaf(leaf, len(script), leaf_bytes()[leaf.name], witness_weight(items), bitvmx)
    return None
