"""Instruction words as assembly text, with registers by number as everywhere in this project."""

from __future__ import annotations

from lvm import isa
from lvm.layout import REGISTERS_BASE, WORD_BYTES, WORD_MASK


def disassemble(word: int, pc: int) -> str:
    """Return a word in assembly language; jump and branch targets as addresses, an illegal word as ``.word``."""
    entry = isa.encoding_of(word)
    if entry is None:
        return f".word {word:#010x}"
    decoded = isa.decode(word)
    rd, rs1, rs2, imm = f"x{decoded.rd}", f"x{decoded.rs1}", f"x{decoded.rs2}", decoded.imm
    target = f"{(pc + imm) & WORD_MASK:#x}"
    operands = {
        "R": (rd, rs1, rs2),
        "I": (rd, f"{imm}({rs1})") if decoded.opcode in {isa.LOAD, isa.JALR} else (rd, rs1, str(imm)),
        "SHIFT": (rd, rs1, str(imm)),
        "S": (rs2, f"{imm}({rs1})"),
        "B": (rs1, rs2, target),
        "U": (rd, f"{imm >> 12 & 0xFFFFF:#x}"),
        "J": (rd, target),
        "FENCE": (),
        "ECALL": (),
        "CSRW": (isa.CSR_NAMES.get(imm, f"{imm:#x}"), rs1),
        "CSRR": (rd, isa.CSR_NAMES.get(imm, f"{imm:#x}")),
    }[entry.format]
    return f"{decoded.name} {', '.join(operands)}".rstrip()


def place(address: int) -> str:
    """Name the word at a byte address: a register by its number, any other by its address."""
    if address >= REGISTERS_BASE:
        return f"x{(address - REGISTERS_BASE) // WORD_BYTES}"
    return f"memory at {address:#010x}"
