"""What one instruction does to the state, before it is done."""

from __future__ import annotations

from typing import NamedTuple

from lvm.outcome import Outcome


class Effect(NamedTuple):
    """The consequence of one step: the next pc, the one data word it writes, if any, and its outcome.

    Fuel, and what a trap or a halt does to the control words, follow from the outcome alone.
    """

    next_pc: int
    write_address: int | None = None
    """Byte address in the state of the word written: a register's or a memory word's."""
    written: int = 0
    address: int = 0
    """Effective address of a load or store, as the program sees it."""
    outcome: Outcome = Outcome.RETIRE
    control: tuple[int, int] | None = None
    """Byte address and new value of the one control word beside pc that a CSR write or MRET sets."""
