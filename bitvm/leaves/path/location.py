"""Where the words lie that a step reads and writes: asked of nibbles in Script, and of words in Python.

Byte address a of the state lies in leaf ``a >> 6``, which is what Path calls its place, and in word ``a >> 2 & 15`` of
that leaf. Both follow from what Step says (`lvm.record`):

=========  ==================================================================================================
INSTR      ``window | pc``, its low 30 bits
MEM        ``window | address``, its low 30 bits; a store writes there (DATA)
RS1        register instr[19:15]; a0 (x10) for the encoding of ECALL, which lies in the leaf of x0 too
RS2        register instr[24:20]
DATA       register rd = instr[11:7], unless rd is x0 or the opcode has no rd; only where the step retires
=========  ==================================================================================================

Registers x0 to x15 are leaf 0xFFFFFC, x16 to x31 are the next one, and the control words are leaf 0xFFFFFE. A window
has bits 20 to 29 only, so it does not tell which word of a leaf is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import differing_nibble
from bitvm.leaves.fields import PLACE_NIBBLES, Kind
from bitvm.leaves.proof import Hints, won
from bitvm.leaves.statement import ACCESS, FIELDS, FLOW, OPERATION, WINDOWS, Words
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    greater_than,
    is_even,
    pick_indexed,
    reduce,
    require_index,
    require_number,
    split_digits,
    times_power_of_two,
)
from lvm import isa
from lvm.layout import CONTROL_BASE, LEAF_BYTES, LEAF_WORDS, WORD_BYTES, physical_word, register_address

WHERE = "Path/where"
"""Key of the numbers ``path.kind``, ``path.level``, ``path.place.i``."""

PLACE = [f"path.place.{index}" for index in range(PLACE_NIBBLES)]

CONTROL_PLACE = CONTROL_BASE // LEAF_BYTES
"""Leaf of the control words; the registers' leaves too have 15 in all nibbles but the lowest."""


def require_kind(b: ScriptBuilder, kind: Kind) -> None:
    """``… path.kind … -> …``; fails unless the path proves this kind of statement."""
    b.roll("path.kind")
    require_number(b, kind)


def require_other_cpu_leaf(b: ScriptBuilder) -> None:
    """``… path.place.i … lowest -> …``; fails if the place is 0xFFFFF0 + lowest."""
    b.roll("path.place.0")
    b.binary(op.OP_NUMNOTEQUAL)
    b.roll("path.place.1")
    for name in PLACE[2:]:
        b.roll(name)
        b.add()
    b.number(15 * (PLACE_NIBBLES - 1))
    b.binary(op.OP_NUMNOTEQUAL)
    b.binary(op.OP_BOOLOR)
    b.verify()


def whole_word(b: ScriptBuilder, field: str) -> list[str]:
    """Return the names of the eight nibbles of a field's word, lowest first, at equal distances.

    Where fewer are signed, all others being zero, ``… nibbles … -> … the eight nibbles``.
    """
    signed, shift = list(FIELDS[field].nibble_names), FIELDS[field].shift // 4
    if len(signed) == 8:
        return signed
    names = [f"{field}.zero.{index}" for index in range(8)]
    names[shift : shift + len(signed)] = signed
    for name in names:
        if name in signed:
            b.roll(name)
        else:
            b.number(0, name)
    return names


class Location(Protocol):
    """Where one word lies."""

    @property
    def index_groups(self) -> tuple[str, ...]:
        """Groups of Step that tell the word of the leaf."""

    @property
    def place_groups(self) -> tuple[str, ...]:
        """Groups of Step that tell the leaf."""

    @property
    def place_hints(self) -> tuple[str, ...]:
        """Hints of `require_elsewhere`."""

    def index(self, b: ScriptBuilder) -> None:
        """``… -> … index``: which word of the leaf, 0..15. Nibbles stay."""

    def index_of(self, words: Words) -> int:
        """Twin of `index`."""

    def require_elsewhere(self, b: ScriptBuilder) -> None:
        """``… | hints -> …``; fails unless Path's place is another leaf."""

    def elsewhere(self, words: Words) -> Hints | None:
        """Twin of `require_elsewhere`: its hints, None if it fails."""


# ---- memory


def _or_digits(b: ScriptBuilder) -> None:
    """``… x y -> … (x OR y)`` for numbers 0..3: 3 where they add up to 3, else the greater one."""
    b.apply(op.OP_2DUP, 2, "", "", "", "")
    b.add()
    b.equals_number(3)
    b.pick_at(0)
    times_power_of_two(b, 1)
    b.add()
    b.binary(op.OP_MAX)
    b.binary(op.OP_MAX)


