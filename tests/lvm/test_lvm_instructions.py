"""Every instruction with edge operands, against results worked out another way (fractions, byte packing)."""

import math
import struct
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import product

import pytest

from lvm import isa
from lvm.elf import Image
from lvm.layout import register_address
from lvm.outcome import Outcome
from lvm.record import StepRecord
from lvm.spec.interpreter import SpecMachine

PC = 0x2_0000
MIN, MAX = 0x8000_0000, 0x7FFF_FFFF
WORDS = (0, 1, 2, 31, 32, 33, 0x7F, 0x80, 0xFFFF, 0x1_0000, MAX, MIN, MIN + 1, 0xFFFF_FFFE, 0xFFFF_FFFF, 0x1234_5678)
IMMEDIATES = (0, 1, -1, 2, 31, 1024, 2047, -2048)
AMOUNTS = (0, 1, 7, 8, 16, 30, 31)


def signed(word: int) -> int:
    return int(struct.unpack("<i", struct.pack("<I", word))[0])


def shift_right_arithmetic(word: int, amount: int) -> int:
    return int(f"{word:032b}"[0] * amount + f"{word:032b}"[: 32 - amount], 2)


def quotient(a: int, b: int) -> int:
    return -1 if b == 0 else math.trunc(Fraction(a, b))


def remainder(a: int, b: int) -> int:
    return a if b == 0 else a - b * math.trunc(Fraction(a, b))


BINARY: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a + (b ^ 0xFFFF_FFFF) + 1,
    "sll": lambda a, b: a * 2 ** (b % 32),
    "srl": lambda a, b: a // 2 ** (b % 32),
    "sra": lambda a, b: shift_right_arithmetic(a, b % 32),
    "slt": lambda a, b: int(a ^ MIN < b ^ MIN),
    "sltu": lambda a, b: int(a < b),
    "xor": lambda a, b: (a | b) - (a & b),
    "or": lambda a, b: a + b - (a & b),
    "and": lambda a, b: a + b - (a | b),
    "mul": lambda a, b: signed(a) * signed(b),
    "mulh": lambda a, b: math.floor(Fraction(signed(a) * signed(b), 2**32)),
    "mulhsu": lambda a, b: math.floor(Fraction(signed(a) * b, 2**32)),
    "mulhu": lambda a, b: math.floor(Fraction(a * b, 2**32)),
    "div": lambda a, b: quotient(signed(a), signed(b)),
    "divu": quotient,
    "rem": lambda a, b: remainder(signed(a), signed(b)),
    "remu": remainder,
}
IMMEDIATE_OF = {"addi": "add", "slti": "slt", "sltiu": "sltu", "xori": "xor", "ori": "or", "andi": "and"}
SHIFT_OF = {"slli": "sll", "srli": "srl", "srai": "sra"}
CONDITIONS: dict[str, Callable[[int, int], bool]] = {
    "beq": lambda a, b: not a ^ b,
    "bne": lambda a, b: bool(a ^ b),
    "blt": lambda a, b: signed(a) < signed(b),
    "bge": lambda a, b: signed(a) >= signed(b),
    "bltu": lambda a, b: a < b,
    "bgeu": lambda a, b: a >= b,
}


def step(word: int, registers: dict[int, int] | None = None, *, pc: int = PC, memory: Iterable[int] = ()) -> StepRecord:
    """One step of `word` at `pc`; `memory` are the words from 0x100 on."""
    machine = SpecMachine(Image(pc, ()))
    machine.boot(pc, b"")
    for index, value in (registers or {}).items():
        machine.write_state_word(register_address(index), value)
    for number, value in enumerate(memory):
        machine.write_state_word(0x100 + 4 * number, value)
    machine.write_state_word(pc, word)
    record = machine.step()
    if record.write_address is not None:
        assert machine.read_word(record.write_address) == record.written
    return record


def check_register(record: StepRecord, rd: int, expected: int, what: object) -> None:
    assert record.outcome is Outcome.RETIRE, what
    assert record.next_pc == PC + 4, what
    assert record.write_address == register_address(rd), what
    assert record.written == expected % 2**32, (what, hex(record.written))


