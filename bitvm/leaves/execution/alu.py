"""Leaves about a written sum: add, sub, addi, lui, auipc, and the link of jal and jalr.

Each sums signed digits (`u32.weighted_sum`) of everything that must cancel out and wins if the sum is not 0 mod 2^32.
"""

from __future__ import annotations

from dataclasses import replace

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble, won
from bitvm.leaves.statement import FLOW, OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    greater_than,
    is_value_or_plus_8,
    pick_indexed,
    require_index,
    require_low_3_bits,
    require_number,
)
from bitvm.script.u32 import digits_of, weighted_sum
from lvm import isa
from lvm.layout import WORD_MASK
from lvm.outcome import Outcome


def _writes_register(words: Words, opcode: int) -> bool:
    """Whether an instruction with this opcode retired and rd is not x0."""
    return decode.retired(words) and decode.opcode(words) == opcode and decode.rd(words) != 0


# ---- add, sub, addi


def _add_body(b: ScriptBuilder) -> None:
    """Win iff ``rs1 + rs2 - written`` is not 0."""
    _require_op(b, 0)
    weighted_sum(b, digits_of(plus=["rs1", "rs2"], minus=["written"]), modulo=True)
    b.verify()


def _sub_body(b: ScriptBuilder) -> None:
    """Win iff ``written + rs2 - rs1`` is not 0."""
    _require_op(b, 4)
    weighted_sum(b, digits_of(plus=["written", "rs2"], minus=["rs1"]), modulo=True)
    b.verify()


def _require_op(b: ScriptBuilder, funct7_high: int) -> None:
    """Retired OP with funct3 0 and ``funct7 = 8 * funct7_high`` of the legal ones, rd not x0; instr is consumed."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, isa.OP)
    decode.require_funct3(b, 0)
    with b.part("decode"):
        if funct7_high == 0:
            decode.require_base_funct7(b)  # 1 is MUL
        b.roll("instr.7")
        require_number(b, funct7_high)
        b.drop(b.depth("written.7"))


def _add_wins(words: Words) -> tuple[int, ...] | None:
    executed = _writes_register(words, isa.OP) and decode.funct3(words) == 0 and decode.funct7(words) == 0
    return won(executed and words["written"] != (words["rs1"] + words["rs2"]) & WORD_MASK)


def _sub_wins(words: Words) -> tuple[int, ...] | None:
    executed = _writes_register(words, isa.OP) and decode.funct3(words) == 0 and words["instr"] >> 28 == 4
    return won(executed and words["written"] != (words["rs1"] - words["rs2"]) & WORD_MASK)


def _addi_body(b: ScriptBuilder) -> None:
    """Win iff ``rs1 + imm - written`` is not 0."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, isa.OP_IMM)
    decode.require_funct3(b, 0)
    decode.immediate_i(b)
    b.drop(b.depth("written.7"))
    digits = digits_of(plus=["rs1"], minus=["written"], discard=["rs2"])
    weighted_sum(b, decode.with_immediate(digits), modulo=True, ranges=decode.IMMEDIATE_RANGES)
    b.verify()


def _addi_wins(words: Words) -> tuple[int, ...] | None:
    executed = _writes_register(words, isa.OP_IMM) and decode.funct3(words) == 0
    return won(executed and words["written"] != (words["rs1"] + decode.imm_i(words)) & WORD_MASK)


# ---- lui, auipc, link


def _lui_body(b: ScriptBuilder) -> None:
    """Win iff the hinted nibble of written is not that of ``instr & 0xFFFFF000``."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, isa.LUI)
    for index in (2, 1, 0):  # on top of instr.3, the rest of instr being consumed
        b.number(0, f"instr.{index}")
    b.from_alt()
    require_index(b, 8, "index")
    b.pick("index")
    pick_indexed(b, [f"written.{i}" for i in range(8)], "claimed")
    b.to_alt()
    pick_indexed(b, [f"instr.{i}" for i in range(8)], "true")
    b.from_alt()
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _lui_wins(words: Words) -> tuple[int, ...] | None:
    index = differing_nibble(words["written"], words["instr"] & 0xFFFF_F000)
    return (index,) if _writes_register(words, isa.LUI) and index is not None else None


def _auipc_body(b: ScriptBuilder) -> None:
    """Win iff ``pc + (instr & 0xFFFFF000) - written`` is not 0."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, isa.AUIPC)
    for index in range(3, 8):
        b.roll(f"instr.{index}")
        b.to_alt()
    b.drop(b.depth("written.7"))
    digits = digits_of(plus=["pc"], minus=["written"], discard=["rs1", "rs2"])
    upper = [replace(digit, plus=(*digit.plus, f"instr.{index}")) for index, digit in enumerate(digits[3:], start=3)]
    weighted_sum(b, [*digits[:3], *upper], modulo=True)
    b.verify()


