"""Leaves that open one-time keys, and what somebody who knows one signature of each key can put into their witness."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, encode_number
from bitvm.script.engine import run_leaf
from bitvm.script.onetime import (
    NODE,
    NODE_USED,
    AnyScheme,
    OneTimeError,
    PublicKey,
    SecretKey,
    Signature,
    Slot,
    Window,
    forms,
    opening,
)
from bitvm.script.onetime.chain import descend, half_step, item_bytes

HINTS = (5, -1, 0)
OWN_ITEM = b"\x01"


def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the check of secrets' sizes out of every script written from here on."""
    monkeypatch.setattr(opening, "require_size", lambda *_: None)
    monkeypatch.setattr(opening, "_opening", opening._opening.__wrapped__)


@dataclass(frozen=True)
class Shape:
    """Which keys a leaf opens, and how."""

    name: str
    shown: tuple[AnyScheme, ...] = ()
    used: tuple[AnyScheme, ...] = ()
    hints: int = 0
    normalised: bool = True

    @property
    def below(self) -> int:
        """A leaf that uses keys has an item of its own below, which it drops: so a foreign item is not left over."""
        return 1 if self.used else 0


WORDS = Window(16, 40)
CHOICE = Window(8, 2)
STEP_INDEX = Window(8, 10)
SHAPES = (
    Shape("node shown", shown=(NODE,)),
    Shape("node used as indices", used=(NODE,), normalised=False),
    Shape("used node shown", shown=(NODE_USED,)),
    Shape("used node used", used=(NODE_USED,)),
    Shape("words shown", shown=(WORDS,)),
    Shape("words used", used=(WORDS,), normalised=False),
    Shape("words used, normalised", used=(WORDS,)),
    Shape("choice used", used=(CHOICE,), normalised=False),
    Shape("step index used", used=(STEP_INDEX,)),
    Shape("two groups and a node used", used=(Window(16, 11), NODE_USED, Window(16, 9)), hints=3, normalised=False),
    Shape("step", shown=(NODE, Window(16, 12)), used=(STEP_INDEX, CHOICE, Window(4, 2)), hints=2),
)


def any_message(scheme: AnyScheme, rng: random.Random) -> bytes | tuple[int, ...]:
    if isinstance(scheme, Window):
        return tuple(rng.randrange(scheme.width) for _ in range(scheme.slots))
    return rng.randbytes(24)


def extreme_messages(scheme: AnyScheme) -> list[bytes | tuple[int, ...]]:
    if isinstance(scheme, Window):
        return [(0,) * scheme.slots, (scheme.width - 1,) * scheme.slots]
    return [bytes(24), b"\xff" * 24]


@dataclass
class Leaf:
    """A shape with keys: its script accepts iff all keys are opened; it drops every number without looking at it."""

    shape: Shape
    shown: list[SecretKey] = field(default_factory=list)
    used: list[SecretKey] = field(default_factory=list)

    @classmethod
    def make(cls, shape: Shape, seed: int) -> Leaf:
        rng = random.Random(seed)
        return cls(
            shape,
            [scheme.secret_key(rng.randbytes(32)) for scheme in shape.shown],
            [scheme.secret_key(rng.randbytes(32)) for scheme in shape.used],
        )

    @property
    def keys(self) -> list[SecretKey]:
        return [*self.used, *self.shown]

    def builder(self) -> ScriptBuilder:
        """Open all keys; used numbers are called ``key.number``, hints ``hint.number``."""
        consumed = 2 * sum(key.scheme.slots for key in self.keys) + self.shape.hints
        b = ScriptBuilder([""] * (self.shape.below + consumed))
        shown = [public_key(key) for key in self.shown]
        used = [(public_key(key), names(number, key.scheme)) for number, key in enumerate(self.used)]
        if not used:
            forms.show(b, shown)
        else:
            hints = [f"hint.{number}" for number in range(self.shape.hints)]
            forms.show_and_use(b, shown, used, hints, normalised=self.shape.normalised)
        return b

    def script(self) -> bytes:
        b = self.builder()
        b.drop(len(b.stack))
        b.number(1)
        return b.script()

    def items(self, signatures: Sequence[Signature], hints: Sequence[int] | None = None) -> list[bytes]:
        """Witness of signatures in the order of ``keys``."""
        used, shown = signatures[: len(self.used)], signatures[len(self.used) :]
        if not used:
            return forms.shown_items(shown)
        return [OWN_ITEM, *forms.show_and_use_items(shown, used, HINTS[: self.shape.hints] if hints is None else hints)]

    def read(self, items: Sequence[bytes]) -> list[Signature]:
        """Parse and verify a witness off chain; raises OneTimeError where the script must fail."""
        items = items[self.shape.below :]
        shown, used, _ = forms.parse_show_and_use(items, self.shape.shown, self.shape.used, self.shape.hints)
        for key, signature in zip(self.keys, [*used, *shown], strict=True):
            key.scheme.check(key.public, signature)
        return [*used, *shown]

    def accepted_off_chain(self, items: Sequence[bytes]) -> bool:
        try:
            self.read(items)
        except OneTimeError:
            return False
        return True

    def sign(self, rng: random.Random) -> list[Signature]:
        return [key.sign(any_message(key.scheme, rng)) for key in self.keys]


