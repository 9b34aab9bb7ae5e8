"""Paths after Step: whoever said something false cannot prove it, and who said the truth cannot be refuted."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import pytest
from pathreferee import (
    READ_FIELDS,
    Stated,
    check_irrefutable,
    distorted,
    gaps_of,
    heard,
    leaf_of,
    liar,
    parent,
    refold,
    refuted,
)
from proofbench import Bench
from steps import random_machine

from bitvm.game.opening import (
    PathOpening,
    QuestionError,
    check_question,
    close_fields,
    descend,
    entry_of,
    entry_opening,
    first_false_kind,
    inside_fields,
    listed_opening,
    message_name,
    narrow,
    path_fields,
    start_opening,
    step_opening,
)
from bitvm.game.trace_list import trace_root
from bitvm.leaves import fields
from bitvm.leaves.fields import ENTRIES, READS, WRITES, Kind
from bitvm.leaves.proof import Said
from bitvm.leaves.statement import words_of
from lvm.boot import input_root
from lvm.hashing import leaf_hash
from lvm.layout import HASH_BYTES, REGISTERS_BASE
from lvm.machine import Machine, StepRoots, step_roots
from lvm.opening import open_boot, step_openings

# ---- steps of all kinds


def stepped(machine: Machine) -> tuple[StepRoots, dict[Kind, PathOpening]]:
    """The machine's next step and what proves its reads and writes."""
    saved = machine.snapshot()
    step = step_roots(machine)
    machine.restore(saved)
    openings = step_openings(machine, step.record)
    return step, {kind: step_opening(kind, step, openings) for kind in (*READS, *WRITES)}


def random_steps(seed: int, number: int) -> list[tuple[StepRoots, dict[Kind, PathOpening]]]:
    rng = Random(seed)
    return [stepped(random_machine(rng, user=index % 2 == 1)) for index in range(number)]


def test_true_reads_and_writes_cannot_be_refuted() -> None:
    for step, openings in random_steps(1, 40):
        for kind, opening in openings.items():
            check_irrefutable(Stated(kind, step), opening)
            assert not refuted(Stated(kind, step), opening, lambda opening=opening: opening)


def test_no_answers_save_a_false_read() -> None:
    rng = Random(2)
    for step, openings in random_steps(2, 40):
        for kind, field in READ_FIELDS.items():
            false = getattr(step.record, field) ^ 1 << rng.randrange(32)
            record = replace(step.record, **{field: false})
            stated = Stated(kind, replace(step, record=record))
            for _ in range(8):
                assert refuted(stated, openings[kind], liar(rng, openings[kind]))
        before = replace(step.record.before, cause=step.record.before.cause ^ 4)
        stated = Stated(Kind.CONTROL, replace(step, record=replace(step.record, before=before)))
        assert all(refuted(stated, openings[Kind.CONTROL], liar(rng, openings[Kind.CONTROL])) for _ in range(8))


def test_no_answers_save_a_false_update() -> None:
    rng = Random(3)
    for step, openings in random_steps(3, 40):
        for kind, root in ((Kind.DATA, "m"), (Kind.STATE, "b")):
            if kind is Kind.DATA and step.record.write_address is None:
                continue  # M != A is a proof against Step itself
            truth = openings[kind]
            words, nodes = list(truth.after_words), list(truth.after)
            words[rng.randrange(16)] ^= 1 << rng.randrange(32)
            refold(nodes, truth, leaf_hash(leaf_of(words)), 0, 24)
            fitting = parent(nodes[-2], truth.siblings[-1], truth.place >> 23)
            for top in (rng.randbytes(HASH_BYTES), fitting, step.a):
                false = replace(step, **{root: top})
                if getattr(step, root) == top:
                    continue
                stated = Stated(kind, false)
                honest = replace(truth, after=(*truth.after[:-1], top))
                told = replace(truth, after=(*nodes[:-1], top), after_words=tuple(words))
                for opening in (honest, told):
                    assert refuted(stated, truth, lambda opening=opening: opening)
                    assert all(refuted(stated, truth, liar(rng, opening)) for _ in range(6))


