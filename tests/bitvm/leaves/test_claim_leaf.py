"""Claim with attesters under Core's engine: who agrees is let through, and nothing that only looks like it is."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from leafbench import Spender
from onetime_attacks import Knowledge, cascades, exchanged_slots, other_vectors, public_key, transpositions

from bitvm.graph.setting import CLAIM_FIELDS
from bitvm.keys.schnorr import SigningKey
from bitvm.leaves.authority import CovenantLeaf, WitnessError
from bitvm.leaves.claim import ATTESTED, ClaimLeaf
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.script.builder import MAX_STACK_ITEMS, encode_number
from bitvm.script.onetime import NODE, NODE_USED, FormError, PublicKey, PublicValueError, SecretKey, Signature, Slot
from bitvm.script.onetime.agreement import agreed_items
from bitvm.script.onetime.chain import descend, item_bytes
from bitvm.script.weight import vsize, witness_weight
from lvm.layout import HASH_BYTES

WIDTH = 64
STANDARD_ITEM = 80
MOVERS = tuple(SigningKey(bytes([number]) * 32) for number in (1, 2, 3))
PARTIES = {"signers": ("prover", "challenger1", "challenger2"), "keys": tuple(key.public_key for key in MOVERS)}
SLOTS = NODE.slots
SHOWN = 2 * 2 * SLOTS
"""Items below those of the root: the signatures of the two other nodes."""


def secret(name: str) -> SecretKey:
    return NODE.secret_key(hashlib.sha256(name.encode()).digest())


CLAIM = {name: secret(f"claim {name}") for name in CLAIM_FIELDS}
ATTESTERS = {f"challenger{number}": secret(f"attest {number} 1") for number in range(1, 5)}


def claim_leaf(attesters: int, **changes: PublicKey) -> ClaimLeaf:
    fields = {name: public_key(key) for name, key in CLAIM.items()}
    public = {name: public_key(key) for name, key in list(ATTESTERS.items())[:attesters]}
    return ClaimLeaf("claim", **PARTIES, fields=fields, list_length=WIDTH - 1, attesters=public | changes)


class Bench:
    """A claim leaf spent by one transaction, with everybody's Schnorr signatures."""

    def __init__(self, leaf: ClaimLeaf) -> None:
        self.leaf = leaf
        self._spender = Spender(leaf.script)
        self.schnorr = [key.sign(self._spender.sighash()) for key in MOVERS]
        rng = random.Random(5)
        self.listed = tuple(rng.randbytes(HASH_BYTES) for _ in range(WIDTH - 1))
        self.signed = {name: key.sign(rng.randbytes(HASH_BYTES)) for name, key in CLAIM.items()}

    def items(self, prover: Signature, attested: Sequence[Signature]) -> list[bytes]:
        named = dict(zip(self.leaf.attesters, attested, strict=True))
        return self.leaf.witness(self.schnorr, self.signed | {ATTESTED: prover} | named, self.listed)

    def mixed(self, indices: Sequence[int], signatures: Sequence[Signature]) -> list[bytes]:
        """The witness with one index vector and the secrets of signatures that need not be of it."""
        return self.items(*self._relabelled(indices, signatures))

    @staticmethod
    def _relabelled(indices: Sequence[int], signatures: Sequence[Signature]) -> tuple[Signature, list[Signature]]:
        prover, *attested = [
            Signature(tuple(Slot(index, slot.secret) for index, slot in zip(indices, signature.slots, strict=True)))
            for signature in signatures
        ]
        return prover, attested

    def accepts(self, items: Sequence[bytes]) -> bool:
        return self._spender.accepts(items)

    def refuses(self, items: Sequence[bytes]) -> bool:
        """Whether Script and the reader refuse alike."""
        with pytest.raises(WitnessError):
            self.leaf.decode(items)
        return not self.accepts(items)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(claim_leaf(2))


@pytest.fixture
def rng(request) -> random.Random:
    return random.Random(request.node.name)


def all_sign(node: bytes, attesters: int = 2) -> list[Signature]:
    return [key.sign(node) for key in (CLAIM[ATTESTED], *list(ATTESTERS.values())[:attesters])]


def changed(items: Sequence[bytes], place: int, item: bytes) -> list[bytes]:
    return [*items[:place], item, *items[place + 1 :]]


# ---- what is meant to pass


