"""Leaves about the pc of the state after.

A step that retires goes on at pc + 4, at the target of a jump, or, after MRET, at epc. One that does not stays where it
is, but a trap of user mode goes to the trap vector.
"""

from __future__ import annotations

from dataclasses import replace

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble, won
from bitvm.leaves.execution.branch import branch_code, branch_taken, is_taken
from bitvm.leaves.statement import FLOW, OPERATION, RETURN_PC
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, fold, is_even, pick_indexed, require_index, split_bit, times_power_of_two
from bitvm.script.u32 import digits_of, weighted_sum
from lvm import isa
from lvm.layout import TRAP_VECTOR, WORD_MASK
from lvm.outcome import Outcome

_NEXT_PC = [f"next_pc.{i}" for i in range(8)]

_VECTOR_PLACE = 2
"""Which nibble of TRAP_VECTOR is 1; all others are 0."""


def _sequential_body(b: ScriptBuilder) -> None:
    """Win iff the step neither traps nor jumps nor is MRET, and ``pc + 4 * retired - next_pc`` is not 0."""
    decode.is_trap(b)
    decode.is_mret(b)
    b.binary(op.OP_BOOLOR, "elsewhere")
    b.roll("outcome.0")
    b.equals_number(Outcome.RETIRE, "retired")
    b.apply(op.OP_TUCK, 2, "retired", "elsewhere", "retired")
    with b.part("decode"):
        b.roll("instr.1")
        decode.is_jump(b)
    b.binary(op.OP_BOOLAND)
    b.binary(op.OP_BOOLOR)
    b.unary(op.OP_NOT)
    b.verify()
    times_power_of_two(b, 2)
    b.to_alt()
    lowest, *others = digits_of(plus=["pc"], minus=["next_pc"])
    digits = [replace(lowest, plus=("pc.0", "retired")), *others]
    weighted_sum(b, digits, modulo=True, ranges={"retired": (0, 4)})
    b.verify()


def _sequential_wins(words: Words) -> tuple[int, ...] | None:
    retired = decode.retired(words)
    jumps = retired and words["instr"] >> 4 & 7 == 6
    if jumps or decode.trapped(words) or decode.returned(words):
        return None
    return won(words["next_pc"] != words["pc"] + 4 * retired & WORD_MASK)


def _trap_body(b: ScriptBuilder) -> None:
    """Win iff user mode traps and the hinted nibble of next_pc is not that of 0x100, where nibble 2 is 1."""
    b.from_alt()
    require_index(b, 8, "index")
    b.pick_at(0)
    pick_indexed(b, _NEXT_PC, "claimed")
    b.apply(op.OP_SWAP, 2, "claimed", "index")
    b.equals_number(_VECTOR_PLACE, "true")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()
    decode.is_trap(b)
    b.verify()


def _trap_wins(words: Words) -> tuple[int, ...] | None:
    index = differing_nibble(words["next_pc"], TRAP_VECTOR)
    return None if index is None or not decode.trapped(words) else (index,)


def _mret_body(b: ScriptBuilder) -> None:
    """Win iff MRET retired and the hinted nibbles of next_pc and epc differ."""
    decode.is_mret(b)
    b.verify()
    b.from_alt()
    require_index(b, 8, "index")
    b.pick_at(0)
    pick_indexed(b, [f"epc.{i}" for i in range(8)], "epc")
    b.apply(op.OP_SWAP, 2, "epc", "index")
    pick_indexed(b, _NEXT_PC, "claimed")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _mret_wins(words: Words) -> tuple[int, ...] | None:
    index = differing_nibble(words["next_pc"], words["epc"])
    return None if index is None or not decode.returned(words) else (index,)


def _branch_body(b: ScriptBuilder) -> None:
    """Win iff ``pc + (imm if taken else 4) - next_pc`` is not 0."""
    decode.require_retired(b)
    decode.require_opcode(b, isa.BRANCH)
    decode.immediate_b(b)
    branch_code(b)
    b.drop(b.depth("written.7"))
    branch_taken(b)
    decode.immediate_number(b)
    b.number(4)
    b.roll("taken")
    choose(b, "distance")
    b.to_alt()
    lowest, *others = digits_of(plus=["pc"], minus=["next_pc"])
    digits = [replace(lowest, plus=("pc.0", "distance")), *others]
    weighted_sum(b, digits, modulo=True, ranges={"distance": (-4096, 4094)})
    b.verify()


