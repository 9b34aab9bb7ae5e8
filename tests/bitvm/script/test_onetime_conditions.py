"""Each condition of the one-time signatures, and its control: with the condition removed, the forgery succeeds.

Numbers in the names are those of the docstring of `bitvm.script.onetime`.
"""

import random

import pytest
from bitcoin.core import script as op
from onetime_attacks import Knowledge, accepted, any_size, cascades, indices_of, public_key, take_from_below

from bitvm.script.builder import ScriptBuilder, encode_number
from bitvm.script.onetime import (
    NODE,
    NODE_USED,
    PublicKey,
    PublicValueError,
    Slot,
    Window,
    check_public_values,
    forms,
    opening,
)
from bitvm.script.onetime import scheme as scheme_module
from bitvm.script.onetime.chain import chain_from_head, descend, descent_opcodes, item_bytes
from bitvm.script.onetime.scheme import Signature

WORDS = Window(16, 40)


@pytest.fixture
def rng(request):
    return random.Random(request.node.name)


def _shown_script(*keys, tail=b""):
    b = ScriptBuilder([""] * 2 * sum(key.scheme.slots for key in keys))
    forms.show(b, keys)
    b.number(1)
    return b.script()[:-1] + tail + b"\x51"


def _used_script(key, tail=None, *, normalised=False, below=0):
    """Use a key above ``below`` items of the leaf's own and drop everything unseen, or do ``tail(b)`` before."""
    b = ScriptBuilder([""] * (below + 2 * key.scheme.slots))
    forms.use(b, [(key, [str(number) for number in range(key.scheme.numbers)])], normalised=normalised)
    if tail:
        tail(b)
    b.drop(len(b.stack))
    b.number(1)
    return b.script()


def _without(monkeypatch, condition):
    """Remove one condition from every script written from here on."""
    monkeypatch.setattr(forms, condition, lambda *_: None)


# ---- 1


def test_1_all_slots_are_checked(rng):
    key = WORDS.secret_key(rng.randbytes(32))
    signature = key.sign(tuple(rng.randrange(16) for _ in range(40)))
    knowledge = Knowledge(WORDS, key.public, signature, rng)

    first_word = Window(16, 8)
    first_word.levels = WORDS.levels[:8]  # a leaf that opens the slots of the first word only
    public = PublicKey(first_word, key.public[: first_word.chains])
    honest = Signature(signature.slots[:8])
    forged = _first_word_forgery(first_word, knowledge, signature)
    assert forged.indices != honest.indices
    assert accepted(_used_script(public), forms.used_items([honest]))
    assert accepted(_used_script(public), forms.used_items([forged])), "the control must be forged"

    whole = Signature((*forged.slots, *signature.slots[8:]))
    assert not accepted(_used_script(public_key(key)), forms.used_items([whole]))


def _first_word_forgery(first_word, knowledge, signature):
    """Another first word, from chains that the whole signature opened at slots of higher levels."""
    for slot in reversed(range(8)):
        for index in range(16):
            indices = [*signature.indices[:slot], index, *signature.indices[slot + 1 : 8]]
            chains = first_word.chains_of(indices)
            levels = zip(chains, first_word.levels, strict=True)
            known = all(knowledge.known.get(chain, (0, b""))[0] >= level for chain, level in levels)
            if index != signature.indices[slot] and known:
                return knowledge.forge(indices, first_word)
    raise AssertionError("this signature opens no entry of the first word's list later; take another seed")


# ---- 2


def test_2_another_slot_order_reads_another_message(rng):
    key = NODE.secret_key(rng.randbytes(32))
    signature = key.sign(rng.randbytes(24))
    reordered = type(NODE)(54, 38)
    reordered.levels = tuple(reversed(NODE.levels))
    indices = indices_of(NODE, tuple(reversed(NODE.chains_of(signature.indices))))
    slots = zip(indices, reversed(signature.slots), strict=True)
    read_otherwise = Signature(tuple(Slot(index, slot.secret) for index, slot in slots))
    assert read_otherwise.indices != signature.indices
    assert accepted(_shown_script(PublicKey(reordered, key.public)), forms.shown_items([read_otherwise])), "the control"
    assert not accepted(_shown_script(public_key(key)), forms.shown_items([read_otherwise]))


