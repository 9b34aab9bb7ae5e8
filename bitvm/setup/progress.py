"""A session that survives its process: what it takes and makes is on disk before anybody else can see it.

    round    0 offers    1 keys    2 agreements    3 Fund's witnesses

`Progress.advance` takes a whole round: every seal is checked (`bitvm.setup.seal`) and the session verifies the round,
then it is stored, then one's own message of the next round is made, sealed and stored, and only then may it be sent. So
Fund is signed when everybody's seals and signatures of the graph were verified and are on disk. After a crash `resume`
leads the session through what is stored and compares what it makes with what was sent before: a party never says two
things, and a store with another seed, other coins, another identity or another plan is refused.

Two parties that meet say `Hello` first, with the digest of their plans: who has another plan is told so at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import trio
from bitcoin.core import CTransaction

from bitvm.setup.identity import Identity
from bitvm.setup.messages import Agreement, FundSignatures, Keys, MessageError, Offer, decode, excerpt, take_fields
from bitvm.setup.plan import SetupPlan
from bitvm.setup.seal import seal, unseal
from bitvm.setup.session import Session, SetupError, SignedGraph
from bitvm.setup.store import ROUNDS, SetupStore

VERSION = 2
"""Of the messages between the parties, seals included."""
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

    def __init__(self, session: Session, store: SetupStore, plan: SetupPlan, identity: Identity) -> None:
        """Take a new session whose nonce is the store's, the plan of both, and the identity that it names for us."""
        self.party = session.party
        self.parties = store.parties
        self.plan, self.identity = plan, identity
        self.rounds: list[dict[str, bytes]] = []
        """The complete rounds, messages by party."""
        self.trouble = ""
        """Why the last connection ended, for people; empty while all is well."""
        self._session, self._store = session, store
        self._signed: SignedGraph | None = None
        self._fund: CTransaction | None = None

    async def resume(self) -> None:
        """Go to where the store is; raises SetupStoreError, SetupError and IdentityError."""
        self._store.keep(0, {self.party: seal(self.plan, self.identity, 0, (), self._session.offer())})
        for number in range(self._store.complete()):
            await self.advance(self._store.messages(number))

    async def advance(self, messages: Mapping[str, bytes]) -> None:
        """Verify and store the next round, of all parties; then make and store one's own message of the one after it.

        Raises SetupError with nothing stored, SetupStoreError and IdentityError.
        """
        number = len(self.rounds)
        taken = {party: messages[party] for party in self.parties}
        made = await trio.to_thread.run_sync(self._verify, number, taken)
        self._store.keep(number, taken)
        if number + 1 < ROUNDS and self.own(number + 1) is None:
            made = self._session.fund_signatures() if made is None else made
        if made is not None:
            history = [*self.digests(), round_digest(taken)]
            self._store.keep(number + 1, {self.party: seal(self.plan, self.identity, number + 1, history, made)})
        self.rounds.append(taken)

    def check(self, party: str, message: bytes) -> None:
        """Raise SetupError unless this is what ``party`` says in the next round; the rest is the session's."""
        number = len(self.rounds)
        try:
            sender, body = decode(unseal(self.plan, party, number, self.digests(), message))
        except MessageError as error:
            raise SetupError(f"{party}: {error}") from error
        if sender != party:
            raise SetupError(f"{party}: sends a message of {sender!r:.40}")
        if not isinstance(body, KINDS[number]):
            raise SetupError(f"{party}: {KINDS[number].KIND} needed, got {body.KIND}")

    def digests(self) -> list[bytes]:
        """Return the digests of the complete rounds."""
        return [round_digest(messages) for messages in self.rounds]

    def own(self, number: int) -> bytes | None:
        """Return one's own message of a round (from 0), None before it is made."""
        return self._store.messages(number).get(self.party)

    @property
    def finished(self) -> Finished | None:
        """What the set-up ends with, None before."""
        return None if self._signed is None or self._fund is None else Finished(self._signed, self._fund)

    def _verify(self, number: int, messages: Mapping[str, bytes]) -> bytes | None:
        """Check all seals, then let the session take the round.

        Returns what it says next, None where it may not be made yet or there is nothing.
        """
        history = self.digests()
        batch = [unseal(self.plan, party, number, history, message) for party, message in messages.items()]
        if number == 0:
            return self._session.keys(batch)
        if number == 1:
            return self._session.agreement(batch)
        if number == 2:
            self._signed = self._session.accept(batch)
        else:
            self._fund = self._session.fund(batch)
        return None


# ---- where two parties stand


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame of either side: what set-up it is about, and what the sender has already.

    plan: its digest. held: SHA256 of each of the receiver's messages that the prover has, or of each complete
    round that a challenger has.
    """

    party: str
    plan: bytes
    held: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Return it as bytes."""
        held = [digest.hex() for digest in self.held]
        fields = {"version": VERSION, "party": self.party, "plan": self.plan.hex(), "held": held}
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, data: bytes) -> Hello:
        """Read it; raises SetupError."""
        if len(data) > MAX_HELLO_BYTES:
            raise SetupError(f"hello: {len(data)} bytes; at most {MAX_HELLO_BYTES} are read")
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SetupError(f"hello: not of its form: {error}") from error
        if isinstance(found, dict) and (version := found.get("version")) != VERSION:
            raise SetupError(f"hello: version {excerpt(version)}, not {VERSION}; both sides need one version")
        try:
            fields = take_fields(found, "hello", version=_any, party=_any, plan=_any, held=_any)
            held = tuple(bytes.fromhex(digest) for digest in fields["held"])
            plan = bytes.fromhex(fields["plan"])
        except (ValueError, TypeError) as error:
            raise SetupError(f"hello: not of its form: {error}") from error
        return cls(fields["party"], plan, held)

    def check(self, party: str, plan: bytes, had: list[bytes]) -> int:
        """Return how much of ``had`` (digests of what the receiver can send) the sender has; raises SetupError."""
        if self.party != party:
            raise SetupError(f"{party}: calls itself {excerpt(self.party)}")
        if self.plan != plan:
            raise SetupError(
                f"{party}: another plan than ours: its digest is {self.plan.hex():.64}, ours {plan.hex()}; "
                "`bitvm setup show` tells it"
            )
        if list(self.held) != had[: len(self.held)]:
            raise SetupError(f"{party}: is in another set-up: it holds messages that are not ours, or lost by us")
        return len(self.held)


def round_digest(messages: Mapping[str, bytes]) -> bytes:
    """Return the SHA256 of a complete round: of the digests of its messages, in party order."""
    return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in messages.values())).digest()


def _any(value: object, _: str) -> object:
    return value
