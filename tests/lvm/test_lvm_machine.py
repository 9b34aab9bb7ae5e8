"""The machine as a whole: boot, roots around a step, running, snapshots."""

import sys
from random import Random

import pytest
from elf_files import code
from steps import random_machine

import lvm
from lvm import isa
from lvm.boot import BOOT_HEIGHT, InputTooLargeError, boot_root, cpu_root, encode_input, input_root
from lvm.control import Control
from lvm.elf import Image, Segment
from lvm.hashing import ZERO, leaf_hash, node_hash
from lvm.layout import CONTROL_BASE, CPU_NODE, INPUT_BASE, INPUT_MAX_BYTES, INPUT_NODE, register_address
from lvm.machine import EngineUnavailableError, boot, new_machine, step_roots
from lvm.memory import AddressError
from lvm.outcome import Outcome
from lvm.spec.interpreter import SpecMachine
from lvm.tree import StateTree, fold

COUNT_TO = 5
COUNTER = Image(  # counts in x5 and in memory at 0x40000, then halts with exit code 9
    0x1000,
    (
        Segment(
            0x1000,
            code(
                isa.lui(6, 0x40),
                isa.addi(7, 0, COUNT_TO),
                isa.addi(5, 5, 1),
                isa.sw(5, 6, 0),
                isa.bne(5, 7, -8),
                isa.addi(10, 0, 9),
                isa.ecall(),
            ),
        ),
    ),
)
STEPS = 2 + 3 * COUNT_TO + 2


def spec(input_bytes: bytes = b"") -> SpecMachine:
    machine = SpecMachine(COUNTER)
    machine.boot(COUNTER.entry, input_bytes)
    return machine


