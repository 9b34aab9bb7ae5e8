"""After a restore from a backup: know again what was signed, before anything is signed.

The backup is older than what the party signed last. Every message that it signed since has been sent, so it is on the
chain, in a mempool, or in the memory of an opponent. So the daemon is silent in a set-up, and

    1  waits for a node that has read all blocks, and follows the set-up up to the newest one
    2  reads the chain and the mempool as always, and keeps what its opponents say that they have seen; what its own
       one-time keys say in all of that is recorded in the journal (`bitvm.daemon.memory`)
    3  goes on when `confirmations` + 1 blocks have come since: what was on its way has been confirmed by then, or is
       answered again from the same position, with the same words

What remains is a claim that nobody remembers: signed, sent, and lost from every mempool before it was confirmed. Its
input was queued after the backup was made, so the home does not know it. Only the first claim that was not in the chain
by the end of the recovery can be one, since a claim is signed when the one before it is confirmed; `doubted` names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bitvm.chain.interface import BlockId
from bitvm.daemon.backup import finish_recovery, recovery_pending, restored_at
from bitvm.daemon.engagement import Engagement
from bitvm.daemon.home import Home
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import Notice, NoticeKind, Severity
from bitvm.daemon.store import DaemonStore
from bitvm.daemon.workplace import Workplace
from bitvm.game.position import Position

_log = get_logger(__name__)

BEGAN = "recovery of "
"""How the facts begin under which the store keeps where the recovery of a set-up began; its name follows."""

_OVER = "over"


class Recovery:
    """The recovery of a home, if one is pending: each set-up by itself, since no key serves two."""

    def __init__(self, place: Workplace) -> None:
        """Look whether the home was restored and has not recovered since."""
        self._place = place
        self.pending = recovery_pending(place.home.path)

    def is_silent(self, setup: str) -> bool:
        """Whether nothing may be signed in a set-up yet; raises BackupError."""
        return self.pending and self._began(setup) != _OVER

    def step(self, engagements: Mapping[str, Engagement], tip: BlockId, *, complete: bool) -> Iterator[Notice]:
        """Count blocks and end what is due, after all set-ups were served; yields what is to be told.

        complete: whether ``engagements`` are all set-ups of the home that can have signed anything. Raises ChainError,
        BackupError.
        """
        silent = [name for name in engagements if self.is_silent(name)]
        if silent and self._is_node_behind():
            yield self._notice("restored: the node has not read all blocks yet; nothing is signed until then")
            return
        for name in silent:
            yield from self._step(name, engagements[name], tip)
        if complete and not any(map(self.is_silent, engagements)):
            self._place.store.keep_recovery(tip.height, self._place.home.setups())
            finish_recovery(self._place.home.path)
            self.pending = False
            _log.warning("recovered: moves are signed again", height=tip.height)

    def _step(self, name: str, engagement: Engagement, tip: BlockId) -> Iterator[Notice]:
        if engagement.followed != tip:
            text = "restored: not followed up to the newest block; nothing is signed until then"
            yield self._notice(text, name)
            return
        began = self._began(name)
        if began is None:
            self._keep(name, str(tip.height))
        left = int(began or tip.height) + engagement.bench.parameters.confirmations + 1 - tip.height
        if left > 0:
            yield self._notice(f"restored: nothing is signed for {left} more blocks", name)
        else:
            self._keep(name, _OVER)
            _log.warning("set-up recovered: its moves are signed again", setup=name, height=tip.height)

    def _is_node_behind(self) -> bool:
        """Whether the node still reads old blocks: what it does not show yet may hold what we signed."""
        info = self._place.node.info()
        return info.initial_download or info.headers > info.blocks

    def _began(self, setup: str) -> str | None:
        """Return the block at which this recovery began, or `_OVER`; what an earlier one left in the backup is old."""
        which, _, began = (self._place.store.fact(BEGAN + setup) or "").partition(" ")
        return began if which == restored_at(self._place.home.path) else None

    def _keep(self, setup: str, began: str) -> None:
        self._place.store.keep_fact(BEGAN + setup, f"{restored_at(self._place.home.path)} {began}")

    @staticmethod
    def _notice(text: str, setup: str | None = None) -> Notice:
        return Notice(NoticeKind.RECOVERING, Severity.WARNING, text, setup)


def doubted(home: Home, store: DaemonStore, position: Position, setup: str, slot: int) -> bool:
    """Whether claim ``slot`` may have been signed with an input that this home has forgotten."""
    if recovery_pending(home.path):
        return True
    height = store.recovered_at(setup)
    if height is None or position.at_claim(slot).has("Claim"):
        return False
    before = position.at_claim(slot - 1) if slot > 1 else None
    return before is None or (before.has("Claim") and before.height_of("Claim") <= height)
