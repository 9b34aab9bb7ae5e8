"""The prover asks its attesters to sign the inputs of the claims that are queued (`bitvm.setup.attestation`).

All attesters are asked with the same try until a quorum has signed. A try in which so many refuse that no quorum is
left is given up for the next one, and all are asked again: Script accepts the signatures of one try only. Who cannot
answer now has not refused; nor has who is silent. But where somebody has refused, who has not signed
`LONGEST_WAIT_SECONDS` after it was first asked is not waited for any more: else one that never says more than "not now"
would keep the others in this try for ever. Without a refusal nothing is won by another try. When no try is left, the
last one goes on: whoever changes its mind is heard.

An error of one question or one set-up is logged, and tried again later.
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


LONGEST_WAIT_SECONDS = 86_400.0
"""How long an attester is waited for in a try that somebody has refused, since this process has first asked it.

A day: one that was restored from a backup says "not now" for an hour or two, until some blocks have come.
"""

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

    since: when the first question began. again_at: when the next one may begin. refused: whether it will not sign.
    """

    since: float
    again_at: float = 0.0
    refused: bool = False

    async def run(self, ask: Callable[[_Asking], Awaitable[None]]) -> None:
        """Ask, and let some time pass before the next question may begin."""
        await ask(self)
        self.again_at = trio.current_time() + RETRY_SECONDS


async def ask_attesters(daemon: Daemon) -> None:
    """Ask for the attestations that queued claims lack, until they have them; runs until it is cancelled."""
    snapshot: Snapshot | None = None
    asked: defaultdict[_Round, dict[str, _Asking]] = defaultdict(dict)
    async with trio.open_nursery() as nursery:
        while True:
            snapshot = await daemon.board.newer_than(snapshot)
            for name, engagement in list(daemon.engagements.items()):
                now = trio.current_time()
                find = partial(_open_rounds, daemon, engagement, asked, now)
                try:
                    rounds = await trio.to_thread.run_sync(find, limiter=daemon.writer)
                except Exception:  # a set-up that fails keeps no other one from being attested
                    _log.exception("attesters not asked", setup=name)
                    continue
                for found in rounds:
                    attesters = asked[name, found.slot, found.round.attempt]
                    for party in found.missing:
                        at = attesters.setdefault(party, _Asking(now))
                        if now >= at.again_at:
                            at.again_at = math.inf
                            nursery.start_soon(at.run, partial(_ask, daemon, engagement, found, party))


_Asked = Mapping[_Round, Mapping[str, _Asking]]
"""Who was asked in which round, by party."""


def _open_rounds(daemon: Daemon, engagement: Engagement, asked: _Asked, now: float) -> list[_Open]:
    """Return what to ask the attesters of a set-up; nothing while its recovery goes on."""
    bench = engagement.bench
    if not bench.parameters.attesters or daemon.is_silent(bench.name):
        return []
    return list(_find_open(engagement, asked, now))


def _find_open(engagement: Engagement, asked: _Asked, now: float) -> Iterator[_Open]:
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
        attesters = asked.get((bench.name, slot, found.attempt), {})
        missing = [attesters[party] for party in found.missing() if party in attesters]
        lost = [at for at in missing if at.refused or now - at.since >= LONGEST_WAIT_SECONDS]
        left = bench.parameters.attesters - len(lost)
        hopeless = left < bench.parameters.quorum and any(at.refused for at in lost)
        try:
            request = found.next_try() if found.attempt is None or hopeless else found.request()
        except NoTryLeftError as error:
            _log.error("no try is left", setup=bench.name, slot=slot, why=str(error))
            request = found.request()
        if found.attempt is not None:
            bench.store.keep_attempt(bench.name, slot, found.attempt)
        yield _Open(slot, found, request, found.missing())


async def _ask(daemon: Daemon, engagement: Engagement, found: _Open, party: str, at: _Asking) -> None:
    """Ask one attester and keep its answer, if it is good; note in ``at`` if it refuses."""
    bench = engagement.bench
    try:
        plan = daemon.place.plan(bench.name)
        address = plan.address_of(party)
        if address is None:
            _log.error("an attester has no address", setup=bench.name, party=party)
            return
        request = AttestRequest(between(engagement, party), found.request)
        data = await ask(address, daemon.place.home.identity, plan.identity_of(party), request)
        await trio.to_thread.run_sync(_keep, engagement, found, party, data, limiter=daemon.writer)
        daemon.wake()
    except* (ChannelError, AnswerError, AttestationError, MessageError) as errors:
        error = errors.exceptions[0]
        _log.warning("an attester does not sign", setup=bench.name, party=party, slot=found.slot, why=str(error))
        if isinstance(error, ChannelError) and error.reason is Reason.REFUSED and not is_not_now(error):
            at.refused = True
    except* Exception:  # a file of ours that is away, a store that is locked, an error of ours that it has found
        _log.exception("an attester cannot be asked", setup=bench.name, party=party, slot=found.slot)


def _keep(engagement: Engagement, found: _Open, party: str, data: bytes) -> None:
    """Verify an attestation and keep it; raises AttestationError and MessageError."""
    found.round.accept(data)
    if found.round.attempt is not None:
        engagement.bench.store.keep_attestation(engagement.bench.name, found.slot, found.round.attempt, party, data)
