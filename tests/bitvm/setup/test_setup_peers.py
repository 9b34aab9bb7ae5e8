"""Parties of finished set-ups ask each other over real sockets; hostile peers get, and give, nothing false."""

import json
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from networked import HOST, LIMITS, digest, listen, new_identity

from bitvm.graph.costs import reference_graph
from bitvm.graph.parameters import Parameters
from bitvm.setup import peers as module
from bitvm.setup.attestation import (
    AnotherRootError,
    Attestation,
    AttestationRequest,
    ClaimMadeError,
    ForgedRequestError,
    InputNotHeldError,
    encode,
)
from bitvm.setup.channel import ChannelError, Kind, Limits, Reason, connect, serve
from bitvm.setup.input_store import InputStoreError
from bitvm.setup.messages import MAX_MESSAGE_BYTES, write_envelope
from bitvm.setup.peers import (
    CONNECTIONS,
    AnswerError,
    AttestRequest,
    Between,
    InputRequest,
    NotNowError,
    Peers,
    RefusalError,
    SeenPage,
    SeenRequest,
    ask,
    is_not_now,
    serve_requests,
)
from lvm.boot import input_root
from lvm.layout import INPUT_MAX_BYTES

SETUP, OTHER = digest("set-up"), digest("other")
DATA = b"an input" * 1_000
ROOT = input_root(DATA)
GRAPH = reference_graph(Parameters(bytes(24), levels=1, width=4))
KNOWN = frozenset(GRAPH.by_txid())
BETWEEN = Between(SETUP, "prover", "challenger1")
REQUEST = AttestationRequest(1, 0, ROOT, DATA, bytes(64))


def with_witness(name, item):
    template = GRAPH[name]
    return template.with_witness([[item]] * len(template.inputs))


SEEN = [with_witness(name, bytes([number])) for name in ("Fund", "Claim", "1/Challenge") for number in range(5)]


class Shelf:
    """A desk that holds one input, signs one request, and has seen some transactions."""

    def __init__(self):
        self.asked = []

    def input(self, setup, party, root):
        self.asked.append((setup, party, root))
        if root == bytes(24):
            raise RefusalError("the shelf is locked")
        return DATA if root == ROOT else None

    def attest(self, setup, party, request):
        self.asked.append((setup, party, request))
        if request != encode("prover", REQUEST):
            raise ForgedRequestError(f"{json.loads(request)['party']}: not signed by the prover")
        return encode("challenger1", Attestation(1, 0, ROOT, b"signature"))

    def seen(self, setup, party):
        self.asked.append((setup, party))
        return SEEN


@pytest.fixture
def identities(tmp_path):
    return {name: new_identity(tmp_path, name) for name in ("prover", "challenger1", "challenger2", "stranger")}


@asynccontextmanager
async def serving(identities, desk=None, limits=LIMITS):
    """Let challenger1 answer: the prover is in both of its set-ups, challenger2 in the other one alone."""
    keys = {name: identity.public for name, identity in identities.items()}
    setups = {
        SETUP: Peers({name: keys[name] for name in ("prover", "challenger1")}, "challenger1"),
        OTHER: Peers({"prover": keys["challenger2"], "challenger1": keys["challenger1"]}, "challenger1"),
    }
    listeners, port = await listen()
    async with trio.open_nursery() as nursery:
        run = partial(serve_requests, listeners, identities["challenger1"], setups, desk or Shelf(), limits=limits)
        nursery.start_soon(run)
        yield (HOST, port)
        nursery.cancel_scope.cancel()


async def asked(identities, address, request, who="prover", limits=LIMITS, **options):
    peer = identities["challenger1"].public
    return await ask(address, identities[who], peer, request, limits=limits, **options)


async def refused(identities, address, request, who="prover"):
    with pytest.raises(ChannelError) as caught:
        await asked(identities, address, request, who)
    assert caught.value.reason is Reason.REFUSED
    return str(caught.value)


# ---- honest


async def test_an_input_is_had_by_its_root_or_is_not_held(identities):
    desk = Shelf()
    async with serving(identities, desk) as address:
        assert await asked(identities, address, InputRequest(BETWEEN, ROOT)) == DATA
        assert await asked(identities, address, InputRequest(BETWEEN, digest("no")[:24])) is None
        assert await refused(identities, address, InputRequest(BETWEEN, bytes(24))) == "refused: the shelf is locked"
    assert desk.asked[0] == (SETUP, "prover", ROOT)


