"""Openings: whatever a step does, its openings lead to the roots around it, in both interpreters."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from itertools import product
from random import Random

import pytest
from steps import NAMES, random_machine

from lvm import isa
from lvm.boot import BOOT_HEIGHT, BOOT_NODE, input_root
from lvm.elf import Image, Segment
from lvm.hashing import leaf_hash
from lvm.isa import ECALL_WORD
from lvm.layout import CONTROL_BASE, LEAF_BYTES, REGISTERS_BASE, physical_word, register_address
from lvm.machine import Engine, Machine, StepRoots, new_machine, step_roots
from lvm.memory import AddressError
from lvm.opening import Opening, StepOpenings, open_boot, open_leaf, step_openings
from lvm.outcome import Outcome
from lvm.record import StepRecord
from lvm.tree import fold

ENGINES: tuple[Engine, ...] = ("spec", "fast") if importlib.util.find_spec("numba") else ("spec",)
EMPTY = Image(0, ())


@pytest.fixture(params=ENGINES, scope="module")
def machine(request: pytest.FixtureRequest) -> Machine:
    return new_machine(EMPTY, engine=request.param)


def around(machine: Machine) -> tuple[StepRoots, StepOpenings]:
    """The roots of the machine's next step and its openings; the machine stays where it is."""
    saved = machine.snapshot()
    roots = step_roots(machine)
    machine.restore(saved)
    openings = step_openings(machine, roots.record)
    assert (machine.t, machine.root()) == (roots.record.t, roots.a)
    return roots, openings


