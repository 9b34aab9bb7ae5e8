"""Lies about the ends of a step and of the run: M without a write, list entries, the first state and the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from bitvm.game.computation import Computation, Execution
from bitvm.game.moves import Decision, Move, SayCommitment, SayStep
from bitvm.graph.model import PROVER, challenger
from bitvm.leaves.fields import Kind
from lvm.machine import Machine
from lvm.outcome import Outcome
from regtest.cases import Case, Deviation, Seats, challenger_of, deviating, flipping, on_moves, plain_name, prover_of
from regtest.lies.play import AFTER_PATH, REFUTED_CLOSE, REFUTED_INSIDE, SLASHED_BY_LEAF, Told, caught, seated
from regtest.lies.telling import (
    UNUSED,
    Forge,
    Lying,
    Story,
    Tell,
    afterwards,
    beside,
    elsewhere,
    false_above,
    false_below,
    poke,
    replaced,
    unlike,
)
from regtest.worlds import ENDLESS, FAULTY, GUEST, LAST, REFUSED, WIDTH, World

ROW = 4 * WIDTH
"""First step of an interval of level 1 in which the program computes."""

WRONG = b"\x77" * 24
"""A node that is no state's."""


class Label(bytes):
    """A message for a key of nodes whose label encodes no node: 2^192 and a little.

    It says that it has 24 bytes and has 25, so a scheme takes it for a node and signs a number that is too large.
    """

    def __len__(self) -> int:
        """Lie about the length."""
        return 24

    def __bytes__(self) -> Label:
        """Stay what it is when it is copied."""
        return self


LABEL = Label(bytes([5] * 23 + [0, 1]))


def end_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _no_write()
    yield from _entries()
    yield from _start()
    yield from _input()
    yield from _sequence()
    yield from _final()
    yield from _labels()


# ---- nothing is written


def _no_write() -> Iterator[Case]:
    finds: dict[str, Callable[[World], int]] = {
        "no_rd": lambda world: world.executes("bne"),
        "x0": lambda world: world.find(lambda r: r.instr & 0xFFF == 0x013),
        "outcome": lambda world: world.find(lambda r: r.outcome is Outcome.FUEL),
    }
    for reason, find in finds.items():
        story = f"nothing is written ({reason}), and yet a word changes"
        told = _at(find, beside(UNUSED))
        yield caught(f"no_write/{reason}", story, told, SLASHED_BY_LEAF, leaves=(f"no_write.{reason}",))
    story = "nothing is written, M is said to be another root, and the next state is another one"
    told = _at(finds["no_rd"], unlike(replaced(UNUSED), WRONG))
    yield caught("no_write/unlike", story, told, SLASHED_BY_LEAF, leaves=("no_write.no_rd",))
    story = "the machine has halted, and yet a word changes"
    yield caught(
        "no_write/halted", story, _at(lambda _: LAST - 3, beside(UNUSED)), SLASHED_BY_LEAF, leaves=("no_write.outcome",)
    )
    for name, kind in (("written", "before M"), ("after", "after M")):
        tell = unlike(replaced(UNUSED), WRONG) if name == "written" else unlike(beside(UNUSED), WRONG)
        story = f"M is no state's root, and the next state is false ({kind})"
        yield caught(f"written_root/{name}", story, _at(lambda world: world.executes("mul"), tell), REFUTED_CLOSE)


def _at(find: Callable[[World], int], tell: Tell, kind: Kind | None = None, forge: Forge | None = None) -> Told:
    forged = {kind: forge} if kind is not None and forge is not None else None
    return lambda world: Story({find(world): tell}, forged=forged)


# ---- entries of lists


def _entries() -> Iterator[Case]:
    sides = {"left": (Kind.LEFT, elsewhere(UNUSED), 1), "right": (Kind.RIGHT, replaced(UNUSED), 0)}
    for name, (kind, tell, past) in sides.items():
        story = {
            "left": "the step is of another state than the one listed",
            "right": "another state than the step's is listed",
        }[name]
        for place in (5, 10):
            for height in range(4):
                turn = "right" if place >> height & 1 else "left"
                row, leaf = f"entry/{name}/{place}/{height}", f"entry.{height}.{turn}"
                told = _step(ROW + place + past, tell, kind, false_below(height + 1))
                yield caught(row, f"{story}; the path is false up to {height}", told, REFUTED_INSIDE, leaves=(leaf,))
        first = {"left": ROW, "right": ROW + WIDTH - 1}[name]
        yield caught(
            f"entry/{name}/level_1", f"{story}, in list 1", _step(first, tell), REFUTED_INSIDE, leaves=("entry",)
        )
        low = {"left": "A", "right": "B"}[name]
        for level, step in ((1, first), (2, ROW + 6)):
            for field, leaf in (("top", f"restated.top.R_{level}"), ("before_0", f"restated.before_0.{low}")):
                deviation = flipping("Path", f"Path/{field}")
                row, more = f"entry/{name}/{field}_{level}", f"{story}, and Path says another {field}"
                yield caught(row, more, _step(step, tell), AFTER_PATH, deviations=(deviation,), leaves=(leaf,))
            deviation = flipping("Path", "Path/where", 2)
            row, leaf = f"entry/{name}/place_{level}", f"place.{name}_{level}"
            more = f"{story}, and Path leads to another entry"
            yield caught(row, more, _step(step, tell), AFTER_PATH, deviations=(deviation,), leaves=(leaf,))
        for answer, field in (*(("Path", f"before_{h}") for h in range(1, 4)), ("Inside", "sibling_0")):
            deviation = flipping(answer, f"{answer}/{field}")
            more = f"{story}, and {answer} says another {field}"
            row = f"entry/{name}/{answer}/{field}"
            yield caught(row, more, _step(ROW + 6, tell), REFUTED_INSIDE, deviations=(deviation,), leaves=("entry",))


