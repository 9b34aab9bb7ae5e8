"""Tiny programs for the matrix, assembled here, and their true runs: each ends within the 256 steps of a small claim.

``guest`` executes every instruction of the machine: a kernel computes, enters user mode by MRET, handles its traps,
lets it run out of fuel and halts, accepted. It adds a word of the input to what the run before left in memory, so runs
differ by their input and by what came before. ``refused`` halts with an exit code that is not 0, ``faulty`` by a fault,
``endless`` never.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from bitvm.game.computation import Execution
from bitvm.graph.parameters import Parameters
from lvm import isa
from lvm.elf import Image, Segment
from lvm.isa import addi, bne, csrrs, csrrw, ecall, jal, lui, lw, mret, sw
from lvm.layout import INPUT_BASE, TRAP_VECTOR, USER_BYTES
from lvm.machine import boot
from lvm.outcome import CAUSE, Outcome
from lvm.record import StepRecord
from lvm.trace import instruction_name

LEVELS, WIDTH = 2, 16
LAST = WIDTH**LEVELS - 1
"""The last step of a claim."""

DELTA, DELTA_CLAIM = 6, 10
ENTRY = 0x1000
DATA = 0x1_0000
"""Address of the data: its leaf and the inner nodes above it are left children, up to height 10."""

USER = USER_BYTES
"""Base of the user window."""

FUEL = 24
"""Steps that user mode may take in all."""

_A, _B, _RESULT, _SUM, _MEMORY, _INPUT, _LINK = 5, 6, 15, 16, 7, 8, 9
_A0 = 10

Jump = Callable[[int], int]
"""Encodes an instruction that goes to an offset."""


@dataclass(frozen=True, slots=True)
class To:
    """An instruction whose offset leads to a label."""

    label: str
    encode: Jump


Line = int | str | To
"""A word, a label, or an instruction that goes to one."""


def assemble(base: int, lines: Iterable[Line]) -> Segment:
    """Return the words at ``base``, offsets filled in."""
    labels: dict[str, int] = {}
    words: list[int | To] = []
    for line in lines:
        if isinstance(line, str):
            labels[line] = 4 * len(words)
        else:
            words.append(line)
    places = enumerate(words)
    code = [word.encode(labels[word.label] - 4 * at) if isinstance(word, To) else word for at, word in places]
    return Segment(base, struct.pack(f"<{len(code)}I", *code))


def _summed(words: Iterable[int]) -> Iterable[int]:
    """Add what each instruction leaves in x15 to x16, so that a false result changes the end."""
    for word in words:
        yield from (word, isa.add(_SUM, _SUM, _RESULT))


def _kernel() -> Iterable[Line]:
    register = ("add", "sub", "sll", "slt", "sltu", "xor", "srl", "sra", "or", "and")
    multiply = ("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu")
    immediate = ("addi", "slti", "sltiu", "xori", "ori", "andi", "slli", "srli", "srai")
    loads = ("lb", "lh", "lw", "lbu", "lhu")
    yield from (lui(_A, 0x87654), addi(_A, _A, 0x321), addi(_B, 0, 77), lui(_MEMORY, DATA >> 12))
    yield from (lui(_INPUT, INPUT_BASE >> 12), lw(_INPUT, _INPUT, 4))
    yield from (lw(_SUM, _MEMORY, 0), isa.add(_SUM, _SUM, _INPUT), sw(_SUM, _MEMORY, 0))
    yield from _summed(isa.encode(name, rd=_RESULT, rs1=_A, rs2=_B) for name in (*register, *multiply))
    yield from _summed(isa.encode(name, rd=_RESULT, rs1=_A) for name in ("rem", "remu"))  # by x0, zero
    yield from _summed(isa.encode(name, rd=_RESULT, rs1=_A, imm=13) for name in immediate)
    yield from (sw(_A, _MEMORY, 8), isa.sh(_B, _MEMORY, 14), isa.sb(_A, _MEMORY, 17))
    yield from _summed(isa.encode(name, rd=_RESULT, rs1=_MEMORY, imm=8) for name in loads)
    yield from (addi(_A, 0, 2), "loop", addi(_A, _A, -1), To("loop", lambda to: bne(_A, 0, to)))
    branches = ("beq", "blt", "bge", "bltu", "bgeu")
    yield from (isa.encode(name, rs1=_A, rs2=_B, imm=4) for name in branches)
    yield from (isa.fence(), isa.fence_i(), addi(0, _B, 1), isa.auipc(11, 1), jal(1, 8), 0)
    yield from (isa.auipc(12, 0), isa.jalr(_LINK, 12, 8))
    # user mode
    yield from (lui(13, USER >> 12), csrrw(isa.UWIN, 13), addi(14, 0, FUEL), csrrw(isa.FUEL, 14))
    yield from (csrrw(isa.CAUSE, 14), csrrw(isa.EPC, 0), mret())


def _handler() -> Iterable[Line]:
    """Add up what is known of the trap, and go on behind it; halt when the fuel is used up."""
    yield from (csrrs(17, isa.CAUSE), csrrs(18, isa.EPC), csrrs(19, isa.FUEL), csrrs(20, isa.UWIN))
    yield from (addi(21, 0, CAUSE[Outcome.FUEL]), To("done", lambda to: isa.beq(17, 21, to)))
    yield from (addi(18, 18, 4), csrrw(isa.EPC, 18), mret())
    yield from ("done", addi(_A0, 0, 0), ecall())


def _user() -> Iterable[Line]:
    yield from (addi(22, 0, 0x400), sw(22, 22, 0), lw(23, 22, 0), ecall())
    yield from (mret(), lui(24, USER >> 12), lw(25, 24, 0), sw(25, 24, 0))  # illegal; out of reach
    yield from ("loop", addi(26, 26, 1), To("loop", lambda to: jal(0, to)))


@dataclass(frozen=True)
class World:
    """A program, and what the parties run it on.

    name: for people. image: in memory. data: the input of the claim.
    """

    name: str
    image: Image
    data: bytes = b"\1\0\0\0"

    def parameters(self, claims: int = 1, challengers: int = 1) -> Parameters:
        """Return parameters with short times."""
        root = self.image.root()
        small = Parameters(
            root,
            entry=self.image.entry,
            claims=claims,
            levels=LEVELS,
            width=WIDTH,
            challengers=challengers,
            delta=DELTA,
            delta_claim=DELTA_CLAIM,
            delta_long=0xFFFF,
        )
        return replace(small, delta_long=DELTA_CLAIM + small.longest_game)

    def run(self, data: bytes | None = None, previous: Execution | None = None) -> Execution:
        """Return the true run, on the claim's input unless on ``data``; not shared, for a run has a machine."""
        given = self.data if data is None else data
        return Execution(self.parameters(), self.image, given, previous=previous, engine="spec")

    def find(self, wanted: Callable[[StepRecord], bool], number: int = 0) -> int:
        """Return the step whose record is the ``number``-th one ``wanted``; -1 for the last. Raises LookupError."""
        found = [record.t for record in records(self) if wanted(record)]
        if not -len(found) <= number < len(found):
            raise LookupError(f"{self.name}: only {len(found)} such steps, not {number}")
        return found[number]

    def executes(self, name: str, number: int = 0, *, user: bool | None = None) -> int:
        """Return the ``number``-th step that completes the instruction ``name``, in the mode given if one is."""
        return self.find(lambda record: is_executed(record, name, user), number)


def is_executed(record: StepRecord, name: str, user: bool | None = None) -> bool:
    """Whether a step completes the instruction ``name``, in the mode given if one is."""
    mode = user is None or user == (record.before.window != 0)
    return mode and record.outcome is Outcome.RETIRE and instruction_name(record.instr) == name


@cache
def records(world: World) -> tuple[StepRecord, ...]:
    """Return the records of all steps of a claim, those after the halt included."""
    machine = boot(world.image, world.data, engine="spec")
    return tuple(machine.step() for _ in range(WIDTH**LEVELS))


def _image(name: str, segments: Mapping[int, Iterable[Line]]) -> Image:
    return Image(ENTRY, tuple(assemble(base, lines) for base, lines in segments.items()), name)


GUEST = World("guest", _image("guest", {TRAP_VECTOR: _handler(), ENTRY: _kernel(), USER: _user()}))
REFUSED = World("refused", _image("refused", {ENTRY: (addi(_A0, 0, 1), ecall())}))
FAULTY = World("faulty", _image("faulty", {ENTRY: (addi(_A0, 0, 0), 0)}))
ENDLESS = World("endless", _image("endless", {ENTRY: (addi(_A0, _A0, 1), jal(0, -4))}))
