"""Execution leaves under Core's engine, fast enough for many thousand runs.

All that does not depend on the witness (script, output, control block, sighash, the challenger's signature) is made
once a leaf. One-time keys sign many statements here, which no player may do; the scripts do not mind.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import product
from math import prod
from random import Random

import pbk
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core import script as op
from pbk.script import PrecomputedTransactionData

from bitvm.keys.schnorr import SigningKey
from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES, EXECUTION_PROOFS, winning_leaves
from bitvm.leaves.execution.frame import GROUP_SCHEMES, body_script, group_path
from bitvm.leaves.proof import Proof, ProofLeaf
from bitvm.leaves.statement import nibbles_of, words_of
from bitvm.script.builder import encode_number
from bitvm.script.engine import ALL_FLAGS, kernel_transaction
from bitvm.script.onetime import SecretKey, Signature
from bitvm.script.onetime.public import PublicKey
from bitvm.script.sighash import taproot_sighash
from bitvm.script.taproot import TapLeaf, TapTree
from bitvm.script.weight import compact_size
from lvm.elf import Image
from lvm.layout import CONTROL_BASE, physical_word, register_address
from lvm.spec.interpreter import SpecMachine

AMOUNT = 100_000
LEAVES: Mapping[str, ExecutionLeaf] = {leaf.name: leaf for leaf in EXECUTION_LEAVES}
PROOFS: Mapping[str, Proof] = {proof.name: proof for proof in EXECUTION_PROOFS}

RESULTS: Mapping[str, int] = {
    "outcome": 0xF,
    "mode": 0xF,
    "after_halted": 0xF,
    "after_window": 0xFFF0_0000,
    "after_uwin": 0xFFF0_0000,
    **dict.fromkeys(("written", "address", "next_pc"), 0xFFFF_FFFF),
    **dict.fromkeys(("after_exit_code", "after_fuel", "after_epc", "after_cause"), 0xFFFF_FFFF),
}
"""What the prover claims, and the bits it can claim."""


_SHORT = {item: compact_size(len(item)) + item for item in (b"", *(bytes([value]) for value in range(256)))}
"""Witness items of one byte at most, as they are serialised: nearly all."""


class Spender:
    """A leaf alone in its tree, spent by one transaction whose witness varies."""

    def __init__(self, script: bytes) -> None:
        tree = TapTree([TapLeaf("leaf", script, 1)])
        self._last = b"".join(compact_size(len(item)) + item for item in (script, tree.control_block("leaf")))
        self._output = pbk.TransactionOutput(pbk.ScriptPubkey(tree.script_pubkey), AMOUNT)
        self._spent = CTxOut(AMOUNT, op.CScript(tree.script_pubkey))
        coin, burn = CTxIn(COutPoint(b"\x01" * 32, 0)), CTxOut(AMOUNT, op.CScript([op.OP_1]))
        self._tx = CTransaction([coin], [burn], nVersion=2)
        self._leaf_hash = tree.leaf_hash("leaf")
        stripped = self._tx.serialize()
        self._head, self._tail = stripped[:4] + b"\x00\x01" + stripped[4:-4], stripped[-4:]

    def sighash(self) -> bytes:
        return taproot_sighash(self._tx, [self._spent], 0, leaf_hash=self._leaf_hash)

    def accepts(self, items: Sequence[bytes]) -> bool:
        witness = b"".join([_SHORT.get(item) or compact_size(len(item)) + item for item in items])
        tx = kernel_transaction(self._head + compact_size(len(items) + 2) + witness + self._last + self._tail)
        precomputed = PrecomputedTransactionData(tx, [self._output])
        verdict: bool = self._output.script_pubkey.verify(AMOUNT, tx, precomputed, 0, ALL_FLAGS)
        return verdict


# ---- bodies alone


@cache
def _body_spender(name: str) -> Spender:
    leaf = LEAVES[name]
    return Spender(bytes([op.OP_TOALTSTACK]) * len(leaf.hints) + body_script(leaf))


def body_items(leaf: ExecutionLeaf, words: Words) -> list[bytes]:
    """The nibbles of the leaf's groups as witness items, bottom first."""
    return [encode_number(digit) for group in reversed(leaf.groups) for digit in reversed(nibbles_of(group, words))]


def body_accepts(leaf: ExecutionLeaf, words: Words, hints: Sequence[int]) -> bool:
    return body_accepts_items(leaf, [*body_items(leaf, words), *map(encode_number, hints)])


def body_accepts_items(leaf: ExecutionLeaf, items: Sequence[bytes]) -> bool:
    return _body_spender(leaf.name).accepts(items)


# ---- the whole leaf


