"""The control leaf: the part of the state that says where execution stands.

Words 0..7 of the leaf at `layout.CONTROL_BASE` are, in this order, the fields of `Control`; words 8..15 are zero and
never written. The machine is in user mode where `window` is not 0, else in kernel mode. The kernel reads and writes
`uwin`, `fuel`, `epc` and `cause` by CSR instructions and enters user mode by MRET, which takes `epc` and `uwin`; a trap
leaves user mode. No program can give `window` or `uwin` other bits than `layout.WINDOW_MASK`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType

from lvm import isa
from lvm.layout import CONTROL_BASE, WORD_BYTES

_WORDS = struct.Struct("<8I")


@dataclass(frozen=True, slots=True)
class Control:
    """The eight control words, each an unsigned 32-bit integer."""

    pc: int
    """Address of the next instruction; in user mode as the user program sees it."""
    window: int = 0
    """Base of the user window; 0 is kernel mode."""
    fuel: int = 0
    """Steps that user mode may still take."""
    epc: int = 0
    """pc of the instruction that trapped; where MRET goes."""
    cause: int = 0
    """Why it trapped; see `lvm.outcome.CAUSE`."""
    uwin: int = 0
    """Window that the next MRET takes."""
    halted: int = 0
    """0 running, 1 halted by ECALL, 2 halted by a fault; neither happens in user mode."""
    exit_code: int = 0
    """a0 at the ECALL, or the cause of the fault."""

    @classmethod
    def from_words(cls, words: Sequence[int]) -> Control:
        """Take the leaf's first eight words; raises TypeError when there are not exactly eight."""
        return cls(*words)

    def to_words(self) -> tuple[int, ...]:
        """Return the eight words in the order of the leaf."""
        return (self.pc, self.window, self.fuel, self.epc, self.cause, self.uwin, self.halted, self.exit_code)

    def to_bytes(self) -> bytes:
        """Return the first 32 bytes of the leaf, little-endian words."""
        return _WORDS.pack(*self.to_words())


CONTROL_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Control))
"""Names of the control words in the order of the leaf."""
CONTROL_WORDS = len(CONTROL_FIELDS)

PC_ADDRESS, WINDOW_ADDRESS, FUEL_ADDRESS, EPC_ADDRESS, CAUSE_ADDRESS, UWIN_ADDRESS, HALTED_ADDRESS, EXIT_ADDRESS = (
    CONTROL_BASE + WORD_BYTES * index for index in range(CONTROL_WORDS)
)
"""Byte address of each control word."""

CSR_ADDRESS: Mapping[int, int] = MappingProxyType(
    {isa.UWIN: UWIN_ADDRESS, isa.FUEL: FUEL_ADDRESS, isa.EPC: EPC_ADDRESS, isa.CAUSE: CAUSE_ADDRESS}
)
"""The control word that each CSR is, by the CSR's number."""
