"""The set-up of one party, as a sequence of messages that everybody sends to everybody.

    1  Offer            parameters, a nonce, coins for Fund                the set-up id follows: hash of all offers
    2  Keys             Schnorr keys and one-time keys of this set-up      everybody builds the graph
    3  Agreement        graph hash, signatures on every input that somebody else will broadcast
                        everybody verifies all of them and stores them     only now may money move
    4  FundSignatures   each party's witnesses on its own coins            Fund can be broadcast

A session takes the messages of the others as bytes, checks everything it is told, and holds only its own secrets. It
is the same for prover and challengers. Any check that fails raises SetupError and leaves the party where nothing was
signed that could cost it money: before step 4 no output of the graph exists. A session signs one graph and no other:
two that differ in one anchor would share Fund, and the second Claim would be one that nobody looks for. Who said what
is not its business: messages come and go without the seals that say so (`bitvm.setup.seal`).

What the messages of a round say together is read by functions that need no secret: `read_round`, `setup_id_of`,
`build_graph`, `agreed_signatures`, `signed_fund`. `bitvm.setup.archive` reads a finished set-up with the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bitcoin.core import CTransaction, CTxOut
from coincurve import PublicKeyXOnly

from bitvm.chain.keys import SpendableCoin
from bitvm.graph.graph import Graph, SignatureSlot, build
from bitvm.graph.model import Coin, GraphError, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.graph.setting import KeySpec, Participant, Setting, key_plan
from bitvm.keys.journal import Journal
from bitvm.keys.schnorr import SIGNATURE_BYTES, verify
from bitvm.keys.secrets import Secrets
from bitvm.keys.seed import Seed
from bitvm.script.onetime import OneTimeError
from bitvm.script.onetime.public import PublicKey
from bitvm.setup.messages import Agreement, Body, FundSignatures, Keys, MessageError, Offer, decode, encode, excerpt

BodyT = TypeVar("BodyT", bound=Body)


class SetupError(ValueError):
    """The set-up cannot go on; names the party and what is wrong with what it sent."""


@dataclass(frozen=True)
class SignedGraph:
    """A graph with everybody's verified signatures: all that is needed, beside one's own seed, to play."""

    graph: Graph
    setup_id: bytes
    signatures: Mapping[SignatureSlot, bytes]


class Session:
    """One party's side of a set-up."""

    def __init__(
        self,
        party: str,
        parameters: Parameters,
        seed: Seed,
        journal: Journal,
        *,
        nonce: bytes,
        coins: Sequence[SpendableCoin],
        change: int,
        change_script: bytes,
        payout_script: bytes,
    ) -> None:
        """Start; ``nonce`` must be fresh (32 random bytes), coins confirmed and the party's own."""
        self.party = party
        self._parameters = parameters
        self._seed, self._journal = seed, journal
        self._coins = tuple(coins)
        offered = tuple(Coin(coin.outpoint, coin.output) for coin in coins)
        self._offer = Offer(_digest(parameters), nonce, offered, change, change_script, payout_script)
        self._parties = all_parties(parameters.challengers)
        if party not in self._parties:
            raise SetupError(f"{party}: not one of the parties {self._parties}")
        self._offers: Mapping[str, Offer] = {}
        self._own: tuple[Secrets, Keys] | None = None
        self._graph: Graph | None = None
        self._setup_id: bytes | None = None
        self._signed: SignedGraph | None = None

    def offer(self) -> bytes:
        """Return the first message."""
        return encode(self.party, self._offer)

    def keys(self, messages: Sequence[bytes]) -> bytes:
        """Take all offers (one's own included), fix the set-up id, return one's public keys."""
        offers = read_round(messages, Offer, self._parties)
        if offers[self.party] != self._offer:
            raise SetupError(f"{self.party}: the offers hold another offer of ours")
        for party, offer in offers.items():
            if offer.parameters != self._offer.parameters:
                raise SetupError(f"{party}: other parameters than ours")
            for coin in offer.coins:
                if not _is_taproot(bytes(coin.spent.scriptPubKey)):
                    raise SetupError(f"{party}: a coin of Fund that is not Taproot would make its id malleable")
        nonces = [offer.nonce for offer in offers.values()]
        if len(set(nonces)) != len(nonces):
            raise SetupError("two parties sent one nonce")
        setup_id = setup_id_of(self._parameters, offers)
        if self._setup_id not in (None, setup_id):
            raise SetupError("other offers than those that fixed the set-up id")
        self._offers, self._setup_id = offers, setup_id
        if self._own is None:
            secrets = Secrets(self._seed, self._journal, setup_id, self.party)
            self._own = secrets, _public_half(secrets, self._parameters, self.party)
        return encode(self.party, self._own[1])

    def agreement(self, messages: Sequence[bytes]) -> bytes:
        """Take everybody's keys, build the graph, return its hash and one's signatures on it."""
        secrets, own_keys = self._started()
        keys = read_round(messages, Keys, self._parties)
        if keys[self.party] != own_keys:
            raise SetupError(f"{self.party}: the keys hold other keys of ours")
        graph = build_graph(self._parameters, self._offers, keys)
        if self._graph is not None and self._graph.hash() != graph.hash():
            raise SetupError("other keys than those of the graph that we signed")
        self._graph = graph
        own = [slot for slot in graph.signature_slots() if slot.party == self.party]
        signatures = [secrets.sign_schnorr(sighash(graph, slot)) for slot in own]
        return encode(self.party, Agreement(graph.hash(), b"".join(signatures)))

    def accept(self, messages: Sequence[bytes]) -> SignedGraph:
        """Take everybody's agreement and verify every signature; what it returns is to be stored durably."""
        graph, setup_id = self._built()
        signatures = agreed_signatures(graph, read_round(messages, Agreement, self._parties))
        self._signed = SignedGraph(graph, setup_id, signatures)
        return self._signed

    def fund_signatures(self) -> bytes:
        """Return the witnesses on one's own coins; only after the signed graph was stored."""
        if self._signed is None:
            raise SetupError("Fund is signed only after every signature of the graph was verified")
        fund = self._signed.graph["Fund"]
        by_outpoint = {coin.outpoint: coin for coin in self._coins}
        witnesses = {
            str(index): by_outpoint[txin.outpoint].key.sign_input(fund.unsigned, index, fund.spent)
            for index, txin in enumerate(fund.inputs)
            if txin.outpoint in by_outpoint
        }
        return encode(self.party, FundSignatures(witnesses))

    def fund(self, messages: Sequence[bytes]) -> CTransaction:
        """Take everybody's witnesses, verify them, and return Fund, ready to broadcast."""
        graph, _ = self._built()
        return signed_fund(graph, self._offers, read_round(messages, FundSignatures, self._parties))

    @property
    def secrets(self) -> Secrets:
        """The party's keys in this set-up, from the moment its id is fixed."""
        return self._started()[0]

    def _started(self) -> tuple[Secrets, Keys]:
        if self._own is None:
            raise SetupError("the set-up id is not fixed yet; the offers come first")
        return self._own

    def _built(self) -> tuple[Graph, bytes]:
        if self._graph is None or self._setup_id is None:
            raise SetupError("there is no graph yet; the keys come first")
        return self._graph, self._setup_id