def test_2_one_more_hash_in_one_form_forges_in_the_other(rng):
    """The signer shows every secret one HASH160 higher in one leaf; strangers fill slots of the other leaf anew."""
    key = NODE.secret_key(rng.randbytes(32))
    higher = type(NODE)(54, 38)
    higher.levels = tuple(level + 2 for level in NODE.levels)
    head_room = [chain_from_head(rng.randbytes(20), max(higher.levels) + 2) for _ in range(54)]
    public = tuple(chain[0] for chain in head_room)
    indices = key.sign(rng.randbytes(24)).indices
    chains = NODE.chains_of(indices)

    def opened(levels):
        slots = zip(indices, chains, levels, strict=True)
        return Signature(tuple(Slot(index, head_room[chain][level]) for index, chain, level in slots))

    assert accepted(_shown_script(PublicKey(higher, public)), forms.shown_items([opened(higher.levels)]))
    strangers = Knowledge(higher, public, opened(higher.levels), rng)
    slot = NODE.levels.index(3)  # levels 3 and 5 exchanged: level 3 + 2 is enough for 5
    other = NODE.levels.index(5)
    swapped = list(chains)
    swapped[slot], swapped[other] = swapped[other], swapped[slot]
    vector = indices_of(NODE, swapped)
    forged = forms.shown_items([strangers.forge(vector, NODE)])
    assert accepted(_shown_script(PublicKey(NODE, public)), forged), "the control"
    careful = Knowledge(NODE, public, opened(NODE.levels), rng)
    assert not accepted(_shown_script(PublicKey(NODE, public)), forms.shown_items([careful.forge(vector)]))


# ---- 3


@pytest.mark.parametrize("slot", [0, 7, 20, 37])
def test_3_shown_depth_is_guarded(monkeypatch, rng, slot):
    """A slot takes an item below the list, with a preimage chosen by the attacker: any slot, without any secret."""
    key = NODE.secret_key(rng.randbytes(32))
    honest = key.sign(rng.randbytes(24))
    signature, foreign = take_from_below(NODE, honest, slot, 0, rng)
    forged = [foreign, *forms.shown_items([signature])]
    drop_one = bytes([op.OP_DROP])  # a leaf that goes on with an item of its own below
    guarded = _shown_script(public_key(key), tail=drop_one)
    _without(monkeypatch, "_require_empty_stack")
    unguarded = _shown_script(public_key(key), tail=drop_one)
    assert accepted(unguarded, [b"\x01", *forms.shown_items([honest])])
    assert accepted(unguarded, forged), "the control"
    assert not accepted(guarded, forged)


@pytest.mark.parametrize("scheme", [WORDS, NODE, Window(8, 2)], ids=repr)
@pytest.mark.parametrize("start", [0, 1, -1])
def test_3_used_digits_guard_the_list(monkeypatch, rng, scheme, start):
    """Without the look at the top, one item below the digits is enough to sign without any secret from `start` on."""
    key = scheme.secret_key(rng.randbytes(32))
    honest = forms.used_items([key.open([1] * scheme.slots)])
    forgeries = list(cascades(scheme, [b"\x01", *honest], scheme.slots + 1, start % scheme.slots, rng))
    assert forgeries
    guarded = [_used_script(public_key(key), normalised=normalised, below=1) for normalised in (False, True)]
    for script in guarded:
        assert accepted(script, [b"\x01", *honest])
        assert not any(accepted(script, forged) for forged in forgeries)
    _without(monkeypatch, "_require_number_on_top")
    unguarded = _used_script(public_key(key), below=1)
    assert accepted(unguarded, [b"\x01", *honest])
    assert all(accepted(unguarded, forged) for forged in forgeries), "the control"


