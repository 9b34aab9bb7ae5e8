"""Keys of one game, and its messages and proofs as whole signed leaves under Core's engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from math import isqrt, log2

from leafbench import Spender

from bitvm.keys.schnorr import SigningKey
from bitvm.leaves import fields
from bitvm.leaves.message import Message, MessageLeaf
from bitvm.leaves.proof import Proof, ProofLeaf
from bitvm.leaves.statement import GROUPS
from bitvm.leaves.step import ROOTS
from bitvm.script.onetime import NODE, Signature, Window
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme, SecretKey


def schemes(levels: int = 5, width: int = 64) -> dict[str, AnyScheme]:
    """Every one-time key of a game by path, both parties' and those of the claim and of the claim before it."""
    digit = Window(width=isqrt(width), slots=2)
    found: dict[str, AnyScheme] = {f"Claim/{name}": NODE for name in ("input_root", "trace_root", "final_root")}
    found["Before/final_root"] = NODE
    for level in range(1, levels + 1):
        found[f"Choice_{level}/digit"] = digit
        if level > 1:
            found[f"Reveal_{level}/trace_root"] = NODE
        parts = {"Outline": fields.outline(width), "Pick": fields.pick(width), "Detail": fields.detail(width)}
        for name, own in parts.items():
            found |= {f"{name}_{level}/{field}": scheme for field, scheme in own.items()}
    found |= {f"Step/{name}": NODE for name in ROOTS}
    found |= {f"Step/{name}": Window(width=16, slots=group.nibbles) for name, group in GROUPS.items()}
    found["Step/index"] = Window(width=isqrt(width), slots=2 * levels)
    after = {"Ask": fields.ASK, "Path": fields.PATH, "Descend": fields.DESCEND, "Inside": fields.INSIDE}
    after |= {"Narrow": fields.NARROW, "Close": fields.CLOSE}
    for name, own in after.items():
        found |= {f"{name}/{field}": scheme for field, scheme in own.items()}
    return found


def list_height(width: int) -> int:
    """Height of the tree over a list of ``width`` entries."""
    return int(log2(width))


class Bench:
    """One game's keys; leaves are built and spent as in a transaction."""

    def __init__(self, levels: int = 5, width: int = 64, seed: int = 1) -> None:
        self.levels, self.width = levels, width
        self.prover, self.challenger = (SigningKey(bytes([seed, n]) * 16) for n in (1, 2))
        self._schemes = schemes(levels, width)
        self._seed = seed

    @cache  # noqa: B019 - a bench lives as long as the tests
    def secret(self, path: str) -> SecretKey[object]:
        return self._schemes[path].secret_key(hashlib.sha256(f"{self._seed} {path}".encode()).digest())

    @cached_property
    def public(self) -> Mapping[str, PublicKey]:
        return {path: PublicKey(scheme, self.secret(path).public) for path, scheme in self._schemes.items()}

    def signatures(self, messages: Mapping[str, object]) -> dict[str, Signature]:
        """Sign messages by key path: tuples of symbols for windows, 24 bytes for nodes."""
        return {path: self.secret(path).sign(message) for path, message in messages.items()}

    # ---- proofs

    def proof_leaf(self, proof: Proof, mover: str = "challenger") -> ProofLeaf:
        key = self.challenger if mover == "challenger" else self.prover
        return ProofLeaf(proof, mover, key.public_key, self.public)

    @cache  # noqa: B019
    def _proof_spender(self, proof: Proof, mover: str) -> Spender:
        return Spender(self.proof_leaf(proof, mover).script)

    def proof_accepts(
        self, proof: Proof, signatures: Mapping[str, Signature], hints: Sequence[int], mover: str = "challenger"
    ) -> bool:
        """Whether the whole leaf accepts these one-time signatures and hints."""
        spender = self._proof_spender(proof, mover)
        key = self.challenger if mover == "challenger" else self.prover
        return spender.accepts(self.proof_leaf(proof, mover).witness([key.sign(spender.sighash())], signatures, hints))

    # ---- messages

    def message_leaf(self, message: Message) -> MessageLeaf:
        keys = (self.prover.public_key, self.challenger.public_key)
        return MessageLeaf(message, ("prover", "challenger"), keys, self.public)

    @cache  # noqa: B019
    def _message_spender(self, message: Message) -> Spender:
        return Spender(self.message_leaf(message).script)

    def message_witness(self, message: Message, signatures: Mapping[str, Signature]) -> list[bytes]:
        sighash = self._message_spender(message).sighash()
        schnorr = [self.prover.sign(sighash), self.challenger.sign(sighash)]
        return self.message_leaf(message).witness(schnorr, signatures)

    def message_accepts(self, message: Message, signatures: Mapping[str, Signature]) -> bool:
        """Whether the whole leaf accepts these one-time signatures."""
        return self._message_spender(message).accepts(self.message_witness(message, signatures))