async def test_the_largest_input_gets_through(identities):
    desk = Shelf()
    largest = bytes(range(256)) * (2**22 // 256)
    largest = largest[:INPUT_MAX_BYTES]
    desk.input = lambda *_: largest
    async with serving(identities, desk) as address:
        assert await asked(identities, address, InputRequest(BETWEEN, input_root(largest))) == largest


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (RefusalError("we are no attester"), False),
        (ForgedRequestError("not the prover's"), False),
        (ClaimMadeError("the claim has been made"), False),
        (AnotherRootError("another root is signed"), False),
        (NotNowError("nothing is signed yet"), True),
        (InputNotHeldError("the disk is full"), True),
        (InputStoreError("the disk is full"), True),
    ],
)
async def test_who_cannot_answer_now_is_told_from_who_refuses(identities, error, later):
    desk = Shelf()

    def attest(*_):
        raise error

    desk.attest = attest
    async with serving(identities, desk) as address:
        with pytest.raises(ChannelError, match=f"{error}|something is wrong here") as caught:
            await asked(identities, address, AttestRequest(BETWEEN, encode("prover", REQUEST)))
        assert await asked(identities, address, InputRequest(BETWEEN, ROOT)) == DATA
    assert is_not_now(caught.value) is later


async def test_an_attestation_is_asked_for(identities):
    async with serving(identities) as address:
        answer = await asked(identities, address, AttestRequest(BETWEEN, encode("prover", REQUEST)))
        assert answer == encode("challenger1", Attestation(1, 0, ROOT, b"signature"))
        forged = AttestationRequest(1, 0, ROOT, DATA, b"\1" * 64)
        text = await refused(identities, address, AttestRequest(BETWEEN, encode("prover", forged)))
        assert text == "refused: prover: not signed by the prover"
        text = await refused(identities, address, AttestRequest(BETWEEN, encode("\ud800", forged)))
        assert "not signed by the prover" in text, "a refusal may quote what is no text"


@pytest.mark.parametrize("page", [1, 500, 4_000_000])
async def test_everything_that_was_seen_is_had_page_by_page(identities, monkeypatch, page):
    monkeypatch.setattr(module, "PAGE_BYTES", page)
    desk, found, after = Shelf(), [], bytes(32)
    async with serving(identities, desk) as address:
        while after is not None:
            got = await asked(identities, address, SeenRequest(BETWEEN, KNOWN, after))
            assert got.size == sum(len(one.serialize()) for one in got.transactions)
            found += got.transactions
            after = got.after
    assert sorted(one.serialize() for one in found) == sorted(one.serialize() for one in SEEN)
    assert len(desk.asked) == {1: len(SEEN), 4_000_000: 1}.get(page, len(desk.asked))


async def test_nothing_was_seen(identities):
    desk = Shelf()
    desk.seen = lambda *_: []
    async with serving(identities, desk) as address:
        assert await asked(identities, address, SeenRequest(BETWEEN, KNOWN)) == SeenPage((), 0, None)


# ---- hostile askers


