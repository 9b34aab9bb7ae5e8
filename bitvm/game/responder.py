"""From a move to a transaction: the one place where a party signs.

One-time signatures go through the journal before anything leaves this module; Schnorr signatures of the others come
from the set-up, one's own are made here. The same move gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitcoin.core import CTransaction

from bitvm.game.moves import Move, Prove, Say, SayChoice, SayCommitment, SayStep, Statement
from bitvm.game.position import Position
from bitvm.graph.graph import SignatureSlot
from bitvm.graph.model import Input, ScriptLeaf, Template
from bitvm.graph.setting import KeySpec, key_plan
from bitvm.keys.journal import Message
from bitvm.keys.secrets import Secrets
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.choice import ChoiceLeaf, choice_symbols
from bitvm.leaves.claim import ClaimLeaf
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.leaves.message import MessageLeaf
from bitvm.leaves.proof import ProofLeaf
from bitvm.leaves.statement import GROUPS, nibbles_of
from bitvm.leaves.step import StepLeaf, index_symbols
from bitvm.script.onetime import Signature
from bitvm.setup.session import SignedGraph


class ResponderError(ValueError):
    """A move that this party cannot make: not its own, or its statement does not fit the leaf."""


class Responder:
    """Signs the moves of one party."""

    def __init__(self, signed: SignedGraph, secrets: Secrets) -> None:
        """Take the signed graph and the party's secrets in that set-up."""
        self._graph = signed.graph
        self._signatures = signed.signatures
        self._secrets = secrets
        self._specs: dict[str, dict[str, KeySpec]] = {}
        for spec in key_plan(signed.graph.setting.parameters):
            if spec.owner == secrets.party:
                self._specs.setdefault(spec.transaction, {})[spec.field] = spec

    def transaction(self, move: Move, position: Position) -> CTransaction:
        """Return the signed transaction of a move; records its one-time messages first.

        Raises ResponderError, or AlreadySigned if a key it needs holds another message.
        """
        template = self._graph[move.template]
        position = position.at_claim(template.claim)
        if template.mover != self._secrets.party:
            raise ResponderError(f"{template.name} is moved by {template.mover}, not by {self._secrets.party}")
        witnesses = []
        for index, spent in enumerate(template.inputs):
            if not isinstance(spent, Input):
                raise ResponderError(f"{template.name} spends coins from outside the graph")
            if not spent.leaves:
                witnesses.append([self._secrets.stake.sign_input(template.unsigned, index, template.spent)])
                continue
            name = move.leaf if index == 0 and move.leaf is not None else spent.leaves[0]
            leaf = spent.leaf(name)
            items = self._items(template, index, leaf, move.statement, position)
            witnesses.append(template.input_witness(index, name, items))
        return template.with_witness(witnesses)

    def _items(
        self, template: Template, index: int, leaf: ScriptLeaf, statement: Statement | None, position: Position
    ) -> list[bytes]:
        """Return the witness items of one input, below script and control block."""
        schnorr = [self._schnorr(template, index, leaf.name, party) for party in leaf.signers]
        match leaf, statement:
            case CovenantLeaf(), _:
                return leaf.witness(schnorr)
            case ((CommitmentLeaf() | ClaimLeaf()), SayCommitment(nodes, listed, attestations)):
                if set(nodes) != set(leaf.fields):
                    raise ResponderError(f"{template.name} signs {sorted(leaf.fields)}, got {sorted(nodes)}")
                return leaf.witness(schnorr, {**self._sign_once(template, nodes), **attestations}, listed)
            case ChoiceLeaf(), SayChoice(choice):
                signed = self._sign_once(template, {"digit": choice_symbols(choice, leaf.width)})
                return leaf.witness(schnorr, signed["digit"])
            case StepLeaf(), SayStep():
                return self._step_items(template, leaf, statement, position, schnorr)
            case MessageLeaf(), Say(messages):
                return leaf.witness(schnorr, self._message(template, leaf, messages, position))
            case ProofLeaf(), Prove(hints):
                return leaf.witness(schnorr, position.heard(self._game(template)), hints)
        raise ResponderError(f"{template.name}: leaf {leaf.name} cannot say {statement!r}")

    def _message(
        self, template: Template, leaf: MessageLeaf, messages: Mapping[str, Message], position: Position
    ) -> Mapping[str, Signature]:
        """Return the signatures of a message by key path: one's own, and the opponent's that it repeats."""
        if set(messages) != set(leaf.message.own):
            raise ResponderError(f"{template.name}: leaf {leaf.name} signs {leaf.message.own}, got {sorted(messages)}")
        fields = {path.partition("/")[2]: message for path, message in messages.items()}
        signed = self._sign_once(template, fields)
        own = {path: signed[path.partition("/")[2]] for path in messages}
        return {**position.heard(self._game(template)), **own} if leaf.message.repeats else own

    def _step_items(
        self, template: Template, leaf: StepLeaf, say: SayStep, position: Position, schnorr: list[bytes]
    ) -> list[bytes]:
        messages: dict[str, Message] = dict(say.roots)
        messages |= {group: nibbles_of(group, say.words) for group in GROUPS}
        messages["index"] = index_symbols(say.choices, leaf.width)
        levels = range(1, len(leaf.choices) + 1)
        choices = [position.choice(self._game(template), level).signature for level in levels]
        return leaf.witness(schnorr, self._sign_once(template, messages), choices)

    def _sign_once(self, template: Template, messages: Mapping[str, Message]) -> Mapping[str, Signature]:
        specs = self._specs.get(template.name, {})
        if not set(messages) <= set(specs):
            raise ResponderError(f"{template.name} signs {sorted(specs)}, the move says {sorted(messages)}")
        return self._secrets.sign_once([(specs[field], text) for field, text in messages.items()])

    def _schnorr(self, template: Template, index: int, leaf: str, party: str) -> bytes:
        if party == self._secrets.party:
            return self._secrets.sign_schnorr(template.sighash(index, leaf))
        return self._signatures[SignatureSlot(party, template.name, index, leaf)]

    @staticmethod
    def _game(template: Template) -> int:
        return int(template.plain.partition("/")[0])
