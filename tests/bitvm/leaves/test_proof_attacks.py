"""A thief at proofs and messages that open several one-time keys: what was not signed is not accepted.

The thief saw one signature of every key, in whatever leaf it was shown. All bodies are taken away here, so that every
number is dropped unseen: nothing is caught by whoever looks at the numbers.
"""

import hashlib
import random
from dataclasses import replace
from functools import cache
from itertools import permutations, product

import pytest
from bitcoin.core import script as op
from bitcoin.core.script import CScript
from leafbench import Spender
from onetime_attacks import Knowledge, broken_slots, exchanged_slots, other_vectors, transpositions, wrong_counts
from proofbench import Bench

from bitvm.leaves.authority import WitnessError
from bitvm.leaves.fields import numbers
from bitvm.leaves.message import Message, nothing
from bitvm.leaves.path.dismiss import ask_dismissals, descend_dismissals, narrow_dismissals
from bitvm.leaves.path.messages import close_messages, inside_messages, path_messages
from bitvm.leaves.path.places import place_proofs
from bitvm.leaves.path.restated import restated_proofs
from bitvm.leaves.path.turns import turn_proofs
from bitvm.leaves.path.words import word_proofs
from bitvm.leaves.proof import Proof, proof_builder
from bitvm.leaves.side import comparisons, detail_message
from bitvm.leaves.verdict import verdict_proofs
from bitvm.script.builder import ScriptBuilder, encode_number
from bitvm.script.onetime import NODE_USED, OneTimeError, Signature, Slot, Window, forms
from bitvm.script.onetime.chain import chain_from_head, descend

LEVELS, WIDTH = 2, 4
SMALL = Bench(LEVELS, WIDTH)


def opening(*keys, hints=()):
    """A proof that only opens keys."""
    return Proof("opening", "", keys, hints, nothing, lambda _: None)


class Target:
    """A leaf with its body taken away, and the witnesses of one-time signatures for it."""

    def __init__(self, bench, what):
        what = replace(what, body=nothing)
        self.bench = bench
        if isinstance(what, Message):
            self.leaf, self.shown, self.used, self.hints = bench.message_leaf(what), what.shown, what.used, ()
            movers = (bench.prover, bench.challenger)
        else:
            self.leaf, self.shown, self.used, self.hints = bench.proof_leaf(what), (), what.keys, (1,) * len(what.hints)
            movers = (bench.challenger,)
        self.spender = Spender(self.leaf.script)
        self.schnorr = [mover.sign(self.spender.sighash()) for mover in reversed(movers)]

    @property
    def keys(self):
        return (*self.used, *self.shown)

    def items(self, signatures):
        shown, used = ([signatures[path] for path in paths] for paths in (self.shown, self.used))
        return forms.show_and_use_items(shown, used, self.hints)

    def accepts(self, items):
        return self.spender.accepts([*items, *self.schnorr])

    def read(self, items):
        """The signatures in a witness, None if it is not to be read or one is not its key's."""
        shown, used = ([self.bench.public[path].scheme for path in paths] for paths in (self.shown, self.used))
        try:
            own_shown, own_used, _ = forms.parse_show_and_use(items, shown, used, len(self.hints))
            found = dict(zip(self.keys, (*own_used, *own_shown), strict=True))
            for path, signature in found.items():
                self.bench.public[path].verify(signature)
        except OneTimeError:
            return None
        return found


# ---- every witness that a thief could make, for small keys

HEAD = hashlib.sha256(b"an item of the thief").digest()[:20]
FOREIGN = chain_from_head(HEAD, 4)
"""A chain that the thief made: its items by level."""

PAIRS = list(product(range(2), repeat=2))

SMALL_TARGETS = {
    "two keys used": opening("Pick_1/group", "Choice_1/digit"),
    "two keys used, the longer one first": opening("Choice_1/digit", "Detail_1/group"),
    "three keys of one slot used": opening("Pick_1/group", "Detail_1/group", "Pick_2/group"),
    "one used, one shown": Message("", shown=("Choice_1/digit",), used=("Detail_1/group",)),
    "two used, one shown": Message("", shown=("Pick_2/group",), used=("Detail_1/group", "Pick_1/group")),
}