async def test_only_parties_of_the_set_up_are_answered(identities):
    desk = Shelf()
    cases = [
        (Between(SETUP, "prover", "challenger1"), "challenger2"),
        (Between(OTHER, "prover", "challenger1"), "prover"),
        (Between(SETUP, "challenger1", "challenger1"), "prover"),
        (Between(SETUP, "nobody", "challenger1"), "prover"),
        (Between(digest("none"), "prover", "challenger1"), "prover"),
    ]
    async with serving(identities, desk) as address:
        for between, who in cases:
            text = await refused(identities, address, InputRequest(between, ROOT), who)
            assert f"no set-up {between.setup.hex()} here in which you are {between.asker!r}" in text
        with pytest.raises(ChannelError) as caught:
            await asked(identities, address, InputRequest(BETWEEN, ROOT), "stranger")
        assert caught.value.reason is Reason.WRONG_PEER
        assert not desk.asked
        other = Between(OTHER, "prover", "challenger1")
        assert await asked(identities, address, InputRequest(other, ROOT), "challenger2") == DATA


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        (Kind.HELLO, b"", "hello in the place of a request"),
        (Kind.DONE, b"", "done in the place of a request"),
        (Kind.MESSAGE, b"", "not a JSON message"),
        (Kind.MESSAGE, b"[" * 100_000, "not a JSON message"),
        (Kind.MESSAGE, bytes(MAX_MESSAGE_BYTES), "not a JSON message"),
        (Kind.MESSAGE, write_envelope("offer", "prover", {}), "message.kind: one of input request"),
        (Kind.MESSAGE, write_envelope("\ud800", "prover", {}), "message.kind: one of input request"),
        (Kind.MESSAGE, BETWEEN.encode(module.INPUT), "missing fields ['root']"),
        (Kind.MESSAGE, BETWEEN.encode(module.INPUT, root=ROOT.hex(), more=1), "unknown fields ['more']"),
        (Kind.MESSAGE, BETWEEN.encode(module.INPUT, root="00" * 23), "input request.root: 24 bytes needed, got 23"),
        (Kind.MESSAGE, BETWEEN.encode(module.ATTEST, request=7), "attest request.request: text needed"),
        (Kind.MESSAGE, BETWEEN.encode(module.ATTEST, request="\ud800"), "text needed that UTF-8 can hold"),
        (Kind.MESSAGE, BETWEEN.encode(module.SEEN, after=None), "seen request.after: hexadecimal needed"),
    ],
)
async def test_garbage_ends_its_own_connection_with_a_reason(identities, kind, payload, expected):
    async with serving(identities) as address:
        async with connect(*address, identities["prover"], identities["challenger1"].public, LIMITS) as channel:
            await channel.send(kind, payload)
            with pytest.raises(ChannelError) as caught:
                await channel.receive()
            assert expected in str(caught.value)
        assert await asked(identities, address, InputRequest(BETWEEN, ROOT)) == DATA


