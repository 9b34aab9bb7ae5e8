"""Both interpreters under the same orders, and hostile programs to run on them.

Import after `pytest.importorskip("numba")`: the fast machine needs it.
"""

import random

from lvm import isa
from lvm.control import EXIT_ADDRESS, HALTED_ADDRESS, PC_ADDRESS
from lvm.elf import Image, Segment
from lvm.fast import FastMachine
from lvm.layout import (
    CONTROL_BASE,
    CPU_BASE,
    CPU_END,
    FETCH_END,
    INPUT_BASE,
    INPUT_END,
    REGISTERS_BASE,
    STORE_END,
    TRAP_VECTOR,
    USER_BYTES,
    register_address,
)
from lvm.outcome import Outcome
from lvm.spec.interpreter import SpecMachine

CODE_BASE = 0x1FC0
"""Code straddles a leaf and a page."""
CODE_WORDS = 48
NAMES = sorted(isa.INSTRUCTIONS)
EDGE_VALUES = (0, 1, 2, 3, 31, 32, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0x80000001)
EDGE_ADDRESSES = (
    *(STORE_END - 4, STORE_END - 1, INPUT_BASE, INPUT_END - 4, CPU_BASE - 1, CPU_BASE, REGISTERS_BASE, CONTROL_BASE),
    *(USER_BYTES - 4, USER_BYTES, CPU_END - 4, CPU_END, FETCH_END - 4, 0xFFFFFFF8, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFF0),
)


class Pair:
    """Both machines, always given the same orders."""

    def __init__(self, words: list[int], input_bytes: bytes = b"") -> None:
        data = b"".join(word.to_bytes(4, "little") for word in words)
        image = Image(CODE_BASE, (Segment(CODE_BASE, data),))
        self.spec, self.fast = SpecMachine(image), FastMachine(image)
        for machine in (self.spec, self.fast):
            machine.boot(CODE_BASE, input_bytes)

    def write(self, address: int, value: int) -> None:
        self.spec.write_state_word(address, value)
        self.fast.write_state_word(address, value)

    def step(self) -> Outcome:
        record = self.spec.step()
        assert self.fast.step() == record
        return record.outcome

    def run(self, steps: int) -> None:
        assert self.fast.run(steps) == self.spec.run(steps)
        self.compare()

    def compare(self) -> None:
        assert self.fast.t == self.spec.t
        assert self.fast.control() == self.spec.control()
        assert (self.fast.halted, self.fast.exit_code) == (self.spec.halted, self.spec.exit_code)
        assert [self.fast.register(i) for i in range(32)] == [self.spec.register(i) for i in range(32)]

    def compare_roots(self) -> None:
        assert self.fast.root() == self.spec.root()

    def revive(self, rng: random.Random) -> None:
        self.write(HALTED_ADDRESS, 0)
        self.write(EXIT_ADDRESS, 0)
        self.write(PC_ADDRESS, random_pc(rng))


def random_pc(rng: random.Random) -> int:
    if rng.random() < 0.9:
        return CODE_BASE + 4 * rng.randrange(CODE_WORDS)
    return rng.choice((INPUT_BASE + 4, CODE_BASE + 2, rng.getrandbits(32), *EDGE_ADDRESSES))


def random_word(rng: random.Random) -> int:
    """Mostly a valid instruction near its operands' edges, sometimes noise within an opcode, sometimes pure noise."""
    kind = rng.random()
    if kind < 0.05:
        return rng.getrandbits(32)
    name = rng.choice(NAMES)
    entry = isa.INSTRUCTIONS[name]
    if kind < 0.12:
        return rng.getrandbits(25) << 7 | entry.opcode
    rd, rs1, rs2 = rng.choices(range(8), k=3)
    match entry.format:
        case "B" | "J":
            imm = 4 * rng.randrange(-12, 13) if rng.random() < 0.9 else 2 * rng.randrange(-2048, 2048)
        case "U":
            imm = rng.choice((0, 1, 0x3F7FF, 0x3F800, 0x3FFFF, 0x80000, 0xFFFFF))
        case "SHIFT":
            imm = rng.randrange(32)
        case "CSRW" | "CSRR":
            imm = rng.choice(tuple(isa.CSR_NAMES))
        case _:
            imm = rng.choice((0, 0, 4, -4, rng.randrange(-8, 8), rng.randrange(-2048, 2048)))
    return isa.encode(name, rd=rd, rs1=rs1, rs2=rs2, imm=imm)


def random_value(rng: random.Random) -> int:
    """A register's value: an address in or around something, an instruction to store over code, or a number."""
    return rng.choice(
        (
            CODE_BASE + 4 * rng.randrange(CODE_WORDS),
            CODE_BASE + rng.randrange(4 * CODE_WORDS),
            0x10000 + rng.randrange(256),
            rng.choice(EDGE_ADDRESSES),
            random_word(rng),
            rng.choice(EDGE_VALUES),
            -rng.choice(EDGE_VALUES) & 0xFFFFFFFF,
            rng.getrandbits(32),
        )
    )


USER_WINDOWS = (2 * USER_BYTES, 3 * USER_BYTES)
"""Side by side, so that code can run over the end of the first into the second."""
TRAP_HANDLER = (
    *(isa.csrrs(28, isa.EPC), isa.addi(28, 28, 4), isa.csrrw(isa.EPC, 28), isa.csrrs(29, isa.FUEL)),
    *(isa.andi(29, 29, 7), isa.addi(29, 29, 7), isa.csrrw(isa.FUEL, 29)),
    *(isa.csrrs(30, isa.UWIN), isa.xor(30, 30, 31), isa.csrrw(isa.UWIN, 30), isa.mret()),
)
"""Goes on after the instruction that trapped, but in the other window, with 7 to 14 steps of fuel."""


def user_pair(rng: random.Random) -> Pair:
    """A pair whose windows hold random programs, with TRAP_HANDLER as its kernel; not yet in user mode."""
    pair = Pair([random_word(rng) for _ in range(CODE_WORDS)])
    for index, word in enumerate(TRAP_HANDLER):
        pair.write(TRAP_VECTOR + 4 * index, word)
    for window in USER_WINDOWS:
        for base in (CODE_BASE, 0, USER_BYTES - 4 * CODE_WORDS):
            for index in range(CODE_WORDS):
                pair.write((window | base) + 4 * index, random_word(rng))
    return pair


def enter_user_mode(pair: Pair, rng: random.Random) -> None:
    """Go on in user mode by raw edits: mostly in code, with little fuel."""
    window = rng.choice((*USER_WINDOWS, *USER_WINDOWS, *USER_WINDOWS, INPUT_BASE, CPU_BASE))
    pc = rng.choice((CODE_BASE, 0, USER_BYTES - 4 * CODE_WORDS)) + 4 * rng.randrange(CODE_WORDS)
    pc = pc if rng.random() < 0.9 else rng.choice((USER_BYTES, CODE_BASE + 2, rng.getrandbits(32)))
    words = (pc, window, rng.randrange(40), rng.getrandbits(32), rng.getrandbits(32), rng.choice(USER_WINDOWS), 0, 0)
    for index, word in enumerate(words):
        pair.write(CONTROL_BASE + 4 * index, word)
    pair.write(register_address(31), USER_WINDOWS[0] ^ USER_WINDOWS[1])
