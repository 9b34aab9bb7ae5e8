"""Whether a branch is taken: asked by the leaf on misaligned targets and by the one on next_pc."""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.execution.decode import funct3
from bitvm.leaves.statement import Words
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, greater_than, less_than, reduce, split_bit
from bitvm.script.u32 import digits_of, weighted_sum
from lvm.isa import sign_extend


def signs_differ(b: ScriptBuilder) -> None:
    """``… rs1.7 … rs2.7 … -> … differ``: whether exactly one of rs1 and rs2 is negative, read as signed words.

    Then, and only then, the signed order of two words is the opposite of their unsigned order.
    """
    for name in ("rs1.7", "rs2.7"):
        b.pick(name)
        greater_than(b, 7)
    b.binary(op.OP_NUMNOTEQUAL, "differ")


def branch_code(b: ScriptBuilder) -> None:
    """``… instr.3 … operands … | -> … | … inverted ordered opposite``: what funct3 says about the condition.

    inverted: bit 0, the condition is negated. ordered: bit 2, it is ``rs1 < rs2``, else ``rs1 == rs2``. opposite: the
    order asked for is signed (bit 1 is 0), and the signs differ.
    """
    with b.part("decode"):
        b.roll("instr.3", "funct3")
        reduce(b, 8)
        split_bit(b, 4, "ordered", "low")
        split_bit(b, 2, "unsigned", "inverted")
        for name in ("inverted", "ordered"):
            b.roll(name)
            b.to_alt()
        b.unary(op.OP_NOT, "signed")
        signs_differ(b)
        b.binary(op.OP_BOOLAND, "opposite")
        b.to_alt()


def branch_taken(b: ScriptBuilder) -> None:
    """``operands | … inverted ordered opposite -> taken | …``: 0 or 1. The operands are on top and consumed."""
    with b.part("compare"):
        weighted_sum(b, digits_of(plus=["rs1"], minus=["rs2"], discard=["written"]), modulo=False)
        b.pick_at(0)
        less_than(b, 0)
        b.from_alt()
        b.binary(op.OP_NUMNOTEQUAL, "less")
        b.roll("sum")
        b.unary(op.OP_NOT, "equal")
        b.from_alt()
        choose(b, "condition")
        b.from_alt()
        b.binary(op.OP_NUMNOTEQUAL, "taken")


def is_taken(words: Words) -> bool:
    """Twin of `branch_taken`; the illegal funct3 2 and 3 mean 0 and 1."""
    rs1, rs2, code = words["rs1"], words["rs2"], funct3(words)
    if code < 4:
        condition = rs1 == rs2
    elif code < 6:
        condition = sign_extend(rs1, 32) < sign_extend(rs2, 32)
    else:
        condition = rs1 < rs2
    return condition != bool(code & 1)
