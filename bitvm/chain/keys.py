"""Key-path Taproot keys: BIP86 output keys, BIP341 signature hashes, BIP340 signatures.

A `TaprootKey` holds a secret and owns the output `OP_1 <Q>` with Q = P + H_TapTweak(P)·G and no script tree, so
whoever sees the key spend knows that no script hides behind it. Signatures are 64 bytes (SIGHASH_DEFAULT) and
deterministic: without auxiliary randomness the same transaction is always signed with the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxOut
from bitcoinutils import bech32
from coincurve import PrivateKey, PublicKeyXOnly

from bitvm.script.sighash import taproot_sighash
from bitvm.script.taproot import tagged_hash

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
DETERMINISTIC_NONCE = bytes(32)
"""BIP340 auxiliary randomness of zeros, so that signing twice gives the same bytes."""


class TaprootKey:
    """A secret and the key-path output it owns."""

    def __init__(self, secret: bytes) -> None:
        """Take a 32-byte secret scalar, big-endian; ValueError unless 0 < secret < the curve's order."""
        if len(secret) != 32 or not 0 < int.from_bytes(secret, "big") < CURVE_ORDER:
            raise ValueError("a secret key is 32 bytes, not zero and below the order of the curve")
        internal = PrivateKey(secret)
        point = internal.public_key.format()
        even = secret if point[0] == 2 else (CURVE_ORDER - int.from_bytes(secret, "big")).to_bytes(32, "big")
        self.internal_key: bytes = point[1:]
        self._signer = PrivateKey(even).add(_tap_tweak(self.internal_key))
        self.output_key: bytes = self._signer.public_key.format()[1:]

    @classmethod
    def from_seed(cls, seed: bytes, path: str) -> "TaprootKey":
        """Derive the key named `path` from `seed` (tagged SHA-256; the chance of an invalid scalar is 2^-128)."""
        return cls(tagged_hash("bitvm/key", len(seed).to_bytes(4, "big") + seed + path.encode()))

    @property
    def script_pubkey(self) -> bytes:
        """The 34-byte scriptPubKey that this key owns."""
        return output_script(self.output_key)

    def sign_input(self, tx: CTransaction, input_index: int, spent_outputs: Sequence[CTxOut]) -> bytes:
        """Sign input `input_index` of `tx` for its key path: 64 bytes. `spent_outputs` follow the inputs."""
        digest = taproot_sighash(tx, spent_outputs, input_index)
        return bytes(self._signer.sign_schnorr(digest, DETERMINISTIC_NONCE))


@dataclass(frozen=True, slots=True)
class SpendableCoin:
    """A confirmed coin with the key that may spend it."""

    outpoint: COutPoint
    output: CTxOut
    key: TaprootKey


def output_script(output_key: bytes) -> bytes:
    """The scriptPubKey `OP_1 <output_key>` of a 32-byte x-only output key."""
    return b"\x51\x20" + output_key


def key_path_script(internal_key: bytes) -> bytes:
    """The BIP86 scriptPubKey of somebody's 32-byte x-only internal key; ValueError if it is no point."""
    output_key = PublicKeyXOnly(internal_key)
    output_key.tweak_add(_tap_tweak(internal_key))
    return output_script(output_key.format())


def address(script_pubkey: bytes, prefix: str = "bcrt") -> str:
    """The bech32m address of a 34-byte P2TR scriptPubKey; `prefix` is "bc", "tb" or "bcrt" (regtest)."""
    if len(script_pubkey) != 34 or script_pubkey[:2] != b"\x51\x20":
        raise ValueError(f"not a P2TR scriptPubKey: {script_pubkey.hex()}")
    return str(bech32.encode(prefix, 1, script_pubkey[2:]))


def _tap_tweak(internal_key: bytes) -> bytes:
    return tagged_hash("TapTweak", internal_key)
