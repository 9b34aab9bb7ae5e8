"""Every instruction with edge operands, every outcome: the truth is safe, each wrong result is not."""

from itertools import product
from random import Random

import pytest
from leafbench import LEAVES, RESULTS, assert_caught, assert_fair, body_accepts, lies, step_of

from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.statement import Mode
from lvm import isa
from lvm.layout import CPU_BASE, INPUT_BASE, TRAP_VECTOR, USER_BYTES, WINDOW_MASK
from lvm.outcome import CAUSE, Outcome

MIN, MAX, MINUS_1 = 0x8000_0000, 0x7FFF_FFFF, 0xFFFF_FFFF
EDGES = (0, 1, MINUS_1, MIN, MAX)
PAIRS = [
    *((a, b) for a, b in product(EDGES, repeat=2) if (a ^ b) & 0xF),
    *((edge, edge) for edge in EDGES),
    *[(0x1234_5678, 0x9ABC_DEF0), (0xF0F0_F0F0, 0x3C3C_C3C3), (0x0FFF_FFFF, 1), (0x1000_0000, 0x0FFF_FFFF)],
]
AMOUNTS = (0, 1, 3, 4, 15, 16, 29, 31)
IMMEDIATES = (0, 1, -1, 2047, -2048, 0x5A5)
WORDS = (0, 1, MINUS_1, MIN, MAX, 0x8765_4321)

REGISTER = [name for name, entry in isa.INSTRUCTIONS.items() if entry.format == "R"]
SHIFTS = ("sll", "srl", "sra")


def check(words: dict[str, int], outcome: Outcome, *fields: str) -> set[str]:
    """The statement is as expected and fair, and lies about `fields` are caught."""
    assert words["outcome"] == outcome
    rng = Random(repr(sorted(words.items())))
    assert_fair(words, rng)
    return assert_caught(words, [(field, lie) for field, lie in lies(words, rng) if field in fields], rng)


@pytest.mark.parametrize("name", REGISTER)
def test_register_instructions(name: str) -> None:
    for rs1, rs2 in PAIRS:
        check(step_of(isa.encode(name, rd=5, rs1=6, rs2=7), rs1=rs1, rs2=rs2), Outcome.RETIRE, "written")
    check(step_of(isa.encode(name, rd=5, rs1=0, rs2=0)), Outcome.RETIRE, *RESULTS)


@pytest.mark.parametrize("name", SHIFTS)
def test_shift_amounts(name: str) -> None:
    for amount, word in product(AMOUNTS, WORDS[2:]):
        rs2 = word & ~31 & MINUS_1 | amount  # the high bits do not count
        check(step_of(isa.encode(name, rd=8, rs1=6, rs2=7), rs1=word, rs2=rs2), Outcome.RETIRE, "written")
        check(step_of(isa.encode(name + "i", rd=1, rs1=6, imm=amount), rs1=word), Outcome.RETIRE, "written")


@pytest.mark.parametrize("name", ["addi", "slti", "sltiu", "xori", "ori", "andi"])
def test_immediate_instructions(name: str) -> None:
    for imm, word in product(IMMEDIATES, WORDS):
        check(step_of(isa.encode(name, rd=31, rs1=6, imm=imm), rs1=word), Outcome.RETIRE, "written")


@pytest.mark.parametrize("name", ["lui", "auipc"])
def test_upper_immediates(name: str) -> None:
    for imm, pc in product((0, 1, 0x7FFFF, 0x80000, 0xFFFFF, 0x12345), (0, 0x1234, CPU_BASE - 4)):
        check(step_of(isa.encode(name, rd=16, imm=imm), pc=pc), Outcome.RETIRE, "written", "next_pc")


