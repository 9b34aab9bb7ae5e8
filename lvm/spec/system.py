"""Memory ordering and environment calls: manual, chapter RV32I, "Memory Ordering", "Environment Call", and "Zifencei".

There is one hart without caches, so fences order nothing. ECALL in kernel mode halts the machine. EBREAK and the CSR
instructions do not exist in this machine: they are illegal words, in `lvm.isa`.
"""

from lvm.outcome import CAUSE, HALTED_BY_ECALL, HALTED_BY_FAULT, Outcome


def ecall(a0: int) -> tuple[int, int]:
    """Halt with a0 as the exit code: returns (halted, exit_code)."""
    return HALTED_BY_ECALL, a0


def fault(outcome: Outcome) -> tuple[int, int]:
    """Halt with the cause as the exit code: returns (halted, exit_code). In kernel mode nobody handles a fault."""
    return HALTED_BY_FAULT, CAUSE[outcome]


NO_OPERATION = frozenset({"fence", "fence.i"})
"""Instructions that only go on to the next one."""
