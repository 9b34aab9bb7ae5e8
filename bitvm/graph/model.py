"""What a transaction of the graph is: named outputs, the inputs that spend them, and the leaves between them.

A template fixes everything a transaction id depends on (version, inputs with sequences, outputs, locktime) and nothing
else, so ids follow from set-up data alone and the whole graph can be signed before anything is funded. Templates of the
game are version 3 (TRUC) and pay no fee: their inputs and outputs balance exactly, and a zero-value anchor keyed to the
mover lets the mover's child pay (BIP431; Core's ephemeral dust). TRUC allows them 10,000 vB; Refute, which is larger,
is version 2 and pays for itself (``bitvm.graph.refute``).

Every claim of a set-up has the same transactions. They are called by plain names ("Claim", "1/Step"); the full name,
unique in the graph, adds the number of the claim from the second one on ("Claim#2", "1/Step#2").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness

from bitvm.script.sighash import SighashMaker
from bitvm.script.taproot import TapLeaf, TapTree
from bitvm.script.weight import vsize, weight

ANCHOR = "anchor"
"""Name of the zero-value output of every fee-less template."""

GAME_VERSION = 3
"""TRUC: topologically restricted until confirmation (BIP431)."""

PAYING_VERSION = 2
"""Of the templates that pay a fee of their own: Fund, and Refute, which is too large for TRUC."""

MAX_LEAVES = 128
"""Most leaves of one output: all paths are at most 7 hashes long."""

NO_LOCK = 0xFFFF_FFFD
"""Sequence of an input without a relative lock (bit 31 disables BIP68), replaceable."""

PROVER = "prover"

COVENANT = "covenant"
"""Name of the leaf of an output that every party of it signs, and that has no statement of its own."""


def challenger(number: int) -> str:
    """Return the party name of challenger ``number``, counted from 1."""
    return f"challenger{number}"


def challenger_number(party: str) -> int:
    """Return the number of a challenger by its party name; raises ValueError for any other name."""
    digits = party.removeprefix(challenger(0)[:-1])
    if not digits.isdecimal() or challenger(int(digits)) != party:
        raise ValueError(f"{party!r} is no challenger")
    return int(digits)


def all_parties(challengers: int) -> tuple[str, ...]:
    """Return the names of all parties, the prover first."""
    return PROVER, *(challenger(number) for number in range(1, challengers + 1))


def full_name(plain: str, claim: int) -> str:
    """Return the name, unique in the graph, of a transaction of ``claim`` (1..claims)."""
    return plain if claim == 1 else f"{plain}#{claim}"


class GraphError(ValueError):
    """A graph that cannot be built from the given set-up data; the message names the transaction."""


class ScriptLeaf(Protocol):
    """A leaf as the graph needs it: its script, and who must sign with Schnorr to use it."""

    @property
    def name(self) -> str:
        """Name within its output."""
        ...

    @property
    def signers(self) -> tuple[str, ...]:
        """Parties whose Schnorr signatures the script checks, in script order."""
        ...

    @property
    def script(self) -> bytes:
        """The leaf script."""
        ...

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item below script and control block, in bytes."""
        ...


@dataclass(frozen=True)
class Output:
    """A named output. ``tree`` is None where only a key, or a script outside the graph, can spend it."""

    name: str
    value: int
    script_pubkey: bytes
    leaves: Mapping[str, ScriptLeaf] = field(default_factory=dict, repr=False)
    tree: TapTree | None = field(default=None, repr=False)

    @classmethod
    def locked(cls, name: str, value: int, leaves: Sequence[ScriptLeaf]) -> Output:
        """An output that the leaves alone can spend; raises GraphError where there are too many."""
        if len(leaves) > MAX_LEAVES:
            raise GraphError(f"{name}: {len(leaves)} leaves; an output holds at most {MAX_LEAVES}")
        tree = TapTree([TapLeaf(leaf.name, leaf.script) for leaf in leaves])
        return cls(name, value, tree.script_pubkey, {leaf.name: leaf for leaf in leaves}, tree)

    @classmethod
    def keyed(cls, name: str, value: int, key: bytes) -> Output:
        """An output that one x-only key spends: the key itself is the Taproot output key."""
        return cls(name, value, b"\x51\x20" + key)

    @property
    def txout(self) -> CTxOut:
        """The output as it is serialised."""
        return CTxOut(self.value, CScript(self.script_pubkey))


@dataclass(frozen=True)
class Input:
    """Spends an output of another template through one of ``leaves`` (none: through its key)."""

    source: Template
    output: str
    leaves: tuple[str, ...]
    sequence: int = NO_LOCK

    @property
    def outpoint(self) -> COutPoint:
        """The outpoint spent."""
        return self.source.outpoint(self.output)

    @property
    def spent(self) -> CTxOut:
        """The output spent."""
        return self.source.output(self.output).txout

    def leaf(self, name: str) -> ScriptLeaf:
        """Return the leaf ``name``, which must be one of this input's; raises GraphError."""
        if name not in self.leaves:
            raise GraphError(f"{self.source.name}.{self.output} is spent here through {self.leaves}, not {name!r}")
        return self.source.output(self.output).leaves[name]


