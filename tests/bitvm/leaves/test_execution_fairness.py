"""Leaves as a thief sees them: odd hints, odd encodings, statements that fit together badly.

The twin says whether a leaf may accept; the script has to agree on any statement, honest or not.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import chain, combinations
from random import Random

import pytest
from leafbench import (
    LEAVES,
    RESULTS,
    assert_caught,
    body_accepts,
    body_accepts_items,
    body_items,
    lies,
    some_hints,
)
from steps import EDGE_WORDS, random_instruction, random_step

from bitvm.leaves.execution.base import ExecutionLeaf
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES, find_winning, winning_leaves
from bitvm.leaves.statement import FIELDS, GROUPS, words_of
from bitvm.script.builder import encode_number
from lvm import isa

NAMES = sorted(LEAVES)


def dishonest(rng: Random, count: int) -> Iterator[dict[str, int]]:
    """Statements in which anything may be wrong, reads and outcome included, but not all at once."""
    for _ in range(count):
        words = words_of(random_step(rng))
        for field in rng.sample(sorted(FIELDS), rng.choice((1, 2, 3, 8))):
            words[field] = random_field(rng, field)
        if rng.random() < 0.5:
            words["outcome"] = rng.choice((11, 11, rng.randrange(16)))
        yield words


@cache
def winning_statements() -> Mapping[str, list[dict[str, int]]]:
    """Some statements against which each leaf wins."""
    rng = Random(2)
    found: dict[str, list[dict[str, int]]] = {name: [] for name in NAMES}
    while min(map(len, found.values())) < 6:
        for instruction in (*isa.INSTRUCTIONS, None):
            for _, lie in lies(words_of(random_step(rng, instruction)), rng):
                for leaf, _ in winning_leaves(lie):
                    found[leaf.name].append(lie)
    return found


def near(rng: Random, leaf: ExecutionLeaf, count: int) -> Iterator[dict[str, int]]:
    """Statements a bit or two away from one against which the leaf wins, mostly in the instruction."""
    fields = [field.name for group in leaf.groups for field in GROUPS[group].fields]
    for _ in range(count):
        words = dict(rng.choice(winning_statements()[leaf.name]))
        for _ in range(rng.choice((0, 1, 1, 2))):
            field = "instr" if "instr" in fields and rng.random() < 0.5 else rng.choice(fields)
            words[field] ^= 1 << FIELDS[field].shift + rng.randrange(4 * FIELDS[field].nibbles)
        yield words


def random_field(rng: Random, field: str) -> int:
    parts = FIELDS[field]
    if field == "instr" and rng.random() < 0.8:
        return random_instruction(rng, rng.choice(sorted(isa.INSTRUCTIONS))) ^ rng.choice((0, 1 << rng.randrange(32)))
    if parts.nibbles == 8 and rng.random() < 0.5:
        return rng.choice(EDGE_WORDS)
    return rng.getrandbits(4 * parts.nibbles) << parts.shift


def padded(rng: Random, item: bytes) -> bytes:
    """The same number in another encoding that consensus reads: superfluous zero bytes, a negative zero."""
    if not item:
        return rng.choice((b"", b"\x00", b"\x80", b"\x00\x00", b"\x00\x80", b"\x00\x00\x00\x00"))
    sign, body = item[-1] & 0x80, item[:-1] + bytes([item[-1] & 0x7F])
    longer = body + bytes(rng.randrange(5 - len(body)))
    return longer[:-1] + bytes([longer[-1] | sign])


@pytest.mark.parametrize("name", NAMES)
def test_script_and_twin_agree_on_anything(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    for words in chain(dishonest(rng, 40), near(rng, leaf, 100)):
        hints = leaf.wins(words)
        if hints is not None:
            assert body_accepts(leaf, words, hints), (hints, words)
            continue
        for choice in some_hints(leaf, rng, 3):
            assert not body_accepts(leaf, words, choice), (choice, words)


@pytest.mark.parametrize("name", NAMES)
def test_encodings_do_not_matter(name: str) -> None:
    leaf, rng = LEAVES[name], Random(name)
    verdicts = set()
    for words in chain(dishonest(rng, 20), near(rng, leaf, 60)):
        won = leaf.wins(words)
        hints = won if won is not None else some_hints(leaf, rng, 1)[0]
        items = [padded(rng, item) for item in [*body_items(leaf, words), *map(encode_number, hints)]]
        assert body_accepts_items(leaf, items) == (won is not None), (hints, words, items)
        verdicts.add(won is not None)
    assert verdicts == {False, True}


@pytest.mark.parametrize("name", [name for name in NAMES if LEAVES[name].hints])
def test_hints_that_are_no_numbers_fail(name: str) -> None:
    leaf, words = LEAVES[name], winning_statements()[name][0]
    hints = leaf.wins(words)
    assert hints is not None
    good = [*body_items(leaf, words), *map(encode_number, hints)]
    assert body_accepts_items(leaf, good)
    for hint in range(len(hints)):
        for odd in (b"\x00" * 5, b"\x01\x00\x00\x00\x00", bytes(20), bytes(520)):
            items = list(good)
            items[len(items) - len(hints) + hint] = odd
            assert not body_accepts_items(leaf, items)


def test_true_statements_are_safe_from_every_hint() -> None:
    rng = Random(4)
    for number in range(60):
        words = words_of(random_step(rng))
        for leaf in EXECUTION_LEAVES:
            assert leaf.wins(words) is None
            for choice in some_hints(leaf, rng, 60 if number % 15 == 0 else 6):
                assert not body_accepts(leaf, words, choice), (leaf.name, choice, words)


def test_every_lie_is_caught() -> None:
    rng = Random(5)
    seen = set()
    rare = ["csrrw", "csrrs"] * 12 + ["rem", "remu"] * 20  # each CSR; division by zero
    for name in [*isa.INSTRUCTIONS] * 3 + rare + [None] * 80:
        words = words_of(random_step(rng, name))
        seen |= assert_caught(words, lies(words, rng), rng, hints=3)
    assert seen == set(NAMES)


def test_every_combination_of_lies_is_caught() -> None:
    """Two or more wrong results never hide each other (invariant 5)."""
    rng = Random(6)
    for _ in range(40):
        words = words_of(random_step(rng))
        single = {field: lie[field] for field, lie in lies(words, rng)}
        pairs = list(combinations(RESULTS, 2))
        for fields in [*pairs, *(rng.sample(sorted(RESULTS), rng.randint(3, len(RESULTS))) for _ in range(30))]:
            lie = words | {field: single[field] for field in fields}
            found = find_winning(lie)
            assert found is not None, (fields, lie)
            if rng.random() < 0.05:
                assert body_accepts(found[0], lie, found[1])


def test_every_wrong_outcome_is_caught() -> None:
    rng = Random(7)
    for _ in range(120):
        words = words_of(random_step(rng))
        for outcome in range(16):
            won = [leaf.name for leaf, _ in winning_leaves(words | {"outcome": outcome})]
            assert any(name.startswith("outcome.") for name in won) == (outcome != words["outcome"])


def test_find_winning_opens_as_little_as_possible() -> None:
    words = words_of(random_step(Random(8), "add"))
    found = find_winning(words | {"after_window": 1 << 20, "after_fuel": words["after_fuel"] ^ 1})
    assert found is not None
    assert found[0].name == "control.window"
    assert find_winning(words) is None


def test_names_are_unique() -> None:
    assert len(LEAVES) == len(EXECUTION_LEAVES)
