"""Requests between the parties of finished set-ups, over the channel that the set-up used (TLS 1.3, known keys).

    INPUT    setup id, input root              the input's bytes, or that it is not held
    ATTEST   setup id, AttestationRequest      Attestation (`bitvm.setup.attestation`)
    SEEN     setup id, where to begin          a page of all its transactions, with witness, that the peer has ever seen

Who asks names set-up and party; only who is that party of that set-up, by the identity that TLS proved, is answered. A
refusal ends the connection with its reason, which reaches the asker as a ChannelError (REFUSED). One that says nothing
about the request, only that now is not the time, begins with `LATER`, and `is_not_now` knows it.

Nothing in an answer is believed: input bytes must have the root that was asked for, transactions must be of the graph
(their witnesses are judged by who uses them), an attestation must be of the slot, try and root that was asked for; the
signature itself is verified by `AttestationRound.accept`. An answer that is not so raises AnswerError.

SEEN is answered in pages, in the order of the transactions' SHA256; each page begins after the last one of the page
before. So what is first seen meanwhile may be missing, and nothing else.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import trio
from bitcoin.core import CTransaction
from bitcoin.core.serialize import SerializationError

from bitvm.setup.attestation import AttestationError, InputNotHeldError, decode_attestation, decode_request
from bitvm.setup.channel import LIMITS, Channel, ChannelError, Frame, Kind, Limits, Reason, connect, open_tasks, serve
from bitvm.setup.identity import Identity
from bitvm.setup.messages import (
    MAX_MESSAGE_BYTES,
    MessageError,
    hex_field,
    read_envelope,
    take_fields,
    write_envelope,
)
from bitvm.setup.peer_fields import bool_field, list_of, or_none, text_field
from lvm.boot import InputTooLargeError, input_root
from lvm.layout import HASH_BYTES

_log = logging.getLogger(__name__)

ID_BYTES = 32
PAGE_BYTES = 4_000_000
"""Bytes of transactions in a page of SEEN; a page holds one transaction at least."""

CONNECTIONS = 4
"""Connections that one identity may have at once."""

PATIENCE_SECONDS = 300.0
"""How long an answer may take in all."""

LATER = "not now: "
"""How a refusal begins after which the same request may be answered."""

INPUT, ATTEST, SEEN = "input request", "attest request", "seen request"
_ANSWERS = {INPUT: "input", ATTEST: "attested", SEEN: "seen"}

AnswerT_co = TypeVar("AnswerT_co", covariant=True)
Say = Callable[[bytes], Awaitable[bytes]]
"""Sends a message and returns the answer to it."""


class AnswerError(ValueError):
    """An answer that is not one to the request; the peer is not to be believed."""


class RefusalError(Exception):
    """A desk does not answer; the text reaches the asker."""


class NotNowError(RefusalError):
    """A desk does not answer now; the asker knows that it may ask the same later."""


def is_not_now(error: ChannelError) -> bool:
    """Whether a peer has only said that it cannot answer now."""
    return error.reason is Reason.REFUSED and str(error).startswith(f"{Reason.REFUSED.value}: {LATER}")


class Desk(Protocol):
    """What a party answers, in a worker thread; ``party`` is who asks. RefusalError is told to the asker."""

    def input(self, setup: bytes, party: str, root: bytes) -> bytes | None:
        """Return the input of this root, None where it is not held."""
        ...

    def attest(self, setup: bytes, party: str, request: bytes) -> bytes:
        """Return the attestation for a request, as `Attester.attest` does; its errors are told to the asker too."""
        ...

    def seen(self, setup: bytes, party: str) -> Iterable[CTransaction]:
        """Return every transaction of the set-up that was ever seen, with its witness."""
        ...


# ---- asking


class Request(Protocol[AnswerT_co]):
    """What `ask` asks."""

    async def exchange(self, say: Say) -> AnswerT_co:
        """Say what there is to say and return the checked answer; raises AnswerError and MessageError."""
        ...


@dataclass(frozen=True, slots=True)
class Between:
    """Set-up id, the party that asks, and the party that is asked."""

    setup: bytes
    asker: str
    asked: str

    def encode(self, kind: str, **fields: Any) -> bytes:
        """Return a request as bytes."""
        return write_envelope(kind, self.asker, {"setup": self.setup.hex(), **fields})

    def answer(self, kind: str, message: bytes, /, **readers: Callable[[Any, str], Any]) -> dict[str, Any]:
        """Return the fields of the answer to a request of ``kind``; raises MessageError and AnswerError."""
        found, party, body = read_envelope(message, MAX_MESSAGE_BYTES)
        fields = take_fields(body, _ANSWERS[kind], setup=hex_field(ID_BYTES), **readers)
        if (found, party, fields["setup"]) != (_ANSWERS[kind], self.asked, self.setup):
            raise AnswerError(f"{self.asked}: answers something else: {found!r:.40} of {party!r:.40}")
        return fields


@dataclass(frozen=True, slots=True)
class InputRequest:
    """Asks for an input by its root; the answer is None where the peer does not hold it."""

    between: Between
    root: bytes

    async def exchange(self, say: Say) -> bytes | None:
        """See `Request`."""
        data = await say(self.between.encode(INPUT, root=self.root.hex()))
        return await trio.to_thread.run_sync(self._read, data)

    def _read(self, data: bytes) -> bytes | None:
        found: bytes | None = self.between.answer(INPUT, data, data=or_none(hex_field()))["data"]
        try:
            if found is not None and input_root(found) != self.root:
                raise AnswerError(f"{self.between.asked}: not the input of root {self.root.hex()}")
        except InputTooLargeError as error:
            raise AnswerError(f"{self.between.asked}: {error}") from error
        return found


@dataclass(frozen=True, slots=True)
class AttestRequest:
    """Asks for an attestation; ``request`` is what `AttestationRound` makes, the answer what it accepts."""

    between: Between
    request: bytes

    async def exchange(self, say: Say) -> bytes:
        """See `Request`."""
        data = await say(self.between.encode(ATTEST, request=self.request.decode()))
        answer = self.between.answer(ATTEST, data, attestation=text_field)["attestation"].encode()
        party, attestation = decode_attestation(answer)
        _, asked = decode_request(self.request)
        found = (party, attestation.claim, attestation.attempt, attestation.input_root)
        if found != (self.between.asked, asked.claim, asked.attempt, asked.input_root):
            raise AnswerError(f"{self.between.asked}: an attestation of something else")
        return bytes(answer)


class SeenPage(NamedTuple):
    """Some transactions that a peer has seen, their size in bytes, and where the next page begins; None at the end."""

    transactions: tuple[CTransaction, ...]
    size: int
    after: bytes | None


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """Asks for transactions of the set-up that the peer has seen, a page of them; ``known``: the ids of the graph's.

    ``after``: where the page begins, for all but the first what the page before says.
    """

    between: Between
    known: Collection[bytes]
    after: bytes = bytes(ID_BYTES)

    async def exchange(self, say: Say) -> SeenPage:
        """See `Request`."""
        data = await say(self.between.encode(SEEN, after=self.after.hex()))
        return await trio.to_thread.run_sync(self._read, data)

    def _read(self, data: bytes) -> SeenPage:
        fields = self.between.answer(SEEN, data, transactions=list_of(hex_field()), more=bool_field)
        if fields["more"] and not fields["transactions"]:
            raise AnswerError(f"{self.between.asked}: an empty page, and more to come")
        found, after, size = [], self.after, 0
        for raw in fields["transactions"]:
            if (digest := hashlib.sha256(raw).digest()) <= after:
                raise AnswerError(f"{self.between.asked}: transactions out of order")
            found.append(self._transaction(raw))
            after, size = digest, size + len(raw)
        return SeenPage(tuple(found), size, after if fields["more"] else None)

    def _transaction(self, raw: bytes) -> CTransaction:
        try:
            transaction = CTransaction.deserialize(raw)
        except (SerializationError, ValueError) as error:
            raise AnswerError(f"{self.between.asked}: no transaction: {error}") from error
        if transaction.GetTxid() not in self.known or transaction.serialize() != raw:
            raise AnswerError(f"{self.between.asked}: a transaction that is not of this set-up")
        return transaction


async def ask(
    address: tuple[str, int],
    identity: Identity,
    peer: bytes,
    request: Request[AnswerT_co],
    *,
    limits: Limits = LIMITS,
    patience: float = PATIENCE_SECONDS,
) -> AnswerT_co:
    """Ask ``peer`` (its identity, 32 bytes) at host and port, and return its checked answer.

    Raises ChannelError, REFUSED with what the peer says, and AnswerError, which names no reason to ask again.
    """
    try:
        with trio.fail_after(patience):
            async with connect(*address, identity, peer, limits) as channel:
                return await _asked(channel, request)
    except trio.TooSlowError as error:
        raise ChannelError(Reason.TIMEOUT, f"no answer within {patience:g} s") from error


async def _asked(channel: Channel, request: Request[AnswerT_co]) -> AnswerT_co:
    """Exchange a request; what is wrong with an answer is raised when no other task can fail any more."""

    async def say(data: bytes) -> bytes:
        await channel.send(Kind.MESSAGE, data)
        frame = await channel.receive()
        if frame.kind is not Kind.MESSAGE:
            raise AnswerError(f"{frame.kind.name.lower()} in the place of an answer")
        return frame.payload

    problem: AnswerError | None = None
    async with open_tasks() as nursery:
        nursery.start_soon(channel.keep_alive)
        try:
            answer = await request.exchange(say)
        except (AnswerError, MessageError) as error:
            problem = AnswerError(str(error))
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem
    return answer


# ---- answering


class Peers(NamedTuple):
    """A finished set-up as the server knows it: everybody's identity (32 bytes) by party name, and our own name."""

    identities: Mapping[str, bytes]
    own: str


