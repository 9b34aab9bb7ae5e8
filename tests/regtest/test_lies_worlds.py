"""The worlds of the matrix run everything that they are there for, and end as they say."""

from __future__ import annotations

import pytest

from lvm.isa import INSTRUCTIONS
from lvm.machine import boot
from lvm.outcome import Outcome
from lvm.trace import instruction_name
from regtest.worlds import ENDLESS, FAULTY, GUEST, LEVELS, REFUSED, WIDTH, World, records


def test_the_guest_executes_every_instruction() -> None:
    executed = {instruction_name(r.instr) for r in records(GUEST) if r.outcome is Outcome.RETIRE}
    assert executed == set(INSTRUCTIONS) - {"ecall"}  # which never retires


def test_the_guest_traps_in_user_mode() -> None:
    traps = {record.outcome for record in records(GUEST) if record.before.window}
    wanted = {Outcome.ECALL, Outcome.ILLEGAL, Outcome.LOAD_FAULT, Outcome.STORE_FAULT, Outcome.FUEL, Outcome.RETIRE}
    assert traps == wanted


@pytest.mark.parametrize(
    ("world", "halted", "exit_code"), [(GUEST, 1, 0), (REFUSED, 1, 1), (FAULTY, 2, 2), (ENDLESS, 0, 0)]
)
def test_worlds_end_as_they_say(world: World, halted: int, exit_code: int) -> None:
    run = world.run()
    assert (run.halted, run.exit_code) == (halted, exit_code)
    assert run.accepted == ((halted, exit_code) == (1, 0))
    assert run.executed <= WIDTH**LEVELS


def test_records_are_those_of_the_fast_machine() -> None:
    machine = boot(GUEST.image, GUEST.data, engine="fast")
    assert tuple(machine.step() for _ in range(WIDTH**LEVELS)) == records(GUEST)


def test_runs_differ_by_input_and_by_what_came_before() -> None:
    first = GUEST.run()
    roots = {first.final_root, GUEST.run(b"\2").final_root, GUEST.run(previous=first).final_root}
    assert len(roots) == 3


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(LookupError, match="only 0 such steps"):
        ENDLESS.executes("mul")