def small_witnesses(target, *seen):
    """Every choice of indices, in range, past the list or foreign items, and of secrets that the thief can have.

    seen: what was signed, by path; more than once if somebody signed twice.
    """
    schemes = [SMALL.public[path].scheme for path in target.keys]
    levels = [level for scheme in schemes for level in scheme.levels]
    known = {level: {FOREIGN[level]} for level in levels}
    for path, signature in (item for signed in seen for item in signed.items()):
        for slot, top in zip(signature.slots, SMALL.public[path].scheme.levels, strict=True):
            for level in (level for level in known if level <= top):
                known[level].add(_lowered(slot.secret, top, level))
    secrets = [sorted(known[level]) for level in levels]
    indices = [encode_number(number) for number in range(5)] + [b"\x81", FOREIGN[0]]
    for vector in product(indices, repeat=len(levels)):
        for opened in product(*secrets):
            items = _arrange(target, schemes, vector, opened)
            yield items
            yield [FOREIGN[0], *items]


def _small_signed(target, first):
    schemes = {path: SMALL.public[path].scheme for path in target.keys}
    return {
        path: SMALL.secret(path).sign(tuple((first + slot) % 2 for slot in range(scheme.slots)))
        for path, scheme in schemes.items()
    }


def _assert_none_but_genuine(target, signed, witnesses):
    genuine = target.items(signed)
    assert target.accepts(genuine)
    for witness in witnesses:
        assert witness == genuine or not target.accepts(witness)


@pytest.mark.parametrize("name", SMALL_TARGETS)
def test_witnesses_for_small_keys_say_nothing_else(name):
    target = Target(SMALL, SMALL_TARGETS[name])
    signed = _small_signed(target, 0)
    everything = list(small_witnesses(target, signed))
    assert target.items(signed) in everything
    _assert_none_but_genuine(target, signed, random.Random(name).sample(everything, 2_000))


@pytest.mark.soak
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", SMALL_TARGETS)
def test_no_witness_for_small_keys_says_anything_else(name, first):
    target = Target(SMALL, SMALL_TARGETS[name])
    signed = _small_signed(target, first)
    _assert_none_but_genuine(target, signed, small_witnesses(target, signed))


def test_the_search_finds_what_two_signatures_of_a_key_allow():
    """The control: each key was signed twice, so each message goes with each of the other key."""
    target = Target(SMALL, opening("Pick_1/group", "Detail_1/group"))
    signed = [_small_signed(target, first) for first in (0, 1)]
    mixed = [
        {"Pick_1/group": signed[i]["Pick_1/group"], "Detail_1/group": signed[j]["Detail_1/group"]} for i, j in PAIRS
    ]
    found = [witness for witness in small_witnesses(target, *signed) if target.accepts(witness)]
    assert sorted(found) == sorted(map(target.items, mixed))


def _lowered(item, top, level):
    for current in range(top, level, -1):
        item = hashlib.sha256(item).digest() if current % 2 == 0 else hashlib.new("ripemd160", item).digest()
    return item


def _arrange(target, schemes, vector, opened):
    """Witness items from an index item and a secret for every slot, the used keys' first."""
    used = sum(scheme.slots for scheme in schemes[: len(target.used)])
    alternating = [item for pair in zip(vector[used:], opened[used:], strict=True) for item in pair]
    return [*reversed(vector[:used]), *opened[:used], *alternating]


# ---- large keys, and whole leaves of the game

GAME = Bench(5, 64)


@cache
def target_of(name):
    known = {proof.name: proof for proof in (*comparisons("left", 5, 64), *restated_proofs(5, None))}
    known |= {message.name: message for message in (*path_messages(5, 64), *inside_messages(64), *close_messages())}
    known["detail"] = detail_message(3, 64)
    refuted = ("Path/where", "Close/where", "Path/before_1", "Close/before", "Close/sibling_1")
    known["three nodes used"] = opening(*refuted, hints=("hint",))
    return Target(GAME, known[name])


LARGE = (
    "compare.left.detail_3_2",
    "restated.top.A",
    "three nodes used",
    "detail",
    "path.left_2",
    "path.start",
    "inside.write_words",
    "close.write",
)
every_leaf = pytest.mark.parametrize("name", LARGE)


def sign_anything(target, rng):
    """A signature of every key; those of nodes that are used are clamped here and there."""
    signed = {}
    for path in target.keys:
        secret = target.bench.secret(path)
        scheme = secret.scheme
        if isinstance(scheme, Window):
            signed[path] = secret.sign(tuple(rng.randrange(scheme.width) for _ in range(scheme.slots)))
        elif scheme == NODE_USED and rng.random() < 0.5:
            signed[path] = secret.open([rng.randrange(scheme.list_size(slot)) for slot in range(scheme.slots)])
        else:
            signed[path] = secret.sign(rng.choice([rng.randbytes(24), bytes(24), b"\xff" * 24]))
    return signed


