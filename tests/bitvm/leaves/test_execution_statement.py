"""The statement: what is signed, and that it can be read back."""

from random import Random

import pytest
from steps import random_step

from bitvm.leaves.statement import (
    ACCESS,
    ALLOWANCE,
    FIELDS,
    FLOW,
    GROUPS,
    OPERATION,
    RETURN_PC,
    STATUS,
    TRAP_CAUSE,
    WINDOWS,
    Mode,
    StatementError,
    mode_of,
    nibble_names,
    nibbles_of,
    words_from_nibbles,
    words_of,
)
from lvm.layout import CPU_BASE, INPUT_BASE, USER_BYTES


def test_groups_have_the_sizes_that_step_is_costed_with() -> None:
    assert {name: group.nibbles for name, group in GROUPS.items()} == {
        OPERATION: 34,
        FLOW: 16,
        ACCESS: 16,
        STATUS: 18,
        WINDOWS: 12,
        RETURN_PC: 16,
        TRAP_CAUSE: 16,
        ALLOWANCE: 16,
    }


@pytest.mark.parametrize(
    ("window", "mode"),
    [
        (0, Mode.KERNEL),
        (USER_BYTES, Mode.USER),
        (INPUT_BASE - USER_BYTES, Mode.USER),
        (INPUT_BASE, Mode.USER_OF_INPUT),
        (CPU_BASE - USER_BYTES, Mode.USER_OF_INPUT),
        (CPU_BASE, Mode.USER_OF_NOTHING),
        (0x3FF0_0000, Mode.USER_OF_NOTHING),
    ],
)
def test_mode_says_what_the_window_covers(window: int, mode: Mode) -> None:
    assert mode_of(window) == mode


def test_every_nibble_of_every_field_is_signed_once() -> None:
    signed = [name for group in GROUPS for name in nibble_names(group)]
    assert sorted(signed) == sorted(name for field in FIELDS.values() for name in field.nibble_names)
    assert len(FIELDS) == sum(len(group.fields) for group in GROUPS.values())


def test_a_control_word_and_the_word_after_are_in_one_group() -> None:
    for group in GROUPS.values():
        names = {field.name for field in group.fields}
        assert {name.removeprefix("after_") for name in names if name.startswith("after_")} <= names
    before, after = nibble_names(STATUS)[:9], nibble_names(STATUS)[9:]
    assert after == tuple(f"after_{name}" for name in before)


def test_words_are_read_back() -> None:
    rng = Random(1)
    for _ in range(50):
        words = words_of(random_step(rng))
        read: dict[str, int] = {}
        for group in GROUPS:
            read |= words_from_nibbles(group, nibbles_of(group, words))
        assert read == words


def test_a_nibble_is_where_its_name_says() -> None:
    words = words_of(random_step(Random(2))) | {"instr": 0x76543210, "outcome": 11, "window": 0xABC00000}
    operation = dict(zip(nibble_names(OPERATION), nibbles_of(OPERATION, words), strict=True))
    windows = dict(zip(nibble_names(WINDOWS), nibbles_of(WINDOWS, words), strict=True))
    assert [operation[f"instr.{i}"] for i in range(8)] == list(range(8))
    assert operation["outcome.0"] == 11
    assert [windows[f"window.{i}"] for i in range(3)] == [0xC, 0xB, 0xA]


@pytest.mark.parametrize(
    ("field", "word"),
    [("outcome", 16), ("outcome", -1), ("rs1", 1 << 32), ("pc", -1), ("window", 0x3FF0_0001), ("uwin", 1 << 32)],
)
def test_a_word_that_does_not_fit_is_refused(field: str, word: int) -> None:
    words = words_of(random_step(Random(3))) | {field: word}
    group = next(name for name, group in GROUPS.items() if field in {part.name for part in group.fields})
    with pytest.raises(StatementError, match=field):
        nibbles_of(group, words)


@pytest.mark.parametrize("nibbles", [(0,) * 33, (0,) * 35, (16, *(0,) * 33), (-1, *(0,) * 33)])
def test_nibbles_that_are_no_group_are_refused(nibbles: tuple[int, ...]) -> None:
    with pytest.raises(StatementError, match="operation has 34 nibbles"):
        words_from_nibbles(OPERATION, nibbles)
