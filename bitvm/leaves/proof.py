"""How a challenger wins: a proof in Script, over what the prover signed, that one of its statements is false.

A proof is a body of Script that runs to its end only if the prover lied, and a pure twin of it in Python. Three rules
make it fair, and the tests hold every proof against them:

* Every value on the stack is signed by the prover, constant, or a hint of the challenger.
* A hint points, in a checked range; whatever it is, the body accepts no true statement.
* No proof accepts statements that are all true. A proof may presume that other statements are true: a false one is the
  win of another proof, and this never goes round in a circle.

The whole leaf, with the witness ``one-time items, hints, Schnorr signature`` (top)::

    <key> OP_CHECKSIGVERIFY      only the challenger may use the leaf: nobody can copy it from the mempool
    use(keys, hints)             -> numbers of the keys, signed by the prover and in range | hints
    body                         fails unless something signed is false
    drop what is left, OP_1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.leaves.fields import numbers
from bitvm.script.builder import ScriptBuilder, ScriptError, decode_number
from bitvm.script.onetime import OneTimeError, Signature, parse_used, use, used_items
from bitvm.script.onetime.forms import used_item_sizes
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme

Hints = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Said:
    """All that the prover signed in a game, as far as it is known.

    words: by name: Step's fields (``pc``, ``instr`` …), ``path.kind``, ``path.level``, ``path.place``, ``inside.gap``,
    ``close.gap``, ``close.narrow``, ``close.turns``, ``word.0`` … ``word.15``, ``after.0`` … ``after.15``, and
    ``detail_r.group``. nodes: 24 bytes by key path (``Step/root_before``), None for a label that encodes no node.
    choices: Step's index as m choices. signatures: by key path.
    """

    words: Mapping[str, int] = field(default_factory=dict)
    nodes: Mapping[str, bytes | None] = field(default_factory=dict)
    choices: tuple[int, ...] = ()
    signatures: Mapping[str, Signature] = field(default_factory=dict)


@dataclass(frozen=True)
class Proof:
    """One way for the challenger to win."""

    name: str
    """``family.member``, unique."""
    statement: str
    """What is wrong if the proof holds."""
    keys: tuple[str, ...]
    """Paths of the prover's keys that it opens; the first one's numbers are on top of the stack."""
    hints: tuple[str, ...]
    """Names of the challenger's hints; the first is on top of the alt stack."""
    body: Callable[[ScriptBuilder], None]
    """Writes the script: entry ``numbers of the keys | hints``; fails unless the proof holds; may leave items.

    Numbers are in range; those that are symbols or indices, and hints, may have superfluous zero bytes, as consensus
    permits: only opcodes that read numbers may touch them (no OP_EQUAL).
    """
    wins: Callable[[Said], Hints | None]
    """Hints with which the body accepts, None if there are none. May presume that every key in ``keys`` was signed."""
    large: bool = False
    """Whether the leaf hashes, and is too large for a transaction of 10,000 vB."""


def won(condition: bool) -> Hints | None:
    """Return what ``wins`` of a proof without hints returns."""
    return () if condition else None


@dataclass(frozen=True)
class ProofLeaf:
    """A proof as a leaf of one game.

    mover: name of the challenger. key: its x-only key, 32 bytes. public: the prover's keys by path (others than the
    proof's may be there).
    """

    proof: Proof
    mover: str
    key: bytes
    public: Mapping[str, PublicKey]

    @property
    def name(self) -> str:
        """Name of the leaf."""
        return self.proof.name

    @property
    def signers(self) -> tuple[str, ...]:
        """Who has to sign the spending transaction: the mover alone."""
        return (self.mover,)

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture)."""
        b = ScriptBuilder([""] * len(self.item_sizes()))
        check_signers(b, (self.key,))
        keys = [(self.public[path], numbers(path, self.public[path].scheme)) for path in self.proof.keys]
        use(b, keys, self.proof.hints, normalised=False)
        write_body(b, self.proof.body)
        return b.script()

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item in bytes, bottom first, script and control block left out."""
        return [*used_item_sizes(self._schemes(), len(self.proof.hints)), SCHNORR_BYTES]

    def witness(
        self, schnorr: Sequence[bytes], signatures: Mapping[str, Signature], hints: Sequence[int]
    ) -> list[bytes]:
        """Return the witness items, bottom first; raises WitnessError on a wrong number of hints or signatures."""
        if len(hints) != len(self.proof.hints) or len(schnorr) != 1:
            raise WitnessError(f"{self.name}: hints {self.proof.hints} and one signature needed, got {tuple(hints)}")
        return [*used_items([signatures[path] for path in self.proof.keys], hints), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> tuple[dict[str, Signature], Hints]:
        """Read signatures by key path and hints from a witness (without script and control block).

        Raises WitnessError where a signature is not its key's, or something is not of its form.
        """
        below, _ = split_signers(self.name, items, 1)
        try:
            read, raw_hints = parse_used(below, self._schemes(), len(self.proof.hints))
            signatures = dict(zip(self.proof.keys, read, strict=True))
            for path, signature in signatures.items():
                key = self.public[path]
                key.scheme.check(key.values, signature)
            return signatures, tuple(decode_number(item) for item in raw_hints)
        except (OneTimeError, ScriptError) as error:
            raise WitnessError(f"{self.name}: {error}") from error

    def _schemes(self) -> list[AnyScheme]:
        return [self.public[path].scheme for path in self.proof.keys]


def write_body(b: ScriptBuilder, body: Callable[[ScriptBuilder], None]) -> None:
    """Write a proof's body to the script's end: ``numbers of the keys | hints -> 1``; fails unless the proof holds."""
    body(b)
    b.drop(len(b.stack))
    b.number(1, "won")


def proof_builder(proof: Proof, public: Mapping[str, PublicKey]) -> ScriptBuilder:
    """Return a builder whose stacks are as ``proof.body`` finds them, with nothing written."""
    top_first = [name for path in proof.keys for name in numbers(path, public[path].scheme)]
    builder = ScriptBuilder(top_first[::-1])
    builder.alt = list(reversed(proof.hints))
    return builder
