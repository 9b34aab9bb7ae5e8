"""The words that the prover signs in Step: what one step of the machine read and what it claims to have done.

The words are cut into four groups, each signed by one window-16 one-time key of nibbles, so that a leaf opens only the
groups it needs. A nibble is called ``field.i``, with ``i = 0`` the lowest. A group lists its nibbles in the order of
the signature's slots, which is also their order on the stack, *top first*. The orders are chosen for the leaves: what
a leaf looks at first (outcome, instr.0, instr.1, …) lies on top; digits of equal weight lie side by side, the highest
weight on top, so that a sum of words is one run over the stack; `before` and `after` are parallel lists.

The fields are unsigned 32-bit words unless said otherwise; their meaning is that of `lvm.record`:

==========  ==========================================================================================
operation   outcome (1 nibble: `lvm.outcome.Outcome`), instr, rs1, rs2, written
flow        pc, next_pc (pc of the state after), address, mem, window (3 nibbles: bits 20..31)
before      fuel, epc, cause, uwin (3 nibbles: bits 20..31), exit_code, halted (1 nibble)
after       the same control words of the state after (after_fuel, …) and after_window
==========  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Final

from lvm.record import StepRecord

Words = Mapping[str, int]
"""The value of each field by name; a mapping may hold some groups only."""

OPERATION: Final = "operation"
FLOW: Final = "flow"
BEFORE: Final = "before"
AFTER: Final = "after"


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

    def cut(self, word: int) -> tuple[int, ...]:
        """Return the digits of a word, lowest first; raises StatementError where it does not fit."""
        value = word >> self.shift
        if not 0 <= value < 16**self.nibbles or value << self.shift != word:
            raise StatementError(f"{self.name} = {word:#x} does not fit {self.nibbles} nibbles from bit {self.shift}")
        return tuple(nibble(value, index) for index in range(self.nibbles))


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


def _control(prefix: str) -> tuple[Field, ...]:
    last = (Field(prefix + "uwin", 3, shift=20), Field(prefix + "cause"), Field(prefix + "epc"), Field(prefix + "fuel"))
    return (Field(prefix + "halted", 1), Field(prefix + "exit_code"), *last)


def _groups() -> tuple[Group, ...]:
    outcome, instr = Field("outcome", 1), Field("instr")
    operands = (Field("written"), Field("rs1"), Field("rs2"))
    pcs = (Field("next_pc"), Field("pc"))
    address, mem, window = Field("address"), Field("mem"), Field("window", 3, shift=20)
    before, after = _control(""), (*_control("after_"), Field("after_window", 3, shift=20))
    operation = (*outcome.nibble_names, *instr.nibble_names, *_side_by_side(*operands))
    return (
        Group(OPERATION, (outcome, instr, *operands), operation),
        Group(FLOW, (*pcs, address, mem, window), (*_side_by_side(*pcs), *_listed(address, mem, window))),
        Group(BEFORE, before, _listed(*before)),
        Group(AFTER, after, _listed(*after)),
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
    digits = {name: digit for field in group.fields for name, digit in _cut(field, words)}
    return tuple(digits[name] for name in group.nibble_names)


def _cut(field: Field, words: Words) -> zip[tuple[str, int]]:
    return zip(field.nibble_names, field.cut(words[field.name]), strict=True)


def words_from_nibbles(group_name: str, nibbles: Sequence[int]) -> dict[str, int]:
    """Put a group's words together again; raises StatementError on a wrong number or range of nibbles."""
    group = GROUPS[group_name]
    if len(nibbles) != group.nibbles or not all(0 <= digit < 16 for digit in nibbles):
        raise StatementError(f"group {group_name} has {group.nibbles} nibbles 0..15, got {list(nibbles)}")
    words = dict.fromkeys((field.name for field in group.fields), 0)
    for (name, shift), digit in zip(group.places, nibbles, strict=True):
        words[name] |= digit << shift
    return words
