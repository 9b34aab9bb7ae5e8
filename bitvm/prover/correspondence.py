"""The prover asks its attesters to sign the inputs of the claims that are queued (`bitvm.setup.attestation`).

All attesters are asked with the same try until a quorum has signed. A try in which so many refuse that no quorum is
left is given up for the next one, and all are asked again: Script accepts the signatures of one try only. Who cannot
answer now has not refused; nor has who is silent. When no try is left, the last one goes on: whoever changes its mind
is heard.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import trio

from bitvm.daemon.correspondence import RETRY_SECONDS, between
from bitvm.daemon.daemon import Daemon
from bitvm.daemon.engagement import Engagement
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import Snapshot
from bitvm.prover.attesting import attestation_round
from bitvm.setup.attestation import AttestationError, AttestationRound, NoTryLeftError
from bitvm.setup.channel import ChannelError, Reason
from bitvm.setup.input_store import InputMissingError
from bitvm.setup.messages import MessageError
from bitvm.setup.peers import AnswerError, AttestRequest, ask, is_not_now

_log = get_logger(__name__)


_Round = tuple[str, int, int | None]
"""Set-up, claim slot and try."""


@dataclass(frozen=True)
class _Open:
    """A round without a quorum: whom to ask, with which request."""

    slot: int
    round: AttestationRound
    request: bytes
    missing: tuple[str, ...]


@dataclass
class _Asking:
    """One attester in one round, asked one question at a time: each holds a large input, and a line of the attester's.

    again_at: when the next question may begin.
    """

    again_at: float = 0.0

    async def run(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Ask, and let some time pass before the next question may begin."""
        await ask()
        self.again_at = trio.current_time() + RETRY_SECONDS


async def ask_attesters(daemon: Daemon) -> None:
    """Ask for the attestations that queued claims lack, until they have them; runs until it is cancelled."""
    snapshot: Snapshot | None = None
    asking: defaultdict[tuple[_Round, str], _Asking] = defaultdict(_Asking)
    refused: defaultdict[_Round, set[str]] = defaultdict(set)
    async with trio.open_nursery() as nursery:
        while True:
            snapshot = await daemon.board.newer_than(snapshot)
            if snapshot.recovering:
                continue
            for name, engagement in list(daemon.engagements.items()):
                find = partial(_open_rounds, engagement, refused)
                for found in await trio.to_thread.run_sync(find, limiter=daemon.writer):
                    key = (name, found.slot, found.round.attempt)
                    for party in found.missing:
                        at = asking[key, party]
                        if trio.current_time() >= at.again_at:
                            at.again_at = math.inf
                            nursery.start_soon(at.run, partial(_ask, daemon, engagement, found, party, refused[key]))


def _open_rounds(engagement: Engagement, refused: Mapping[_Round, set[str]]) -> list[_Open]:
    return list(_find_open(engagement, refused)) if engagement.bench.parameters.attesters else []


def _find_open(engagement: Engagement, refused: Mapping[_Round, set[str]]) -> Iterator[_Open]:
    """Yield the rounds that lack a quorum; the try that is asked for is kept before anybody is asked."""
    bench, position = engagement.bench, engagement.position
    for slot, root in bench.store.queued(bench.name).items():
        if position is None or position.at_claim(slot).has("Claim"):
            continue
        try:
            found = attestation_round(bench, slot, root)
        except InputMissingError:
            continue
        if found.attested() is not None:
            continue
        refusals = refused.get((bench.name, slot, found.attempt), set())
        hopeless = bench.parameters.attesters - len(refusals) < bench.parameters.quorum
        try:
            request = found.next_try() if found.attempt is None or hopeless else found.request()
        except NoTryLeftError as error:
            _log.error("no try is left", setup=bench.name, slot=slot, why=str(error))
            request = found.request()
        if found.attempt is not None:
            bench.store.keep_attempt(bench.name, slot, found.attempt)
        yield _Open(slot, found, request, found.missing())


async def _ask(daemon: Daemon, engagement: Engagement, found: _Open, party: str, refusals: set[str]) -> None:
    """Ask one attester and keep its answer, if it is good."""
    bench = engagement.bench
    plan = daemon.place.plan(bench.name)
    address = plan.address_of(party)
    if address is None:
        _log.error("an attester has no address", setup=bench.name, party=party)
        return
    try:
        request = AttestRequest(between(engagement, party), found.request)
        data = await ask(address, daemon.place.home.identity, plan.identity_of(party), request)
        await trio.to_thread.run_sync(_keep, engagement, found, party, data, limiter=daemon.writer)
    except (ChannelError, AnswerError, AttestationError, MessageError) as error:
        _log.warning("an attester does not sign", setup=bench.name, party=party, slot=found.slot, why=str(error))
        if isinstance(error, ChannelError) and error.reason is Reason.REFUSED and not is_not_now(error):
            refusals.add(party)
        return
    daemon.wake()


def _keep(engagement: Engagement, found: _Open, party: str, data: bytes) -> None:
    """Verify an attestation and keep it; raises AttestationError and MessageError."""
    found.round.accept(data)
    if found.round.attempt is not None:
        engagement.bench.store.keep_attestation(engagement.bench.name, found.slot, found.round.attempt, party, data)
