"""Attestations: how the prover gets signatures that the input of its next claim is held by others.

    1  AttestationRequest   prover -> every attester: claim slot, try number, the input's bytes; the prover's Schnorr
                            signature, so that nobody else can use up an attester's keys
    2  Attestation          attester -> prover: a one-time signature over ``input_root``, under the key of slot and try

An attester signs when it holds the bytes durably, and records what it signs before it signs (`Secrets.sign_once`). So a
key signs one root, whatever happens; the same request gets the same answer again, after a crash too. It refuses a slot
whose claim is made already, where a signature could help nobody but a forger.

Script accepts the signatures of one try only. An attester that fails leaves a try unfinished, and the prover asks all
of them again with the next: what was signed in the earlier try stays good and is never mixed with it.

A message that is refused changes nothing, neither in the store nor in the journal nor in what was collected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from bitvm.keys.journal import AlreadySigned
from bitvm.keys.schnorr import SIGNATURE_BYTES, verify
from bitvm.keys.secrets import OneTimeKeySpec, Secrets
from bitvm.script.onetime import OneTimeError, Signature, Slot
from bitvm.script.onetime.chain import item_bytes
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme
from bitvm.setup.input_store import InputStore, InputStoreError
from bitvm.setup.messages import (
    MAX_MESSAGE_BYTES,
    MessageError,
    hex_field,
    read_envelope,
    take_fields,
    write_envelope,
)
from lvm.boot import InputTooLargeError, input_root
from lvm.layout import HASH_BYTES

MAX_ATTESTATION_BYTES = 8_192
"""No attestation is larger as a message (a NODE signature has 1,100 bytes or so); above that it is refused unread."""

MAX_NUMBER = 2**16 - 1
"""Largest number of a slot or try that a message may name. Slots count from 1, tries from 0."""

_TAG = hashlib.sha256(b"bitvm attestation request").digest()


class AttestationError(ValueError):
    """A request or an attestation that is refused; says whose it is and why. Nothing has changed."""


class ForgedRequestError(AttestationError):
    """The request is not the prover's."""


class ClaimMadeError(AttestationError):
    """The slot's claim has been made."""


class AnotherRootError(AttestationError):
    """The key of this slot and try has signed another root."""


class WrongInputError(AttestationError):
    """The bytes are not those of the root, or more than INPUT holds."""


class InputNotHeldError(AttestationError):
    """The bytes could not be stored, so their root is not signed."""


class NoTryLeftError(AttestationError):
    """Every try of the slot has been asked for."""


# ---- messages


def _number_from(first: int) -> Callable[[Any, str], int]:
    def read(value: Any, where: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not first <= value <= MAX_NUMBER:
            raise MessageError(f"{where}: a number from {first} to {MAX_NUMBER} needed, got {value!r:.40}")
        return value

    return read


_NUMBERS = {"claim": _number_from(1), "attempt": _number_from(0)}


@dataclass(frozen=True, slots=True)
class AttestationRequest:
    """``claim`` from 1, ``attempt`` from 0; ``input_root``: 24 bytes; ``input``: the bytes that have it.

    ``signature``: the prover's, 64 bytes, over `request_hash`.
    """

    claim: int
    attempt: int
    input_root: bytes
    input: bytes
    signature: bytes

    KIND = "attestation request"
    MAX_BYTES = MAX_MESSAGE_BYTES

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "claim": self.claim,
            "attempt": self.attempt,
            "input_root": self.input_root.hex(),
            "input": self.input.hex(),
            "signature": self.signature.hex(),
        }

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fields; raises MessageError."""
        readers = {
            **_NUMBERS,
            "input_root": hex_field(HASH_BYTES),
            "input": hex_field(),
            "signature": hex_field(SIGNATURE_BYTES),
        }
        return cls(**take_fields(body, cls.KIND, **readers))


@dataclass(frozen=True, slots=True)
class Attestation:
    """``claim`` from 1, ``attempt`` from 0; ``input_root``: 24 bytes; ``signature``: `signature_bytes` of it."""

    claim: int
    attempt: int
    input_root: bytes
    signature: bytes

    KIND = "attestation"
    MAX_BYTES = MAX_ATTESTATION_BYTES

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "claim": self.claim,
            "attempt": self.attempt,
            "input_root": self.input_root.hex(),
            "signature": self.signature.hex(),
        }

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fields; raises MessageError."""
        readers = {**_NUMBERS, "input_root": hex_field(HASH_BYTES), "signature": hex_field()}
        return cls(**take_fields(body, cls.KIND, **readers))


