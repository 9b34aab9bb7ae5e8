"""Step: the prover signs what one machine step did, at the index that the challenger's choices select.

The prover signs, each under its own key:

    ``root_before`` A = S_t, ``root_written`` M (after the data word), ``root_after`` B = S_{t+1}    nodes, shown
    the words of the step in the groups of ``bitvm.leaves.statement``                                shown
    ``index`` t as m choices                                                                         used

and repeats the challenger's m signed choices from the chain. Script checks that t consists of just those choices, so
that t is bound to what the challenger said without any leaf of the challenger's trusting the challenger's own words.

Script, with the witness ``one-time signatures, Schnorr signatures`` (top):

    check the Schnorr signatures of the mover and of everybody who pre-signed
    check all one-time signatures            t.1.high t.1.low … t.m.low  d.1.high … d.m.low
    compare each symbol of t with that of d; the main stack is empty
    OP_1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitcoin.core import script as op

from bitvm.leaves.authority import SCHNORR_BYTES, WitnessError, check_signers, signer_items, split_signers
from bitvm.leaves.choice import choice_of, choice_symbols
from bitvm.leaves.commitment import signed_node
from bitvm.leaves.statement import GROUPS, StatementError, words_from_nibbles
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import OneTimeError, Signature
from bitvm.script.onetime.forms import (
    parse_show_and_use,
    show_and_use,
    show_and_use_item_sizes,
    show_and_use_items,
)
from bitvm.script.onetime.public import PublicKey

ROOTS = ("root_before", "root_written", "root_after")
"""The state roots that Step signs: S_t, after the data word, S_{t+1}."""

SHOWN = (*ROOTS, *GROUPS)
"""Fields of Step in the shown form, in script order."""


def index_symbols(choices: Sequence[int], width: int) -> tuple[int, ...]:
    """Return m choices as 2m symbols of base sqrt(width), in bisection order."""
    return tuple(symbol for choice in choices for symbol in choice_symbols(choice, width))


def step_index(choices: Sequence[int], width: int) -> int:
    """Return t, the step that m choices select: the choices are the digits of t in base ``width``."""
    index = 0
    for choice in choices:
        index = index * width + choice
    return index


@dataclass(frozen=True, slots=True)
class SignedStep:
    """What a Step leaf was spent with.

    index: t. roots: the signed nodes by name, None for a label that encodes no node. words: field values by name
    (``bitvm.leaves.statement``). signatures: the one-time signatures of the fields in ``SHOWN`` and of ``index``.
    choices: the challenger's signatures, one a level, as they are repeated; nothing but their form is checked here.
    """

    index: int
    roots: Mapping[str, bytes | None]
    words: Mapping[str, int]
    signatures: Mapping[str, Signature]
    choices: tuple[Signature, ...] = ()


@dataclass(frozen=True, slots=True)
class StepLeaf:
    """Signs one step.

    fields: the prover's public keys by the names in ``SHOWN``, and ``index``.
    choices: the challenger's public keys of its m choices.
    """

    name: str
    signers: tuple[str, ...]
    keys: tuple[bytes, ...]
    fields: Mapping[str, PublicKey]
    choices: tuple[PublicKey, ...]
    width: int

    @property
    def script(self) -> bytes:
        """Return the leaf script (see the module's picture)."""
        symbols = 2 * len(self.choices)
        index_names = [f"t.{i}" for i in range(symbols)]
        choice_names = [f"d.{i}" for i in range(symbols)]
        b = ScriptBuilder([""] * len(self.item_sizes()))
        check_signers(b, self.keys)
        used = [(self.fields["index"], index_names)]
        used += [(key, choice_names[2 * r : 2 * r + 2]) for r, key in enumerate(self.choices)]
        show_and_use(b, [self.fields[name] for name in SHOWN], used, normalised=False)
        self._compare(b, index_names)
        b.number(1, "signed")
        return b.script()

    @staticmethod
    def _compare(b: ScriptBuilder, index_names: Sequence[str]) -> None:
        """``… t.i … d.i … -> ``; fails unless each symbol of t equals the choice's. Works from the top down."""
        while b.stack:
            top = b.stack[-1]
            twin = top.replace("t.", "d.") if top in index_names else top.replace("d.", "t.")
            b.roll(twin)
            b.binary(op.OP_NUMEQUAL)
            b.verify()

    def witness(
        self, schnorr: Sequence[bytes], signatures: Mapping[str, Signature], choices: Sequence[Signature]
    ) -> list[bytes]:
        """Return the witness items, bottom first; ``choices`` are the challenger's signatures found on the chain."""
        shown = [signatures[name] for name in SHOWN]
        return [*show_and_use_items(shown, [signatures["index"], *choices]), *signer_items(schnorr)]

    def decode(self, items: Sequence[bytes]) -> SignedStep:
        """Read a witness (without script and control block) back; raises WitnessError."""
        below, _ = split_signers(self.name, items, len(self.keys))
        schemes = [self.fields[name].scheme for name in SHOWN]
        used = [self.fields["index"].scheme, *(key.scheme for key in self.choices)]
        try:
            shown, (index, *choices), _ = parse_show_and_use(below, schemes, used)
            signatures = {**dict(zip(SHOWN, shown, strict=True)), "index": index}
            roots = {name: signed_node(self.fields[name], signatures[name]) for name in ROOTS}
            words: dict[str, int] = {}
            for group in GROUPS:
                words |= words_from_nibbles(group, self.fields[group].verify(signatures[group]))
            symbols = self.fields["index"].verify(index)
        except (OneTimeError, StatementError) as error:
            raise WitnessError(f"{self.name}: {error}") from error
        pairs = [symbols[i : i + 2] for i in range(0, len(symbols), 2)]
        t = step_index([choice_of(pair, self.width) for pair in pairs], self.width)
        return SignedStep(t, roots, words, signatures, tuple(choices))

    def item_sizes(self) -> list[int]:
        """Return the largest size of every witness item, in bytes."""
        shown = [self.fields[name].scheme for name in SHOWN]
        used = [self.fields["index"].scheme, *(key.scheme for key in self.choices)]
        return [*show_and_use_item_sizes(shown, used), *[SCHNORR_BYTES] * len(self.keys)]