def public_key(key: SecretKey) -> PublicKey:
    return PublicKey(key.scheme, key.public)


def names(number: int, scheme: AnyScheme) -> list[str]:
    return [f"{number}.{place}" for place in range(scheme.numbers)]


def expected_numbers(scheme: AnyScheme, signature: Signature) -> tuple[int, ...]:
    return signature.indices if scheme.layout is None else scheme.layout.nibbles(signature.indices)


def compare_all(b: ScriptBuilder, leaf: Leaf, signatures: Sequence[Signature], hints: Sequence[int], code: int) -> None:
    """Compare every number of ``builder()`` with what the signatures say, by ``code``, and leave a one."""
    for number, hint in enumerate(hints):
        assert b.alt[-1] == f"hint.{number}"
        b.from_alt()
        b.number(hint)
        b.apply(code, 2)
    for number, (key, signature) in enumerate(zip(leaf.used, signatures, strict=False)):
        for name, value in zip(names(number, key.scheme), expected_numbers(key.scheme, signature), strict=True):
            b.roll(name)
            b.number(value)
            b.apply(code, 2)
    b.drop(leaf.shape.below)
    assert b.stack == []
    assert b.alt == []
    b.number(1)


@dataclass
class Knowledge:
    """What a stranger knows of a key after one signature: the public values and the opened items."""

    scheme: AnyScheme
    public: Sequence[bytes]
    signature: Signature
    rng: random.Random

    def __post_init__(self) -> None:
        chains = self.scheme.chains_of(self.signature.indices)
        opened = zip(chains, self.scheme.levels, self.signature.slots, strict=True)
        self.known = {chain: (level, slot.secret) for chain, level, slot in opened}

    def secret(self, chain: int, level: int) -> bytes:
        """The chain's item where it can be derived, else the best thing of the right size."""
        known, item = self.known.get(chain, (0, self.public[chain]))
        if known >= level:
            for current in range(known, level, -1):
                item = half_step(item, current)
            return item
        if len(item) == item_bytes(level):
            return item
        return self.rng.choice([self.rng.randbytes(item_bytes(level)), (item + bytes(32))[: item_bytes(level)]])

    def forge(self, indices: Sequence[int], scheme: AnyScheme | None = None) -> Signature:
        """The best signature of an index vector under the key's scheme, or one that shares its chains."""
        scheme = scheme or self.scheme
        slots = zip(indices, scheme.chains_of(indices), scheme.levels, strict=True)
        return Signature(tuple(Slot(index, self.secret(chain, level)) for index, chain, level in slots))


def indices_of(scheme: AnyScheme, chains: Sequence[int]) -> tuple[int, ...] | None:
    """The index vector of an assignment, or None where the list does not hold a chain when its slot comes."""
    entries, entering, indices = list(range(scheme.width)), scheme.width, []
    for chain in chains:
        if chain not in entries:
            return None
        indices.append(entries.index(chain))
        entries.remove(chain)
        if entering < scheme.chains:
            entries.insert(0, entering)
            entering += 1
    return tuple(indices)


def transpositions(knowledge: Knowledge) -> Iterator[Signature]:
    """Every exchange of two slots' chains, and every exchange of an opened chain for an unopened one in its slot."""
    scheme = knowledge.scheme
    chains = list(scheme.chains_of(knowledge.signature.indices))
    for one in range(scheme.slots):
        for other in range(one + 1, scheme.slots):
            swapped = chains[:]
            swapped[one], swapped[other] = swapped[other], swapped[one]
            indices = indices_of(scheme, swapped)
            if indices is not None:
                yield knowledge.forge(indices)


def other_vectors(knowledge: Knowledge, count: int) -> Iterator[Signature]:
    """Index vectors that differ from the signed one in one, two, or all places."""
    scheme, rng, signed = knowledge.scheme, knowledge.rng, knowledge.signature.indices
    while count:
        indices = list(signed)
        for slot in rng.sample(range(scheme.slots), min(rng.choice([1, 1, 2, scheme.slots]), scheme.slots)):
            indices[slot] = rng.randrange(scheme.list_size(slot))
        if tuple(indices) != signed:
            count -= 1
            yield knowledge.forge(indices)


