"""What the graph is built from: the parameters, and what every party said of itself at set-up.

Every key that the graph needs is listed by ``key_plan`` in one fixed order, so that a party can send its public keys as
one string of bytes and the other side knows which is which.

Claims, and games of one claim, differ in keys alone. What is built for each of them is built from a ``ClaimView`` or a
``GameView``, which call keys and transactions by their plain names and by their names within the game.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt

from bitvm.graph.model import (
    ANCHOR,
    COVENANT,
    GAME_VERSION,
    PROVER,
    Coin,
    GraphError,
    Input,
    Output,
    Template,
    all_parties,
    challenger,
    full_name,
)
from bitvm.graph.parameters import DUST, Parameters
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.fields import ASK, CLOSE, DESCEND, INSIDE, NARROW, PATH, detail, outline, pick
from bitvm.leaves.message import Message, MessageLeaf
from bitvm.leaves.proof import Proof, ProofLeaf
from bitvm.leaves.statement import GROUPS
from bitvm.leaves.step import ROOTS
from bitvm.script.onetime import NODE, Window
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme

PAYOUT_PROGRAMS = ((0, 20), (0, 32), (1, 32))
"""Version and bytes of the witness programs that one is paid to: P2WPKH, P2WSH, P2TR."""

CLAIM_FIELDS = ("input_root", "trace_root", "final_root")
"""Nodes that Claim signs."""


X_ONLY_BYTES = 32
"""Size of a BIP340 public key."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A party as the others see it.

    key: x-only key of its covenant and mover signatures. stake_key: x-only key of what its owner alone frees: a
    challenger's stake, and the output of a claim with which the prover makes the next one. anchor_key: x-only key of
    its anchors. payout_script: where its money goes. coins: what it gives to Fund. change_script, change: what it gets
    back from Fund, in satoshi, 0 for no change output.

    The scripts have to be witness programs of ``PAYOUT_PROGRAMS``: a payout script stands in the Slash of *other*
    challengers too, where one that is not standard, or whose dust limit is above ``DUST``, would keep it from relay.
    """

    key: bytes
    stake_key: bytes
    anchor_key: bytes
    payout_script: bytes
    coins: tuple[Coin, ...]
    change_script: bytes
    change: int


@dataclass(frozen=True, slots=True)
class KeySpec:
    """A one-time key of the graph: what it signs, who owns it, its scheme.

    transaction: the full name. claim: 1..claims. attempt: an attester's try, 0 for all other keys.
    """

    owner: str
    transaction: str
    field: str
    scheme: AnyScheme
    claim: int
    attempt: int = 0

    @property
    def path(self) -> str:
        """``transaction/field``, unique in the graph."""
        return f"{self.transaction}/{self.field}"


def _is_payable(script_pubkey: bytes) -> bool:
    """Whether a script is one witness program of ``PAYOUT_PROGRAMS``."""
    forms = (bytes([0x50 + version if version else 0, size]) for version, size in PAYOUT_PROGRAMS)
    return any(script_pubkey[:2] == form and len(script_pubkey) == 2 + form[1] for form in forms)


def game_name(number: int, transaction: str) -> str:
    """Return the name of a transaction of challenger ``number``'s game."""
    return f"{number}/{transaction}"


def step_schemes(parameters: Parameters) -> dict[str, AnyScheme]:
    """Return the schemes of Step's fields by name, in key order."""
    schemes: dict[str, AnyScheme] = dict.fromkeys(ROOTS, NODE)
    schemes |= {name: Window(width=16, slots=group.nibbles) for name, group in GROUPS.items()}
    schemes["index"] = Window(width=isqrt(parameters.width), slots=2 * parameters.levels)
    return schemes


def attest_field(number: int, attempt: int) -> str:
    """Return the field under which attester ``number`` signs the input of a claim at its try ``attempt``, from 0."""
    return f"attest_{number}_{attempt}"


