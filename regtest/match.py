"""One match on a private chain: fund the parties, set up, play until nobody has anything left to do.

Every tick is a block: each player sees the chain as it is, moves, and a block is mined. The match ends when the bond is
spent and buried and nobody has a move left.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bitcoin.core import CTransaction

from bitvm.chain.interface import RegtestChain
from bitvm.chain.keys import TaprootKey
from bitvm.chain.wallet import Wallet
from bitvm.game.moves import Move
from bitvm.game.position import Position
from bitvm.graph.fund import contribution
from bitvm.graph.model import PROVER, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.keys.journal import Journal
from bitvm.keys.seed import Seed
from bitvm.script.weight import vsize, weight
from bitvm.setup.exchange import exchange
from bitvm.setup.session import Session, SignedGraph
from regtest.follower import observe
from regtest.players import Observer, Played, Player, Silence, Strategy

FEE_COINS_PER_GAME = 2
"""Confirmed coins a party gets for fee children, beside the one that goes into Fund; their change serves again."""

FEE_COIN_VALUE = 300_000
"""What such a coin holds, in satoshi."""

FUND_FEE = 2_000
"""What a party leaves to the miners of Fund, in satoshi."""

FEERATE = 2.0
"""Satoshi per virtual byte of every transaction and its child together."""


class MatchError(RuntimeError):
    """A match that has not ended when it should have."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A transaction of the graph that a block took up, and what the player said of it.

    fee: what its child paid for both, in satoshi.
    """

    name: str
    party: str
    transaction: CTransaction
    height: int
    why: str
    child_vsize: int
    fee: int

    @property
    def txid(self) -> str:
        """The transaction id as explorers show it."""
        return str(self.transaction.GetTxid()[::-1].hex())

    @property
    def vsize(self) -> int:
        """Virtual size, without the child."""
        return vsize(self.transaction)

    @property
    def weight(self) -> int:
        """Weight units, without the child."""
        return weight(self.transaction)


class Narrator(Observer):
    """Hears of a match as it goes on; does nothing by itself."""

    def played(self, played: Played) -> None:
        """A player submitted a transaction."""

    def silent(self, party: str, move: Move) -> None:
        """A player lets a move pass."""

    def confirmed(self, confirmation: Confirmation) -> None:
        """A block took a transaction up."""


@dataclass(frozen=True, slots=True)
class SetupFigures:
    """What the set-up cost: seconds on this machine, and bytes exchanged in all."""

    seconds: float
    exchanged: int


class Match:
    """The parties, their set-up, and the play. A context manager that closes the journals."""

    def __init__(self, chain: RegtestChain, parameters: Parameters, seed: int, narrator: Narrator) -> None:
        """Fund the parties and set up; every secret derives from ``seed``, so a match can be repeated."""
        self.chain, self.parameters, self._narrator = chain, parameters, narrator
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="match-")))
        self.confirmations: list[Confirmation] = []
        self._played: dict[str, Played] = {}
        self._sessions: dict[str, Session] = {}
        self._wallets: dict[str, Wallet] = {}
        for party in all_parties(parameters.challengers):
            self._join(party, seed, folder)
        self.signed, self.setup = self._set_up()
        self.players: dict[str, Player] = {}

    def __enter__(self) -> Self:
        """Return the match itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the journals."""
        self._stack.close()

    def _join(self, party: str, seed: int, folder: Path) -> None:
        """Give a party its seed, journal, coins and session."""
        secret = Seed(hashlib.sha256(f"bitvm match {seed} {party}".encode()).digest())
        journal = self._stack.enter_context(Journal.create(folder / f"{party}.sqlite", secret))
        key = TaprootKey(hashlib.sha256(f"bitvm match wallet {seed} {party}".encode()).digest())
        wallet = self._wallets[party] = Wallet(self.chain, key)
        needed = contribution(self.parameters, party) + FUND_FEE
        self.chain.faucet(wallet.script_pubkey, needed)
        games = self.parameters.challengers if party == PROVER else 1
        for _ in range(FEE_COINS_PER_GAME * games):
            self.chain.faucet(wallet.script_pubkey, FEE_COIN_VALUE)
        coin = wallet.reserve(needed)
        self._sessions[party] = Session(
            party,
            self.parameters,
            secret,
            journal,
            nonce=hashlib.sha256(f"nonce {seed} {party}".encode()).digest(),
            coins=[coin],
            change=coin.output.nValue - needed,
            change_script=wallet.script_pubkey,
            payout_script=wallet.script_pubkey,
        )

    def _set_up(self) -> tuple[SignedGraph, SetupFigures]:
        """Exchange all messages and confirm Fund; returns the prover's signed graph, which all parties share."""
        started = time.perf_counter()
        sessions = list(self._sessions.values())
        agreed = exchange(sessions)
        witnesses = [session.fund_signatures() for session in sessions]
        fund = sessions[0].fund(witnesses)
        figures = SetupFigures(time.perf_counter() - started, agreed.sent + sum(map(len, witnesses)))
        self._signed = dict(zip(self._sessions, agreed.signed, strict=True))
        self.chain.submit([fund])
        self.chain.mine(self.parameters.confirmations)
        return agreed.signed[0], figures

    # ---- play

    def seat(self, party: str, strategy: Strategy, silence: Silence | None = None) -> None:
        """Let a strategy play for a party."""
        session = self._sessions[party]
        mine = silence if silence is not None and silence.party == party else None
        self.players[party] = Player(
            party, strategy, self._signed[party], session.secrets, self._wallets[party], FEERATE, mine
        )

    def play(self) -> Position:
        """Play to the end and return the final position; raises MatchError if it does not end in time."""
        parameters = self.parameters
        last = self.chain.height() + parameters.delta_claim + parameters.delta_long + parameters.longest_game
        while True:
            position = observe(self.chain, self.signed.graph)
            self._report(position)
            recorder = _Recorder(self._played, self._narrator)
            moved = [player.act(position, self.chain, recorder) for player in self.players.values()]
            if not any(moved) and self._is_over(position):
                return position
            if position.height > last:
                raise MatchError(f"the match has not ended by block {last}")
            self.chain.mine(1 if any(moved) else self._idle_blocks(position))

    def _heights_awaited(self, position: Position) -> list[int]:
        """Return the heights still to come at which a player that has not fallen silent may act."""
        waits = [wait for player in self.players.values() for wait in player.waits()]
        return [wait.until for wait in waits if wait.until is not None and wait.until > position.height]

    def _is_over(self, position: Position) -> bool:
        """Whether everything is buried and nobody waits for a height any more."""
        buried = all(position.buried(name) for name in position.confirmed)
        return buried and not self._heights_awaited(position)

    def _idle_blocks(self, position: Position) -> int:
        """Return how many blocks can be mined before somebody may have something to do."""
        if not all(position.buried(name) for name in position.confirmed):
            return 1
        return max(1, min(self._heights_awaited(position), default=0) - 1 - position.height)

    def _report(self, position: Position) -> None:
        known = {confirmation.name for confirmation in self.confirmations}
        fresh = [(seen.height, name) for name, seen in position.confirmed.items() if name not in known]
        for height, name in sorted(fresh):
            played = self._played.get(name)
            transaction = position.confirmed[name].transaction
            template = self.signed.graph[name]
            confirmation = Confirmation(
                name,
                template.mover,
                transaction,
                height,
                played.move.why if played else "all parties' coins become slot and stakes",
                vsize(played.child) if played else 0,
                played.fee if played else FUND_FEE * len(self._sessions),
            )
            self.confirmations.append(confirmation)
            self._narrator.confirmed(confirmation)


@dataclass(frozen=True, slots=True)
class _Recorder(Observer):
    """Keeps what was played, for the report, and passes it on."""

    kept: dict[str, Played]
    narrator: Narrator

    def played(self, played: Played) -> None:
        self.kept[played.move.template] = played
        self.narrator.played(played)

    def silent(self, party: str, move: Move) -> None:
        self.narrator.silent(party, move)
