"""Encoding, reading back, errors: what a party computes without Script."""

import builtins
import hashlib
import random

import pytest
from bitcoin.core import CScript
from bitcoin.core import script as op
from hypothesis import given, settings
from hypothesis import strategies as st

from bitvm.script.builder import ScriptBuilder, ScriptError
from bitvm.script.engine import run_leaf
from bitvm.script.onetime import (
    NODE,
    NODE_USED,
    ChainError,
    FormError,
    IndexRangeError,
    ItemCountError,
    MessageError,
    NibblePermutation,
    NotANodeError,
    NumberError,
    OneTimeError,
    Permutation,
    PublicKey,
    PublicValueError,
    SchemeError,
    SecretSizeError,
    SeedError,
    Signature,
    Slot,
    Window,
    equal_nodes,
    forms,
)
from bitvm.script.onetime import chain as chain_module
from bitvm.script.onetime.chain import (
    chain_from_head,
    chain_head,
    cheapest_levels,
    descend,
    half_step,
    level_cost,
)

SEED = bytes(range(32))
nodes = st.binary(min_size=24, max_size=24)


# ---- chains


def test_two_half_steps_are_hash160():
    items = chain_from_head(b"\x01" * 20, 6)
    assert [len(item) for item in items] == [20, 32, 20, 32, 20, 32, 20]
    assert items[1] == hashlib.sha256(items[2]).digest()
    assert all(half_step(items[level], level) == items[level - 1] for level in range(1, 7))
    assert all(descend(items[level], level) == items[0] for level in range(7))


def test_portable_ripemd160_gives_the_same(monkeypatch):
    expected = chain_module.ripemd160(b"abc")
    assert expected.hex() == "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"
    genuine = hashlib.new

    def without_ripemd160(name, *args):
        if name == "ripemd160":
            raise ValueError("unsupported hash type ripemd160")
        return genuine(name, *args)

    monkeypatch.setattr(hashlib, "new", without_ripemd160)
    portable = chain_module._choose_ripemd160()
    assert portable(b"abc") == expected
    assert type(portable(b"")) is builtins.bytes


@pytest.mark.parametrize("slots", [1, 2, 12, 13, 38, 40, 42])
def test_levels_are_distinct_and_cheapest(slots):
    levels = cheapest_levels(slots)
    assert len(set(levels)) == slots
    assert min(levels) >= 1
    assert levels == tuple(sorted(levels))
    rest = set(range(1, 4 * slots + 2)) - set(levels)
    assert max(map(level_cost, levels)) <= min(map(level_cost, rest))


def test_heads_depend_on_seed_scheme_and_chain():
    heads = {
        chain_head(seed, name, number)
        for seed in (SEED, bytes(32))
        for name in (NODE.name, NODE_USED.name)
        for number in range(54)
    }
    assert len(heads) == 4 * 54
    assert NODE.secret_key(SEED).public == NODE.secret_key(SEED).public
    assert not set(Window(16, 40).secret_key(SEED).public) & set(Window(16, 39).secret_key(SEED).public)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_seed_has_32_bytes(size):
    with pytest.raises(SeedError):
        NODE.secret_key(bytes(size))


def test_a_key_does_not_show_its_seed():
    assert SEED.hex() not in repr(NODE.secret_key(SEED))
    assert repr(SEED) not in repr(NODE.secret_key(SEED))


# ---- encodings


@given(nodes)
def test_exact_radices_go_back_and_forth(node):
    indices = NODE.encode(node)
    assert NODE.decode(indices) == node
    assert all(0 <= index < 54 - slot for slot, index in enumerate(indices))


@given(nodes)
def test_nibble_digits_go_back_and_forth(node):
    indices = NODE_USED.encode(node)
    assert NODE_USED.decode(indices) == node
    value = int.from_bytes(node, "little")
    assert NODE_USED.layout.nibbles(indices) == tuple(value >> 4 * place & 15 for place in range(48))


@given(st.lists(st.integers(0, 55), min_size=42, max_size=42))
def test_any_nibble_vector_is_a_node_and_clamps(raw):
    indices = [index % NODE_USED.list_size(slot) for slot, index in enumerate(raw)]
    clamped = [min(index, (1 << bits) - 1) for index, bits in zip(indices, NODE_USED.layout.bits, strict=True)]
    assert NODE_USED.decode(indices) == NODE_USED.decode(clamped)
    assert list(NODE_USED.encode(NODE_USED.decode(indices))) == clamped


@given(st.lists(st.integers(0, 15), min_size=7, max_size=7))
def test_window_digits_are_the_message(digits):
    scheme = Window(16, 7)
    assert scheme.decode(scheme.encode(digits)) == tuple(digits)


