"""Leaves about the control words after the step, in kernel mode.

window is 0 and stays so; fuel, epc, cause and uwin stay as they are. ECALL halts with exit code a0 (which the statement
has in rs1), a fault with its cause. After any other step halted and exit_code are as before. That a step did not halt
the machine can be seen without its outcome: it was halted before, or is not after.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble, won
from bitvm.leaves.statement import AFTER, BEFORE, GROUPS, OPERATION, nibble, nibbles_of
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, choose_number, greater_than, pick_indexed, require_index, times_power_of_two
from lvm.outcome import HALTED_BY_ECALL, HALTED_BY_FAULT, Outcome

_UNCONDITIONAL = 9
"""In the order of `before`, halted and exit_code come first; from here on words never change."""


def _window_body(b: ScriptBuilder) -> None:
    """Win iff any nibble of window is not 0."""
    for index in range(3):
        b.roll(f"after_window.{index}")
        if index:
            b.add()
    b.verify()


def _window_wins(words: Words) -> tuple[int, ...] | None:
    return won(words["after_window"] != 0)


def _unchanged_body(b: ScriptBuilder) -> None:
    """Win iff the hinted nibble differs and is of a word that never changes, or the step did not halt the machine."""
    count = GROUPS[BEFORE].nibbles
    b.from_alt()
    require_index(b, count, "index")
    for group in (BEFORE, AFTER):
        b.pick("index")
        pick_indexed(b, GROUPS[group].nibble_names[:count], group)
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()
    greater_than(b, _UNCONDITIONAL - 1)
    b.pick("halted.0")
    b.binary(op.OP_BOOLOR)
    b.pick("after_halted.0")
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLOR)
    b.verify()


def _unchanged_wins(words: Words) -> tuple[int, ...] | None:
    first = 0 if words["halted"] != 0 or words["after_halted"] == 0 else _UNCONDITIONAL
    pairs = enumerate(zip(nibbles_of(BEFORE, words), nibbles_of(AFTER, words), strict=False))
    index = next((i for i, (old, new) in pairs if old != new and i >= first), None)
    return None if index is None else (index,)


def _halted_body(b: ScriptBuilder) -> None:
    """Win iff outcome is not HALTED and halted is not 0 for RETIRE, 1 for ECALL, 2 for any other."""
    b.roll("outcome.0")
    b.pick_at(0)
    b.verify()
    b.number(0)
    b.pick("outcome.0")
    b.equals_number(Outcome.ECALL)
    choose_number(b, HALTED_BY_ECALL, HALTED_BY_FAULT)
    b.roll("outcome.0")
    b.equals_number(Outcome.RETIRE)
    choose(b, "expected")
    b.roll("after_halted.0")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _halted_wins(words: Words) -> tuple[int, ...] | None:
    outcome = words["outcome"]
    expected = {int(Outcome.RETIRE): 0, int(Outcome.ECALL): HALTED_BY_ECALL}.get(outcome, HALTED_BY_FAULT)
    return won(outcome != Outcome.HALTED and words["after_halted"] != expected)


def _exit_code_body(b: ScriptBuilder) -> None:
    """Win iff the machine halts and the hinted nibble of exit_code is not that of a0, or of the cause (one nibble)."""
    b.from_alt()
    require_index(b, 8, "index")
    b.pick("index")
    pick_indexed(b, [f"after_exit_code.{i}" for i in range(8)], "claimed")
    b.to_alt()
    b.roll("outcome.0")
    b.pick_at(0)
    b.equals_number(Outcome.RETIRE)
    b.unary(op.OP_NOT)
    b.pick("outcome.0")
    b.binary(op.OP_BOOLAND)
    b.verify()
    _cause(b)
    b.number(0)
    b.pick("index")
    b.unary(op.OP_NOT)
    choose(b, "digit of cause")
    b.roll("index")
    pick_indexed(b, [f"rs1.{i}" for i in range(8)], "digit of a0")
    b.roll("digit of cause")
    b.roll("outcome.0")
    b.equals_number(Outcome.ECALL)
    choose(b, "true")
    b.from_alt()
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _cause(b: ScriptBuilder) -> None:
    """``… outcome.0 -> … outcome.0 cause``: 2, 3, 4 to 0, 1, 2; 6 to 0; 7, 8, 9, 10 to 4, 5, 6, 7."""
    b.pick("outcome.0")
    b.pick_at(0)
    greater_than(b, Outcome.TARGET_MISALIGNED)
    b.sub()
    b.number(2)
    b.sub()
    b.pick("outcome.0")
    b.equals_number(Outcome.TARGET_MISALIGNED)
    times_power_of_two(b, 2)
    b.sub("cause")


def _exit_code_wins(words: Words) -> tuple[int, ...] | None:
    outcome, claimed = words["outcome"], words["after_exit_code"]
    if outcome in (Outcome.HALTED, Outcome.RETIRE):
        return None
    if outcome == Outcome.ECALL:
        index = differing_nibble(claimed, words["rs1"])
        return None if index is None else (index,)
    source = Outcome.PC_MISALIGNED if outcome == Outcome.TARGET_MISALIGNED else outcome
    cause = source - (source > Outcome.TARGET_MISALIGNED) - 2
    digits = [cause, *[0] * 7]
    index = next((i for i in range(8) if nibble(claimed, i) != digits[i]), None)
    return None if index is None else (index,)


CONTROL_LEAVES = (
    ExecutionLeaf("control.window", "window is not 0 after the step", (AFTER,), (), _window_body, _window_wins),
    ExecutionLeaf(
        "control.unchanged",
        "a control word changed that the step leaves alone",
        (AFTER, BEFORE),
        ("index",),
        _unchanged_body,
        _unchanged_wins,
    ),
    ExecutionLeaf(
        "control.halted",
        "halted is not what the outcome makes of it",
        (OPERATION, AFTER),
        (),
        _halted_body,
        _halted_wins,
    ),
    ExecutionLeaf(
        "control.exit_code",
        "the step halts the machine, but exit_code is neither a0 nor the cause",
        (OPERATION, AFTER),
        ("index",),
        _exit_code_body,
        _exit_code_wins,
    ),
)