async def serve_requests(
    listeners: list[trio.SocketListener],
    identity: Identity,
    setups: Mapping[bytes, Peers],
    desk: Desk,
    *,
    limits: Limits = LIMITS,
    limiter: trio.CapacityLimiter | None = None,
) -> None:
    """Answer requests for ever; ``setups`` by set-up id. ``limiter``: of the worker thread in which the desk answers.

    Nothing that a peer sends raises here. What the desk raises, but refusals, is logged; the asker hears `LATER`.
    """
    counter = _Counter(setups, desk, limits, limiter)
    known = {key for peers in setups.values() for party, key in peers.identities.items() if party != peers.own}
    await serve(listeners, identity, known, counter.answer, limits)


class _Counter:
    """Serves the connections of all peers."""

    def __init__(
        self, setups: Mapping[bytes, Peers], desk: Desk, limits: Limits, limiter: trio.CapacityLimiter | None
    ) -> None:
        self._setups, self._desk = setups, desk
        self._limits, self._limiter = limits, limiter
        self._open: dict[bytes, int] = {}

    async def answer(self, channel: Channel) -> None:
        """Serve a connection, one request after the other, until the peer ends it or is refused."""
        if self._open.get(channel.peer, 0) >= CONNECTIONS:
            await channel.refuse(f"{LATER}{CONNECTIONS} connections of this identity are open already")
            return
        self._open[channel.peer] = self._open.get(channel.peer, 0) + 1
        try:
            refusal = await self._talk(channel)
        except ChannelError as error:
            if error.reason is not Reason.CLOSED:
                _log.info("connection of %s ended: %s", channel.peer.hex(), error)
        else:
            _log.info("refused: %s", refusal)
            await channel.refuse(refusal)
        finally:
            self._open[channel.peer] -= 1

    async def _talk(self, channel: Channel) -> str:
        """Answer request after request; return why the next one is refused. Raises ChannelError when there is none."""
        refusal = None
        async with open_tasks() as nursery:
            nursery.start_soon(channel.keep_alive)
            while refusal is None:
                frame = await channel.receive()
                try:
                    answer = await trio.to_thread.run_sync(self._answer, channel.peer, frame, limiter=self._limiter)
                except (RefusalError, AttestationError, MessageError) as error:
                    later = LATER if isinstance(error, NotNowError | InputNotHeldError) else ""
                    refusal = later + str(error).encode(errors="replace").decode()  # it may quote what is no text
                except Exception:  # a full disk, a locked store: ours to mend, and no reason to answer nobody any more
                    _log.exception("a request of %s cannot be answered", channel.peer.hex())
                    refusal = f"{LATER}something is wrong here; ask again later"
                else:
                    await channel.send(Kind.MESSAGE, answer)
            nursery.cancel_scope.cancel()
        return refusal

    def _answer(self, peer: bytes, frame: Frame) -> bytes:
        """Return the answer to a request of ``peer``; raises RefusalError, MessageError, AttestationError."""
        if frame.kind is not Kind.MESSAGE:
            raise RefusalError(f"{frame.kind.name.lower()} in the place of a request")
        kind, party, body = read_envelope(frame.payload, MAX_MESSAGE_BYTES)
        if kind not in _READERS:
            raise MessageError(f"message.kind: one of {', '.join(_READERS)} needed, got {kind!r:.40}")
        fields = take_fields(body, kind, setup=hex_field(ID_BYTES), **_READERS[kind])
        setup = fields["setup"]
        peers = self._setups.get(setup)
        if peers is None or party == peers.own or peers.identities.get(party) != peer:
            raise NotNowError(f"no set-up {setup.hex()} here in which you are {party!r:.40}")
        answer = self._fields(kind, setup, party, fields)
        return write_envelope(_ANSWERS[kind], peers.own, {"setup": setup.hex(), **answer})

    def _fields(self, kind: str, setup: bytes, party: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        if kind == INPUT:
            data = self._desk.input(setup, party, fields["root"])
            return {"data": None if data is None else data.hex()}
        if kind == ATTEST:
            return {"attestation": self._desk.attest(setup, party, fields["request"].encode()).decode()}
        return _page(self._desk.seen(setup, party), fields["after"])


def _page(seen: Iterable[CTransaction], after: bytes) -> dict[str, Any]:
    """Return the transactions whose SHA256 lies beyond ``after``, in its order, as many as a page holds."""
    raw = {hashlib.sha256(data).digest(): data for data in (transaction.serialize() for transaction in seen)}
    page: list[str] = []
    size, rest = 0, sorted(digest for digest in raw if digest > after)
    for digest in rest:
        size += len(raw[digest])
        if page and size > PAGE_BYTES:
            break
        page.append(raw[digest].hex())
    return {"transactions": page, "more": len(page) < len(rest)}


_READERS: Mapping[str, Mapping[str, Callable[[Any, str], Any]]] = {
    INPUT: {"root": hex_field(HASH_BYTES)},
    ATTEST: {"request": text_field},
    SEEN: {"after": hex_field(ID_BYTES)},
}
"""The fields of each request beside the set-up id."""