def test_whatever_is_signed_falsely_about_a_true_statement_is_refuted() -> None:
    """Not only a false statement: a single false node or word in an honest prover's answers would lose the game."""
    rng = Random(4)
    tried = 0
    for step, openings in random_steps(4, 30):
        for kind, truth in openings.items():
            if kind is Kind.DATA and step.record.write_address is None:
                continue  # its leaf is not judged
            for _ in range(12):
                false = distorted(rng, truth)
                stated = Stated(kind, step)
                wrong = path_fields(false) != path_fields(truth)
                tried += wrong
                if wrong:
                    assert refuted(stated, truth, lambda false=false: false)
    assert tried > 500


# ---- lists


def test_entries_of_lists() -> None:
    rng = Random(6)
    for width, _ in product((4, 16, 64), range(6)):
        points = [rng.randbytes(HASH_BYTES) for _ in range(width - 1)]
        for kind in ENTRIES:
            choices = tuple(rng.randrange(1, width - 1) for _ in range(3))
            level, place = entry_of(kind, choices, width)
            assert (level, place) == (3, choices[2] - (kind is Kind.LEFT))
            truth = listed_opening(kind, choices, width, {3: points})
            assert truth is not None
            assert (truth.before[0], truth.before[-1]) == (points[place], trace_root(points))
            some = random_steps(rng.randrange(1000), 1)[0][0]
            field = "a" if kind is Kind.LEFT else "b"
            true = Stated(kind, replace(some, **{field: points[place]}), width, choices, trace_root(points))
            check_irrefutable(true, truth)
            assert not refuted(true, truth, lambda truth=truth: truth)
            false = Stated(kind, some, width, choices, trace_root(points))
            stands = entry_opening(kind, level, place, points, getattr(some, field))
            assert refuted(false, truth, lambda stands=stands: stands)
            assert all(refuted(false, truth, liar(rng, stands)) for _ in range(20))
            elsewhere = entry_opening(kind, level, (place + 1) % width if place + 2 < width else 0, points)
            assert refuted(false, truth, lambda elsewhere=elsewhere: elsewhere)


def test_which_entry_lies_beside_a_step() -> None:
    assert entry_of(Kind.LEFT, (2, 1, 0), 4) == (2, 0)
    assert entry_of(Kind.LEFT, (2, 0, 0), 4) == (1, 1)
    assert entry_of(Kind.LEFT, (0, 0, 3), 4) == (3, 2)
    assert entry_of(Kind.RIGHT, (2, 1, 3), 4) == (2, 1)
    assert entry_of(Kind.RIGHT, (2, 3, 3), 4) == (1, 2)
    assert entry_of(Kind.RIGHT, (3, 3, 0), 4) == (3, 0)
    points = [bytes([i]) * HASH_BYTES for i in range(3)]
    for kind, end in ((Kind.LEFT, (0, 0, 0)), (Kind.RIGHT, (3, 3, 3))):
        with pytest.raises(QuestionError):
            entry_of(kind, end, 4)
        assert listed_opening(kind, end, 4, {1: points}) is None
        assert listed_opening(kind, (1, 1, 1), 4, {1: points, 2: points}) is None


# ---- boot


def booted(rng: Random) -> tuple[StepRoots, bytes, PathOpening]:
    """A run's first step, the root before it, and the opening of START."""
    machine: Machine = random_machine(rng)
    root = input_root(b"input of this run")
    boot, previous = open_boot(machine, root, Stated.entry), machine.root()
    machine.boot(Stated.entry, b"input of this run")
    step = step_roots(machine)
    return step, previous, start_opening(boot, root, step.a)


def test_start() -> None:
    rng = Random(7)
    for _ in range(8):
        step, previous, truth = booted(rng)
        true = Stated(Kind.START, step, root=previous, input_root=input_root(b"input of this run"))
        check_irrefutable(true, truth)
        assert not refuted(true, truth, lambda truth=truth: truth)
        for _ in range(20):
            false = distorted(rng, truth)
            wrong = path_fields(false) != path_fields(truth)
            assert refuted(true, truth, lambda false=false: false) is wrong
        foot = list(truth.after)
        refold(foot, truth, rng.randbytes(HASH_BYTES), 0, 7)
        fitting = parent(foot[-2], truth.siblings[-1], 1)
        for top in (rng.randbytes(HASH_BYTES), fitting, previous):
            stated = replace(true, step=replace(step, a=top))
            for after in (truth.after, foot):
                stands = replace(truth, after=(*after[:-1], top))
                assert refuted(stated, truth, lambda stands=stands: stands)
                assert all(refuted(stated, truth, liar(rng, stands)) for _ in range(20))


# ---- which statement is asked for