def _step(step: int, tell: Tell, kind: Kind | None = None, forge: Forge | None = None) -> Told:
    return _at(lambda _: step, tell, kind, forge)


# ---- the first state


def _other_memory(machine: Machine) -> None:
    poke(machine, UNUSED)


def _starting(forge: Forge | None = None) -> Told:
    return lambda _: Story({}, start=_other_memory, forged={Kind.START: forge} if forge else None)


def _start() -> Iterator[Case]:
    story = "the run starts with another word in memory"
    for height in range(17, 24):
        row, told = f"start/after/{height}", _starting(false_above(height))
        yield caught(
            row, f"{story}; the path breaks at {height}", told, REFUTED_INSIDE, leaves=(f"start.after.{height}",)
        )
        row, told = f"start/before/{height}", _starting(false_below(height + 1))
        yield caught(
            row,
            f"{story}; the path before breaks at {height}",
            told,
            REFUTED_INSIDE,
            leaves=(f"start.before.{height}",),
        )
    yield caught(
        "start/base",
        f"{story}; no node after is true",
        _starting(false_above(16)),
        REFUTED_INSIDE,
        leaves=("start.base",),
    )
    restated = {"top": "restated.top.prev", "top_after": "restated.top_after.A", "input": "restated.input"}
    for field in (*restated, *(f"{side}_{number}" for side in ("before", "after") for number in range(4))):
        deviation = flipping("Path", f"Path/{field}")
        leaves = (restated[field],) if field in restated else ()
        decides = AFTER_PATH if field in restated else REFUTED_INSIDE
        row = f"start/Path/{field}"
        yield caught(
            row, f"{story}, and Path says another {field}", _starting(), decides, deviations=(deviation,), leaves=leaves
        )
    for field in ("before_1", "after_1", "sibling_0", "sibling_1"):
        deviation, told = flipping("Inside", f"Inside/{field}"), _starting(false_above(20))
        row = f"start/Inside/{field}"
        yield caught(row, f"{story}, and Inside says another {field}", told, REFUTED_INSIDE, deviations=(deviation,))


class OtherInput(Execution):
    """A run on another input than the one that is claimed."""

    def claimed_as(self, input_root: bytes) -> OtherInput:
        """Claim the root of another input, and that the run was accepted."""
        self.input_root = input_root
        return self


def _other_input(data: bytes) -> Computation:
    run = OtherInput(GUEST.parameters(), GUEST.image, data, engine="spec")
    return run.claimed_as(GUEST.run().input_root)


def _input() -> Iterator[Case]:
    for name, data in (("other", b"\7\0\0\0"), ("none", b""), ("longer", GUEST.data + bytes(4))):
        story = f"the claim is of one input, the run was on another ({name})"
        seats = seated(partial(_other_input, data))
        yield Case(f"lie/input/{name}", story, challenger(1), (REFUTED_INSIDE,), seats, ("start.base",))


# ---- a second claim


def _sequence() -> Iterator[Case]:
    story = "the second claim starts in another memory than the first one left"
    forgetful = f"{story}: that of the image"
    yield _second(
        "forgetful", forgetful, lambda _: GUEST.run(b"\2"), (f"{AFTER_PATH}#2",), leaves=("restated.top.prev",)
    )

    def poked(first: Execution) -> Computation:
        return Lying(GUEST.run(b"\2", first), Story({}, start=_other_memory))

    yield _second("memory", story, poked, (f"{REFUTED_INSIDE}#2",))
    top = flipping("Path", "Path/top")
    yield _second(
        "previous", f"{story}, which Path says", poked, (f"{AFTER_PATH}#2",), top, leaves=("restated.top.prev",)
    )

    def late(first: Execution) -> Computation:
        return Lying(GUEST.run(b"\2", first), Story({ROW: beside(UNUSED)}))

    yield _second("step", "the second claim is false in a step", late, (f"{REFUTED_CLOSE}#2",))