def test_3_a_shown_key_next_to_a_used_one_is_guarded(monkeypatch, rng):
    """A slot of the shown key takes an item from below the used key's digits."""
    shown, used = NODE.secret_key(rng.randbytes(32)), Window(16, 4).secret_key(rng.randbytes(32))
    node, words = shown.sign(rng.randbytes(24)), used.sign((1, 2, 3, 4))

    def script():
        b = ScriptBuilder([""] * (1 + 2 * 38 + 8))
        forms.show_and_use(b, [public_key(shown)], [(public_key(used), list("abcd"))], normalised=False)
        b.drop(5)
        b.number(1)
        return b.script()

    guarded = script()
    _without(monkeypatch, "_require_number_on_top")
    unguarded = script()
    assert accepted(guarded, [b"\x01", *forms.show_and_use_items([node], [words])])
    for slot in (0, 20, 37):
        signature, foreign = take_from_below(NODE, node, slot, 4, rng)
        forged = [foreign, *forms.show_and_use_items([signature], [words])]
        assert not accepted(guarded, forged)
        assert accepted(unguarded, forged), "the control"


def test_3_a_later_group_is_guarded_too(monkeypatch, rng):
    """Opened under the first group's digits, the second group reaches through them to an item of the leaf."""
    keys = [Window(16, slots).secret_key(rng.randbytes(32)) for slots in (3, 5)]
    names = [["a", "b", "c"], ["d", "e", "f", "g", "h"]]

    def script():
        b = ScriptBuilder([""] * 17)
        used = [(public_key(key), own) for key, own in zip(keys, names, strict=True)]
        forms.use(b, used, normalised=False)
        b.drop(9)
        b.number(1)
        return b.script()

    honest = [b"\x01", *forms.used_items([key.sign((7,) * key.scheme.slots) for key in keys])]
    level = keys[1].scheme.levels[4]
    preimage = rng.randbytes(item_bytes(level))
    forged = [descend(preimage, level), encode_number(16 + 8), *honest[2:-1], preimage]
    guarded = script()
    assert accepted(guarded, honest)
    assert not accepted(guarded, forged)
    _without(monkeypatch, "_require_number_on_top")
    assert accepted(script(), forged), "the control"


# ---- 4


def _two_lists(scheme, first, second):
    """Both lists on the stack, the second on top: the first key's indices are offset by what lies above its list."""
    b = ScriptBuilder([""] * 4 * scheme.slots)
    b.to_alt(4 * scheme.slots)
    for value in (*reversed(first), *reversed(second)):
        b.data(value)
    for slot, level in enumerate(scheme.levels):
        for offset in (scheme.list_size(slot), 0):  # the first key's slot, then the second key's
            b.from_alt()
            if offset:
                b.number(offset)
                b.add()
            b.apply(op.OP_ROLL, 1)
            b.from_alt()
            opening.require_size(b, item_bytes(level))
            b.apply(descent_opcodes(level), 1, "")
            b.apply(op.OP_EQUALVERIFY, 2)
    b.drop(2 * (scheme.chains - scheme.slots))
    b.number(1)
    return b.script()


def test_4_two_lists_at_once_exchange_chains(rng):
    """In the last slots key A takes B's chain by a negative index, B takes A's by one past its list."""
    keys = [NODE.secret_key(rng.randbytes(32)) for _ in range(2)]
    one, two = (list(key.sign(rng.randbytes(24)).slots) for key in keys)
    last = NODE.slots - 1
    size = NODE.list_size(last)
    alternating = [slot for pair in zip(one, two, strict=True) for slot in pair]
    honest = [item for slot in alternating for item in (encode_number(slot.index), slot.secret)]
    script = _two_lists(NODE, keys[0].public, keys[1].public)
    assert accepted(script, honest)
    a, b = one[last], two[last]
    after = size - 1 + a.index  # where A's chain lies once B's has left the list above it
    forged = [*honest[:-4], encode_number(b.index - size), b.secret, encode_number(after), a.secret]
    assert accepted(script, forged), "the control"

    both = [public_key(key) for key in keys]
    new_a, new_b = Slot(b.index - size, b.secret), Slot(after, a.secret)
    exchanged = [Signature((*one[:last], new_a)), Signature((*two[:last], new_b))]
    assert not accepted(_shown_script(*both), forms.shown_items(exchanged))
    assert accepted(_shown_script(*both), forms.shown_items([Signature(tuple(one)), Signature(tuple(two))]))


