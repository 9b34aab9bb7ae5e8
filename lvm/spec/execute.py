"""From an instruction to its effect: one function a shape of instruction, one entry a name.

The functions of a family say what is computed; here stands what is read, where the result goes, and which faults
come first: for a load or store misalignment before access, for a jump or taken branch its target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from lvm.control import CSR_ADDRESS, EPC_ADDRESS, UWIN_ADDRESS, WINDOW_ADDRESS
from lvm.isa import Instruction
from lvm.layout import LOAD_END, REGISTERS_BASE, STORE_END, USER_BYTES, WORD_BYTES, WORD_MASK, physical_word
from lvm.memory import Memory
from lvm.outcome import Outcome
from lvm.spec import alu, branch, loadstore, muldiv, system
from lvm.spec.effect import Effect
from lvm.spec.word import u32

Binary = Callable[[int, int], int]
Ternary = Callable[[int, int, int], int]


class Operands(NamedTuple):
    """What an instruction works on. Its memory is read, never written."""

    instruction: Instruction
    pc: int
    rs1: int
    """Value of the register that instr[19:15] names."""
    rs2: int
    """Value of the register that instr[24:20] names."""
    memory: Memory
    window: int
    """Base of the user window; 0 is kernel mode."""


Execute = Callable[[Operands], Effect]


def _retire(instruction: Instruction, next_pc: int, value: int, address: int = 0) -> Effect:
    """Complete, with `value` for rd; x0 is never written."""
    if instruction.rd == 0:
        return Effect(next_pc, None, 0, address)
    return Effect(next_pc, REGISTERS_BASE + WORD_BYTES * instruction.rd, value, address)


def _register(operation: Binary, on: Operands) -> Effect:
    return _retire(on.instruction, on.pc + 4, operation(on.rs1, on.rs2))


def _immediate(operation: Binary, on: Operands) -> Effect:
    return _retire(on.instruction, on.pc + 4, operation(on.rs1, on.instruction.imm & WORD_MASK))


def _upper(operation: Binary, on: Operands) -> Effect:
    return _retire(on.instruction, on.pc + 4, operation(on.pc, on.instruction.imm))


def _branch(condition: Callable[[int, int], bool], on: Operands) -> Effect:
    if not condition(on.rs1, on.rs2):
        return Effect(on.pc + 4)
    target = u32(on.pc + on.instruction.imm)
    return Effect(on.pc, outcome=Outcome.TARGET_MISALIGNED) if target & 3 else Effect(target)


def _jump(target_of: Ternary, on: Operands) -> Effect:
    target = target_of(on.pc, on.rs1, on.instruction.imm)
    if target & 3:
        return Effect(on.pc, outcome=Outcome.TARGET_MISALIGNED)
    return _retire(on.instruction, target, on.pc + 4)


def may_access(window: int, address: int, end: int) -> bool:
    """Whether an address lies below the end of a physical range and, in user mode, within its 1 MiB."""
    return (window | address) < end and not (window and address >= USER_BYTES)


def _load(width: int, extract: Binary, on: Operands) -> Effect:
    address = u32(on.rs1 + on.instruction.imm)
    if address % width:
        return Effect(on.pc, address=address, outcome=Outcome.LOAD_MISALIGNED)
    if not may_access(on.window, address, LOAD_END):
        return Effect(on.pc, address=address, outcome=Outcome.LOAD_FAULT)
    mem = on.memory.read_word(physical_word(on.window, address))
    return _retire(on.instruction, on.pc + 4, extract(mem, address), address)


def _store(width: int, merge: Ternary, on: Operands) -> Effect:
    address = u32(on.rs1 + on.instruction.imm)
    if address % width:
        return Effect(on.pc, address=address, outcome=Outcome.STORE_MISALIGNED)
    if not may_access(on.window, address, STORE_END):
        return Effect(on.pc, address=address, outcome=Outcome.STORE_FAULT)
    word_address = physical_word(on.window, address)
    merged = merge(on.memory.read_word(word_address), address, on.rs2)
    return Effect(on.pc + 4, word_address, merged, address)


def _no_operation(on: Operands) -> Effect:
    return Effect(on.pc + 4)


def _ecall(on: Operands) -> Effect:
    return Effect(on.pc, outcome=Outcome.ECALL)


def _csrrw(on: Operands) -> Effect:
    csr = on.instruction.imm
    return Effect(on.pc + 4, control=(CSR_ADDRESS[csr], system.csr_value(csr, on.rs1)))


def _csrrs(on: Operands) -> Effect:
    return _retire(on.instruction, on.pc + 4, on.memory.read_word(CSR_ADDRESS[on.instruction.imm]))


def _mret(on: Operands) -> Effect:
    return Effect(on.memory.read_word(EPC_ADDRESS), control=(WINDOW_ADDRESS, on.memory.read_word(UWIN_ADDRESS)))


EXECUTE: Mapping[str, Execute] = {
    **{name: partial(_register, operation) for name, operation in alu.REGISTER.items()},
    **{name: partial(_register, operation) for name, operation in muldiv.REGISTER.items()},
    **{name: partial(_immediate, operation) for name, operation in alu.IMMEDIATE.items()},
    **{name: partial(_upper, operation) for name, operation in alu.UPPER.items()},
    **{name: partial(_branch, condition) for name, condition in branch.CONDITION.items()},
    **{name: partial(_jump, target_of) for name, target_of in branch.JUMP.items()},
    **{name: partial(_load, loadstore.WIDTH[name], extract) for name, extract in loadstore.LOAD.items()},
    **{name: partial(_store, loadstore.WIDTH[name], merge) for name, merge in loadstore.STORE.items()},
    **dict.fromkeys(system.NO_OPERATION, _no_operation),
    "ecall": _ecall,
    "csrrw": _csrrw,
    "csrrs": _csrrs,
    "mret": _mret,
}
"""How to execute each instruction of the machine."""