@pytest.mark.parametrize("name", BINARY)
def test_register_instruction(name: str) -> None:
    for a, b in product(WORDS, repeat=2):
        record = step(isa.encode(name, rd=3, rs1=1, rs2=2), {1: a, 2: b})
        check_register(record, 3, BINARY[name](a, b), (name, hex(a), hex(b)))
    for a in WORDS:
        in_place = step(isa.encode(name, rd=7, rs1=7, rs2=7), {7: a})
        check_register(in_place, 7, BINARY[name](a, a), (name, hex(a), "rd = rs1 = rs2"))
        from_zero = step(isa.encode(name, rd=31, rs1=0, rs2=1), {1: a})
        check_register(from_zero, 31, BINARY[name](0, a), (name, "rs1 = x0", hex(a)))


@pytest.mark.parametrize("name", IMMEDIATE_OF)
def test_immediate_instruction(name: str) -> None:
    for a, imm in product(WORDS, IMMEDIATES):
        record = step(isa.encode(name, rd=3, rs1=1, imm=imm), {1: a})
        check_register(record, 3, BINARY[IMMEDIATE_OF[name]](a, imm % 2**32), (name, hex(a), imm))


@pytest.mark.parametrize("name", SHIFT_OF)
def test_shift_by_immediate(name: str) -> None:
    for a, amount in product(WORDS, AMOUNTS):
        record = step(isa.encode(name, rd=3, rs1=1, imm=amount), {1: a})
        check_register(record, 3, BINARY[SHIFT_OF[name]](a, amount), (name, hex(a), amount))


@pytest.mark.parametrize(
    ("name", "a", "b", "expected"),
    [  # the manual's table "Semantics for division by zero and division overflow", and signs of remainders
        ("div", 7, 0, 0xFFFF_FFFF),
        ("divu", 7, 0, 0xFFFF_FFFF),
        ("rem", 7, 0, 7),
        ("remu", 7, 0, 7),
        ("div", MIN, 0xFFFF_FFFF, MIN),
        ("rem", MIN, 0xFFFF_FFFF, 0),
        ("divu", MIN, 0xFFFF_FFFF, 0),
        ("remu", MIN, 0xFFFF_FFFF, MIN),
        ("div", -7 % 2**32, 2, -3 % 2**32),
        ("rem", -7 % 2**32, 2, -1 % 2**32),
        ("rem", 7, -2 % 2**32, 1),
        ("mulh", MIN, MIN, 0x4000_0000),
        ("mulhsu", 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFF),
        ("mulhu", 0xFFFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFE),
        ("sra", MIN, 31, 0xFFFF_FFFF),
        ("sll", 1, 32, 1),
    ],
)
def test_results_from_the_manual(name: str, a: int, b: int, expected: int) -> None:
    check_register(step(isa.encode(name, rd=3, rs1=1, rs2=2), {1: a, 2: b}), 3, expected, name)


def test_upper_immediates() -> None:
    for imm in (0, 1, 0x7_FFFF, 0x8_0000, 0xF_FFFF):
        check_register(step(isa.lui(3, imm)), 3, imm * 4096, imm)
        check_register(step(isa.auipc(3, imm)), 3, PC + imm * 4096, imm)


@pytest.mark.parametrize("name", CONDITIONS)
def test_branch(name: str) -> None:
    for a, b in product(WORDS, repeat=2):
        for offset in (-4096, 64):
            record = step(isa.encode(name, rs1=1, rs2=2, imm=offset), {1: a, 2: b})
            assert record.outcome is Outcome.RETIRE
            assert record.next_pc == PC + (offset if CONDITIONS[name](a, b) else 4), (name, hex(a), hex(b))
            assert (record.write_address, record.written, record.address) == (None, 0, 0)