def _branch_wins(words: Words) -> tuple[int, ...] | None:
    distance = decode.imm_b(words) if is_taken(words) else 4
    executed = decode.retired(words) and decode.opcode(words) == isa.BRANCH
    return won(executed and words["next_pc"] != words["pc"] + distance & WORD_MASK)


def _jal_body(b: ScriptBuilder) -> None:
    """Win iff ``pc + imm - next_pc`` is not 0.

    imm = 2^16 instr.4 + 2^12 instr.3 + 2^8 (instr.7 mod 8) + 2^4 instr.6 + instr.5, but bit 0 of instr.5 has the weight
    2^11 instead of 1; less 2^20 if bit 3 of instr.7 is set.
    """
    decode.require_retired(b)
    decode.require_opcode(b, isa.JAL)
    with b.part("immediate"):
        b.roll("instr.5")
        b.pick_at(0)
        is_even(b, "even")
        b.apply(op.OP_TUCK, 2, "even", "", "even")
        b.add()
        b.unary(op.OP_1SUB, "imm.0")
        b.to_alt()
        b.roll("instr.6", "imm.1")
        b.to_alt()
        b.unary(op.OP_NOT)
        times_power_of_two(b, 3)
        b.roll("instr.7")
        split_bit(b, 8, "sign", "imm.2")
        b.roll_at(2)
        b.add("imm.2")
        for name in ("imm.2", "instr.3", "instr.4", "sign"):
            b.roll(name)
            b.to_alt()
    digits = digits_of(plus=["pc"], minus=["next_pc"])
    for index, name in enumerate(("imm.0", "imm.1", "imm.2", "instr.3", "instr.4")):
        digits[index] = replace(digits[index], plus=(f"pc.{index}", name))
    digits[5] = replace(digits[5], minus=("next_pc.5", "sign"))
    weighted_sum(b, digits, modulo=True, ranges={"sign": (0, 1)})
    b.verify()


def _jal_wins(words: Words) -> tuple[int, ...] | None:
    executed = decode.retired(words) and decode.opcode(words) == isa.JAL
    return won(executed and words["next_pc"] != words["pc"] + decode.imm_j(words) & WORD_MASK)


def _jalr_body(b: ScriptBuilder) -> None:
    """Win iff ``rs1 + imm - odd - next_pc`` is not 0, where odd is bit 0 of rs1 + imm."""
    decode.require_retired(b)
    decode.require_opcode(b, isa.JALR)
    b.pick("instr.5")
    b.pick("rs1.0")
    b.add()
    fold(b, 16)  # 0..30 onto 0..16
    is_even(b)
    b.unary(op.OP_NOT, "odd")
    b.to_alt()
    decode.immediate_i(b)
    b.drop(b.depth("written.7"))
    digits = decode.with_immediate(digits_of(plus=["rs1"], minus=["next_pc"], discard=["written", "rs2"]))
    digits[0] = replace(digits[0], minus=("next_pc.0", "odd"))
    weighted_sum(b, digits, modulo=True, ranges=decode.IMMEDIATE_RANGES | {"odd": (0, 1)})
    b.verify()


def _jalr_wins(words: Words) -> tuple[int, ...] | None:
    executed = decode.retired(words) and decode.opcode(words) == isa.JALR
    target = words["rs1"] + decode.imm_i(words) & WORD_MASK & ~1
    return won(executed and words["next_pc"] != target)


NEXT_PC_LEAVES = (
    ExecutionLeaf(
        "next_pc.sequential",
        "next_pc is not pc + 4, or not pc where the step halts the machine or finds it halted",
        (FLOW, OPERATION),
        (),
        _sequential_body,
        _sequential_wins,
    ),
    ExecutionLeaf(
        "next_pc.trap",
        "user mode traps, and next_pc is not the trap vector",
        (OPERATION, FLOW),
        ("index",),
        _trap_body,
        _trap_wins,
    ),
    ExecutionLeaf(
        "next_pc.mret",
        "next_pc after MRET is not epc",
        (OPERATION, FLOW, RETURN_PC),
        ("index",),
        _mret_body,
        _mret_wins,
    ),
    ExecutionLeaf(
        "next_pc.branch",
        "next_pc is not what the branch says: its target, or pc + 4",
        (OPERATION, FLOW),
        (),
        _branch_body,
        _branch_wins,
    ),
    ExecutionLeaf("next_pc.jal", "next_pc is not pc + imm", (FLOW, OPERATION), (), _jal_body, _jal_wins),
    ExecutionLeaf("next_pc.jalr", "next_pc is not rs1 + imm made even", (OPERATION, FLOW), (), _jalr_body, _jalr_wins),
)
