"""What a computation proves about its steps, and computations that follow each other."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest
from pathreferee import Stated, check_irrefutable, refuted

from bitvm.game.computation import Execution, ForeignImageError
from bitvm.game.opening import PathOpening, QuestionError, choices_of, entry_of, listed_opening
from bitvm.game.trace_list import interval_start, trace_root
from bitvm.graph.parameters import Parameters
from bitvm.leaves.fields import ENTRIES, READS, WRITES, Kind
from lvm import isa
from lvm.elf import Image, Segment
from lvm.layout import REGISTERS_BASE
from lvm.machine import Engine, Machine, StepRoots
from lvm.outcome import Outcome
from regtest.hostile import LIES, LyingExecution

WIDTH, LEVELS = 4, 3
ENTRY = 0x100
CODE = (
    *(isa.lui(6, 0x3F800), isa.lw(7, 6, 4), isa.lw(5, 0, 0x40), isa.add(5, 5, 7), isa.sw(5, 0, 0x40)),
    *(isa.addi(8, 0, 5), isa.sb(8, 8, 0x80), isa.addi(8, 8, -1), isa.bne(8, 0, -8), isa.addi(10, 0, 0), isa.ecall()),
)
"""Adds the input's word to the one at 0x40 that stays from run to run, and writes a few bytes."""


@cache
def image() -> Image:
    return Image(ENTRY, (Segment(ENTRY, b"".join(word.to_bytes(4, "little") for word in CODE)),))


@cache
def parameters() -> Parameters:
    return Parameters(image().root(), entry=ENTRY, levels=LEVELS, width=WIDTH)


def number(value: int) -> bytes:
    return value.to_bytes(4, "little")


@cache
def first(engine: Engine = "auto") -> Execution:
    return Execution(parameters(), image(), number(7), engine=engine)


@cache
def second(engine: Engine = "auto") -> Execution:
    return Execution(parameters(), image(), number(30), previous=first(engine), engine=engine)


def lists(computation: Execution, index: int) -> dict[int, tuple[bytes, ...]]:
    """The lists that the prover shows on the way to a step."""
    choices = choices_of(index, WIDTH, LEVELS)
    starts = {level: interval_start(choices[: level - 1], WIDTH, LEVELS) for level in range(1, LEVELS + 1)}
    return {level: computation.points(level, start) for level, start in starts.items()}


def stated(computation: Execution, kind: Kind, index: int, previous: bytes) -> Stated:
    """What the prover with this computation says before it is asked."""
    choices = choices_of(index, WIDTH, LEVELS)
    root = previous
    if kind in ENTRIES:
        root = trace_root(lists(computation, index)[entry_of(kind, choices, WIDTH)[0]])
    return Stated(kind, computation.step(index), WIDTH, choices, root, computation.input_root, ENTRY)


def kinds_of(index: int) -> list[Kind]:
    left = Kind.LEFT if index else Kind.START
    return [*READS, *WRITES, left, *([Kind.RIGHT] if index < parameters().steps - 1 else [])]


@pytest.mark.parametrize("engine", ["spec", "auto"])
def test_every_statement_of_every_step_is_proved(engine: Engine) -> None:
    assert first(engine).accepted
    assert second(engine).accepted
    runs = ((first(engine), image().root(), 1), (second(engine), first(engine).final_root, 6))
    for computation, previous, stride in runs:
        for index in range(0, parameters().steps, stride):
            for kind in kinds_of(index):
                opening = computation.opening(kind, index)
                says = stated(computation, kind, index, previous)
                check_irrefutable(says, opening)
                assert not refuted(says, opening, lambda opening=opening: opening)
    assert first(engine).step(parameters().steps - 1).record.outcome is Outcome.HALTED


def test_both_engines_prove_alike() -> None:
    for index in (0, 1, 6, 20, 35, 63):
        for kind in kinds_of(index):
            assert second("spec").opening(kind, index) == second().opening(kind, index)


def test_statements_that_a_step_does_not_make() -> None:
    for kind, index in ((Kind.LEFT, 0), (Kind.RIGHT, parameters().steps - 1), (Kind.START, 1)):
        with pytest.raises(QuestionError, match="step"):
            first().opening(kind, index)


def test_an_opening_does_not_change_what_comes_after() -> None:
    computation = Execution(parameters(), image(), number(7))
    for index in (30, 2, 40, 0, 5):
        kinds = kinds_of(index)
        assert [computation.opening(kind, index) for kind in kinds] == [first().opening(kind, index) for kind in kinds]
        assert computation.step(index) == first().step(index)


