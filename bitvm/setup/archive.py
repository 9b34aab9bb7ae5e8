"""An agreed set-up, read from its exchange store without any secret: the signed graph, and Fund ready to broadcast.

The store holds the messages of the rounds, each checked by its SHA256 when the store is opened, and every seal and
every signature was verified before a round was stored (`bitvm.setup.progress`). So loading builds the graph, compares
its hash with the one that everybody agreed to, and takes the signatures as they are; ``verify=True`` verifies those of
the graph again.

A set-up that is not agreed on is refused with what is missing: nobody can play half a graph. From the third round on
the graph is signed, and a party that sends its signatures of Fund must watch: who coordinates can keep the others' from
it and broadcast Fund all the same. So ``fund`` is None where only the last round is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bitcoin.core import CTransaction

from bitvm.graph.graph import Graph
from bitvm.graph.parameters import Parameters
from bitvm.setup.messages import Agreement, FundSignatures, Keys, Offer
from bitvm.setup.progress import KINDS
from bitvm.setup.seal import content_of
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
    """The graph is not signed by everybody yet."""


AGREED = 3
"""Rounds after which the graph is signed: offers, keys, agreements."""


@dataclass(frozen=True)
class Archive:
    """An agreed set-up of ``party``: what everybody signed, and Fund with all witnesses as soon as they are here."""

    party: str
    signed: SignedGraph = field(repr=False)
    fund: CTransaction | None = field(repr=False)

    @classmethod
    def load(cls, path: Path, parameters: Parameters, *, verify: bool = False) -> Archive:
        """Read the store at ``path``; the graph is built once and kept.

        Raises SetupStoreError for a store that cannot be used, UnfinishedSetupError and ArchiveError.
        """
        party = stored_party(path)
        with SetupStore.open(path, party, parameters) as store:
            _check_agreed(store)
            complete = store.complete()
            rounds = [list(map(content_of, store.messages(number).values())) for number in range(ROUNDS)]
            parties = store.parties
        try:
            offers = read_round(rounds[0], Offer, parties)
            graph = build_graph(parameters, offers, read_round(rounds[1], Keys, parties))
            signatures = agreed_signatures(graph, read_round(rounds[2], Agreement, parties), verified=not verify)
            fund = None
            if complete == ROUNDS:
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


def has_fund(path: Path, parameters: Parameters) -> bool:
    """Whether everybody's signatures of Fund are in the store at ``path``; raises SetupStoreError."""
    with SetupStore.open(path, stored_party(path), parameters) as store:
        return store.complete() == ROUNDS


def _check_agreed(store: SetupStore) -> None:
    number = store.complete()
    if number < AGREED:
        held = store.messages(number)
        missing = [party for party in store.parties if party not in held]
        raise UnfinishedSetupError(
            f"{store.path}: the set-up has not ended: {number} of {ROUNDS} rounds are complete, "
            f"{KINDS[number].KIND} messages of {', '.join(missing)} are missing; run the set-up again to go on"
        )
