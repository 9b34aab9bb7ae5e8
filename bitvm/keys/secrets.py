"""A party's secrets in one set-up: its Schnorr keys and its one-time keys, all grown from one seed.

``setup`` (32 bytes) is fixed before any key is derived, so no key ever serves two set-ups. Schnorr keys sign freely;
one-time keys sign through the journal alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from bitvm.chain.keys import TaprootKey
from bitvm.keys.journal import Journal, Message, one_time_public_key
from bitvm.keys.path import KeyPath
from bitvm.keys.schnorr import DETERMINISTIC, SigningKey
from bitvm.keys.seed import Purpose, Seed
from bitvm.script.onetime import Signature
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme


class OneTimeKeySpec(Protocol):
    """What names a one-time key: its transaction ("1/Step#2": the Step of game 1 of claim 2), field and scheme."""

    @property
    def transaction(self) -> str:
        """Name of the transaction that it signs in."""
        ...

    @property
    def field(self) -> str:
        """Name of what it signs."""
        ...

    @property
    def scheme(self) -> AnyScheme:
        """Its scheme."""
        ...

    @property
    def claim(self) -> int:
        """The claim that it belongs to, from 1."""
        ...

    @property
    def attempt(self) -> int:
        """An attester's try, 0 for all other keys."""
        ...


class Secrets:
    """The keys of ``party`` in the set-up ``setup``."""

    def __init__(self, seed: Seed, journal: Journal, setup: bytes, party: str) -> None:
        """Derive the Schnorr keys; one-time keys follow when they are asked for."""
        self._seed = seed
        self._journal = journal
        self._setup = setup
        self.party = party
        self.covenant = SigningKey.derive(seed, self._path("covenant"))
        self.stake = self._taproot("stake")
        self.anchor = self._taproot("anchor")

    def sign_schnorr(self, message: bytes) -> bytes:
        """Sign a 32-byte message with the covenant key; the same message gives the same 64 bytes."""
        return self.covenant.sign(message, DETERMINISTIC)

    def public_key(self, spec: OneTimeKeySpec) -> PublicKey:
        """Return the public half of a one-time key, for the set-up."""
        values = one_time_public_key(self._seed, self._one_time_path(spec), spec.scheme)
        return PublicKey(spec.scheme, values)

    def sign_once(self, messages: Sequence[tuple[OneTimeKeySpec, Message]]) -> Mapping[str, Signature]:
        """Record all messages durably, then sign them; returns the signatures by field.

        Raises AlreadySigned, with nothing recorded, if one of the keys holds another message.
        """
        signatures = self._journal.sign_many(self._requests(messages))
        return {spec.field: signature for (spec, _), signature in zip(messages, signatures, strict=True)}

    def record_once(self, messages: Sequence[tuple[OneTimeKeySpec, Message]]) -> None:
        """Record durably what these keys have signed before, as others have seen it, without signing; all or nothing.

        Raises AlreadySigned, with nothing recorded, if one of the keys holds another message.
        """
        self._journal.record(self._requests(messages))

    def _requests(self, messages: Sequence[tuple[OneTimeKeySpec, Message]]) -> list[tuple[KeyPath, AnyScheme, Message]]:
        return [(self._one_time_path(spec), spec.scheme, message) for spec, message in messages]

    def _path(self, use: str) -> KeyPath:
        return KeyPath(self._setup, self.party, transaction=use)

    def _one_time_path(self, spec: OneTimeKeySpec) -> KeyPath:
        challenger, _, transaction = spec.transaction.partition("#")[0].rpartition("/")
        return KeyPath(
            self._setup,
            self.party,
            claim=spec.claim,
            attempt=spec.attempt,
            challenger=challenger,
            transaction=transaction,
            field=spec.field,
        )

    def _taproot(self, use: str) -> TaprootKey:
        return TaprootKey(self._seed.prf(Purpose.SCHNORR, bytes(self._path(use))))
