"""How many snapshots of a run are kept, and that answers are the same however few there are."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import pytest
from test_game_execution import image, number, parameters

from bitvm.game import computation
from bitvm.game.computation import Execution
from bitvm.game.snapshots import Snapshots
from bitvm.leaves.fields import Kind
from lvm.machine import Engine, Machine
from lvm.snapshot import Snapshot
from lvm.tree import TreeSnapshot

SPACING = 10


def snapshot(step: int, pages: dict[int, memoryview]) -> Snapshot:
    return Snapshot(step, pages, TreeSnapshot({}), frozenset())


def page() -> memoryview:
    return memoryview(bytes(4)).cast("I")


def run(points: int, written: int, most: int) -> Snapshots:
    """The snapshots of a run that writes so many pages between two points."""
    pages = {each: page() for each in range(2 * written)}
    kept = Snapshots(SPACING, {0: snapshot(0, dict(pages))}, most_pages=most)
    for step in range(SPACING, (points + 1) * SPACING, SPACING):
        if kept.wants(step):
            pages |= {each: page() for each in range(written)}
            kept.keep(step, snapshot(step, dict(pages)))
    return kept


@pytest.mark.parametrize("points", [1, 2, 3, 7, 8, 63])
@pytest.mark.parametrize("most", [0, 10, 11, 39, 100, 10_000])
def test_pages_have_a_limit_and_what_is_left_is_evenly_spread(points: int, most: int) -> None:
    kept = run(points, 10, most)
    at = sorted(kept._kept)
    assert len(at) <= most // 10 + 1
    assert at == list(range(0, at[-1] + 1, kept._spacing))
    assert at[-1] + kept._spacing > points * SPACING
    if points <= most // 10:
        assert kept._spacing == SPACING, "nothing is given up without need"
    if kept._spacing > SPACING:
        assert points * SPACING // (kept._spacing // 2) * 10 > most, "nor more than is needed"


def test_pages_that_nobody_writes_take_no_room() -> None:
    kept = run(63, 0, 0)
    assert len(kept) == 64


def test_what_is_dropped_can_be_taken_again() -> None:
    kept = run(7, 10, 1_000)
    before = kept.nearest(55)
    kept.drop()
    assert (len(kept), kept.nearest(55)[0]) == (1, 0)
    kept.keep(*before)
    assert kept.nearest(55) == before
    assert kept.nearest(49)[0] == 0


def test_the_one_that_was_needed_last_is_remembered_whatever_the_room() -> None:
    kept = run(7, 10, 0)
    assert (len(kept), kept.nearest(55)[0], kept.pages) == (1, 0, 0)
    kept.remember(30, snapshot(30, {0: page()}))
    assert (len(kept), kept.nearest(29)[0], kept.nearest(55)[0], kept.pages) == (2, 0, 30, 1)
    kept.remember(50, snapshot(50, {}))
    assert (len(kept), kept.nearest(49)[0], kept.nearest(55)[0], kept.pages) == (2, 0, 50, 0)
    kept.drop()
    assert (len(kept), kept.nearest(55)[0]) == (1, 0)


@pytest.mark.parametrize("engine", ["spec", "auto"])
def test_only_pages_that_were_written_count(engine: Engine) -> None:
    """Whoever takes a snapshot may make new views of pages that nobody has written."""
    execution = Execution(parameters(), image(), number(7), engine=engine)
    snapshots = list(execution._snapshots._kept.values())
    written = sum(
        each.tobytes() != (before.pages[at].tobytes() if at in before.pages else bytes(4_096))
        for before, after in pairwise(snapshots)
        for at, each in after.pages.items()
    )
    assert 0 < execution._snapshots.pages <= written


@pytest.mark.parametrize("thinned", [False, True])
def test_a_slim_run_is_run_once_for_all_questions_about_an_interval(
    thinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if thinned:
        monkeypatch.setattr(computation, "Snapshots", partial(Snapshots, most_pages=0))
    execution = Execution(parameters(), image(), number(7))
    execution.slim()
    taken: list[int] = []
    advance = execution.advance


    def counted(machine: Machine, target: int) -> int:
        taken.append(target - machine.t)
        return advance(machine, target)

    monkeypatch.setattr(execution, "advance", counted)
    index = execution.executed - 1
    for _ in range(3):
        taken.clear()
        execution.step(index)
    assert sum(taken) < parameters().interval(1)


def test_a_copy_ends_where_it_is_told_to_and_goes_its_own_way() -> None:
    kept = run(7, 10, 1_000)
    copy = kept.copy_until(35)
    assert (copy.nearest(1_000)[0], len(copy)) == (30, 4)
    copy.drop()
    assert len(kept) == 8


def answers(execution: Execution) -> list[object]:
    """Everything that an execution can be asked, from the last to the first."""
    steps = parameters().steps
    found: list[object] = []
    for index in reversed(range(min(steps, execution.executed + 2))):
        found.append(execution.step(index))
        found += [execution.opening(kind, index) for kind in (Kind.CONTROL, Kind.INSTR)]
    for level in reversed(range(1, parameters().levels + 1)):
        span = parameters().interval(level) * parameters().width
        found += [execution.points(level, start) for start in reversed(range(0, steps, span))]
    return found


@pytest.mark.parametrize("engine", ["spec", "auto"])
def test_answers_are_the_same_however_few_snapshots_there_are(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def execute() -> tuple[Execution, Execution]:
        first = Execution(parameters(), image(), number(7), engine=engine)
        return first, Execution(parameters(), image(), number(30), previous=first, engine=engine)

    usual = execute()
    expected = [answers(each) for each in usual]
    for each in usual:
        each.slim()
    assert [answers(each) for each in usual] == expected
    assert all(len(each._snapshots) == 2 for each in usual), "one is taken again where it is needed"

    monkeypatch.setattr(computation, "Snapshots", partial(Snapshots, most_pages=0))
    scarce = execute()
    assert [answers(each) for each in scarce] == expected
    assert all(len(each._snapshots) <= 2 for each in scarce)


def test_the_next_run_begins_where_a_slim_one_ended() -> None:
    first = Execution(parameters(), image(), number(7))
    expected = Execution(parameters(), image(), number(30), previous=first).final_root
    first.slim()
    assert Execution(parameters(), image(), number(30), previous=first).final_root == expected
