"""Attestations: real keys, a real journal, a real store; hostile provers, attesters and strangers."""

import json
import random
from dataclasses import replace

import pytest

from bitvm.graph.parameters import Parameters
from bitvm.graph.setting import KeySpec, attest_field, key_plan
from bitvm.keys.journal import Journal
from bitvm.keys.secrets import Secrets
from bitvm.keys.seed import Purpose, Seed
from bitvm.script.onetime import NODE
from bitvm.setup import attestation
from bitvm.setup.attestation import (
    MAX_ATTESTATION_BYTES,
    AnotherRootError,
    AttestationError,
    AttestationRequest,
    AttestationRound,
    Attester,
    ClaimMadeError,
    ForgedRequestError,
    InputNotHeldError,
    NoTryLeftError,
    WrongInputError,
    decode_attestation,
    decode_request,
    encode,
    request_hash,
)
from bitvm.setup.input_store import (
    InputMissingError,
    InputStore,
)
from bitvm.setup.messages import MAX_MESSAGE_BYTES, MessageError
from lvm.boot import input_root
from lvm.layout import INPUT_MAX_BYTES

SETUP = b"\x05" * 32
SEED = Seed(b"\x09" * 32)
INPUT, OTHER = b"the input", b"another input"
CLAIMS, TRIES, ATTESTERS, QUORUM = 2, 3, 3, 2


PARAMETERS = Parameters(
    bytes(24), claims=CLAIMS, levels=2, width=4, challengers=ATTESTERS, attesters=ATTESTERS, quorum=QUORUM, tries=TRIES
)
SLOTS = [(claim, attempt) for claim in range(1, CLAIMS + 1) for attempt in range(TRIES)]
FIELDS = {attest_field(number, attempt) for number in range(1, ATTESTERS + 1) for attempt in range(TRIES)}


def attestation_keys(party: str) -> dict[tuple[int, int], KeySpec]:
    """The keys of an attester by slot and try, out of the key plan."""
    plan = [spec for spec in key_plan(PARAMETERS) if spec.owner == party and spec.field in FIELDS]
    return {(spec.claim, spec.attempt): spec for spec in plan}


class World:
    """A prover and three attesters, each with its own keys and store. One journal for all: a path names its party."""

    def __init__(self, folder) -> None:
        self.folder = folder
        Journal.create(folder / "journal", SEED).close()
        self.journal = Journal.open(folder / "journal", SEED)
        self.prover = Secrets(SEED, self.journal, SETUP, "prover")
        self.attesters = [self.attester(number, self.journal) for number in range(1, ATTESTERS + 1)]

    def attester(self, number: int, journal: Journal) -> Attester:
        secrets = Secrets(SEED, journal, SETUP, f"challenger{number}")
        store = InputStore(self.folder / f"{secrets.party}.inputs")
        keys = attestation_keys(secrets.party)
        return Attester(secrets, store, SETUP, "prover", self.prover.covenant.public_key, keys)

    def round(self, claim: int = 1, data: bytes = INPUT) -> AttestationRound:
        keys = {
            attempt: {
                attester.secrets.party: attester.secrets.public_key(attester.keys[claim, attempt])
                for attester in self.attesters
            }
            for attempt in range(TRIES)
        }
        return AttestationRound(self.prover, SETUP, claim, data, keys, QUORUM)

    def request(self, claim: int = 1, attempt: int = 0, data: bytes = INPUT, **changes) -> bytes:
        root = input_root(data)
        signature = self.prover.sign_schnorr(request_hash(SETUP, claim, attempt, root))
        return encode("prover", replace(AttestationRequest(claim, attempt, root, data, signature), **changes))


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def state(attester: Attester):
    """All that an attester keeps, as another process finds it."""
    with Journal.open(attester.store.path.parent / "journal", SEED) as journal:
        entries = [entry for entry in journal.entries() if entry.path.party == attester.secrets.party]
    return entries, [attester.store.roots(SETUP, claim) for claim in range(1, CLAIMS + 1)]


def with_body(message: bytes, **body) -> bytes:
    decoded = json.loads(message)
    decoded["body"].update(body)
    return json.dumps(decoded, sort_keys=True, separators=(",", ":")).encode()


# ---- the way it is meant


