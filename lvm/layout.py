"""Where everything lives in the machine's state, in one place.

The state is 2^28 little-endian 32-bit words, 1 GiB of byte addresses, cut into 2^24 leaves of 64 bytes under a
Merkle tree of height 24. Heights count from the leaves (0) up to the root (24). All addresses are byte addresses.

=====================  ==================================================================================
0x00000000-0x3F7FFFFF  program image, data, heap, stacks
0x3F800000-0x3FBFFFFF  INPUT: word 0 is the byte length, then the bytes (a height-16 subtree), read-only
0x3FC00000-0x3FFFFFFF  CPU (a height-16 subtree): registers and control leaf, no access by programs
=====================  ==================================================================================

A program in user mode sees 1 MiB of that, its window: address a means `window | a`, and a >= 1 MiB is out of reach.
"""

from typing import Final

HASH_BYTES: Final = 24
"""Width of a tree hash: BLAKE3 cut to 192 bits, so that a collision costs 2^96."""

TREE_HEIGHT: Final = 24
WORD_BYTES: Final = 4
LEAF_BYTES: Final = 64
LEAF_WORDS: Final = LEAF_BYTES // WORD_BYTES
LEAF_COUNT: Final = 1 << TREE_HEIGHT
STATE_BYTES: Final = LEAF_COUNT * LEAF_BYTES

PAGE_BYTES: Final = 4096
"""Unit of copy-on-write sharing between snapshots: 64 leaves. No part of the machine's meaning."""
PAGE_WORDS: Final = PAGE_BYTES // WORD_BYTES
PAGE_LEAVES: Final = PAGE_BYTES // LEAF_BYTES

INPUT_BASE: Final = 0x3F80_0000
INPUT_END: Final = 0x3FC0_0000
INPUT_MAX_BYTES: Final = INPUT_END - INPUT_BASE - WORD_BYTES
CPU_BASE: Final = 0x3FC0_0000
CPU_END: Final = 0x4000_0000

REGISTERS_BASE: Final = 0x3FFF_FF00
"""Word of register x0; x1..x31 follow."""
CONTROL_BASE: Final = 0x3FFF_FF80
"""The control leaf; its words are in `lvm.control`."""

RANGE_HEIGHT: Final = 16
"""INPUT and CPU are each one subtree of this height; Boot replaces the node just above both."""
INPUT_NODE: Final = INPUT_BASE // (LEAF_BYTES << RANGE_HEIGHT)
CPU_NODE: Final = CPU_BASE // (LEAF_BYTES << RANGE_HEIGHT)

FETCH_END: Final = CPU_BASE
"""First address that cannot be fetched (INPUT can)."""
LOAD_END: Final = CPU_BASE
"""First address that cannot be loaded (INPUT can)."""
STORE_END: Final = INPUT_BASE
"""First address that cannot be stored to."""

USER_BYTES: Final = 1 << 20
"""Size of a window; user mode has no address at or above it."""
WINDOW_MASK: Final = 0x3FF0_0000
"""Bits that a window can have: windows are aligned to their size."""
TRAP_VECTOR: Final = 0x100
"""Where the kernel goes on after a trap."""

WORD_MASK: Final = 0xFFFF_FFFF
STATE_WORD_MASK: Final = 0x3FFF_FFFC
"""Takes any 32-bit value to the address of a word of the state: reads are total."""


def register_address(index: int) -> int:
    """Byte address of register `x<index>`, 0 <= index < 32."""
    return REGISTERS_BASE + WORD_BYTES * index


def physical_word(window: int, address: int) -> int:
    """Byte address of the word of the state that any 32-bit `address` lies in, seen through `window` (kernel: 0)."""
    return (window | address) & STATE_WORD_MASK