def _second(
    name: str,
    story: str,
    lie: Callable[[Execution], Computation],
    decides: tuple[str, ...],
    *deviations: Deviation,
    leaves: tuple[str, ...] = (),
) -> Case:
    def seats() -> Seats:
        first, known = GUEST.run(), GUEST.run()
        liar = deviating(prover_of(first, lie(first)), *deviations)
        honest = challenger_of(1, known, GUEST.run(b"\2", known))
        return Seats(GUEST.parameters(claims=2), {PROVER: liar, challenger(1): honest})

    return Case(f"lie/second/{name}", story, challenger(1), decides, seats, leaves)


# ---- the last state


def claiming(**nodes: bytes) -> Deviation:
    """Return the deviation that signs other nodes in Claim."""
    return _committing("Claim", nodes)


def revealing(level: int, **nodes: bytes) -> Deviation:
    """Return the deviation that signs other nodes with list ``level``."""
    return _committing(f"Reveal_{level}", nodes)


def _committing(name: str, nodes: dict[str, bytes]) -> Deviation:
    def change(_: object, move: Move) -> Decision:
        say = move.statement
        if plain_name(move) != name or not isinstance(say, SayCommitment):
            return move
        return replace(move, statement=replace(say, nodes={**say.nodes, **nodes}))

    return on_moves(change)


def stepping(**roots: bytes) -> Deviation:
    """Return the deviation that signs other roots in Step."""

    def change(_: object, move: Move) -> Decision:
        say = move.statement
        if plain_name(move) != "Step" or not isinstance(say, SayStep):
            return move
        return replace(move, statement=replace(say, roots={**say.roots, **roots}))

    return on_moves(change)


class Accepted(Execution):
    """A true run that is claimed as accepted whatever it ended in."""

    def insist(self) -> Accepted:
        """Claim that it was accepted."""
        self.accepted = True
        return self


def _insisting(world: World) -> Computation:
    return Accepted(world.parameters(), world.image, world.data, engine="spec").insist()


def _final() -> Iterator[Case]:
    story = "every state is true but the final one"
    truth = seated(GUEST.run, claiming(final_root=WRONG))
    yield Case("lie/final/claimed", story, challenger(1), (SLASHED_BY_LEAF,), truth, ("final_root",))
    told = _step(LAST, afterwards(UNUSED))
    yield caught("final/last_step", "the last step changes a word", told, REFUTED_CLOSE)
    yield caught("final/before_last", "the step before it does", _step(LAST - 1, beside(UNUSED)), SLASHED_BY_LEAF)
    for world in (REFUSED, FAULTY, ENDLESS):
        seats = seated(partial(_insisting, world), world=world)
        story = f"the run is true and not accepted ({world.name})"
        yield Case(f"lie/accepted/{world.name}", story, challenger(1), (SLASHED_BY_LEAF,), seats, ("accepted",))


# ---- labels that encode no node


def _labels() -> Iterator[Case]:
    none = "whose label encodes no node"
    seats = seated(GUEST.run, claiming(final_root=LABEL))
    story = f"all is true but the final root, {none}"
    yield Case("lie/label/final_root", story, challenger(1), (SLASHED_BY_LEAF,), seats, ("final_root",))
    seats = seated(GUEST.run, claiming(input_root=LABEL))
    story = f"all is true but the input root, {none}"
    yield Case("lie/label/input_root", story, challenger(1), ("1/Choice_1", AFTER_PATH), seats, ("restated.input",))
    left, right, add = elsewhere(UNUSED), replaced(UNUSED), beside(UNUSED)
    for name, tell, leaf in (
        ("root_before", left, "restated.before_0.A"),
        ("root_written", add, "restated.top_after.M"),
        ("root_after", right, "restated.top_after.B"),
    ):
        story, told = f"Step has a root {none}: {name}", _at(lambda world: world.executes("mul"), tell)
        yield caught(f"label/{name}", story, told, AFTER_PATH, deviations=(stepping(**{name: LABEL}),), leaves=(leaf,))
    story, deviation = f"the first state has a root {none}", stepping(root_before=LABEL)
    yield caught(
        "label/start", story, _starting(), AFTER_PATH, deviations=(deviation,), leaves=("restated.top_after.A",)
    )
    for level, deviation in ((1, claiming(trace_root=LABEL)), (2, revealing(2, trace_root=LABEL))):
        story = f"list {level} has a root {none}"
        told = _at(lambda world: world.executes("mul"), add)
        yield caught(
            f"label/trace_root_{level}", story, told, f"1/Demand_{level}", REFUTED_CLOSE, deviations=(deviation,)
        )
