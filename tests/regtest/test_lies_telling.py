"""A story is true up to its lie, false from there on, and fits together except where it is told."""

from __future__ import annotations

import pytest

from bitvm.game.computation import Execution
from bitvm.game.opening import PathOpening
from bitvm.leaves.fields import Kind
from lvm.layout import CONTROL_BASE
from lvm.machine import step_roots
from lvm.opening import folded
from regtest.hostile import LieError
from regtest.lies.telling import (
    UNUSED,
    Lying,
    Story,
    Tell,
    afterwards,
    beside,
    elsewhere,
    false_above,
    false_below,
    misread,
    replaced,
    stored,
    unlike,
)
from regtest.worlds import GUEST, WIDTH, records

STEP = GUEST.executes("mul")
TELLS: dict[str, Tell] = {
    "misread": misread("rs1"),
    "beside": beside(UNUSED),
    "stored": stored,
    "afterwards": afterwards(UNUSED),
    "elsewhere": elsewhere(UNUSED),
    "replaced": replaced(UNUSED),
}


def roots(run: Execution) -> list[bytes]:
    """The roots of all states at which list 2 has points, in order."""
    return [point for first in range(0, WIDTH * WIDTH, WIDTH) for point in run.points(2, first)]


@pytest.mark.parametrize("name", TELLS)
def test_a_story_is_true_up_to_its_lie_and_false_from_there_on(name: str) -> None:
    true, lying = GUEST.run(), Lying(GUEST.run(), Story({STEP: TELLS[name]}))
    agreed = [theirs == ours for theirs, ours in zip(roots(lying), roots(true), strict=True)]
    steps = [step for step in range(WIDTH * WIDTH) if step % WIDTH]
    assert [step for step, equal in zip(steps, agreed, strict=True) if equal] == [s for s in steps if s <= STEP]
    assert lying.final_root != true.final_root
    assert lying.accepted


@pytest.mark.parametrize("name", TELLS)
def test_only_what_is_told_is_false(name: str) -> None:
    true, false = GUEST.run().step(STEP), Lying(GUEST.run(), Story({STEP: TELLS[name]})).step(STEP)
    same = {
        "record": false.record == true.record,
        "a": false.a == true.a,
        "m": false.m == true.m,
        "b": false.b == true.b,
    }
    differing = {
        "misread": {"record", "m", "b"},
        "beside": {"m", "b"},
        "stored": {"m", "b"},
        "afterwards": {"b"},
        "elsewhere": {"a", "m", "b"},
        "replaced": set(),
    }
    assert {what for what, equal in same.items() if not equal} == differing[name]


def test_the_list_goes_on_with_the_state_that_a_step_ends_in_unless_it_is_replaced() -> None:
    inner = STEP if (STEP + 1) % WIDTH else STEP + 1
    for name, tell in TELLS.items():
        lying = Lying(GUEST.run(), Story({inner: tell}))
        listed = lying.points(2, inner // WIDTH * WIDTH)[inner % WIDTH]
        assert (listed == lying.step(inner).b) == (name != "replaced"), name


@pytest.mark.parametrize("read", ["instr", "rs1", "rs2", "mem", "fuel", "window", "pc"])
def test_a_misread_step_is_a_step_of_some_state(read: str) -> None:
    """Its record is a true one: of the state in which the word is as it was read."""
    step = GUEST.executes("lw", 1)
    told = Lying(GUEST.run(), Story({step: misread(read, 4)})).step(step).record
    true = records(GUEST)[step]
    where = {"pc": told.before.pc, "fuel": told.before.fuel, "window": told.before.window}
    was = {"pc": true.before.pc, "fuel": true.before.fuel, "window": true.before.window}
    said = {**where, "instr": told.instr, "rs1": told.rs1, "rs2": told.rs2, "mem": told.mem}
    assert said[read] == {**was, "instr": true.instr, "rs1": true.rs1, "rs2": true.rs2, "mem": true.mem}[read] ^ 4


def test_a_root_unlike_any_other() -> None:
    told = unlike(step_roots, b"\7" * 24)
    assert Lying(GUEST.run(), Story({STEP: told})).step(STEP).m == b"\7" * 24


def test_what_is_not_written_cannot_be_written_otherwise() -> None:
    with pytest.raises(LieError, match="writes no data word"):
        Lying(GUEST.run(), Story({GUEST.executes("bne"): stored}))


def breaks(opening: PathOpening, side: str) -> list[int]:
    """Heights of the children whose hash is not their parent."""
    nodes, found = opening.sides[side], []
    for index, sibling in enumerate(opening.siblings):
        parent = folded(nodes[index], opening.place >> index, (sibling,))[1]
        if parent != nodes[index + 1]:
            found.append(opening.lowest + index)
    return found


@pytest.mark.parametrize("height", [0, 1, 7, 8, 22, 23])
def test_a_path_before_breaks_where_it_is_forged(height: int) -> None:
    opening = GUEST.run().opening(Kind.RS1, STEP)
    assert breaks(opening, "before") == []
    assert breaks(false_below(height + 1, 5)(opening), "before") == [height]
    assert breaks(false_below(height + 1)(opening), "before") == [height]
    unharmed = false_below(0, 5)(opening)
    assert breaks(unharmed, "before") == []
    assert unharmed.words != opening.words


@pytest.mark.parametrize("height", [0, 9, 23])
def test_a_path_after_breaks_first_where_it_is_forged(height: int) -> None:
    lying = Lying(GUEST.run(), Story({STEP: beside(UNUSED)}, forged={Kind.DATA: false_above(height)}))
    opening = lying.opening(Kind.DATA, STEP)
    assert breaks(opening, "after")[0] == height
    assert breaks(opening, "before") == []
    assert opening.after[-1] == lying.step(STEP).m


def test_an_update_is_shown_as_the_false_state_has_it() -> None:
    tell = afterwards(CONTROL_BASE + 4 * 9)
    told = Lying(GUEST.run(), Story({STEP: tell}, shown=frozenset({Kind.STATE}))).opening(Kind.STATE, STEP)
    assert breaks(told, "after") == []
    assert told.after_words[9] == 1
    assert Lying(GUEST.run(), Story({STEP: tell})).opening(Kind.STATE, STEP).after_words[9] == 0
