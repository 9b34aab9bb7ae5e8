"""What an honest signer shows is accepted in every form, and the numbers left are the message."""

import random

import pytest
from onetime_attacks import (
    HINTS,
    OP_EQUALVERIFY,
    OP_NUMEQUALVERIFY,
    SHAPES,
    Leaf,
    accepted,
    any_message,
    compare_all,
    extreme_messages,
    public_key,
)

from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import NODE, NODE_USED, Window, equal_nodes, forms

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)


def _messages(leaf, rng):
    """All-zero, all-one and 14 random messages a key."""
    per_key = [extreme_messages(key.scheme) + [any_message(key.scheme, rng) for _ in range(14)] for key in leaf.keys]
    return zip(*per_key, strict=True)


@every_shape
def test_signed_messages_are_accepted_and_read_back(shape):
    leaf = Leaf.make(shape, seed=1)
    script = leaf.script()
    for messages in _messages(leaf, random.Random(2)):
        signatures = [key.sign(message) for key, message in zip(leaf.keys, messages, strict=True)]
        items = leaf.items(signatures)
        assert accepted(script, items)
        assert leaf.read(items) == signatures
        for key, signature, message in zip(leaf.keys, signatures, messages, strict=True):
            assert key.scheme.verify(key.public, signature) == message


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.used], ids=lambda shape: shape.name)
def test_used_numbers_are_the_message_and_minimal(shape):
    leaf = Leaf.make(shape, seed=3)
    hints = HINTS[: shape.hints]
    for messages in _messages(leaf, random.Random(4)):
        signatures = [key.sign(message) for key, message in zip(leaf.keys, messages, strict=True)]
        for code in (OP_NUMEQUALVERIFY, OP_EQUALVERIFY):
            b = leaf.builder()
            compare_all(b, leaf, signatures, hints, code)
            assert accepted(b.script(), leaf.items(signatures))


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.used], ids=lambda shape: shape.name)
def test_a_wrong_number_is_noticed(shape):
    """The control of the test above: it can fail."""
    leaf = Leaf.make(shape, seed=5)
    rng = random.Random(6)
    signatures = leaf.sign(rng)
    for number, key in enumerate(leaf.used):
        other = list(signatures)
        other[number] = key.sign(any_message(key.scheme, rng))
        b = leaf.builder()
        compare_all(b, leaf, other, HINTS[: shape.hints], OP_NUMEQUALVERIFY)
        assert not accepted(b.script(), leaf.items(signatures))


@pytest.mark.parametrize("scheme", [NODE, NODE_USED, Window(16, 40), Window(8, 2)], ids=repr)
def test_a_shown_signature_is_copied_into_a_used_leaf(scheme):
    """The opponent takes the signature from one witness and puts it into another leaf of the same key."""
    rng = random.Random(7)
    key = scheme.secret_key(rng.randbytes(32))
    message = any_message(scheme, rng)
    names = [str(number) for number in range(scheme.numbers)]
    for normalised in (False, True):
        [signature] = forms.parse_shown(forms.shown_items([key.sign(message)]), [scheme])
        b = ScriptBuilder([""] * 2 * scheme.slots)
        forms.use(b, [(public_key(key), names)], normalised=normalised)
        b.drop(len(b.stack))
        b.number(1)
        assert accepted(b.script(), forms.used_items([signature]))


def test_items_below_the_used_ones_are_left_alone():
    rng = random.Random(8)
    scheme = Window(16, 5)
    key = scheme.secret_key(rng.randbytes(32))
    b = ScriptBuilder(["signature", *[""] * 10])
    forms.use(b, [(public_key(key), ["a", "b", "c", "d", "e"])])
    assert sorted(b.stack) == ["a", "b", "c", "d", "e", "signature"]
    b.drop(5)
    b.data(b"\x07" * 64)
    b.apply(OP_EQUALVERIFY, 2)
    b.number(1)
    items = forms.used_items([key.sign((1, 2, 3, 4, 5))])
    assert accepted(b.script(), [b"\x07" * 64, *items])
    assert not accepted(b.script(), [b"\x08" * 64, *items])


def test_two_exact_nodes_are_compared_by_their_indices():
    rng = random.Random(9)
    keys = [NODE.secret_key(rng.randbytes(32)) for _ in range(2)]
    names = [[f"{side}.{slot}" for slot in range(NODE.slots)] for side in "ab"]
    verdicts = []
    for wanted in (True, False):
        b = ScriptBuilder([""] * 4 * NODE.slots)
        used = [(public_key(key), own) for key, own in zip(keys, names, strict=True)]
        forms.use(b, used, normalised=False)
        before = len(b)
        equal_nodes(b, *names)
        assert len(b) - before <= 7 * NODE.slots
        b.number(int(wanted))
        b.apply(OP_NUMEQUALVERIFY, 2)
        b.number(1)
        verdicts.append((wanted, b.script()))
    for trial in range(12):
        node = rng.randbytes(24)
        index = trial * 2
        other = node if trial % 2 else bytes(byte ^ (1 if place == index else 0) for place, byte in enumerate(node))
        items = forms.used_items([keys[0].sign(node), keys[1].sign(other)])
        for wanted, script in verdicts:
            assert accepted(script, items) == ((node == other) == wanted)
