"""Framed messages between two parties that have proved their identities to each other.

A frame is kind (one byte), length of the payload (four bytes, big-endian) and payload, at most `MAX_MESSAGE_BYTES`, on
a TLS 1.3 stream (see `bitvm.setup.identity`). The side that was called speaks first, with an ALIVE. All that can go
wrong is a `ChannelError` with a `Reason`; what a peer says in it is one line, printable and not long.

Deadlines: a handshake has `Limits.handshake_seconds`; a frame that began has the same and the time of its bytes at
`Limits.least_rate`; a peer of which nothing comes for `Limits.idle_seconds` is gone, so both sides `keep_alive`.

Whoever has not proved an identity costs a socket and a small task for the time of a handshake at most, and there are
never more than `Limits.strangers` of them: the oldest makes room. So connections that do nothing keep nobody out.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

import trio

from bitvm.printable import printable
from bitvm.setup.identity import Identity, curious_context, key_of
from bitvm.setup.messages import MAX_MESSAGE_BYTES

_log = logging.getLogger(__name__)

_HEADER_BYTES = 5
_READ_BYTES = 65_536
_MAX_REFUSAL_BYTES = 1_000


class Reason(Enum):
    """What went wrong on a channel."""

    UNREACHABLE = "unreachable"
    WRONG_PEER = "wrong peer"
    GARBAGE = "garbage"
    OVERSIZE = "oversize"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    REFUSED = "refused"


class ChannelError(Exception):
    """A channel that cannot go on; ``reason`` says why. It is to be closed."""

    def __init__(self, reason: Reason, text: str) -> None:
        """Take the reason, and what happened in words."""
        super().__init__(f"{reason.value}: {text}")
        self.reason = reason


class Kind(IntEnum):
    """What a frame holds."""

    HELLO = 1
    MESSAGE = 2
    DONE = 3
    ALIVE = 4
    REFUSAL = 5
    """Why the sender closes, as text."""


class Frame(NamedTuple):
    """One frame."""

    kind: Kind
    payload: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a peer may take, in seconds and bytes a second, and how many strangers are borne at once."""

    handshake_seconds: float = 10
    farewell_seconds: float = 2
    idle_seconds: float = 90
    alive_seconds: float = 20
    least_rate: float = 10_000
    strangers: int = 100

    def frame_seconds(self, size: int) -> float:
        """Return the time for a frame with a payload of ``size`` bytes."""
        return self.handshake_seconds + size / self.least_rate


LIMITS = Limits()


