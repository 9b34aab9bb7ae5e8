"""Translated code against the specification interpreter and the kernel: same steps, same stops, same roots.

The policy that decides what is worth translating is turned up, so that everything is translated at once and again
after every change.
"""

import random
from typing import Any

import pytest

pytest.importorskip("numba")

from engine_pair import CODE_WORDS, EDGE_VALUES, Pair, enter_user_mode, random_value, random_word, user_pair

from lvm import engine, isa, native
from lvm.control import PC_ADDRESS, WINDOW_ADDRESS
from lvm.elf import Image, Segment, load_elf
from lvm.fast import FastMachine
from lvm.guest import EXAMPLES, elf_path
from lvm.layout import CPU_BASE, INPUT_BASE, REGISTERS_BASE, register_address
from lvm.machine import boot
from lvm.translate import REGISTER, Translation, decoded_words

BASE = 0x1000


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make the policy eager; gives the lengths of all stretches that translated code ran."""
    for name, value in (("FIRST_PATIENCE", 50), ("STEPS_PER_WORD", 0), ("PATIENCE_GROWTH", 1), ("SHORT_RUN", 1)):
        monkeypatch.setattr(native, name, value)
    monkeypatch.setattr(native, "BURSTS", (2, 16))
    monkeypatch.setattr(native, "known", [])
    stretches: list[int] = []
    real_run = Translation.run

    def counting_run(self: Translation, arrays: Any, steps: int) -> int:
        executed = real_run(self, arrays, steps)
        stretches.append(executed)
        return executed

    monkeypatch.setattr(Translation, "run", counting_run)
    return stretches


def image_of(*words: int) -> Image:
    return Image(BASE, (Segment(BASE, b"".join(word.to_bytes(4, "little") for word in words)),))


def machine_of(image: Image, data: bytes = b"") -> FastMachine:
    machine = FastMachine(image)
    machine.boot(image.entry, data)
    return machine


def hostile_session(seed: int, rounds: int) -> None:
    """As in lockstep, by `run` only: programs that fault, rewrite themselves and jump anywhere."""
    rng = random.Random(seed)
    pair = Pair([random_word(rng) for _ in range(CODE_WORDS)], b"".join(rng.randbytes(4) for _ in range(8)))
    for _ in range(rounds):
        for index in rng.sample(range(1, 12), 3):
            pair.write(register_address(index), random_value(rng))
        if pair.spec.halted:
            pair.revive(rng)
        pair.run(rng.randrange(400))
        if rng.random() < 0.2:
            pair.compare_roots()
    pair.compare_roots()


def test_hostile_programs(taken: list[int]) -> None:
    for seed in range(3):
        hostile_session(seed, 80)
    assert sum(taken) > 1500


def test_user_mode_between_translated_stretches(taken: list[int]) -> None:
    """Kernel code is translated, traps and MRET go through the kernel, windows hold random programs."""
    for seed in range(2):
        rng = random.Random(seed)
        pair = user_pair(rng)
        for _ in range(25):
            for index in rng.sample(range(1, 12), 3):
                pair.write(register_address(index), random_value(rng))
            if pair.spec.halted or rng.random() < 0.3:
                enter_user_mode(pair, rng)
            if rng.random() < 0.1:
                pair.write(WINDOW_ADDRESS, 0)
            pair.run(rng.randrange(400))
            if rng.random() < 0.2:
                pair.compare_roots()
        pair.compare_roots()
    assert sum(taken) > 20


def test_code_runs_in_both_modes_in_turn(taken: list[int]) -> None:
    """The same words as kernel code, where they are translated, and through a window: jumps, links and accesses."""
    base = 0x0040_0000
    function = [isa.auipc(7, 0), isa.addi(5, 5, 1), isa.sw(7, 7, 0x40), isa.slti(9, 5, 60), isa.bne(9, 0, -16)]
    function += [isa.jal(1, 4), isa.addi(5, 0, 0), isa.ecall()]
    handler = [isa.addi(8, 8, 1), isa.addi(5, 0, 0), isa.csrrw(isa.FUEL, 10), isa.csrrw(isa.UWIN, 11)]
    handler += [isa.csrrw(isa.EPC, 0), isa.andi(9, 8, 1), isa.beq(9, 0, 8), isa.jalr(0, 11, 0), isa.mret()]
    function[-1] = isa.jalr(0, 12, 0)  # kernel mode: to the handler; user mode: out of its range, a fault
    image = Image(
        0x100,
        tuple(
            Segment(at, b"".join(word.to_bytes(4, "little") for word in words))
            for at, words in ((0x100, handler), (base, function))
        ),
    )
    spec, fast = boot(image, engine="spec"), machine_of(image)
    for machine in (spec, fast):
        for index, value in ((10, 1000), (11, base), (12, 0x100)):
            machine.write_state_word(register_address(index), value)
    rng = random.Random(6)
    for _ in range(12):
        steps = rng.randrange(1, 1500)
        assert fast.run(steps) == spec.run(steps) == steps
        assert (fast.control(), fast.root()) == (spec.control(), spec.root())
    assert fast.register(8) > 20
    assert sum(taken) > 1000


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
@pytest.mark.usefixtures("taken")
def test_hostile_programs_for_long(seed: int) -> None:
    hostile_session(seed, 1000)


def exercise_everything() -> list[int]:
    """A loop over a table of operand pairs at 0x8000 that stores the result of every register operation."""
    names = ["add", "sub", "sll", "slt", "sltu", "xor", "srl", "sra", "or", "and", "mul", "mulh", "mulhsu", "mulhu"]
    names += ["div", "divu", "rem", "remu"]
    assert len(names) == len(REGISTER)
    immediates = [("addi", -1), ("slti", -5), ("sltiu", -5), ("xori", -1), ("ori", 0x7F0), ("andi", -256)]
    immediates += [(name, amount) for name in ("slli", "srli", "srai") for amount in (0, 1, 31)]
    body = [isa.lw(5, 8, 0), isa.lw(6, 8, 4)]
    for name in names:
        body += [isa.encode(name, rd=7, rs1=5, rs2=6), isa.sw(7, 9, 0), isa.addi(9, 9, 4)]
    for name, imm in immediates:
        body += [isa.encode(name, rd=7, rs1=5, imm=imm), isa.sw(7, 9, 0), isa.addi(9, 9, 4)]
    for name in ("lb", "lbu", "lh", "lhu"):
        body += [isa.encode(name, rd=7, rs1=8, imm=2), isa.sw(7, 9, 0), isa.addi(9, 9, 4)]
    body += [isa.sb(5, 9, 1), isa.sh(6, 9, 2), isa.addi(9, 9, 4), isa.add(0, 5, 6), isa.auipc(7, 5), isa.sw(7, 9, 0)]
    for name in ("beq", "bne", "blt", "bge", "bltu", "bgeu"):
        body += [isa.encode(name, rs1=5, rs2=6, imm=8), isa.addi(11, 11, 1)]
    body += [isa.fence(), isa.addi(9, 9, 4), isa.addi(8, 8, 8)]
    start = [isa.lui(8, 8), isa.lui(9, 0x10)]
    loop_end = isa.encode("bne", rs1=8, rs2=10, imm=-4 * len(body))
    return [*start, *body, loop_end, isa.ecall()]


def test_every_operation_on_edge_operands(taken: list[int]) -> None:
    operands = sorted({*EDGE_VALUES, *(-value & 0xFFFFFFFF for value in EDGE_VALUES)})
    pairs = [(a, b) for a in operands for b in operands]
    image = image_of(*exercise_everything())
    spec, fast = boot(image, engine="spec"), machine_of(image)
    for machine in (spec, fast):
        for number, (a, b) in enumerate(pairs):
            machine.write_state_word(0x8000 + 8 * number, a)
            machine.write_state_word(0x8004 + 8 * number, b)
        machine.write_state_word(register_address(10), 0x8000 + 8 * len(pairs))
    assert fast.run(1 << 20) == spec.run(1 << 20)
    assert (fast.halted, fast.root()) == (1, spec.root())
    assert sum(taken) > 0.9 * fast.register(9) / 4


CALLS = image_of(
    isa.lui(2, 0x100),
    isa.addi(5, 5, 1),
    isa.jal(1, 16),
    isa.sw(5, 2, 0),
    isa.addi(2, 2, 4),
    isa.jal(0, -16),
    isa.add(6, 6, 5),  # the function called
    isa.andi(7, 5, 3),
    isa.beq(7, 0, 8),
    isa.jalr(0, 1, 0),
    isa.mul(6, 6, 5),
    isa.jalr(0, 1, 0),
)


def test_stops_at_every_count(taken: list[int]) -> None:
    reference = boot(CALLS, engine="spec")
    warm = machine_of(CALLS)
    warm.run(1000)
    for steps in range(150):
        machine = machine_of(CALLS)
        assert machine.run(steps) == steps
        assert machine.root() == reference.root()
        reference.step()
    assert sum(taken) > 5000


@pytest.mark.parametrize("name", EXAMPLES)
def test_guests(name: str, taken: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """To the end in uneven stretches: the same roots as the kernel alone."""
    data = {
        "sha256": random.Random(3).randbytes(5000),
        "sieve": b"3000 2",
        "quicksort": " ".join(str(random.Random(4).randrange(-9999, 9999)) for _ in range(400)).encode(),
        "ledger": b"open a 100\nopen b 0\n" + b"pay a b 3\npay b a 2\n" * 60,
    }[name]
    monkeypatch.setattr(native, "FIRST_PATIENCE", 4000)
    image = load_elf(elf_path(name))
    machine, kernel = machine_of(image, data), machine_of(image, data)
    monkeypatch.setattr(kernel._runner, "run", lambda steps: engine.run(*kernel._arrays, steps))
    rng = random.Random(5)
    while not machine.halted:
        steps = rng.choice((1, 7, 100, 1000, 20000))
        assert machine.run(steps) == kernel.run(steps)
        assert machine.control() == kernel.control()
        assert machine.root() == kernel.root()
    assert sum(taken) > 10_000


def test_store_over_translated_code_takes_effect(taken: list[int]) -> None:
    """The loop rewrites its own addi once, from outside the loop's leaf and from inside."""
    loop = [isa.addi(5, 5, 1), isa.addi(6, 6, -1), isa.bne(6, 0, -8), isa.sw(7, 8, 0), isa.addi(6, 0, 300)]
    image = image_of(*loop, isa.bne(5, 9, -20), isa.ecall())
    spec, fast = boot(image, engine="spec"), machine_of(image)
    for machine in (spec, fast):
        values = ((6, 200), (7, isa.addi(5, 5, 3)), (8, BASE), (9, 200 + 3 * 300))
        for index, value in values:
            machine.write_state_word(register_address(index), value)
    for _ in range(10):
        assert fast.run(300) == spec.run(300)
        assert fast.root() == spec.root()
    assert fast.halted == 1
    assert sum(taken) > 500


