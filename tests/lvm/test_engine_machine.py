"""The fast machine beyond its steps: exact stops, boot, snapshots, memory use, threads, and life without Numba."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from lvm import engine, isa
from lvm.boot import InputTooLargeError, boot_root, input_root
from lvm.control import HALTED_ADDRESS, PC_ADDRESS
from lvm.elf import Image, Segment
from lvm.fast import FastMachine, KernelHasher
from lvm.hashing import leaf_hash, node_hash
from lvm.layout import INPUT_BASE, INPUT_MAX_BYTES, LEAF_BYTES, REGISTERS_BASE, register_address
from lvm.machine import Machine, boot, step_roots
from lvm.memory import AddressError
from lvm.outcome import Outcome
from lvm.spec.interpreter import SpecMachine
from lvm.tree import fold

BASE = 0x1000


def image_of(*words: int) -> Image:
    return Image(BASE, (Segment(BASE, b"".join(word.to_bytes(4, "little") for word in words)),))


COUNTER = image_of(isa.lui(6, 0x100), isa.addi(5, 5, 1), isa.sw(5, 6, 0), isa.addi(6, 6, 64), isa.jal(0, -12))
"""Endless: counts in x5 and touches a new leaf every four steps, from 0x100000 up."""

COUNTDOWN = image_of(isa.addi(5, 0, 100), isa.addi(5, 5, -1), isa.bne(5, 0, -4), isa.addi(10, 0, 7), isa.ecall())
COUNTDOWN_STEPS = 1 + 200 + 2


def fast(image: Image, data: bytes = b"") -> FastMachine:
    machine = FastMachine(image)
    machine.boot(image.entry, data)
    return machine


def spec(image: Image, data: bytes = b"") -> SpecMachine:
    machine = SpecMachine(image)
    machine.boot(image.entry, data)
    return machine


def test_run_stops_at_every_count() -> None:
    reference = spec(COUNTDOWN)
    for steps in range(COUNTDOWN_STEPS + 3):
        machine = fast(COUNTDOWN)
        assert machine.run(steps) == min(steps, COUNTDOWN_STEPS)
        assert machine.t == steps
        assert machine.control() == reference.control()
        assert machine.root() == reference.root()
        reference.step()


def test_halted_machine_is_cheap_and_still_counts() -> None:
    machine = fast(COUNTDOWN)
    assert machine.run(1 << 40) == COUNTDOWN_STEPS
    assert (machine.halted, machine.exit_code, machine.t) == (1, 7, 1 << 40)
    root = machine.root()
    assert machine.run(1 << 62) == 0
    assert machine.run(1 << 70) == 0
    assert machine.t == (1 << 40) + (1 << 62) + (1 << 70)
    record = machine.step()
    assert (record.outcome, record.before, record.written) == (Outcome.HALTED, record.after, 0)
    assert machine.root() == root
    with pytest.raises(ValueError, match="-1"):
        machine.run(-1)


def test_run_longer_than_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lvm.fast.SLICE_STEPS", 7)
    machine, whole = fast(COUNTDOWN), spec(COUNTDOWN)
    assert machine.run(100) == 100
    assert machine.run(1000) == COUNTDOWN_STEPS - 100
    whole.run(1100)
    assert machine.t == whole.t
    assert machine.root() == whole.root()


def test_boot_keeps_memory_and_replaces_input_and_cpu() -> None:
    store_and_halt = image_of(isa.lui(6, 0x3F800), isa.lw(5, 6, 4), isa.sw(5, 0, 64), isa.ecall())
    machine = fast(store_and_halt, b"abcd" + bytes(5000) + b"x")
    machine.run(10)
    siblings = machine.siblings(INPUT_BASE)[17:]
    machine.boot(BASE, b"wxyz")
    assert machine.t == 0
    assert machine.read_word(64) == int.from_bytes(b"abcd", "little")
    assert machine.read_word(INPUT_BASE + 4 + 5004) == 0
    assert machine.register(5) == 0
    assert machine.root() == boot_root(siblings, input_root(b"wxyz"), BASE)
    with pytest.raises(InputTooLargeError):
        machine.boot(BASE, bytes(INPUT_MAX_BYTES + 1))


def test_code_in_input_is_decoded_again_after_boot() -> None:
    """Fetching from INPUT is allowed, so its decoded form must not outlive it."""
    jump = image_of(isa.lui(6, 0x3F800), isa.jalr(0, 6, 4))
    machine = fast(jump, isa.addi(5, 0, 1).to_bytes(4, "little"))
    machine.run(3)
    assert machine.register(5) == 1
    machine.boot(BASE, isa.addi(5, 0, 2).to_bytes(4, "little"))
    machine.run(3)
    assert machine.register(5) == 2


def test_raw_edits_reach_registers_control_and_code() -> None:
    machine = fast(image_of(isa.addi(5, 5, 1), isa.jal(0, -4)))
    machine.run(10)
    machine.write_state_word(register_address(5), 1000)
    machine.write_state_word(BASE, isa.addi(5, 5, 10))
    machine.write_state_word(PC_ADDRESS, BASE)
    machine.run(1)
    assert machine.register(5) == 1010
    machine.write_state_word(HALTED_ADDRESS, 2)
    assert machine.run(5) == 0
    for address in (-4, 2, 1 << 30):
        with pytest.raises(AddressError):
            machine.write_state_word(address, 0)
        with pytest.raises(AddressError):
            machine.read_word(address)
    with pytest.raises(AddressError):
        machine.register(32)


def test_siblings_lead_to_the_root() -> None:
    machine = fast(COUNTER, b"some input")
    machine.run(1001)
    for address in (0, BASE, 0x100040, INPUT_BASE, REGISTERS_BASE, 0x3FFFFFFC):
        first = address // LEAF_BYTES * LEAF_BYTES
        leaf = b"".join(machine.read_word(first + i).to_bytes(4, "little") for i in range(0, LEAF_BYTES, 4))
        assert fold(leaf_hash(leaf), address // LEAF_BYTES, machine.siblings(address)) == machine.root()


def test_step_roots_agree() -> None:
    ours, theirs = fast(COUNTDOWN), spec(COUNTDOWN)
    for _ in range(COUNTDOWN_STEPS + 1):
        assert step_roots(ours) == step_roots(theirs)


@pytest.mark.parametrize("source", [fast, spec])
@pytest.mark.parametrize("target", [fast, spec])
def test_snapshots_carry_over(source, target) -> None:  # type: ignore[no-untyped-def]
    """Between any two machines, at once and after both have moved on; the snapshot itself never changes."""
    maker: Machine = source(COUNTER)
    taken = []
    for steps in (0, 3, 1, 300, 2, 500):
        maker.run(steps)
        taken.append((maker.snapshot(), maker.t, maker.control(), maker.root()))
    maker.run(1000)
    other: Machine = target(COUNTDOWN)
    other.run(50)
    for machine in (other, maker):
        for snapshot, t, control, root in (*taken, *reversed(taken)):
            machine.restore(snapshot)
            assert (machine.t, machine.control(), machine.root()) == (t, control, root)
            machine.run(123)
            reference = spec(COUNTER)
            reference.run(t + 123)
            assert machine.root() == reference.root()


def test_restore_drops_decoded_code() -> None:
    program = image_of(isa.addi(5, 5, 1), isa.sw(7, 6, 0), isa.jal(0, -8))
    machine = fast(program)
    machine.write_state_word(register_address(6), BASE)
    machine.write_state_word(register_address(7), isa.addi(5, 5, 100))
    machine.run(1)
    before = machine.snapshot()
    machine.run(3)
    after = machine.snapshot()
    assert machine.register(5) == 101
    machine.restore(before)
    machine.run(1)
    machine.write_state_word(PC_ADDRESS, BASE)
    machine.run(1)
    assert machine.register(5) == 101
    machine.restore(before)
    machine.write_state_word(PC_ADDRESS, BASE)
    machine.run(1)
    assert machine.register(5) == 2
    machine.restore(after)
    machine.write_state_word(PC_ADDRESS, BASE)
    machine.run(1)
    assert machine.register(5) == 201


def test_snapshots_share_unchanged_pages() -> None:
    machine = fast(image_of(isa.addi(5, 5, 1), isa.jal(0, -4)), bytes(100_000))
    first = machine.snapshot()
    machine.run(1000)
    second = machine.snapshot()
    changed = [page for page in second.pages if first.pages.get(page) is not second.pages[page]]
    assert changed == [REGISTERS_BASE // 4096]


@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 48, 100])
def test_hash_kernels_agree_with_blake3(count: int) -> None:
    data = np.random.default_rng(count).integers(0, 256, (count, 64), dtype=np.uint8)
    hasher = KernelHasher()
    assert [row.tobytes() for row in hasher.hash_leaves(data)] == [leaf_hash(row.tobytes()) for row in data]
    pairs = np.ascontiguousarray(data[:, :48])
    expected = [node_hash(row[:24].tobytes(), row[24:].tobytes()) for row in pairs]
    assert [row.tobytes() for row in hasher.hash_nodes(pairs)] == expected


def test_operations_are_numbered_apart() -> None:
    assert engine.UNDECODED == 0
    assert engine.MRET <= engine.OPERATION < engine.EVEN_WINDOW


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_grows_with_touched_pages_only() -> None:
    fast(COUNTER).run(1)
    start = resident_bytes()
    machines = [fast(COUNTER) for _ in range(20)]
    for machine in machines:
        machine.run(10)
        machine.root()
    assert (resident_bytes() - start) / len(machines) < 512 * 1024
    start = resident_bytes()
    touched_pages = 4096
    machines[0].run(4 * 64 * touched_pages)
    assert not machines[0].halted
    data = 4096 * touched_pages
    assert data < resident_bytes() - start < 1.2 * data
    machines[0].root()
    assert resident_bytes() - start < 3 * data


def test_the_interpreter_lock_is_released() -> None:
    machine = fast(image_of(isa.addi(5, 5, 1), isa.jal(0, -4)))
    machine.run(10)
    worker = threading.Thread(target=machine.run, args=(60_000_000,))
    worker.start()
    turns = 0
    while worker.is_alive():
        time.sleep(0.001)
        turns += 1
    worker.join()
    assert turns > 10


NO_NUMBA = """
import sys
sys.modules["numba"] = None
from lvm import isa
from lvm.elf import Image, Segment
from lvm.machine import EngineUnavailableError, boot
try:
    import lvm.fast
except ImportError:
    print("no lvm.fast")
image = Image(0x1000, (Segment(0x1000, isa.ecall().to_bytes(4, "little")),))
print(type(boot(image)).__name__)
try:
    boot(image, engine="fast")
except EngineUnavailableError as error:
    print(error)
"""


def test_without_numba_the_specification_interpreter_serves() -> None:
    done = subprocess.run([sys.executable, "-c", NO_NUMBA], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:2] == ["no lvm.fast", "SpecMachine"]
    assert "Numba" in lines[2]


LITTLE_ADDRESS_SPACE = """
import resource
import lvm.fast
from lvm.elf import Image, Segment
from lvm.machine import EngineUnavailableError, boot
resource.setrlimit(resource.RLIMIT_AS, (1 << 31, 1 << 31))
try:
    boot(Image(0x1000, (Segment(0x1000, bytes(4)),)), engine="fast")
except EngineUnavailableError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_too_little_address_space_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", LITTLE_ADDRESS_SPACE], capture_output=True, text=True, check=True)
    assert "address space" in done.stdout


def test_auto_is_fast_where_numba_is() -> None:
    assert isinstance(boot(COUNTDOWN), FastMachine)
    assert isinstance(boot(COUNTDOWN, engine="spec"), SpecMachine)
