"""A set-up and its transactions without a chain: signed by the real parties, judged by Core's engine input by input."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from bitcoin.core import COutPoint, CTransaction, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.game import challenger as challenger_strategy
from bitvm.game import prover as prover_strategy
from bitvm.game.computation import Computation
from bitvm.game.moves import Decision, Move
from bitvm.game.position import Confirmed, Position
from bitvm.game.responder import Responder
from bitvm.graph.fund import contribution
from bitvm.graph.model import PROVER, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.keys.journal import Journal
from bitvm.keys.secrets import Secrets
from bitvm.keys.seed import Seed
from bitvm.script.engine import failing_input
from bitvm.setup.exchange import exchange
from bitvm.setup.session import Session, SignedGraph


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def seed_of(party: str, salt: str = "") -> Seed:
    return Seed(digest(f"seed {party} {salt}"))


def new_session(party: str, parameters: Parameters, folder: Path, salt: str = "") -> Session:
    """A session with a seed of its own and one made-up coin."""
    seed = seed_of(party, salt)
    key = TaprootKey(digest(f"coin {party} {salt}"))
    value = contribution(parameters, party) + 1_000
    outpoint = COutPoint(digest(f"outpoint {party} {salt}"), 0)
    coin = SpendableCoin(outpoint, CTxOut(value, CScript(key.script_pubkey)), key)
    return Session(
        party,
        parameters,
        seed,
        Journal.create(folder / f"{party}{salt}.sqlite", seed),
        nonce=digest(f"nonce {party} {salt}"),
        coins=[coin],
        change=0,
        change_script=key.script_pubkey,
        payout_script=key.script_pubkey,
    )


def parties_of(parameters: Parameters) -> list[str]:
    return list(all_parties(parameters.challengers))


@lru_cache(maxsize=16)
def agreed(parameters: Parameters, salt: str) -> tuple[dict[str, SignedGraph], CTransaction]:
    """Agree on a set-up, once a process: seeds and coins are made up, so it is always the same; return Fund, too."""
    with tempfile.TemporaryDirectory() as folder:
        sessions = {party: new_session(party, parameters, Path(folder), salt) for party in parties_of(parameters)}
        signed = dict(zip(sessions, exchange(list(sessions.values())).signed, strict=True))
        fund = sessions[PROVER].fund([session.fund_signatures() for session in sessions.values()])
        for session in sessions.values():
            session._journal.close()
    return signed, fund


@dataclass
class OfflineGame:
    """Parties that play by handing each other transactions; every input is judged by the engine before it counts."""

    parameters: Parameters
    folder: Path
    salt: str = ""
    height: int = 100
    confirmed: dict[str, Confirmed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signed, fund = agreed(self.parameters, self.salt)
        self.graph = self.signed[PROVER].graph
        self.secrets: dict[str, Secrets] = {}
        for party, signed in self.signed.items():
            seed = seed_of(party, self.salt)
            journal = Journal.create(self.folder / f"{party}{self.salt}.sqlite", seed)
            self.secrets[party] = Secrets(seed, journal, signed.setup_id, party)
        self.responders = {party: Responder(self.signed[party], secrets) for party, secrets in self.secrets.items()}
        self.confirm("Fund", fund)

    @property
    def position(self) -> Position:
        return Position(self.graph, self.height, dict(self.confirmed))

    def confirm(self, name: str, transaction: CTransaction) -> None:
        """Take a transaction up in the next block and bury it."""
        assert failing_input(transaction, self.graph[name].spent) is None, name
        self.height += 1
        self.confirmed[name] = Confirmed(transaction, self.height)
        self.height += self.parameters.confirmations

    def decide(self, party: str, computation: Computation) -> dict[str, Decision]:
        if party == PROVER:
            return dict(prover_strategy.decide(self.position, computation))
        number = int(party.removeprefix("challenger"))
        return dict(challenger_strategy.decide(self.position, computation, number))

    def signed_move(self, party: str, move: Move) -> CTransaction:
        return self.responders[party].transaction(move, self.position)

    def play(self, computations: dict[str, Computation], until: str) -> CTransaction:
        """Let the honest strategies play, waiting out every lock, until ``until`` is due; return it, unconfirmed."""
        for _ in range(2_000):
            moved = False
            for party, computation in computations.items():
                for decision in self.decide(party, computation).values():
                    if not isinstance(decision, Move):
                        continue
                    transaction = self.signed_move(party, decision)
                    if decision.template == until:
                        return transaction
                    self.confirm(decision.template, transaction)
                    moved = True
            if not moved:
                self.height += 1
        raise AssertionError(f"{until} never became due")
