"""What a thief with the source code does to Claim, Choice and Step: nothing that Core takes changes the message.

Whatever Core does take has to be read: a witness that Script accepts and the opponent's reader refuses would win.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from leafbench import Spender
from onetime_attacks import Knowledge, any_size, cascades, exchanged_slots, public_key, take_from_below

from bitvm.graph.parameters import WIDTHS
from bitvm.graph.setting import CLAIM_FIELDS, step_schemes
from bitvm.keys.schnorr import SigningKey
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.choice import ChoiceLeaf, choice_symbols
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.leaves.node_list import list_item_sizes
from bitvm.leaves.statement import GROUPS
from bitvm.leaves.step import ROOTS, SHOWN, StepLeaf, index_symbols, step_index
from bitvm.script.builder import MAX_STACK_ITEMS, encode_number
from bitvm.script.onetime import NODE, AnyScheme, PublicKey, SecretKey, Signature, Slot, Window
from bitvm.script.onetime.chain import descend, item_bytes
from lvm.layout import HASH_BYTES

WIDTH = 64
CHOICES = (0, 63, 8, 27, 0)
STANDARD_ITEM = 80
"""Largest witness item of a tapscript that policy relays, in bytes."""
MOVERS = (SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32))
PARTIES = {"signers": ("prover", "challenger1"), "keys": tuple(key.public_key for key in MOVERS)}
DIGIT = Window(8, 2)


@dataclass(frozen=True)
class Parameters:
    """The part of a set-up's parameters that shapes Step."""

    levels: int = len(CHOICES)
    width: int = WIDTH


class Bench:
    """A leaf spent by one transaction, with both parties' signatures."""

    def __init__(self, leaf: CommitmentLeaf | ChoiceLeaf | StepLeaf) -> None:
        self.leaf = leaf
        self._spender = Spender(leaf.script)
        self.schnorr = [key.sign(self._spender.sighash()) for key in MOVERS]

    def accepts(self, items: Sequence[bytes]) -> bool:
        return self._spender.accepts(items)


def secret(scheme: AnyScheme, name: str) -> SecretKey:
    return scheme.secret_key(hashlib.sha256(name.encode()).digest())


FIELDS = {name: secret(scheme, name) for name, scheme in step_schemes(Parameters()).items()}
DIGITS = [secret(DIGIT, f"choice {level}") for level in range(len(CHOICES))]
CLAIM = {name: secret(NODE, f"claim {name}") for name in CLAIM_FIELDS}


def say(scheme: AnyScheme, rng: random.Random) -> bytes | tuple[int, ...]:
    return rng.randbytes(HASH_BYTES) if scheme == NODE else tuple(rng.randrange(16) for _ in range(scheme.slots))


def step_leaf() -> StepLeaf:
    fields = {name: public_key(key) for name, key in FIELDS.items()}
    return StepLeaf("step", **PARTIES, fields=fields, choices=tuple(map(public_key, DIGITS)), width=WIDTH)


@pytest.fixture(scope="module")
def step() -> Bench:
    return Bench(step_leaf())


@pytest.fixture(scope="module")
def choice() -> Bench:
    return Bench(ChoiceLeaf("choice", **PARTIES, digit=public_key(DIGITS[0]), width=WIDTH))


@pytest.fixture(scope="module")
def claim() -> Bench:
    fields = {name: public_key(key) for name, key in CLAIM.items()}
    return Bench(CommitmentLeaf("claim", **PARTIES, fields=fields, list_length=WIDTH - 1))


@pytest.fixture
def rng(request) -> random.Random:
    return random.Random(request.node.name)


def step_signatures(rng: random.Random) -> dict[str, Signature]:
    signatures = {name: FIELDS[name].sign(say(FIELDS[name].scheme, rng)) for name in SHOWN}
    return signatures | {"index": FIELDS["index"].sign(index_symbols(CHOICES, WIDTH))}


def chosen() -> list[Signature]:
    return [key.sign(choice_symbols(d, WIDTH)) for key, d in zip(DIGITS, CHOICES, strict=True)]


def claim_items(bench: Bench, rng: random.Random) -> list[bytes]:
    nodes = [rng.randbytes(HASH_BYTES) for _ in range(WIDTH - 1)]
    return bench.leaf.witness(bench.schnorr, {name: key.sign(rng.randbytes(24)) for name, key in CLAIM.items()}, nodes)


def changed(items: Sequence[bytes], place: int, item: bytes) -> list[bytes]:
    return [*items[:place], item, *items[place + 1 :]]


def encodings(value: int) -> list[bytes]:
    """Every item that consensus reads as this number, 0..127."""
    minimal = encode_number(value)
    padded = [minimal.ljust(size, b"\0") for size in range(len(minimal), 5)]
    return padded + ([b"\x80", b"\0\x80", b"\0\0\x80", b"\0\0\0\x80"] if value == 0 else [])


