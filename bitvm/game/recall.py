"""What the one-time keys of a party have signed, read from transactions of its set-up: what it is to remember.

A one-time key signs once. What a party has signed stands in the witnesses of the transactions it sent, and again where
others repeated it: so whoever has these transactions knows it, also a party whose journal is older than they are.
`recall` reads them, in any order, confirmed or not, several witnesses of one transaction too. It takes a signature for
the party's where it opens the party's public key, wherever it was shown (by Claim an attester's, by a proof the
opponent's), and for nothing else: a witness that somebody made up says nothing.

A message is what `Secrets.sign_once` was asked to sign, so that it equals the journal's entry: bytes for a node, a
tuple of symbols for a window. A key can also be made to sign an index vector that no message has (`Label`). No honest
party does so; where the key is an opponent's it is a lie that the leaves punish.

Guaranteed: `recall` raises for no witness. What cannot be read is reported in ``unreadable``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bitcoin.core import CTransaction

from bitvm.graph.graph import Graph
from bitvm.graph.model import GraphError, Input, ScriptLeaf, Template, full_name
from bitvm.graph.setting import KeySpec, game_name, key_plan
from bitvm.keys.journal import AlreadySigned
from bitvm.keys.secrets import Secrets
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.choice import ChoiceLeaf
from bitvm.leaves.claim import ClaimLeaf
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.leaves.message import MessageLeaf
from bitvm.leaves.proof import ProofLeaf
from bitvm.leaves.step import StepLeaf
from bitvm.script.onetime import NotANodeError, OneTimeError, Signature
from bitvm.script.onetime.public import PublicKey
from bitvm.script.taproot import TaprootError


@dataclass(frozen=True, slots=True)
class Label:
    """What a key signed where no message is signed so: the index vector itself.

    It encodes no node at all, or is another vector of a node than the one that its message has.
    """

    indices: tuple[int, ...]


Signed = bytes | tuple[int, ...] | Label
"""What a key signed: a node, the symbols of a window, or a label without a message."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An input of a transaction of the graph whose witness is not of its leaf's form; ``reason`` in words."""

    transaction: str
    index: int
    reason: str


@dataclass(frozen=True)
class Recalled:
    """What ``party`` has signed.

    messages: by key path (`KeySpec.path`), each once, in the order in which the transactions were given. keys: the keys
    of these paths. unreadable: what says nothing, since it cannot be read.
    """

    party: str
    messages: Mapping[str, tuple[Signed, ...]]
    keys: Mapping[str, KeySpec] = field(repr=False)
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Paths of the keys that signed a label without a message."""
        return tuple(path for path, signed in self.messages.items() if any(isinstance(one, Label) for one in signed))


def recall(graph: Graph, party: str, transactions: Iterable[CTransaction]) -> Recalled:
    """Return what the one-time keys of ``party`` signed in ``transactions``; those of others are passed over."""
    keys = {spec.path: spec for spec in key_plan(graph.setting.parameters) if spec.owner == party}
    templates = graph.by_txid()
    found: dict[str, dict[Signed, None]] = {}
    unreadable: dict[Unreadable, None] = {}
    for transaction in {transaction.serialize(): transaction for transaction in transactions}.values():
        template = templates.get(transaction.GetTxid())
        if template is None:
            continue
        for index in range(len(template.inputs)):
            try:
                shown = list(_shown(template, index, transaction))
            except (WitnessError, TaprootError, GraphError) as error:
                unreadable[Unreadable(template.name, index, str(error))] = None
                continue
            for path, signature in shown:
                if path in keys:
                    try:
                        found.setdefault(path, {})[_message(graph.setting.public[path], signature)] = None
                    except OneTimeError as error:
                        unreadable[Unreadable(template.name, index, f"{path}: {error}")] = None
    messages = {path: tuple(signed) for path, signed in found.items() if signed}
    return Recalled(party, messages, {path: keys[path] for path in messages}, tuple(unreadable))


def double_signed(recalled: Recalled) -> dict[str, tuple[Signed, ...]]:
    """Return the keys that signed more than once, and what: of an honest party there is none, whatever happened."""
    return {path: signed for path, signed in recalled.messages.items() if len(signed) > 1}


def restore_journal(secrets: Secrets, recalled: Recalled) -> tuple[AlreadySigned, ...]:
    """Record durably all that ``secrets.party`` is seen to have signed; nothing that the journal holds changes.

    Returns the conflicts: a key of it has signed another message too, which the journal holds or has got now. Labels
    cannot be recorded (`Recalled.labels`). Neither can be where all who use the seed use this journal.

    Raises ValueError where another party's messages were recalled, and JournalError.
    """
    if recalled.party != secrets.party:
        raise ValueError(f"recalled what {recalled.party} signed, for the journal of {secrets.party}")
    messages = [
        (recalled.keys[path], message)
        for path, signed in recalled.messages.items()
        for message in signed
        if not isinstance(message, Label)
    ]
    conflicts = []
    try:
        secrets.record_once(messages)
    except AlreadySigned:  # then nothing was recorded: one by one
        for request in messages:
            try:
                secrets.record_once([request])
            except AlreadySigned as conflict:
                conflicts.append(conflict)
    return tuple(conflicts)


def _message(key: PublicKey, signature: Signature) -> Signed:
    """Return what ``signature`` signs; raises OneTimeError where it is not the key's."""
    try:
        message: bytes | tuple[int, ...] = key.verify(signature)
    except NotANodeError:
        return Label(signature.indices)
    return message if key.scheme.encode(message) == signature.indices else Label(signature.indices)


