"""The whole leaves: one-time signatures, hints, the challenger's signature, under Core's engine.

The soak takes 20,000 random steps through the signed scripts, each both ways; a sample of it runs in every test run.
"""

from random import Random

import pytest
from bitcoin.core.script import OP_IF, OP_NOTIF, CScript
from leafbench import LEAVES, Signed, lies, some_hints
from steps import random_step

from bitvm.leaves.authority import WitnessError
from bitvm.leaves.execution.catalogue import BITVMX_BYTES, EXECUTION_LEAVES, leaf_bytes, winning_leaves
from bitvm.leaves.execution.frame import GROUP_SCHEMES
from bitvm.leaves.statement import GROUPS, words_of
from bitvm.script.builder import MAX_STACK_ITEMS
from lvm import isa

Found = tuple[str, dict[str, int], tuple[int, ...]]


@pytest.fixture(scope="module")
def signed() -> Signed:
    return Signed()


@pytest.fixture(scope="module")
def winning() -> dict[str, Found]:
    """A lie for every leaf, with the hints that win."""
    rng = Random(1)
    found: dict[str, Found] = {}
    while len(found) < len(LEAVES):
        for _, lie in lies(words_of(random_step(rng)), rng):
            found.update({leaf.name: (leaf.name, lie, hints) for leaf, hints in winning_leaves(lie)})
    return found


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_witness_wins_and_decodes(name: str, signed: Signed, winning: dict[str, Found]) -> None:
    _, words, hints = winning[name]
    leaf, items = signed.leaf(name), signed.witness(name, words, hints)
    assert signed.accepts_items(name, items)
    assert leaf.decode(items) == (signed.sign(words, LEAVES[name].groups), hints)
    assert all(len(item) <= size for item, size in zip(items, leaf.item_sizes(), strict=True))
    assert len(items) < MAX_STACK_ITEMS
    assert (leaf.name, leaf.signers) == (name, ("challenger",))


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_a_witness_that_is_not_the_challengers_fails(name: str, signed: Signed, winning: dict[str, Found]) -> None:
    _, words, hints = winning[name]
    items = signed.witness(name, words, hints)
    stranger = Signed(seed=2)
    assert not signed.accepts_items(name, [*items[:-1], stranger.spender(name)[1]])
    assert not signed.accepts_items(name, [*items[:-1], b""])
    assert not signed.accepts_items(name, stranger.witness(name, words, hints))


def test_malformed_witnesses_fail(signed: Signed, winning: dict[str, Found]) -> None:
    rng = Random(2)
    for name, words, hints in winning.values():
        leaf, items = signed.leaf(name), signed.witness(name, words, hints)
        slots = sum(GROUPS[group].nibbles for group in LEAVES[name].groups)
        digit, secret = rng.randrange(slots), slots + rng.randrange(slots)
        broken = [
            items[1:],
            [b"", *items],
            items[:-1],
            _replaced(items, secret, items[secret] + b"\x00"),
            _replaced(items, secret, items[secret][:-1]),
            _replaced(items, secret, bytes(81)),
            _replaced(items, digit, bytes([int.from_bytes(items[digit]) ^ 1])),
            _replaced(items, digit, b"\x10"),
            _replaced(items, digit, b"\x81"),
            _replaced(items, digit, bytes(5)),
        ]
        for witness in broken:
            assert not signed.accepts_items(name, witness)
        for witness in broken[:3]:
            with pytest.raises(WitnessError, match=name):
                leaf.decode(witness)


def _replaced(items: list[bytes], index: int, item: bytes) -> list[bytes]:
    return [*items[:index], item, *items[index + 1 :]]


def test_a_witness_of_one_leaf_fails_in_another(signed: Signed, winning: dict[str, Found]) -> None:
    for name, words, hints in winning.values():
        for other in LEAVES.values():
            if other.wins(words) is None and other.groups == LEAVES[name].groups and other.hints == LEAVES[name].hints:
                items = [*signed.witness(name, words, hints)[:-1], signed.spender(other.name)[1]]
                assert not signed.accepts_items(other.name, items)


def test_a_wrong_number_of_hints_or_signatures_is_refused(signed: Signed, winning: dict[str, Found]) -> None:
    name, words, hints = winning["written.logic"]
    leaf, signatures = signed.leaf(name), signed.sign(words, LEAVES[name].groups)
    with pytest.raises(WitnessError, match=name):
        leaf.witness([bytes(64)], signatures, (*hints, 0))
    with pytest.raises(WitnessError, match=name):
        leaf.witness([], signatures, hints)


def test_sizes(signed: Signed) -> None:
    """Bodies are far smaller than the competition's leaves; a group costs what the signature scheme promises."""
    sizes = leaf_bytes()
    assert set(sizes) == set(LEAVES)
    for name, theirs in BITVMX_BYTES.items():
        assert sizes[name] < theirs / 2, name
    for name, leaf in LEAVES.items():
        nibbles = sum(GROUPS[group].nibbles for group in leaf.groups)
        whole = signed.leaf(name)
        weight = len(whole.script) + sum(1 + size for size in whole.item_sizes())
        assert weight - sizes[name] <= nibbles * 630 / 8 + 170 * len(leaf.groups), name
    assert {scheme.slots for scheme in GROUP_SCHEMES.values()} == {12, 16, 18, 34}


@pytest.mark.parametrize("name", sorted(LEAVES))
def test_scripts_are_relayed_by_strict_nodes(name: str, signed: Signed) -> None:
    """No OP_IF or OP_NOTIF, and no push above 256 bytes: some nodes refuse to relay them."""
    for opcode, data, _ in CScript(signed.leaf(name).script).raw_iter():
        assert opcode not in (OP_IF, OP_NOTIF)
        assert data is None or len(data) <= 256


def both_ways(signed: Signed, seed: int, steps: int) -> set[str]:
    """Random steps through the signed leaves; returns the names of those that won.

    For every step one result is made wrong, in turn by a bit, a nibble, at random. Every leaf that wins against the lie
    accepts it, and rejects the truth, whatever the hints; so does one other leaf, in turn.
    """
    rng, won = Random(seed), set()
    names = [*isa.INSTRUCTIONS]
    for number in range(steps):
        name = names[number // 2 % len(names)] if number % 2 else None  # the rare ones too, by turns
        words = words_of(random_step(rng, name))
        wrong = list(lies(words, rng))
        field, lie = wrong[number % len(wrong)]
        found = list(winning_leaves(lie))
        assert found, (field, lie)
        for leaf, hints in found:
            won.add(leaf.name)
            assert signed.accepts(leaf.name, lie, hints), (leaf.name, field, hints, lie)
            assert not signed.accepts(leaf.name, words, hints), (leaf.name, hints, words)
        other = EXECUTION_LEAVES[number % len(EXECUTION_LEAVES)]
        choice = some_hints(other, rng, 1)[0]
        assert other.wins(words) is None, (other.name, words)
        assert not signed.accepts(other.name, words, choice), (other.name, choice, words)
    return won


def test_random_steps_both_ways(signed: Signed) -> None:
    assert len(both_ways(signed, 10, 1_500)) > 0.8 * len(LEAVES)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_twenty_thousand_random_steps_both_ways(signed: Signed, seed: int) -> None:
    assert len(both_ways(signed, 100 + seed, 5_000)) > 0.9 * len(LEAVES)