def _public_half(secrets: Secrets, parameters: Parameters, party: str) -> Keys:
    """Return what the others get to know of our keys; takes a second or more for large games."""
    values = b"".join(secrets.public_key(spec).to_bytes() for spec in _specs(parameters, party))
    return Keys(secrets.covenant.public_key, secrets.stake.output_key, secrets.anchor.output_key, values)


# ---- what whole rounds say, to anybody


def read_round(messages: Sequence[bytes], kind: type[BodyT], parties: Sequence[str]) -> dict[str, BodyT]:
    """Return the bodies of one message of ``kind`` a party, in party order; raises SetupError."""
    found: dict[str, BodyT] = {}
    for data in messages:
        try:
            party, body = decode(data)
        except MessageError as error:
            raise SetupError(str(error)) from error
        if not isinstance(body, kind) or party not in parties or party in found:
            raise SetupError(f"{excerpt(party)}: one {kind.KIND} message of each of {parties} needed")
        found[party] = body
    if len(found) != len(parties):
        raise SetupError(f"{kind.KIND} messages missing of {sorted(set(parties) - set(found))}")
    return {party: found[party] for party in parties}


def setup_id_of(parameters: Parameters, offers: Mapping[str, Offer]) -> bytes:
    """Return the set-up id: a hash of the parameters and of all offers, in party order."""
    digest = hashlib.sha256(b"bitvm set-up" + _digest(parameters))
    for party, offer in offers.items():
        digest.update(hashlib.sha256(encode(party, offer)).digest())
    return digest.digest()


