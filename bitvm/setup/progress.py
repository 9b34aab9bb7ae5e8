"""A session that survives its process: what it takes and makes is on disk before anybody else can see it.

    round    0 offers    1 keys    2 agreements    3 Fund's witnesses

`Progress.advance` takes a whole round: the session verifies it, then it is stored, then one's own message of the next
round is made and stored, and only then may it be sent. So Fund is signed when everybody's signatures of the graph were
verified and are on disk. After a crash `resume` leads the session through what is stored and compares what it makes
with what was sent before: a party never says two things, and a store with another seed or other coins is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import trio
from bitcoin.core import CTransaction

from bitvm.graph.parameters import Parameters
from bitvm.setup.messages import Agreement, FundSignatures, Keys, MessageError, Offer, decode, take_fields
from bitvm.setup.session import Session, SetupError, SignedGraph
from bitvm.setup.store import ROUNDS, SetupStore

VERSION = 1
MAX_HELLO_BYTES = 4_096

KINDS = (Offer, Keys, Agreement, FundSignatures)
"""The messages of the rounds."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A set-up that has ended well: the signed graph, and Fund with all witnesses, ready to broadcast."""

    signed: SignedGraph
    fund: CTransaction


class Progress:
    """A session and its store, at the same point. Call `resume` first."""

    def __init__(self, session: Session, store: SetupStore, parameters: Parameters) -> None:
        """Take a new session whose nonce is the store's, and the parameters of both."""
        self.party = session.party
        self.parties = store.parties
        self.parameters = hashlib.sha256(parameters.canonical()).digest()
        self.rounds: list[dict[str, bytes]] = []
        """The complete rounds, messages by party."""
        self._session, self._store = session, store
        self._signed: SignedGraph | None = None
        self._fund: CTransaction | None = None

    async def resume(self) -> None:
        """Go to where the store is; raises SetupStoreError and SetupError."""
        self._store.keep(0, {self.party: self._session.offer()})
        for number in range(self._store.complete()):
            await self.advance(self._store.messages(number))

    async def advance(self, messages: Mapping[str, bytes]) -> None:
        """Verify and store the next round, of all parties; then make and store one's own message of the one after it.

        Raises SetupError with nothing stored, and SetupStoreError.
        """
        number = len(self.rounds)
        batch = [messages[party] for party in self.parties]
        made = await trio.to_thread.run_sync(self._verify, number, batch)
        self._store.keep(number, messages)
        if number + 1 < ROUNDS and self.own(number + 1) is None:
            made = self._session.fund_signatures() if made is None else made
        if made is not None:
            self._store.keep(number + 1, {self.party: made})
        self.rounds.append(dict(zip(self.parties, batch, strict=True)))

    def own(self, number: int) -> bytes | None:
        """Return one's own message of a round (from 0), None before it is made."""
        return self._store.messages(number).get(self.party)

    @property
    def finished(self) -> Finished | None:
        """What the set-up ends with, None before."""
        return None if self._signed is None or self._fund is None else Finished(self._signed, self._fund)

    def _verify(self, number: int, batch: list[bytes]) -> bytes | None:
        """Let the session take a round; return its next message, None where it may not be made yet or there is none."""
        if number == 0:
            return self._session.keys(batch)
        if number == 1:
            return self._session.agreement(batch)
        if number == 2:
            self._signed = self._session.accept(batch)
        else:
            self._fund = self._session.fund(batch)
        return None


def check_message(party: str, number: int, data: bytes) -> None:
    """Raise SetupError unless ``data`` is a message of ``party`` for round ``number``; the rest is the session's."""
    try:
        sender, body = decode(data)
    except MessageError as error:
        raise SetupError(f"{party}: {error}") from error
    if sender != party:
        raise SetupError(f"{party}: sends a message of {sender!r:.40}")
    if not isinstance(body, KINDS[number]):
        raise SetupError(f"{party}: {KINDS[number].KIND} needed, got {body.KIND}")


# ---- where two parties stand


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of either side: what set-up it is about, and what the sender has already.

    parameters: their SHA256. held: SHA256 of each of the receiver's messages that the prover has, or of each complete
    round that a challenger has.
    """

    party: str
    parameters: bytes
    held: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return it as bytes."""
        held = [digest.hex() for digest in self.held]
        fields = {"version": VERSION, "party": self.party, "parameters": self.parameters.hex(), "held": held}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Read it; raises SetupError."""
        if len(data) > MAX_HELLO_BYTES:
            raise SetupError(f"hello: {len(data)} bytes; at most {MAX_HELLO_BYTES} are read")
        try:
            fields = take_fields(json.loads(data), "hello", version=_any, party=_any, parameters=_any, held=_any)
            held = tuple(bytes.fromhex(digest) for digest in fields["held"])
            parameters = bytes.fromhex(fields["parameters"])
        except (ValueError, TypeError, RecursionError) as error:
            raise SetupError(f"hello: not of its form: {error}") from error
        if fields["version"] != VERSION:
            raise SetupError(f"hello: version {fields['version']!r:.40}, not {VERSION}")
        return cls(str(fields["party"]), parameters, held)

    def check(self, party: str, parameters: bytes, had: list[bytes]) -> int:
        """Return how much of ``had`` (digests of what the receiver can send) the sender has; raises SetupError."""
        if self.party != party:
            raise SetupError(f"{party}: calls itself {self.party!r:.40}")
        if self.parameters != parameters:
            raise SetupError(f"{party}: other parameters than ours")
        if list(self.held) != had[: len(self.held)]:
            raise SetupError(f"{party}: is in another set-up: it holds messages that are not ours, or lost by us")
        return len(self.held)


def round_digest(messages: Mapping[str, bytes]) -> bytes:
    """Return the SHA256 of a complete round: of the digests of its messages, in party order."""
    return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in messages.values())).digest()


def _any(value: object, _: str) -> object:
    return value