@pytest.mark.parametrize("name", sorted(set(isa.INSTRUCTIONS) - {"ecall", *isa.PRIVILEGED}))
def test_x0_is_never_written(name: str) -> None:
    entry = isa.INSTRUCTIONS[name]
    word = entry.match | 6 << 15 if entry.format == "FENCE" else isa.encode(name, rd=0, rs1=6, rs2=7)
    words = step_of(word, rs1=0x1000, rs2=0x1000, memory=(0x1004, 0x0102_0304))
    check(words, Outcome.RETIRE, *RESULTS)
    assert words["written"] == 0 or entry.opcode == isa.STORE


@pytest.mark.parametrize("name", ["lb", "lh", "lw", "lbu", "lhu", "sb", "sh", "sw"])
def test_loads_and_stores(name: str) -> None:
    store = isa.INSTRUCTIONS[name].opcode == isa.STORE
    size = {"b": 1, "h": 2, "w": 4}[name[1]]
    for offset, word, imm in product(range(0, 4, size), (0x8081_7F7E, 0x0180_FF7F, 0x7F80_00FF), (0, -2048, 2047)):
        base = (0x2000 + offset - imm) & MINUS_1
        instr = isa.encode(name, rd=5, rs1=6, rs2=7, imm=imm)
        words = step_of(instr, rs1=base, rs2=0x1122_3344, memory=(0x2000, word))
        check(words, Outcome.RETIRE, "written", "address")
    end = INPUT_BASE if store else CPU_BASE
    misaligned = Outcome.STORE_MISALIGNED if store else Outcome.LOAD_MISALIGNED
    fault = Outcome.STORE_FAULT if store else Outcome.LOAD_FAULT
    edges = (end - 4, end - 1, end, end + 1, end + 2, CPU_BASE, 1 << 30, MAX, MIN, MINUS_1, MINUS_1 - 3, 0, 1, 2)
    for address in edges:
        expected = Outcome.RETIRE if address < end else fault
        for imm in (0, 2047, -2048):
            instr = isa.encode(name, rd=8, rs1=9, rs2=10, imm=imm)
            words = step_of(instr, rs1=(address - imm) & MINUS_1)
            check(words, misaligned if address % size else expected, "outcome", "address")


@pytest.mark.parametrize("name", ["beq", "bne", "blt", "bge", "bltu", "bgeu"])
def test_branches(name: str) -> None:
    for number, (rs1, rs2) in enumerate(PAIRS):
        offset = (4, -4, 8, -4096, 4092, 2048, -2048, 0)[number % 8]
        words = step_of(isa.encode(name, rs1=6, rs2=7, imm=offset), rs1=rs1, rs2=rs2, pc=0x2000)
        check(words, Outcome.RETIRE, "next_pc", "outcome")
        misaligned = step_of(isa.encode(name, rs1=6, rs2=23, imm=offset + 2), rs1=rs1, rs2=rs2)
        taken = words["next_pc"] != 0x2004 or (offset == 4 and misaligned["outcome"] != Outcome.RETIRE)
        check(misaligned, Outcome.TARGET_MISALIGNED if taken else Outcome.RETIRE, "next_pc", "outcome")


def test_jal() -> None:
    for offset in (0, 4, -4, 2048, -2048, 4096, -4096, (1 << 20) - 4, -(1 << 20), 0x5_5554, -0x5_5554):
        words = step_of(isa.jal(1, offset), pc=0x0040_0000)
        check(words, Outcome.RETIRE, "written", "next_pc", "outcome")
        check(step_of(isa.jal(1, offset ^ 2), pc=0x0040_0000), Outcome.TARGET_MISALIGNED, "next_pc", "outcome")


def test_jalr() -> None:
    for imm, target in product((0, 1, -1, 2047, -2048, 6), (0, 1, 0x1000, 0x1001, 0x1002, 0x1003, MINUS_1, MIN)):
        words = step_of(isa.jalr(1, 6, imm), rs1=(target - imm) & MINUS_1)
        outcome = Outcome.TARGET_MISALIGNED if target & 2 else Outcome.RETIRE
        check(words, outcome, "written", "next_pc", "outcome")