Body = AttestationRequest | Attestation
BodyT = TypeVar("BodyT", AttestationRequest, Attestation)


def encode(party: str, body: Body) -> bytes:
    """Return a message of ``party`` as bytes, in the one form that `decode` takes."""
    return write_envelope(body.KIND, party, body.body())


def decode_request(data: bytes) -> tuple[str, AttestationRequest]:
    """Return sender and body of a request; raises MessageError."""
    return _decode(data, AttestationRequest)


def decode_attestation(data: bytes) -> tuple[str, Attestation]:
    """Return sender and body of an attestation; raises MessageError."""
    return _decode(data, Attestation)


def _decode(data: bytes, kind: type[BodyT]) -> tuple[str, BodyT]:
    name, party, fields = read_envelope(data, kind.MAX_BYTES)
    if name != kind.KIND:
        raise MessageError(f"message.kind: {kind.KIND!r} needed, got {name!r:.40}")
    body = kind.read(fields)
    if encode(party, body) != data:
        raise MessageError(f"{body.KIND}: not in the one form it has as bytes")
    return party, body


def request_hash(setup: bytes, claim: int, attempt: int, root: bytes) -> bytes:
    """Return the 32 bytes that the prover signs to ask: a tagged hash (BIP340), so no transaction's."""
    numbers = claim.to_bytes(4, "big") + attempt.to_bytes(4, "big")
    return hashlib.sha256(_TAG + _TAG + setup + numbers + root).digest()


def signature_bytes(signature: Signature) -> bytes:
    """Return a one-time signature as bytes: index (one byte) and secret of each slot."""
    return b"".join(bytes([slot.index]) + slot.secret for slot in signature.slots)


def read_signature(scheme: AnyScheme, data: bytes) -> Signature:
    """Read `signature_bytes` back; raises MessageError on another size than the scheme's."""
    sizes = [1 + item_bytes(level) for level in scheme.levels]
    if len(data) != sum(sizes):
        raise MessageError(f"{Attestation.KIND}.signature: {sum(sizes)} bytes needed, got {len(data)}")
    slots, start = [], 0
    for size in sizes:
        slots.append(Slot(data[start], data[start + 1 : start + size]))
        start += size
    return Signature(tuple(slots))


# ---- the attester


@dataclass(frozen=True)
class Attester:
    """One attester of a set-up.

    setup: the set-up id, 32 bytes. prover, prover_key: name and x-only covenant key of the prover. keys: the
    attester's own keys by claim slot and try.
    """

    secrets: Secrets
    store: InputStore
    setup: bytes
    prover: str
    prover_key: bytes
    keys: Mapping[tuple[int, int], OneTimeKeySpec]

    def attest(self, data: bytes, made: Collection[int]) -> bytes:
        """Answer a request; ``made``: the slots whose Claim the chain or the mempool has shown.

        Raises MessageError for what is no request, and an AttestationError for one that is refused.
        """
        party, request = decode_request(data)
        spec = self._permitted(party, request, made)
        root = request.input_root
        try:
            added = self.store.keep(self.setup, request.claim, request.input)
        except InputStoreError as error:
            raise InputNotHeldError(f"{party}: input {root.hex()} cannot be held: {error}") from error
        try:
            signature = self.secrets.sign_once([(spec, root)])[spec.field]
        except AlreadySigned as error:
            if added:
                self.store.withdraw(self.setup, request.claim, root)
            raise AnotherRootError(f"{party}: {error}") from error
        answer = Attestation(request.claim, request.attempt, root, signature_bytes(signature))
        return encode(self.secrets.party, answer)

    def _permitted(self, party: str, request: AttestationRequest, made: Collection[int]) -> OneTimeKeySpec:
        """Return the key that may sign; raises AttestationError. The bytes are hashed last: a stranger's are not."""
        where = f"{party}: slot {request.claim}, try {request.attempt}"
        expected = request_hash(self.setup, request.claim, request.attempt, request.input_root)
        if party != self.prover or not verify(self.prover_key, expected, request.signature):
            raise ForgedRequestError(f"{where}: not signed by the prover")
        spec = self.keys.get((request.claim, request.attempt))
        if spec is None:
            raise AttestationError(f"{where}: this set-up has no such slot or try")
        if request.claim in made:
            raise ClaimMadeError(f"{where}: this claim has been made")
        try:
            root = input_root(request.input)
        except InputTooLargeError as error:
            raise WrongInputError(f"{where}: {error}") from error
        if root != request.input_root:
            raise WrongInputError(f"{where}: the input has root {root.hex()}, not {request.input_root.hex()}")
        return spec