# ---- 5, 6


def test_5_normalised_numbers_are_equal_byte_by_byte(rng):
    """A leaf that wins if a digit is not the constant 5, by OP_EQUAL: only minimal numbers make it fair."""
    scheme = Window(16, 4)
    key = scheme.secret_key(rng.randbytes(32))
    items = forms.used_items([key.sign((1, 5, 7, 9))])
    strange = [*items[:2], b"\x05\x00", *items[3:]]
    assert items[2] == b"\x05"

    def claims_inequality(b):
        b.pick("1")
        b.number(5)
        b.binary(op.OP_EQUAL)
        b.unary(op.OP_NOT)
        b.verify()

    raw, minimal = (_used_script(public_key(key), claims_inequality, normalised=yes) for yes in (False, True))
    assert accepted(raw, strange), "the control"
    assert not accepted(minimal, strange)
    assert not accepted(raw, items)
    assert accepted(minimal, forms.used_items([key.open((1, 6, 7, 9))]))


def test_6_clamped_vectors_are_compared_after_the_clamp(rng):
    """Two signatures of one node under two keys, with different vectors: unequal as vectors, equal as nibbles."""
    keys = [NODE_USED.secret_key(rng.randbytes(32)) for _ in range(2)]
    node = b"\xff" * 24
    plain = NODE_USED.encode(node)
    other = (plain[0] + 5, *plain[1:])
    assert NODE_USED.decode(other) == NODE_USED.decode(plain) == node
    assert other != plain, "what a comparison of vectors would take for two nodes"
    expected = NODE_USED.layout.nibbles(plain)

    def is_node(b):
        for name, value in enumerate(expected):
            b.roll(str(name))
            b.number(value)
            b.apply(op.OP_EQUALVERIFY, 2)

    for key, vector in zip(keys, (plain, other), strict=True):
        assert accepted(_used_script(public_key(key), is_node), forms.used_items([key.open(vector)]))


# ---- 7


@pytest.mark.parametrize("scheme", [NODE, WORDS, Window(8, 2)], ids=repr)
@pytest.mark.parametrize("used", [False, True])
def test_7_sizes_are_checked(monkeypatch, rng, scheme, used):
    """The signer makes a chain from an item of odd size; the opponent's copy of a long one would be non-standard."""
    key = scheme.secret_key(rng.randbytes(32))
    signature = key.open([1] * scheme.slots)
    written = _used_script if used else _shown_script
    attacks = []
    for slot, level in enumerate(scheme.levels):
        for size in {0, 19, 20, 21, 31, 32, 33, 80, 81, 520} - {item_bytes(level)}:
            odd_item = rng.randbytes(size)
            values = list(key.public)
            values[scheme.chains_of(signature.indices)[slot]] = descend(odd_item, level)
            public = PublicKey(scheme, tuple(values))
            slots = (*signature.slots[:slot], Slot(1, odd_item), *signature.slots[slot + 1 :])
            items = (forms.used_items if used else forms.shown_items)([Signature(slots)])
            assert not accepted(written(public), items)
            attacks.append((public, items))
    any_size(monkeypatch)
    for public, items in rng.sample(attacks, 10):
        assert accepted(written(public), items), "the control"


# ---- 8