def _auipc_wins(words: Words) -> tuple[int, ...] | None:
    true = words["pc"] + (words["instr"] & 0xFFFF_F000) & WORD_MASK
    return won(_writes_register(words, isa.AUIPC) and words["written"] != true)


def _link_body(b: ScriptBuilder) -> None:
    """Win iff ``pc + 4 - written`` is not 0; JAL and JALR are 0x6F and 0x67."""
    decode.require_retired(b)
    with b.part("decode"):
        b.roll("instr.0")
        greater_than(b, 3)
        b.verify()
        b.roll("instr.1")
        b.pick_at(0)
        require_low_3_bits(b, 6)
        decode.require_rd(b, 6)
    b.drop(b.depth("written.7"))
    lowest, *others = digits_of(plus=["pc"], minus=["written"], discard=["rs1", "rs2"])
    weighted_sum(b, [replace(lowest, constant=4), *others], modulo=True)
    b.verify()


def _link_wins(words: Words) -> tuple[int, ...] | None:
    jump = words["instr"] & 0xF > 3 and words["instr"] >> 4 & 7 == 6
    executed = decode.retired(words) and jump and decode.rd(words) != 0
    return won(executed and words["written"] != words["pc"] + 4 & WORD_MASK)


# ---- nothing to write


def _zero_body(b: ScriptBuilder) -> None:
    """Win iff the hinted nibble of written is not 0 and the step writes nothing.

    That is: it did not retire, or it is BRANCH or FENCE, or rd is x0 and it is not STORE.
    """
    b.from_alt()
    require_index(b, 8, "index")
    pick_indexed(b, [f"written.{i}" for i in range(8)], "nibble")
    b.verify()
    with b.part("decode"):
        b.roll("outcome.0")
        b.number(Outcome.RETIRE)
        b.binary(op.OP_NUMNOTEQUAL)
        _writes_nothing(b)
        b.binary(op.OP_BOOLOR)
    b.verify()


def _writes_nothing(b: ScriptBuilder) -> None:
    """``… -> … (BRANCH or FENCE, or not STORE with rd x0)``; 0x23 is STORE, 0x63 BRANCH, 0x0F FENCE."""
    for high, low in ((6, 3), (0, 15), (2, 3)):
        b.pick("instr.1")
        is_value_or_plus_8(b, high)
        b.pick("instr.0")
        b.equals_number(low)
        b.binary(op.OP_BOOLAND)
    b.pick("instr.1")
    greater_than(b, 7)
    b.binary(op.OP_BOOLOR)
    b.pick("instr.2")
    b.binary(op.OP_BOOLOR)  # STORE, or rd not x0
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLOR)
    b.binary(op.OP_BOOLOR, "nothing")


def _zero_wins(words: Words) -> tuple[int, ...] | None:
    opcode = decode.opcode(words)
    nothing = opcode in (isa.BRANCH, isa.MISC_MEM) or (opcode != isa.STORE and decode.rd(words) == 0)
    index = differing_nibble(words["written"], 0)
    return (index,) if index is not None and (not decode.retired(words) or nothing) else None


ALU_LEAVES = (
    ExecutionLeaf("written.add", "written is not rs1 + rs2", (OPERATION,), (), _add_body, _add_wins),
    ExecutionLeaf("written.sub", "written is not rs1 - rs2", (OPERATION,), (), _sub_body, _sub_wins),
    ExecutionLeaf("written.addi", "written is not rs1 + imm", (OPERATION,), (), _addi_body, _addi_wins),
    ExecutionLeaf("written.lui", "written is not imm << 12", (OPERATION,), ("index",), _lui_body, _lui_wins),
    ExecutionLeaf("written.auipc", "written is not pc + (imm << 12)", (OPERATION, FLOW), (), _auipc_body, _auipc_wins),
    ExecutionLeaf("written.link", "written by a jump is not pc + 4", (OPERATION, FLOW), (), _link_body, _link_wins),
    ExecutionLeaf(
        "written.zero",
        "a step that writes nothing claims a written word that is not 0",
        (OPERATION,),
        ("index",),
        _zero_body,
        _zero_wins,
    ),
)