class Channel:
    """A stream of frames to ``peer``, whose key has been proved. One task may receive, any number may send."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], peer: bytes, limits: Limits) -> None:
        """Take a stream after its handshake; use `connect` or `serve`."""
        self.peer = peer
        self._stream = stream
        self._limits = limits
        self._sending = trio.Lock()

    async def send(self, kind: Kind, payload: bytes = b"") -> None:
        """Send one frame; raises ChannelError, OVERSIZE before anything is sent."""
        if len(payload) > MAX_MESSAGE_BYTES:
            raise ChannelError(Reason.OVERSIZE, f"a payload of {len(payload)} bytes; at most {MAX_MESSAGE_BYTES}")
        async with self._sending:
            with _errors("while sending"), trio.fail_after(self._limits.frame_seconds(len(payload))):
                await self._stream.send_all(bytes([kind]) + len(payload).to_bytes(4, "big") + payload)

    async def receive(self) -> Frame:
        """Return the next frame that says something; raises ChannelError, REFUSED with what the peer says."""
        while True:
            frame = await self._receive_any()
            if frame.kind is Kind.REFUSAL:
                said = frame.payload[:_MAX_REFUSAL_BYTES].decode(errors="replace")
                raise ChannelError(Reason.REFUSED, printable(said, _MAX_REFUSAL_BYTES))
            if frame.kind is not Kind.ALIVE:
                return frame

    async def receive_greeting(self) -> None:
        """Wait for the first frame of the side that was called; raises ChannelError.

        In TLS 1.3 the calling side has finished before the other has seen its certificate: this is how it hears.
        """
        try:
            with _errors("no greeting"), trio.fail_after(self._limits.handshake_seconds):
                frame = await self._receive_any()
        except ChannelError as error:
            if error.reason is not Reason.CLOSED:
                raise
            raise ChannelError(Reason.WRONG_PEER, "the peer hung up before its greeting") from error
        if frame.kind is not Kind.ALIVE:
            raise ChannelError(Reason.GARBAGE, f"{frame.kind.name.lower()} in the place of a greeting")

    async def keep_alive(self) -> None:
        """Show the peer that we are here, until the channel ends: `receive` says how it did. Raises ChannelError."""
        while True:
            await trio.sleep(self._limits.alive_seconds)
            try:
                await self.send(Kind.ALIVE)
            except ChannelError as error:
                if error.reason is not Reason.CLOSED:
                    raise
                return

    async def refuse(self, why: str) -> None:
        """Say why this channel ends, and close it; nobody may receive any more. Raises nothing: it ends anyhow."""
        with trio.move_on_after(self._limits.farewell_seconds, shield=True):
            try:
                await self.send(Kind.REFUSAL, why.encode(errors="replace")[:_MAX_REFUSAL_BYTES])
                while await self._stream.receive_some(_READ_BYTES):
                    pass  # closed with something unread, TCP would take back what the peer has not read yet
            except (ChannelError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
        await trio.aclose_forcefully(self._stream)

    async def aclose(self) -> None:
        """Close; the peer gets a clean end of stream, if it still reads."""
        with trio.move_on_after(self._limits.farewell_seconds):
            try:
                await self._stream.aclose()
            except (trio.BrokenResourceError, trio.BusyResourceError):
                await trio.aclose_forcefully(self._stream)

    async def _receive_any(self) -> Frame:
        with _errors("nothing was heard of the peer"), trio.fail_after(self._limits.idle_seconds):
            header = await self._some(_HEADER_BYTES)
        with _errors("a frame was too slow"):
            with trio.fail_after(self._limits.frame_seconds(0)):
                header += await self._exactly(_HEADER_BYTES - len(header))
            size = int.from_bytes(header[1:], "big")
            try:
                kind = Kind(header[0])
            except ValueError:
                raise ChannelError(Reason.GARBAGE, f"no frame begins with {header.hex()}") from None
            if size > MAX_MESSAGE_BYTES:
                raise ChannelError(Reason.OVERSIZE, f"a frame of {size} bytes; at most {MAX_MESSAGE_BYTES} are read")
            with trio.fail_after(self._limits.frame_seconds(size)):
                return Frame(kind, await self._exactly(size))

    async def _exactly(self, size: int) -> bytes:
        """Read ``size`` bytes; memory grows with what comes, not with what was announced."""
        parts = []
        while size:
            parts.append(await self._some(min(size, _READ_BYTES)))
            size -= len(parts[-1])
        return b"".join(parts)

    async def _some(self, most: int) -> bytes:
        data = bytes(await self._stream.receive_some(most))
        if not data:
            raise ChannelError(Reason.CLOSED, "the peer closed the connection")
        return data


@asynccontextmanager
async def open_tasks() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose only error, or the first of several ChannelErrors, comes out as itself, not as a group."""
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        first = group.exceptions[0]
        if len(group.exceptions) > 1 and not all(isinstance(error, ChannelError) for error in group.exceptions):
            raise
        raise first from first.__cause__


@asynccontextmanager
async def connect(
    host: str, port: int, identity: Identity, peer: bytes, limits: Limits = LIMITS
) -> AsyncIterator[Channel]:
    """Call ``peer`` (its key, 32 bytes); the channel is closed at the end of the block.

    Raises ChannelError, WRONG_PEER with the identities: who was expected, who is there, who called.
    """
    context = identity.client_context(peer)
    where = f"{host}, port {port}"
    socket = await _reach(host, port, limits)
    async with _closing(trio.SSLStream(socket, context, server_side=False)) as stream:
        try:
            channel = await _handshake(stream, {peer}, limits)
        except ChannelError as error:
            if error.reason is not Reason.WRONG_PEER:
                raise
            there = await _identity_at(host, port, limits)
            who = f"the identity {there.hex()}" if there else "another one"
            text = f"{where}: the identity {peer.hex()} was expected, {who} is there"
            raise ChannelError(Reason.WRONG_PEER, text) from error
        try:
            await channel.receive_greeting()
        except ChannelError as error:
            if error.reason is not Reason.WRONG_PEER:
                raise
            ours = identity.public.hex()
            text = f"{where}: the identity {peer.hex()} is there, as expected, but seems not to know ours, {ours}"
            raise ChannelError(Reason.WRONG_PEER, text) from error
        try:
            yield channel
        finally:
            await channel.aclose()


async def _reach(host: str, port: int, limits: Limits) -> trio.SocketStream:
    try:
        with trio.fail_after(limits.handshake_seconds):
            return await trio.open_tcp_stream(host, port)
    except (OSError, ValueError, trio.TooSlowError) as error:  # ValueError: a host that cannot be one
        text = f"{host}, port {port}: {error or 'no answer'}"
        raise ChannelError(Reason.UNREACHABLE, printable(text, _MAX_REFUSAL_BYTES)) from error