def build_graph(parameters: Parameters, offers: Mapping[str, Offer], keys: Mapping[str, Keys]) -> Graph:
    """Build the graph from everybody's offers and keys, both in party order; raises SetupError."""
    public: dict[str, PublicKey] = {}
    for party, body in keys.items():
        public |= _public_keys(parameters, party, body.one_time)
    participants = {party: _participant(party, offers[party], body) for party, body in keys.items()}
    try:
        return build(Setting(parameters, participants, public))
    except GraphError as error:
        raise SetupError(str(error)) from error


def agreed_signatures(
    graph: Graph, agreements: Mapping[str, Agreement], *, verified: bool = False
) -> dict[SignatureSlot, bytes]:
    """Return the signatures of all parties on the graph by slot; raises SetupError.

    ``verified``: they were verified before, so only the graph's hash and how many there are is checked.
    """
    signatures: dict[SignatureSlot, bytes] = {}
    for party, agreement in agreements.items():
        if agreement.graph != graph.hash():
            raise SetupError(f"{party}: another graph than ours")
        slots = [slot for slot in graph.signature_slots() if slot.party == party]
        if len(agreement.signatures) != SIGNATURE_BYTES * len(slots):
            raise SetupError(f"{party}: {len(slots)} signatures needed, got {len(agreement.signatures)} bytes")
        key = graph.setting.participants[party].key
        for position, slot in enumerate(slots):
            signature = agreement.signatures[SIGNATURE_BYTES * position :][:SIGNATURE_BYTES]
            if not verified and not verify(key, sighash(graph, slot), signature):
                raise SetupError(f"{party}: wrong signature on {slot.template}, input {slot.index}")
            signatures[slot] = signature
    return signatures


def signed_fund(graph: Graph, offers: Mapping[str, Offer], messages: Mapping[str, FundSignatures]) -> CTransaction:
    """Return Fund with everybody's witnesses, which are verified, ready to broadcast; raises SetupError."""
    fund = graph["Fund"]
    witnesses: dict[int, bytes] = {}
    for party, message in messages.items():
        own = {coin.outpoint for coin in offers[party].coins}
        indices = {index for index, txin in enumerate(fund.inputs) if txin.outpoint in own}
        if set(message.witnesses) != {str(index) for index in indices}:
            raise SetupError(f"{party}: witnesses for inputs {sorted(indices)} of Fund needed")
        for index in indices:
            witness = message.witnesses[str(index)]
            if not verify(_output_key(fund.spent[index]), fund.sighash(index), witness):
                raise SetupError(f"{party}: wrong signature on Fund, input {index}")
            witnesses[index] = witness
    return fund.with_witness([[witnesses[index]] for index in range(len(fund.inputs))])


def sighash(graph: Graph, slot: SignatureSlot) -> bytes:
    """Return the 32 bytes that a party signs for a slot of the graph."""
    return graph[slot.template].sighash(slot.index, slot.leaf)


def _specs(parameters: Parameters, party: str) -> list[KeySpec]:
    return [spec for spec in key_plan(parameters) if spec.owner == party]


def _public_keys(parameters: Parameters, party: str, data: bytes) -> dict[str, PublicKey]:
    specs = _specs(parameters, party)
    sizes = [20 * spec.scheme.chains for spec in specs]
    if len(data) != sum(sizes):
        raise SetupError(f"{party}: {sum(sizes)} bytes of one-time keys needed, got {len(data)}")
    keys, position = {}, 0
    for spec, size in zip(specs, sizes, strict=True):
        try:
            keys[spec.path] = PublicKey.from_bytes(spec.scheme, data[position : position + size])
        except OneTimeError as error:
            raise SetupError(f"{party}: {spec.path}: {error}") from error
        position += size
    return keys


def _participant(party: str, offer: Offer, keys: Keys) -> Participant:
    for name in ("key", "stake_key", "anchor_key"):
        try:
            PublicKeyXOnly(getattr(keys, name))
        except ValueError as error:
            raise SetupError(f"{party}: {name} is no x-only public key") from error
    return Participant(
        keys.key,
        keys.stake_key,
        keys.anchor_key,
        offer.payout_script,
        offer.coins,
        offer.change_script,
        offer.change,
    )


def _digest(parameters: Parameters) -> bytes:
    return hashlib.sha256(parameters.canonical()).digest()


def _is_taproot(script_pubkey: bytes) -> bool:
    return len(script_pubkey) == 34 and script_pubkey[:2] == b"\x51\x20"


def _output_key(spent: CTxOut) -> bytes:
    return bytes(spent.scriptPubKey)[2:]
