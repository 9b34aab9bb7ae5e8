"""Traces: the records of a range of steps, streamed, for people (a line a step) or for programs (JSON lines).

A JSON line has the fields of the record in the order t, pc, instr, name, rs1, rs2, address, mem, write_address,
written, next_pc, outcome, halted, exit_code. Words are numbers; `name` is null for an illegal word, `write_address`
null where no data word is written. In user mode pc and address are as the program sees them, write_address is that of
the word in the state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from lvm import isa
from lvm.layout import REGISTERS_BASE, WORD_BYTES
from lvm.machine import Machine
from lvm.outcome import Outcome
from lvm.record import StepRecord

JsonRecord = dict[str, int | str | None]


def trace(machine: Machine, first: int, last: int) -> Iterator[StepRecord]:
    """Yield the records of the steps `first <= t < last`; ends early after the step that halts.

    The machine is advanced as the records are taken. Raises ValueError if it is already past `first`, or if the
    range is not a range.
    """
    if not machine.t <= first <= last:
        raise ValueError(f"cannot trace from {first} to {last}: the machine stands at step {machine.t}")
    return _records(machine, first, last)


def _records(machine: Machine, first: int, last: int) -> Iterator[StepRecord]:
    machine.run(first - machine.t)
    while machine.t < last and not machine.halted:
        yield machine.step()


def instruction_name(word: int) -> str | None:
    """Name of the instruction a word encodes; None for an illegal word."""
    entry = isa.encoding_of(word)
    return None if entry is None else entry.name


def to_json(record: StepRecord) -> JsonRecord:
    """Return a record as a JSON object; see the module's head for its keys."""
    return {
        "t": record.t,
        "pc": record.pc,
        "instr": record.instr,
        "name": instruction_name(record.instr),
        "rs1": record.rs1,
        "rs2": record.rs2,
        "address": record.address,
        "mem": record.mem,
        "write_address": record.write_address,
        "written": record.written,
        "next_pc": record.next_pc,
        "outcome": record.outcome.name,
        "halted": record.after.halted,
        "exit_code": record.after.exit_code,
    }


def to_json_line(record: StepRecord) -> str:
    """Return a record as one line of JSON, without the line's end."""
    return json.dumps(to_json(record), separators=(",", ":"))


def to_line(record: StepRecord) -> str:
    """Return a record as one line for people, without the line's end."""
    name = instruction_name(record.instr) or "?"
    line = f"{record.t:>12}  {record.pc:08x}  {record.instr:08x}  {name:<7} rs1={record.rs1:08x} rs2={record.rs2:08x}"
    return f"{line}  {_effects(record)}".rstrip()


def _effects(record: StepRecord) -> str:
    """Say what the step did beyond reading its registers."""
    effects = []
    if record.address or record.instr & 0x7F in (isa.LOAD, isa.STORE):
        effects.append(f"[{record.address:08x}]={record.mem:08x}")
    if record.write_address is not None:
        effects.append(f"{_place(record.write_address)} <- {record.written:08x}")
    if record.outcome is not Outcome.RETIRE:
        effects.append(record.outcome.name)
    if record.after.halted != record.before.halted:
        effects.append(f"halted={record.after.halted} exit_code={record.after.exit_code}")
    elif record.next_pc != record.pc + WORD_BYTES:
        effects.append(f"-> {record.next_pc:08x}")
    return "  ".join(effects)


def _place(address: int) -> str:
    """Name a register by its number and any other word by its address."""
    return f"x{(address - REGISTERS_BASE) // WORD_BYTES}" if address >= REGISTERS_BASE else f"[{address:08x}]"