def test_a_quorum_of_one_try_is_assembled(world):
    collected = world.round()
    request = collected.request()
    assert collected.missing() == ("challenger1", "challenger2", "challenger3")
    answers = [attester.attest(request, made=()) for attester in world.attesters]
    collected.accept(answers[2])
    assert collected.attested() is None
    collected.accept(answers[2])
    assert collected.attested() is None, "one attester counts once"
    collected.accept(answers[0])
    found = collected.attested()
    assert (found.attempt, found.input_root) == (0, input_root(INPUT))
    assert list(found.signatures) == ["challenger1", "challenger3"]
    for party, signature in found.signatures.items():
        assert collected.keys[0][party].verify(signature) == input_root(INPUT)
    collected.accept(answers[1])
    assert list(collected.attested().signatures) == ["challenger1", "challenger2"]
    assert collected.missing() == ()
    for attester in world.attesters:
        assert attester.store.read(input_root(INPUT)) == INPUT


def test_a_failed_try_is_repeated_with_the_next_and_never_mixed(world):
    collected = world.round()
    collected.accept(world.attesters[0].attest(collected.request(), ()))
    second = collected.next_try()
    assert decode_request(second)[1].attempt == 1
    assert collected.missing() == ("challenger1", "challenger2", "challenger3"), "all of them again"
    collected.accept(world.attesters[1].attest(second, ()))
    assert collected.attested() is None, "two attesters, of different tries"
    collected.accept(world.attesters[2].attest(second, ()))
    found = collected.attested()
    assert (found.attempt, list(found.signatures)) == (1, ["challenger2", "challenger3"])


def test_a_late_answer_completes_the_earlier_try(world):
    collected = world.round()
    first = collected.request()
    collected.accept(world.attesters[0].attest(first, ()))
    collected.accept(world.attesters[0].attest(collected.next_try(), ()))
    collected.accept(world.attesters[2].attest(first, ()))
    assert collected.attested().attempt == 0


def test_tries_run_out(world):
    collected = world.round()
    assert [decode_request(collected.next_try())[1].attempt for _ in range(TRIES)] == [0, 1, 2]
    with pytest.raises(NoTryLeftError):
        collected.next_try()
    assert collected.attempt == TRIES - 1


def test_the_same_request_gets_the_same_answer_after_a_restart(world):
    request = world.request()
    answer = world.attesters[0].attest(request, ())
    assert world.attesters[0].attest(request, ()) == answer
    again = world.attester(1, Journal.open(world.folder / "journal", SEED))
    assert again.attest(request, ()) == answer
    with pytest.raises(AnotherRootError):
        again.attest(world.request(data=OTHER), ())


def test_slots_and_tries_have_keys_of_their_own(world):
    attester = world.attesters[0]
    inputs = {slot: bytes(slot) for slot in SLOTS}
    answers = [attester.attest(world.request(*slot, data), ()) for slot, data in inputs.items()]
    assert len({decode_attestation(answer)[1].signature for answer in answers}) == len(SLOTS)
    paths = {str(entry.path) for entry in state(attester)[0]}
    assert len(paths) == len(SLOTS)
    for (claim, attempt), data in inputs.items():
        assert input_root(data) in attester.store.roots(SETUP, claim)
        collected = world.round(claim, data)
        collected.accept(answers[SLOTS.index((claim, attempt))])
        for other in answers[: SLOTS.index((claim, attempt))]:
            with pytest.raises(AttestationError):
                collected.accept(other)


# ---- hostile provers and strangers, against an attester


def test_one_key_never_signs_two_roots(world):
    attester = world.attesters[0]
    attester.attest(world.request(), ())
    before = state(attester)
    with pytest.raises(AnotherRootError, match=input_root(OTHER).hex()):
        attester.attest(world.request(data=OTHER), ())
    assert state(attester) == before
    with pytest.raises(InputMissingError):
        attester.store.read(input_root(OTHER))
    attester.attest(world.request(attempt=1, data=OTHER), ())
    with pytest.raises(AnotherRootError):
        attester.attest(world.request(data=OTHER), ())
    assert attester.store.read(input_root(OTHER)) == OTHER, "held for the next try before, and still"