def said_of_step(step: StepRoots, choices: tuple[int, ...]) -> Said:
    roots = {"Step/root_before": step.a, "Step/root_written": step.m, "Step/root_after": step.b}
    return Said(words_of(step.record), roots, choices)


def test_the_first_false_statement_is_asked_for() -> None:
    other = bytes(HASH_BYTES)
    for step, _ in random_steps(9, 10):
        record = step.record
        control = replace(record.before, epc=record.before.epc ^ 1)
        false = {
            Kind.LEFT: replace(step, a=other),
            Kind.CONTROL: replace(step, record=replace(record, before=control)),
            **{
                kind: replace(step, record=replace(record, **{field: getattr(record, field) ^ 1}))
                for kind, field in READ_FIELDS.items()
            },
            Kind.DATA: replace(step, m=other),
            Kind.STATE: replace(step, b=other),
        }
        right = entry_opening(Kind.RIGHT, 1, 2, [step.b] * 3)
        false_right = entry_opening(Kind.RIGHT, 1, 2, [other] * 3)
        for kind, said in false.items():
            assert first_false_kind(step, said_of_step(said, (1, 2)), false_right) is kind
        assert first_false_kind(step, said_of_step(false[Kind.LEFT], (0, 0)), right) is Kind.START
        many = replace(false[Kind.MEM], b=other, m=other)
        assert first_false_kind(step, said_of_step(many, (1, 2)), right) is Kind.MEM
        assert first_false_kind(step, said_of_step(step, (1, 2)), false_right) is Kind.RIGHT
        assert first_false_kind(step, said_of_step(step, (1, 2)), right) is None
        assert first_false_kind(step, said_of_step(step, (3, 3)), None) is None


# ---- messages


READ_PATH = {"where", "top", "before_0", "before_1", "before_2"}
READ_INSIDE = {"gap", "before_1", "before_2", "before_3"}
WORDS = {"gap", *(f"words_{i}" for i in range(4))}
CLOSE = {"where", "before", "sibling_0", "sibling_1"}


def names(messages: dict[str, object], transaction: str) -> set[str]:
    assert all(path.startswith(f"{transaction}/") for path in messages)
    return {path.partition("/")[2] for path in messages}


def with_after(fields_before: set[str]) -> set[str]:
    shared = {"where", "gap", "sibling_0", "sibling_1"}
    twin = {"top": "top_after", **{f"words_{i}": f"after_words_{i}" for i in range(4)}}
    return fields_before | {twin.get(name, name.replace("before", "after")) for name in fields_before - shared}


def test_messages_sign_the_fields_that_their_leaves_have() -> None:
    step, openings = random_steps(10, 1)[0]
    for kind, opening in openings.items():
        extend = with_after if kind in WRITES else set
        family = "write" if kind in WRITES else "read"
        assert names(path_fields(opening), "Path") == extend(READ_PATH)
        assert message_name("Path", opening) == f"path.{family}"
        for gap in range(3):
            assert names(inside_fields(opening, gap), "Inside") == extend(READ_INSIDE)
            assert names(close_fields(opening, gap, 3), "Close") == extend(CLOSE)
            assert message_name("Inside", opening, gap) == f"inside.{family}"
            assert message_name("Close", opening, gap) == f"close.{family}"
        assert names(inside_fields(opening, 3), "Inside") == extend(WORDS)
        assert message_name("Inside", opening, 3) == f"inside.{family}_words"
    entry = entry_opening(Kind.LEFT, 4, 9, [bytes([i]) * HASH_BYTES for i in range(15)], step.a)
    assert names(path_fields(entry), "Path") == {"where", "top", *(f"before_{i}" for i in range(4))}
    assert path_fields(entry)["Path/where"] == (Kind.LEFT, 4, 9, 0, 0, 0, 0, 0)
    assert path_fields(entry)["Path/before_0"] == step.a
    assert (message_name("Path", entry), message_name("Inside", entry, 3)) == ("path.left_4", "inside.entry")
    assert inside_fields(entry, 0) == {"Inside/gap": (0,), "Inside/sibling_0": bytes([8]) * HASH_BYTES}
    start = booted(Random(1))[2]
    path = {"where", "top", "top_after", "input", *(f"{side}_{i}" for side in ("before", "after") for i in range(4))}
    assert names(path_fields(start), "Path") == path
    for gap in range(4):
        inside = {"gap", "before_1", "after_1", "sibling_0", "sibling_1"}
        assert names(inside_fields(start, gap), "Inside") == inside
    assert (message_name("Path", start), message_name("Inside", start, 3)) == ("path.start", "inside.start")


