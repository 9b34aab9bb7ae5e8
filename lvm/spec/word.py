"""32-bit words as numbers: the two ways to read one, and how to get back."""

from lvm.layout import WORD_MASK


def u32(value: int) -> int:
    """Take any integer to its word: the value mod 2^32."""
    return value & WORD_MASK


def s32(word: int) -> int:
    """Read a word as a two's complement number, -2^31 .. 2^31 - 1."""
    return word - 0x1_0000_0000 if word & 0x8000_0000 else word