def padded_indices(items: Sequence[bytes], rng: random.Random) -> list[bytes]:
    """The same numbers, all of them in another encoding."""
    return [rng.choice(encodings(item[0] if item else 0)[1:]) if len(item) <= 1 else item for item in items]


# ---- encodings


def test_padded_indices_say_the_same(claim, choice, step, rng):
    """And whoever repeats them repeats them minimally: no padding spreads from a witness to the next transaction."""
    cases = [
        (claim, claim_items(claim, rng)),
        (choice, choice.leaf.witness(choice.schnorr, chosen()[0])),
        (step, step.leaf.witness(step.schnorr, step_signatures(rng), chosen())),
    ]
    for bench, items in cases:
        genuine = bench.leaf.decode(items)
        for _ in range(10):
            padded = padded_indices(items, rng)
            assert padded != items
            assert bench.accepts(padded)
            assert bench.leaf.decode(padded) == genuine
        for place in [place for place, item in enumerate(items) if len(item) <= 1][::9]:
            unreadable = changed(items, place, items[place].ljust(5, b"\0"))
            assert not bench.accepts(unreadable)
            with pytest.raises(WitnessError):
                bench.leaf.decode(unreadable)


def test_step_repeats_a_padded_choice_minimally(choice, step, rng):
    padded = padded_indices(choice.leaf.witness(choice.schnorr, chosen()[0]), rng)
    assert choice.accepts(padded)
    read = choice.leaf.decode(padded)
    assert read.choice == CHOICES[0]
    items = step.leaf.witness(step.schnorr, step_signatures(rng), [read.signature, *chosen()[1:]])
    assert step.accepts(items)
    assert all(len(item) <= size for item, size in zip(items, step.leaf.item_sizes(), strict=True))


# ---- Step: the prover's t against the challenger's choices


def without_comparison(monkeypatch) -> None:
    monkeypatch.setattr(StepLeaf, "_compare", staticmethod(lambda b, _: b.drop(len(b.stack))))


def other_indices() -> Iterator[tuple[int, ...]]:
    """Index messages that differ in a symbol, or are the true symbols in another order."""
    symbols = index_symbols(CHOICES, WIDTH)
    for place, symbol in enumerate(symbols):
        yield from ((*symbols[:place], other, *symbols[place + 1 :]) for other in range(8) if other != symbol)
    yield symbols[::-1]
    yield (*symbols[2:], *symbols[:2])
    yield tuple(symbols[place ^ 1] for place in range(len(symbols)))


def test_t_is_what_the_choices_say(step, rng, monkeypatch):
    """The prover owns t's key and signs any t, in any encoding."""
    signatures = step_signatures(rng)
    witnesses = []
    for symbols in other_indices():
        items = step.leaf.witness(step.schnorr, signatures | {"index": FIELDS["index"].sign(symbols)}, chosen())
        witnesses += [items, padded_indices(items, rng)]
    genuine = step.leaf.witness(step.schnorr, signatures, chosen())
    assert step.accepts(genuine)
    assert step.leaf.decode(genuine).index == step_index(CHOICES, WIDTH)
    assert not any(map(step.accepts, witnesses))
    without_comparison(monkeypatch)
    unbound = Bench(step_leaf())
    assert all(unbound.accepts([*items[:-2], *reversed(unbound.schnorr)]) for items in witnesses), "the control"


def test_no_other_choice_is_made_from_the_ones_on_the_chain(step, rng):
    """The prover knows what every choice opened, and signs the t that goes with its forgery: all 63, every level."""
    signatures = step_signatures(rng)
    forged = []
    for level, signed in enumerate(chosen()):
        knowledge = Knowledge(DIGIT, DIGITS[level].public, signed, rng)
        for other in range(WIDTH):
            if other != CHOICES[level]:
                lie = [*CHOICES[:level], other, *CHOICES[level + 1 :]]
                index = FIELDS["index"].sign(index_symbols(lie, WIDTH))
                said = [*chosen()[:level], knowledge.forge(choice_symbols(other, WIDTH)), *chosen()[level + 1 :]]
                forged.append(step.leaf.witness(step.schnorr, signatures | {"index": index}, said))
    assert len(forged) == 63 * len(CHOICES)
    assert not any(map(step.accepts, forged))