WIDTHS = [(20, 8, 3), (40, 26, 14), (90, 30, 20), (128, 20, 15), (9, 8, 1)]


@pytest.mark.parametrize(("chains", "slots", "size"), WIDTHS)
def test_nibbles_for_any_width(chains, slots, size):
    """Digits of one to seven bits, surplus bits and all: script and decoder agree."""
    scheme = NibblePermutation(chains, slots, size)
    assert sum(scheme.layout.bits) == 8 * size
    rng = random.Random(chains)
    key = scheme.secret_key(SEED)
    names = [str(number) for number in range(scheme.numbers)]
    for trial in range(16):
        vector = [rng.randrange(scheme.list_size(slot)) for slot in range(slots)]
        indices = vector if trial % 2 else scheme.encode(rng.randbytes(size))
        b = ScriptBuilder([""] * 2 * slots)
        forms.use(b, [(PublicKey(scheme, key.public), names)])
        for name, nibble in zip(names, scheme.layout.nibbles(indices), strict=True):
            b.roll(name)
            b.number(nibble)
            b.apply(op.OP_EQUALVERIFY, 2)
        b.number(1)
        assert not {op.OP_IF, op.OP_NOTIF} & {code for code, _, _ in CScript(b.script()).raw_iter()}
        assert run_leaf(b.script(), forms.used_items([key.open(indices)]))


@pytest.mark.parametrize(("width", "slots"), [(8, 2), (4, 2), (16, 2), (8, 10)])
def test_choices_are_written_high_digit_first(width, slots):
    scheme = Window(width, slots)
    values = range(min(width**slots, 300))
    assert [scheme.value_of(scheme.digits_of(value)) for value in values] == list(values)
    assert scheme.digits_of(width + 3)[-2:] == (1, 3)
    for bad in (-1, width**slots):
        with pytest.raises(MessageError):
            scheme.digits_of(bad)


def test_43_per_cent_of_the_exact_vectors_are_no_node():
    rng = random.Random(1)
    vectors = [[rng.randrange(54 - slot) for slot in range(38)] for _ in range(2_000)]
    labels = [vector for vector in vectors if not _is_node(vector)]
    assert 0.40 < len(labels) / len(vectors) < 0.46
    assert 0.43 < 1 - 2**192 / NODE.labels < 0.44


def _is_node(vector):
    try:
        NODE.decode(vector)
    except NotANodeError:
        return False
    return True


def test_a_signed_label_that_is_no_node_is_accepted_by_script_and_named_off_chain():
    key = NODE.secret_key(SEED)
    label = tuple(53 - slot for slot in range(38))
    signature = key.open(label)
    with pytest.raises(NotANodeError) as caught:
        NODE.verify(key.public, signature)
    NODE.check(key.public, signature)
    assert caught.value.indices == label
    b = ScriptBuilder([""] * 76)
    forms.show(b, [PublicKey(NODE, key.public)])
    b.number(1)
    assert run_leaf(b.script(), forms.shown_items([signature]))
    assert forms.parse_shown(forms.shown_items([signature]), [NODE]) == [signature]


@pytest.mark.parametrize(
    ("scheme", "message"),
    [
        (NODE, bytes(23)),
        (NODE, bytes(25)),
        (NODE_USED, bytes(20)),
        (Window(16, 3), (1, 2)),
        (Window(16, 3), (1, 2, 16)),
        (Window(16, 3), (1, -1, 3)),
    ],
)
def test_messages_outside_the_domain_are_not_signed(scheme, message):
    with pytest.raises(MessageError):
        scheme.secret_key(SEED).sign(message)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Permutation(54, 37),
        lambda: Permutation(10, 11),
        lambda: NibblePermutation(55, 42),
        lambda: Window(16, 0),
        lambda: Window(0, 3),
        lambda: Window(200, 3),
    ],
)
def test_parameters_that_make_no_scheme(make):
    with pytest.raises(SchemeError):
        make()


# ---- verification


def _replaced(signature, place, slot):
    return Signature((*signature.slots[:place], slot, *signature.slots[place + 1 :]))


def test_each_fault_has_its_error():
    key = NODE.secret_key(SEED)
    signature = key.sign(b"\x05" * 24)
    slot = signature.slots[3]
    other = NODE.secret_key(bytes(32)).sign(b"\x05" * 24)
    faults = {
        ItemCountError: Signature(signature.slots[:-1]),
        SecretSizeError: _replaced(signature, 3, Slot(slot.index, slot.secret + b"\x00")),
        IndexRangeError: _replaced(signature, 3, Slot(51, slot.secret)),
        ChainError: _replaced(signature, 3, other.slots[3]),
    }
    for error, faulty in faults.items():
        with pytest.raises(error):
            NODE.verify(key.public, faulty)
    with pytest.raises(IndexRangeError):
        NODE.verify(key.public, _replaced(signature, 3, Slot(-1, slot.secret)))