@pytest.mark.parametrize("pc", [1, 2, 3, 0x1001, CPU_BASE, CPU_BASE + 4, CPU_BASE + 1, 1 << 30, MIN, MINUS_1])
def test_unfetchable_pc(pc: int) -> None:
    check(step_of(0, pc=pc), Outcome.PC_MISALIGNED if pc % 4 else Outcome.FETCH_FAULT, *RESULTS)


@pytest.mark.parametrize("halted", [1, 2])
def test_halted_machine(halted: int) -> None:
    for pc in (0x1000, 0x1001, CPU_BASE):
        check(step_of(isa.add(5, 6, 7) if pc == 0x1000 else 0, pc=pc, halted=halted), Outcome.HALTED, *RESULTS)


def test_ecall_halts_with_a0() -> None:
    for code in WORDS:
        words = step_of(isa.ecall(), a0=code)
        assert words["after_exit_code"] == words["rs1"] == code
        check(words, Outcome.ECALL, *RESULTS)


# ---- CSRs, user mode

ORDINARY, OVER_INPUT, OVER_CPU = 0x0240_0000, INPUT_BASE + USER_BYTES, CPU_BASE
WINDOWS = (USER_BYTES, ORDINARY, INPUT_BASE - USER_BYTES, INPUT_BASE, OVER_INPUT, CPU_BASE - USER_BYTES)
FUELS = (1, 2, 16, 0x100, 0x1_0000, 0x1000_0000, MIN, MINUS_1)
AFTER = tuple(field for field in RESULTS if field.startswith("after_"))


@pytest.mark.parametrize("csr", sorted(isa.CSR_NAMES))
def test_csr_writes(csr: int) -> None:
    for word in (*WORDS, 0x1F1A_7B24, 0xFFF0_0000, WINDOW_MASK):
        words = step_of(isa.csrrw(csr, 6), rs1=word)
        assert words[f"after_{isa.CSR_NAMES[csr]}"] == (word & WINDOW_MASK if csr == isa.UWIN else word)
        check(words, Outcome.RETIRE, *RESULTS)
    check(step_of(isa.csrrw(csr, 0)), Outcome.RETIRE, *RESULTS)
    for window in (USER_BYTES, OVER_INPUT):
        check(step_of(isa.csrrw(csr, 6), rs1=0x1F1A_7B24, window=window, pc=0x20), Outcome.ILLEGAL, *RESULTS)


@pytest.mark.parametrize("csr", sorted(isa.CSR_NAMES))
def test_csr_reads(csr: int) -> None:
    for rd, word in product((1, 2, 30, 31), (0, MINUS_1, MIN, 0x8765_4321)):
        words = step_of(isa.csrrs(rd, csr), uwin=word & WINDOW_MASK, fuel=word, epc=word)
        assert words["written"] == words[isa.CSR_NAMES[csr]]
        check(words, Outcome.RETIRE, "written", "outcome", *AFTER)
    check(step_of(isa.csrrs(1, csr), window=ORDINARY, pc=0x20), Outcome.ILLEGAL, *RESULTS)
    check(step_of(isa.csrrs(0, csr)), Outcome.RETIRE, *RESULTS)


def test_mret() -> None:
    for uwin, epc in product((0, USER_BYTES, WINDOW_MASK, OVER_CPU), (0, 1, 0x1000, MINUS_1, 0x1234_5678)):
        words = step_of(isa.mret(), uwin=uwin, epc=epc)
        assert (words["after_window"], words["next_pc"]) == (uwin, epc)
        check(words, Outcome.RETIRE, "next_pc", "outcome", *AFTER)
    check(step_of(isa.mret(), uwin=USER_BYTES, window=ORDINARY, pc=0), Outcome.ILLEGAL, *RESULTS)


@pytest.mark.parametrize("window", WINDOWS)
def test_user_mode_burns_fuel(window: int) -> None:
    for fuel in FUELS:
        words = step_of(isa.add(5, 6, 7), rs1=3, rs2=4, window=window, fuel=fuel, pc=0x40)
        assert words["after_fuel"] == fuel - 1
        check(words, Outcome.RETIRE, *RESULTS)


