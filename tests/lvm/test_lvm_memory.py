"""The memory against a dictionary of bytes, through writes, loads, clearing and copy-on-write."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lvm.layout import CPU_BASE, PAGE_BYTES, STATE_BYTES
from lvm.memory import AddressError, Memory, check_word_address

ADDRESS = st.one_of(st.integers(0, 5 * PAGE_BYTES), st.integers(CPU_BASE - 2 * PAGE_BYTES, CPU_BASE + PAGE_BYTES))


class MemoryModel(RuleBasedStateMachine):
    """The model is a dictionary from address to byte, and the set of leaves whose bytes were written."""

    @initialize()
    def start(self) -> None:
        self.memory = Memory()
        self.bytes: dict[int, int] = {}
        self.touched: set[int] = set()
        self.saved = [(self.memory.freeze(), dict(self.bytes))]

    def model_bytes(self, address: int, count: int) -> bytes:
        return bytes(self.bytes.get(address + offset, 0) for offset in range(count))

    @rule(address=ADDRESS, value=st.integers(0, 2**32 - 1))
    def write_word(self, address: int, value: int) -> None:
        address &= ~3
        self.memory.write_word(address, value)
        self.bytes |= {address + offset: value >> 8 * offset & 0xFF for offset in range(4)}
        self.touched.add(address // 64)

    @rule(address=ADDRESS, pattern=st.binary(max_size=40), times=st.integers(1, 250))
    def load(self, address: int, pattern: bytes, times: int) -> None:
        data = pattern * times
        self.memory.load(address, data)
        self.bytes |= {address + offset: value for offset, value in enumerate(data)}
        self.touched |= {(address + offset) // 64 for offset in range(len(data))}

    @rule(first=st.integers(0, 5), count=st.integers(0, 3))
    def clear(self, first: int, count: int) -> None:
        start, end = first * PAGE_BYTES, (first + count) * PAGE_BYTES
        self.memory.clear(start, end)
        gone = [address for address in self.bytes if start <= address < end]
        self.touched |= {address // 64 for address in gone if self.bytes[address]}
        for address in gone:
            del self.bytes[address]

    @rule()
    def freeze(self) -> None:
        self.saved.append((self.memory.freeze(), dict(self.bytes)))

    @rule(choice=st.integers(0, 99))
    def thaw(self, choice: int) -> None:
        pages, content = self.saved[choice % len(self.saved)]
        everything = {page * 64 + leaf for page in pages for leaf in range(64)}
        self.memory.thaw(pages, frozenset(everything))
        self.bytes, self.touched = dict(content), set()

    @rule(address=ADDRESS)
    def read(self, address: int) -> None:
        word = address & ~3
        assert self.memory.read_word(word) == int.from_bytes(self.model_bytes(word, 4), "little")
        assert self.memory.read_leaf(address // 64) == self.model_bytes(address & ~63, 64)

    @invariant()
    def dirty_covers_all_that_was_written(self) -> None:
        assert self.memory.dirty >= self.touched
        for leaf in list(self.touched)[:8]:
            assert self.memory.read_leaf(leaf) == self.model_bytes(64 * leaf, 64)

    def teardown(self) -> None:
        for pages, content in self.saved:
            memory = Memory()
            memory.thaw(pages, frozenset())
            for address in list(content)[::7]:
                assert memory.read_leaf(address // 64)[address % 64] == content[address]


MemoryModel.TestCase.settings = settings(max_examples=60, stateful_step_count=25)
TestMemory = MemoryModel.TestCase


def test_frozen_pages_cannot_be_written() -> None:
    memory = Memory()
    memory.write_word(0, 1)
    page = memory.freeze()[0]
    with pytest.raises(TypeError):
        page[0] = 2
    memory.write_word(0, 3)
    assert (page[0], memory.read_word(0)) == (1, 3)


@pytest.mark.parametrize(("address", "size"), [(-1, 1), (STATE_BYTES, 1), (STATE_BYTES - 3, 4)])
def test_load_outside_the_state(address: int, size: int) -> None:
    with pytest.raises(AddressError, match="do not fit"):
        Memory().load(address, bytes(size))


def test_word_addresses() -> None:
    check_word_address(0)
    check_word_address(STATE_BYTES - 4)
    for address in (-4, 1, 2, STATE_BYTES - 1, STATE_BYTES):
        with pytest.raises(AddressError, match="multiple of 4"):
            check_word_address(address)
