"""Random single steps, biased to the edges: every instruction and every outcome, in kernel and in user mode.

`random_machine` builds a state, `random_step` takes one step from it. The step is whatever the specification
interpreter makes of the state, so a record is always a true one. Same generator state, same step. Windows, in `window`
and in `uwin`, have only the bits of WINDOW_MASK, as in every state that a run can reach.
"""

from __future__ import annotations

from random import Random

from lvm import isa
from lvm.control import CONTROL_FIELDS
from lvm.elf import Image
from lvm.layout import (
    CONTROL_BASE,
    CPU_BASE,
    CPU_END,
    INPUT_BASE,
    USER_BYTES,
    WINDOW_MASK,
    WORD_MASK,
    physical_word,
    register_address,
)
from lvm.record import StepRecord
from lvm.spec.interpreter import SpecMachine
from lvm.spec.loadstore import WIDTH

EDGE_WORDS = (
    *(0, 1, 2, 3, 4, 31, 32, 33, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000),
    *(0x7FFF_FFFE, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_0000, 0xFFFF_FFFE, 0xFFFF_FFFF),
    *(0x0F0F_0F0F, 0xF0F0_F0F0, 0x8080_8080, 0x7F7F_7F7F, 0x0123_4567, 0x89AB_CDEF),
)
EDGE_IMMEDIATES = (0, 1, -1, 2, 4, -4, 31, 32, 255, -256, 2047, -2048)
EDGE_OFFSETS = (0, 4, -4, 2, -2, 8, 2048, -2048, 4092, 4094, -4096, -4094)
EDGE_JUMPS = (*EDGE_OFFSETS, 1 << 11, 1 << 12, -(1 << 20), (1 << 20) - 4, (1 << 20) - 2)
EDGE_AMOUNTS = (0, 1, 4, 7, 8, 15, 16, 30, 31)
EDGE_PCS = (0, 4, 0x100, 0x1_0000, INPUT_BASE - 4, INPUT_BASE, CPU_BASE - 4)
UNFETCHABLE = (CPU_BASE, CONTROL_BASE, CPU_END - 4, CPU_END, 0x7FFF_FFFC, 0x8000_0000, 0xFFFF_FFFC)
EDGE_ADDRESSES = (
    *(0, 4, 8, 0x100, 0xFFC, 0x1000, INPUT_BASE - 4, INPUT_BASE, CPU_BASE - 4, CPU_BASE, CONTROL_BASE),
    *(CPU_END - 4, CPU_END, CPU_END + 0x100, 0x7FFF_FFFC, 0x8000_0000, 0xFFFF_FFFC),
)
EDGE_USER_PCS = (0, 4, 0x100, USER_BYTES // 2, USER_BYTES - 8, USER_BYTES - 4)
USER_UNFETCHABLE = (USER_BYTES, USER_BYTES + 4, 2 * USER_BYTES, INPUT_BASE, *UNFETCHABLE)
EDGE_USER_ADDRESSES = (
    *(0, 4, 8, 0x100, 0xFFC, 0x1000, USER_BYTES - 4, USER_BYTES, USER_BYTES + 4, 2 * USER_BYTES),
    *(INPUT_BASE, CPU_BASE, CONTROL_BASE, CPU_END, 0x7FFF_FFFC, 0x8000_0000, 0xFFFF_FFFC),
)
EDGE_WINDOWS = (USER_BYTES, 2 * USER_BYTES, 0x2000_0000, 0x1550_0000, 0x2AA0_0000, INPUT_BASE - USER_BYTES)
INPUT_WINDOWS = (INPUT_BASE, INPUT_BASE + USER_BYTES, CPU_BASE - USER_BYTES)
CPU_WINDOWS = (CPU_BASE, CPU_BASE + USER_BYTES, CPU_END - USER_BYTES)
REGISTERS = (0, 1, 2, 5, 10, 15, 16, 30, 31)
ILLEGAL_WORDS = (
    *(0, 0xFFFF_FFFF, 0x0010_0073, 0x1050_0073, 0x0000_0001, 0x0000_4501),
    *(0x3020_00F3, 0x3020_8073, 0x1020_0073, 0x0020_0073, 0x3420_2073),  # mret's and csrrs' neighbours
    *(0x8000_90F3, 0x8000_A073, 0x8040_2573, 0x8041_1073, 0x7FF0_2073, 0x8000_3073, 0x8000_5073, 0x8000_6073),
    *(0x0000_100B, 0x0000_2067, 0x0000_2063, 0x0000_3003, 0x0000_3023, 0x4000_1013, 0x0000_200F, 0x0000_0F73),
)
NAMES = tuple(isa.INSTRUCTIONS)


def random_word(rng: Random) -> int:
    """A 32-bit word: an edge, close to an edge, of few bits, or uniform."""
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(EDGE_WORDS)
    if kind < 0.55:
        return (rng.choice(EDGE_WORDS) + rng.randint(-3, 3)) & WORD_MASK
    if kind < 0.7:
        return rng.getrandbits(rng.randint(1, 32))
    return rng.getrandbits(32)


def random_instruction(rng: Random, name: str) -> int:
    """A word of the instruction `name` with edge-biased operands."""
    if name == "ecall":
        return isa.ecall()
    if isa.INSTRUCTIONS[name].format == "FENCE":
        return isa.INSTRUCTIONS[name].match | rng.getrandbits(17) << 15 | rng.getrandbits(5) << 7
    registers = {field: rng.choice(REGISTERS) for field in ("rd", "rs1", "rs2")}
    return isa.encode(name, **registers, imm=_immediate(rng, isa.INSTRUCTIONS[name].format))


def _immediate(rng: Random, layout: isa.Format) -> int:
    if layout in ("CSRW", "CSRR"):
        return rng.choice(tuple(isa.CSR_NAMES))
    edges = {"SHIFT": EDGE_AMOUNTS, "B": EDGE_OFFSETS, "J": EDGE_JUMPS, "U": (0, 1, 0x7FFFF, 0x80000, 0xFFFFF)}
    if rng.random() < 0.6:
        return rng.choice(edges.get(layout, EDGE_IMMEDIATES))
    low, high, unit = {
        "SHIFT": (0, 31, 1),
        "B": (-2048, 2047, 2),
        "J": (-(1 << 19), (1 << 19) - 1, 2),
        "U": (0, 0xFFFFF, 1),
    }.get(layout, (-2048, 2047, 1))
    return rng.randint(low, high) * unit


def random_illegal(rng: Random) -> int:
    """A word that is no instruction: a known one, a uniform one, or an instruction with one bit flipped."""
    if rng.random() < 0.4:
        return rng.choice(ILLEGAL_WORDS)
    while True:
        near_miss = random_instruction(rng, rng.choice(NAMES)) ^ 1 << rng.randrange(32)
        word = near_miss if rng.random() < 0.7 else rng.getrandbits(32)
        if isa.encoding_of(word) is None:
            return word


def random_window(rng: Random) -> int:
    """A window that can be fetched from: mostly over memory, sometimes over INPUT."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(EDGE_WINDOWS)
    if kind < 0.45:
        return rng.choice(INPUT_WINDOWS)
    return rng.randrange(USER_BYTES, INPUT_BASE, USER_BYTES)


def random_machine(rng: Random, name: str | None = None, *, user: bool | None = None) -> SpecMachine:
    """A machine about to take one step: an instruction `name` if given, else of any kind, faults included.

    `user`: in user mode or in kernel mode, by chance if None.
    """
    kind = rng.random() if name is None else 1.0
    user = rng.random() < 0.4 if user is None else user
    window = random_window(rng) if user else 0
    edges, end, unfetchable = (
        (EDGE_USER_PCS, USER_BYTES, USER_UNFETCHABLE) if user else (EDGE_PCS, CPU_BASE, UNFETCHABLE)
    )
    pc = rng.choice(edges) if rng.random() < 0.4 else rng.randrange(0, end, 4)
    word = random_illegal(rng) if kind < 0.08 else random_instruction(rng, name or rng.choice(NAMES))
    if 0.08 <= kind < 0.11:
        pc = rng.choice((*edges, *unfetchable)) + rng.randint(1, 3)
    elif 0.11 <= kind < 0.14 and user and rng.random() < 0.5:
        window = rng.choice(CPU_WINDOWS)
    elif 0.11 <= kind < 0.14:
        pc = rng.choice(unfetchable) if rng.random() < 0.7 else rng.randrange(end, 1 << 32, 4)
    machine = SpecMachine(Image(pc, ()))
    machine.t = rng.getrandbits(30)
    registers = [0, *(random_word(rng) for _ in range(31))]
    address = _aim(rng, word, registers, user=user)
    for number, value in enumerate(registers):
        machine.write_state_word(register_address(number), value)
    halted = rng.choice((1, 2)) if 0.14 <= kind < 0.17 else 0
    _write_control(rng, machine, pc, window, halted=halted, starved=0.17 <= kind < 0.22)
    for place, value in ((address, random_word(rng)), (pc, word)):
        if place is not None and (physical := physical_word(window, place)) < CPU_BASE:
            machine.write_state_word(physical, value)
    return machine


def _aim(rng: Random, word: int, registers: list[int], *, user: bool) -> int | None:
    """Set rs1 so that an access or an indirect jump mostly goes where it matters; make operands sometimes equal."""
    instruction = isa.decode(word) if isa.encoding_of(word) else None
    if instruction is None:
        return None
    if instruction.rs2 and rng.random() < 0.3:
        registers[instruction.rs2] = registers[instruction.rs1]
    if instruction.opcode not in (isa.LOAD, isa.STORE, isa.JALR):
        return None
    edges, end = (EDGE_USER_ADDRESSES, USER_BYTES) if user else (EDGE_ADDRESSES, INPUT_BASE)
    address = rng.choice(edges) if rng.random() < 0.3 else rng.randrange(0, end, 4)
    if rng.random() < 0.7:
        address += rng.randrange(0, 4, WIDTH.get(instruction.name, 4))
    else:
        address += rng.randrange(4)
    if instruction.rs1:
        registers[instruction.rs1] = (address - instruction.imm) & WORD_MASK
    return (registers[instruction.rs1] + instruction.imm) & WORD_MASK


def _write_control(rng: Random, machine: SpecMachine, pc: int, window: int, *, halted: int, starved: bool) -> None:
    """Write the control words. User mode has fuel unless `starved`; the other words are often zero, as after boot."""
    words = dict.fromkeys(CONTROL_FIELDS, 0) | {"pc": pc, "window": window, "halted": halted}
    if halted:
        words["exit_code"] = random_word(rng)
    if rng.random() < 0.6:
        words |= {field: random_word(rng) for field in ("fuel", "epc", "cause")}
        words["uwin"] = rng.choice((0, random_window(rng), rng.choice(CPU_WINDOWS), random_word(rng) & WINDOW_MASK))
    if window:
        words["fuel"] = 0 if starved else words["fuel"] or rng.choice((1, 2, 3, 16, 256, 1 << 16, WORD_MASK))
    for index, field in enumerate(CONTROL_FIELDS):
        machine.write_state_word(CONTROL_BASE + 4 * index, words[field])


def random_step(rng: Random, name: str | None = None, *, user: bool | None = None) -> StepRecord:
    """The record of one step from `random_machine`."""
    return random_machine(rng, name, user=user).step()