def word_in(opening: Opening, address: int) -> int:
    assert opening.place == address // LEAF_BYTES
    return opening.words[address % LEAF_BYTES // 4]


def check_reads(record: StepRecord, openings: StepOpenings, root: bytes) -> None:
    window = record.before.window
    rs1 = 10 if record.instr == ECALL_WORD else record.instr >> 15 & 31
    assert {o.root for o in (openings.control, openings.instr, openings.rs1, openings.rs2, openings.mem)} == {root}
    assert openings.control.place == CONTROL_BASE // LEAF_BYTES
    assert openings.control.words == (*record.before.to_words(), *[0] * 8)
    assert word_in(openings.instr, physical_word(window, record.pc)) == record.instr
    assert word_in(openings.rs1, register_address(rs1)) == record.rs1
    assert word_in(openings.rs2, register_address(record.instr >> 20 & 31)) == record.rs2
    assert word_in(openings.mem, physical_word(window, record.address)) == record.mem


def check_writes(record: StepRecord, openings: StepOpenings, roots: StepRoots) -> None:
    data, state, target = openings.data, openings.state, record.write_address
    for update, before, after in ((data, roots.a, roots.m), (state, roots.m, roots.b)):
        assert (update.before.root, update.after.root) == (before, after)
        assert (update.before.place, update.before.siblings) == (update.after.place, update.after.siblings)
    assert state.after.words == (*record.after.to_words(), *[0] * 8)
    if target is None:
        assert data.before == data.after
        assert (data.before.place, roots.m) == (REGISTERS_BASE // LEAF_BYTES, roots.a)
    else:
        assert word_in(data.after, target) == record.written


def test_openings_of_random_steps_lead_to_the_roots_around_them(machine: Machine) -> None:
    rng, seen = Random(5), set()
    for name, user in product([*NAMES, *[None, "sh"] * 120], (False, True)):
        machine.restore(random_machine(rng, name, user=user).snapshot())
        roots, openings = around(machine)
        check_reads(roots.record, openings, roots.a)
        check_writes(roots.record, openings, roots)
        seen.add((roots.record.outcome, roots.record.before.window > 0))
    assert {outcome for outcome, user in seen if user} == set(Outcome)
    assert {outcome for outcome, user in seen if not user} == set(Outcome) - {Outcome.FUEL}


def test_a_run_is_a_chain_of_updates(machine: Machine) -> None:
    code = (
        *(isa.lui(6, 0x10), isa.addi(5, 0, 3), isa.sw(5, 6, 0), isa.lw(7, 6, 0), isa.sb(7, 6, 65)),
        *(isa.addi(5, 5, -1), isa.bne(5, 0, -16), isa.addi(10, 0, 0), isa.ecall()),
    )
    image = Image(0x100, (Segment(0x100, b"".join(word.to_bytes(4, "little") for word in code)),))
    machine.restore(new_machine(image, engine="spec").snapshot())
    machine.boot(image.entry, b"input")
    for _ in range(22):
        roots, openings = around(machine)
        check_reads(roots.record, openings, roots.a)
        check_writes(roots.record, openings, roots)
        machine.step()
        assert machine.root() == openings.state.after.root
    assert roots.record.outcome is Outcome.HALTED
    assert openings.state.before == openings.state.after


def test_nodes_lie_on_the_way_from_the_leaf_to_the_root() -> None:
    machine = random_machine(Random(8), "sw", user=False)
    for address in (0, CONTROL_BASE, register_address(31), 0x1234_5678 & ~3):
        opening = open_leaf(machine, address)
        assert opening.node(0) == leaf_hash(opening.leaf)
        for height in (1, 7, 13, 24):
            assert opening.node(height) == fold(leaf_hash(opening.leaf), opening.place, opening.siblings[:height])
        assert opening.node(24) == opening.root == machine.root()
        assert word_in(opening, address) == machine.read_word(address)
    with pytest.raises(AddressError):
        open_leaf(machine, 2)


@pytest.mark.parametrize("address", [CONTROL_BASE + 4, REGISTERS_BASE + 4, REGISTERS_BASE - 4, 0x3000_0000, 0])
def test_a_leaf_in_the_state_in_which_another_was_changed(address: int) -> None:
    machine = random_machine(Random(9), "add", user=True)
    control, other = open_leaf(machine, CONTROL_BASE), open_leaf(machine, address)
    changed = other.with_word(address, 0xDEAD_BEEF)
    machine.write_state_word(address, 0xDEAD_BEEF)
    assert changed == open_leaf(machine, address)
    assert control.in_state_of(changed) == open_leaf(machine, CONTROL_BASE)
    assert changed.root == machine.root() != control.root


def test_leaves_and_words_that_do_not_fit_are_refused() -> None:
    opening = open_leaf(random_machine(Random(1)), CONTROL_BASE)
    with pytest.raises(ValueError, match="64 bytes, got 63"):
        opening.with_leaf(bytes(63))
    for address in (CONTROL_BASE - 4, CONTROL_BASE + LEAF_BYTES):
        with pytest.raises(ValueError, match="lies in leaf"):
            opening.with_word(address, 0)


def test_a_false_record_has_the_reads_of_the_state_and_the_updates_that_it_tells() -> None:
    machine = random_machine(Random(3), "sw", user=False)
    while (true := around(machine)[0].record).outcome is not Outcome.RETIRE:
        machine = random_machine(Random(machine.t), "sw", user=False)
    said = replace(true, rs2=true.rs2 ^ 1, written=true.written ^ 8, after=replace(true.after, exit_code=77))
    openings, root = step_openings(machine, said), machine.root()
    assert {openings.rs2.root, openings.control.root, openings.data.before.root} == {root}
    assert word_in(openings.rs2, register_address(true.instr >> 20 & 31)) == true.rs2
    assert said.write_address is not None
    machine.write_state_word(said.write_address, said.written)
    assert openings.data.after.root == openings.state.before.root == machine.root()
    for index, word in enumerate(said.after.to_words()):
        machine.write_state_word(CONTROL_BASE + 4 * index, word)
    assert openings.state.after.root == machine.root()


def test_boot_is_one_update_above_input_and_cpu(machine: Machine) -> None:
    saved = random_machine(Random(4), "add", user=True).snapshot()
    fresh = new_machine(Image(8, (Segment(8, b"abcd"),)), engine="spec").snapshot()
    for snapshot in (fresh, saved):
        machine.restore(snapshot)
        for data in (b"", b"one", bytes(range(200))):
            boot = open_boot(machine, input_root(data), 0x40)
            assert boot.before[-1] == machine.root()
            machine.boot(0x40, data)
            assert boot.after[-1] == machine.root()
            assert len(boot.before) == len(boot.after) == len(boot.siblings) + 1 == 8
            for nodes in (boot.before, boot.after):
                assert fold(nodes[0], BOOT_NODE, boot.siblings) == nodes[-1]
            assert (BOOT_HEIGHT, BOOT_NODE) == (17, 0b111_1111)
            machine.run(2)
