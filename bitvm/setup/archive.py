"""A finished set-up, read from its exchange store without any secret: the signed graph, and Fund ready to broadcast.

The store holds the messages of all four rounds, each checked by its SHA256 when the store is opened, and the session
verified every signature before it stored a round (`bitvm.setup.progress`). So loading builds the graph, compares its
hash with the one that everybody agreed to, and takes the signatures as they are; ``verify=True`` verifies them again.

A set-up that has not ended is refused with what is missing: nobody can play half a graph.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bitcoin.core import CTransaction

from bitvm.graph.graph import Graph
from bitvm.graph.parameters import Parameters
from bitvm.setup.messages import Agreement, FundSignatures, Keys, Offer
from bitvm.setup.progress import KINDS
from bitvm.setup.session import (
    SetupError,
    SignedGraph,
    agreed_signatures,
    build_graph,
    read_round,
    setup_id_of,
    signed_fund,
)
from bitvm.setup.store import ROUNDS, SetupStore, stored_party


class ArchiveError(ValueError):
    """A store that holds no finished set-up; names the file and what is missing or wrong."""


class UnfinishedSetupError(ArchiveError):
    """The set-up has not ended."""


@dataclass(frozen=True)
class Archive:
    """A finished set-up of ``party``: what everybody signed, and Fund with all witnesses."""

    party: str
    signed: SignedGraph = field(repr=False)
    fund: CTransaction = field(repr=False)

    @classmethod
    def load(cls, path: Path, parameters: Parameters, *, verify: bool = False) -> Archive:
        """Read the store at ``path``; the graph is built once and kept.

        Raises SetupStoreError for a store that cannot be used, UnfinishedSetupError and ArchiveError.
        """
        party = stored_party(path)
        with SetupStore.open(path, party, parameters) as store:
            _check_finished(store)
            rounds = [list(store.messages(number).values()) for number in range(ROUNDS)]
            parties = store.parties
        try:
            offers = read_round(rounds[0], Offer, parties)
            graph = build_graph(parameters, offers, read_round(rounds[1], Keys, parties))
            signatures = agreed_signatures(graph, read_round(rounds[2], Agreement, parties), verified=not verify)
            fund = signed_fund(graph, offers, read_round(rounds[3], FundSignatures, parties))
        except SetupError as error:
            raise ArchiveError(f"{path}: not a set-up that this version could have stored: {error}") from error
        return cls(party, SignedGraph(graph, setup_id_of(parameters, offers), signatures), fund)

    @property
    def setup_id(self) -> bytes:
        """The set-up id, 32 bytes."""
        return self.signed.setup_id

    @property
    def graph(self) -> Graph:
        """The graph."""
        return self.signed.graph


def _check_finished(store: SetupStore) -> None:
    number = store.complete()
    if number < ROUNDS:
        held = store.messages(number)
        missing = [party for party in store.parties if party not in held]
        raise UnfinishedSetupError(
            f"{store.path}: the set-up has not ended: {number} of {ROUNDS} rounds are complete, "
            f"{KINDS[number].KIND} messages of {', '.join(missing)} are missing; run the set-up again to go on"
        )
