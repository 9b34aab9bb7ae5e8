"""What a daemon says to the other parties of its set-ups, and what it asks them (`bitvm.setup.peers`).

It answers whoever is a party of a set-up: inputs that it holds, attestations if it is an attester, and everything that
it has seen. It asks for inputs that it needs and lacks, and, after a restore, for what others have seen of it. What is
answered is checked before it is kept: nothing here is needed for a move that is due, except the bytes of an input that
nobody has given us otherwise.

All parties are asked at the same time, each by itself, so one that is silent delays no other. At most `ASKED_AT_ONCE`
may be sending us something, since an answer can be large; a silent one loses its place soon, and is then asked again
after as long a pause, with twice the patience: the slow line of an honest party gets the time that it needs.

What goes wrong with one question or one set-up, here or there, is logged and tried again later, as a tick does: no
error in what is only correspondence may end the daemon.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import trio
from bitcoin.core import CTransaction

from bitvm.daemon.daemon import Daemon
from bitvm.daemon.engagement import Engagement
from bitvm.daemon.logs import get_logger
from bitvm.daemon.settings import Address
from bitvm.daemon.status import Snapshot
from bitvm.graph.model import PROVER
from bitvm.graph.setting import KeySpec, key_plan
from bitvm.setup.attestation import Attester
from bitvm.setup.channel import ChannelError
from bitvm.setup.input_store import InputMissingError
from bitvm.setup.peers import (
    PATIENCE_SECONDS,
    AnswerError,
    Between,
    InputRequest,
    NotNowError,
    Peers,
    RefusalError,
    Request,
    SeenPage,
    SeenRequest,
    ask,
    serve_requests,
)

_log = get_logger(__name__)

RETRY_SECONDS = 5.0
"""How long a peer that could not help is left alone at least."""

FAILED_SECONDS = 60.0
"""How long we wait after an answer that we could not keep."""

LEFT_OUT_SECONDS = 3_600.0
"""How long the others are served before all begins anew, for a set-up that could not be; that cuts connections."""

PATIENCE = 30.0
"""Seconds that an answer may take at first; at most it is `PATIENCE_SECONDS`."""

ASKED_AT_ONCE = 8
"""Peers of which an answer may be coming in. One has 16 MB at most, and takes several times as much to be read."""

MOST_SEEN_BYTES = 200_000_000
"""Bytes of all transactions that a peer may have seen of a set-up; one that says more is not listened to any more."""

_ATTEST = "attest_"
"""How the fields that an attester signs begin."""


# ---- answering


class DaemonDesk:
    """What a daemon answers; its methods run in the thread that may use the stores."""

    def __init__(self, daemon: Daemon) -> None:
        """Take the daemon whose set-ups are asked about."""
        self._daemon = daemon

    def input(self, setup: bytes, party: str, root: bytes) -> bytes | None:
        """See `bitvm.setup.peers.Desk`."""
        engagement = self._engagement(setup)
        held = engagement.bench.inputs
        if not any(root in held.roots(setup, slot) for slot in engagement.bench.slots):
            return None
        _log.info("input given", setup=engagement.bench.name, party=party, root=root)
        try:
            return held.read(root)
        except InputMissingError:
            return None

    def attest(self, setup: bytes, party: str, request: bytes) -> bytes:
        """See `bitvm.setup.peers.Desk`; a claim that was ever seen, in a block or a mempool, counts as made."""
        engagement = self._engagement(setup)
        if self._daemon.is_silent(engagement.bench.name):
            raise NotNowError("restored from a backup: nothing is signed yet; ask again later")
        bench = engagement.bench
        keys = dict(_attester_keys(engagement))
        if not keys:
            raise RefusalError(f"{bench.party} is no attester of this set-up")
        setting = bench.archive.graph.setting
        attester = Attester(bench.secrets, bench.inputs, setup, PROVER, setting.participants[PROVER].key, keys)
        made = [
            slot for slot in bench.slots if engagement.sightings.seen(bench.archive.graph.claim(slot)["Claim"].txid)
        ]
        answer = attester.attest(request, made)
        _log.info("input attested", setup=bench.name, party=party)
        return answer

    def seen(self, setup: bytes, party: str) -> Iterator[CTransaction]:
        """See `bitvm.setup.peers.Desk`."""
        engagement = self._engagement(setup)
        _log.info("told what was seen", setup=engagement.bench.name, party=party)
        for template in engagement.bench.archive.graph.templates.values():
            yield from engagement.sightings.witnesses(template.txid)

    def _engagement(self, setup: bytes) -> Engagement:
        for engagement in self._daemon.engagements.values():
            if engagement.bench.archive.setup_id == setup:
                return engagement
        raise NotNowError("this set-up is not served here now")


def _attester_keys(engagement: Engagement) -> Iterator[tuple[tuple[int, int], KeySpec]]:
    """Yield our own keys as an attester by claim slot and try."""
    bench = engagement.bench
    for spec in key_plan(bench.parameters) if bench.parameters.attesters else ():
        if spec.owner == bench.party and spec.field.startswith(_ATTEST):
            yield (spec.claim, spec.attempt), spec


async def serve_parties(daemon: Daemon) -> None:
    """Answer the parties of all set-ups for ever; begins anew when a set-up is taken up."""
    while True:
        served = frozenset(daemon.engagements)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve, daemon, served)
            snapshot: Snapshot | None = None
            while served == daemon.engagements.keys():
                snapshot = await daemon.board.newer_than(snapshot)
            nursery.cancel_scope.cancel()


async def _serve(daemon: Daemon, names: frozenset[str]) -> None:
    """Answer the parties of these set-ups, anew after whatever goes wrong."""
    address = daemon.place.config.listen
    if address is None:
        return
    while True:
        try:
            await _serve_at(address, daemon, names)
        except* Exception:  # the address is taken, or the identity's file is away
            _log.exception("parties not served")
        await trio.sleep(RETRY_SECONDS)


async def _serve_at(address: Address, daemon: Daemon, names: frozenset[str]) -> None:
    """Answer the parties of these set-ups; ends some time later where one of them could not be taken."""
    setups: dict[bytes, Peers] = {}
    served_for = math.inf
    for name in names:
        try:
            engagement = daemon.engagements[name]
            setups[engagement.bench.archive.setup_id] = _peers(daemon, engagement)
        except Exception:  # a folder that was moved away keeps no other set-up from being served
            _log.exception("set-up has no service", setup=name)
            served_for = LEFT_OUT_SECONDS
    listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    try:
        with trio.move_on_after(served_for):
            identity = daemon.place.home.identity
            await serve_requests(listeners, identity, setups, DaemonDesk(daemon), limiter=daemon.writer)
    finally:
        for listener in listeners:
            listener.socket.close()


def _peers(daemon: Daemon, engagement: Engagement) -> Peers:
    return Peers(daemon.place.plan(engagement.bench.name).identities, engagement.bench.party)


# ---- asking


async def ask_peer(daemon: Daemon, engagement: Engagement, party: str, request: Request[object]) -> object | None:
    """Ask a party of a set-up; None where it has no address or no good answer, which is logged."""
    try:
        plan = daemon.place.plan(engagement.bench.name)
        address = plan.address_of(party)
        if address is not None:
            return await ask(address, daemon.place.home.identity, plan.identity_of(party), request)
    except* (ChannelError, AnswerError) as errors:
        _log.info("peer does not help", setup=engagement.bench.name, party=party, why=str(errors.exceptions[0]))
    except* Exception:  # a file of ours that is away, or an error of ours that the peer has found
        _log.exception("peer not asked", setup=engagement.bench.name, party=party)
    return None


def between(engagement: Engagement, party: str) -> Between:
    """Return who asks whom about which set-up."""
    return Between(engagement.bench.archive.setup_id, engagement.bench.party, party)


def others(engagement: Engagement) -> list[str]:
    """Return the other parties of a set-up."""
    return [party for party in engagement.bench.archive.graph.setting.parties if party != engagement.bench.party]


Keep = Callable[[object], Awaitable[Request[object] | None]]
"""Takes an answer, and returns what to ask the same peer next, None if nothing."""


@dataclass(frozen=True)
class _Asker:
    """Asks parties for what a daemon needs; ``limiter``: how many at once."""

    daemon: Daemon
    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(ASKED_AT_ONCE))

    async def ask(self, engagement: Engagement, party: str, request: Request[object], keep: Keep) -> None:
        """Ask a party until it has answered and ``keep`` has nothing more to ask, ever more patiently."""
        patience, wanted = PATIENCE, request
        while True:
            pause = RETRY_SECONDS
            async with self.limiter:
                begun, found, following = trio.current_time(), None, None
                with trio.move_on_after(patience) as scope:
                    found = await ask_peer(self.daemon, engagement, party, wanted)
                took = trio.current_time() - begun
                try:
                    following = None if found is None else await keep(found)
                except Exception:  # a full disk, a locked store: the answer is had again when there is room for it
                    _log.exception("answer not kept", setup=engagement.bench.name, party=party)
                    found, pause = None, FAILED_SECONDS
            if following is not None:
                wanted = following
                continue
            if found is not None:
                return
            if scope.cancelled_caught:
                _log.info("peer is silent", setup=engagement.bench.name, party=party, seconds=patience)
                patience = min(2 * patience, PATIENCE_SECONDS)
            await trio.sleep(max(pause, took))

    async def fetch(self, engagement: Engagement, slot: int, root: bytes, scope: trio.CancelScope) -> None:
        """Ask all parties for an input until one has given it, or ``scope`` is cancelled: it is not lacking then."""
        with scope:
            async with trio.open_nursery() as nursery:

                async def keep(found: object) -> None:
                    assert isinstance(found, bytes)
                    store = partial(engagement.bench.inputs.keep, engagement.bench.archive.setup_id, slot, found)
                    await trio.to_thread.run_sync(store, limiter=self.daemon.writer)
                    _log.info("input received", setup=engagement.bench.name, root=root)
                    nursery.cancel_scope.cancel()

                for party in others(engagement):
                    request = InputRequest(between(engagement, party), root)
                    nursery.start_soon(self.ask, engagement, party, request, keep)
            self.daemon.wake()

    async def learn(self, engagement: Engagement, party: str) -> None:
        """Ask a party what it has seen, page by page, and record each page when it comes."""
        name, known = engagement.bench.name, frozenset(engagement.bench.archive.graph.by_txid())
        size = 0

        def learn(page: SeenPage) -> None:
            if (now := self.daemon.engagements.get(name)) is not None:  # it may have been taken up anew meanwhile
                now.learn(page.transactions)

        async def keep(found: object) -> SeenRequest | None:
            nonlocal size
            assert isinstance(found, SeenPage)
            await trio.to_thread.run_sync(learn, found, limiter=self.daemon.writer)
            size += found.size
            if found.after is not None and size <= MOST_SEEN_BYTES:
                return SeenRequest(between(engagement, party), known, found.after)
            _log.info("told what was seen", setup=name, party=party, bytes=size, all=found.after is None)
            return None

        await self.ask(engagement, party, SeenRequest(between(engagement, party), known), keep)


async def ask_for_inputs(daemon: Daemon) -> None:
    """Ask for every input that a set-up needs and lacks, until somebody gives it; runs until it is cancelled."""
    snapshot: Snapshot | None = None
    asker, fetches = _Asker(daemon), dict[tuple[str, bytes], trio.CancelScope]()
    async with trio.open_nursery() as nursery:
        while True:
            snapshot = await daemon.board.newer_than(snapshot)
            lacking = _lacking(daemon, snapshot)
            for key in fetches.keys() - lacking.keys():
                fetches.pop(key).cancel()
            for key in lacking.keys() - fetches.keys():
                fetches[key] = trio.CancelScope()
                nursery.start_soon(asker.fetch, *lacking[key], key[1], fetches[key])


def _lacking(daemon: Daemon, snapshot: Snapshot) -> dict[tuple[str, bytes], tuple[Engagement, int]]:
    """Return which inputs are lacking, by set-up and root, and the claim slot that each is for."""
    over = {status.name for status in snapshot.setups if status.over}
    return {
        (name, root): (engagement, slot)
        for name, engagement in list(daemon.engagements.items())
        if name not in over
        for root, slot in list(engagement.bench.missing.items())
    }


async def ask_what_was_seen(daemon: Daemon) -> None:
    """After a restore: ask all parties what they have seen of us, and record it; ends with the recovery."""
    snapshot: Snapshot | None = None
    asker, asked = _Asker(daemon), set[tuple[str, str]]()
    async with trio.open_nursery() as nursery:
        while daemon.is_recovering:
            snapshot = await daemon.board.newer_than(snapshot)
            for name, engagement in list(daemon.engagements.items()):
                for party in others(engagement):
                    if (name, party) not in asked:
                        asked.add((name, party))
                        nursery.start_soon(asker.learn, engagement, party)
        nursery.cancel_scope.cancel()
