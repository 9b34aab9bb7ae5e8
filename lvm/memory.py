"""The machine's words: 1 GiB of state, sparse, copy-on-write by pages of 4096 bytes.

Registers and control words are words like any other here; what a program may touch is the interpreter's business.
Addresses are byte addresses of words: multiples of 4 below 2^30. Words are unsigned 32-bit integers.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping
from types import MappingProxyType

from lvm.layout import LEAF_BYTES, LEAF_WORDS, PAGE_BYTES, PAGE_LEAVES, PAGE_WORDS, STATE_BYTES, WORD_BYTES

_ZERO_PAGE = bytes(PAGE_BYTES)
_SWAP = sys.byteorder == "big"


class AddressError(ValueError):
    """The address names no word of the state."""


def check_word_address(address: int) -> None:
    """Raise AddressError unless `address` is a multiple of 4 below 2^30."""
    if not 0 <= address < STATE_BYTES or address % WORD_BYTES:
        raise AddressError(f"{address:#x} is not a word address: a multiple of 4 below {STATE_BYTES:#x}")


class Memory:
    """All words of one machine, zero at first, and the set of leaves that changed."""

    def __init__(self) -> None:
        """Start with all words zero and no leaf dirty."""
        self._pages: dict[int, array[int] | memoryview] = {}
        self._own: dict[int, array[int]] = {}
        self.dirty: set[int] = set()

    def read_word(self, address: int) -> int:
        """Return the word at `address`. The address is not checked: this is the interpreter's inner loop."""
        page = self._pages.get(address >> 12)
        return 0 if page is None else page[address >> 2 & 1023]

    def write_word(self, address: int, value: int) -> None:
        """Set the word at `address` and mark its leaf dirty. The address is not checked."""
        page = self._own.get(address >> 12)
        if page is None:
            page = self._take(address >> 12)
        page[address >> 2 & 1023] = value
        self.dirty.add(address >> 6)

    def read_leaf(self, index: int) -> bytes:
        """Return the 64 bytes of a leaf, little-endian words."""
        page = self._pages.get(index // PAGE_LEAVES)
        if page is None:
            return bytes(LEAF_BYTES)
        start = index % PAGE_LEAVES * LEAF_WORDS
        return _little_endian(page[start : start + LEAF_WORDS])

    def load(self, address: int, data: bytes) -> None:
        """Write bytes from any byte address on; raises AddressError where they do not fit into the state."""
        if not 0 <= address <= STATE_BYTES - len(data):
            raise AddressError(f"{len(data)} bytes at {address:#x} do not fit below {STATE_BYTES:#x}")
        start = 0
        while start < len(data):
            number, offset = divmod(address + start, PAGE_BYTES)
            part = data[start : start + PAGE_BYTES - offset]
            page = self._pages.get(number)
            raw = bytearray(_ZERO_PAGE if page is None else _little_endian(page))
            raw[offset : offset + len(part)] = part
            self._own[number] = self._pages[number] = _words(bytes(raw))
            first, last = address + start, address + start + len(part) - 1
            self.dirty.update(range(first // LEAF_BYTES, last // LEAF_BYTES + 1))
            start += len(part)

    def clear(self, start: int, end: int) -> None:
        """Set all words of the whole pages in `start..end` to zero; both are multiples of 4096."""
        first, last = start // PAGE_BYTES, end // PAGE_BYTES
        for number in [number for number in self._pages if first <= number < last]:
            del self._pages[number]
            self._own.pop(number, None)
            self.dirty.update(range(number * PAGE_LEAVES, (number + 1) * PAGE_LEAVES))

    def freeze(self) -> Mapping[int, memoryview]:
        """Return all pages, read-only and never to change: the memory copies a page before it writes again."""
        for number, page in self._own.items():
            self._pages[number] = memoryview(page).toreadonly()
        self._own.clear()
        return MappingProxyType({number: memoryview(page) for number, page in self._pages.items()})

    def thaw(self, pages: Mapping[int, memoryview], dirty: frozenset[int]) -> None:
        """Take over frozen pages and the set of leaves that are dirty with them."""
        self._pages = dict(pages)
        self._own.clear()
        self.dirty = set(dirty)

    def _take(self, number: int) -> array[int]:
        """Make a page this memory's own to write."""
        page = self._pages.get(number)
        own = array("I", _ZERO_PAGE if page is None else page.tobytes())
        self._pages[number] = self._own[number] = own
        return own


def _words(data: bytes) -> array[int]:
    """Little-endian bytes to words."""
    words = array("I", data)
    if _SWAP:
        words.byteswap()
    return words


def _little_endian(words: array[int] | memoryview) -> bytes:
    """Words to little-endian bytes."""
    return _words(words.tobytes()).tobytes() if _SWAP else words.tobytes()


if array("I").itemsize * PAGE_WORDS != PAGE_BYTES:  # pragma: no cover
    raise ImportError("lvm needs a platform whose C unsigned int has 32 bits")