def _game_plan(parameters: Parameters) -> Iterator[tuple[str, str, Mapping[str, AnyScheme]]]:
    """Yield every message of a game: mover (``PROVER``, or "" for the challenger), transaction, schemes by field."""
    width = parameters.width
    levels = range(1, parameters.levels + 1)
    for level in levels:
        yield "", f"Choice_{level}", {"digit": Window(width=isqrt(width), slots=2)}
    for level in levels[1:]:
        yield PROVER, f"Reveal_{level}", {"trace_root": NODE}
    for level in levels:
        yield PROVER, f"Outline_{level}", outline(width)
        yield "", f"Pick_{level}", pick(width)
        yield PROVER, f"Detail_{level}", detail(width)
    yield PROVER, "Step", step_schemes(parameters)
    yield "", "Ask", ASK
    yield PROVER, "Path", PATH
    yield "", "Descend", DESCEND
    yield PROVER, "Inside", INSIDE
    yield "", "Narrow", NARROW
    yield PROVER, "Close", CLOSE


def _claim_plan(parameters: Parameters, claim: int) -> Iterator[KeySpec]:
    claimed = full_name("Claim", claim)
    for name in CLAIM_FIELDS:
        yield KeySpec(PROVER, claimed, name, NODE, claim)
    for number in range(1, parameters.attesters + 1):
        for attempt in range(parameters.tries):
            yield KeySpec(challenger(number), claimed, attest_field(number, attempt), NODE, claim, attempt)
    for number in range(1, parameters.challengers + 1):
        for mover, transaction, schemes in _game_plan(parameters):
            name = full_name(game_name(number, transaction), claim)
            for signed, scheme in schemes.items():
                yield KeySpec(mover or challenger(number), name, signed, scheme, claim)


def key_plan(parameters: Parameters) -> tuple[KeySpec, ...]:
    """Return every one-time key of the graph, in the order in which public keys are exchanged."""
    claims = range(1, parameters.claims + 1)
    return tuple(spec for claim in claims for spec in _claim_plan(parameters, claim))


@dataclass(frozen=True)
class Setting:
    """All set-up data of one graph.

    participants: by party name, the prover first. public: one-time public keys by ``KeySpec.path``.
    """

    parameters: Parameters
    participants: Mapping[str, Participant]
    public: Mapping[str, PublicKey] = field(repr=False)

    def __post_init__(self) -> None:
        """Check parties, where they are paid, and that no key or public value occurs twice; raises GraphError."""
        parties = all_parties(self.parameters.challengers)
        if tuple(self.participants) != parties:
            raise GraphError(f"participants {parties} needed, got {tuple(self.participants)}")
        self._check_participants()
        plan = {spec.path: spec for spec in key_plan(self.parameters)}
        if set(self.public) != set(plan):
            missing, extra = sorted(set(plan) - set(self.public)), sorted(set(self.public) - set(plan))
            raise GraphError(f"one-time keys missing: {missing[:3]}, unknown: {extra[:3]}")
        seen: dict[bytes, str] = {}
        for path, key in self.public.items():
            if key.scheme != plan[path].scheme:
                raise GraphError(f"{path}: scheme {plan[path].scheme} needed, got {key.scheme}")
            for value in key.values:
                if value in seen:
                    raise GraphError(f"{path}: a public value of {seen[value]} occurs again")
                seen[value] = path

    def _check_participants(self) -> None:
        keys: dict[bytes, str] = {}
        for party, participant in self.participants.items():
            if not _is_payable(participant.payout_script):
                raise GraphError(f"{party}: payout_script is none of P2WPKH, P2WSH, P2TR")
            if participant.change and not (_is_payable(participant.change_script) and participant.change >= DUST):
                raise GraphError(f"{party}: change of {participant.change} sat is dust or not to P2WPKH, P2WSH, P2TR")
            for key in (participant.key, participant.stake_key, participant.anchor_key):
                if len(key) != X_ONLY_BYTES:  # BIP342: a signature under a key of another length is not checked at all
                    raise GraphError(f"{party}: a key has {len(key)} bytes instead of {X_ONLY_BYTES}")
                if key in keys:
                    raise GraphError(f"{party}: a key of {keys[key]} occurs again")
                keys[key] = party

    def __hash__(self) -> int:
        """Equal settings hash alike; public keys are distinct, so one of a set-up stands for all."""
        return hash((self.parameters, next(iter(self.public.values()))))

    @property
    def parties(self) -> tuple[str, ...]:
        """Everybody, the prover first."""
        return tuple(self.participants)

    def keys(self, *parties: str) -> tuple[bytes, ...]:
        """Return the covenant keys of ``parties``."""
        return tuple(self.participants[party].key for party in parties)

    def claim_view(self, claim: int) -> ClaimView:
        """Return one claim of the set-up, 1..claims."""
        return ClaimView(self, claim)

    def game_public(self, claim: int, number: int) -> dict[str, PublicKey]:
        """Return the one-time keys of challenger ``number``'s game of a claim by path within the game.

        "Step/index", "Choice_1/digit" …; also those of the claim, "Claim/input_root" …, and, where there is a claim
        before, "Before/final_root".
        """
        claimed = full_name("Claim", claim)
        public = {f"Claim/{name}": self.public[f"{claimed}/{name}"] for name in CLAIM_FIELDS}
        if claim > 1:
            public["Before/final_root"] = self.public[f"{full_name('Claim', claim - 1)}/final_root"]
        for _, transaction, schemes in _game_plan(self.parameters):
            name = full_name(game_name(number, transaction), claim)
            public |= {f"{transaction}/{field}": self.public[f"{name}/{field}"] for field in schemes}
        return public


