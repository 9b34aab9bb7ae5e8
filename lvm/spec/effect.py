"""What one instruction does to the state, before it is done."""

from __future__ import annotations

from typing import NamedTuple

from lvm.outcome import Outcome


class Effect(NamedTuple):
    """The consequence of one step: the next pc, the one data word it writes, if any, and its outcome."""

    next_pc: int
    write_address: int | None = None
    """Byte address of the word written: a register's or a memory word's."""
    written: int = 0
    address: int = 0
    """Effective address of a load or store."""
    outcome: Outcome = Outcome.RETIRE
