"""Memory ordering, environment calls, CSRs and traps.

Manual, "Memory Ordering", "Environment Call", "Zifencei", "Zicsr", and volume II, "Trap-Return Instructions"; cut down
to one trap vector and four CSRs.

There is one hart without caches, so fences order nothing. In kernel mode ECALL and faults halt the machine, for nobody
handles them; in user mode both trap to the kernel. The functions give what becomes of the control words.
"""

from collections.abc import Mapping

from lvm.control import CAUSE_ADDRESS, EPC_ADDRESS, EXIT_ADDRESS, HALTED_ADDRESS, PC_ADDRESS, WINDOW_ADDRESS
from lvm.isa import UWIN
from lvm.layout import TRAP_VECTOR, WINDOW_MASK
from lvm.outcome import CAUSE, HALTED_BY_ECALL, HALTED_BY_FAULT, Outcome

ControlWords = Mapping[int, int]
"""New values of control words, by their byte address."""


def halt(outcome: Outcome, a0: int) -> ControlWords:
    """Halt the machine in kernel mode: by ECALL with a0 as the exit code, by a fault with its cause."""
    if outcome is Outcome.ECALL:
        return {HALTED_ADDRESS: HALTED_BY_ECALL, EXIT_ADDRESS: a0}
    return {HALTED_ADDRESS: HALTED_BY_FAULT, EXIT_ADDRESS: CAUSE[outcome]}


def trap(outcome: Outcome, pc: int) -> ControlWords:
    """Leave user mode: the kernel goes on at the trap vector and finds where and why."""
    return {EPC_ADDRESS: pc, CAUSE_ADDRESS: CAUSE[outcome], WINDOW_ADDRESS: 0, PC_ADDRESS: TRAP_VECTOR}


def csr_value(csr: int, rs1: int) -> int:
    """Return what CSRRW leaves in the CSR: uwin keeps the bits that a window can have, the others keep all."""
    return rs1 & WINDOW_MASK if csr == UWIN else rs1


NO_OPERATION = frozenset({"fence", "fence.i"})
"""Instructions that only go on to the next one."""