def test_signatures_do_not_change_places(step, rng):
    """Choices of other levels, slots of two keys, slots of the prover's own t in a choice and the other way round."""
    signatures, said = step_signatures(rng), chosen()
    keys = [signatures["index"], *said]
    mixed = []
    for one in range(len(keys)):
        for other in range(one + 1, len(keys)):
            pairs = list(exchanged_slots(keys[one], keys[other]))
            if one:
                pairs.append((keys[other], keys[one]))
            mixed += [[*keys[:one], a, *keys[one + 1 : other], b, *keys[other + 1 :]] for a, b in pairs]
    for index, *rest in mixed:
        items = step.leaf.witness(step.schnorr, signatures | {"index": index}, rest)
        assert not step.accepts(items) or [index, *rest] == keys
    for r, s in ((0, 1), (1, 2), (3, 4)):
        assert not step.accepts(step.leaf.witness(step.schnorr, signatures, [*said[:r], said[s], *said[r + 1 :]]))


# ---- Step: indices that point past a list


def below_the_lists(items: Sequence[bytes], rng: random.Random) -> Iterator[list[bytes]]:
    """A slot takes a digit that is 20 bytes with a known preimage: every slot of the used keys, every digit."""
    schemes = [FIELDS["index"].scheme, *[DIGIT] * len(CHOICES)]
    digits = sum(scheme.slots for scheme in schemes)
    own = 0
    for scheme in schemes:
        for slot, level in enumerate(scheme.levels):
            for depth in set(range(digits)) - {own}:
                preimage = rng.randbytes(item_bytes(level))
                witness = changed(items, digits - 1 - depth, descend(preimage, level))
                witness[digits - 1 - own] = encode_number(scheme.list_size(slot) + depth)
                witness[digits + own] = preimage
                yield witness
            own += 1
    for start in range(schemes[0].slots):
        for below in ([], [b"\1"]):
            witness = [*below, *items[:-2]]
            for forged in cascades(schemes[0], witness, digits + len(below), start, rng):
                yield [*forged, *items[-2:]]


def below_a_shown_list(signatures: dict[str, Signature], bench: Bench, rng: random.Random) -> Iterator[list[bytes]]:
    digits = sum(key.scheme.slots for key in (FIELDS["index"], *DIGITS))
    for name in ("root_before", "access"):
        scheme = FIELDS[name].scheme
        for slot in range(0, scheme.slots, 5):
            for depth in (0, 1, digits - 1):
                signature, foreign = take_from_below(scheme, signatures[name], slot, depth, rng)
                items = bench.leaf.witness(bench.schnorr, signatures | {name: signature}, chosen())
                yield changed(items, digits - 1 - depth, foreign)


def test_an_index_past_a_list_finds_nothing(step, rng, monkeypatch):
    """Not even where t is not compared. (The control, a leaf with an item of its own below, is in the keys' tests.)"""
    signatures = step_signatures(rng)
    attacks = list(below_the_lists(step.leaf.witness(step.schnorr, signatures, chosen()), rng))
    attacks += below_a_shown_list(signatures, step, rng)
    assert len(attacks) > 400
    assert not any(map(step.accepts, attacks))
    without_comparison(monkeypatch)
    unbound = Bench(step_leaf())
    assert not any(unbound.accepts([*items[:-2], *reversed(unbound.schnorr)]) for items in attacks)


# ---- Choice, Claim