REFUSED = [
    (lambda w: w.request(claim=1), {1}, ClaimMadeError, "has been made"),
    (lambda w: w.request(claim=CLAIMS + 1), (), AttestationError, "no such slot or try"),
    (lambda w: w.request(attempt=TRIES), (), AttestationError, "no such slot or try"),
    (lambda w: w.request(input=OTHER), (), WrongInputError, "has root"),
    (lambda w: w.request(input=bytes(INPUT_MAX_BYTES + 1)), (), WrongInputError, "at most"),
    (lambda w: w.request(signature=bytes(64)), (), ForgedRequestError, "not signed by the prover"),
    (lambda w: w.request(attempt=2, signature=b"\1" * 64), (), ForgedRequestError, "not signed"),
    (lambda w: with_body(w.request(), attempt=2), (), ForgedRequestError, "not signed"),
    (lambda w: with_body(w.request(), claim=2), (), ForgedRequestError, "not signed"),
    (lambda w: with_body(w.request(), input_root="00" * 24), (), ForgedRequestError, "not signed"),
    (lambda w: w.request().replace(b'"prover"', b'"challenger2"'), (), ForgedRequestError, "not signed"),
    (lambda _: b"", (), MessageError, "not a JSON"),
    (lambda _: b"\xff\xfe", (), MessageError, "not a JSON"),
    (lambda _: b"[" * 100_000, (), MessageError, "not a JSON"),
    (lambda _: b"[]", (), MessageError, "an object needed"),
    (lambda w: w.request() + b" ", (), MessageError, "one form"),
    (lambda w: w.request().replace(b'"claim":1', b'"claim":2,"claim":1'), (), MessageError, "one form"),
    (lambda w: w.request().replace(b'"kind":"attestation request"', b'"kind":"offer"'), (), MessageError, "kind"),
    (lambda w: with_body(w.request(), extra=1), (), MessageError, "unknown fields"),
    (lambda w: with_body(w.request(), claim=True), (), MessageError, "a number from 1"),
    (lambda w: with_body(w.request(), claim=0), (), MessageError, "a number from 1"),
    (lambda w: with_body(w.request(), attempt=-1), (), MessageError, "a number from 0"),
    (lambda w: with_body(w.request(), attempt=1.0), (), MessageError, "a number from 0"),
    (lambda w: with_body(w.request(), attempt=10**30), (), MessageError, "a number from 0"),
    (lambda w: with_body(w.request(), input=None), (), MessageError, "hexadecimal"),
    (lambda w: with_body(w.request(), input=INPUT.hex().upper()), (), MessageError, "one form"),
    (lambda w: with_body(w.request(), input_root="00"), (), MessageError, "24 bytes"),
    (lambda w: with_body(w.request(), signature="00"), (), MessageError, "64 bytes"),
    (lambda _: b" " * (MAX_MESSAGE_BYTES + 1), (), MessageError, "at most"),
]


def test_what_an_attester_refuses_changes_nothing(world):
    attester = world.attesters[0]
    attester.attest(world.request(claim=2), ())
    before = state(attester)
    for make, made, kind, words in REFUSED:
        with pytest.raises(kind, match=words):
            attester.attest(make(world), made)
        assert state(attester) == before
    assert attester.attest(world.request(data=OTHER), ()), "and the key is still free"


def test_a_request_of_another_setup_is_not_the_provers(world):
    root = input_root(INPUT)
    elsewhere = world.prover.sign_schnorr(request_hash(b"\x06" * 32, 1, 0, root))
    with pytest.raises(ForgedRequestError):
        world.attesters[0].attest(world.request(signature=elsewhere), ())


def test_what_cannot_be_stored_is_not_signed(world):
    attester = world.attesters[0]
    attester.store._database.execute("PRAGMA query_only = 1")
    with pytest.raises(InputNotHeldError, match="cannot be held"):
        attester.attest(world.request(), ())
    attester.store._database.execute("PRAGMA query_only = 0")
    assert state(attester) == ([], [(), ()])
    assert attester.attest(world.request(data=OTHER), ()), "the key was not used up"


def test_a_full_disk_is_not_signed_for(world):
    attester = world.attesters[0]
    attester.store._database.execute("PRAGMA max_page_count = 10")
    big = random.Random(1).randbytes(100_000)
    with pytest.raises(InputNotHeldError, match="full"):
        attester.attest(world.request(data=big), ())
    assert state(attester) == ([], [(), ()])
    assert attester.attest(world.request(), ())