def test_code_is_rewritten_again_and_again(taken: list[int]) -> None:
    """Every 100 turns the loop's first instruction toggles, while its leaf is marked as changed already."""
    toggle = isa.addi(5, 5, 1) ^ isa.addi(5, 5, 3)
    program = [isa.addi(5, 5, 1), isa.addi(6, 6, -1), isa.bne(6, 0, -8), isa.addi(6, 0, 100)]
    program += [isa.lw(7, 8, 0), isa.xor(7, 7, 10), isa.sw(7, 8, 0), isa.jal(0, -28)]
    spec, fast = boot(image_of(*program), engine="spec"), machine_of(image_of(*program))
    for machine in (spec, fast):
        for index, value in ((6, 100), (8, BASE), (10, toggle)):
            machine.write_state_word(register_address(index), value)
        machine.run(6000)
    assert fast.register(5) == spec.register(5)
    assert fast.root() == spec.root()
    assert sum(taken) > 1000


@pytest.mark.parametrize("name", ["lb", "lbu", "lh", "lhu", "lw", "sb", "sh", "sw"])
@pytest.mark.parametrize("misaligned", [0, 1])
@pytest.mark.parametrize("kind", ["edge", "wrap"])
def test_accesses_run_into_a_fault(name: str, misaligned: int, kind: str, taken: list[int]) -> None:
    """A loop walks up to the end of its range; `misaligned` adds 1 to the address after 100 turns."""
    encode = isa.encode(name, rd=7, rs1=11, rs2=5, imm=-4 if kind == "edge" else 2044)
    end = INPUT_BASE if name in ("sb", "sh", "sw") else CPU_BASE
    start = end - 4 * 150 if kind == "edge" else 0x1_0000_0000 - 2044 - 4 * 10
    loop = [encode, isa.addi(8, 8, 4), isa.addi(5, 5, 1), isa.slti(10, 5, 100), isa.xori(10, 10, 1)]
    loop += [isa.and_(10, 10, 12), isa.add(11, 8, 10), isa.jal(0, -4 * 7)]
    spec, fast = boot(image_of(*loop), engine="spec"), machine_of(image_of(*loop))
    for machine in (spec, fast):
        warm = ((8, 0x8000), (11, 0x8000), (12, 0))
        for index, value in warm:
            machine.write_state_word(register_address(index), value)
        machine.run(8 * 80)
        for index, value in ((5, 0), (8, start), (11, start), (12, misaligned)):
            machine.write_state_word(register_address(index), value)
    assert fast.run(5000) == spec.run(5000)
    assert (fast.control(), fast.root()) == (spec.control(), spec.root())
    assert fast.halted == 2
    assert sum(taken) > 300


