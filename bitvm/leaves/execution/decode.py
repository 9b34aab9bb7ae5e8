"""Reading `instr`: the same questions asked of nibbles in Script and of words in Python.

Where the bits of an instruction lie (RISC-V manual, "RV32I", "Immediate Encoding Variants"), by nibble:

=========  ==================================================================================================
instr.0    opcode[3:0]
instr.1    bit 3: rd[0], in S-type imm[0], in B-type imm[11]; bits 2..0: opcode[6:4]
instr.2    rd[4:1]; in S- and B-type imm[4:1]
instr.3    bit 3: rs1[0]; bits 2..0: funct3; in U- and J-type imm[15:12]
instr.4    rs1[4:1]; in U- and J-type imm[19:16]
instr.5    rs2[3:0]; in I-type imm[3:0]; in J-type imm[3:1] and, bit 0, imm[11]
instr.6    bits 3..1: funct7[2:0]; bit 0: rs2[4]; in I- and J-type imm[7:4]; in S- and B-type bits 3..1: imm[7:5]
instr.7    funct7[6:3]; in I- and S-type imm[11:8]; in B- and J-type the sign and imm[10:8]
=========  ==================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bitcoin.core import script as op

from bitvm.leaves.statement import Words
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    greater_than,
    is_even,
    is_value_or_plus_8,
    less_than,
    reduce,
    require_low_3_bits,
    require_number,
    split_bit,
    times_power_of_two,
)
from bitvm.script.u32 import Digit
from lvm.isa import OP, OP_IMM, SYSTEM, sign_extend
from lvm.outcome import Outcome

CSRRW = 1
"""funct3; csrrs has 2, ECALL and MRET have 0."""

# ---- in Script


def require_retired(b: ScriptBuilder) -> None:
    """``… outcome … -> …``; fails unless the step claims to have completed its instruction."""
    with b.part("decode"):
        b.roll("outcome.0")
        require_number(b, Outcome.RETIRE)


def is_trap(b: ScriptBuilder) -> None:
    """``… outcome … mode … -> … outcome … mode … trap``: user mode, and the step neither retires nor finds a halt."""
    with b.part("decode"):
        b.pick("outcome.0")
        b.number(Outcome.RETIRE)
        b.binary(op.OP_NUMNOTEQUAL)
        b.pick("outcome.0")
        b.binary(op.OP_BOOLAND)
        b.pick("mode.0")
        b.binary(op.OP_BOOLAND, "trap")


def is_mret(b: ScriptBuilder) -> None:
    """``… -> … (MRET retired)``, instr and outcome stay: of what retires, only SYSTEM has the high bits 7."""
    with b.part("decode"):
        b.pick("instr.1")
        b.equals_number(SYSTEM >> 4)
        b.pick("instr.3")
        b.unary(op.OP_NOT)
        b.binary(op.OP_BOOLAND)
        _and_retired(b)


def is_csr_write(b: ScriptBuilder, csr: int) -> None:
    """``… -> … (csrrw to this CSR retired)``, instr and outcome stay; rd, its low bit in instr.1, is x0."""
    with b.part("decode"):
        b.pick("instr.1")
        b.equals_number(SYSTEM >> 4)
        b.pick("instr.3")
        is_value_or_plus_8(b, CSRRW)
        b.binary(op.OP_BOOLAND)
        b.pick("instr.5")
        b.equals_number(csr & 0xF)
        b.binary(op.OP_BOOLAND)
        _and_retired(b)


def require_csr_read(b: ScriptBuilder, csr: int) -> None:
    """Fails unless csrrs from this CSR retired and rd is not x0: of what retires, no other SYSTEM has an rd."""
    require_retired(b)
    with b.part("decode"):
        b.roll("instr.1")
        b.pick_at(0)
        require_low_3_bits(b, SYSTEM >> 4)
        require_rd(b, SYSTEM >> 4)
        b.roll("instr.5")
        require_number(b, csr & 0xF)


def _and_retired(b: ScriptBuilder) -> None:
    """``… c -> … (c and the step retires)``."""
    b.pick("outcome.0")
    b.equals_number(Outcome.RETIRE)
    b.binary(op.OP_BOOLAND)


def require_opcode(b: ScriptBuilder, opcode: int) -> None:
    """``… instr.0 … instr.1 … -> … instr.1 …``; fails unless the low seven bits are `opcode`."""
    with b.part("decode"):
        b.roll("instr.0")
        require_number(b, opcode & 0xF)
        b.pick("instr.1")
        require_low_3_bits(b, opcode >> 4)


def require_opcode_and_rd(b: ScriptBuilder, opcode: int) -> None:
    """``… instr.0 … instr.2 … -> …``; fails unless the low seven bits are `opcode` and rd is not x0."""
    with b.part("decode"):
        b.roll("instr.0")
        require_number(b, opcode & 0xF)
        b.roll("instr.1")
        b.pick_at(0)
        require_low_3_bits(b, opcode >> 4)
        require_rd(b, opcode >> 4)


def require_rd(b: ScriptBuilder, opcode_high: int) -> None:
    """``… instr.2 … instr.1 -> …``; fails if rd is x0. instr.1 is known to be `opcode_high` or that + 8."""
    b.roll("instr.2")
    b.add()
    greater_than(b, opcode_high)
    b.verify()


def require_funct3(b: ScriptBuilder, funct3: int) -> None:
    """``… instr.3 … -> …``; fails unless bits 14:12 are `funct3`."""
    with b.part("decode"):
        b.roll("instr.3")
        require_low_3_bits(b, funct3)


def require_base_funct7(b: ScriptBuilder) -> None:
    """``… instr.6 … -> … instr.6 …``; fails if bits 27:25 are not 0: of OP, those of the M extension."""
    with b.part("decode"):
        b.pick("instr.6")
        less_than(b, 2)
        b.verify()


def is_jump(b: ScriptBuilder) -> None:
    """``… instr.1 -> … (BRANCH, JAL or JALR)``: of the legal opcodes, only those have the high bits 6."""
    is_value_or_plus_8(b, 6, "jump")


def require_op_or_op_imm(b: ScriptBuilder) -> None:
    """``… instr.0 … instr.1 … instr.2 … -> … instr.1 …``: retired OP or OP-IMM, rd not x0."""
    require_retired(b)
    with b.part("decode"):
        b.roll("instr.0")
        require_number(b, 3)
        b.pick("instr.1", "high")
        reduce(b, 8)
        b.number(2)
        b.sub()
        b.unary(op.OP_ABS)
        require_number(b, 1)
        b.pick("instr.1")
        greater_than(b, 7)
        b.roll("instr.2")
        b.binary(op.OP_BOOLOR)
        b.verify()


def is_load_or_store(b: ScriptBuilder) -> None:
    """``… instr.1 … instr.0 … -> … (opcode is LOAD 0x03 or STORE 0x23)``: the high bits are 1 away from 1."""
    b.roll("instr.0")
    b.equals_number(3)
    b.roll("instr.1")
    reduce(b, 8)
    b.number(1)
    b.sub()
    b.unary(op.OP_ABS)
    b.equals_number(1)
    b.binary(op.OP_BOOLAND)


def immediate_i(b: ScriptBuilder) -> None:
    """``… instr.5 … instr.6 … instr.7 … -> … | … imm.0 imm.1 imm.2 sign``: I-type, imm = digits - 2^12 sign."""
    with b.part("immediate"):
        for index in range(2):
            b.roll(f"instr.{5 + index}", f"imm.{index}")
            b.to_alt()
        _top_digit(b)


def immediate_s(b: ScriptBuilder) -> None:
    """``… instr.1, .2, .6, .7 … -> … | … imm.0 imm.1 imm.2 sign``: S-type; imm.0 is at most 31, imm.1 14."""
    with b.part("immediate"):
        b.roll("instr.2")
        times_power_of_two(b, 1)
        b.roll("instr.1")
        greater_than(b, 7)
        b.add("imm.0")
        b.to_alt()
        _clear_bit_0(b, "instr.6", "imm.1")
        b.to_alt()
        _top_digit(b)


def immediate_b(b: ScriptBuilder) -> None:
    """``… instr.1, .2, .6, .7 … -> … | … imm.0 imm.1 imm.2 sign``: B-type; imm.0 is at most 30, imm.1 14.

    imm.2 has imm[11] for its high bit, which is not the sign here.
    """
    with b.part("immediate"):
        b.roll("instr.2")
        times_power_of_two(b, 1)
        b.rename("imm.0")
        b.to_alt()
        _clear_bit_0(b, "instr.6", "imm.1")
        b.to_alt()
        b.roll("instr.7")
        split_bit(b, 8, "sign", "imm.2")
        b.roll("instr.1")
        greater_than(b, 7)
        times_power_of_two(b, 3)
        b.add("imm.2")
        b.to_alt()
        b.to_alt()


IMMEDIATE_RANGES = {"imm.0": (0, 31), "sign": (0, 1)}
"""Digits of an immediate on the alt stack that are not nibbles (the other formats' are narrower than this)."""


def with_immediate(digits: Sequence[Digit]) -> list[Digit]:
    """Add the immediate on the alt stack to a sum of words: three digits, less the sign at weight 2^12."""
    added = [replace(digit, plus=(*digit.plus, f"imm.{index}")) for index, digit in enumerate(digits[:3])]
    return [*added, replace(digits[3], minus=(*digits[3].minus, "sign")), *digits[4:]]


def immediate_number(b: ScriptBuilder) -> None:
    """``… | … imm.0 imm.1 imm.2 sign -> … imm | …``: the immediate as one signed number."""
    with b.part("immediate"):
        b.from_alt()
        b.unary(op.OP_NEGATE, "imm")
        for _ in range(3):
            times_power_of_two(b, 4)
            b.from_alt()
            b.add("imm")


def _top_digit(b: ScriptBuilder) -> None:
    """``… instr.7 … -> … | imm.2 sign``."""
    b.roll("instr.7", "imm.2")
    b.pick_at(0)
    b.to_alt()
    b.alt[-1] = "imm.2"
    greater_than(b, 7, "sign")
    b.to_alt()


def _clear_bit_0(b: ScriptBuilder, name: str, new_name: str) -> None:
    """``… x … -> … … (x with bit 0 cleared)``."""
    b.roll(name)
    b.pick_at(0)
    is_even(b)
    b.add()
    b.unary(op.OP_1SUB, new_name)


# ---- in Python


def retired(words: Words) -> bool:
    """Whether the step claims to have completed its instruction."""
    return words["outcome"] == Outcome.RETIRE


def trapped(words: Words) -> bool:
    """Twin of `is_trap`."""
    return words["mode"] != 0 and words["outcome"] not in (Outcome.HALTED, Outcome.RETIRE)


def returned(words: Words) -> bool:
    """Twin of `is_mret`."""
    return retired(words) and words["instr"] >> 4 & 0xF == SYSTEM >> 4 and words["instr"] >> 12 & 0xF == 0


def wrote_csr(words: Words, csr: int) -> bool:
    """Twin of `is_csr_write`."""
    is_write = words["instr"] >> 4 & 0xF == SYSTEM >> 4 and funct3(words) == CSRRW
    return retired(words) and is_write and words["instr"] >> 20 & 0xF == csr & 0xF


def read_csr(words: Words, csr: int) -> bool:
    """Twin of `require_csr_read`."""
    is_system = words["instr"] >> 4 & 7 == SYSTEM >> 4
    return retired(words) and is_system and rd(words) != 0 and words["instr"] >> 20 & 0xF == csr & 0xF


def opcode(words: Words) -> int:
    """Bits 6:0."""
    return words["instr"] & 0x7F


def rd(words: Words) -> int:
    """Bits 11:7."""
    return words["instr"] >> 7 & 31


def funct3(words: Words) -> int:
    """Bits 14:12."""
    return words["instr"] >> 12 & 7


def funct7(words: Words) -> int:
    """Bits 31:25."""
    return words["instr"] >> 25


def imm_i(words: Words) -> int:
    """Signed immediate of an I-type."""
    return sign_extend(words["instr"] >> 20, 12)


def imm_s(words: Words) -> int:
    """Signed immediate of an S-type."""
    return sign_extend(funct7(words) << 5 | rd(words), 12)


def imm_b(words: Words) -> int:
    """Signed immediate of a B-type."""
    low, bit_11 = rd(words) & 0x1E, rd(words) & 1
    return sign_extend(words["instr"] >> 31 << 12 | bit_11 << 11 | (funct7(words) & 0x3F) << 5 | low, 13)


def imm_j(words: Words) -> int:
    """Signed immediate of a J-type."""
    word = words["instr"]
    return sign_extend(word >> 31 << 20 | word & 0xFF000 | (word >> 20 & 1) << 11 | (word >> 20 & 0x7FE), 21)


def is_base(words: Words) -> bool:
    """Whether bits 27:25 are 0, so that an OP is not of the M extension."""
    return funct7(words) & 7 == 0


def executed_op_or_op_imm(words: Words, *codes: int) -> bool:
    """Twin of the two decoders above, for some values of funct3."""
    code, base = opcode(words), is_base(words)
    return retired(words) and (code == OP_IMM or (code == OP and base)) and funct3(words) in codes and rd(words) != 0