def test_8_public_values_of_a_script_are_distinct_and_20_bytes(rng):
    scheme = Window(4, 2)
    one, two = (scheme.secret_key(rng.randbytes(32)).public for _ in range(2))
    for bad in ((*one[:-1], one[0]), (*one[:-1], one[-1] + b"\x00"), (*one[:-1], b"\x01"), one[:-1]):
        with pytest.raises(PublicValueError):
            PublicKey(scheme, bad)
    sharing = PublicKey(scheme, (*two[:-1], one[2]))
    with pytest.raises(PublicValueError, match="twice"):
        _shown_script(PublicKey(scheme, one), sharing)
    with pytest.raises(PublicValueError, match="twice"):
        forms.show_and_use(ScriptBuilder([""] * 8), [PublicKey(scheme, one)], [(sharing, ["a", "b"])])
    with pytest.raises(PublicValueError, match="twice"):
        check_public_values([one, two, one])


def test_8_a_value_in_two_keys_is_opened_by_the_wrong_signature(monkeypatch, rng):
    scheme = Window(8, 2)
    key = scheme.secret_key(rng.randbytes(32))
    signature = key.sign((3, 5))
    twice = forms.shown_items([signature, signature])
    for module in (forms, scheme_module):
        monkeypatch.setattr(module, "check_public_values", lambda _: None)
    assert accepted(_shown_script(public_key(key), public_key(key)), twice), "the control"
    other = scheme.secret_key(rng.randbytes(32))
    assert not accepted(_shown_script(public_key(key), public_key(other)), twice)


def test_8_a_value_twice_in_a_key_reads_two_messages(monkeypatch, rng):
    scheme = Window(8, 2)
    key = scheme.secret_key(rng.randbytes(32))
    signature = key.sign((3, 5))
    doubled = (*key.public[:6], key.public[3], *key.public[7:])
    elsewhere = Signature((Slot(6, signature.slots[0].secret), Slot(6, signature.slots[1].secret)))
    assert not accepted(_shown_script(public_key(key)), forms.shown_items([elsewhere]))
    for module in (forms, scheme_module):
        monkeypatch.setattr(module, "check_public_values", lambda _: None)
    assert accepted(_shown_script(PublicKey(scheme, doubled)), forms.shown_items([elsewhere])), "the control"


def test_8_a_short_value_would_pass_for_a_number(monkeypatch, rng):
    """The value that is left over on top, where the number is looked for, is one that nobody opened."""
    key = WORDS.secret_key(rng.randbytes(32))
    honest = [b"\x01", *forms.used_items([key.open([1] * 40)])]
    [forged] = cascades(WORDS, honest, 41, 39, rng)
    values = list(key.public)
    values[15] = b"\x05"  # the deepest of the list to the end: index 15 is never opened
    for module in (forms, scheme_module):
        monkeypatch.setattr(module, "check_public_values", lambda _: None)
    short = PublicKey(WORDS, tuple(values))
    assert accepted(_used_script(short, below=1), honest)
    assert accepted(_used_script(short, below=1), forged), "the control"
    assert not accepted(_used_script(public_key(key), below=1), forged)


# ---- 11


def test_11_two_signatures_of_one_key_are_mixed(rng):
    """Why a key signs once: the control of the journal."""
    key = WORDS.secret_key(rng.randbytes(32))
    one = key.sign((1,) + (5,) * 39)
    two = key.sign((2,) + (5,) * 38 + (6,))
    mixed = Signature((*two.slots[:39], one.slots[39]))
    target = WORDS.chains_of(mixed.indices)
    knowledge = Knowledge(WORDS, key.public, two, rng)
    if target[39] != WORDS.chains_of(one.indices)[39]:
        pytest.fail("choose messages whose last slots open the same chain")
    assert mixed.indices not in (one.indices, two.indices)
    assert accepted(_used_script(public_key(key)), forms.used_items([mixed]))
    assert not accepted(_used_script(public_key(key)), forms.used_items([knowledge.forge(mixed.indices)]))
