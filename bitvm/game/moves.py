"""What a strategy returns: a move to make, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bitvm.keys.journal import Message
from bitvm.script.onetime import Signature


@dataclass(frozen=True, slots=True)
class SayCommitment:
    """Sign ``nodes`` (by field, 24 bytes each) and show ``listed``; ``attestations``: others' signatures by field."""

    nodes: Mapping[str, bytes]
    listed: tuple[bytes, ...]
    attestations: Mapping[str, Signature] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SayChoice:
    """Sign that interval ``choice`` (0..k-1) is disputed."""

    choice: int


@dataclass(frozen=True, slots=True)
class SayStep:
    """Sign the step that ``choices`` select: its three roots and its words (``bitvm.leaves.statement``)."""

    choices: tuple[int, ...]
    roots: Mapping[str, bytes]
    words: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Say:
    """Sign ``messages``, by key path: symbols of a window, or a node of 24 bytes."""

    messages: Mapping[str, Message]


@dataclass(frozen=True, slots=True)
class Prove:
    """Show by a proof that something the opponent signed is false."""

    hints: tuple[int, ...]


Statement = SayCommitment | SayChoice | SayStep | Say | Prove


@dataclass(frozen=True, slots=True)
class Move:
    """Broadcast ``template``, by its full name.

    leaf: the leaf of its first input where that has several. statement: what is said there, None for a covenant.
    why: one sentence for people.
    """

    template: str
    why: str
    statement: Statement | None = None
    leaf: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now.

    why: one sentence for people. until: the height at which this changes by itself, if any. over: whether the game has
    ended. alarm: whether an operator should look.
    """

    why: str
    until: int | None = None
    over: bool = False
    alarm: bool = field(default=False)


Decision = Move | Wait