@pytest.mark.parametrize("attesters", range(1, 5))
def test_everybody_signs_one_root(attesters, rng):
    bench = Bench(claim_leaf(attesters))
    for node in (rng.randbytes(24), bytes(24), b"\xff" * 24):
        prover, *attested = all_sign(node, attesters)
        items = bench.items(prover, attested)
        assert bench.accepts(items)
        assert all(len(item) <= size for item, size in zip(items, bench.leaf.item_sizes(), strict=True))
        read = bench.leaf.decode(items)
        assert read.nodes[ATTESTED] == node
        assert read.listed == bench.listed
        assert list(read.signatures) == list(CLAIM_FIELDS)
        assert read.signatures == bench.signed | {ATTESTED: prover}
        assert read.attestations == dict(zip(bench.leaf.attesters, attested, strict=True))


def test_without_attesters_it_is_a_commitment():
    leaf = claim_leaf(0)
    plain = CommitmentLeaf("claim", **PARTIES, fields=leaf.fields, list_length=WIDTH - 1)
    bench = Bench(leaf)
    items = bench.items(bench.signed[ATTESTED], [])
    assert (leaf.script, leaf.item_sizes()) == (plain.script, plain.item_sizes())
    assert items == plain.witness(bench.schnorr, bench.signed, bench.listed)
    assert bench.accepts(items)
    read, expected = leaf.decode(items), plain.decode(items)
    assert (read.signatures, read.nodes, read.listed) == (expected.signatures, expected.nodes, expected.listed)
    assert read.attestations == {}


def test_a_label_that_is_no_node_is_agreed_on_and_read_as_none(bench):
    """All of them would have to sign it; it equals no hash, so the claim is false and not unreadable."""
    label = [NODE.list_size(slot) - 1 for slot in range(SLOTS)]
    prover, *attested = [key.open(label) for key in (CLAIM[ATTESTED], *list(ATTESTERS.values())[:2])]
    items = bench.items(prover, attested)
    assert bench.accepts(items)
    read = bench.leaf.decode(items)
    assert read.nodes[ATTESTED] is None
    assert [signature.indices for signature in read.attestations.values()] == [tuple(label)] * 2
    other = [*label[:-1], label[-1] - 1]
    assert bench.refuses(bench.mixed(label, [prover, attested[0], list(ATTESTERS.values())[1].open(other)]))


def test_padded_indices_say_the_same(bench, rng):
    prover, *attested = all_sign(rng.randbytes(24))
    items = bench.items(prover, attested)
    genuine = bench.leaf.decode(items)
    padded = [item.ljust(rng.randint(2, 4), b"\0") if len(item) <= 1 else item for item in items]
    assert bench.accepts(padded)
    assert bench.leaf.decode(padded) == genuine
    digit = SHOWN + SLOTS - 1
    assert bench.refuses(changed(items, digit, items[digit].ljust(5, b"\0")))


# ---- labels that differ


def test_labels_that_differ_are_refused_whichever_vector_is_shown(bench, rng):
    """Each of the three signs another root than the two others; the witness can hold one vector only."""
    one, other = rng.randbytes(24), rng.randbytes(24)
    agreed, strayed = all_sign(one), all_sign(other)
    assert bench.accepts(bench.mixed(agreed[0].indices, agreed)), "the control"
    for place in range(3):
        signatures = [*agreed[:place], strayed[place], *agreed[place + 1 :]]
        for indices in (agreed[0].indices, strayed[0].indices):
            assert bench.refuses(bench.mixed(indices, signatures))
        with pytest.raises(WitnessError, match="different labels"):
            bench.items(signatures[0], signatures[1:])


def test_labels_that_differ_in_one_slot_are_refused(bench, rng):
    """The prover moves one slot to a neighbour; the attesters' secrets of the other slots still fit."""
    node = rng.randbytes(24)
    signatures = all_sign(node)
    indices = list(signatures[0].indices)
    for slot in range(SLOTS):
        moved = [*indices[:slot], (indices[slot] + 1) % NODE.list_size(slot), *indices[slot + 1 :]]
        prover = CLAIM[ATTESTED].open(moved)
        assert bench.refuses(bench.mixed(moved, [prover, *signatures[1:]]))
        assert bench.refuses(bench.mixed(indices, [prover, *signatures[1:]]))
    both = [key.open(moved) for key in list(ATTESTERS.values())[:2]]
    assert bench.accepts(bench.mixed(moved, [prover, *both])), "the control: attesters who sign twice"


