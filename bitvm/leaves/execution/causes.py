"""The cause of a fault or trap: asked by the leaf on cause and by the one on exit_code."""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.statement import Words
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, look_up
from lvm.outcome import CAUSE, Outcome

_CAUSES = (0, *(CAUSE[outcome] for outcome in Outcome if outcome not in (Outcome.HALTED, Outcome.RETIRE)))
"""By outcome; HALTED has none, and RETIRE and what is no outcome count as the last fault."""


def cause_digit(b: ScriptBuilder) -> None:
    """``… outcome … index … -> … outcome … index … digit``: the nibble of the cause. All causes but FUEL's have one."""
    with b.part("cause"):
        b.pick("outcome.0")
        b.equals_number(Outcome.FUEL)
        b.pick("index")
        b.equals_number(1)
        b.binary(op.OP_BOOLAND, "digit above")
        b.pick("outcome.0")
        look_up(b, [cause & 0xF for cause in _CAUSES], "lowest digit")
        b.roll("digit above")
        b.pick("index")
        b.unary(op.OP_NOT)
        choose(b, "digit of cause")


def cause_of(words: Words) -> int:
    """The cause that the outcome stands for."""
    return _CAUSES[min(words["outcome"], Outcome.STORE_FAULT)]
