"""Leaves about slt, sltu, slti, sltiu: written is 1 if the first operand is less, else 0.

The unsigned order is the sign of a sum of signed digits. The signed order of two words is the same, except that it is
the opposite where exactly one of them is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble
from bitvm.leaves.execution.branch import signs_differ
from bitvm.leaves.statement import OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import greater_than, pick_indexed, read_signed, reduce, require_index
from bitvm.script.u32 import Digit, digits_of, weighted_sum
from lvm import isa
from lvm.isa import sign_extend
from lvm.layout import WORD_MASK


def _head(b: ScriptBuilder, opcode: int) -> None:
    """``instr | index -> rest of instr, unsigned | claimed is_lowest``: slt or sltu, and the nibble to look at."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, opcode)
    b.from_alt()
    require_index(b, 8, "index")
    b.pick("index")
    pick_indexed(b, [f"written.{i}" for i in range(8)], "claimed")
    b.to_alt()
    b.unary(op.OP_NOT, "is_lowest")
    b.to_alt()
    with b.part("decode"):
        b.roll("instr.3")  # funct3 is 2 or 3
        reduce(b, 8)
        b.number(2)
        b.sub("unsigned")
        b.pick_at(0)
        b.within(0, 2)
        b.verify()


def _tail(b: ScriptBuilder, digits: Sequence[Digit], ranges: Mapping[str, tuple[int, int]]) -> None:
    """``operands | claimed is_lowest opposite ->``: win iff the nibble is not that of ``(sum > 0) != opposite``."""
    weighted_sum(b, digits, modulo=False, ranges=ranges)
    greater_than(b, 0, "less")
    b.from_alt()
    b.binary(op.OP_NUMNOTEQUAL, "less")
    b.from_alt()
    b.binary(op.OP_BOOLAND)
    b.from_alt()
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _register_body(b: ScriptBuilder) -> None:
    """Sum rs2 - rs1: the unsigned order; the opposite if funct3 asks for the signed one and the signs differ."""
    _head(b, isa.OP)
    b.unary(op.OP_NOT, "signed")
    decode.require_base_funct7(b)
    signs_differ(b)
    b.binary(op.OP_BOOLAND, "opposite")
    b.to_alt()
    b.drop(b.depth("written.7"))
    _tail(b, digits_of(plus=["rs2"], minus=["rs1"], discard=["written"]), {})


def _immediate_body(b: ScriptBuilder) -> None:
    """Sum imm - rs1 as signed words: the signed order; the opposite if the unsigned is asked and the signs differ."""
    _head(b, isa.OP_IMM)
    with b.part("compare"):
        for name in ("instr.7", "rs1.7"):
            b.pick(name)
            greater_than(b, 7)
        b.binary(op.OP_NUMNOTEQUAL)
        b.binary(op.OP_BOOLAND, "opposite")
        b.to_alt()
    decode.immediate_i(b)
    b.drop(b.depth("written.7"))
    b.roll("rs1.7")
    read_signed(b)
    digits = decode.with_immediate(digits_of(minus=["rs1"], discard=["written", "rs2"]))
    _tail(b, digits, decode.IMMEDIATE_RANGES | {"rs1.7": (-8, 7)})


def _wins(opcode: int, operand: Callable[[Words], int]) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        if decode.opcode(words) != opcode or not decode.executed_op_or_op_imm(words, 2, 3):
            return None
        first, second = words["rs1"], operand(words)
        if decode.funct3(words) == 2:
            first, second = sign_extend(first, 32), sign_extend(second, 32)
        index = differing_nibble(words["written"], int(first < second))
        return None if index is None else (index,)

    return wins


COMPARE_LEAVES = (
    ExecutionLeaf(
        "written.slt",
        "written is not 1 if rs1 < rs2 (slt, sltu) and 0 otherwise",
        (OPERATION,),
        ("index",),
        _register_body,
        _wins(isa.OP, lambda words: words["rs2"]),
    ),
    ExecutionLeaf(
        "written.slti",
        "written is not 1 if rs1 < imm (slti, sltiu) and 0 otherwise",
        (OPERATION,),
        ("index",),
        _immediate_body,
        _wins(isa.OP_IMM, lambda words: decode.imm_i(words) & WORD_MASK),
    ),
)
