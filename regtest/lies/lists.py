"""Lies about the lists of states, silence, lies told twice, and lies that do no harm.

A list that does not hash to its signed root is demanded: the prover signs points of it, and from then on these count,
not what it has shown. It may sign the points of its own false run, or true ones, or false ones at places of its choice;
what it says in Step must then be what it signed, or a comparison shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

from bitvm.game.computation import Computation
from bitvm.game.moves import Decision, Move, Say, SayCommitment
from bitvm.game.position import Position
from bitvm.game.side import detail_messages, outline_messages
from bitvm.game.trace_list import interval_start
from bitvm.graph.model import PROVER, challenger
from lvm.layout import HASH_BYTES
from lvm.machine import Machine, StepRoots, step_roots
from regtest.cases import (
    Case,
    Deviation,
    Seats,
    challenger_of,
    deviating,
    from_age,
    on_moves,
    plain_name,
    prover_of,
    silent_at,
)
from regtest.hostile import Lie
from regtest.lies.ends import ROW, WRONG, claiming, revealing, stepping
from regtest.lies.paths import READS, WRITES
from regtest.lies.play import AFTER_INSIDE, REFUTED_CLOSE, REFUTED_INSIDE, SLASHED_BY_LEAF, Told, caught, lying, seated
from regtest.lies.said import SaidLie, at, said_lies
from regtest.lies.telling import UNUSED, Story, afterwards, and_then, beside, elsewhere, other_node, says
from regtest.worlds import GUEST, LAST, LEVELS, WIDTH, World

GROUP = 4
"""Intervals between two points of Outline."""

Garble = Callable[[tuple[bytes, ...]], tuple[bytes, ...]]


def list_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _garbled()
    yield from _answers()
    yield from _compared()
    yield from _compared_twice()
    yield from _silences()
    yield from _several()
    yield from _harmless()


# ---- deviations


def listing(name: str, garble: Garble) -> Deviation:
    """Return the deviation that shows another list in Claim or Reveal_r."""

    def change(_: Position, move: Move) -> Decision:
        say = move.statement
        if plain_name(move) != name or not isinstance(say, SayCommitment):
            return move
        return replace(move, statement=replace(say, listed=garble(say.listed)))

    return on_moves(change)


def shower(level: int) -> str:
    """Return the transaction that shows a list."""
    return "Claim" if level == 1 else f"Reveal_{level}"


def answering(level: int, computation: Computation, false: Collection[int] = ()) -> Deviation:
    """Return the deviation that signs the points of ``computation`` on demand, false ones where numbered (1..k-1)."""

    def change(position: Position, move: Move) -> Decision:
        name = plain_name(move)
        if name not in (f"Outline_{level}", f"Detail_{level}"):
            return move
        choices = [position.choice(1, above).choice for above in range(1, level)]
        points = computation.points(level, interval_start(choices, WIDTH, LEVELS))
        points = tuple(WRONG if number in false else point for number, point in enumerate(points, start=1))
        if name.startswith("Outline"):
            return replace(move, statement=Say(outline_messages(points, level, WIDTH)))
        group = position.said(1).words[f"pick_{level}.group"]
        return replace(move, statement=Say(detail_messages(points, level, WIDTH, group)))

    return on_moves(change)


_GARBLES: dict[str, Garble] = {
    "withheld": lambda listed: (bytes(HASH_BYTES),) * len(listed),
    "first": lambda listed: (other_node(listed[0]), *listed[1:]),
    "last": lambda listed: (*listed[:-1], other_node(listed[-1])),
    "swapped": lambda listed: (listed[1], listed[0], *listed[2:]),
}


# ---- lists that are not as signed


def _changed() -> Told:
    return lambda world: Story({world.executes("mul"): beside(UNUSED)})


def _garbled() -> Iterator[Case]:
    for level in range(1, LEVELS + 1):
        demand = f"1/Demand_{level}"
        for name, garble in _GARBLES.items():
            story = f"list {level} is not as signed ({name}); demanded, it is as the prover has it"
            deviation = listing(shower(level), garble)
            row = f"list_{level}/{name}/bold"
            yield caught(row, story, _changed(), demand, REFUTED_CLOSE, deviations=(deviation,))
        root = claiming(trace_root=WRONG) if level == 1 else revealing(level, trace_root=WRONG)
        story = f"the root of list {level} is that of no list"
        yield caught(f"list_{level}/root/bold", story, _changed(), demand, REFUTED_CLOSE, deviations=(root,))
        withheld = listing(shower(level), _GARBLES["withheld"])
        for name, read in (("rs1", READS["rs1"]), ("mem", READS["mem"])):
            story = f"list {level} is withheld, and {name} is misread"
            yield caught(
                f"list_{level}/withheld/{name}", story, read.told(), demand, AFTER_INSIDE, deviations=(withheld,)
            )
        story = f"list {level} is withheld, and the word beside the control words changes"
        row = f"list_{level}/withheld/state"
        yield caught(row, story, WRITES["state"].told(), demand, REFUTED_CLOSE, deviations=(withheld,))
        lie = next(said_lies())
        story = f"list {level} is withheld, and {lie.what}"
        yield caught(f"list_{level}/withheld/says", story, _said(lie), demand, SLASHED_BY_LEAF, deviations=(withheld,))
        for answer in ("Outline", "Detail"):
            asked = {"Outline": "Demand", "Detail": "Pick"}[answer]
            deviations = (withheld, silent_at(f"{answer}_{level}"))
            row, story = f"list_{level}/withheld/silent_{answer}", f"list {level} is withheld, and {answer} not given"
            yield caught(row, story, _changed(), f"1/Slash_after_{asked}_{level}", deviations=deviations)


def _said(lie: SaidLie) -> Told:
    return lambda world: Story({lie.find(world): says(lie.lie)})


# ---- points that are signed on demand

_ANSWERED: Mapping[str, tuple[Collection[int], tuple[str, str]]] = {
    "true": ((), ("left", "left")),
    "outline": ((GROUP, 2 * GROUP, 3 * GROUP), ("left", "right")),
    "second_outline": ((2 * GROUP,), ("left", "right")),
    "last_outline": ((3 * GROUP,), ("left", "right")),
    "detail": ((1,), ("left", "left")),
    "detail_in_third": ((2 * GROUP, 2 * GROUP - 1), ("left", "right")),
    "all": (range(1, WIDTH), ("right", "right")),
}
"""Which points are signed falsely, and which side of Step, of lists 1 and 2, is then not the point that was signed."""


def _answers() -> Iterator[Case]:
    """Sign true points of a list whose right end is false, or false points: Step is then not what was signed."""
    for level in range(1, LEVELS + 1):
        withheld = listing(shower(level), _GARBLES["withheld"])
        for name, (false, ends) in _ANSWERED.items():
            story = f"list {level} is withheld; the points signed on demand are true but for some ({name})"
            deviations = (withheld, answering(level, GUEST.run(), false))
            decides = (f"1/Demand_{level}", f"1/Slash_after_Compare_{ends[level - 1]}")
            yield caught(f"list_{level}/answers/{name}", story, _changed(), *decides, deviations=deviations)


def _compared() -> Iterator[Case]:
    """Say in Step what was not signed at the point that the index selects, for every such point of a group."""
    for level in range(1, LEVELS + 1):
        unit = WIDTH if level == 1 else 1
        first = 0 if level == 1 else ROW
        withheld = listing(shower(level), _GARBLES["withheld"])
        for interval in range(GROUP, 2 * GROUP + 1):
            left, right = first + unit * interval, first + unit * (interval + 1) - 1
            answer = _answer_of(level, interval)
            story = f"list {level} is withheld and signed on demand, and A is not its point {interval}"
            told = _only(left, elsewhere(UNUSED))
            row, leaf = f"list_{level}/compared/left_{interval}", f"compare.left.{answer}"
            yield caught(row, story, told, "1/Slash_after_Compare_left", deviations=(withheld,), leaves=(leaf,))
            story = f"list {level} is withheld and signed on demand, and B is not its point {interval + 1}"
            row, leaf = f"list_{level}/compared/right_{interval}", f"compare.right.{_answer_of(level, interval + 1)}"
            told = _only(right, and_then(step_roots, UNUSED))
            yield caught(row, story, told, "1/Slash_after_Compare_right", deviations=(withheld,), leaves=(leaf,))


def _compared_twice() -> Iterator[Case]:
    """The same against two challengers, of which the second comes a block later, when the bond is gone."""
    withheld = listing("Claim", _GARBLES["withheld"])
    for page, step, tell in (
        ("left", WIDTH * GROUP, elsewhere(UNUSED)),
        ("right", WIDTH * (GROUP + 1) - 1, and_then(step_roots, UNUSED)),
    ):

        def seats(step: int = step, tell: Callable[[Machine], StepRoots] = tell) -> Seats:
            true = GUEST.run()
            second = deviating(challenger_of(2, true), from_age(GUEST.parameters().confirmations + 2, "Challenge"))
            liar = deviating(prover_of(lying(_only(step, tell))), withheld)
            strategies = {PROVER: liar, challenger(1): challenger_of(1, true), challenger(2): second}
            return Seats(GUEST.parameters(challengers=2), strategies)

        story = f"list 1 is withheld, and two challengers compare the {page} end of the step"
        ends = (f"1/Slash_after_Compare_{page}", f"2/Reclaim_after_Compare_{page}")
        yield Case(f"lie/list_1/compared/{page}_twice", story, challenger(1), ends, seats)


def _answer_of(level: int, point: int) -> str:
    group, place = divmod(point, GROUP)
    return f"detail_{level}_{place}" if place else f"outline_{level}_{group}"


def _only(step: int, tell: Callable[[Machine], StepRoots]) -> Told:
    return lambda _: Story({step: tell})


# ---- silence

_OWED = {
    "Reveal_2": "Choice_1",
    "Step": "Choice_2",
    "Path": "Ask",
    "Inside": "Descend",
    "Close": "Narrow",
}


def _silences() -> Iterator[Case]:
    for name, asked in _OWED.items():
        ends = f"1/Slash_after_{asked}"
        deviation = silent_at(name)
        yield caught(f"silent/{name}", f"the prover does not give {name}", _changed(), ends, deviations=(deviation,))
    story = "the prover never claims, and nobody loses anything"
    seats = seated(partial(lying, _changed()), silent_at("Claim"))
    yield Case("lie/silent/Claim", story, "nobody", ("Fund",), seats, absent=("Claim", "Challenge"))
    for name in ("Reveal_2", "Step"):
        story = f"the claim is true but for its final root, and the prover does not give {name}"
        seats = seated(GUEST.run, claiming(final_root=WRONG), silent_at(name))
        yield Case(f"lie/silent/{name}/final_root", story, challenger(1), (f"1/Slash_after_{_OWED[name]}",), seats)


# ---- several lies


def _several() -> Iterator[Case]:
    add, multiply, change = says(_lie("add")), says(_lie("mul")), beside(UNUSED)
    pairs: dict[str, tuple[Callable[[World], Story], str]] = {
        "first_and_last": (lambda _: Story({0: change, LAST: beside(UNUSED, 2)}), REFUTED_CLOSE),
        "first_step": (lambda _: Story({0: change}), REFUTED_CLOSE),
        "last_step": (lambda _: Story({LAST: afterwards(UNUSED)}), REFUTED_CLOSE),
        "says_and_changes": (lambda w: Story({w.executes("add", 1): add, w.executes("mul"): change}), SLASHED_BY_LEAF),
        "changes_and_says": (
            lambda w: Story({w.executes("sw"): change, w.executes("mul"): multiply}),
            REFUTED_CLOSE,
        ),
        "in_one_interval": (lambda _: Story({ROW + 3: change, ROW + 5: beside(UNUSED, 2)}), REFUTED_CLOSE),
        "on_a_boundary": (lambda _: Story({ROW - 1: change, ROW: beside(UNUSED, 2)}), REFUTED_CLOSE),
        "start_and_step": (
            lambda w: Story({w.executes("mul"): change}, start=lambda machine: machine.write_state_word(UNUSED, 3)),
            REFUTED_INSIDE,
        ),
    }
    for name, (told, ends) in pairs.items():
        yield caught(f"several/{name}", f"two lies: {name.replace('_', ' ')}", told, ends)


def _lie(name: str) -> Lie:
    return next(lie.lie for lie in said_lies() if lie.family == f"written.{name}")


# ---- no harm


def _harmless() -> Iterator[Case]:
    """Claims that are true: what is false heals, or nobody ever looks at it."""
    stories: dict[str, tuple[str, Told]] = {
        "healed/register": ("a register is false, and then written again", _told_and_healed()),
        "healed/memory": ("memory is false for three steps", _twice(ROW, ROW + 3)),
        "healed/intervals": ("memory is false at some points of list 1", _twice(ROW, 2 * ROW)),
        "healed/last": ("the very last step puts right what was false all along", _twice(0, LAST)),
    }
    for name, (story, told) in stories.items():
        seats = seated(partial(lying, told))
        yield Case(f"lie/{name}", story, PROVER, ("Payout",), seats, absent=("Challenge",))
    for name, garble in _GARBLES.items():
        seats = seated(GUEST.run, listing("Claim", garble))
        story = f"the claim is true; list 1 is not as signed ({name})"
        yield Case(f"lie/unasked/{name}", story, PROVER, ("Payout",), seats, absent=("Challenge",))
    seats = seated(GUEST.run, stepping(root_after=WRONG))
    story = "the claim is true; the prover would lie in Step"
    yield Case("lie/unasked/Step", story, PROVER, ("Payout",), seats, absent=("Challenge",))


def _twice(first: int, second: int) -> Told:
    """Change a word, and change it back."""
    return lambda _: Story({first: afterwards(UNUSED), second: afterwards(UNUSED)})


def _told_and_healed() -> Told:
    lie = SaidLie("healed", "x17 is false", at("csrrs"), lambda r: replace(r, written=r.written ^ 2))
    return _said(lie)
