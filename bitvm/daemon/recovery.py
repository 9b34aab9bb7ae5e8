"""After a restore from a backup: know again what was signed, before anything is signed.

The backup is older than what the party signed last. Every message that it signed since has been sent, so it is on the
chain, in a mempool, or in the memory of an opponent. So the daemon is silent, and

    1  waits for a node that has read all blocks, and follows every set-up up to the newest one
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

DOUBTED = "recovery ended at block"
"""The fact under which the store keeps where the last recovery ended, and which set-ups were here."""

BEGAN = "recovery began at block"
"""The fact under which the store keeps which recovery began last, and where."""


class Recovery:
    """The recovery of a home, if one is pending."""

    def __init__(self, place: Workplace) -> None:
        """Look whether the home was restored and has not recovered since."""
        self._place = place
        self.pending = recovery_pending(place.home.path)

    def step(self, engagements: Mapping[str, Engagement], tip: BlockId) -> Iterator[Notice]:
        """Count blocks and end the recovery when it is due, after all set-ups were served; yields what is to be told.

        Raises ChainError.
        """
        lagging = sorted(name for name, each in engagements.items() if each.followed != tip)
        if lagging or self._is_node_behind():
            text = f"restored: {', '.join(lagging)} not followed up to the newest block" if lagging else _NODE_BEHIND
            yield self._notice(f"{text}; nothing is signed until then")
            return
        longest = max((each.bench.parameters.confirmations for each in engagements.values()), default=0)
        left = self._began(tip.height) + longest + 1 - tip.height
        if left > 0:
            yield self._notice(f"restored: nothing is signed for {left} more blocks")
            return
        self._place.store.keep_fact(DOUBTED, " ".join([str(tip.height), *self._place.home.setups()]))
        finish_recovery(self._place.home.path)
        self.pending = False
        _log.warning("recovered: moves are signed again", height=tip.height)

    def _is_node_behind(self) -> bool:
        """Whether the node still reads old blocks: what it does not show yet may hold what we signed."""
        info = self._place.node.info()
        return info.initial_download or info.headers > info.blocks

    def _began(self, height: int) -> int:
        """Return the block at which this recovery began; that of an earlier one, kept in the backup, does not count."""
        this = restored_at(self._place.home.path)
        which, _, began = (self._place.store.fact(BEGAN) or "").partition(" ")
        if which == this:
            return int(began)
        self._place.store.keep_fact(BEGAN, f"{this} {height}")
        return height

    @staticmethod
    def _notice(text: str) -> Notice:
        return Notice(NoticeKind.RECOVERING, Severity.WARNING, text)


def doubted(home: Home, store: DaemonStore, position: Position, setup: str, slot: int) -> bool:
    """Whether claim ``slot`` may have been signed with an input that this home has forgotten."""
    if recovery_pending(home.path):
        return True
    height, *setups = (store.fact(DOUBTED) or "0").split()
    if setup not in setups or position.at_claim(slot).has("Claim"):
        return False
    before = position.at_claim(slot - 1) if slot > 1 else None
    return before is None or (before.has("Claim") and before.height_of("Claim") <= int(height))


_NODE_BEHIND = "restored: the node has not read all blocks yet"
