"""Which words are instructions of the machine, in Script: the listing of `lvm.isa` as a decision on nibbles.

The opcode's low nibble is 3, 7 or 15, its high bits 0..7 choose the family::

    low 3    0 LOAD    1 OP-IMM    2 STORE    3 OP     6 BRANCH    7 SYSTEM
    low 7              1 AUIPC                3 LUI    6 JALR
    low 15   0 FENCE                                   6 JAL

Of SYSTEM there are ECALL, and in kernel mode MRET, csrrw to 0x800..0x803 with rd = x0, and csrrs from these with
rs1 = x0.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import less_than, reduce, times_power_of_two

ILLEGAL, ECALL, OTHER = range(3)
"""What `classify` leaves: Outcome.ILLEGAL, ECALL and TARGET_MISALIGNED (anything executed), less ILLEGAL."""


def classify(b: ScriptBuilder) -> None:
    """``… mode instr.7 … instr.0 -> … class``; leaves other items below."""
    with b.part("decode"):
        b.pick("instr.3", "funct3")
        reduce(b, 8)
        b.pick("instr.1", "high")
        reduce(b, 8)
        for low, is_legal in ((3, _is_legal_low_3), (7, _is_legal_low_7), (15, _is_legal_low_15)):
            is_legal(b)
            _equals(b, "instr.0", low)
            b.binary(op.OP_BOOLAND)
            if low > 3:
                b.binary(op.OP_BOOLOR)
        _is_legal_system(b)
        b.binary(op.OP_BOOLOR)
        times_power_of_two(b, 1)
        _is_zero(b, *(f"instr.{index}" for index in range(2, 8)))
        _is_system(b)
        b.binary(op.OP_BOOLAND)
        b.add("class")


def _equals(b: ScriptBuilder, name: str, value: int) -> None:
    """``… x … -> … x … (x == value)``."""
    b.pick(name)
    b.equals_number(value)


def _is_one_of(b: ScriptBuilder, name: str, low: int, high: int) -> None:
    """``… x … -> … x … (x == low or x == high)``: x lies as far from the middle, a whole number, as they."""
    b.pick(name)
    b.number((low + high) // 2)
    b.sub()
    b.unary(op.OP_ABS)
    b.equals_number((high - low) // 2)


def _is_zero(b: ScriptBuilder, *names: str) -> None:
    """``… -> … (all these nibbles are 0)``: they add up to 0."""
    for place, name in enumerate(names):
        b.pick(name)
        if place:
            b.add()
    b.unary(op.OP_NOT)


def _is_system(b: ScriptBuilder) -> None:
    """``… -> … (instr.0 is 3, instr.1 is 7)``: SYSTEM, and bit 0 of rd is 0."""
    _equals(b, "instr.0", 3)
    _equals(b, "instr.1", 7)
    b.binary(op.OP_BOOLAND)


def _is_legal_system(b: ScriptBuilder) -> None:
    """``… -> … (kernel mode, and MRET, csrrw or csrrs)``; MRET is 0x30200073. ECALL is not asked for here."""
    b.pick("instr.7")  # a CSR 0x800..0x803 is named, and the instruction is csrrs with rs1 x0, or csrrw with rd x0
    b.equals_number(8)
    b.pick("instr.5")
    less_than(b, 4)
    b.binary(op.OP_BOOLAND)
    _equals(b, "instr.3", 2)
    b.pick("instr.4")
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    _equals(b, "funct3", 1)
    _equals(b, "instr.1", 7)
    b.binary(op.OP_BOOLAND)
    b.pick("instr.2")
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
    b.binary(op.OP_BOOLAND)
    _equals(b, "instr.7", 3)  # MRET
    _equals(b, "instr.5", 2)
    b.binary(op.OP_BOOLAND)
    _is_zero(b, "instr.2", "instr.3", "instr.4")
    b.binary(op.OP_BOOLAND)
    _equals(b, "instr.1", 7)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
    b.pick("instr.6")
    b.pick("mode.0")
    b.add()
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    _equals(b, "high", 7)
    b.binary(op.OP_BOOLAND)
    _equals(b, "instr.0", 3)
    b.binary(op.OP_BOOLAND)


def _is_legal_low_3(b: ScriptBuilder) -> None:
    """LOAD, OP-IMM, STORE, OP, BRANCH; the families exclude each other."""
    b.pick("high")
    b.unary(op.OP_NOT)  # LOAD: not 3, 6, 7
    _equals(b, "funct3", 3)
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    b.pick("funct3")
    less_than(b, 6)
    b.binary(op.OP_BOOLAND)
    _equals(b, "high", 2)  # STORE: 0, 1, 2
    b.pick("funct3")
    less_than(b, 3)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
    _equals(b, "high", 6)  # BRANCH: not 2, 3
    b.pick("funct3")
    b.within(2, 4)
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
    _equals(b, "high", 1)  # OP-IMM without a funct7: not 1, 5
    _is_one_of(b, "funct3", 1, 5)
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
    _is_one_of(b, "high", 1, 3)  # OP-IMM and OP with one
    _is_legal_funct7(b)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)


def _is_legal_funct7(b: ScriptBuilder) -> None:
    """OP (high = 3): funct7 0 or 1, or 0x20 with funct3 0 or 5. Shifts of OP-IMM (high = 1): 0, or 0x20 with 5."""
    b.pick("instr.7")
    b.unary(op.OP_NOT)
    b.pick("instr.6")  # bits 27:25 below 2 for OP, 0 for OP-IMM
    b.pick("high")
    b.unary(op.OP_1ADD)
    b.binary(op.OP_LESSTHAN)
    b.binary(op.OP_BOOLAND)
    _equals(b, "instr.7", 4)
    b.pick("instr.6")
    less_than(b, 2)
    b.binary(op.OP_BOOLAND)
    _equals(b, "funct3", 5)
    b.pick("funct3")
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLOR)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)


def _is_legal_low_7(b: ScriptBuilder) -> None:
    """AUIPC, LUI, JALR (funct3 0)."""
    _is_one_of(b, "high", 1, 3)
    _equals(b, "high", 6)
    b.pick("funct3")
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)


def _is_legal_low_15(b: ScriptBuilder) -> None:
    """JAL, FENCE (funct3 0, 1)."""
    _equals(b, "high", 6)
    b.pick("high")
    b.unary(op.OP_NOT)
    b.pick("funct3")
    less_than(b, 2)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