@pytest.mark.parametrize("window", [*WINDOWS, OVER_CPU, WINDOW_MASK])
def test_user_mode_without_fuel_traps(window: int) -> None:
    for pc in (0x40, 0x41, USER_BYTES, CPU_BASE, TRAP_VECTOR):
        words = step_of(isa.add(5, 6, 7), window=window, fuel=0, pc=pc)
        assert (words["after_cause"], words["after_epc"], words["after_fuel"]) == (24, pc, 0)
        check(words, Outcome.FUEL, *RESULTS)


@pytest.mark.parametrize("window", [*WINDOWS, OVER_CPU, WINDOW_MASK])
def test_user_mode_fetches(window: int) -> None:
    covered = window < CPU_BASE
    for pc in (0, USER_BYTES - 4, USER_BYTES, 2 * USER_BYTES, INPUT_BASE - 4, CPU_BASE, MIN, MINUS_1 - 3):
        words = step_of(isa.add(5, 6, 7), window=window, pc=pc)
        expected = Outcome.RETIRE if pc < USER_BYTES and covered else Outcome.FETCH_FAULT
        check(words, expected, *RESULTS)
        check(step_of(isa.add(5, 6, 7), window=window, pc=pc + 2), Outcome.PC_MISALIGNED, "outcome", *AFTER)