@dataclass(frozen=True)
class InMemory:
    """The word at the address in a field of Step, seen through the window."""

    field: str
    group: str

    @property
    def index_groups(self) -> tuple[str, ...]:
        """The address alone."""
        return (self.group,)

    @property
    def place_groups(self) -> tuple[str, ...]:
        """The address, and the window."""
        return (self.group, WINDOWS)

    @property
    def place_hints(self) -> tuple[str, ...]:
        """Which nibble of the place is wrong."""
        return ("index",)

    def index(self, b: ScriptBuilder) -> None:
        """``… -> … index``: bits 5..2 of the address, the low digit of its nibble 1 and the high one of nibble 0."""
        b.pick(f"{self.field}.1")
        reduce(b, 8, 4)
        times_power_of_two(b, 2)
        b.pick(f"{self.field}.0")
        split_digits(b, "high", "low")
        b.drop()
        b.add("index")

    def index_of(self, words: Words) -> int:
        """Twin of `index`."""
        return words[self.field] // WORD_BYTES % LEAF_WORDS

    def require_elsewhere(self, b: ScriptBuilder) -> None:
        """Nibble i of the place is the low digit of nibble i + 2 of the physical address and the high one of i + 1."""
        b.from_alt()
        require_index(b, PLACE_NIBBLES, "index")
        window = whole_word(b, "window")
        self._physical_digit(b, window, 2, high=False)
        times_power_of_two(b, 2)
        self._physical_digit(b, window, 1, high=True)
        b.add("true")
        b.pick("index")
        pick_indexed(b, PLACE, "claimed")
        b.binary(op.OP_NUMNOTEQUAL)
        b.verify()

    def _physical_digit(self, b: ScriptBuilder, window: list[str], offset: int, *, high: bool) -> None:
        """``… index … -> … index … digit``: a digit of nibble index + offset of ``window | address``."""
        for nibbles in (window, [f"{self.field}.{index}" for index in range(8)]):
            b.pick("index")
            pick_indexed(b, nibbles[offset : offset + PLACE_NIBBLES], "nibble")
            if high:
                split_digits(b, "high", "low")
                b.drop()
            else:
                reduce(b, 8, 4)
        _or_digits(b)

    def elsewhere(self, words: Words) -> Hints | None:
        """Twin of `require_elsewhere`."""
        place = physical_word(words["window"], words[self.field]) // LEAF_BYTES
        index = differing_nibble(words["path.place"], place)
        return None if index is None else (index,)


# ---- registers


def _bits_3_to_0(b: ScriptBuilder, high: str, low: str) -> None:
    """``… -> … register mod 16``, bits 4..1 of the register's number being one nibble, bit 0 the top bit of another."""
    b.pick(high)
    reduce(b, 8)
    times_power_of_two(b, 1)
    b.pick(low)
    greater_than(b, 7)
    b.add("index")


def _rs1_index(b: ScriptBuilder) -> None:
    """``… -> … rs1 mod 16``; ECALL names x0, and 10 is added for it."""
    b.pick("instr.2")
    for index in range(3, 8):
        b.pick(f"instr.{index}")
        b.add()
    b.unary(op.OP_NOT)
    for index in range(2):
        b.pick(f"instr.{index}")
        b.equals_number(isa.ECALL_WORD >> 4 * index & 0xF)
        b.binary(op.OP_BOOLAND)
    times_power_of_two(b, 1)  # 10 c = 2 c + 8 c
    b.pick_at(0)
    times_power_of_two(b, 2)
    b.add("of ecall")
    _bits_3_to_0(b, "instr.4", "instr.3")
    b.add("index")


def _rs2_index(b: ScriptBuilder) -> None:
    """``… -> … rs2 mod 16``."""
    b.pick("instr.5", "index")


def _rd_index(b: ScriptBuilder) -> None:
    """``… -> … rd mod 16``."""
    _bits_3_to_0(b, "instr.2", "instr.1")


def _top_bit(nibble: str) -> Callable[[ScriptBuilder], None]:
    def bit(b: ScriptBuilder) -> None:
        """``… -> … (register > 15)``, bits 4..1 of the register's number being one nibble."""
        b.pick(nibble)
        greater_than(b, 7)

    return bit


def _rs2_top_bit(b: ScriptBuilder) -> None:
    """``… -> … (rs2 > 15)``: bit 0 of instr.6."""
    b.pick("instr.6")
    is_even(b)
    b.unary(op.OP_NOT)


def _rs1_register(words: Words) -> int:
    return 10 if words["instr"] == isa.ECALL_WORD else words["instr"] >> 15 & 31


def _rs2_register(words: Words) -> int:
    return words["instr"] >> 20 & 31