def _thefts(target, signed, rng):
    """Signatures by path, and at last whole witnesses, that differ from the genuine ones."""
    paths = rng.sample(target.keys, min(4, len(target.keys)))
    for path in paths:
        key = target.bench.public[path]
        knowledge = Knowledge(key.scheme, key.values, signed[path], rng)
        forged = [*transpositions(knowledge), *other_vectors(knowledge, 12)]
        forged += broken_slots(key.scheme, key.values, signed[path], rng)
        yield from ({path: signature} for signature in rng.sample(forged, min(len(forged), 30)))
    for one, other in permutations(paths, 2):
        if target.bench.public[one].scheme == target.bench.public[other].scheme:
            yield {one: signed[other]}
        for first, second in rng.sample(list(exchanged_slots(signed[one], signed[other])), 1):
            yield {one: first, other: second}


@every_leaf
def test_what_was_signed_cannot_be_changed(name):
    target, rng = target_of(name), random.Random(f"theft {name}")
    tried = 0
    for _ in range(2):
        signed = sign_anything(target, rng)
        genuine = target.items(signed)
        assert target.accepts(genuine)
        thefts = [target.items({**signed, **forged}) for forged in _thefts(target, signed, rng)]
        thefts += [*wrong_counts(genuine), *_foreign(target, genuine, rng), *_swapped(genuine, rng)]
        for witness in thefts:
            if witness != genuine and target.read(witness) != signed:
                tried += 1
                assert not target.accepts(witness)
    assert tried > 180


def _swapped(genuine, rng):
    """Items exchanged with one another."""
    for _ in range(40):
        witness = genuine[:]
        one, other = rng.sample(range(len(witness)), 2)
        witness[one], witness[other] = witness[other], witness[one]
        yield witness


def _foreign(target, genuine, rng):
    """A slot of a used key takes an item of the thief from under its list: another key's digit, or one more item."""
    schemes = [target.bench.public[path].scheme for path in target.used]
    digits = sum(scheme.slots for scheme in schemes)
    for _ in range(60):
        number = rng.randrange(len(schemes))
        slot = rng.randrange(schemes[number].slots)
        place = sum(scheme.slots for scheme in schemes[:number]) + slot
        level = schemes[number].levels[slot]
        preimage = rng.randbytes(32 if level % 2 else 20)
        under = rng.randrange(digits + 1)  # the depth under the list, the last one of an item of the thief's own
        witness = [b"\x01", *genuine]
        witness[digits - under] = descend(preimage, level)
        witness[digits - place] = encode_number(schemes[number].list_size(slot) + under)
        witness[1 + digits + place] = preimage
        yield witness
        yield witness[1:]


@every_leaf
def test_script_and_readers_agree_on_damaged_witnesses(name):
    target, rng = target_of(name), random.Random(f"damage {name}")
    signed = sign_anything(target, rng)
    genuine = target.items(signed)
    verdicts = {True: 0, False: 0}
    for _ in range(120):
        witness = genuine[: len(genuine) - len(target.hints)]
        place = rng.randrange(len(witness))
        if rng.random() < 0.6:  # mostly indices
            place = rng.choice([at for at, item in enumerate(witness) if len(item) <= 1])
        item = witness[place]
        zeros = item + bytes(rng.randint(1, 3))
        witness[place] = rng.choice([zeros, zeros, item[:-1], bytes([rng.randrange(64)]), b"\x80", rng.choice(witness)])
        witness += genuine[len(witness) :]
        found = target.read(witness)
        assert found in (None, signed)
        assert target.accepts(witness) == (found is not None)
        verdicts[found is not None] += 1
    assert min(verdicts.values()) > 5


def test_a_clamped_node_cannot_be_signed_again_in_another_way():
    """Many index vectors are one node, yet a thief that saw one of them knows none of the others."""
    target, rng = target_of("three nodes used"), random.Random("clamped")
    path = "Close/before"
    key, layout = GAME.public[path], NODE_USED.layout
    wide = [slot for slot in range(NODE_USED.slots) if NODE_USED.list_size(slot) > 1 << layout.bits[slot]]
    assert wide
    largest = [(1 << bits) - 1 for bits in layout.bits]
    for vector in (largest, [NODE_USED.list_size(slot) - 1 for slot in range(NODE_USED.slots)]):
        signed = {**sign_anything(target, rng), path: GAME.secret(path).open(vector)}
        assert target.accepts(target.items(signed))
        assert key.verify(signed[path]) == b"\xff" * 24
        knowledge = Knowledge(NODE_USED, key.values, signed[path], rng)
        for slot in wide:
            for index in range((1 << layout.bits[slot]) - 1, NODE_USED.list_size(slot)):
                other = [*vector[:slot], index, *vector[slot + 1 :]]
                assert NODE_USED.decode(other) == b"\xff" * 24
                forged = target.items({**signed, path: knowledge.forge(other)})
                assert target.accepts(forged) == (other == vector)


