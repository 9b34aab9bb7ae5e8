"""The words that the prover signs in Step: what one step of the machine read and what it claims to have done.

The words are cut into groups, each signed by one window-16 one-time key of nibbles, so that a leaf opens only the
groups it needs. Signatures are nine tenths of a leaf and a group of its own costs little, so words that no leaf needs
together are apart: a control word goes with the same word of the state after, since one is judged by the other.

A nibble is called ``field.i``, with ``i = 0`` the lowest. A group lists its nibbles in the order of the signature's
slots, which is also their order on the stack, *top first*. The orders are chosen for the leaves: what a leaf looks at
first (outcome, instr.0, instr.1, …) lies on top; digits of equal weight lie side by side, the highest weight on top,
where words are summed, so that a sum is one run over the stack; elsewhere a word is one run.

The fields are unsigned 32-bit words unless said otherwise; their meaning is that of `lvm.record`:

==========  ==========================================================================================
operation   outcome (1 nibble: `lvm.outcome.Outcome`), instr, mode (1 nibble: `Mode`), written, rs1, rs2
flow        pc, next_pc (pc of the state after)
access      address, mem
status      halted (1 nibble), exit_code, after_halted, after_exit_code
windows     window, after_window, uwin, after_uwin (3 nibbles each: bits 20..31)
return_pc   epc, after_epc
trap_cause  cause, after_cause
allowance   fuel, after_fuel
==========  ==========================================================================================

``mode`` says nothing that window does not say; it is signed so that most leaves can do without window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import chain
from types import MappingProxyType
from typing import Final

from lvm.layout import CPU_BASE, INPUT_BASE
from lvm.record import StepRecord

Words = Mapping[str, int]
"""The value of each field by name; a mapping may hold some groups only."""

OPERATION: Final = "operation"
FLOW: Final = "flow"
ACCESS: Final = "access"
STATUS: Final = "status"
WINDOWS: Final = "windows"
RETURN_PC: Final = "return_pc"
TRAP_CAUSE: Final = "trap_cause"
ALLOWANCE: Final = "allowance"


class Mode(IntEnum):
    """Kernel mode, and user mode by what its window covers: what may be accessed follows from this."""

    KERNEL = 0
    """window is 0."""
    USER = 1
    """The window covers ordinary memory."""
    USER_OF_INPUT = 2
    """The window lies over INPUT: every store is a fault."""
    USER_OF_NOTHING = 3
    """The window lies over CPU, or above all memory: every access is a fault."""


def mode_of(window: int) -> Mode:
    """Return the mode of a state with this window."""
    return Mode((window > 0) + (window >= INPUT_BASE) + (window >= CPU_BASE))


class StatementError(ValueError):
    """A word does not fit its field, or nibbles do not fit their group."""


@dataclass(frozen=True, slots=True)
class Field:
    """How a word is cut: into `nibbles` digits of ``word >> shift``, all other bits being zero."""

    name: str
    nibbles: int = 8
    shift: int = 0

    @property
    def nibble_names(self) -> tuple[str, ...]:
        """Names of the digits, lowest first."""
        return tuple(f"{self.name}.{index}" for index in range(self.nibbles))

    def check(self, word: int) -> None:
        """Raise StatementError where a word does not fit."""
        value = word >> self.shift
        if not 0 <= value < 16**self.nibbles or value << self.shift != word:
            raise StatementError(f"{self.name} = {word:#x} does not fit {self.nibbles} nibbles from bit {self.shift}")


@dataclass(frozen=True)
class Group:
    """Words that one key signs together. `nibble_names` is the order of the slots and of the stack, top first."""

    name: str
    fields: tuple[Field, ...]
    nibble_names: tuple[str, ...]

    @property
    def nibbles(self) -> int:
        """Number of nibbles of all fields."""
        return len(self.nibble_names)

    @cached_property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Of every slot, its field's name and the weight of its nibble in the word as a power of two."""
        shifts = {name: (field.name, 4 * i + field.shift) for field in self.fields for i, name in _numbered(field)}
        return tuple(shifts[name] for name in self.nibble_names)


def _numbered(field: Field) -> enumerate[str]:
    return enumerate(field.nibble_names)