@pytest.mark.parametrize("offset", [0, 4, -4, 8, 2048, 4094 // 4 * 4, (1 << 20) - 4, -PC])
def test_jal(offset: int) -> None:
    record = step(isa.jal(1, offset))
    assert (record.next_pc, record.write_address, record.written) == (PC + offset, register_address(1), PC + 4)


@pytest.mark.parametrize(
    ("base", "imm", "target"),
    [(0x100, 0, 0x100), (0x100, 1, 0x100), (0x105, -4, 0x100), (0, -4, 0xFFFF_FFFC), (0xFFFF_FFFF, 1, 0), (3, -2, 0)],
)
def test_jalr_adds_and_clears_the_lowest_bit(base: int, imm: int, target: int) -> None:
    for rd in (1, 5):  # rd = rs1 too: the target is computed first
        record = step(isa.jalr(rd, 5, imm), {5: base})
        assert (record.outcome, record.next_pc, record.written) == (Outcome.RETIRE, target, PC + 4)


def test_jumps_and_branches_wrap_around_the_address_space() -> None:
    assert step(isa.jal(0, -8), pc=0).next_pc == 0xFFFF_FFF8
    assert step(isa.beq(0, 0, -8), pc=4).next_pc == 0xFFFF_FFFC


LOADS = {"lb": "b", "lbu": "B", "lh": "h", "lhu": "H", "lw": "i"}


@pytest.mark.parametrize("name", LOADS)
def test_load(name: str) -> None:
    layout = "<" + LOADS[name]
    for content in (bytes(range(0x7D, 0x85)), b"\x80\xff\x00\x7f\xff\xff\x7f\x80", bytes(8)):
        for offset in range(0, 8, struct.calcsize(layout)):
            word = isa.encode(name, rd=3, rs1=1, imm=-16)
            record = step(word, {1: 0x110 + offset}, memory=struct.unpack("<2I", content))
            check_register(record, 3, struct.unpack_from(layout, content, offset)[0], (name, offset))
            assert record.address == 0x100 + offset
            assert record.mem == struct.unpack_from("<I", content, offset & ~3)[0]


STORES = {"sb": "B", "sh": "H", "sw": "I"}


@pytest.mark.parametrize("name", STORES)
def test_store_writes_its_part_of_the_word_and_keeps_the_rest(name: str) -> None:
    layout = "<" + STORES[name]
    for value, old in product((0, 0xFFFF_FFFF, 0x8081_8283), (0, 0xFFFF_FFFF, 0x1122_3344)):
        for offset in range(0, 4, struct.calcsize(layout)):
            record = step(isa.encode(name, rs1=1, rs2=2, imm=4), {1: 0xFC + offset, 2: value}, memory=(old, old))
            expected = bytearray(struct.pack("<I", old))
            struct.pack_into(layout, expected, offset, value & (1 << 8 * struct.calcsize(layout)) - 1)
            assert record.written == struct.unpack("<I", expected)[0], (name, hex(value), hex(old), offset)
            assert (record.write_address, record.address, record.mem) == (0x100, 0x100 + offset, old)
            assert record.next_pc == PC + 4


@pytest.mark.parametrize("name", ["fence", "fence.i"])
def test_fences_do_nothing(name: str) -> None:
    for bits in (0, 0xFFFF_FFFF):
        entry = isa.INSTRUCTIONS[name]
        record = step(entry.match | bits & ~entry.mask, {31: 5})
        assert (record.outcome, record.next_pc, record.write_address) == (Outcome.RETIRE, PC + 4, None)
        assert (record.written, record.address) == (0, 0)


WRITES_RD = [name for name, entry in isa.INSTRUCTIONS.items() if entry.format in ("R", "I", "SHIFT", "U", "J", "CSRR")]


@pytest.mark.parametrize("name", WRITES_RD)
def test_x0_is_never_written(name: str) -> None:
    record = step(
        isa.encode(name, rd=0, rs1=1, rs2=2, imm=isa.FUEL if name == "csrrs" else 16),
        {1: 0xF0, 2: 9},
        memory=(0xFFFF_FFFF,),
    )
    assert (record.outcome, record.write_address, record.written) == (Outcome.RETIRE, None, 0)
    assert record.after.pc != PC