# ---- what a body gets


@pytest.mark.parametrize("path_count", [2, 5])
def test_a_body_gets_what_was_signed(path_count):
    """Numbers of several keys, in any encoding, clamped nodes and hints between them: each under its own name."""
    rng = random.Random(f"numbers {path_count}")
    keys = ("Step/index", "Path/before_1", "Detail_2/group", "Close/before", "Step/root_after")[:path_count]
    signed = sign_anything(Target(GAME, opening(*keys)), rng)
    past_the_clamp = [NODE_USED.list_size(slot) - 1 - slot % 2 for slot in range(NODE_USED.slots)]
    signed["Path/before_1"] = GAME.secret("Path/before_1").open(past_the_clamp)
    hints = ("first", "second")

    def body(b: ScriptBuilder) -> None:
        for value in (7, -3):
            b.from_alt()
            _require(b, value)
        for path in rng.sample(keys, len(keys)):
            scheme = GAME.public[path].scheme
            indices = signed[path].indices
            values = indices if scheme.layout is None else scheme.layout.nibbles(indices)
            for name, value in zip(numbers(path, scheme), values, strict=True):
                b.roll(name)
                _require(b, value)

    proof = replace(opening(*keys, hints=hints), body=body)
    spender = Spender(GAME.proof_leaf(proof).script)
    items = GAME.proof_leaf(proof).witness([GAME.challenger.sign(spender.sighash())], signed, (7, -3))
    digits = sum(GAME.public[path].scheme.slots for path in keys)
    assert spender.accepts(items)
    strange = [item.ljust(rng.randint(len(item), 4), b"\0") for item in items[:digits]]
    assert strange != items[:digits]
    assert spender.accepts([*strange, *items[digits:]])
    assert not spender.accepts([*items[:-3], items[-2], items[-3], items[-1]]), "hints exchanged"


def _require(b, value):
    b.number(value)
    b.apply(op.OP_NUMEQUALVERIFY, 2)


# ---- bodies

STRANGE_TO_NUMBERS = {
    *(op.OP_EQUAL, op.OP_EQUALVERIFY, op.OP_SIZE, op.OP_DEPTH, op.OP_IFDUP, op.OP_IF, op.OP_NOTIF),
    *(op.OP_HASH160, op.OP_HASH256, op.OP_SHA256, op.OP_SHA1, op.OP_RIPEMD160),
}
"""Opcodes to which two encodings of one number are two things."""


def _bodies():
    dismissals = (*ask_dismissals(5, 64), *descend_dismissals(64), *narrow_dismissals())
    proofs = [*comparisons("left", 5, 64), *comparisons("right", 5, 64), *verdict_proofs(5, 64), *dismissals]
    proofs += [*place_proofs(5, 64), *word_proofs(), *turn_proofs(), *restated_proofs(5, None)]
    proofs += restated_proofs(5, bytes(24))[-1:]
    yield from ((proof.name, proof.body, proof_builder(proof, GAME.public)) for proof in proofs)
    for message in (*path_messages(5, 64), *inside_messages(64), *close_messages(), detail_message(1, 64)):
        used = opening(*message.used)
        yield message.name, message.body, proof_builder(used, GAME.public)


def test_bodies_do_to_numbers_what_does_not_see_their_encoding():
    for name, body, builder in _bodies():
        body(builder)
        opcodes = {opcode for opcode, _, _ in CScript(builder.script()).raw_iter()}
        assert not opcodes & STRANGE_TO_NUMBERS, name


def test_a_slot_more_or_less_is_an_error_off_chain_too():
    target, rng = target_of("detail"), random.Random(5)
    signed = sign_anything(target, rng)
    slots = signed["Detail_3/group"].slots
    for wrong in (Signature(()), Signature((*slots, Slot(0, bytes(20))))):
        items = target.items({**signed, "Detail_3/group": wrong})
        assert not target.accepts(items)
        with pytest.raises(WitnessError):
            target.leaf.decode([*items, *target.schnorr])