@dataclass(frozen=True)
class InRegister:
    """The word of the register that a field of the instruction names."""

    mod_16: Callable[[ScriptBuilder], None]
    """``… -> … (register mod 16)``."""
    div_16: Callable[[ScriptBuilder], None]
    """``… -> … (register div 16)``."""
    register: Callable[[Words], int]

    @property
    def index_groups(self) -> tuple[str, ...]:
        """The instruction."""
        return (OPERATION,)

    @property
    def place_groups(self) -> tuple[str, ...]:
        """The instruction."""
        return (OPERATION,)

    @property
    def place_hints(self) -> tuple[str, ...]:
        """Nothing needs to be pointed at."""
        return ()

    def index(self, b: ScriptBuilder) -> None:
        """``… -> … index``."""
        self.mod_16(b)

    def index_of(self, words: Words) -> int:
        """Twin of `index`."""
        return self.register(words) % LEAF_WORDS

    def require_elsewhere(self, b: ScriptBuilder) -> None:
        """The lowest nibble of the place is 12, or 13 from x16 on."""
        self.div_16(b)
        b.number(register_address(0) // LEAF_BYTES % 16)
        b.add("lowest")
        require_other_cpu_leaf(b)

    def elsewhere(self, words: Words) -> Hints | None:
        """Twin of `require_elsewhere`."""
        return won(words["path.place"] != register_address(self.register(words)) // LEAF_BYTES)


# ---- the words of a step


def _always(_: ScriptBuilder) -> None:
    """Every step reads all that it reads."""


def _require_register_write(b: ScriptBuilder) -> None:
    """``… outcome instr.0 … -> …``; fails unless the step retires and writes a register."""
    decode.require_retired(b)
    with b.part("decode"):
        b.pick("instr.1")
        reduce(b, 8)
        times_power_of_two(b, 4)
        b.roll("instr.0")
        b.add("opcode")
        for opcode in sorted(isa.OPCODES_WITHOUT_RD):
            b.pick("opcode")
            b.number(opcode)
            b.binary(op.OP_NUMNOTEQUAL)
            b.verify()
        b.drop()
        b.pick("instr.1")
        greater_than(b, 7)
        b.pick("instr.2")
        b.binary(op.OP_BOOLOR)
        b.verify()


def _writes_register(words: Words) -> bool:
    return decode.retired(words) and decode.opcode(words) not in isa.OPCODES_WITHOUT_RD and decode.rd(words) != 0


def _require_store(b: ScriptBuilder) -> None:
    """``… outcome instr.0 … -> …``; fails unless the step retires and writes a word of memory."""
    decode.require_retired(b)
    decode.require_opcode(b, isa.STORE)


def _stores(words: Words) -> bool:
    return decode.retired(words) and decode.opcode(words) == isa.STORE


@dataclass(frozen=True)
class DataWord:
    """A word that a step reads, or may write: which field of Step says it, and where it lies.

    name: of the proofs about it. kind: of the path to it. field, group: where Step says its value (if it is written,
    its value after the step). condition_groups: what `require` opens.
    """

    name: str
    kind: Kind
    field: str
    group: str
    location: Location
    condition_groups: tuple[str, ...] = ()
    require: Callable[[ScriptBuilder], None] = _always
    """``… -> …``; fails unless the step has such a word."""
    exists: Callable[[Words], bool] = lambda _: True
    """Twin of `require`."""


READ = (
    DataWord("instr", Kind.INSTR, "instr", OPERATION, InMemory("pc", FLOW)),
    DataWord("rs1", Kind.RS1, "rs1", OPERATION, InRegister(_rs1_index, _top_bit("instr.4"), _rs1_register)),
    DataWord("rs2", Kind.RS2, "rs2", OPERATION, InRegister(_rs2_index, _rs2_top_bit, _rs2_register)),
    DataWord("mem", Kind.MEM, "mem", ACCESS, InMemory("address", ACCESS)),
)
"""Words that every step reads."""

WRITTEN = (
    DataWord(
        "register",
        Kind.DATA,
        "written",
        OPERATION,
        InRegister(_rd_index, _top_bit("instr.2"), decode.rd),
        condition_groups=(OPERATION,),
        require=_require_register_write,
        exists=_writes_register,
    ),
    DataWord(
        "store",
        Kind.DATA,
        "written",
        OPERATION,
        InMemory("address", ACCESS),
        condition_groups=(OPERATION,),
        require=_require_store,
        exists=_stores,
    ),
)
"""Words that a step writes if it retires: at most one of them."""


def step_keys(*groups: str) -> tuple[str, ...]:
    """Return the key paths of Step's groups, each once, in the order given."""
    return tuple(f"Step/{group}" for group in dict.fromkeys(groups))