# ---- the prover


@dataclass(frozen=True, slots=True)
class Attested:
    """Enough attestations of one try for the leaf of Claim: signatures over ``input_root`` by attester."""

    attempt: int
    input_root: bytes
    signatures: Mapping[str, Signature]


@dataclass
class AttestationRound:
    """The prover's side for one claim slot and one input.

    setup: the set-up id, 32 bytes. keys: by try, every attester's public key, attesters in the order of the graph.
    quorum: how many have to sign.
    """

    secrets: Secrets
    setup: bytes
    claim: int
    input: bytes
    keys: Mapping[int, Mapping[str, PublicKey]]
    quorum: int
    attempt: int | None = None
    """The last try that was asked for."""
    _received: dict[int, dict[str, Signature]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Compute the root; raises InputTooLargeError, and AttestationError for a quorum nobody can reach."""
        self.input_root = input_root(self.input)
        if not self.keys or any(not 1 <= self.quorum <= len(public) for public in self.keys.values()):
            raise AttestationError(f"slot {self.claim}: {self.quorum} attesters needed of those that there are")

    def request(self) -> bytes:
        """Return the request, for all attesters, of the current try; the first one where none was asked for."""
        if self.attempt is None:
            return self.next_try()
        signature = self.secrets.sign_schnorr(request_hash(self.setup, self.claim, self.attempt, self.input_root))
        return encode(
            self.secrets.party, AttestationRequest(self.claim, self.attempt, self.input_root, self.input, signature)
        )

    def next_try(self) -> bytes:
        """Go to the next try and return its request, for *all* attesters; raises NoTryLeftError."""
        left = sorted(attempt for attempt in self.keys if self.attempt is None or attempt > self.attempt)
        if not left:
            raise NoTryLeftError(f"slot {self.claim}: all {len(self.keys)} tries have been asked for")
        self.attempt = left[0]
        return self.request()

    def accept(self, data: bytes) -> None:
        """Take an attestation of any try; raises MessageError and AttestationError, and keeps nothing then."""
        party, attestation = decode_attestation(data)
        where = f"{party}: slot {attestation.claim}, try {attestation.attempt}"
        if attestation.claim != self.claim or attestation.attempt not in self.keys:
            raise AttestationError(f"{where}: not a try of slot {self.claim}")
        public = self.keys[attestation.attempt].get(party)
        if public is None:
            raise AttestationError(f"{where}: not an attester")
        if attestation.input_root != self.input_root:
            raise AttestationError(f"{where}: root {attestation.input_root.hex()}, not {self.input_root.hex()}")
        signature = read_signature(public.scheme, attestation.signature)
        try:
            signed = public.verify(signature)
        except OneTimeError as error:
            raise AttestationError(f"{where}: {error}") from error
        if signed != self.input_root:
            raise AttestationError(f"{where}: the signature is of {signed.hex()}, not {self.input_root.hex()}")
        self._received.setdefault(attestation.attempt, {})[party] = signature

    def missing(self) -> tuple[str, ...]:
        """Return the attesters that have not answered the current try."""
        if self.attempt is None:
            return ()
        received = self._received.get(self.attempt, {})
        return tuple(party for party in self.keys[self.attempt] if party not in received)

    def attested(self) -> Attested | None:
        """Return the first try that enough attesters signed, with the first ``quorum`` of them, or None."""
        for attempt in sorted(self._received):
            received = self._received[attempt]
            signers = [party for party in self.keys[attempt] if party in received][: self.quorum]
            if len(signers) == self.quorum:
                return Attested(attempt, self.input_root, {party: received[party] for party in signers})
        return None
