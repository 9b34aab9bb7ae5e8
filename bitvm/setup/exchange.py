"""The exchange with every session in this process: each message of each party goes to all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitvm.setup.session import Session, SignedGraph


@dataclass(frozen=True, slots=True)
class Exchange:
    """A finished exchange, Fund's signatures left out: each session's signed graph, and the bytes sent in all."""

    signed: tuple[SignedGraph, ...]
    sent: int


def exchange(sessions: Sequence[Session]) -> Exchange:
    """Let the sessions exchange offers, keys and agreements; raises SetupError where one refuses."""
    offers = [session.offer() for session in sessions]
    keys = [session.keys(offers) for session in sessions]
    agreements = [session.agreement(keys) for session in sessions]
    signed = tuple(session.accept(agreements) for session in sessions)
    return Exchange(signed, sum(map(len, [*offers, *keys, *agreements])))
