"""The rules of `step`: each fault in kernel mode, the order in both modes, what a halt leaves, that reads are total."""

from random import Random

import pytest
from steps import NAMES, random_machine, random_step

from lvm import isa
from lvm.control import Control
from lvm.elf import Image
from lvm.layout import (
    CONTROL_BASE,
    CPU_BASE,
    CPU_END,
    INPUT_BASE,
    LEAF_BYTES,
    STATE_WORD_MASK,
    WINDOW_MASK,
    register_address,
)
from lvm.outcome import CAUSE, Outcome
from lvm.record import StepRecord
from lvm.spec.interpreter import SpecMachine

PC = 0x1000


def machine_at(pc: int, word: int | None = None, registers: dict[int, int] | None = None) -> SpecMachine:
    machine = SpecMachine(Image(pc, ()))
    machine.boot(pc, b"\xab\xcd\xef\x01\x02")
    for index, value in (registers or {}).items():
        machine.write_state_word(register_address(index), value)
    if word is not None:
        machine.write_state_word(pc & STATE_WORD_MASK, word)
    return machine


def step(word: int, registers: dict[int, int] | None = None, pc: int = PC) -> StepRecord:
    return machine_at(pc, word, registers).step()


def check_fault(record: StepRecord, outcome: Outcome, cause: int) -> None:
    assert record.outcome is outcome
    assert record.after == Control(pc=record.before.pc, halted=2, exit_code=cause)
    assert (record.written, record.write_address) == (0, None)


@pytest.mark.parametrize("pc", [1, 2, 3, PC + 2, CPU_BASE + 1, 0xFFFF_FFFF])
def test_misaligned_pc_comes_before_fetch(pc: int) -> None:
    check_fault(machine_at(pc).step(), Outcome.PC_MISALIGNED, 0)


@pytest.mark.parametrize("pc", [CPU_BASE, CONTROL_BASE, CPU_END - 4, CPU_END, CPU_END + PC, 0x8000_0000, 0xFFFF_FFFC])
def test_fetch_outside_memory(pc: int) -> None:
    machine = machine_at(pc)
    machine.write_state_word(PC, isa.addi(1, 1, 1))
    check_fault(machine.step(), Outcome.FETCH_FAULT, 1)


@pytest.mark.parametrize("pc", [0, INPUT_BASE - 4, INPUT_BASE, CPU_BASE - 4])
def test_fetch_at_the_edges_of_memory(pc: int) -> None:
    record = step(isa.addi(1, 0, 1), pc=pc)
    assert (record.outcome, record.next_pc) == (Outcome.RETIRE, pc + 4)


@pytest.mark.parametrize("word", [0, 0xFFFF_FFFF, 0x0010_0073, 0x3020_00F3, 0x8040_2073, 0x0000_000B, 0x0000_4501])
def test_illegal_instruction(word: int) -> None:
    check_fault(step(word), Outcome.ILLEGAL, 2)


def test_ecall_halts_with_a0_and_leaves_pc() -> None:
    record = step(isa.ecall(), {10: 0xDEAD_BEEF, 0: 0})
    assert record.outcome is Outcome.ECALL
    assert record.after == Control(pc=PC, halted=1, exit_code=0xDEAD_BEEF)
    assert record.rs1 == 0xDEAD_BEEF
    assert (record.written, record.write_address, record.address) == (0, None, 0)


@pytest.mark.parametrize(
    ("word", "registers"),
    [
        (isa.jal(1, 2), {}),
        (isa.jal(0, -4094), {}),
        (isa.jalr(1, 5, 2), {5: 0}),
        (isa.jalr(1, 5, 0), {5: 3}),
        (isa.beq(0, 0, 6), {}),
        (isa.bgeu(5, 6, -2), {5: 7, 6: 7}),
    ],
)
def test_taken_jump_to_misaligned_target_faults_on_the_jump(word: int, registers: dict[int, int]) -> None:
    machine = machine_at(PC, word, registers | {1: 0x55})
    check_fault(machine.step(), Outcome.TARGET_MISALIGNED, 0)
    assert machine.register(1) == 0x55


def test_branch_not_taken_ignores_its_target() -> None:
    assert step(isa.bne(0, 0, 6)).next_pc == PC + 4


def test_jump_out_of_memory_retires_and_the_next_fetch_faults() -> None:
    machine = machine_at(PC, isa.jalr(1, 5, 0), {5: CPU_BASE})
    record = machine.step()
    assert (record.outcome, record.next_pc) == (Outcome.RETIRE, CPU_BASE)
    check_fault(machine.step(), Outcome.FETCH_FAULT, 1)


