"""BIP340 signatures under x-only keys that derive from the seed.

A Schnorr key signs many messages safely, so these keys are not journalled. Public keys are 32 bytes, messages 32 bytes
(a Taproot signature hash), signatures 64 bytes: in a witness that is a signature of SIGHASH_DEFAULT, and any other hash
type is appended as a 65th byte.
"""

from __future__ import annotations

import os

from coincurve import PrivateKey, PublicKeyXOnly

from bitvm.keys.path import KeyPath
from bitvm.keys.seed import Purpose, Seed

PUBLIC_KEY_BYTES = 32
MESSAGE_BYTES = 32
SIGNATURE_BYTES = 64
DETERMINISTIC = bytes(32)
"""Auxiliary randomness for signatures that depend on key and message alone."""


class SchnorrError(ValueError):
    """A secret, message or auxiliary randomness of the wrong size or value."""


class SigningKey:
    """A secret key; `public_key` is its 32-byte x-only point."""

    __slots__ = ("_key", "public_key")

    def __init__(self, secret: bytes) -> None:
        """Take 32 bytes that are a number in 1..n-1, n the order of secp256k1; raises SchnorrError."""
        if len(secret) != 32:
            raise SchnorrError(f"a secret key has 32 bytes, this one has {len(secret)}")
        try:
            self._key = PrivateKey(secret)
        except ValueError as error:
            raise SchnorrError("a secret key is a number in 1..n-1, n the order of secp256k1") from error
        self.public_key: bytes = self._key.public_key_xonly.format()

    def __repr__(self) -> str:
        """Return a text with the public key only."""
        return f"<SigningKey of {self.public_key.hex()}>"

    @classmethod
    def derive(cls, seed: Seed, path: KeyPath) -> SigningKey:
        """Return the key at `path`. (A PRF output outside 1..n-1, one in 2^127, raises SchnorrError.)"""
        return cls(seed.prf(Purpose.SCHNORR, bytes(path)))

    def sign(self, message: bytes, auxiliary: bytes | None = None) -> bytes:
        """Return the 64-byte signature of a 32-byte message, verified before it is handed out.

        `auxiliary` is BIP340's 32 bytes of randomness, fresh ones if None; `DETERMINISTIC` makes the signature a
        function of key and message. Raises SchnorrError on a wrong size.
        """
        if len(message) != MESSAGE_BYTES:
            raise SchnorrError(f"a message has {MESSAGE_BYTES} bytes, this one has {len(message)}")
        randomness = os.urandom(32) if auxiliary is None else auxiliary
        if len(randomness) != 32:
            raise SchnorrError(f"auxiliary randomness has 32 bytes, this has {len(randomness)}")
        signature: bytes = self._key.sign_schnorr(message, randomness)
        return signature


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is one of `message` (32 bytes) under `public_key`; False for anything malformed."""
    if (len(public_key), len(message), len(signature)) != (PUBLIC_KEY_BYTES, MESSAGE_BYTES, SIGNATURE_BYTES):
        return False
    try:
        return bool(PublicKeyXOnly(public_key).verify(signature, message))
    except ValueError:  # no point has this x
        return False
