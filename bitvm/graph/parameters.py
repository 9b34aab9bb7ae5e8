"""The parameters of a set-up: everything both sides must agree on before they derive keys.

A set-up is one prover, ``challengers`` challengers, one program and ``claims`` runs of it in sequence. Amounts are in
satoshi, times in blocks. The parameters are part of the set-up id, so two parties that differ in one of them never sign
the same graph.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bitvm.strictyaml import StrictYamlError, parse_yaml
from lvm.layout import HASH_BYTES, WORD_BYTES

DUST = 330
"""Smallest standard Taproot output (policy: 3 sat/vB times the cost of spending it)."""

MAX_SEQUENCE_BLOCKS = 0xFFFF
"""Largest relative lock in blocks (BIP68: 16 bits)."""

WIDTHS = (4, 16, 64)
"""Allowed intervals a level: powers of four, so that a choice is two symbols of equal width. The sqrt(256) - 1 points
of an answer to a demand would need more than the 1,000 stack items that a witness may have."""

MAX_ATTESTERS = 4
"""A claim has one leaf a try and quorum; with more attesters their number explodes."""

LEAST_OUTPUTS = 3
"""Dust limits that a stake must hold beyond what is set aside: the outputs and the anchor of Refute, and one to spare.
"""

MAX_ENTRY = 2**32 - 4
"""Largest address of an instruction."""


class ParameterError(ValueError):
    """A parameter that cannot be; the message names the field and what it may be."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a set-up is about.

    image_root: state root (24 bytes) the first claim starts from.
    entry: the program's entry point, where every claim's run begins.
    claims: K, claims that can be made in sequence; each starts from the state in which the one before ended.
    levels: m, bisection levels; ``width ** levels`` steps can be disputed.
    width: k, intervals a level.
    challengers: n, one game and one stake each.
    confirmations: blocks on top of a transaction before one answers it, and the longest reorg that is borne.
    delta: blocks a party has for each move.
    delta_claim: blocks in which a claim can be challenged.
    delta_long: blocks after which the prover may take its bond whatever games still run.
    attesters: a, of the challengers 1..a a quorum must have signed the input before a claim of it can be made; 0: none.
    quorum: q, how many attesters that is; 0 without attesters.
    tries: keys of every attester a claim; each serves for one input, so that an input without a quorum blocks nothing.
    bond: what the prover risks on a claim.
    stake: what a challenger risks on its game, on the earliest false claim.
    answer_price: what a level sets aside for its side path; dust is enough, since who demands idly loses all.
    refute_fee: fee of Refute, which is too large to be fee-less, out of the stake.
    fee_ceiling: fee rate in sat/vB up to which the amounts above are meant to be worth the game.
    reward: what the slashing challenger gets out of the bond.
    compensation: what every other challenger gets out of a slashed bond.
    """

    image_root: bytes
    entry: int = 0
    claims: int = 1
    levels: int = 5
    width: int = 64
    challengers: int = 1
    confirmations: int = 2
    delta: int = 12
    delta_claim: int = 24
    delta_long: int = 600
    attesters: int = 0
    quorum: int = 0
    tries: int = 1
    bond: int = 20_000_000
    stake: int = 4_000_000
    answer_price: int = DUST
    refute_fee: int = 16_000
    fee_ceiling: int = 20
    reward: int = 8_000_000
    compensation: int = 200_000

    def __post_init__(self) -> None:
        """Check every field; raises ParameterError."""
        if len(self.image_root) != HASH_BYTES:
            raise ParameterError(f"image_root: {HASH_BYTES} bytes needed, got {len(self.image_root)}")
        self._within("entry", 0, MAX_ENTRY)
        if self.entry % WORD_BYTES:
            raise ParameterError(f"entry: a multiple of {WORD_BYTES} needed, got {self.entry}")
        self._within("claims", 1, 64)
        self._within("levels", 1, 8)
        if self.width not in WIDTHS:
            raise ParameterError(f"width: one of {WIDTHS} needed, got {self.width}")
        if self.steps > 2**32:
            raise ParameterError(f"levels: {self.width}^{self.levels} steps are more than 2^32; lower levels or width")
        self._within("challengers", 1, 16)
        self._within("attesters", 0, min(MAX_ATTESTERS, self.challengers))
        self._within("quorum", min(1, self.attesters), self.attesters)
        self._within("tries", 1, 16)
        self._check_times()
        self._check_amounts()

    def _check_times(self) -> None:
        self._within("confirmations", 1, 100)
        for name in ("delta", "delta_claim", "delta_long"):
            self._within(name, 1, MAX_SEQUENCE_BLOCKS)
        for name in ("delta", "delta_claim"):
            if getattr(self, name) <= 2 * self.confirmations:
                raise ParameterError(f"{name}: more than twice confirmations = {2 * self.confirmations} needed")
        # A challenger whose Slash comes second reclaims its stake when the first is buried, before TakeStake is open.
        if self.delta <= self.confirmations + 2:
            raise ParameterError(f"delta: more than confirmations + 2 = {self.confirmations + 2} needed")
        longest = self.delta_claim + self.longest_game
        if self.delta_long < longest:
            raise ParameterError(
                f"delta_long: at least delta_claim + the longest game = {longest} blocks needed, got {self.delta_long}"
            )

    def _check_amounts(self) -> None:
        for name in ("bond", "stake", "answer_price", "reward", "compensation"):
            self._within(name, DUST, 21_000_000 * 100_000_000)
        self._within("refute_fee", 1, self.stake)
        self._within("fee_ceiling", 1, 10_000)
        set_aside = self.levels * self.answer_price + self.refute_fee
        if self.stake < set_aside + LEAST_OUTPUTS * DUST:
            raise ParameterError(
                f"stake: levels * answer_price + refute_fee + {LEAST_OUTPUTS} * {DUST} = "
                f"{set_aside + LEAST_OUTPUTS * DUST} sat needed at least, got {self.stake}"
            )
        if self.burn <= 0:
            raise ParameterError(
                f"bond: {self.bond} sat must exceed reward + compensation of the others, "
                f"{self.bond - self.burn} sat, so that something is burnt"
            )

    def _within(self, name: str, low: int, high: int) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ParameterError(f"{name}: a whole number from {low} to {high} needed, got {value!r}")

    @property
    def steps(self) -> int:
        """Machine steps that a claim covers."""
        return int(self.width**self.levels)

    @property
    def moves(self) -> int:
        """Moves of the longest game after Challenge.

        m choices, m - 1 reveals and Step; a demand at every level, of four moves; Ask, Path, Descend, Inside, Narrow,
        Close, Refute and Slash.
        """
        return 2 * self.levels + 4 * self.levels + 8

    @property
    def longest_game(self) -> int:
        """Blocks from Challenge to a buried Slash when every move takes the whole of its time."""
        return (self.moves + 1) * (self.delta + 1)

    @property
    def burn(self) -> int:
        """What is destroyed of a slashed bond, so that slashing oneself is a loss."""
        return self.bond - self.reward - (self.challengers - 1) * self.compensation

    def interval(self, level: int) -> int:
        """Steps covered by one of the ``width`` intervals of ``level`` (1..levels)."""
        return int(self.width ** (self.levels - level))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, roots in hexadecimal."""
        return {**asdict(self), "image_root": self.image_root.hex()}

    def canonical(self) -> bytes:
        """Return the bytes that are hashed into the set-up id."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Parameters:
        """Build from decoded JSON or YAML; raises ParameterError naming unknown, missing or impossible fields."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(map(str, set(values) - known)):
            raise ParameterError(f"unknown fields: {', '.join(unknown)}; known: {', '.join(sorted(known))}")
        if "image_root" not in values:
            raise ParameterError("image_root: missing")
        try:
            root = bytes.fromhex(values["image_root"])
        except (TypeError, ValueError) as error:
            raise ParameterError(f"image_root: not hexadecimal: {values['image_root']!r}") from error
        return cls(**{**values, "image_root": root})

    @classmethod
    def load(cls, path: Path) -> Parameters:
        """Read a YAML file; raises ParameterError naming the file and the field."""
        try:
            values = parse_yaml(path.read_bytes())
        except (OSError, StrictYamlError) as error:
            raise ParameterError(f"{path}: {error}") from error
        if not isinstance(values, dict):
            raise ParameterError(f"{path}: a mapping of fields needed")
        try:
            return cls.from_mapping(values)
        except ParameterError as error:
            raise ParameterError(f"{path}: {error}") from error