def test_witness_faults_have_their_errors():
    scheme = Window(16, 3)
    signature = scheme.secret_key(SEED).sign((1, 2, 3))
    items = forms.used_items([signature], [7, -7])
    assert forms.parse_used(items, [scheme], 2) == ([signature], [b"\x07", b"\x87"])
    faults = [
        (ItemCountError, items[1:]),
        (ItemCountError, [*items, b""]),
        (NumberError, [bytes(5), *items[1:]]),
        (NumberError, [bytes(20), *items[1:]]),
        (IndexRangeError, [b"\x81", *items[1:]]),
        (IndexRangeError, [b"\x10", *items[1:]]),
        (SecretSizeError, [*items[:3], items[3][:-1], *items[4:]]),
        (SecretSizeError, [*items[:4], bytes(81), *items[5:]]),
    ]
    for error, faulty in faults:
        with pytest.raises(error):
            forms.parse_used(faulty, [scheme], 2)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=40), min_size=10, max_size=10))
def test_garbage_is_a_one_time_error(items):
    with pytest.raises(OneTimeError):
        forms.parse_used(items, [Window(16, 5)])
    with pytest.raises(OneTimeError):
        forms.parse_shown(items, [Window(16, 5)])


def test_numbers_are_read_as_consensus_reads_them_and_written_minimally():
    scheme = Window(16, 3)
    signature = scheme.secret_key(SEED).sign((0, 5, 15))
    items = forms.used_items([signature])
    strange = [b"\x0f\x00\x00\x00", b"\x05\x00", b"\x80", *items[3:]]
    assert forms.parse_used(strange, [scheme]) == ([signature], [])
    assert forms.used_items(forms.parse_used(strange, [scheme])[0]) == items


# ---- forms


def _public(scheme, number=0):
    return PublicKey(scheme, scheme.secret_key(bytes([number]) * 32).public)


def test_forms_refuse_what_does_not_fit():
    scheme = Window(4, 2)
    public = _public(scheme)
    with pytest.raises(FormError, match="exactly 4"):
        forms.show(ScriptBuilder([""] * 5), [public])
    with pytest.raises(FormError, match="need 4"):
        forms.use(ScriptBuilder([""] * 3), [(public, ["a", "b"])])
    with pytest.raises(FormError, match="2 numbers"):
        forms.use(ScriptBuilder([""] * 4), [(public, ["a"])])
    for names, hints in ((["a", "a"], []), (["a", ""], []), (["a", "b"], ["a"])):
        with pytest.raises(FormError, match="name"):
            forms.use(ScriptBuilder([""] * (4 + len(hints))), [(public, names)], hints)
    with pytest.raises(FormError, match="no key"):
        forms.show(ScriptBuilder(), [])
    with pytest.raises(FormError, match="use show"):
        forms.show_and_use(ScriptBuilder([""] * 4), [public], [])
    with pytest.raises(FormError, match="compared"):
        equal_nodes(ScriptBuilder(["a"]), ["a"], [])


def test_a_leaf_with_too_many_items_is_refused_while_it_is_written():
    keys = [_public(NODE, number) for number in range(13)]
    forms.show(ScriptBuilder([""] * 76 * 12), keys[:12])
    with pytest.raises(ScriptError, match="1000"):
        forms.show(ScriptBuilder([""] * 76 * 13), keys)


# ---- public keys as objects


def test_public_keys_go_through_bytes():
    key = _public(NODE_USED)
    assert PublicKey.from_bytes(NODE_USED, key.to_bytes()) == key
    signature = NODE_USED.secret_key(bytes(32)).sign(b"\x0a" * 24)
    assert key.verify(signature) == b"\x0a" * 24
    for bad in (key.to_bytes()[:-1], key.to_bytes() + b"\x00", key.values[0] * len(key.values)):
        with pytest.raises(PublicValueError):
            PublicKey.from_bytes(NODE_USED, bad)


def test_item_sizes_are_those_of_the_largest_items():
    schemes = (NODE, Window(16, 3))
    largest = [[scheme.list_size(slot) - 1 for slot in range(scheme.slots)] for scheme in schemes]
    signatures = [scheme.secret_key(SEED).open(indices) for scheme, indices in zip(schemes, largest, strict=True)]
    assert forms.shown_item_sizes(schemes) == [len(item) for item in forms.shown_items(signatures)]
    items = forms.used_items(signatures, [2**31 - 1, 1 - 2**31])
    assert forms.used_item_sizes(schemes, 2) == [len(item) for item in items]