def nibble(word: int, index: int) -> int:
    """Return nibble `index` of a word, 0 the lowest."""
    return word >> 4 * index & 0xF


def _listed(*fields: Field) -> tuple[str, ...]:
    """All nibbles of the first field, then of the next, the highest first."""
    return tuple(name for field in fields for name in reversed(field.nibble_names))


def _side_by_side(*fields: Field) -> tuple[str, ...]:
    """Nibbles of equal weight together, the highest weight first."""
    return tuple(f"{field.name}.{index}" for index in reversed(range(8)) for field in fields)


def _pair(name: str, nibbles: int = 8, shift: int = 0) -> tuple[Field, Field]:
    """A control word before and after the step."""
    return Field(name, nibbles, shift), Field(f"after_{name}", nibbles, shift)


def _group(name: str, *fields: Field) -> Group:
    return Group(name, fields, _listed(*fields))


def _groups() -> tuple[Group, ...]:
    outcome, instr, mode = Field("outcome", 1), Field("instr"), Field("mode", 1)
    operands = (Field("written"), Field("rs1"), Field("rs2"))
    pcs = (Field("next_pc"), Field("pc"))
    operation = (*outcome.nibble_names, *instr.nibble_names, *mode.nibble_names, *_side_by_side(*operands))
    return (
        Group(OPERATION, (outcome, instr, mode, *operands), operation),
        Group(FLOW, pcs, _side_by_side(*pcs)),
        _group(ACCESS, Field("address"), Field("mem")),
        _group(STATUS, *chain.from_iterable(zip(_pair("halted", 1), _pair("exit_code"), strict=True))),
        _group(WINDOWS, *_pair("window", 3, shift=20), *_pair("uwin", 3, shift=20)),
        _group(RETURN_PC, *_pair("epc")),
        _group(TRAP_CAUSE, *_pair("cause")),
        _group(ALLOWANCE, *_pair("fuel")),
    )


GROUPS: Mapping[str, Group] = MappingProxyType({group.name: group for group in _groups()})
"""The groups of the statement by name."""

FIELDS: Mapping[str, Field] = MappingProxyType(
    {field.name: field for group in GROUPS.values() for field in group.fields}
)
"""The fields of all groups by name."""

_CONTROL_WORDS = ("window", "fuel", "epc", "cause", "uwin", "halted", "exit_code")


def words_of(record: StepRecord) -> dict[str, int]:
    """Return all fields of the statement that an honest prover signs for `record`."""
    return {
        "outcome": int(record.outcome),
        "instr": record.instr,
        "rs1": record.rs1,
        "rs2": record.rs2,
        "written": record.written,
        "mode": int(mode_of(record.before.window)),
        "pc": record.pc,
        "next_pc": record.next_pc,
        "address": record.address,
        "mem": record.mem,
        **{name: getattr(record.before, name) for name in _CONTROL_WORDS},
        **{f"after_{name}": getattr(record.after, name) for name in _CONTROL_WORDS},
    }


def nibble_names(group_name: str) -> tuple[str, ...]:
    """Names of a group's nibbles in the order of its slots, which is their order on the stack, top first."""
    return GROUPS[group_name].nibble_names


def nibbles_of(group_name: str, words: Words) -> tuple[int, ...]:
    """Cut the fields of a group into nibbles, in the order of its slots: what the group's key signs.

    Raises StatementError where a word does not fit its field.
    """
    group = GROUPS[group_name]
    for field in group.fields:
        field.check(words[field.name])
    return tuple(words[name] >> shift & 0xF for name, shift in group.places)


def words_from_nibbles(group_name: str, nibbles: Sequence[int]) -> dict[str, int]:
    """Put a group's words together again; raises StatementError on a wrong number or range of nibbles."""
    group = GROUPS[group_name]
    if len(nibbles) != group.nibbles or not all(0 <= digit < 16 for digit in nibbles):
        raise StatementError(f"group {group_name} has {group.nibbles} nibbles 0..15, got {list(nibbles)}")
    words = dict.fromkeys((field.name for field in group.fields), 0)
    for (name, shift), digit in zip(group.places, nibbles, strict=True):
        words[name] |= digit << shift
    return words