def test_a_choice_is_in_range(choice):
    """The challenger has all chains and tries every number that is no index, with every secret of the slot's level."""
    numbers = [item for value in (8, 9, 15, 16, 127) for item in encodings(value)]
    numbers += [
        b"\x81",
        b"\x88",
        b"\x81\0",
        b"\x01\x80",
        b"\xff\xff\xff\xff",
        b"\xff\xff\xff\x7f",
        b"\xff\0",
        bytes(20),
    ]
    genuine = choice.leaf.witness(choice.schnorr, DIGITS[0].sign((7, 7)))
    assert choice.accepts(genuine)
    for place in (0, 2):
        opened = [DIGITS[0].sign((high, low)) for high in range(8) for low in range(8)]
        secrets = {signature.slots[place // 2].secret for signature in opened}
        for item in numbers:
            for known in secrets:
                assert not choice.accepts([*genuine[:place], item, known, *genuine[place + 2 :]])


def test_list_items_have_their_sizes_and_nothing_else(claim, rng):
    genuine = claim_items(claim, rng)
    first = 2 * sum(key.scheme.slots for key in CLAIM.values())
    assert [len(item) for item in genuine[first:-2]] == list_item_sizes(WIDTH - 1)[::-1]
    for place in range(first, len(genuine) - 2):
        assert claim.accepts(changed(genuine, place, rng.randbytes(len(genuine[place])))), "shown data binds nobody"
        for size in {0, 1, 48, 71, 73, 80, 81, 520} - {len(genuine[place])}:
            assert not claim.accepts(changed(genuine, place, rng.randbytes(size)))
        assert not claim.accepts(genuine[:place] + genuine[place + 1 :])


def test_nothing_lies_below_a_claim(claim, rng):
    """One more item at the bottom, taken by a slot, or taken by none."""
    genuine = claim_items(claim, rng)
    read = claim.leaf.decode(genuine)
    attacks = [[item, *genuine] for item in (b"", b"\1", bytes(20), bytes(72))]
    for name in CLAIM_FIELDS:
        for slot in range(0, NODE.slots, 6):
            signature, foreign = take_from_below(NODE, read.signatures[name], slot, 0, rng)
            items = claim.leaf.witness(claim.schnorr, {**read.signatures, name: signature}, read.listed)
            attacks.append([foreign, *items])
    assert not any(map(claim.accepts, attacks))


def test_a_label_that_is_no_node_is_read_as_none(claim, step, rng):
    """Under a valid signature: Script takes it, and so must readers, to whom it equals no hash."""
    label = [NODE.list_size(slot) - 1 for slot in range(NODE.slots)]
    nodes = [rng.randbytes(HASH_BYTES) for _ in range(WIDTH - 1)]
    items = claim.leaf.witness(claim.schnorr, {name: key.open(label) for name, key in CLAIM.items()}, nodes)
    assert claim.accepts(items)
    assert set(claim.leaf.decode(items).nodes.values()) == {None}
    signatures = step_signatures(rng) | {name: FIELDS[name].open(label) for name in ROOTS}
    items = step.leaf.witness(step.schnorr, signatures, chosen())
    assert step.accepts(items)
    assert set(step.leaf.decode(items).roots.values()) == {None}


# ---- what one party can force into the other's transaction


@pytest.mark.parametrize("field", ["digit", "operation", "index"])
def test_a_secret_of_another_size_is_refused(field, rng, monkeypatch):
    """Its owner makes a chain from an item of odd size, which the opponent's next transaction would have to repeat."""
    attacks = []
    owner = DIGITS[0] if field == "digit" else FIELDS[field]
    signed = owner.open([1] * owner.scheme.slots)
    for slot in range(0, owner.scheme.slots, 4):
        for size in {0, 19, 20, 31, 32, 33, 80, 81, 520} - {item_bytes(owner.scheme.levels[slot])}:
            odd = rng.randbytes(size)
            values = list(owner.public)
            values[owner.scheme.chains_of(signed.indices)[slot]] = descend(odd, owner.scheme.levels[slot])
            signature = Signature((*signed.slots[:slot], Slot(1, odd), *signed.slots[slot + 1 :]))
            attacks.append((PublicKey(owner.scheme, tuple(values)), signature))

    def accepts(public: PublicKey, signature: Signature) -> bool:
        if field == "digit":
            bench = Bench(ChoiceLeaf("choice", **PARTIES, digit=public, width=WIDTH))
            return bench.accepts(bench.leaf.witness(bench.schnorr, signature))
        leaf = step_leaf()
        bench = Bench(replace(leaf, fields={**leaf.fields, field: public}))
        nines = [key.sign((1, 1)) for key in DIGITS]
        signatures = step_signatures(random.Random(1)) | {"index": FIELDS["index"].open([1] * 10), field: signature}
        return bench.accepts(bench.leaf.witness(bench.schnorr, signatures, nines))

    assert accepts(public_key(owner), signed)
    assert not any(accepts(*attack) for attack in attacks)
    any_size(monkeypatch)
    assert all(accepts(*attack) for attack in rng.sample(attacks, 4)), "the control"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("levels", [1, 5, 8])
def test_items_stay_within_consensus_and_policy(width, levels):
    """The builder refuses a script whose stacks grow beyond 1,000 items; one signature may have a sighash type."""
    schemes = step_schemes(Parameters(levels, width))
    digit = Window(schemes["index"].width, 2)
    digits = [public_key(secret(digit, f"{width} {level}")) for level in range(levels)]
    fields = {name: public_key(secret(scheme, f"{width} {name}")) for name, scheme in schemes.items()}
    claimed = {name: public_key(secret(NODE, name)) for name in CLAIM_FIELDS}
    everybody = {"signers": PARTIES["signers"], "keys": (PARTIES["keys"] * 9)[:17]}
    for leaf in (
        StepLeaf("step", **PARTIES, fields=fields, choices=tuple(digits), width=width),
        CommitmentLeaf("claim", **everybody, fields=claimed, list_length=width - 1),
        ChoiceLeaf("choice", **PARTIES, digit=digits[0], width=width),
    ):
        assert leaf.script
        assert len(leaf.item_sizes()) <= MAX_STACK_ITEMS
        assert max(leaf.item_sizes()) + 1 <= STANDARD_ITEM
    assert set(ROOTS) | set(GROUPS) | {"index"} == set(fields)
