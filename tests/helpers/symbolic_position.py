"""Positions without keys: what the parties say is kept as it was said, on the real graph of a real set-up.

Labels are computed by the real schemes and no chain is hashed, so a position costs next to nothing. The strategies
cannot tell it from a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from offline import new_session

from bitvm.game.hearing import said_of
from bitvm.game.moves import Say, SayChoice, SayCommitment, SayStep, Statement
from bitvm.game.position import Confirmed, Position
from bitvm.graph.graph import Graph
from bitvm.graph.model import all_parties
from bitvm.graph.parameters import Parameters
from bitvm.leaves.choice import SignedChoice, choice_symbols
from bitvm.leaves.commitment import Commitment, signed_node
from bitvm.leaves.proof import Said
from bitvm.leaves.statement import GROUPS, nibbles_of, words_from_nibbles
from bitvm.leaves.step import ROOTS, SignedStep, index_symbols, step_index
from bitvm.script.onetime import NODE, Signature, Slot
from bitvm.script.onetime.scheme import AnyScheme
from bitvm.setup.exchange import exchange

Message = bytes | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """A label that encodes no node, said in place of one."""

    indices: tuple[int, ...]


NO_NODE = Label(tuple(NODE.list_size(slot) - 1 for slot in range(NODE.slots)))
"""The last label, which is beyond all nodes. (Every label of `NODE_USED` is a node.)"""


@dataclass(frozen=True, slots=True)
class LabelKey:
    """Stands for a public key: reads labels, and checks no secret."""

    scheme: AnyScheme

    def verify(self, signature: Signature) -> Any:
        return self.scheme.decode(signature.indices)

    def sign(self, message: object) -> Signature:
        indices = message.indices if isinstance(message, Label) else self.scheme.encode(message)
        return Signature(tuple(Slot(index, b"") for index in indices))


@dataclass(frozen=True)
class Uttered:
    """A transaction of the model: the leaf of its first input, and what is said there, by field."""

    leaf: str | None
    fields: tuple[tuple[str, object], ...] = ()
    listed: tuple[bytes, ...] = ()

    @classmethod
    def of(cls, leaf: str | None, statement: Statement | None, width: int) -> Uttered:
        """Write a statement down; what is no message (a proof, a covenant) says nothing."""
        match statement:
            case SayCommitment(nodes, listed):
                return cls(leaf, tuple(sorted(nodes.items())), listed)
            case SayChoice(choice):
                return cls(leaf, (("digit", choice_symbols(choice, width)),))
            case SayStep(choices, roots, words):
                groups = {group: nibbles_of(group, words) for group in GROUPS}
                return cls(leaf, tuple(sorted({**roots, **groups, "index": index_symbols(choices, width)}.items())))
            case Say(messages):
                return cls(leaf, tuple(sorted((path.partition("/")[2], said) for path, said in messages.items())))
        return cls(leaf)

    @cached_property
    def by_field(self) -> Mapping[str, Any]:
        return dict(self.fields)

    @cached_property
    def signatures(self) -> dict[str, Signature]:
        return {}


@dataclass(frozen=True)
class SymbolicPosition(Position):
    """A position whose ``Confirmed.transaction`` is an `Uttered`. heard_before: what `said` found."""

    heard_before: dict[object, Said] = field(default_factory=dict, compare=False)

    def uttered(self, name: str) -> Uttered:
        seen = self.seen(name)
        assert seen is not None, name
        found: Uttered = seen.transaction
        return found

    def _signed(self, name: str, scheme_of: Mapping[str, AnyScheme]) -> dict[str, Signature]:
        uttered = self.uttered(name)
        for name_of_field, message in uttered.fields:
            if name_of_field not in uttered.signatures:
                uttered.signatures[name_of_field] = LabelKey(scheme_of[name_of_field]).sign(message)
        return uttered.signatures

    def _schemes(self, name: str) -> dict[str, AnyScheme]:
        prefix = f"{self.template(name).name}/"
        public = self.graph.setting.public
        fields = self.uttered(name).by_field
        return {each: public[prefix + each].scheme for each in fields}

    def _nodes(self, name: str) -> Commitment:
        schemes = self._schemes(name)
        signatures = self._signed(name, schemes)
        nodes = {each: signed_node(LabelKey(schemes[each]), signatures[each]) for each in signatures}  # type: ignore[arg-type]
        return Commitment(signatures, nodes, self.uttered(name).listed)

    def claim(self) -> Commitment:
        return self._nodes("Claim")

    def _commitment(self, name: str) -> Commitment:
        return self._nodes(name)

    def choice(self, number: int, level: int) -> SignedChoice:
        name = f"{number}/Choice_{level}"
        width = self.graph.setting.parameters.width
        high, low = self.uttered(name).by_field["digit"]
        signature = self._signed(name, self._schemes(name))["digit"]
        return SignedChoice(high * (width // int(width**0.5)) + low, signature)

    def step(self, number: int) -> SignedStep:
        name = f"{number}/Step"
        schemes = self._schemes(name)
        signatures, said = self._signed(name, schemes), self.uttered(name).by_field
        roots = {root: signed_node(LabelKey(schemes[root]), signatures[root]) for root in ROOTS}  # type: ignore[arg-type]
        words: dict[str, int] = {}
        for group in GROUPS:
            words |= words_from_nibbles(group, said[group])
        width = self.graph.setting.parameters.width
        symbols = said["index"]
        base = int(width**0.5)
        choices = [symbols[i] * base + symbols[i + 1] for i in range(0, len(symbols), 2)]
        return SignedStep(step_index(choices, width), roots, words, signatures)

    def message(self, number: int, transaction: str) -> Mapping[str, Signature]:
        name = f"{number}/{transaction}"
        signed = self._signed(name, self._schemes(name))
        return {f"{transaction}/{each}": signature for each, signature in signed.items()}

    def said(self, number: int) -> Said:
        known = (number, *((name, id(seen.transaction)) for name, seen in self.confirmed.items()))
        if known not in self.heard_before:
            public = self.graph.setting.game_public(self.slot, number)
            keys = {path: LabelKey(key.scheme) for path, key in public.items()}
            width = self.graph.setting.parameters.width
            self.heard_before[known] = said_of(self.heard(number), keys, width)  # type: ignore[arg-type]
        return self.heard_before[known]

    def with_(self, height: int, confirmed: Mapping[str, Confirmed]) -> SymbolicPosition:
        return replace(self, height=height, confirmed=confirmed)


def real_graph(parameters: Parameters) -> Graph:
    """Set up for real, once, and return the graph; the keys are not needed any more."""
    with TemporaryDirectory() as folder:
        sessions = [new_session(party, parameters, Path(folder)) for party in all_parties(parameters.challengers)]
        return exchange(sessions).signed[0].graph