def test_messages_can_be_signed_and_are_heard_as_they_were_said() -> None:
    bench = Bench()
    everything = {"Path": fields.PATH, "Inside": fields.INSIDE, "Close": fields.CLOSE}
    step, openings = random_steps(12, 1)[0]
    for opening in (openings[Kind.MEM], openings[Kind.STATE], booted(Random(2))[2]):
        for gap, narrowed in gaps_of(opening)[::3]:
            messages = path_fields(opening) | inside_fields(opening, gap)
            messages |= {} if narrowed is None else close_fields(opening, gap, narrowed)
            for path, message in messages.items():
                transaction, field = path.split("/")
                scheme = everything[transaction][field]
                assert bench.public[path].scheme == scheme
                signature = bench.secret(path).sign(message)
                assert bench.public[path].verify(signature) == message
    state = openings[Kind.STATE]
    said = heard(path_fields(state) | inside_fields(state, 3))
    assert (said.words["path.kind"], said.words["path.place"]) == (Kind.STATE, state.place)
    assert tuple(said.words[f"word.{j}"] for j in range(16)) == state.words
    assert tuple(said.words[f"after.{j}"] for j in range(16)) == (*step.record.after.to_words(), *[0] * 8)
    assert heard(close_fields(state, 2, 1)).words["close.turns"] == state.place >> 18 & 3


def test_a_step_that_writes_nothing_is_proved_by_the_leaf_of_x0() -> None:
    for step, openings in random_steps(13, 40):
        if step.record.write_address is None:
            data = openings[Kind.DATA]
            assert data.place == REGISTERS_BASE // 64
            assert (data.before, data.words) == (data.after, data.after_words)


# ---- questions that make no sense


def test_questions_that_make_no_sense_name_their_dismissal() -> None:
    step, openings = random_steps(14, 1)[0]
    read, start = openings[Kind.RS1], booted(Random(3))[2]
    entry = entry_opening(Kind.RIGHT, 1, 0, [step.a] * 15)
    senseless = {
        "dismiss.kind": lambda: check_question(10, (1, 1), 16),
        "dismiss.left": lambda: check_question(Kind.LEFT, (0, 0), 16),
        "dismiss.right": lambda: check_question(Kind.RIGHT, (15, 15), 16),
        "dismiss.start": lambda: check_question(Kind.START, (0, 1), 16),
        "dismiss.gap_tree": lambda: inside_fields(read, 4),
        "dismiss.gap_entry": lambda: inside_fields(entry, 4),
        "dismiss.gap_start": lambda: inside_fields(start, 4),
        "dismiss.narrow_kind": lambda: close_fields(entry, 0, 0),
        "dismiss.narrow_words": lambda: close_fields(read, 3, 0),
    }
    for name, ask in senseless.items():
        with pytest.raises(QuestionError) as caught:
            ask()
        assert caught.value.dismissal == name
    for kind in Kind:
        choices = (0, 0) if kind is Kind.START else (3, 3)
        assert check_question(kind, choices, 16) is kind
    with pytest.raises(QuestionError):
        narrow(start, Said(), 0)


def test_the_descent_takes_the_topmost_gap_before_and_only_then_looks_after() -> None:
    truth = random_steps(15, 1)[0][1][Kind.STATE]
    false = bytes(HASH_BYTES)

    def gap(*wrong: str) -> int | None:
        return descend(truth, heard({**path_fields(truth), **{f"Path/{name}": false for name in wrong}}))

    assert [gap("before_0"), gap("before_1"), gap("before_2"), gap("before_0", "before_2")] == [0, 1, 2, 2]
    assert [gap("after_1"), gap("after_2"), gap("top_after"), gap("after_1", "after_2", "top_after")] == [0, 1, 2, 0]
    assert [gap("before_1", "top_after"), gap("after_0"), gap("after_0", "after_1"), gap()] == [1, 3, 3, 3]
    messages = path_fields(truth) | inside_fields(truth, 1)
    assert narrow(truth, heard(messages), 1) is None
    for wrong, expected in (({"before_1", "before_3"}, 3), ({"before_2"}, 2), ({"after_1"}, 0), ({"after_3"}, 2)):
        said = heard({**messages, **{f"Inside/{name}": false for name in wrong}})
        assert narrow(truth, said, 1) == expected