# ---- one claim after the other


def test_a_run_boots_in_the_state_in_which_the_one_before_ended() -> None:
    third = Execution(parameters(), image(), number(500), previous=second())
    runs = (first(), second(), third)
    assert [run.step(4).record.written for run in runs] == [7, 37, 537]
    assert first().opening(Kind.START, 0).before[-1] == parameters().image_root
    for before, run in pairwise(runs):
        start = run.opening(Kind.START, 0)
        assert start.before[-1] == before.final_root
        assert start.after[-1] == run.step(0).a
        assert (start.input_root, len({run.input_root for run in runs})) == (run.input_root, 3)
    alone = Execution(parameters(), image(), number(30))
    assert alone.final_root != second().final_root


def test_engines_can_follow_each_other() -> None:
    mixed = Execution(parameters(), image(), number(30), previous=first("spec"))
    assert mixed.final_root == second("spec").final_root == second().final_root


def test_the_set_up_is_about_one_program() -> None:
    foreign = replace(parameters(), image_root=bytes(24))
    for previous in (None, first()):
        with pytest.raises(ForeignImageError):
            Execution(foreign, image(), number(1), previous=previous)


# ---- lies


@pytest.mark.parametrize(("name", "step"), [("written", 4), ("fuel", 3), ("next_pc", 5), ("address", 4), ("halt", 6)])
def test_a_liar_proves_what_its_own_machine_holds(name: str, step: int) -> None:
    lying = LyingExecution(first(), LIES[name], step)
    assert lying.step(step).b != first().step(step).b
    for index in (0, step - 1, step, step + 1):
        for kind in kinds_of(index):
            opening = lying.opening(kind, index)
            check_irrefutable(stated(lying, kind, index, image().root()), opening)
    following = Execution(parameters(), image(), number(30), previous=lying)
    assert following.opening(Kind.START, 0).before[-1] == lying.final_root


class FalseRead(Execution):
    """Says at step 4 that the register stored holds another word, and writes that one."""

    def take_step(self, machine: Machine) -> StepRoots:
        step = super().take_step(machine)
        if step.record.t != 4:
            return step
        return replace(step, record=replace(step.record, rs2=step.record.rs2 ^ 1))


class FalseRoots(Execution):
    """Says other roots at step 4 and at step 0 than those that its machine has."""

    def take_step(self, machine: Machine) -> StepRoots:
        step = super().take_step(machine)
        return replace(step, a=b"a" * 24, m=b"m" * 24, b=b"b" * 24) if step.record.t in (0, 4) else step


def test_lies_that_no_execution_leaf_sees_are_refuted_on_the_path() -> None:
    reading = FalseRead(parameters(), image(), number(7))
    truth, says = first().opening(Kind.RS2, 4), stated(reading, Kind.RS2, 4, image().root())
    assert refuted(says, truth, lambda: reading.opening(Kind.RS2, 4))
    roots = FalseRoots(parameters(), image(), number(7))
    for index, kind in ((4, Kind.LEFT), (4, Kind.RIGHT), (0, Kind.START)):
        answer = roots.opening(kind, index)
        again = answer.before[0] if kind in ENTRIES else answer.after[-1]
        assert again == (b"b" if kind is Kind.RIGHT else b"a") * 24  # says again what Step said
        truth = true_opening(kind, index)
        assert refuted(stated(roots, kind, index, image().root()), truth, lambda answer=answer: answer)
    for kind, field in ((Kind.DATA, "m"), (Kind.STATE, "b")):
        root = getattr(roots.step(4), field)
        says = Stated(kind, replace(first().step(4), **{field: root}), WIDTH)
        truth = first().opening(kind, 4)
        answer = replace(truth, after=roots.opening(kind, 4).after)
        assert answer.after[-1] == root
        step = roots.step(4)
        assert roots.opening(kind, 4).before[-1] == (step.a if kind is Kind.DATA else step.m)
        assert refuted(says, truth, lambda answer=answer: answer)


def true_opening(kind: Kind, index: int) -> PathOpening:
    """What an honest challenger descends by; up to the false step the liar's lists are true."""
    if kind not in ENTRIES:
        return first().opening(kind, index)
    found = listed_opening(kind, choices_of(index, WIDTH, LEVELS), WIDTH, lists(first(), index))
    assert found is not None
    return found


def test_a_step_without_a_data_word_is_proved_at_x0() -> None:
    opening = first().opening(Kind.DATA, 8)
    assert first().step(8).record.write_address is None
    assert opening.place == REGISTERS_BASE // 64
    assert opening.before == opening.after
