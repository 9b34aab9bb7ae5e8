"""What the graph is built from: the parameters, and what every party said of itself at set-up.

Every key that the graph needs is listed by ``key_plan`` in one fixed order, so that a party can send its public keys as
one string of bytes and the other side knows which is which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

from bitvm.graph.model import PROVER, Coin, GraphError, all_parties, challenger
from bitvm.graph.parameters import DUST, Parameters
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

    key: x-only key of its covenant and mover signatures. stake_key: x-only key of a challenger's stake (unused by the
    prover). anchor_key: x-only key of its anchors. payout_script: where its money goes. coins: what it gives to Fund.
    change_script, change: what it gets back from Fund, in satoshi, 0 for no change output.

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
    """A one-time key of the graph: the transaction and field that it signs, who owns it, its scheme."""

    owner: str
    transaction: str
    field: str
    scheme: AnyScheme

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


def key_plan(parameters: Parameters) -> tuple[KeySpec, ...]:
    """Return every one-time key of the graph, in the order in which public keys are exchanged."""
    plan = [KeySpec(PROVER, "Claim", name, NODE) for name in CLAIM_FIELDS]
    digit = Window(width=isqrt(parameters.width), slots=2)
    for number in range(1, parameters.challengers + 1):
        for level in range(1, parameters.levels + 1):
            plan.append(KeySpec(challenger(number), game_name(number, f"Choice_{level}"), "digit", digit))
        for level in range(2, parameters.levels + 1):
            plan.append(KeySpec(PROVER, game_name(number, f"Reveal_{level}"), "trace_root", NODE))
        step = game_name(number, "Step")
        plan += [KeySpec(PROVER, step, name, scheme) for name, scheme in step_schemes(parameters).items()]
    return tuple(plan)


@dataclass(frozen=True)
class Setting:
    """All set-up data of one graph.

    participants: by party name, the prover first. public: one-time public keys by ``KeySpec.path``.
    """

    parameters: Parameters
    participants: Mapping[str, Participant]
    public: Mapping[str, PublicKey]

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

    @property
    def parties(self) -> tuple[str, ...]:
        """Everybody, the prover first."""
        return tuple(self.participants)

    def keys(self, *parties: str) -> tuple[bytes, ...]:
        """Return the covenant keys of ``parties``."""
        return tuple(self.participants[party].key for party in parties)