@pytest.mark.parametrize("name", ["lb", "lh", "lw", "lbu", "lhu", "sb", "sh", "sw"])
def test_user_mode_accesses(name: str) -> None:
    store = isa.INSTRUCTIONS[name].opcode == isa.STORE
    size = {"b": 1, "h": 2, "w": 4}[name[1]]
    misaligned = Outcome.STORE_MISALIGNED if store else Outcome.LOAD_MISALIGNED
    fault = Outcome.STORE_FAULT if store else Outcome.LOAD_FAULT
    edges = (0x2000, USER_BYTES - 4, USER_BYTES - 1, USER_BYTES, INPUT_BASE, CPU_BASE, 1 << 30, MIN, MINUS_1 - 3, 0)
    windows = (USER_BYTES, INPUT_BASE - USER_BYTES, INPUT_BASE)
    for number, (address, window) in enumerate(product(edges, windows)):
        imm = (0, 2047, -2048)[number % 3 - number // 3 % 3]
        instr = isa.encode(name, rd=8, rs1=9, rs2=10, imm=imm)
        base = (address - imm) & MINUS_1
        memory = ((window | address & 0xF_FFFC), 0x8081_7F7E)
        words = step_of(instr, rs1=base, rs2=0x1122_3344, window=window, memory=memory, pc=0x40)
        allowed = address < USER_BYTES and not (store and window == INPUT_BASE)
        assert words["address"] == address
        expected = Outcome.RETIRE if allowed else fault
        check(words, misaligned if address % size else expected, "outcome", "mode", "address", "written", *AFTER)


def test_user_mode_traps() -> None:
    for instr, outcome in (
        *[(isa.ecall(), Outcome.ECALL), (0, Outcome.ILLEGAL), (isa.mret(), Outcome.ILLEGAL)],
        *[(isa.jal(1, 6), Outcome.TARGET_MISALIGNED), (isa.beq(0, 0, 2), Outcome.TARGET_MISALIGNED)],
        *[(isa.lw(5, 0, 1), Outcome.LOAD_MISALIGNED), (isa.lw(5, 6, 0), Outcome.LOAD_FAULT)],
        *[(isa.sw(5, 0, 1), Outcome.STORE_MISALIGNED), (isa.sw(5, 6, 0), Outcome.STORE_FAULT)],
    ):
        for pc, fuel in ((0, MINUS_1), (TRAP_VECTOR, 1), (0x4_5678, 0x100)):
            words = step_of(instr, rs1=MIN, window=ORDINARY, pc=pc, fuel=fuel)
            assert (words["after_cause"], words["after_epc"], words["after_window"]) == (CAUSE[outcome], pc, 0)
            assert (words["after_fuel"], words["next_pc"], words["after_halted"]) == (fuel - 1, TRAP_VECTOR, 0)
            check(words, outcome, *RESULTS)


@pytest.mark.parametrize("window", [ORDINARY, OVER_CPU])
def test_a_machine_halted_in_user_mode_stays_as_it_is(window: int) -> None:
    for fuel in (0, 7):
        words = step_of(isa.add(5, 6, 7), window=window, halted=1, fuel=fuel, pc=0x40)
        check(words, Outcome.HALTED, *RESULTS)


# ---- illegal words

ILLEGAL = [
    *(0x3020_00F3, 0x3020_8073, 0x1020_0073, 0x3820_0073, 0x3022_0073, 0x8000_90F3, 0x8000_A073, 0x8000_1173),
    *(0x8040_2573, 0x8100_2573, 0x7000_2573, 0x8001_2573, 0x8000_0073, 0x8000_3073, 0x8000_6073, 0xC000_2573),
    *(0, MINUS_1, 0x0010_0073, 0x0000_00F3, 0x0000_8073, 0x1000_0073, 0x0000_0173, 0x0001_0073),
    *(0x0000_1067, 0x0000_2063, 0x0000_3063, 0x0000_3003, 0x0000_6003, 0x0000_7003, 0x0000_3023, 0x0000_7023),
    *(0x4000_1013, 0x0200_1013, 0x0200_5013, 0x8000_5013, 0x4200_5013, 0x4000_1033, 0x4200_0033, 0x0400_0033),
    *(0x0000_200F, 0x0000_800B, 0x0000_0043, 0x0000_0053, 0x0000_0007, 0x0000_001F, 0x0000_0012, 0x0000_00B7 ^ 0x20),
]


@pytest.mark.parametrize("word", [word for word in ILLEGAL if isa.encoding_of(word) is None])
def test_illegal_words(word: int) -> None:
    check(step_of(word, rs1=MINUS_1, rs2=3), Outcome.ILLEGAL, *RESULTS)


@pytest.mark.parametrize("opcode", range(128))
def test_every_encoding_is_judged_as_the_listing_says(opcode: int) -> None:
    """All opcodes and funct3 with the funct7 that matter, claimed illegal and claimed executed, in both modes."""
    leaf, base, rng = LEAVES["outcome.decode"], step_of(isa.add(5, 6, 7)), Random(opcode)
    for funct3, funct7 in product(range(8), (0, 1, 2, 0x18, 0x20, 0x21, 0x40)):
        registers = rng.choice((0, 2 << 20, 3 << 20 | rng.getrandbits(20), rng.getrandbits(32))) & 0x01FF_8F80
        check_encoding(leaf, base, opcode | funct3 << 12 | funct7 << 25 | registers)


@pytest.mark.parametrize("csr", [0x302, 0, *range(0x7FF, 0x805), 0x810, 0x900, 0xC00])
def test_every_system_encoding_is_judged_as_the_listing_says(csr: int) -> None:
    leaf, base = LEAVES["outcome.decode"], step_of(isa.add(5, 6, 7))
    for funct3, rd, rs1 in product(range(8), (0, 1, 2, 31), (0, 1, 2, 31)):
        check_encoding(leaf, base, isa.SYSTEM | rd << 7 | funct3 << 12 | rs1 << 15 | csr << 20)


def check_encoding(leaf: ExecutionLeaf, base: Words, instr: int) -> None:
    entry = isa.encoding_of(instr)
    for mode in (Mode.KERNEL, 1 + instr.bit_count() % 3):
        words = {**base, "instr": instr, "mode": mode}
        legal = entry is not None and (mode == 0 or entry.name not in isa.PRIVILEGED)
        assert body_accepts(leaf, words | {"outcome": Outcome.ILLEGAL}, ()) == legal, hex(instr)
        executed = legal and instr != isa.ECALL_WORD
        assert body_accepts(leaf, words | {"outcome": Outcome.RETIRE}, ()) != executed, hex(instr)
