"""A challenger's side of a set-up over the network: it calls the prover, again and again, until it has everything.

What was sent on a connection that was cut is not lost: both sides begin with what they have (`Hello`) and send the
rest. A prover that refuses, and messages that fail the session's checks, end it; whatever else happens to a connection
is tried again, since anybody on the way can cut it or put itself in the prover's place. `Progress.trouble` says what.

The messages of the other challengers come through the prover, which is not believed: each must have the seal of the
identity that our plan names for its sender (`bitvm.setup.seal`), in every round, before we say anything in the next.
"""

from __future__ import annotations

import hashlib
import logging

import trio

from bitvm.graph.model import PROVER
from bitvm.setup.channel import LIMITS, Channel, ChannelError, Kind, Limits, Reason, connect, open_tasks
from bitvm.setup.progress import Finished, Hello, Progress
from bitvm.setup.session import SetupError
from bitvm.setup.store import ROUNDS

_log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 30.0


async def join(
    progress: Progress,
    host: str,
    port: int,
    *,
    limits: Limits = LIMITS,
    patience: float = 3_600,
) -> Finished:
    """Run the set-up to its end, with the prover at ``host`` and ``port``. Take a progress that was resumed.

    Raises SetupError for what the prover sends and must not, SetupStoreError, IdentityError, and ChannelError when it
    refuses (REFUSED) or when no connection has brought the set-up on for ``patience`` seconds (the last one's reason).
    """
    prover = progress.plan.identity_of(PROVER)
    since, pause = trio.current_time(), FIRST_PAUSE_SECONDS
    while True:
        before = len(progress.rounds)
        try:
            async with connect(host, port, progress.identity, prover, limits) as channel:
                await _talk(progress, channel, limits)
        except ChannelError as error:
            _log.info("connection to the prover ended: %s", error)
            progress.trouble = str(error)
            if progress.finished is not None:
                return progress.finished
            if len(progress.rounds) > before:
                since, pause = trio.current_time(), FIRST_PAUSE_SECONDS
            if error.reason is Reason.REFUSED or trio.current_time() + pause > since + patience:
                raise
        else:
            if progress.finished is not None:
                return progress.finished
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _talk(progress: Progress, channel: Channel, limits: Limits) -> None:
    try:
        async with open_tasks() as nursery:
            nursery.start_soon(channel.keep_alive)
            await _exchange(progress, channel)
            nursery.cancel_scope.cancel()
    except SetupError as error:
        await channel.refuse(str(error))
        raise
    with trio.move_on_after(limits.farewell_seconds):
        await channel.receive()  # the prover closes when it has read that we are done


async def _exchange(progress: Progress, channel: Channel) -> None:
    plan = progress.plan.digest()
    await channel.send(Kind.HELLO, Hello(progress.party, plan, tuple(progress.digests())).encode())
    frame = await channel.receive()
    if frame.kind is not Kind.HELLO:
        raise SetupError(f"{PROVER}: does not begin with a hello")
    made = [message for number in range(ROUNDS) if (message := progress.own(number)) is not None]
    digests = [hashlib.sha256(message).digest() for message in made]
    held = Hello.decode(frame.payload).check(PROVER, plan, digests)
    progress.trouble = ""
    for message in made[held:]:
        await channel.send(Kind.MESSAGE, message)
    while (number := len(progress.rounds)) < ROUNDS:
        await progress.advance(await _receive_round(progress, channel, number))
        own = progress.own(number + 1)
        if own is not None:
            await channel.send(Kind.MESSAGE, own)
    await channel.send(Kind.DONE)


async def _receive_round(progress: Progress, channel: Channel, number: int) -> dict[str, bytes]:
    """Return the messages of a round, one's own among them; the prover sends those of the others in party order."""
    messages = {}
    for party in progress.parties:
        if party == progress.party:
            own = progress.own(number)
            if own is None:
                raise SetupError("the progress was not resumed")
            messages[party] = own
            continue
        frame = await channel.receive()
        if frame.kind is not Kind.MESSAGE:
            raise SetupError(f"{PROVER}: {frame.kind.name.lower()} out of turn")
        await trio.to_thread.run_sync(progress.check, party, frame.payload)
        messages[party] = frame.payload
    return messages