@pytest.mark.parametrize("name", ["lh", "lhu", "lw", "sh", "sw"])
@pytest.mark.parametrize("address", [0x101, 0x103, INPUT_BASE + 1, CPU_BASE + 1, CPU_END + 3, 0xFFFF_FFFF])
def test_misalignment_comes_before_the_access_fault(name: str, address: int) -> None:
    record = step(isa.encode(name, rd=1, rs1=5, rs2=6, imm=-1), {5: (address + 1) % 2**32})
    outcome, cause = (Outcome.LOAD_MISALIGNED, 4) if name.startswith("l") else (Outcome.STORE_MISALIGNED, 6)
    check_fault(record, outcome, cause)
    assert record.address == address


def test_words_at_halfword_addresses_are_misaligned_and_halfwords_are_not() -> None:
    assert step(isa.lw(1, 0, 0x102)).outcome is Outcome.LOAD_MISALIGNED
    assert step(isa.sw(1, 0, 0x102)).outcome is Outcome.STORE_MISALIGNED
    assert step(isa.lh(1, 0, 0x102)).outcome is Outcome.RETIRE
    assert step(isa.sh(1, 0, 0x102)).outcome is Outcome.RETIRE


@pytest.mark.parametrize("address", [CPU_BASE, register_address(5), CONTROL_BASE, CPU_END, 0x8000_0000, 0xFFFF_FFFC])
@pytest.mark.parametrize("name", ["lb", "lbu", "lh", "lhu", "lw", "sb", "sh", "sw"])
def test_cpu_and_what_lies_above_cannot_be_accessed(name: str, address: int) -> None:
    outcome, cause = (Outcome.LOAD_FAULT, 5) if name.startswith("l") else (Outcome.STORE_FAULT, 7)
    record = step(isa.encode(name, rd=1, rs1=5, rs2=6), {5: address, 6: 1})
    check_fault(record, outcome, cause)
    assert record.address == address


def test_input_can_be_loaded_but_not_stored_to() -> None:
    assert step(isa.lw(1, 5, 0), {5: INPUT_BASE}).written == 5
    assert step(isa.lbu(1, 5, 5), {5: INPUT_BASE}).written == 0xCD
    assert step(isa.lw(1, 5, -4), {5: CPU_BASE}).outcome is Outcome.RETIRE
    for name in ("sb", "sh", "sw"):
        check_fault(step(isa.encode(name, rs1=5), {5: INPUT_BASE}), Outcome.STORE_FAULT, 7)
        check_fault(step(isa.encode(name, rs1=5, imm=-4), {5: CPU_BASE}), Outcome.STORE_FAULT, 7)
        assert step(isa.encode(name, rs1=5, imm=-4), {5: INPUT_BASE}).outcome is Outcome.RETIRE


def test_load_into_x0_still_faults() -> None:
    check_fault(step(isa.lw(0, 5, 0), {5: CPU_BASE}), Outcome.LOAD_FAULT, 5)


@pytest.mark.parametrize("halted", [1, 2, 0xFFFF_FFFF])
@pytest.mark.parametrize("pc", [PC, 1, CPU_BASE])
def test_halted_comes_before_everything(halted: int, pc: int) -> None:
    machine = machine_at(pc, None, {3: 9})
    machine.write_state_word(PC, isa.addi(1, 3, 1))
    machine.write_state_word(CONTROL_BASE + 24, halted)
    root = machine.root()
    record = machine.step()
    assert record.outcome is Outcome.HALTED
    assert record.before == record.after
    assert (machine.root(), machine.t) == (root, 1)
    assert (record.write_address, record.written, record.address) == (None, 0, 0)


def test_kernel_mode_touches_the_words_of_user_mode_by_its_own_instructions_only() -> None:
    rng = Random(7)
    for _ in range(500):
        record = random_step(rng, user=False)
        if record.outcome is Outcome.RETIRE and isa.decode(record.instr).name in ("csrrw", "mret"):
            continue
        for field in ("window", "fuel", "epc", "cause", "uwin"):
            assert getattr(record.before, field) == getattr(record.after, field)


def test_a_store_may_change_the_very_next_instruction() -> None:
    machine = machine_at(PC, isa.sw(6, 5, 4), {5: PC, 6: isa.addi(1, 0, 77)})
    machine.step()
    machine.step()
    assert machine.register(1) == 77


