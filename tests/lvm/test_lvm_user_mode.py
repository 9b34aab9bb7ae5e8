"""User mode, rule by rule, in both interpreters: windows, fuel, traps, CSRs and MRET."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from lvm import isa
from lvm.control import CONTROL_FIELDS, Control
from lvm.elf import Image, Segment
from lvm.layout import CONTROL_BASE, CPU_BASE, CPU_END, INPUT_BASE, USER_BYTES, register_address
from lvm.machine import Machine, new_machine
from lvm.outcome import Outcome
from lvm.record import StepRecord

ENGINES = ("spec", "fast") if importlib.util.find_spec("numba") else ("spec",)
WINDOW = 0x0070_0000
NEXT_WINDOW = WINDOW + USER_BYTES
PC = 0x1000
FUEL = 9
NOP = isa.addi(0, 0, 0)

Build = Callable[..., Machine]


@pytest.fixture(params=ENGINES)
def build(request: pytest.FixtureRequest) -> Build:
    """Make a machine from its control words, memory words by physical address, and registers."""

    def machine_of(control: Control, memory: dict[int, int], registers: dict[int, int] | None = None) -> Machine:
        machine = new_machine(Image(0, ()), engine=request.param)
        for index, word in enumerate(control.to_words()):
            machine.write_state_word(CONTROL_BASE + 4 * index, word)
        for address, word in memory.items():
            machine.write_state_word(address, word)
        for index, word in (registers or {}).items():
            machine.write_state_word(register_address(index), word)
        return machine

    return machine_of


def user_step(
    build: Build,
    word: int,
    registers: dict[int, int] | None = None,
    *,
    window: int = WINDOW,
    pc: int = PC,
    fuel: int = FUEL,
) -> StepRecord:
    """One step in user mode of `word` at the virtual address `pc`."""
    return build(Control(pc=pc, window=window, fuel=fuel, uwin=window), {window | pc: word}, registers).step()


def check_trap(record: StepRecord, outcome: Outcome, cause: int) -> None:
    before = record.before
    fuel = 0 if outcome is Outcome.FUEL else before.fuel - 1
    assert record.outcome is outcome
    assert record.after == Control(pc=0x100, window=0, fuel=fuel, epc=before.pc, cause=cause, uwin=before.uwin)
    assert (record.written, record.write_address) == (0, None)


def test_fuel_counts_steps_and_its_end_traps(build: Build) -> None:
    machine = build(Control(pc=PC, window=WINDOW, fuel=1), {WINDOW | PC: NOP, 0x100: NOP})
    record = machine.step()
    assert (record.outcome, record.after) == (Outcome.RETIRE, Control(pc=PC + 4, window=WINDOW, fuel=0))
    check_trap(machine.step(), Outcome.FUEL, 24)
    assert machine.step().after == Control(pc=0x104, epc=PC + 4, cause=24)


@pytest.mark.parametrize("pc", [PC, PC + 2, USER_BYTES, 0xFFFF_FFFF])
def test_no_fuel_comes_before_everything_but_a_halt(build: Build, pc: int) -> None:
    check_trap(build(Control(pc=pc, window=WINDOW), {}).step(), Outcome.FUEL, 24)
    halted = build(Control(pc=pc, window=WINDOW, halted=1, exit_code=3), {}).step()
    assert (halted.outcome, halted.before) == (Outcome.HALTED, halted.after)


def test_all_fuel_there_can_be(build: Build) -> None:
    assert user_step(build, NOP, fuel=0xFFFF_FFFF).after.fuel == 0xFFFF_FFFE


def test_kernel_mode_needs_no_fuel(build: Build) -> None:
    record = build(Control(pc=PC, fuel=0, uwin=WINDOW), {PC: NOP}).step()
    assert record.after == Control(pc=PC + 4, fuel=0, uwin=WINDOW)
    assert build(Control(pc=PC, fuel=5), {PC: NOP}).step().after.fuel == 5


@pytest.mark.parametrize("pc", [0, PC, USER_BYTES - 4])
def test_fetch_is_through_the_window(build: Build, pc: int) -> None:
    record = user_step(build, isa.auipc(5, 1), pc=pc)
    assert (record.outcome, record.next_pc, record.written) == (Outcome.RETIRE, pc + 4, pc + 0x1000)


def test_running_over_the_end_of_the_window_faults_there(build: Build) -> None:
    """What lies behind the end is code as well, seen from the next window and from kernel mode."""
    edge = USER_BYTES - 4
    memory = {WINDOW | edge: NOP, NEXT_WINDOW: NOP, NEXT_WINDOW + 4: NOP}
    machine = build(Control(pc=0, window=NEXT_WINDOW, fuel=FUEL), memory)
    for pc, window in ((0, NEXT_WINDOW), (NEXT_WINDOW, 0)):
        for index, word in enumerate(Control(pc=pc, window=window, fuel=FUEL).to_words()):
            machine.write_state_word(CONTROL_BASE + 4 * index, word)
        assert machine.run(2) == 2
        for index, word in enumerate(Control(pc=edge, window=WINDOW, fuel=FUEL).to_words()):
            machine.write_state_word(CONTROL_BASE + 4 * index, word)
        machine.run(2)
        assert machine.control() == Control(pc=0x100, fuel=FUEL - 2, epc=USER_BYTES, cause=1)


@pytest.mark.parametrize("pc", [USER_BYTES, USER_BYTES + PC, WINDOW, INPUT_BASE, CPU_BASE, 0x8000_0000, 0xFFFF_FFFC])
def test_fetch_beyond_a_mebibyte_faults(build: Build, pc: int) -> None:
    check_trap(build(Control(pc=pc, window=WINDOW, fuel=1, uwin=1 << 20), {}).step(), Outcome.FETCH_FAULT, 1)


@pytest.mark.parametrize("pc", [1, 2, 3, USER_BYTES + 2, 0xFFFF_FFFF])
def test_misaligned_pc_traps_before_the_fetch(build: Build, pc: int) -> None:
    check_trap(build(Control(pc=pc, window=WINDOW, fuel=1), {}).step(), Outcome.PC_MISALIGNED, 0)


@pytest.mark.parametrize("window", [CPU_BASE, CPU_BASE + USER_BYTES, CPU_END - USER_BYTES])
def test_a_window_over_cpu_cannot_be_fetched_from(build: Build, window: int) -> None:
    for pc in (0, USER_BYTES - 4, 0xFFF80):
        check_trap(build(Control(pc=pc, window=window, fuel=2), {}).step(), Outcome.FETCH_FAULT, 1)


def test_a_window_over_input_can_be_fetched_and_loaded_but_not_stored_to(build: Build) -> None:
    for window in (INPUT_BASE, CPU_BASE - USER_BYTES):
        record = user_step(build, isa.lw(5, 0, PC - 4096), window=window, pc=0)
        assert (record.outcome, record.written, record.mem) == (Outcome.RETIRE, record.instr, record.instr)
        for store in (isa.sw(5, 0, 64), isa.sh(5, 0, 64), isa.sb(5, 0, 67)):
            check_trap(user_step(build, store, window=window), Outcome.STORE_FAULT, 7)
    last = user_step(build, isa.sw(5, 6, -4), {5: 7, 6: USER_BYTES}, window=INPUT_BASE - USER_BYTES)
    assert last.write_address == INPUT_BASE - 4


@pytest.mark.parametrize("name", ["lb", "lbu", "lh", "lhu", "lw", "sb", "sh", "sw"])
def test_accesses_are_through_the_window_and_end_with_it(build: Build, name: str) -> None:
    word = isa.encode(name, rd=7, rs1=5, rs2=6, imm=-4)
    is_store = name.startswith("s")
    machine = build(
        Control(pc=PC, window=WINDOW, fuel=FUEL), {WINDOW | PC: word, NEXT_WINDOW - 4: 0x11}, {5: USER_BYTES, 6: 0x22}
    )
    record = machine.step()
    assert (record.outcome, record.address, record.mem) == (Outcome.RETIRE, USER_BYTES - 4, 0x11)
    assert record.write_address == (NEXT_WINDOW - 4 if is_store else register_address(7))
    assert record.written == (0x22 if is_store else 0x11) == machine.read_word(record.write_address)
    for address in (USER_BYTES, NEXT_WINDOW, INPUT_BASE, CPU_BASE, CONTROL_BASE, 0x8000_0000, 0xFFFF_FFFC):
        record = user_step(build, word, {5: (address + 4) % 2**32})
        check_trap(record, *((Outcome.STORE_FAULT, 7) if is_store else (Outcome.LOAD_FAULT, 5)))
        assert record.address == address
    if not name.endswith(("b", "bu")):
        record = user_step(build, word, {5: USER_BYTES + 5})
        check_trap(record, *((Outcome.STORE_MISALIGNED, 6) if is_store else (Outcome.LOAD_MISALIGNED, 4)))


def test_link_registers_and_targets_are_virtual(build: Build) -> None:
    record = user_step(build, isa.jal(1, -PC))
    assert (record.next_pc, record.written) == (0, PC + 4)
    record = user_step(build, isa.jalr(1, 5, 0), {5: WINDOW})
    assert (record.outcome, record.next_pc, record.written) == (Outcome.RETIRE, WINDOW, PC + 4)
    record = user_step(build, isa.jal(1, -PC - 4))
    assert (record.next_pc, record.written) == (0xFFFF_FFFC, PC + 4)
    assert user_step(build, isa.beq(0, 0, -8), pc=0).next_pc == 0xFFFF_FFF8
    assert user_step(build, isa.bne(0, 0, -8), pc=0).next_pc == 4
    check_trap(user_step(build, isa.jal(1, 6)), Outcome.TARGET_MISALIGNED, 0)
    check_trap(user_step(build, isa.jalr(1, 5, 2), {5: 0}), Outcome.TARGET_MISALIGNED, 0)
    check_trap(user_step(build, isa.beq(0, 0, 2)), Outcome.TARGET_MISALIGNED, 0)


def test_ecall_traps_with_its_own_address(build: Build) -> None:
    record = user_step(build, isa.ecall(), {10: 77})
    check_trap(record, Outcome.ECALL, 8)
    assert record.rs1 == 77


PRIVILEGED_WORDS = [
    isa.mret(),
    *(isa.csrrw(csr, 5) for csr in isa.CSR_NAMES),
    *(isa.csrrs(5, c) for c in isa.CSR_NAMES),
]
RESERVED_WORDS = [0, 0xFFFF_FFFF, 0x0010_0073, 0x0000_000B, 0x3020_00F3, isa.csrrs(0, isa.FUEL) | 1 << 15]


@pytest.mark.parametrize("word", [*PRIVILEGED_WORDS, *RESERVED_WORDS])
def test_illegal_in_user_mode(build: Build, word: int) -> None:
    check_trap(user_step(build, word, {5: 0x1234_5678}), Outcome.ILLEGAL, 2)


@pytest.mark.parametrize("word", [isa.mret() | 1 << 7, isa.mret() | 1 << 15, 0x1020_0073, 0x7FF0_9073, 0x8040_9073])
@pytest.mark.parametrize("more", [0, 1 << 12])
def test_neighbours_of_the_privileged_instructions_halt_the_kernel(build: Build, word: int, more: int) -> None:
    record = build(Control(pc=PC, uwin=WINDOW, epc=4), {PC: word ^ more}).step()
    assert record.after == Control(pc=PC, uwin=WINDOW, epc=4, halted=2, exit_code=2)


@pytest.mark.parametrize("csr", isa.CSR_NAMES)
def test_csr_read(build: Build, csr: int) -> None:
    control = Control(pc=PC, fuel=0xF00D_0001, epc=0xE00D_0002, cause=0xC00D_0003, uwin=0x1230_0000)
    value = getattr(control, isa.CSR_NAMES[csr])
    record = build(control, {PC: isa.csrrs(31, csr)}, {31: 5}).step()
    assert (record.outcome, record.written, record.write_address) == (Outcome.RETIRE, value, register_address(31))
    assert record.after == Control.from_words([PC + 4, *control.to_words()[1:]])
    record = build(control, {PC: isa.csrrs(0, csr)}).step()
    assert (record.outcome, record.written, record.write_address) == (Outcome.RETIRE, 0, None)
    illegal = build(control, {PC: isa.csrrs(31, csr) | 1 << 15}).step()
    assert (illegal.outcome, illegal.after.exit_code) == (Outcome.ILLEGAL, 2)


@pytest.mark.parametrize("csr", isa.CSR_NAMES)
@pytest.mark.parametrize("value", [0, 0xFFFF_FFFF, 0x0010_0000, 0x4000_0000, 0x000F_FFFF])
def test_csr_write(build: Build, csr: int, value: int) -> None:
    control = Control(pc=PC, fuel=1, epc=2, cause=3, uwin=WINDOW)
    record = build(control, {PC: isa.csrrw(csr, 9)}, {9: value}).step()
    kept = value & 0x3FF0_0000 if csr == isa.UWIN else value
    changed = {"pc": PC + 4, isa.CSR_NAMES[csr]: kept}
    words = [changed.get(field, word) for field, word in zip(CONTROL_FIELDS, control.to_words(), strict=True)]
    assert record.after == Control.from_words(words)
    assert (record.outcome, record.written, record.write_address) == (Outcome.RETIRE, 0, None)
    illegal = build(control, {PC: isa.csrrw(csr, 9) | 1 << 7}, {9: value}).step()
    assert (illegal.outcome, illegal.after.exit_code) == (Outcome.ILLEGAL, 2)


def test_mret_enters_the_window(build: Build) -> None:
    machine = build(Control(pc=PC, fuel=2, epc=0x40, cause=8, uwin=WINDOW), {PC: isa.mret(), WINDOW | 0x40: NOP})
    record = machine.step()
    assert (record.outcome, record.write_address) == (Outcome.RETIRE, None)
    assert record.after == Control(pc=0x40, window=WINDOW, fuel=2, epc=0x40, cause=8, uwin=WINDOW)
    assert machine.step().after == Control(pc=0x44, window=WINDOW, fuel=1, epc=0x40, cause=8, uwin=WINDOW)


def test_mret_without_a_window_stays_in_kernel_mode(build: Build) -> None:
    machine = build(Control(pc=PC, epc=0x40_0000), {PC: isa.mret(), 0x40_0000: isa.ecall()}, {10: 6})
    machine.run(2)
    assert machine.control() == Control(pc=0x40_0000, epc=0x40_0000, halted=1, exit_code=6)


def test_mret_to_a_misaligned_address_faults_there(build: Build) -> None:
    machine = build(Control(pc=PC, epc=0x42, fuel=3, uwin=WINDOW), {PC: isa.mret()})
    assert machine.step().outcome is Outcome.RETIRE
    check_trap(machine.step(), Outcome.PC_MISALIGNED, 0)
    kernel = build(Control(pc=PC, epc=0x42), {PC: isa.mret()})
    kernel.run(2)
    assert kernel.control() == Control(pc=0x42, epc=0x42, halted=2, exit_code=0)


def assemble(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


ENTRY = 0x2000
LOG = 0x3000
TIMES = 4
KERNEL = Image(
    ENTRY,
    (
        Segment(
            0x100,  # the trap vector: log cause, epc and the fuel left; go on with the next program
            assemble(
                *(isa.csrrs(5, isa.CAUSE), isa.sw(5, 8, 0), isa.csrrs(5, isa.EPC), isa.sw(5, 8, 4)),
                *(isa.csrrs(5, isa.FUEL), isa.sw(5, 8, 8), isa.addi(8, 8, 12), isa.addi(9, 9, -1)),
                *(isa.bne(9, 0, 12), isa.addi(10, 0, 42), isa.ecall(), isa.add(11, 11, 12)),
                *(
                    isa.csrrw(isa.UWIN, 11),
                    isa.addi(5, 0, 100),
                    isa.csrrw(isa.FUEL, 5),
                    isa.csrrw(isa.EPC, 0),
                    isa.mret(),
                ),
            ),
        ),
        Segment(
            ENTRY,
            assemble(
                *(isa.lui(8, LOG >> 12), isa.addi(9, 0, TIMES), isa.lui(12, USER_BYTES >> 12), isa.addi(11, 0, 0)),
                isa.jal(0, 0x12C - ENTRY - 16),
            ),
        ),
        Segment(1 << 20, assemble(isa.addi(6, 6, 1), isa.sw(6, 0, 64), isa.ecall())),
        Segment(2 << 20, assemble(isa.jal(0, 0))),
        Segment(3 << 20, assemble(isa.lui(7, 0x100), isa.sw(6, 7, -4), isa.lw(6, 7, 0))),
        Segment(4 << 20, assemble(isa.csrrw(isa.FUEL, 6))),
    ),
)
"""Runs four programs, a window each, with fuel 100: one that ends, one that never does, and two that break out."""
LOGGED = [(8, 8, 97), (24, 0, 0), (5, 8, 97), (2, 0, 99)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_kernel_runs_programs_under_fuel_and_catches_what_they_do(engine: str) -> None:
    machine = new_machine(KERNEL, engine=engine)  # type: ignore[arg-type]
    machine.boot(ENTRY, b"")
    executed = machine.run(1 << 20)
    assert (machine.halted, machine.exit_code) == (1, 42)
    log = [tuple(machine.read_word(LOG + 12 * i + 4 * j) for j in range(3)) for i in range(TIMES)]
    assert log == LOGGED
    assert (machine.read_word(USER_BYTES + 64), machine.read_word(4 * USER_BYTES - 4)) == (1, 1)
    reference = new_machine(KERNEL, engine="spec")
    reference.boot(ENTRY, b"")
    assert reference.run(1 << 20) == executed
    assert machine.root() == reference.root()


@pytest.mark.skipif("fast" not in ENGINES, reason="needs Numba")
def test_exact_stops_across_modes() -> None:
    reference = new_machine(KERNEL, engine="spec")
    reference.boot(ENTRY, b"")
    steps = 0
    while not reference.halted:
        machine = new_machine(KERNEL, engine="fast")
        machine.boot(ENTRY, b"")
        assert machine.run(steps) == steps
        assert (machine.control(), machine.root()) == (reference.control(), reference.root())
        reference.step()
        steps += 1
    assert steps > 150
