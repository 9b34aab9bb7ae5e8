"""Leaves about AND, OR, XOR and their immediates: these work nibble by nibble, so one wrong nibble is enough.

The challenger's hint points at it. The script looks at that nibble alone: with A = x AND y, OR is x + y - A and XOR is
x + y - 2A.
"""

from __future__ import annotations

from collections.abc import Callable

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble
from bitvm.leaves.statement import OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import and_nibbles, choose_number, greater_than, pick_indexed, reduce, require_index
from lvm import isa
from lvm.layout import WORD_MASK

_XOR, _OR, _AND = 4, 6, 7
"""funct3."""


def _register_operand(b: ScriptBuilder) -> None:
    """``… index -> … nibble of rs2``; fails if instr is of the M extension."""
    decode.require_base_funct7(b)
    pick_indexed(b, [f"rs2.{i}" for i in range(8)], "operand")


def _immediate_operand(b: ScriptBuilder) -> None:
    """``… index -> … nibble of the sign-extended I-immediate``: of imm's three, or the sign's."""
    b.number(3)
    b.binary(op.OP_MIN, "place")
    b.pick("instr.7")
    greater_than(b, 7)
    choose_number(b, 15, 0, "imm.3")
    for index in (2, 1, 0):
        b.roll(f"instr.{5 + index}", f"imm.{index}")
    b.roll("place")
    pick_indexed(b, [f"imm.{i}" for i in range(4)], "operand")


def _body(opcode: int, operand: Callable[[ScriptBuilder], None]) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff the hinted nibble of written is not that of the operation."""
        decode.require_retired(b)
        decode.require_opcode_and_rd(b, opcode)
        b.from_alt()
        require_index(b, 8, "index")
        b.pick("index")
        operand(b)
        b.pick("index")
        pick_indexed(b, [f"rs1.{i}" for i in range(8)], "rs1")
        b.apply(op.OP_2DUP, 2, "operand", "rs1", "", "")
        b.add("sum")
        b.to_alt()
        with b.part("and"):
            and_nibbles(b)
        b.from_alt()
        b.apply(op.OP_SWAP, 2, "sum", "and")
        b.roll("index")
        pick_indexed(b, [f"written.{i}" for i in range(8)], "claimed")
        _require_wrong(b)

    return body


def _require_wrong(b: ScriptBuilder) -> None:
    """``… instr.3 … sum and claimed -> …``; fails if claimed is the result, or funct3 is not 4, 6 or 7.

    The results lie in the order of funct3, AND on top; in the place of 5 lies what is claimed, which is never wrong.
    """
    b.to_alt()
    b.apply(op.OP_2DUP, 2, "sum", "and", "", "")
    b.sub("or")
    b.apply(op.OP_2DUP, 2, "and", "or", "", "")
    b.apply(op.OP_SWAP, 2, "", "")
    b.sub("xor")
    b.from_alt()
    b.rename("claimed")
    b.roll("or")
    b.roll("and")
    b.roll("instr.3")
    reduce(b, 8)
    b.pick_at(0)
    greater_than(b, 3)
    b.verify()
    b.number(7)
    b.apply(op.OP_SWAP, 2, "", "")
    b.sub()
    b.apply(op.OP_PICK, 1, "result")
    b.pick("claimed")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _wins(opcode: int, operand: Callable[[Words], int]) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        if decode.opcode(words) != opcode or not decode.executed_op_or_op_imm(words, _XOR, _OR, _AND):
            return None
        rs1, other = words["rs1"], operand(words)
        true = {_XOR: rs1 ^ other, _OR: rs1 | other, _AND: rs1 & other}[decode.funct3(words)]
        index = differing_nibble(words["written"], true)
        return None if index is None else (index,)

    return wins


LOGIC_LEAVES = (
    ExecutionLeaf(
        "written.logic",
        "written is not rs1 AND, OR, XOR rs2",
        (OPERATION,),
        ("index",),
        _body(isa.OP, _register_operand),
        _wins(isa.OP, lambda words: words["rs2"]),
    ),
    ExecutionLeaf(
        "written.logic_imm",
        "written is not rs1 AND, OR, XOR imm",
        (OPERATION,),
        ("index",),
        _body(isa.OP_IMM, _immediate_operand),
        _wins(isa.OP_IMM, lambda words: decode.imm_i(words) & WORD_MASK),
    ),
)