def broken_slots(
    scheme: AnyScheme, public: Sequence[bytes], signature: Signature, rng: random.Random
) -> Iterator[Signature]:
    """The signature with one slot's index or secret replaced by what must not pass there."""
    chains = scheme.chains_of(signature.indices)
    for number, (slot, chain, level) in enumerate(zip(signature.slots, chains, scheme.levels, strict=True)):
        size = scheme.list_size(number)
        beside = {slot.index + 1, slot.index - 1, slot.index + size, -slot.index - 2}
        indices = beside | {-1, size, size + 1, size + number, 100}
        hashed = [half_step(slot.secret, level), descend(slot.secret, level)]
        secrets = [
            slot.secret + b"\x00",
            slot.secret[:-1],
            b"\x00" + slot.secret,
            rng.randbytes(21),
            rng.randbytes(81),
            rng.randbytes(520),
            b"",
            public[chain],
            rng.randbytes(item_bytes(level)),
            *hashed,
        ]
        replaced = [Slot(index, slot.secret) for index in indices - {slot.index}]
        replaced += [Slot(slot.index, secret) for secret in secrets if secret != slot.secret]
        for other in replaced:
            yield replace(signature, slots=(*signature.slots[:number], other, *signature.slots[number + 1 :]))


def exchanged_slots(one: Signature, other: Signature) -> Iterator[tuple[Signature, Signature]]:
    """Two keys' signatures with the secrets, or whole slots, of one place exchanged."""
    for place in range(min(len(one.slots), len(other.slots))):
        a, b = one.slots[place], other.slots[place]
        for new_a, new_b in ((b, a), (Slot(a.index, b.secret), Slot(b.index, a.secret))):
            yield (
                replace(one, slots=(*one.slots[:place], new_a, *one.slots[place + 1 :])),
                replace(other, slots=(*other.slots[:place], new_b, *other.slots[place + 1 :])),
            )


def foreign_items(leaf: Leaf, items: list[bytes], rng: random.Random) -> Iterator[list[bytes]]:
    """Items below the first list that are 20 bytes with a known preimage, and indices that reach them."""
    if not leaf.used:
        scheme = leaf.shown[0].scheme
        [signature] = forms.parse_shown(items[: 2 * scheme.slots], [scheme])
        for slot in range(scheme.slots):
            forged, foreign = take_from_below(scheme, signature, slot, 0, rng)
            yield [foreign, *forms.shown_items([forged]), *items[2 * scheme.slots :]]
        return
    scheme = leaf.used[0].scheme
    digits = sum(key.scheme.slots for key in leaf.used)
    for start in range(scheme.slots):
        yield from cascades(scheme, items, digits + 1, start, rng)
        for witness in cascades(scheme, items[1:], digits, start, rng):
            yield [OWN_ITEM, *witness]


def take_from_below(
    scheme: AnyScheme, signature: Signature, slot: int, depth: int, rng: random.Random
) -> tuple[Signature, bytes]:
    """Let `slot` take the item `depth` below the list, and correct the later indices for the chain that stays in it.

    Return the forged signature and that item.
    """
    preimage = rng.randbytes(item_bytes(scheme.levels[slot]))
    entries, entering, slots = list(range(scheme.width)), scheme.width, []
    for place, chain in enumerate(scheme.chains_of(signature.indices)):
        if place == slot:
            slots.append(Slot(len(entries) + depth, preimage))
        else:
            slots.append(Slot(entries.index(chain), signature.slots[place].secret))
            entries.remove(chain)
        if entering < scheme.chains:
            entries.insert(0, entering)
            entering += 1
    return Signature(tuple(slots)), descend(preimage, scheme.levels[slot])


def cascades(
    scheme: AnyScheme, items: list[bytes], under: int, start: int, rng: random.Random
) -> Iterator[list[bytes]]:
    """The strongest use of items below a used key's list: from slot `start` on, no secret of the key is needed.

    The first item taken makes the block of values one longer, so the next slot reads the same digit again, and so on:
    all later digits are never read, so they may be what is taken. `under` items lie below the list.
    """
    for first in {start + 1, under - 1}:
        index = scheme.list_size(start) + first
        order, block = list(range(under)), scheme.list_size(start)
        witness = items[:]
        for slot in range(start, scheme.slots):
            place = index - block
            reads_start = order[scheme.list_size(slot) + slot - block] == start
            if not reads_start or not 0 <= place < len(order) or order[place] <= start:
                break
            preimage = rng.randbytes(item_bytes(scheme.levels[slot]))
            witness[under - 1 - order.pop(place)] = descend(preimage, scheme.levels[slot])
            witness[under + slot] = preimage
            block += scheme.width + slot < scheme.chains
        else:
            witness[under - 1 - start] = encode_number(index)
            yield witness


def wrong_counts(items: list[bytes]) -> Iterator[list[bytes]]:
    """One or two items missing or too many."""
    yield []
    for place in (0, 1, len(items) // 2, len(items) - 2, len(items) - 1):
        yield items[:place] + items[place + 1 :]
        yield [*items[:place], b"\x01", *items[place:]]
        yield [*items[:place], items[place], *items[place:]]
    yield items[2:]
    yield items[:-2]
    yield [b"\x01", *items]
    yield [*items, b"\x01"]
    yield [*items, b""]


def accepted(script: bytes, items: Sequence[bytes]) -> bool:
    return run_leaf(script, items)


OP_EQUALVERIFY, OP_NUMEQUALVERIFY = op.OP_EQUALVERIFY, op.OP_NUMEQUALVERIFY