def test_translations_serve_other_machines_with_the_same_code_only(taken: list[int]) -> None:
    machine_of(CALLS).run(500)
    taken.clear()
    same = machine_of(CALLS)
    same.run(100)
    assert sum(taken) > 80
    taken.clear()
    other = machine_of(image_of(isa.addi(5, 5, 2), isa.jal(0, -4)))
    other.run(40)
    assert not taken
    assert other.register(5) == 40
    same.write_state_word(BASE + 4, isa.addi(5, 5, 7))
    before = same.register(5)
    same.write_state_word(PC_ADDRESS, BASE + 4)
    same.run(2)
    assert same.register(5) == before + 7


def test_snapshot_without_the_code_change_restores_it(taken: list[int]) -> None:
    machine = machine_of(CALLS)
    machine.run(500)
    kept, root = machine.snapshot(), machine.root()
    machine.write_state_word(BASE + 4, isa.addi(5, 5, 7))
    machine.run(500)
    changed = machine.root()
    machine.restore(kept)
    assert machine.root() == root
    machine.run(500)
    reference = boot(CALLS, engine="spec")
    reference.run(1000)
    assert machine.root() == reference.root() != changed
    assert sum(taken) > 500


def test_edited_x0_is_left_to_the_kernel(taken: list[int]) -> None:
    machine = machine_of(image_of(isa.add(5, 5, 0), isa.jal(0, -4)))
    machine.run(200)
    taken.clear()
    machine.write_state_word(REGISTERS_BASE, 3)
    machine.run(200)
    assert machine.register(5) == 300
    assert not taken


@pytest.mark.parametrize("pc", [2, BASE + 2, 0x2000, CPU_BASE, 0xFFFFFFFC, 0xFFFFFFFE])
def test_translated_code_refuses_what_it_does_not_know(pc: int, taken: list[int]) -> None:
    machine = machine_of(CALLS)
    machine.run(200)
    assert sum(taken) > 0
    arrays = machine._arrays
    translation = Translation(arrays, decoded_words(arrays))
    machine.write_state_word(PC_ADDRESS, pc)
    root = machine.root()
    assert translation.run(arrays, 1000) == 0
    assert machine.root() == root
