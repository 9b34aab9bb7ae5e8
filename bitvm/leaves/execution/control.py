"""Leaves about window, halted and exit_code after the step.

window is what it was, but a trap of user mode sets it to 0 and MRET to uwin. In kernel mode ECALL halts with exit code
a0 (which the statement has in rs1), a fault with its cause. After any other step halted and exit_code are as before.
That a step did not halt the machine can be seen without its outcome: it was halted before, or is not after.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble, won
from bitvm.leaves.execution.causes import cause_digit, cause_of
from bitvm.leaves.statement import GROUPS, OPERATION, STATUS, WINDOWS, nibble_names, nibbles_of
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, choose_number, pick_indexed, require_index
from lvm.outcome import HALTED_BY_ECALL, HALTED_BY_FAULT, Outcome

_STATUS_NIBBLES = GROUPS[STATUS].nibbles // 2
"""Those of halted and exit_code before the step; those after it follow, in the same order."""


def _window_body(b: ScriptBuilder) -> None:
    """Win iff the hinted nibble of window is not 0 after a trap, uwin's after MRET, else as before."""
    b.from_alt()
    require_index(b, 3, "index")
    b.number(0)
    for name in ("uwin", "window"):
        b.pick("index")
        pick_indexed(b, [f"{name}.{i}" for i in range(3)], name)
    decode.is_mret(b)
    choose(b, "untrapped")
    decode.is_trap(b)
    choose(b, "true")
    b.roll("index")
    pick_indexed(b, [f"after_window.{i}" for i in range(3)], "claimed")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _window_wins(words: Words) -> tuple[int, ...] | None:
    true = words["uwin"] if decode.returned(words) else words["window"]
    index = differing_nibble(words["after_window"] >> 20, 0 if decode.trapped(words) else true >> 20)
    return None if index is None else (index,)


def _unchanged_body(b: ScriptBuilder) -> None:
    """Win iff the step did not halt the machine, and the hinted nibble differs."""
    names = nibble_names(STATUS)
    b.from_alt()
    require_index(b, _STATUS_NIBBLES, "index")
    for status in (names[:_STATUS_NIBBLES], names[_STATUS_NIBBLES:]):
        b.pick("index")
        pick_indexed(b, status, "")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()
    b.pick("halted.0")
    b.pick("after_halted.0")
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLOR)
    b.verify()


def _unchanged_wins(words: Words) -> tuple[int, ...] | None:
    if words["halted"] == 0 and words["after_halted"] != 0:
        return None
    nibbles = nibbles_of(STATUS, words)
    pairs = zip(nibbles[:_STATUS_NIBBLES], nibbles[_STATUS_NIBBLES:], strict=True)
    index = next((i for i, (old, new) in enumerate(pairs) if old != new), None)
    return None if index is None else (index,)


def _halted_body(b: ScriptBuilder) -> None:
    """Win iff outcome is not HALTED and halted is not 0 for RETIRE or in user mode, 1 for ECALL, 2 for any other."""
    b.roll("outcome.0")
    b.pick_at(0)
    b.verify()
    b.number(0)
    b.pick("outcome.0")
    b.equals_number(Outcome.ECALL)
    choose_number(b, HALTED_BY_ECALL, HALTED_BY_FAULT)
    b.roll("outcome.0")
    b.equals_number(Outcome.RETIRE)
    b.roll("mode.0")
    b.binary(op.OP_BOOLOR)
    choose(b, "expected")
    b.roll("after_halted.0")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _halted_wins(words: Words) -> tuple[int, ...] | None:
    outcome = words["outcome"]
    expected = {int(Outcome.RETIRE): 0, int(Outcome.ECALL): HALTED_BY_ECALL}.get(outcome, HALTED_BY_FAULT)
    return won(outcome != Outcome.HALTED and words["after_halted"] != (0 if words["mode"] else expected))


def _exit_code_body(b: ScriptBuilder) -> None:
    """Win iff the machine halts and the hinted nibble of exit_code is not that of a0, or of the cause."""
    b.from_alt()
    require_index(b, 8, "index")
    b.pick("outcome.0")
    b.equals_number(Outcome.RETIRE)
    b.pick("mode.0")
    b.binary(op.OP_BOOLOR)
    b.unary(op.OP_NOT)
    b.pick("outcome.0")
    b.binary(op.OP_BOOLAND)
    b.verify()
    b.pick("index")
    pick_indexed(b, [f"rs1.{i}" for i in range(8)], "digit of a0")
    cause_digit(b)
    b.roll("digit of a0")
    b.apply(op.OP_SWAP, 2, "digit of a0", "digit of cause")
    b.roll("outcome.0")
    b.equals_number(Outcome.ECALL)
    choose(b, "true")
    b.roll("index")
    pick_indexed(b, [f"after_exit_code.{i}" for i in range(8)], "claimed")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _exit_code_wins(words: Words) -> tuple[int, ...] | None:
    outcome = words["outcome"]
    if words["mode"] != 0 or outcome in (Outcome.HALTED, Outcome.RETIRE):
        return None
    true = words["rs1"] if outcome == Outcome.ECALL else cause_of(words)
    index = differing_nibble(words["after_exit_code"], true)
    return None if index is None else (index,)


CONTROL_LEAVES = (
    ExecutionLeaf(
        "control.window",
        "window is not what it was, 0 after a trap, uwin after MRET",
        (OPERATION, WINDOWS),
        ("index",),
        _window_body,
        _window_wins,
    ),
    ExecutionLeaf(
        "control.unchanged",
        "halted or exit_code changed, but the step did not halt the machine",
        (STATUS,),
        ("index",),
        _unchanged_body,
        _unchanged_wins,
    ),
    ExecutionLeaf(
        "control.halted",
        "halted is not what the outcome makes of it",
        (OPERATION, STATUS),
        (),
        _halted_body,
        _halted_wins,
    ),
    ExecutionLeaf(
        "control.exit_code",
        "the step halts the machine, but exit_code is neither a0 nor the cause",
        (OPERATION, STATUS),
        ("index",),
        _exit_code_body,
        _exit_code_wins,
    ),
)