async def test_a_frame_that_is_too_large_is_not_read(identities):
    async with serving(identities) as address:
        async with connect(*address, identities["prover"], identities["challenger1"].public, LIMITS) as channel:
            await channel._stream.send_all(bytes([Kind.MESSAGE]) + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"))
            with pytest.raises(ChannelError):
                await channel.receive()
        assert await asked(identities, address, InputRequest(BETWEEN, ROOT)) == DATA


async def test_one_identity_has_so_many_connections_and_no_more(identities):
    peer = identities["challenger1"].public
    async with serving(identities) as address, trio.open_nursery() as nursery:

        async def hold(*, task_status=trio.TASK_STATUS_IGNORED):
            async with connect(*address, identities["prover"], peer, LIMITS):
                task_status.started()
                await trio.sleep_forever()

        for _ in range(CONNECTIONS):
            await nursery.start(hold)
        with pytest.raises(ChannelError, match="connections of this identity") as caught:
            await asked(identities, address, InputRequest(BETWEEN, ROOT))
        assert is_not_now(caught.value)
        other = Between(OTHER, "prover", "challenger1")
        assert await asked(identities, address, InputRequest(other, ROOT), "challenger2") == DATA
        nursery.cancel_scope.cancel()


async def test_a_silent_peer_is_let_go(identities):
    limits = Limits(handshake_seconds=20, farewell_seconds=1, idle_seconds=0.5, alive_seconds=5)
    async with serving(identities, limits=limits) as address:
        peer = identities["challenger1"].public
        with trio.fail_after(10), pytest.raises(ChannelError, match="closed"):
            async with connect(*address, identities["prover"], peer, LIMITS) as channel:
                await channel.receive()


async def test_a_thousand_connections_that_do_nothing_keep_nobody_out(identities):
    limits = Limits(handshake_seconds=60, farewell_seconds=1, strangers=100)
    idle = []
    async with serving(identities, limits=limits) as address:
        for number in range(1_000):
            idle.append(await trio.open_tcp_stream(*address))
            if number % 2:
                with suppress(trio.BrokenResourceError):
                    await idle[-1].send_all(b"\x16\x03\x01\x02")  # a handshake that never goes on
        assert await asked(identities, address, InputRequest(BETWEEN, ROOT)) == DATA
        for stream in idle:
            await stream.aclose()


# ---- hostile answerers


@asynccontextmanager
async def lying(identities, *answers, kind=Kind.MESSAGE):
    """Let challenger1 say these answers, whatever is asked."""
    listeners, port = await listen()

    async def handle(channel):
        for answer in answers:
            await channel.receive()
            await channel.send(kind, answer)
        await channel.receive()

    async with trio.open_nursery() as nursery:
        peers = [identities["prover"].public]
        nursery.start_soon(serve, listeners, identities["challenger1"], peers, handle, LIMITS)
        yield (HOST, port)
        nursery.cancel_scope.cancel()


def answer(kind, party="challenger1", setup=SETUP, **fields):
    return write_envelope(kind, party, {"setup": setup.hex(), **fields})


FOREIGN = CTransaction(
    [CTxIn(COutPoint(bytes(32), 0))],
    [CTxOut(1, CScript())],
    witness=CTxWitness([CTxInWitness(CScriptWitness([b"\1"]))]),
)


def page(*transactions, more=False):
    raw = sorted((one.serialize() for one in transactions), key=lambda data: module.hashlib.sha256(data).digest())
    return answer("seen", transactions=[data.hex() for data in raw], more=more)


@pytest.mark.parametrize(
    ("request_", "said", "expected"),
    [
        (InputRequest(BETWEEN, ROOT), answer("input", data=(DATA + b"!").hex()), "not the input of root"),
        (InputRequest(BETWEEN, ROOT), answer("input", data="00" * (2**22 + 1)), "INPUT holds at most"),
        (InputRequest(BETWEEN, ROOT), answer("input", data=DATA.hex(), setup=OTHER), "answers something else"),
        (InputRequest(BETWEEN, ROOT), answer("input", "prover", data=DATA.hex()), "answers something else"),
        (InputRequest(BETWEEN, ROOT), answer("seen", data=DATA.hex()), "answers something else"),
        (InputRequest(BETWEEN, ROOT), answer("input", data=7), "hexadecimal needed"),
        (InputRequest(BETWEEN, ROOT), answer("input"), "missing fields"),
        (InputRequest(BETWEEN, ROOT), b"\0" * 1_000, "not a JSON"),
        (AttestRequest(BETWEEN, encode("prover", REQUEST)), answer("attested", attestation="x"), "not a JSON"),
        (
            AttestRequest(BETWEEN, encode("prover", REQUEST)),
            answer("attested", attestation=encode("challenger2", Attestation(1, 0, ROOT, b"")).decode()),
            "an attestation of something else",
        ),
        (
            AttestRequest(BETWEEN, encode("prover", REQUEST)),
            answer("attested", attestation=encode("challenger1", Attestation(1, 1, ROOT, b"")).decode()),
            "an attestation of something else",
        ),
        (SeenRequest(BETWEEN, KNOWN), page(SEEN[0], FOREIGN), "not of this set-up"),
        (SeenRequest(BETWEEN, KNOWN), page(more=True), "an empty page"),
        (SeenRequest(BETWEEN, KNOWN), answer("seen", transactions=["00"], more=False), "no transaction"),
        (SeenRequest(BETWEEN, KNOWN), answer("seen", transactions=[], more=0), "true or false"),
        (SeenRequest(BETWEEN, KNOWN), answer("seen", transactions={}, more=False), "a list needed"),
    ],
)
async def test_no_false_answer_is_believed(identities, request_, said, expected):
    async with lying(identities, said) as address:
        with pytest.raises(AnswerError, match=expected):
            await asked(identities, address, request_)


async def test_a_peer_does_not_tell_the_same_twice(identities):
    async with lying(identities, page(*SEEN[:2], more=True)) as address:
        after = (await asked(identities, address, SeenRequest(BETWEEN, KNOWN))).after
        with pytest.raises(AnswerError, match="out of order"):
            await asked(identities, address, SeenRequest(BETWEEN, KNOWN, after))


async def test_a_peer_that_only_shows_that_it_is_there_is_given_up(identities):
    desk = Shelf()
    desk.input = lambda *_: trio.from_thread.run(trio.sleep, 1.5)
    limits = Limits(handshake_seconds=20, farewell_seconds=1, idle_seconds=40, alive_seconds=0.1)
    async with serving(identities, desk, limits) as address:
        with pytest.raises(ChannelError, match=r"no answer within 0\.5 s"):
            await asked(identities, address, InputRequest(BETWEEN, ROOT), patience=0.5)


async def test_what_is_no_answer_is_none(identities):
    async with lying(identities, b"", kind=Kind.DONE) as address:
        with pytest.raises(AnswerError, match="done in the place of an answer"):
            await asked(identities, address, InputRequest(BETWEEN, ROOT))
    listeners, port = await listen()
    for listener in listeners:
        await listener.aclose()
    with pytest.raises(ChannelError, match="unreachable"):
        await asked(identities, (HOST, port), InputRequest(BETWEEN, ROOT))
