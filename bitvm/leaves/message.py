"""How a party says something on the chain, and how an answer is bound to what the opponent asked.

A message signs the mover's fields, each under its own one-time key. Where it answers a question, it says the question
again under its own key, shows the opponent's signature of it from the chain, and Script checks that both agree: later
leaves then need to open only what their winner's opponent signed.

Script, with the witness ``one-time signatures, Schnorr signatures`` (top)::

    check the Schnorr signatures of the mover and of everybody who pre-signed
    check all one-time signatures                       -> numbers of the used keys, in range
    body                                                fails unless own and opponent's numbers agree
    drop what is left, OP_1

A mover can sign its own key twice, so no check of a message may rest on what the mover signed in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.leaves.fields import numbers
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import OneTimeError, Signature
from bitvm.script.onetime.forms import (
    parse_show_and_use,
    show,
    show_and_use,
    show_and_use_item_sizes,
    show_and_use_items,
)
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme


def nothing(_: ScriptBuilder) -> None:
    """Check nothing: the body of a message that answers no question."""


@dataclass(frozen=True)
class Message:
    """What one kind of message signs and checks.

    name: unique among the leaves of its output. shown: key paths that are only shown. used: key paths that Script
    reads, the first one's numbers on top. repeats: those of ``used`` that are the opponent's. body: the check, entry
    ``numbers of used``; only opcodes that read numbers may touch symbols; may leave items.
    """

    name: str
    shown: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    body: Callable[[ScriptBuilder], None] = nothing

    @property
    def own(self) -> tuple[str, ...]:
        """Key paths that the mover signs."""
        return (*self.shown, *(path for path in self.used if path not in self.repeats))


@dataclass(frozen=True)
class MessageLeaf:
    """A message as a leaf of one game.

    signers, keys: parties and x-only keys whose Schnorr signatures open the leaf, in script order. public: both
    parties' one-time keys by path (others may be there).
    """

    message: Message
    signers: tuple[str, ...]
    keys: tuple[bytes, ...]
    public: Mapping[str, PublicKey]

    @property
    def name(self) -> str:
        """Name of the leaf."""
        return self.message.name

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture)."""
        b = ScriptBuilder([""] * len(self.item_sizes()))
        check_signers(b, self.keys)
        shown = [self.public[path] for path in self.message.shown]
        if self.message.used:
            used = [(self.public[path], numbers(path, self.public[path].scheme)) for path in self.message.used]
            show_and_use(b, shown, used, normalised=False)
            self.message.body(b)
            b.drop(len(b.stack))
        else:
            show(b, shown)
        b.number(1, "signed")
        return b.script()

    def witness(self, schnorr: Sequence[bytes], signatures: Mapping[str, Signature]) -> list[bytes]:
        """Return the witness items, bottom first; ``signatures`` by key path, the opponent's among them."""
        shown = [signatures[path] for path in self.message.shown]
        used = [signatures[path] for path in self.message.used]
        return [*show_and_use_items(shown, used), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> dict[str, Signature]:
        """Read the signatures by key path from a witness (without script and control block); raises WitnessError."""
        below, _ = split_signers(self.name, items, len(self.keys))
        shown, used = self._schemes()
        try:
            read_shown, read_used, _ = parse_show_and_use(below, shown, used)
            paths = (*self.message.shown, *self.message.used)
            signatures = dict(zip(paths, (*read_shown, *read_used), strict=True))
            for path, signature in signatures.items():
                key = self.public[path]
                key.scheme.check(key.values, signature)
        except OneTimeError as error:
            raise WitnessError(f"{self.name}: {error}") from error
        return signatures

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item, in bytes."""
        return [*show_and_use_item_sizes(*self._schemes()), *[SCHNORR_BYTES] * len(self.keys)]

    def _schemes(self) -> tuple[list[AnyScheme], list[AnyScheme]]:
        return (
            [self.public[path].scheme for path in self.message.shown],
            [self.public[path].scheme for path in self.message.used],
        )