@dataclass(frozen=True)
class Coin:
    """A confirmed coin from outside the graph that Fund spends."""

    outpoint: COutPoint
    spent: CTxOut
    sequence: int = NO_LOCK
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Template:
    """A transaction without its witness.

    name: unique in the graph (see ``full_name``). mover: the party that broadcasts it. claim: the claim that it belongs
    to; Fund, which belongs to all, counts to the first.
    """

    name: str
    mover: str
    inputs: tuple[Input | Coin, ...] = field(repr=False)  # a template that writes its ancestors out fills the memory
    outputs: tuple[Output, ...] = field(repr=False)
    version: int = GAME_VERSION
    claim: int = 1

    def __post_init__(self) -> None:
        """Fee-less templates balance to the satoshi; raises GraphError."""
        paid_in = sum(i.spent.nValue for i in self.inputs)
        paid_out = sum(o.value for o in self.outputs)
        if paid_in < paid_out or (self.version == GAME_VERSION and paid_in != paid_out):
            raise GraphError(f"{self.name}: inputs hold {paid_in} sat, outputs {paid_out} sat")

    @cached_property
    def plain(self) -> str:
        """The name without the number of the claim."""
        return self.name.partition("#")[0]

    @cached_property
    def unsigned(self) -> CTransaction:
        """The transaction with empty witnesses."""
        inputs = [CTxIn(i.outpoint, nSequence=i.sequence) for i in self.inputs]
        return CTransaction(inputs, [o.txout for o in self.outputs], nVersion=self.version)

    @cached_property
    def txid(self) -> bytes:
        """The transaction id, 32 bytes in internal order."""
        txid: bytes = self.unsigned.GetTxid()
        return txid

    def index(self, name: str) -> int:
        """Return the position of an output; raises GraphError."""
        for position, candidate in enumerate(self.outputs):
            if candidate.name == name:
                return position
        raise GraphError(f"{self.name} has no output {name!r}")

    def output(self, name: str) -> Output:
        """Return an output by name; raises GraphError."""
        return self.outputs[self.index(name)]

    def outpoint(self, name: str) -> COutPoint:
        """Return the outpoint of an output; raises GraphError."""
        return COutPoint(self.txid, self.index(name))

    @cached_property
    def spent(self) -> tuple[CTxOut, ...]:
        """The outputs that the inputs spend."""
        return tuple(i.spent for i in self.inputs)

    def sighash(self, index: int, leaf: str | None = None) -> bytes:
        """Return the 32 bytes that a party signs for input ``index`` (BIP341, default type, through ``leaf``)."""
        leaf_hash = None
        if leaf is not None:
            spent = self.inputs[index]
            if not isinstance(spent, Input):
                raise GraphError(f"{self.name}: input {index} is a coin and has no leaves")
            spent.leaf(leaf)
            tree = spent.source.output(spent.output).tree
            leaf_hash = tree.leaf_hash(leaf) if tree is not None else None
        return self._sighashes.sighash(index, leaf_hash=leaf_hash)

    @cached_property
    def _sighashes(self) -> SighashMaker:
        return SighashMaker(self.unsigned, self.spent)

    def with_witness(self, witnesses: Sequence[Sequence[bytes]]) -> CTransaction:
        """Return the transaction with a witness (items, bottom first) for every input."""
        if len(witnesses) != len(self.inputs):
            raise GraphError(f"{self.name}: {len(self.inputs)} witnesses needed, got {len(witnesses)}")
        stacks = CTxWitness([CTxInWitness(CScriptWitness(list(items))) for items in witnesses])
        unsigned = self.unsigned
        return CTransaction(unsigned.vin, unsigned.vout, unsigned.nLockTime, unsigned.nVersion, stacks)

    def input_witness(self, index: int, leaf: str, items: Sequence[bytes]) -> list[bytes]:
        """Return the whole witness of an input: the leaf's items, its script and its control block."""
        spent = self.inputs[index]
        if not isinstance(spent, Input):
            raise GraphError(f"{self.name}: input {index} is a coin and has no leaves")
        spent.leaf(leaf)
        tree = spent.source.output(spent.output).tree
        if tree is None:
            raise GraphError(f"{self.name}: input {index} has no leaves")
        return tree.witness(leaf, items)

    def largest(self, choose: Mapping[int, str] | None = None) -> CTransaction:
        """Return the transaction with witnesses of the largest possible sizes, for exact weights before any run.

        choose: the leaf by input, where an input has more than one (otherwise its heaviest).
        """
        witnesses = []
        for index, spent in enumerate(self.inputs):
            options = [choose[index]] if choose and index in choose else list(spent.leaves)
            if not options or not isinstance(spent, Input):
                witnesses.append([bytes(64)])
                continue
            stacks = [
                self.input_witness(index, name, [bytes(size) for size in spent.leaf(name).item_sizes()])
                for name in options
            ]
            witnesses.append(max(stacks, key=lambda items: sum(map(len, items)) + len(items)))
        return self.with_witness(witnesses)

    def weight(self, choose: Mapping[int, str] | None = None) -> int:
        """Return the largest weight (BIP141) the transaction can have."""
        return weight(self.largest(choose))

    def vsize(self, choose: Mapping[int, str] | None = None) -> int:
        """Return the largest virtual size in virtual bytes."""
        return vsize(self.largest(choose))