def full_root(machine: SpecMachine) -> bytes:
    """The root recomputed from the words of the leaves that this test's machines can have written."""
    leaves = {}
    for start in (0, 0x1000, 0x4_0000, INPUT_BASE, register_address(0), register_address(16), CONTROL_BASE):
        words = (machine.read_word(start + 4 * word) for word in range(16))
        leaves[start // 64] = b"".join(word.to_bytes(4, "little") for word in words)
    tree = StateTree()
    tree.update(list(leaves), b"".join(leaves.values()))
    return tree.root


def test_boot_state() -> None:
    machine = spec(b"hello")
    assert (machine.t, machine.halted, machine.exit_code) == (0, 0, 0)
    assert machine.control() == Control(pc=0x1000)
    assert machine.read_word(INPUT_BASE) == 5
    assert machine.read_word(INPUT_BASE + 4) == int.from_bytes(b"hell", "little")
    assert machine.read_word(INPUT_BASE + 8) == ord("o")
    assert machine.root() == full_root(machine)


@pytest.mark.parametrize("size", [0, 1, 60, 61, 1000])
def test_boot_replaces_one_node_of_the_previous_state(size: int) -> None:
    data = Random(size).randbytes(size)
    previous = SpecMachine(COUNTER)
    siblings = previous.siblings(INPUT_BASE)[BOOT_HEIGHT:]
    assert COUNTER.root() == previous.root()
    assert fold(ZERO[BOOT_HEIGHT], INPUT_NODE >> 1, siblings) == previous.root()
    assert boot_root(siblings, input_root(data), COUNTER.entry) == spec(data).root()


def test_next_run_keeps_memory_and_forgets_input_and_cpu() -> None:
    machine = spec(bytes(range(200)))
    machine.run(1000)
    siblings = machine.siblings(INPUT_BASE)[BOOT_HEIGHT:]
    machine.boot(COUNTER.entry, b"next")
    assert machine.root() == boot_root(siblings, input_root(b"next"), COUNTER.entry) == full_root(machine)
    assert machine.read_word(0x4_0000) == COUNT_TO
    assert [machine.register(index) for index in range(32)] == [0] * 32
    assert machine.read_word(INPUT_BASE + 64) == 0
    assert (machine.t, machine.control()) == (0, Control(pc=0x1000))
    assert machine.run(1000) == STEPS


def test_roots_of_the_two_halves_of_boot() -> None:
    machine = spec(b"abc")
    assert node_hash(input_root(b"abc"), cpu_root(0x1000)) == fold(input_root(b"abc"), INPUT_NODE, (cpu_root(0x1000),))
    assert CPU_NODE == INPUT_NODE + 1
    assert machine.siblings(CONTROL_BASE)[16] == input_root(b"abc")
    assert machine.siblings(INPUT_BASE)[16] == cpu_root(0x1000)


def test_inputs_of_the_largest_size_and_beyond() -> None:
    assert len(encode_input(bytes(INPUT_MAX_BYTES))) == INPUT_MAX_BYTES + 4
    for fails in (encode_input, input_root, spec):
        with pytest.raises(InputTooLargeError, match=str(INPUT_MAX_BYTES)):
            fails(bytes(INPUT_MAX_BYTES + 1))
    with pytest.raises(ValueError, match="7 siblings"):
        boot_root(ZERO[:6], ZERO[16], 0)


def test_run_to_the_end_and_beyond() -> None:
    machine = spec()
    assert machine.run(STEPS - 1) == STEPS - 1
    assert machine.halted == 0
    assert machine.run(10) == 1
    assert (machine.t, machine.halted, machine.exit_code) == (STEPS + 9, 1, 9)
    final = machine.root()
    assert machine.run(5) == 0
    assert machine.t == STEPS + 14
    assert machine.step().outcome is Outcome.HALTED
    assert machine.root() == final == full_root(machine)
    assert machine.run(0) == 0
    with pytest.raises(ValueError, match="-1"):
        machine.run(-1)


def test_run_and_step_go_through_the_same_states() -> None:
    stepped, run = spec(b"x"), spec(b"x")
    for t in range(STEPS + 2):
        assert stepped.root() == run.root() == full_root(run), t
        record = stepped.step()
        run.run(1)
        assert (record.t, record.after) == (t, run.control())


def test_roots_around_every_step_are_single_leaf_updates() -> None:
    machine, shadow = spec(b"y"), spec(b"y")
    for _ in range(STEPS + 1):
        path = shadow.siblings(CONTROL_BASE)
        around = step_roots(machine)
        record = around.record
        assert around.a == shadow.root()
        if record.write_address is not None:
            shadow.write_state_word(record.write_address, record.written)
        assert around.m == shadow.root()
        path = shadow.siblings(CONTROL_BASE)
        for index, word in enumerate(record.after.to_words()):
            shadow.write_state_word(CONTROL_BASE + 4 * index, word)
        assert around.b == shadow.root() == machine.root()
        assert fold(leaf_hash(record.after.to_bytes() + bytes(32)), CONTROL_BASE // 64, path) == around.b
    assert around.a == around.m == around.b


def test_roots_around_random_steps() -> None:
    rng = Random(11)
    for _ in range(150):
        machine = random_machine(rng)
        saved = machine.snapshot()
        around = step_roots(machine)
        machine.restore(saved)
        assert machine.root() == around.a
        if around.record.write_address is not None:
            machine.write_state_word(around.record.write_address, around.record.written)
        assert machine.root() == around.m


def test_snapshots_resume_and_are_isolated() -> None:
    machine = spec()
    machine.run(6)
    saved, early = machine.snapshot(), machine.root()
    machine.run(100)
    late = machine.root()
    other = new_machine(Image(0, ()), engine="spec")
    other.restore(saved)
    assert (other.t, other.root()) == (6, early)
    other.write_state_word(0x4_0000, 77)
    machine.restore(saved)
    assert (machine.t, machine.root(), machine.read_word(0x4_0000)) == (6, early, 1)
    assert machine.run(100) == STEPS - 6
    assert machine.root() == late


def test_snapshot_taken_before_the_tree_was_brought_up_to_date() -> None:
    machine = spec()
    machine.run(6)
    saved = machine.snapshot()
    fresh = spec()
    fresh.restore(saved)
    assert fresh.root() == machine.root() == full_root(fresh)


def test_raw_words() -> None:
    machine = spec()
    before = machine.root()
    machine.write_state_word(register_address(5), -1)
    assert machine.register(5) == 0xFFFF_FFFF
    assert machine.root() == full_root(machine) != before
    for address in (2, -4, 1 << 30):
        with pytest.raises(AddressError):
            machine.write_state_word(address, 0)
        with pytest.raises(AddressError):
            machine.read_word(address)
    for address in (-1, 1 << 30):
        with pytest.raises(AddressError):
            machine.siblings(address)
    for index in (-1, 32):
        with pytest.raises(AddressError):
            machine.register(index)


def test_siblings_of_any_word_of_a_leaf() -> None:
    machine = spec()
    assert machine.siblings(CONTROL_BASE + 60) == machine.siblings(CONTROL_BASE)


def test_boot_by_name_of_the_engine() -> None:
    machine = boot(COUNTER, b"", engine="spec")
    assert isinstance(machine, SpecMachine)
    assert machine.run(100) == STEPS


def test_without_numba_the_specification_interpreter_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("lvm.fast", "lvm.engine"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delattr(lvm, "engine", raising=False)
    assert isinstance(boot(COUNTER, engine="auto"), SpecMachine)
    with pytest.raises(EngineUnavailableError, match=r"pip install 'bitvm\[fast\]'"):
        boot(COUNTER, engine="fast")
