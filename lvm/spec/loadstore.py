"""Loads and stores: manual, chapter RV32I, "Load and Store Instructions". Memory is little-endian.

Both work on the aligned word that holds the address. A load takes its part of that word and extends it; a store puts
its part into that word and leaves the rest, so a store, too, writes one whole word. Alignment and access are checked
before: `WIDTH` is the number of bytes an access touches, and its address must be a multiple of it.
"""

from collections.abc import Callable, Mapping

from lvm.isa import sign_extend
from lvm.spec.word import u32


def _part(mem: int, address: int) -> int:
    """Return the word with the byte at `address` brought down to bits 7:0."""
    return mem >> 8 * (address & 3)


def _merge(mem: int, address: int, rs2: int, mask: int) -> int:
    """Return the word with the bits under `mask`, moved up to the byte at `address`, taken from rs2."""
    shift = 8 * (address & 3)
    return mem & ~(mask << shift) | (rs2 & mask) << shift


def lb(mem: int, address: int) -> int:
    """Load a byte, sign-extended."""
    return u32(sign_extend(_part(mem, address), 8))


def lh(mem: int, address: int) -> int:
    """Load a halfword, sign-extended."""
    return u32(sign_extend(_part(mem, address), 16))


def lw(mem: int, address: int) -> int:  # noqa: ARG001 - one shape for the family
    """Load a word."""
    return mem


def lbu(mem: int, address: int) -> int:
    """Load a byte, zero-extended."""
    return _part(mem, address) & 0xFF


def lhu(mem: int, address: int) -> int:
    """Load a halfword, zero-extended."""
    return _part(mem, address) & 0xFFFF


def sb(mem: int, address: int, rs2: int) -> int:
    """Store the low byte of rs2."""
    return _merge(mem, address, rs2, 0xFF)


def sh(mem: int, address: int, rs2: int) -> int:
    """Store the low halfword of rs2."""
    return _merge(mem, address, rs2, 0xFFFF)


def sw(mem: int, address: int, rs2: int) -> int:  # noqa: ARG001 - one shape for the family
    """Store rs2."""
    return rs2


LOAD: Mapping[str, Callable[[int, int], int]] = {"lb": lb, "lh": lh, "lw": lw, "lbu": lbu, "lhu": lhu}
"""Loads: rd from the memory word and the address."""

STORE: Mapping[str, Callable[[int, int, int], int]] = {"sb": sb, "sh": sh, "sw": sw}
"""Stores: the new memory word from the old one, the address and rs2."""

WIDTH: Mapping[str, int] = {"lb": 1, "lbu": 1, "lh": 2, "lhu": 2, "lw": 4, "sb": 1, "sh": 2, "sw": 4}
"""Bytes that an access touches."""
