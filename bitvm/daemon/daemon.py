"""A daemon: one home, all its set-ups, one loop.

    tick    look at the node once; bring the wallet up to date; take up set-ups that are new; let each set-up follow,
            decide and act; publish what was found

The second node, which is somebody else's, is asked in a thread of its own: no tick waits for it.

Ticks come every few seconds, sooner when the node hints at a block or a run has ended. A tick is done in a thread, one
at a time: it alone writes to the stores and talks to the node, so that nothing is ever done by two at once. The loop
itself stays free for the network, whatever a tick takes. Runs of the machine go on in other threads.

A set-up that fails in a tick is a notice, and the others are served. A node that does not answer is a notice, and the
next tick tries again. What ends the daemon is a damaged store of the home or a signal; it can be killed at any point.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import trio

from bitvm.chain.follower import Follower
from bitvm.chain.interface import BlockId, ChainError
from bitvm.chain.payer import Payer
from bitvm.chain.remote import LEAST_VERSION
from bitvm.chain.second import SecondNode
from bitvm.chain.shared import SharedSource
from bitvm.chain.sightings import Sightings
from bitvm.daemon.backup import BackupError
from bitvm.daemon.board import Board
from bitvm.daemon.computations import Computations, Run, execute
from bitvm.daemon.engagement import Engagement
from bitvm.daemon.logs import get_logger
from bitvm.daemon.recovery import Recovery
from bitvm.daemon.role import Bench, RoleMaker
from bitvm.daemon.status import Notice, NoticeKind, SetupStatus, Severity, Snapshot
from bitvm.daemon.treasury import Treasury
from bitvm.daemon.workplace import Workplace
from bitvm.setup.archive import UnfinishedSetupError, has_fund

_log = get_logger(__name__)

TAKE_UP_SECONDS = 10.0
"""How long one tick loads set-ups, each of which takes a second or more; the one that is begun is finished."""

SECOND_PATIENCE = 60.0
"""Seconds, besides the pause between two looks, after which what the second node has shown is too old."""

Task = Callable[["Daemon"], Awaitable[None]]
"""Something that runs beside the ticks for as long as the daemon does."""


class Daemon:
    """One home at work."""

    def __init__(self, place: Workplace, make_role: RoleMaker, *, run: Run = execute) -> None:
        """Take the open home; nothing is asked or written yet.

        make_role: what the home decides in a set-up. run: how the machine is run.
        """
        self.place = place
        self.board = Board()
        self.engagements: dict[str, Engagement] = {}
        self.computations = Computations(place.config.engine, place.config.computations.workers, run)
        patience = place.config.node.poll_seconds + SECOND_PATIENCE
        self.second = None if place.second is None else SecondNode(place.second, patience=patience)
        """Looked at beside the ticks."""
        self.writer = trio.CapacityLimiter(1)
        """Whoever holds it may use the stores and the node."""
        self._make_role = make_role
        self._source = SharedSource(place.node)
        self._recovery = Recovery(place)
        self._payer = Payer(place.node, place.purse, max_feerate=place.config.fees.max_feerate)
        self._treasury = Treasury(place)
        self._statuses: dict[str, SetupStatus] = {}
        self._unusable: dict[str, str] = {}
        self._tried: BlockId | None = None
        self._ticks = 0
        self._wake = trio.Event()
        self._network_checked = False
        self._more = False
        """Whether set-ups are left to be loaded."""

    @property
    def is_recovering(self) -> bool:
        """Whether the home was restored and something may not be signed yet."""
        return self._recovery.pending

    def is_silent(self, setup: str) -> bool:
        """Whether nothing may be signed in a set-up yet; for who may use the stores. Raises BackupError."""
        return self._recovery.is_silent(setup)

    # ---- the loop

    async def run(self, tasks: Sequence[Task] = ()) -> None:
        """Run until a signal asks to stop; ``tasks`` run beside the ticks."""
        with self.place.home.lock():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop_on_signal, nursery.cancel_scope)
                if self.second is not None:
                    nursery.start_soon(self._watch, self.second)
                for task in tasks:
                    nursery.start_soon(task, self)
                await self._loop(nursery)

    def wake(self) -> None:
        """Have the next tick now; called in the event loop."""
        self._wake.set()

    async def _loop(self, nursery: trio.Nursery) -> None:
        _log.info("begins", role=self.place.home.role, home=str(self.place.home.path))
        while True:
            self._wake = trio.Event()
            snapshot = await trio.to_thread.run_sync(self.tick, time.time(), limiter=self.writer)
            self.computations.start(nursery, self.wake)
            self.board.publish(snapshot)
            with trio.move_on_after(0 if self._more else self.place.config.node.poll_seconds):
                await self._wake.wait()

    async def _watch(self, second: SecondNode) -> None:
        """Look at the second node again and again; whatever it does, the daemon goes on."""
        while True:
            try:
                await trio.to_thread.run_sync(second.look, abandon_on_cancel=True)
            except Exception:  # then what it has shown grows too old, which is told
                _log.exception("second node not looked at")
            await trio.sleep(self.place.config.node.poll_seconds)

    async def _stop_on_signal(self, scope: trio.CancelScope) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            async for number in received:
                _log.info("stops", signal=number)
                scope.cancel()
                return

    # ---- a tick

    def tick(self, now: float) -> Snapshot:
        """Do everything that is due; ``now`` in seconds since the epoch. Raises the errors of the home's stores."""
        begun = time.monotonic()
        self._ticks += 1
        notices: list[Notice] = []
        tip = self._look(notices)
        if tip is not None:
            notices += self._serve(tip, now)
        height = None if tip is None else tip.height
        acted = [status.height for status in self._statuses.values() if status.height is not None]
        return Snapshot(
            role=self.place.home.role,
            at=now,
            tip=height,
            tip_hash=None if tip is None else tip.hash[::-1].hex(),
            acted=None if self._more else min(acted, default=height),
            recovering=self._recovery.pending,
            setups=tuple(self._statuses[name] for name in sorted(self._statuses)),
            wallet=self._treasury.status(self._statuses),
            notices=_distinct(notices),
            ticks=self._ticks,
            tick_seconds=time.monotonic() - begun,
            runs=tuple(self.computations.seconds),
        )

    def _look(self, notices: list[Notice]) -> BlockId | None:
        """Ask the node for its tip and mempool, once for all; None where it does not answer."""
        try:
            if not self._network_checked:
                self._check_network()
            self._source.refresh()
            return self._source.tip()
        except ChainError as error:
            notices.append(Notice(NoticeKind.NODE_UNREACHABLE, Severity.CRITICAL, f"the node: {error}"))
            return None

    def _check_network(self) -> None:
        """Refuse a node of another network, or one that refuses our moves: what is sent there is lost."""
        info = self.place.node.info()
        if info.network != self.place.config.network:
            raise ChainError(f"it is on {info.network}, the configuration says {self.place.config.network}")
        if info.outdated:
            raise ChainError(f"it is {info.version}; version {LEAST_VERSION} or later is needed")
        self._network_checked = True

    def _serve(self, tip: BlockId, now: float) -> Iterator[Notice]:
        if tip != self._tried:
            self._unusable.clear()  # what could not be read a block ago may be readable now
            self._tried = tip
        self._take_up()
        graphs = {name: engagement.bench.archive.graph for name, engagement in self.engagements.items()}
        yield from self._treasury.update(tip.height, self._statuses, graphs)
        for name, engagement in self.engagements.items():
            try:
                report = engagement.tick(now, silent=self._recovery.is_silent(name))
            except Exception as error:  # a set-up that fails, for whatever reason, keeps no other from being served
                _log.exception("set-up not served", setup=name)
                yield Notice(NoticeKind.SETUP_FAILED, Severity.CRITICAL, f"{name}: {error!r}", name)
                continue
            self._statuses[name] = report.status
            yield from report.notices
            yield from report.node_notices
        if self._recovery.pending:
            yield from self._recover(tip)
        for name, why in self._unusable.items():
            yield Notice(NoticeKind.SETUP_FAILED, Severity.CRITICAL, f"{name}: {why}", name)

    def _recover(self, tip: BlockId) -> Iterator[Notice]:
        """Bring a restored home nearer to its end of silence, now that its set-ups were followed in silence."""
        try:
            complete = not self._more and not self._unusable
            yield from self._recovery.step(self.engagements, tip, complete=complete)
        except ChainError as error:
            yield Notice(NoticeKind.NODE_UNREACHABLE, Severity.CRITICAL, f"the node: {error}")
        except BackupError as error:
            yield Notice(NoticeKind.RECOVERING, Severity.CRITICAL, str(error))

    # ---- set-ups

    def _take_up(self) -> None:
        """Load the set-ups that were agreed on since the last tick, and once more when Fund is signed by all.

        What is loaded is served at once: after `TAKE_UP_SECONDS` the rest waits for the next tick, which comes without
        a pause.
        """
        begun, self._more = time.monotonic(), False
        for name in self.place.home.setups():
            if name in self._unusable or (name in self.engagements and not self._has_grown(name)):
                continue
            if time.monotonic() - begun > TAKE_UP_SECONDS:
                self._more = True
                return
            try:
                self.engagements[name] = self._engage(name)
            except UnfinishedSetupError:
                continue
            except Exception as error:  # one folder that cannot be read keeps no other set-up from being served
                _log.exception("set-up cannot be used", setup=name)
                self._unusable[name] = str(error)
                self.engagements.pop(name, None)
            else:
                _log.info("set-up taken up", setup=name, party=self.engagements[name].bench.party)

    def _has_grown(self, name: str) -> bool:
        """Whether a set-up that was taken up without a signed Fund has one now."""
        bench = self.engagements[name].bench
        if bench.archive.fund is not None or not has_fund(self.place.home.setup(name).exchange_path, bench.parameters):
            return False
        self.engagements[name].close()
        return True

    def _engage(self, name: str) -> Engagement:
        bench = self.place.bench(name, self.computations)
        sightings = open_sightings(self.place, bench)
        follower = Follower(
            self._source,
            sightings,
            confirmations=bench.parameters.confirmations,
            stall_after=self.place.config.node.stall_seconds,
            second=self.second,
        )
        return Engagement(
            bench,
            self._make_role(bench),
            sightings,
            follower=follower,
            node=self.place.node,
            payer=self._payer,
            unknown_blocks=self.place.config.alerts.unknown_blocks,
        )

    def close(self) -> None:
        """Close what was opened for each set-up."""
        for engagement in self.engagements.values():
            engagement.close()


def open_sightings(place: Workplace, bench: Bench) -> Sightings:
    """Open what was seen of a set-up; made when the set-up is taken up for the first time."""
    folder = place.home.setup(bench.name)
    watched = bench.archive.graph.by_txid()
    if folder.sightings_path.exists():
        return Sightings.open(folder.sightings_path, watched)
    return Sightings.create(folder.sightings_path, watched, folder.first_height())


def _distinct(notices: Sequence[Notice]) -> tuple[Notice, ...]:
    """Return the notices, each once: what is wrong with the node is found by every set-up."""
    found: dict[tuple[str, str, str], Notice] = {}
    for notice in notices:
        found.setdefault(notice.key, notice)
    return tuple(found.values())