async def _identity_at(host: str, port: int, limits: Limits) -> bytes | None:
    """Return the identity that is there, None where none shows itself; to be told to people, and for nothing else."""
    try:
        with trio.fail_after(limits.handshake_seconds):
            socket = await _reach(host, port, limits)
            async with _closing(trio.SSLStream(socket, curious_context(), server_side=False)) as stream:
                await stream.do_handshake()
                return key_of(stream.getpeercert(binary_form=True))
    except Exception:  # anybody may be there, with anything to show
        return None


def _unheard(_error: ChannelError, _host: str) -> None:
    """Hear nothing."""


async def serve(
    listeners: list[trio.SocketListener],
    identity: Identity,
    peers: Collection[bytes],
    handle: Callable[[Channel], Awaitable[None]],
    limits: Limits = LIMITS,
    *,
    stranger: Callable[[ChannelError, str], None] = _unheard,
) -> None:
    """Accept calls of ``peers`` for ever and run ``handle`` on the channel of each.

    Any error of ``handle``, and of a connection, is logged and ends this connection alone. ``stranger`` hears why a
    caller was not let in, and from which host it called. Raises IdentityError.
    """
    context = identity.server_context(peers)
    strangers: dict[trio.CancelScope, None] = {}

    async def admit(stream: trio.SSLStream[trio.SocketStream]) -> Channel | None:
        """Let a caller prove who it is; None where a newer stranger has taken its place."""
        with trio.CancelScope() as scope:
            if len(strangers) >= limits.strangers:
                oldest = next(iter(strangers))
                del strangers[oldest]
                oldest.cancel()
            strangers[scope] = None
            try:
                channel = await _handshake(stream, peers, limits)
                await channel.send(Kind.ALIVE)
            except ChannelError as error:
                stranger(error, _host_of(stream))
                raise
            else:
                return channel
            finally:
                strangers.pop(scope, None)
        return None

    async def answer(socket: trio.SocketStream) -> None:
        try:
            async with _closing(trio.SSLStream(socket, context, server_side=True)) as stream:
                channel = await admit(stream)
                if channel is not None:
                    await handle(channel)
                    await channel.aclose()
        except* ChannelError as errors:
            _log.info("connection ended: %s", errors.exceptions[0])
        except* Exception:  # a caller that finds an error of ours must not end the others' connections with it
            _log.exception("connection failed")

    await trio.serve_listeners(answer, listeners)


async def _handshake(stream: trio.SSLStream[trio.SocketStream], peers: Collection[bytes], limits: Limits) -> Channel:
    with _errors("no handshake"), trio.fail_after(limits.handshake_seconds):
        await stream.do_handshake()
        peer = key_of(stream.getpeercert(binary_form=True))
    if peer is None or peer not in peers:
        raise ChannelError(Reason.WRONG_PEER, f"the identity {peer.hex() if peer else '(none)'} was not expected")
    return Channel(stream, peer, limits)


def _host_of(stream: trio.SSLStream[trio.SocketStream]) -> str:
    """Return the address that a caller calls from."""
    try:
        return str(stream.transport_stream.socket.getpeername()[0])
    except OSError:
        return "an unknown address"


@asynccontextmanager
async def _closing(
    stream: trio.SSLStream[trio.SocketStream],
) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """Free the socket at the end of the block at the latest, without another word on it."""
    try:
        yield stream
    finally:
        await trio.aclose_forcefully(stream)


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Turn the errors of stream and clock into ours, and any other one: the peer has caused it, and only it pays."""
    try:
        yield
    except ChannelError:
        raise
    except trio.TooSlowError as error:
        raise ChannelError(Reason.TIMEOUT, where) from error
    except trio.ClosedResourceError as error:
        raise ChannelError(Reason.CLOSED, f"{where}: closed on our side") from error
    except trio.BrokenResourceError as error:
        raise _of_stream(error.__cause__, where) from error
    except Exception as error:
        _log.exception("error on a channel")
        raise ChannelError(Reason.GARBAGE, f"{where}: {printable(repr(error), _MAX_REFUSAL_BYTES)}") from error


def _of_stream(cause: BaseException | None, where: str) -> ChannelError:
    """Return the error for a stream that broke: TLS says why, and what is no TLS is garbage."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ChannelError(Reason.WRONG_PEER, f"{where}: no identity that we know ({cause.verify_message})")
    if isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError) or not isinstance(cause, ssl.SSLError):
        return ChannelError(Reason.CLOSED, f"{where}: the connection was cut")
    text = cause.reason or str(cause)
    if "CERTIFICATE" in text or "UNKNOWN_CA" in text:
        whose = "the peer refuses our identity" if "ALERT" in text else "no identity that we know"
        return ChannelError(Reason.WRONG_PEER, f"{where}: {whose} ({text})")
    return ChannelError(Reason.GARBAGE, f"{where}: not the TLS that was expected ({text})")
