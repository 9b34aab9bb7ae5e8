"""The whole leaf around an execution leaf's body: the mover's signature, the prover's one-time signatures, the body.

Witness, bottom first: ``one-time items, hints, Schnorr signature``. Script::

    <key> OP_CHECKSIGVERIFY      only the challenger may use the leaf: nobody can copy it from the mempool
    use(groups, hints)           -> nibbles of the groups, signed by the prover and in range | hints
    body                         fails unless a signed result is wrong
    drop what is left, OP_1

The nibbles are not normalised: bodies treat them as numbers only (see `base`), which saves 3 WU each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.leaves.execution.base import ExecutionLeaf
from bitvm.leaves.statement import GROUPS, nibble_names, words_from_nibbles
from bitvm.script.builder import ScriptBuilder, ScriptError, decode_number
from bitvm.script.onetime import OneTimeError, Signature, Window, parse_used, use, used_items
from bitvm.script.onetime.forms import used_item_sizes
from bitvm.script.onetime.public import PublicKey

GROUP_SCHEMES: Mapping[str, Window] = {name: Window(width=16, slots=group.nibbles) for name, group in GROUPS.items()}
"""How each group of the statement is signed: one digit a nibble, in the order of `nibble_names`."""


def write_body(b: ScriptBuilder, leaf: ExecutionLeaf) -> None:
    """``nibbles of the leaf's groups | hints -> 1``; fails unless the leaf wins."""
    leaf.body(b)
    b.drop(len(b.stack))
    b.number(1, "won")


@dataclass(frozen=True, slots=True)
class DecodedExecution:
    """What an execution leaf was spent with: the words of its groups, the signatures by group, and the hints."""

    words: Mapping[str, int]
    signatures: Mapping[str, Signature]
    hints: tuple[int, ...]


@dataclass(frozen=True)
class SignedExecutionLeaf:
    """An execution leaf of one game.

    mover: name of the challenger. key: its x-only key, 32 bytes. public: the prover's keys by group (others than the
    leaf's may be there).
    """

    leaf: ExecutionLeaf
    mover: str
    key: bytes
    public: Mapping[str, PublicKey]

    @property
    def name(self) -> str:
        """Name of the leaf."""
        return self.leaf.name

    @property
    def signers(self) -> tuple[str, ...]:
        """Who has to sign the spending transaction: the mover alone."""
        return (self.mover,)

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture)."""
        b = ScriptBuilder([""] * len(self.item_sizes()))
        check_signers(b, (self.key,))
        keys = [(self.public[group], nibble_names(group)) for group in self.leaf.groups]
        use(b, keys, self.leaf.hints, normalised=False)
        write_body(b, self.leaf)
        return b.script()

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item in bytes, bottom first, script and control block left out."""
        schemes = [self.public[group].scheme for group in self.leaf.groups]
        return [*used_item_sizes(schemes, len(self.leaf.hints)), SCHNORR_BYTES]

    def witness(
        self, schnorr: Sequence[bytes], signatures: Mapping[str, Signature], hints: Sequence[int]
    ) -> list[bytes]:
        """Return the witness items, bottom first; raises WitnessError on a wrong number of hints or signatures."""
        if len(hints) != len(self.leaf.hints) or len(schnorr) != 1:
            raise WitnessError(f"{self.name}: hints {self.leaf.hints} and one signature needed, got {tuple(hints)}")
        return [*used_items([signatures[group] for group in self.leaf.groups], hints), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> DecodedExecution:
        """Read a witness (without script and control block) back; raises WitnessError."""
        below, _ = split_signers(self.name, items, 1)
        schemes = [self.public[group].scheme for group in self.leaf.groups]
        try:
            read, raw_hints = parse_used(below, schemes, len(self.leaf.hints))
            signatures = dict(zip(self.leaf.groups, read, strict=True))
            words: dict[str, int] = {}
            for group, signature in signatures.items():
                words |= words_from_nibbles(group, self.public[group].verify(signature))
            hints = tuple(decode_number(item) for item in raw_hints)
        except (OneTimeError, ScriptError) as error:
            raise WitnessError(f"{self.name}: {error}") from error
        return DecodedExecution(words, signatures, hints)
