"""What a daemon says to the other parties of its set-ups, and what it asks them (`bitvm.setup.peers`).

It answers whoever is a party of a set-up: inputs that it holds, attestations if it is an attester, and everything that
it has seen. It asks for inputs that it needs and lacks, the prover first; and, after a restore, for what others have
seen of it. An answer is checked before it is kept, and a peer that does not answer is asked again later: nothing here
is needed for a move that is due, except the bytes of an input that nobody has given us otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import trio
from bitcoin.core import CTransaction

from bitvm.daemon.daemon import Daemon
from bitvm.daemon.engagement import Engagement
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import Snapshot
from bitvm.graph.model import PROVER
from bitvm.graph.setting import KeySpec, key_plan
from bitvm.setup.attestation import Attester
from bitvm.setup.channel import ChannelError
from bitvm.setup.input_store import InputMissingError
from bitvm.setup.peers import (
    AnswerError,
    Between,
    InputRequest,
    Peers,
    RefusalError,
    Request,
    SeenRequest,
    ask,
    serve_requests,
)

_log = get_logger(__name__)

RETRY_SECONDS = 5.0
"""How long a peer that could not help is left alone."""

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
        if self._daemon.is_recovering:
            raise RefusalError("restored from a backup: nothing is signed yet; ask again later")
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
        raise RefusalError("this set-up is not served here now")


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
    """Answer the parties of these set-ups; raises OSError where the address cannot be listened on."""
    address = daemon.place.config.listen
    if address is None:
        return
    engagements = [daemon.engagements[name] for name in names]
    setups = {each.bench.archive.setup_id: _peers(daemon, each) for each in engagements}
    listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    identity = daemon.place.home.identity
    await serve_requests(listeners, identity, setups, DaemonDesk(daemon), limiter=daemon.writer)


def _peers(daemon: Daemon, engagement: Engagement) -> Peers:
    return Peers(daemon.place.plan(engagement.bench.name).identities, engagement.bench.party)


# ---- asking


async def ask_peer(daemon: Daemon, engagement: Engagement, party: str, request: Request[object]) -> object | None:
    """Ask a party of a set-up; None where it has no address or no good answer, which is logged."""
    plan = daemon.place.plan(engagement.bench.name)
    address = plan.address_of(party)
    if address is None:
        return None
    try:
        return await ask(address, daemon.place.home.identity, plan.identity_of(party), request)
    except (ChannelError, AnswerError) as error:
        _log.info("peer does not help", setup=engagement.bench.name, party=party, why=str(error))
        return None


def between(engagement: Engagement, party: str) -> Between:
    """Return who asks whom about which set-up."""
    return Between(engagement.bench.archive.setup_id, engagement.bench.party, party)


def others(engagement: Engagement) -> list[str]:
    """Return the other parties of a set-up, the prover first."""
    return [party for party in engagement.bench.archive.graph.setting.parties if party != engagement.bench.party]


async def ask_for_inputs(daemon: Daemon) -> None:
    """Ask for every input that a set-up needs and lacks, until somebody gives it; runs until it is cancelled."""
    snapshot: Snapshot | None = None
    asked: dict[tuple[str, bytes], float] = {}
    async with trio.open_nursery() as nursery:
        while True:
            snapshot = await daemon.board.newer_than(snapshot)
            over = {status.name for status in snapshot.setups if status.over}
            for name, engagement in list(daemon.engagements.items()):
                for root, slot in list(engagement.bench.missing.items()) if name not in over else ():
                    if trio.current_time() >= asked.get((name, root), 0.0):
                        asked[name, root] = trio.current_time() + RETRY_SECONDS
                        nursery.start_soon(_fetch, daemon, engagement, slot, root)


async def _fetch(daemon: Daemon, engagement: Engagement, slot: int, root: bytes) -> None:
    for party in others(engagement):
        found = await ask_peer(daemon, engagement, party, InputRequest(between(engagement, party), root))
        if isinstance(found, bytes):
            keep = partial(engagement.bench.inputs.keep, engagement.bench.archive.setup_id, slot, found)
            await trio.to_thread.run_sync(keep, limiter=daemon.writer)
            _log.info("input received", setup=engagement.bench.name, party=party, root=root)
            daemon.wake()
            return


async def ask_what_was_seen(daemon: Daemon) -> None:
    """After a restore: ask all parties what they have seen of us, and record it; ends with the recovery."""
    snapshot: Snapshot | None = None
    answered: set[tuple[str, str]] = set()
    while daemon.is_recovering:
        snapshot = await daemon.board.newer_than(snapshot)
        for name, engagement in list(daemon.engagements.items()):
            known = frozenset(engagement.bench.archive.graph.by_txid())
            for party in others(engagement):
                if (name, party) in answered:
                    continue
                found = await ask_peer(daemon, engagement, party, SeenRequest(between(engagement, party), known))
                if isinstance(found, tuple):
                    await trio.to_thread.run_sync(engagement.learn, found, limiter=daemon.writer)
                    answered.add((name, party))