@dataclass(frozen=True)
class ClaimView:
    """One claim of a set-up, 1..claims, as its transactions are built: by plain names."""

    setting: Setting
    claim: int

    @property
    def parameters(self) -> Parameters:
        """The parameters of the set-up."""
        return self.setting.parameters

    @property
    def everybody(self) -> CovenantLeaf:
        """The leaf that every party signs."""
        return CovenantLeaf(COVENANT, self.setting.parties, self.setting.keys(*self.setting.parties))

    def one_time(self, field: str) -> PublicKey:
        """Return a one-time key of Claim."""
        return self.setting.public[f"{full_name('Claim', self.claim)}/{field}"]

    def game(self, number: int) -> GameView:
        """Return challenger ``number``'s game."""
        return GameView(self, number)

    def template(
        self, plain: str, mover: str, inputs: Sequence[Input], outputs: Sequence[Output], version: int = GAME_VERSION
    ) -> Template:
        """Return a transaction of this claim; last comes the mover's anchor, of no value or, if it pays, dust."""
        value = 0 if version == GAME_VERSION else DUST
        anchor = Output.keyed(ANCHOR, value, self.setting.participants[mover].anchor_key)
        name = full_name(plain, self.claim)
        return Template(name, mover, tuple(inputs), (*outputs, anchor), version, self.claim)


@dataclass(frozen=True)
class GameView:
    """One challenger's game of a claim, as its transactions are built: by names within the game."""

    claim: ClaimView
    number: int

    @property
    def parameters(self) -> Parameters:
        """The parameters of the set-up."""
        return self.claim.parameters

    @property
    def challenger(self) -> str:
        """The challenger's party name."""
        return challenger(self.number)

    @cached_property
    def public(self) -> Mapping[str, PublicKey]:
        """Both players' one-time keys by path within the game (see ``Setting.game_public``)."""
        return self.claim.setting.game_public(self.claim.claim, self.number)

    @property
    def pair(self) -> tuple[str, str]:
        """The two players, the prover first."""
        return PROVER, self.challenger

    @property
    def pair_keys(self) -> tuple[bytes, ...]:
        """The covenant keys of the two players."""
        return self.claim.setting.keys(*self.pair)

    @property
    def covenant(self) -> CovenantLeaf:
        """The leaf that both players sign."""
        return CovenantLeaf(COVENANT, self.pair, self.pair_keys)

    def message(self, message: Message) -> MessageLeaf:
        """Return a message as a leaf of this game; both players sign."""
        return MessageLeaf(message, self.pair, self.pair_keys, self.public)

    def proof(self, proof: Proof, winner: str) -> ProofLeaf:
        """Return a proof as a leaf of this game; the winner alone signs."""
        (key,) = self.claim.setting.keys(winner)
        return ProofLeaf(proof, winner, key, self.public)

    def template(
        self, name: str, mover: str, inputs: Sequence[Input], outputs: Sequence[Output], version: int = GAME_VERSION
    ) -> Template:
        """Return a transaction of this game (see ``ClaimView.template``)."""
        return self.claim.template(game_name(self.number, name), mover, inputs, outputs, version)

    def pay(self, party: str, value: int) -> Output:
        """Return the output that pays a player: ``prover``, or ``challenger``."""
        name = party.rstrip("0123456789")
        return Output(name, value, self.claim.setting.participants[party].payout_script)