@pytest.mark.parametrize("attester", [0, 1])
def test_an_attestation_is_not_forged_from_another(bench, rng, attester):
    """The prover holds an attestation of one root and wants it for another, which it signs itself."""
    owner = list(ATTESTERS.values())[attester]
    signature = owner.sign(rng.randbytes(24))
    knowledge = Knowledge(NODE, owner.public, signature, rng)
    forgeries = [*other_vectors(knowledge, 40), *rng.sample(list(transpositions(knowledge)), 60)]
    for forged in forgeries:
        accomplices = [CLAIM[ATTESTED].open(forged.indices)]
        accomplices += [key.open(forged.indices) for key in list(ATTESTERS.values())[:2]]
        assert bench.accepts(bench.mixed(forged.indices, accomplices)), "the control"
        accomplices[1 + attester] = forged
        assert not bench.accepts(bench.mixed(forged.indices, accomplices))


# ---- attestations of others


def test_an_attester_counts_once_and_for_itself(bench, rng):
    """Nobody's signature stands for another's: not the prover's, not one attester's twice, not one of another try."""
    node = rng.randbytes(24)
    prover, first, second, third, _ = all_sign(node, 4)
    later_try = secret("attest 2 2").sign(node)
    for attested in ([first, first], [second, first], [first, third], [prover, second], [first, later_try]):
        assert bench.refuses(bench.items(prover, attested))
    assert bench.refuses(bench.items(first, [prover, second]))
    for (a, b), rest in (((prover, first), second), ((first, second), prover)):
        for one, other in exchanged_slots(a, b):
            mixed = [one, other, rest] if rest is second else [rest, one, other]
            assert (one, other) == (a, b) or bench.refuses(bench.mixed(prover.indices, mixed))


def test_a_leaf_wants_its_attesters(bench, rng):
    prover, first, second, third = all_sign(rng.randbytes(24), 3)
    for named in ({}, {"challenger1": first}, {"challenger1": first, "challenger3": third}):
        with pytest.raises(WitnessError, match="not attested by"):
            bench.leaf.witness(bench.schnorr, bench.signed | {ATTESTED: prover} | named, bench.listed)
    items = bench.items(prover, [first, second])
    secrets = slice(SHOWN + 3 * SLOTS, SHOWN + 4 * SLOTS)
    assert bench.refuses([*items[: secrets.start], *items[secrets.stop :]])
    plain = Bench(claim_leaf(0))
    assert not bench.accepts([*plain.items(prover, [])[: -len(MOVERS)], *reversed(bench.schnorr)])


def test_keys_that_cannot_agree_are_refused():
    prover = public_key(CLAIM[ATTESTED])
    with pytest.raises(PublicValueError):
        _ = claim_leaf(1, challenger9=prover).script
    with pytest.raises(PublicValueError):
        _ = claim_leaf(1, challenger9=public_key(CLAIM["final_root"])).script
    with pytest.raises(FormError, match="fields and attesters"):
        _ = claim_leaf(1, final_root=public_key(secret("free"))).script
    with pytest.raises(FormError, match="one scheme"):
        _ = claim_leaf(1, challenger9=public_key(NODE_USED.secret_key(bytes(32)))).script
    used = {name: public_key(NODE_USED.secret_key(bytes([n]) * 32)) for n, name in enumerate((ATTESTED, "a"))}
    leaf = claim_leaf(0)
    with pytest.raises(FormError, match="nibbles"):
        _ = replace(leaf, fields=leaf.fields | {ATTESTED: used[ATTESTED]}, attesters={"a": used["a"]}).script
    with pytest.raises(FormError, match="different labels"):
        agreed_items([CLAIM[ATTESTED].sign(bytes(24)), ATTESTERS["challenger1"].sign(b"\1" * 24)])


# ---- items


def test_every_item_of_the_root_is_checked(bench, rng):
    """Any index or secret, of the prover or of either attester, replaced by what must not pass in its place."""
    prover, *attested = all_sign(rng.randbytes(24))
    items = bench.items(prover, attested)
    for place in range(SHOWN, SHOWN + SLOTS):
        index = items[place][0] if items[place] else 0
        slot = SHOWN + SLOTS - 1 - place
        size = NODE.list_size(slot)
        for other in (index + 1, index - 1, -1, -index - 2, index + size, size, size + SLOTS, 127):
            assert bench.refuses(changed(items, place, encode_number(other)))
    for place in range(SHOWN + SLOTS, SHOWN + 4 * SLOTS):
        secret_item = items[place]
        for other in (b"", secret_item[:-1], secret_item + b"\0", rng.randbytes(len(secret_item)), rng.randbytes(81)):
            assert bench.refuses(changed(items, place, other))
    for one, next_one in pairwise(range(SHOWN + SLOTS, SHOWN + 4 * SLOTS)):
        swapped = changed(changed(items, one, items[next_one]), next_one, items[one])
        assert bench.refuses(swapped)


