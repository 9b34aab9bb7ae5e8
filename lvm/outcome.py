"""What a step can come to: exactly one outcome a step, the first rule of `step` that applies."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Outcome(IntEnum):
    """The rules of `step` in their order of priority: of all that apply, the smallest decides."""

    HALTED = 0
    """`halted != 0`: nothing changes."""
    FUEL = 1
    """User mode without fuel."""
    PC_MISALIGNED = 2
    """pc is not a multiple of 4."""
    FETCH_FAULT = 3
    """pc lies where nothing may be fetched, in user mode by its window or by its own 1 MiB."""
    ILLEGAL = 4
    """The word fetched is no instruction of this machine (EBREAK included), or none of user mode."""
    ECALL = 5
    """In kernel mode the machine halts with exit code a0, in user mode it traps."""
    TARGET_MISALIGNED = 6
    """A jump, or a branch that is taken, to an address that is not a multiple of 4."""
    LOAD_MISALIGNED = 7
    LOAD_FAULT = 8
    STORE_MISALIGNED = 9
    STORE_FAULT = 10
    RETIRE = 11
    """The instruction completes."""


CAUSE: Mapping[Outcome, int] = MappingProxyType(
    {
        Outcome.FUEL: 24,
        Outcome.PC_MISALIGNED: 0,
        Outcome.FETCH_FAULT: 1,
        Outcome.ILLEGAL: 2,
        Outcome.ECALL: 8,
        Outcome.TARGET_MISALIGNED: 0,
        Outcome.LOAD_MISALIGNED: 4,
        Outcome.LOAD_FAULT: 5,
        Outcome.STORE_MISALIGNED: 6,
        Outcome.STORE_FAULT: 7,
    }
)
"""Cause number of each trap (RISC-V privileged spec, table of mcause; 24 is a custom code).

In user mode each of these outcomes traps, with this number as `cause`. In kernel mode a fault halts the machine with
`halted = HALTED_BY_FAULT` and this number as its exit code; ECALL halts it with a0.
"""

HALTED_BY_ECALL = 1
"""Value of the control word `halted` after ECALL."""
HALTED_BY_FAULT = 2
"""Value of the control word `halted` after a fault."""
