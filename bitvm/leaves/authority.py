"""Who may use a leaf: Schnorr checks at the start of a leaf, and the leaf that is nothing else.

Every leaf of the game demands the signature of its mover, so that a stranger who sees a winning witness in the mempool
cannot use it, and, where the spending transaction is pre-signed, that of every other party: together they are a
covenant, since the others signed only the transaction of the graph, with its outputs and its relative locks (BIP68
sequences are part of what BIP341 signs). The leaf itself therefore holds no timelock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder

SCHNORR_BYTES = 64
"""A BIP340 signature with the default sighash type."""

SCHNORR_SIZES = (SCHNORR_BYTES, SCHNORR_BYTES + 1)
"""What Script accepts: a signer may name its sighash type in one more byte (BIP341), so readers must bear it."""


class WitnessError(ValueError):
    """A witness that does not have the form of its leaf; the message names leaf, item and what was expected."""


def check_signers(b: ScriptBuilder, keys: Sequence[bytes]) -> None:
    """``… sig_n … sig_1 -> …``: every x-only key (32 bytes) must have signed; the first key's signature is on top."""
    for key in keys:
        b.data(key)
        b.apply(op.OP_CHECKSIGVERIFY, 2)


def signer_items(signatures: Sequence[bytes]) -> list[bytes]:
    """Return the signatures, given in key order, as witness items, bottom first."""
    return list(reversed(signatures))


def split_signers(leaf: str, items: Sequence[bytes], count: int) -> tuple[list[bytes], list[bytes]]:
    """Split a witness into what lies under the signatures and the signatures in key order; raises WitnessError."""
    if len(items) < count:
        raise WitnessError(f"{leaf}: {count} signatures needed, the witness has {len(items)} items")
    cut = len(items) - count
    signatures = list(reversed(items[cut:]))
    for number, signature in enumerate(signatures):
        if len(signature) not in SCHNORR_SIZES:
            raise WitnessError(f"{leaf}: signature {number} has {len(signature)} bytes, not one of {SCHNORR_SIZES}")
    return list(items[:cut]), signatures


@dataclass(frozen=True, slots=True)
class CovenantLeaf:
    """The leaf without a statement: every party of it signed the spending transaction.

    keys: x-only keys, 32 bytes each, in the order of ``signers``.
    """

    name: str
    signers: tuple[str, ...]
    keys: tuple[bytes, ...]

    @property
    def script(self) -> bytes:
        """``sig_n … sig_1 -> true``."""
        b = ScriptBuilder([""] * len(self.keys))
        check_signers(b, self.keys[:-1])
        b.data(self.keys[-1])
        b.apply(op.OP_CHECKSIG, 2, "signed")
        return b.script()

    def witness(self, signatures: Sequence[bytes]) -> list[bytes]:
        """Return the witness items, bottom first, from the signatures in key order."""
        return signer_items(signatures)

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item, in bytes."""
        return [SCHNORR_BYTES] * len(self.keys)