def test_an_index_past_a_list_finds_nothing(bench, rng):
    """Items below the prover's list that are 20 bytes with a known preimage; nothing below, or one more item."""
    prover, *attested = all_sign(rng.randbytes(24))
    items = bench.items(prover, attested)
    under = SHOWN + SLOTS
    attacks = []
    for slot, level in enumerate(NODE.levels):
        for depth in {0, 1, SLOTS - 1, SLOTS, under - 1} - {slot}:
            preimage = rng.randbytes(item_bytes(level))
            witness = changed(items, under - 1 - depth, descend(preimage, level))
            witness[under - 1 - slot] = encode_number(NODE.list_size(slot) + depth)
            witness[under + slot] = preimage
            attacks.append(witness)
        attacks += cascades(NODE, items, under, slot, rng)
    attacks += [[item, *items] for item in (b"", b"\1", bytes(20), bytes(72))]
    assert len(attacks) > 200
    assert not any(map(bench.accepts, attacks))


@pytest.mark.parametrize("attester", [0, 1])
def test_a_secret_of_another_size_is_refused(rng, attester):
    """Its owner makes a chain from an item of odd size, and the prover takes it: no size but the level's passes."""
    name, owner = list(ATTESTERS.items())[attester]
    signatures = all_sign(rng.randbytes(24))
    for slot in range(0, SLOTS, 6):
        level = NODE.levels[slot]
        for size in {0, 19, 20, 32, 33, 81, 520} - {item_bytes(level)}:
            odd = rng.randbytes(size)
            values = list(owner.public)
            values[NODE.chains_of(signatures[0].indices)[slot]] = descend(odd, level)
            bench = Bench(claim_leaf(2, **{name: PublicKey(NODE, tuple(values))}))
            slots = list(signatures[1 + attester].slots)
            slots[slot] = Slot(slots[slot].index, odd)
            strange = [*signatures[: 1 + attester], Signature(tuple(slots)), *signatures[2 + attester :]]
            assert bench.refuses(bench.mixed(signatures[0].indices, strange))


# ---- size


WEIGHTS = {0: 10_849, 1: 13_818, 2: 16_748, 3: 19_678, 4: 22_608}
"""Largest witness items and script, in weight units, by attesters."""
HONEST_CLAIM = (4_478, 420)
"""Claim and Payout in vB."""


def filled(sizes: Sequence[int]) -> list[bytes]:
    return [b"\1" * size for size in sizes]


def spending(inputs: Sequence[Sequence[bytes]], outputs: int) -> CTransaction:
    """A transaction to Taproot outputs, with these witness stacks."""
    coins = [CTxIn(COutPoint(b"\1" * 32, index)) for index in range(len(inputs))]
    paid = [CTxOut(330, CScript(b"\x51\x20" + bytes(32)))] * outputs
    witness = CTxWitness([CTxInWitness(CScriptWitness(stack)) for stack in inputs])
    return CTransaction(coins, paid, nVersion=3, witness=witness)


def test_an_honest_claim_costs_what_it_may():
    """Two challengers that both attest, three tries: Claim and Payout, every item of its largest size."""
    weights = {
        attesters: witness_weight([*filled(claim_leaf(attesters).item_sizes()), claim_leaf(attesters).script])
        for attesters in range(5)
    }
    assert weights == WEIGHTS
    leaf = claim_leaf(2)
    three_tries_and_withdraw = 33 + 2 * 32
    stack = [*filled(leaf.item_sizes()), leaf.script, bytes(three_tries_and_withdraw)]
    bond, connector_1, connector_2, following, anchor = range(5)
    claim = spending([stack], len((bond, connector_1, connector_2, following, anchor)))
    covenants = [CovenantLeaf("covenant", PARTIES["signers"][:n], PARTIES["keys"][:n]) for n in (3, 2, 2)]
    payout = spending([[*filled(leaf.item_sizes()), leaf.script, bytes(33)] for leaf in covenants], 2)
    assert (vsize(claim), vsize(payout)) == HONEST_CLAIM
    assert sum(HONEST_CLAIM) <= 5_000


def test_items_stay_within_consensus_and_policy():
    """The builder refuses a script whose stacks grow beyond 1,000 items; 17 parties, lists of 255, four attesters."""
    many = {"signers": tuple(f"party{n}" for n in range(17)), "keys": (PARTIES["keys"] * 6)[:17]}
    leaf = replace(claim_leaf(4), **many, list_length=255)
    assert leaf.script
    assert len(leaf.item_sizes()) + NODE.chains <= MAX_STACK_ITEMS
    assert max(leaf.item_sizes()) + 1 <= STANDARD_ITEM
