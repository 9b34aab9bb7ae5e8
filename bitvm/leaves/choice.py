"""Choice_r: the challenger signs which interval of a list it disputes.

A choice ``d`` in 0..k-1 says: "I agree with the point left of interval d, not with the one right of it". It is signed
as two symbols of a sliding window of sqrt(k) values, the high one first; the window makes every other index fail, so
the range needs no check of its own.

Script, with the witness ``one-time signature, Schnorr signatures`` (top): check the Schnorr signatures, check the
one-time signature, OP_1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import OneTimeError, Signature
from bitvm.script.onetime.forms import parse_shown, show, shown_item_sizes, shown_items
from bitvm.script.onetime.public import PublicKey


def choice_symbols(choice: int, width: int) -> tuple[int, int]:
    """Return a choice in 0..width-1 as two symbols of base sqrt(width), high one first."""
    if not 0 <= choice < width:
        raise ValueError(f"a choice is 0..{width - 1}, got {choice}")
    high, low = divmod(choice, isqrt(width))
    return high, low


def choice_of(symbols: Sequence[int], width: int) -> int:
    """Return the choice that two symbols encode."""
    high, low = symbols
    return high * isqrt(width) + low


@dataclass(frozen=True, slots=True)
class SignedChoice:
    """What a choice leaf was spent with."""

    choice: int
    signature: Signature


@dataclass(frozen=True, slots=True)
class ChoiceLeaf:
    """Signs one choice of ``width`` intervals under the one-time key ``digit``."""

    name: str
    signers: tuple[str, ...]
    keys: tuple[bytes, ...]
    digit: PublicKey
    width: int

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture)."""
        b = ScriptBuilder([""] * (len(shown_item_sizes([self.digit.scheme])) + len(self.keys)))
        check_signers(b, self.keys)
        show(b, [self.digit])
        b.number(1, "signed")
        return b.script()

    def witness(self, schnorr: Sequence[bytes], signature: Signature) -> list[bytes]:
        """Return the witness items, bottom first."""
        return [*shown_items([signature]), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> SignedChoice:
        """Read a witness (without script and control block) back; raises WitnessError."""
        below, _ = split_signers(self.name, items, len(self.keys))
        try:
            (signature,) = parse_shown(below, [self.digit.scheme])
            return SignedChoice(choice_of(self.digit.verify(signature), self.width), signature)
        except OneTimeError as error:
            raise WitnessError(f"{self.name}: {error}") from error

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item, in bytes."""
        return [*shown_item_sizes([self.digit.scheme]), *[SCHNORR_BYTES] * len(self.keys)]
