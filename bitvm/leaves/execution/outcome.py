"""Leaves about the claimed outcome: each judges some rules of `step` and wins if the outcome contradicts them.

A rule is judged on its own words, not on the rules before it. So a leaf wins in one of two ways: its rule applies, but
the outcome is of a *later* rule; or the outcome is its rule's, but the rule does not apply. A true outcome is the first
rule that applies, and does neither. A wrong outcome o where f is true does one of them: if f < o, the leaf of f sees
that f applies; if f > o, the leaf of o sees that o does not. No leaf needs the signed address, since the rules about
accesses are judged on rs1 + imm (`access`). Only the leaf of mode reads window: the others presume mode.

This module has the rules up to the jumps, and the numbers that are no outcome of an instruction.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, won
from bitvm.leaves.execution.branch import branch_code, branch_taken, is_taken
from bitvm.leaves.execution.legality import classify
from bitvm.leaves.statement import ALLOWANCE, FLOW, OPERATION, STATUS, WINDOWS, mode_of
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    bit_1,
    choose,
    greater_than,
    is_even,
    is_multiple_of_4,
    look_up,
    times_power_of_two,
)
from lvm import isa
from lvm.layout import CPU_BASE, FETCH_END, INPUT_BASE, USER_BYTES
from lvm.outcome import Outcome

# ---- before the instruction is known


def _high_bits(b: ScriptBuilder, *names: str) -> None:
    """``… digits … -> … number``: bits 31..20 of a word, given by the names of its three nibbles, the lowest first."""
    lower, top = names[:-1], names[-1]
    b.roll(top, "high bits")
    for name in reversed(lower):
        times_power_of_two(b, 4)
        b.roll(name)
        b.add("high bits")


def _mode_body(b: ScriptBuilder) -> None:
    """Win iff mode is not the number of ``0, INPUT_BASE - 1, CPU_BASE - 1`` that window exceeds."""
    _high_bits(b, "window.0", "window.1", "window.2")
    b.pick_at(0)
    greater_than(b, 0, "mode")
    for base in (INPUT_BASE, CPU_BASE):
        b.pick("high bits")
        greater_than(b, (base >> 20) - 1)
        b.add("mode")
    b.roll("mode.0")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _mode_wins(words: Words) -> tuple[int, ...] | None:
    return won(words["mode"] != mode_of(words["window"]))


def _halted_body(b: ScriptBuilder) -> None:
    """Win iff ``(halted != 0) == (outcome != HALTED)``."""
    for name in ("outcome.0", "halted.0"):
        b.roll(name)
        b.unary(op.OP_0NOTEQUAL)
    b.binary(op.OP_NUMEQUAL)
    b.verify()


def _halted_wins(words: Words) -> tuple[int, ...] | None:
    return won((words["halted"] != 0) == (words["outcome"] != Outcome.HALTED))


def _fuel_body(b: ScriptBuilder) -> None:
    """User mode, and fuel is 0, so that its nibbles add up to 0."""
    b.roll("fuel.7", "fuel")
    for index in reversed(range(7)):
        b.roll(f"fuel.{index}")
        b.add("fuel")
    b.unary(op.OP_NOT)
    b.pick("mode.0")
    b.binary(op.OP_BOOLAND, "applies")
    _require_contradiction(b, Outcome.FUEL)


def _fuel_wins(words: Words) -> tuple[int, ...] | None:
    return won(_contradicts(words, Outcome.FUEL, words["mode"] != 0 and words["fuel"] == 0))


_FETCH_ENDS = (FETCH_END, USER_BYTES, USER_BYTES, 0)
"""By mode, the first address that cannot be fetched; multiples of 1 MiB."""


def _fetch_body(b: ScriptBuilder) -> None:
    """Win iff outcome > FUEL and, cut to 4 (the word was fetched), differs from what pc and mode say: 2, 3 or 4."""
    b.roll("outcome.0")
    b.pick_at(0)
    greater_than(b, Outcome.FUEL)
    b.verify()
    b.number(Outcome.ILLEGAL)
    b.binary(op.OP_MIN)
    b.to_alt()
    with b.part("compare"):
        b.roll("mode.0")
        look_up(b, [end >> 20 for end in _FETCH_ENDS], "end")
        _high_bits(b, "pc.5", "pc.6", "pc.7")
        b.binary(op.OP_LESSTHANOREQUAL, "fault")
    b.number(Outcome.ILLEGAL)
    b.apply(op.OP_SWAP, 2, "", "fault")
    b.sub()
    b.number(Outcome.PC_MISALIGNED)
    b.roll("pc.0")
    is_multiple_of_4(b)
    choose(b, "expected")
    b.from_alt()
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _fetch_wins(words: Words) -> tuple[int, ...] | None:
    expected = Outcome.FETCH_FAULT if words["pc"] >= _FETCH_ENDS[min(words["mode"], 3)] else Outcome.ILLEGAL
    if words["pc"] % 4:
        expected = Outcome.PC_MISALIGNED
    outcome = words["outcome"]
    return won(outcome > Outcome.FUEL and min(outcome, Outcome.ILLEGAL) != expected)


# ---- the instruction


def _decode_body(b: ScriptBuilder) -> None:
    """Win iff outcome >= ILLEGAL and, cut to 6 (neither ILLEGAL nor ECALL), differs from what instr and mode say."""
    b.roll("outcome.0")
    b.pick_at(0)
    greater_than(b, Outcome.FETCH_FAULT)
    b.verify()
    b.number(Outcome.TARGET_MISALIGNED)
    b.binary(op.OP_MIN)
    b.number(Outcome.ILLEGAL)
    b.sub("outcome")
    b.to_alt()
    classify(b)
    b.from_alt()
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _decode_wins(words: Words) -> tuple[int, ...] | None:
    entry = isa.encoding_of(words["instr"])
    expected = Outcome.TARGET_MISALIGNED
    if entry is None or (words["mode"] != 0 and entry.name in isa.PRIVILEGED):
        expected = Outcome.ILLEGAL
    elif entry.name == "ecall":
        expected = Outcome.ECALL
    outcome = words["outcome"]
    return won(outcome >= Outcome.ILLEGAL and min(outcome, Outcome.TARGET_MISALIGNED) != expected)


def _require_contradiction(b: ScriptBuilder, outcome: Outcome) -> None:
    """``… outcome.0 … applies -> …``; fails unless the rule of `outcome` and the claim contradict each other.

    They do if the claim is the outcome or a later one, and is later exactly if the rule applies.
    """
    b.pick("outcome.0")
    greater_than(b, outcome)
    b.binary(op.OP_NUMEQUAL)
    b.verify()
    b.pick("outcome.0")
    greater_than(b, outcome - 1)
    b.verify()


def _contradicts(words: Words, outcome: Outcome, applies: bool) -> bool:
    return words["outcome"] > outcome if applies else words["outcome"] == outcome


def _jump_body(b: ScriptBuilder) -> None:
    """Not a branch. JAL: imm[1] is bit 1 of instr.5. JALR: bit 1 of rs1.0 + instr.5. Others do not jump."""
    b.pick("instr.1")
    decode.is_jump(b)
    b.pick_at(0)
    b.pick("instr.0")
    b.equals_number(3)
    b.binary(op.OP_BOOLAND)
    b.unary(op.OP_NOT)
    b.verify()  # BRANCH is judged elsewhere
    b.pick("rs1.0")
    b.number(0)
    b.pick("instr.0")
    b.equals_number(7)
    choose(b, "base")
    b.pick("instr.5")
    b.add("target")
    bit_1(b)
    b.binary(op.OP_BOOLAND, "applies")
    _require_contradiction(b, Outcome.TARGET_MISALIGNED)


def _jump_wins(words: Words) -> tuple[int, ...] | None:
    instr, applies = words["instr"], False
    if instr >> 4 & 7 == 6:
        if instr & 0xF == 3:
            return None
        base = words["rs1"] if instr & 0xF == 7 else 0
        applies = (base + (instr >> 20)) & 2 != 0
    return won(_contradicts(words, Outcome.TARGET_MISALIGNED, applies))


def _branch_body(b: ScriptBuilder) -> None:
    """BRANCH: taken, and imm[1], which is bit 0 of instr.2, is set."""
    b.roll("outcome.0")
    b.to_alt()
    decode.require_opcode(b, isa.BRANCH)
    b.roll("instr.2")
    is_even(b)
    b.unary(op.OP_NOT, "misaligned")
    b.to_alt()
    branch_code(b)
    b.drop(b.depth("written.7"))
    branch_taken(b)
    b.from_alt()
    b.binary(op.OP_BOOLAND, "applies")
    b.from_alt()
    b.apply(op.OP_SWAP, 2, "outcome.0", "applies")
    _require_contradiction(b, Outcome.TARGET_MISALIGNED)


def _branch_wins(words: Words) -> tuple[int, ...] | None:
    applies = is_taken(words) and decode.imm_b(words) & 2 != 0
    contradiction = _contradicts(words, Outcome.TARGET_MISALIGNED, applies)
    return won(decode.opcode(words) == isa.BRANCH and contradiction)


def _other_body(b: ScriptBuilder) -> None:
    """Neither LOAD nor STORE, but the outcome is one of theirs, or above RETIRE."""
    b.roll("outcome.0")
    b.pick_at(0)
    greater_than(b, Outcome.TARGET_MISALIGNED)
    b.verify()
    b.equals_number(Outcome.RETIRE)
    b.unary(op.OP_NOT)
    b.verify()
    with b.part("decode"):
        decode.is_load_or_store(b)
    b.unary(op.OP_NOT)
    b.verify()


def _other_wins(words: Words) -> tuple[int, ...] | None:
    outcome = words["outcome"]
    claimed = outcome > Outcome.TARGET_MISALIGNED and outcome != Outcome.RETIRE
    return won(claimed and decode.opcode(words) not in (isa.LOAD, isa.STORE))


OUTCOME_LEAVES = (
    ExecutionLeaf(
        "outcome.mode",
        "mode is not what window says: kernel, or user mode by what the window covers",
        (OPERATION, WINDOWS),
        (),
        _mode_body,
        _mode_wins,
    ),
    ExecutionLeaf(
        "outcome.halted",
        "outcome is HALTED on a running machine, or not HALTED on a halted one",
        (OPERATION, STATUS),
        (),
        _halted_body,
        _halted_wins,
    ),
    ExecutionLeaf(
        "outcome.fuel",
        "user mode goes on without fuel, or FUEL is claimed in kernel mode or with fuel left",
        (OPERATION, ALLOWANCE),
        (),
        _fuel_body,
        _fuel_wins,
    ),
    ExecutionLeaf(
        "outcome.fetch",
        "outcome is not what pc and mode say: misaligned, outside of what may be fetched, or fetched",
        (OPERATION, FLOW),
        (),
        _fetch_body,
        _fetch_wins,
    ),
    ExecutionLeaf(
        "outcome.decode",
        "outcome is not what instr and mode say: illegal, ECALL, or another instruction",
        (OPERATION,),
        (),
        _decode_body,
        _decode_wins,
    ),
    ExecutionLeaf(
        "outcome.jump",
        "JAL or JALR jumps to a misaligned target and goes on, or no jump does and TARGET_MISALIGNED is claimed",
        (OPERATION,),
        (),
        _jump_body,
        _jump_wins,
    ),
    ExecutionLeaf(
        "outcome.branch",
        "a branch to a misaligned target is taken and goes on, or is not and TARGET_MISALIGNED is claimed",
        (OPERATION,),
        (),
        _branch_body,
        _branch_wins,
    ),
    ExecutionLeaf(
        "outcome.other",
        "the outcome is a load's or store's, or none at all, but the instruction is neither",
        (OPERATION,),
        (),
        _other_body,
        _other_wins,
    ),
)