class Signed:
    """The prover's keys by group, the challenger's key, and every leaf made from them."""

    def __init__(self, seed: int = 1) -> None:
        self.mover = SigningKey(struct.pack(">32s", bytes([seed]) * 32))
        self.secrets: dict[str, SecretKey[tuple[int, ...]]] = {
            group: scheme.secret_key(bytes([seed, number]) * 16)
            for number, (group, scheme) in enumerate(GROUP_SCHEMES.items())
        }

    @cached_property
    def public(self) -> dict[str, PublicKey]:
        return {group_path(group): PublicKey(secret.scheme, secret.public) for group, secret in self.secrets.items()}

    @cache  # noqa: B019 - a bench lives as long as the tests
    def leaf(self, name: str) -> ProofLeaf:
        return ProofLeaf(PROOFS[name], "challenger", self.mover.public_key, self.public)

    @cache  # noqa: B019
    def spender(self, name: str) -> tuple[Spender, bytes]:
        spender = Spender(self.leaf(name).script)
        return spender, self.mover.sign(spender.sighash())

    def sign(self, words: Words, groups: Sequence[str]) -> dict[str, Signature]:
        """Sign groups of a statement; signatures by key path."""
        return {group_path(group): self.secrets[group].sign(nibbles_of(group, words)) for group in groups}

    def witness(self, name: str, words: Words, hints: Sequence[int]) -> list[bytes]:
        return self.leaf(name).witness([self.spender(name)[1]], self.sign(words, LEAVES[name].groups), hints)

    def accepts(self, name: str, words: Words, hints: Sequence[int]) -> bool:
        return self.accepts_items(name, self.witness(name, words, hints))

    def accepts_items(self, name: str, items: Sequence[bytes]) -> bool:
        return self.spender(name)[0].accepts(items)


# ---- statements


def step_of(
    instr: int,
    *,
    rs1: int = 0,
    rs2: int = 0,
    a0: int = 0,
    pc: int = 0x1000,
    halted: int = 0,
    window: int = 0,
    uwin: int = 0x0550_0000,
    fuel: int = 7,
    epc: int = 0x1234,
    memory: tuple[int, int] | None = None,
) -> dict[str, int]:
    """The true statement of one instruction.

    Its rs1 and rs2 fields name registers that hold these words; `memory` is one more word, as (address, value),
    the address being physical.
    """
    machine = SpecMachine(Image(pc, ()))
    for index, value in enumerate((pc, window, fuel, epc, 9, uwin, halted, 0xABCD_0123)):
        machine.write_state_word(CONTROL_BASE + 4 * index, value)
    for field, value in ((10, a0), (instr >> 20 & 31, rs2), (instr >> 15 & 31, rs1)):
        if field:
            machine.write_state_word(register_address(field), value)
    if memory is not None:
        machine.write_state_word(*memory)
    machine.write_state_word(physical_word(window, pc), instr)
    return words_of(machine.step())


def lies(words: Words, rng: Random) -> Iterator[tuple[str, dict[str, int]]]:
    """Every result once wrong by a bit, once in a nibble, once at random."""
    for field, mask in RESULTS.items():
        bits = [bit for bit in range(32) if mask >> bit & 1]
        one_bit = 1 << rng.choice(bits)
        one_nibble = rng.randrange(1, 16) << rng.choice(bits[::4])
        anything = rng.randrange(1, 1 << len(bits)) << bits[0]
        for difference in (one_bit, one_nibble, anything):
            yield field, {**words, field: words[field] ^ difference}


def hint_values(leaf: ExecutionLeaf, name: str) -> Sequence[int]:
    """Values of a hint that could mean something, if it points, and some that must not."""
    # `above` times 256 is what lies above eight bits of a number below 2^12
    largest = {"above": 16}.get(name, 9 if leaf.name == "control.unchanged" else 8)
    return (*range(largest + 3), -1, -2, -(2**31) + 1, 2**31 - 1)


def some_hints(leaf: ExecutionLeaf, rng: Random, count: int) -> list[tuple[int, ...]]:
    """All hints made of `hint_values` if they are not more than `count`, else so many of them."""
    values = [hint_values(leaf, name) for name in leaf.hints]
    if prod(map(len, values)) <= count:
        return list(product(*values))
    return [tuple(rng.choice(choices) for choices in values) for _ in range(count)]


def assert_fair(words: Words, rng: Random, *, leaves: int = 10) -> None:
    """No leaf accepts the true statement: all twins say so, and some scripts, with hints chosen at random."""
    for leaf in EXECUTION_LEAVES:
        assert leaf.wins(words) is None, (leaf.name, words)
    for leaf in rng.sample(EXECUTION_LEAVES, leaves):
        for choice in some_hints(leaf, rng, 1):
            assert not body_accepts(leaf, words, choice), (leaf.name, choice, words)


def assert_caught(words: Words, lied: Iterable[tuple[str, Words]], rng: Random, *, hints: int = 14) -> set[str]:
    """Every lie enables leaves, whose scripts accept it, but not the true statement `words`, whatever the hints.

    Returns the names of these leaves.
    """
    near = set()
    for field, lie in lied:
        found = list(winning_leaves(lie))
        assert found, (field, lie)
        for leaf, choice in found:
            assert body_accepts(leaf, lie, choice), (leaf.name, choice, field, lie)
            assert not body_accepts(leaf, words, choice), (leaf.name, choice, words)
            near.add(leaf.name)
    for name in sorted(near):  # the same order in every run, since each draws from rng
        for choice in some_hints(LEAVES[name], rng, hints):
            assert not body_accepts(LEAVES[name], words, choice), (name, choice, words)
    return near
