"""The prover's side of a set-up over the network: it collects everybody's messages and gives each to all.

Challengers call, as often as they like; each connection begins with a `Hello` of both sides: plans that differ are
found there, and what one lacks is sent and nothing else. A message counts if its challenger has sealed it, since all
others check that too (`bitvm.setup.seal`). A round that is complete is verified and stored (`bitvm.setup.progress`)
before anybody gets it.

What a challenger may do to it: end its own connection, by anything that is not the next message of its own. Only
messages of a whole round that do not go together end the set-up, for all parties, with the session's reason; nothing
of that round is stored, so it can be run again. One identity has one connection, the newest; who holds a connection
that is replaced is told so.
"""

from __future__ import annotations

import hashlib
import logging
from functools import partial

import trio

from bitvm.graph.model import PROVER
from bitvm.setup.channel import LIMITS, Channel, ChannelError, Kind, Limits, Reason, open_tasks, serve
from bitvm.setup.progress import Finished, Hello, Progress
from bitvm.setup.session import SetupError
from bitvm.setup.store import ROUNDS

_log = logging.getLogger(__name__)


class Coordinator:
    """A set-up that the prover runs, with the challengers of its plan."""

    def __init__(self, progress: Progress, limits: Limits = LIMITS) -> None:
        """Take a progress of the prover that was resumed; raises SetupError for one of somebody else."""
        if progress.party != PROVER:
            raise SetupError(f"the prover coordinates, not {progress.party}")
        self._progress = progress
        self._plan = progress.plan.digest()
        self._names = {key: party for party, key in progress.plan.identities.items() if party != PROVER}
        self._limits = limits
        self._received: dict[str, bytes] = {}
        """Messages of the round that is not complete."""
        self._connected: dict[str, trio.CancelScope] = {}
        self._done: set[str] = set()
        self._failure: SetupError | None = None
        self._changed = trio.Event()

    def missing(self) -> list[str]:
        """Return the challengers that are waited for: for a message, or at the end for word that they have all."""
        here = self._done if self._progress.finished else self._received
        return [party for party in self._names.values() if party not in here]

    async def run(self, listeners: list[trio.SocketListener], *, linger: float = 60) -> Finished:
        """Run the set-up to its end, then wait ``linger`` seconds at most for challengers that lack its last messages.

        Raises SetupError where messages do not go together, SetupStoreError, IdentityError; never for what a single
        connection does. A challenger that misses the last round holds the signed graph, and sees Fund on the chain.
        """
        serving = partial(serve, limits=self._limits, stranger=self._stranger)
        async with open_tasks() as nursery:
            nursery.start_soon(serving, listeners, self._progress.identity, self._names, self._answer)
            try:
                await self._lead()
            except SetupError as error:
                await self._dismiss(error)
            else:
                with trio.move_on_after(linger):
                    while self.missing():
                        await self._changed.wait()
            nursery.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure
        finished = self._progress.finished
        if finished is None:
            raise SetupError("the set-up has not ended")
        return finished

    async def _lead(self) -> None:
        """Take one round after the other, as they become complete."""
        for number in range(len(self._progress.rounds), ROUNDS):
            while self.missing():
                await self._changed.wait()
            own = self._progress.own(number)
            if own is None:
                raise SetupError("the progress was not resumed")
            await self._progress.advance({PROVER: own, **self._received})
            self._received = {}
            self._notify()

    async def _dismiss(self, error: SetupError) -> None:
        """Tell everybody who is connected why the set-up has ended."""
        self._failure = error
        for scope in self._connected.values():
            scope.cancel()
        while self._connected:
            await self._changed.wait()

    async def _answer(self, channel: Channel) -> None:
        """Serve a connection of a challenger, after any other one that it has."""
        party = self._names[channel.peer]
        while party in self._connected:
            self._connected[party].cancel()
            await self._changed.wait()
        if self._failure is not None:
            await channel.refuse(str(self._failure))
            return
        scope = self._connected[party] = trio.CancelScope()
        try:
            with scope:
                await self._talk(party, channel)
            if scope.cancelled_caught:
                await channel.refuse(str(self._failure or "another connection with this identity took its place"))
        except SetupError as error:
            _log.info("refused: %s", error)
            self._progress.trouble = str(error)
            await channel.refuse(str(error))
        except ChannelError as error:
            if error.reason is Reason.REFUSED:
                self._progress.trouble = f"{party}: {error}"
            raise
        finally:
            del self._connected[party]
            self._notify()

    async def _talk(self, party: str, channel: Channel) -> None:
        frame = await channel.receive()
        if frame.kind is not Kind.HELLO:
            raise SetupError(f"{party}: does not begin with a hello")
        first = Hello.decode(frame.payload).check(party, self._plan, self._progress.digests())
        hello = Hello(PROVER, self._plan, tuple(self._held(party)))
        await channel.send(Kind.HELLO, hello.encode())
        async with open_tasks() as nursery:
            nursery.start_soon(channel.keep_alive)
            nursery.start_soon(self._send_rounds, party, channel, first)
            await self._receive(party, channel)
            nursery.cancel_scope.cancel()

    async def _send_rounds(self, party: str, channel: Channel, first: int) -> None:
        """Send the rounds from ``first`` on, each as soon as it is complete; `_receive` says how a channel ended."""
        for number in range(first, ROUNDS):
            while len(self._progress.rounds) <= number:
                await self._changed.wait()
            for sender, data in self._progress.rounds[number].items():
                if sender == party:
                    continue
                try:
                    await channel.send(Kind.MESSAGE, data)
                except ChannelError as error:
                    if error.reason is not Reason.CLOSED:
                        raise
                    return

    async def _receive(self, party: str, channel: Channel) -> None:
        """Take the messages of a challenger until it has everything."""
        while True:
            frame = await channel.receive()
            number = len(self._held(party))
            if frame.kind is Kind.MESSAGE and number < ROUNDS and number == len(self._progress.rounds):
                await trio.to_thread.run_sync(self._progress.check, party, frame.payload)
                self._received[party] = frame.payload
                self._progress.trouble = ""
                self._notify()
            elif frame.kind is Kind.DONE and len(self._progress.rounds) == ROUNDS:
                self._done.add(party)
                return
            else:
                raise SetupError(f"{party}: {frame.kind.name.lower()} out of turn")

    def _stranger(self, error: ChannelError, host: str) -> None:
        """Remember a caller that wants another identity of us, or has one that is not of the plan."""
        if error.reason is Reason.WRONG_PEER:
            self._progress.trouble = f"a caller from {host}: {error}; we are {self._progress.identity.public.hex()}"

    def _held(self, party: str) -> list[bytes]:
        """Return the digests of the messages that we have of ``party``."""
        messages = [messages[party] for messages in self._progress.rounds]
        if party in self._received:
            messages.append(self._received[party])
        return [hashlib.sha256(data).digest() for data in messages]

    def _notify(self) -> None:
        """Wake all who wait for a change."""
        self._changed.set()
        self._changed = trio.Event()