def naive_outcome(before: SpecMachine) -> Outcome:
    """The rules once more, as a table from machine.md rather than as the interpreter has them."""
    control = before.control()
    pc, window, user = control.pc, control.window, control.window != 0
    word = before.read_word((window + pc if pc < 1 << 20 else window | pc) & STATE_WORD_MASK)
    entry = isa.encoding_of(word)
    name = "" if entry is None else entry.name
    a, b = before.register(word >> 15 & 31), before.register(word >> 20 & 31)
    imm = 0 if entry is None else isa.decode(word).imm
    address, width = (a + imm) % 2**32, 4 if name.endswith("w") else 2 if "h" in name else 1
    lower = {"beq": a == b, "bne": a != b, "bltu": a < b, "bgeu": a >= b}
    a, b = a ^ 1 << 31, b ^ 1 << 31
    taken = {**lower, "blt": a < b, "bge": a >= b, "jal": True}.get(name, False)
    target = address & ~1 if name == "jalr" else pc + imm if taken else 0
    beyond = [user and place >= 1 << 20 for place in (pc, address)]
    is_load, is_store = (entry is not None and entry.opcode == opcode for opcode in (isa.LOAD, isa.STORE))
    rules = {
        Outcome.HALTED: control.halted != 0,
        Outcome.FUEL: user and control.fuel == 0,
        Outcome.PC_MISALIGNED: pc % 4 != 0,
        Outcome.FETCH_FAULT: beyond[0] or window + pc >= 0x3FC0_0000,
        Outcome.ILLEGAL: entry is None or (user and (name == "mret" or name.startswith("csr"))),
        Outcome.ECALL: word == 0x73,
        Outcome.TARGET_MISALIGNED: target % 4 != 0,
        Outcome.LOAD_MISALIGNED: is_load and address % width != 0,
        Outcome.LOAD_FAULT: is_load and (beyond[1] or window + address >= 0x3FC0_0000),
        Outcome.STORE_MISALIGNED: is_store and address % width != 0,
        Outcome.STORE_FAULT: is_store and (beyond[1] or window + address >= 0x3F80_0000),
        Outcome.RETIRE: True,
    }
    return min(outcome for outcome, applies in rules.items() if applies)


def test_records_are_total_and_say_everything_that_changes() -> None:
    rng = Random(2024)
    for _ in range(3000):
        machine = random_machine(rng)
        outcome = naive_outcome(machine)
        t, saved = machine.t, machine.snapshot()
        record = machine.step()
        after = machine.snapshot()
        machine.restore(saved)
        window = record.before.window
        word = machine.read_word((window | record.before.pc) & STATE_WORD_MASK)
        assert (record.t, record.outcome, record.instr) == (t, outcome, word)
        assert record.before == machine.control()
        assert record.rs1 == machine.register(10 if word == 0x73 else word >> 15 & 31)
        assert record.rs2 == machine.register(word >> 20 & 31)
        accesses = outcome in range(Outcome.LOAD_MISALIGNED, Outcome.RETIRE)
        if accesses or (outcome is Outcome.RETIRE and word & 0x7F in (isa.LOAD, isa.STORE)):
            assert record.address == (record.rs1 + isa.decode(word).imm) % 2**32
        else:
            assert record.address == 0
        assert record.mem == machine.read_word((window | record.address) & STATE_WORD_MASK)
        if record.write_address is None:
            assert record.written == 0
        else:
            assert outcome is Outcome.RETIRE
            assert record.write_address != register_address(0)
            machine.write_state_word(record.write_address, record.written)
        for index, value in enumerate(record.after.to_words()):
            machine.write_state_word(CONTROL_BASE + 4 * index, value)
        root = machine.root()
        machine.restore(after)
        assert machine.root() == root
        assert machine.t == t + 1


def test_control_words_in_the_order_of_the_leaf() -> None:
    control = Control(1, 2, 3, 4, 5, 6, 7, 8)
    assert (control.pc, control.window, control.fuel, control.epc) == (1, 2, 3, 4)
    assert (control.cause, control.uwin, control.halted, control.exit_code) == (5, 6, 7, 8)
    assert Control.from_words(control.to_words()) == control
    assert control.to_bytes() == b"".join(bytes([value, 0, 0, 0]) for value in range(1, 9))
    assert len(control.to_bytes()) == LEAF_BYTES // 2


def test_causes_are_those_of_the_privileged_spec() -> None:
    assert {outcome.name: cause for outcome, cause in CAUSE.items()} == {
        "FUEL": 24,
        "PC_MISALIGNED": 0,
        "FETCH_FAULT": 1,
        "ILLEGAL": 2,
        "ECALL": 8,
        "TARGET_MISALIGNED": 0,
        "LOAD_MISALIGNED": 4,
        "LOAD_FAULT": 5,
        "STORE_MISALIGNED": 6,
        "STORE_FAULT": 7,
    }


def test_the_generator_covers_every_instruction_and_outcome_and_is_deterministic() -> None:
    rng = Random(5)
    records = [random_step(rng) for _ in range(5000)]
    for user in (False, True):
        chosen = [record for record in records if (record.before.window != 0) is user]
        assert {record.outcome for record in chosen} == set(Outcome) - (set() if user else {Outcome.FUEL})
        executed = {isa.decode(record.instr).name for record in chosen if record.outcome >= Outcome.ECALL}
        assert executed == set(NAMES) - (isa.PRIVILEGED if user else set())
    assert all((record.before.window | record.before.uwin) & ~WINDOW_MASK == 0 for record in records)
    again = Random(5)
    assert [random_step(again) for _ in range(100)] == records[:100]
    for name in NAMES:
        assert isa.decode(random_step(rng, name).instr).name == name
        assert random_step(rng, name, user=True).before.window != 0
