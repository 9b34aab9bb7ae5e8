"""What a daemon knows of itself after a tick: plain values, for metrics, alerts and operators' commands.

Heights count from the genesis block, amounts are satoshi, ids and roots are hexadecimal (ids as explorers show them),
times are seconds since the epoch. Nothing here is a reason for a move: a strategy never sees it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class NoticeKind(StrEnum):
    """What somebody should look at."""

    NODE_UNREACHABLE = "node_unreachable"
    """The node does not answer."""

    NODE_STALLED = "node_stalled"
    """The node has shown no new block for too long."""

    NODE_BEHIND = "node_behind"
    """The node shows less of the chain than it, or the second node, has shown."""

    NODES_DISAGREE = "nodes_disagree"
    """The second node has other blocks, or does not answer."""

    UNKNOWN_NEAR_DEADLINE = "unknown_near_deadline"
    """A claim cannot be judged, and the time to challenge it runs out."""

    RESERVE_LOW = "reserve_low"
    """The free coins do not cover the fees of the worst case."""

    UNEXPECTED_SPEND = "unexpected_spend"
    """Somebody spent what an honest party would not have: the stake, the bond, or an output we were to spend."""

    MOVE_AT_RISK = "move_at_risk"
    """A move is not confirmed and its deadline is near, or it cannot be paid for within its budget."""

    CANNOT_SIGN = "cannot_sign"
    """A one-time key holds another message than the one to be signed now."""

    GAME_ALARM = "game_alarm"
    """The strategy asks for an operator: a game or claim that cannot be read, or is lost."""

    RUN_FAILED = "run_failed"
    """Our own run of a claim failed, so nothing that depends on it can be decided."""

    SETUP_FAILED = "setup_failed"
    """A set-up could not be served in this tick; the others were."""

    RECOVERING = "recovering"
    """After a restore nothing is signed until all that was signed before is known again."""


class Severity(StrEnum):
    """How bad it is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to look at; lasts as long as it is in the snapshot. setup: its name, None for the whole daemon."""

    kind: NoticeKind
    severity: Severity
    text: str
    setup: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells this notice from others; the text is part of it only as far as it names the subject."""
        return self.kind.value, self.setup or "", self.text.partition(":")[0]


@dataclass(frozen=True, slots=True)
class GameStatus:
    """One challenger's game on one claim.

    state: "open" (not challenged), "running", "won" or "lost" (by the challenger), "closed" (never played). last: plain
    name of its newest transaction. turn: the party that owes a move. deadline: the height from which its opponent can
    take the timeout. decision: what we do about it, in words. move: full name of the transaction we send now.
    fees: what our children for it paid so far.
    """

    setup: str
    slot: int
    challenger: int
    state: str
    last: str | None = None
    turn: str | None = None
    deadline: int | None = None
    decision: str = ""
    move: str | None = None
    fees: int = 0


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """One claim slot. verdict: "VALID", "INVALID", "UNKNOWN". until: the height from which Payout can be confirmed."""

    setup: str
    slot: int
    made: int | None = None
    input_root: str | None = None
    final_root: str | None = None
    verdict: str = "UNKNOWN"
    why: str = ""
    spender: str | None = None
    final: bool = False
    until: int | None = None
    seconds: float | None = None
    """How long our own run took."""


@dataclass(frozen=True, slots=True)
class SetupStatus:
    """One set-up. party: who we are in it; height: the newest block that was acted on."""

    name: str
    setup_id: str
    party: str
    height: int | None
    funded: bool
    over: bool
    claims: tuple[ClaimStatus, ...] = ()
    games: tuple[GameStatus, ...] = ()


@dataclass(frozen=True, slots=True)
class WalletStatus:
    """The fee wallet. reserve: what the worst case of all live games costs at their fee ceilings."""

    address: str
    balance: int
    coins: int
    reserved: int
    reserve: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A daemon after a tick."""

    role: str
    at: float
    tip: int | None
    tip_hash: str | None
    acted: int | None
    """The newest block on which every set-up has acted."""
    recovering: bool
    setups: tuple[SetupStatus, ...] = ()
    wallet: WalletStatus | None = None
    notices: tuple[Notice, ...] = ()
    ticks: int = 0
    tick_seconds: float = 0.0
    runs: tuple[float, ...] = field(default=())
    """Seconds of every re-execution since the start."""

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)

    def nearest_deadline(self) -> int | None:
        """Return how many blocks are left until the nearest deadline of a move that we owe; None if we owe none."""
        if self.tip is None:
            return None
        owed = [
            game.deadline - self.tip
            for setup in self.setups
            for game in setup.games
            if game.deadline is not None and game.turn == setup.party
        ]
        return min(owed, default=None)