def _shown(template: Template, index: int, transaction: CTransaction) -> Iterator[tuple[str, Signature]]:
    """Yield the one-time signatures that an input shows, by `KeySpec.path`; raises where the witness is of no leaf."""
    spent = template.inputs[index]
    tree = spent.source.output(spent.output).tree if isinstance(spent, Input) else None
    if tree is None or not isinstance(spent, Input):
        return
    stacks = transaction.wit.vtxinwit
    if index >= len(stacks):
        raise WitnessError(f"{template.name}: no witness")
    found, items = tree.read_witness([bytes(item) for item in stacks[index].scriptWitness.stack])
    for local, signature in _signatures(spent.leaf(found.name), items):
        yield _path(template, local), signature


def _signatures(leaf: ScriptLeaf, items: Sequence[bytes]) -> Iterable[tuple[str, Signature]]:
    """Return all one-time signatures in a leaf's witness: by path in the game, or by field of the transaction."""
    match leaf:
        case ClaimLeaf():
            claimed = leaf.decode(items)
            return [*claimed.signatures.items(), *claimed.attestations.items()]
        case CommitmentLeaf():
            return leaf.decode(items).signatures.items()
        case ChoiceLeaf():
            return [("digit", leaf.decode(items).signature)]
        case StepLeaf():
            step = leaf.decode(items)
            repeated = [(f"Choice_{level}/digit", signature) for level, signature in enumerate(step.choices, 1)]
            return [*step.signatures.items(), *repeated]
        case MessageLeaf():
            return leaf.decode(items).items()
        case ProofLeaf():
            return leaf.decode(items)[0].items()
    return ()


def _path(template: Template, local: str) -> str:
    """Return the `KeySpec.path` of what a leaf of ``template`` calls ``local``."""
    transaction, separator, name = local.rpartition("/")
    if not separator:
        return f"{template.name}/{name}"
    if transaction == "Before":
        return f"{full_name('Claim', template.claim - 1)}/{name}"
    number = template.plain.partition("/")[0]
    plain = transaction if transaction == "Claim" else game_name(int(number), transaction)
    return f"{full_name(plain, template.claim)}/{name}"