def test_the_bytes_are_on_disk_before_the_signature_is_made(world, monkeypatch):
    """Whoever is stopped between the two has signed nothing it does not hold; seen from another connection."""
    attester = world.attesters[0]

    class StoppedError(Exception):
        pass

    def stop(*_):
        with InputStore(attester.store.path) as other:
            assert other.read(input_root(INPUT)) == INPUT
        raise StoppedError

    monkeypatch.setattr(type(attester.secrets), "sign_once", stop)
    with pytest.raises(StoppedError):
        attester.attest(world.request(), ())


def test_the_largest_input_goes_through(world):
    data = random.Random(2).randbytes(INPUT_MAX_BYTES)
    collected = world.round(data=data)
    collected.accept(world.attesters[0].attest(collected.request(), ()))
    assert world.attesters[0].store.read(input_root(data)) == data


# ---- hostile attesters and strangers, against the prover


def test_what_the_prover_refuses_is_not_collected(world):
    collected = world.round()
    request = collected.request()
    good = world.attesters[0].attest(request, ())
    signature = json.loads(good)["body"]["signature"]
    flipped = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    other_index = f"{(int(signature[:2], 16) + 1) % 54:02x}" + signature[2:]
    other_root = world.attesters[1].attest(world.request(data=OTHER), ())
    as_if = with_body(other_root, input_root=input_root(INPUT).hex())
    other_claim = world.attesters[0].attest(world.request(claim=2), ())
    other_try = world.attesters[0].attest(world.request(attempt=1), ())
    refused = [
        (with_body(good, signature=flipped), AttestationError, "does not open"),
        (with_body(good, signature=other_index), AttestationError, "does not open"),
        (with_body(good, signature="7f" + signature[2:]), AttestationError, "list of 54"),
        (with_body(good, signature=signature[2:]), MessageError, "bytes needed"),
        (with_body(good, signature=signature + "00"), MessageError, "bytes needed"),
        (good.replace(b"challenger1", b"challenger2"), AttestationError, "does not open"),
        (good.replace(b"challenger1", b"challenger9"), AttestationError, "not an attester"),
        (good.replace(b"challenger1", b"prover"), AttestationError, "not an attester"),
        (other_root, AttestationError, "root"),
        (as_if, AttestationError, "the signature is of"),
        (other_claim, AttestationError, "not a try of slot 1"),
        (with_body(other_claim, claim=1), AttestationError, "does not open"),
        (with_body(other_try, attempt=0), AttestationError, "does not open"),
        (with_body(good, attempt=TRIES), AttestationError, "not a try"),
        (request, MessageError, "kind"),
        (with_body(good, more="x"), MessageError, "unknown fields"),
        (good + b"\n", MessageError, "one form"),
        (good[:-1], MessageError, "not a JSON"),
        (b" " * (MAX_ATTESTATION_BYTES + 1), MessageError, "at most"),
        (with_body(good, signature="00" * MAX_ATTESTATION_BYTES), MessageError, "at most"),
    ]
    for message, kind, words in refused:
        with pytest.raises(kind, match=words):
            collected.accept(message)
        assert len(collected.missing()) == ATTESTERS
    collected.accept(good)
    assert collected.missing() == ("challenger2", "challenger3")


def test_a_label_that_is_no_node_is_no_attestation(world):
    attester = world.attesters[0]
    key = attester.keys[1, 0]
    path = attester.secrets._one_time_path(key)
    secret = NODE.secret_key(SEED.prf(Purpose.ONE_TIME, bytes(path), NODE.name.encode()))
    label = [NODE.list_size(slot) - 1 for slot in range(NODE.slots)]
    good = attester.attest(world.request(), ())
    strange = with_body(good, signature=attestation.signature_bytes(secret.open(label)).hex())
    collected = world.round()
    with pytest.raises(AttestationError, match="encodes no node"):
        collected.accept(strange)
    collected.accept(good)


def test_a_quorum_that_nobody_reaches_is_refused(world):
    good = world.round()
    for quorum in (0, ATTESTERS + 1):
        with pytest.raises(AttestationError, match="needed"):
            AttestationRound(world.prover, SETUP, 1, INPUT, good.keys, quorum)
    with pytest.raises(AttestationError, match="needed"):
        AttestationRound(world.prover, SETUP, 1, INPUT, {}, 1)
