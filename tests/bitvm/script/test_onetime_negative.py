"""Nothing but what was signed is accepted: at least 812 attacks a shape, by one who knows one signature of each key.

The leaves drop every number without looking at it, so nothing here is caught by whoever uses the numbers.
"""

import random

import pytest
from onetime_attacks import (
    HINTS,
    OP_EQUALVERIFY,
    OP_NUMEQUALVERIFY,
    SHAPES,
    Knowledge,
    Leaf,
    accepted,
    broken_slots,
    compare_all,
    exchanged_slots,
    foreign_items,
    other_vectors,
    transpositions,
    wrong_counts,
)

from bitvm.script.builder import encode_number

LEAST = 812

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def _attacks(leaf, signatures, rng):
    """Yield (kind, witness) for every attack that keeps to the layout of the witness."""
    items = leaf.items(signatures)

    def with_(number, signature):
        return leaf.items([*signatures[:number], signature, *signatures[number + 1 :]])

    for number, (key, signature) in enumerate(zip(leaf.keys, signatures, strict=True)):
        knowledge = Knowledge(key.scheme, key.public, signature, rng)
        for forged in transpositions(knowledge):
            yield "transposition", with_(number, forged)
        for forged in other_vectors(knowledge, 150):
            yield "other vector", with_(number, forged)
        for forged in broken_slots(key.scheme, key.public, signature, rng):
            yield "broken slot", with_(number, forged)
        stranger = key.scheme.secret_key(rng.randbytes(32))
        yield "another key", with_(number, stranger.open(signature.indices))
        for _, mixed in exchanged_slots(stranger.open(signature.indices), signature):
            yield "another key's slot", with_(number, mixed)
    for one in range(len(signatures)):
        for other in range(one + 1, len(signatures)):
            for first, second in exchanged_slots(signatures[one], signatures[other]):
                exchanged = list(signatures)
                exchanged[one], exchanged[other] = first, second
                yield "two keys exchange", leaf.items(exchanged)
    for witness in foreign_items(leaf, items, rng):
        yield "foreign item", witness
    for witness in wrong_counts(items):
        yield "wrong count", witness
    for _ in range(150):
        witness = items[:]
        first, second = rng.sample(range(len(items)), 2)
        witness[first], witness[second] = witness[second], witness[first]
        yield "items exchanged", witness


@every_shape
def test_no_attack_is_accepted(shape):
    rng = random.Random(f"attacks on {shape.name}")
    leaf = Leaf.make(shape, seed=11)
    script = leaf.script()
    tried = 0
    while tried < LEAST:
        signatures = leaf.sign(rng)
        genuine = leaf.items(signatures)
        assert accepted(script, genuine)
        attacks = list(_attacks(leaf, signatures, rng))
        if len(leaf.keys) > 1:  # its parts are tried in full by the shapes with one key
            attacks = rng.sample(attacks, min(len(attacks), 900))
        for kind, witness in attacks:
            if witness == genuine or leaf.accepted_off_chain(witness):
                assert _harmless(leaf, witness, signatures, script), kind
                continue
            tried += 1
            assert not accepted(script, witness), kind
    assert tried >= LEAST


def _harmless(leaf, witness, signatures, script):
    """Whether a witness that is read off chain still says what was signed (equal items exchanged, a hint changed)."""
    return accepted(script, witness) and leaf.read(witness) == signatures


def _odd_encodings(value):
    """Other items that consensus reads as `value`, and items of five bytes, which it does not read."""
    minimal = encode_number(value)
    padded = [(minimal + bytes(4))[:size] for size in (1, 2, 3, 4) if size > len(minimal)]
    negative_zero = [b"\x80", b"\x00\x80", b"\x00\x00\x00\x80"] if value == 0 else []
    return padded + negative_zero, [(minimal + bytes(5))[:5], bytes(5) + minimal]


@every_shape
def test_strange_encodings_do_not_change_the_message(shape):
    rng = random.Random(12)
    leaf = Leaf.make(shape, seed=13)
    script = leaf.script()
    signatures = leaf.sign(rng)
    genuine = leaf.items(signatures)
    exact = leaf.builder()
    equality = OP_EQUALVERIFY if shape.normalised else OP_NUMEQUALVERIFY
    compare_all(exact, leaf, signatures, HINTS[: shape.hints], equality)
    places = range(shape.below, len(genuine) - shape.hints)
    indices = [place for place in places if len(genuine[place]) <= 1]
    for place in indices[:: max(1, len(indices) // 16)]:
        value = genuine[place][0] if genuine[place] else 0
        readable, unreadable = _odd_encodings(value)
        for item in readable:
            witness = [*genuine[:place], item, *genuine[place + 1 :]]
            assert accepted(script, witness)
            assert accepted(exact.script(), witness), "the numbers are what they were, minimal if promised"
            assert leaf.read(witness) == signatures
            assert leaf.items(leaf.read(witness)) == genuine, "re-encoding is minimal"
        for item in unreadable:
            witness = [*genuine[:place], item, *genuine[place + 1 :]]
            assert not accepted(script, witness)
            assert not leaf.accepted_off_chain(witness)


@every_shape
def test_script_and_off_chain_reading_agree(shape):
    """Random damage, mostly small: the engine accepts exactly what `parse` and `verify` accept."""
    rng = random.Random(f"agreement on {shape.name}")
    leaf = Leaf.make(shape, seed=14)
    script = leaf.script()
    signatures = leaf.sign(rng)
    genuine = leaf.items(signatures)
    verdicts = {True: 0, False: 0}
    for _ in range(200):
        witness = genuine[:]
        for _ in range(rng.choice([1, 1, 2])):
            place = rng.randrange(shape.below, len(witness))
            item = witness[place]
            witness[place] = rng.choice(
                [
                    item + b"\x00",
                    item[:-1],
                    item[:3] + bytes(4 - min(len(item), 3)) if len(item) < 4 else item,
                    bytes([rng.randrange(64)]),
                    b"\x80",
                    rng.choice(witness),
                    item,
                ]
            )
        verdict = leaf.accepted_off_chain(witness)
        verdicts[verdict] += 1
        assert accepted(script, witness) == verdict
    assert min(verdicts.values()) >= 10
