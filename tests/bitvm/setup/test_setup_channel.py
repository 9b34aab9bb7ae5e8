import logging
import ssl
from contextlib import asynccontextmanager

import pytest
import trio
from cryptography.hazmat.primitives import serialization
from networked import HOST, listen, new_identity, with_version

from bitvm.setup import channel as channel_module
from bitvm.setup import identity as identity_module
from bitvm.setup.channel import ChannelError, Kind, Limits, Reason, connect, serve
from bitvm.setup.identity import Identity
from bitvm.setup.messages import MAX_MESSAGE_BYTES

QUICK = Limits(handshake_seconds=0.5, farewell_seconds=0.5, idle_seconds=1, alive_seconds=0.2, least_rate=1e7)


@pytest.fixture
def own(tmp_path):
    return new_identity(tmp_path, "own")


@pytest.fixture
def peer(tmp_path):
    return new_identity(tmp_path, "peer")


@asynccontextmanager
async def serving(own, peers, handle, limits=QUICK):
    listeners, port = await listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, listeners, own, peers, handle, limits)
        yield port
        nursery.cancel_scope.cancel()


async def echo(channel):
    while True:
        await channel.send(*await channel.receive())


async def echoes(port, own, peer, limits=QUICK):
    """Whether a caller that does nothing wrong is served."""
    async with connect(HOST, port, peer, own.public, limits) as channel:
        await channel.send(Kind.MESSAGE, b"still there")
        return await channel.receive() == (Kind.MESSAGE, b"still there")


async def fails_with(reason, port, caller, expected, limits=QUICK):
    """Call, say something and listen; return the text of the error, which has to be for this reason."""

    async def call():
        async with connect(HOST, port, caller, expected, limits) as channel:
            await channel.send(Kind.MESSAGE, b"x")
            await channel.receive()

    with pytest.raises(ChannelError) as caught:
        await call()
    assert caught.value.reason is reason, caught.value
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 65_536, 3_000_000, MAX_MESSAGE_BYTES])
async def test_a_frame_arrives_as_it_was_sent(own, peer, size):
    seen = []

    async def answer(channel):
        seen.append(channel.peer)
        await channel.send(*await channel.receive())

    payload = (b"0123456789abcdef!" * (size // 17 + 1))[:size]
    limits = Limits()
    async with (
        serving(own, [peer.public], answer, limits) as port,
        connect(HOST, port, peer, own.public, limits) as channel,
    ):
        assert channel.peer == own.public
        await channel.send(Kind.MESSAGE, payload)
        frame = await channel.receive()
    assert frame == (Kind.MESSAGE, payload)
    assert seen == [peer.public]


async def test_a_server_with_another_identity_is_refused(own, peer, tmp_path):
    other = new_identity(tmp_path, "other")
    async with serving(own, [peer.public], echo) as port:
        text = await fails_with(Reason.WRONG_PEER, port, peer, other.public)
        assert f"the identity {other.public.hex()} was expected, the identity {own.public.hex()} is there" in text
        assert await echoes(port, own, peer)


async def test_a_caller_that_is_not_known_is_refused(own, peer, tmp_path):
    async def never(channel):
        raise AssertionError(f"served {channel.peer.hex()}")

    async with serving(own, [peer.public], never) as port:
        other = new_identity(tmp_path, "other")
        text = await fails_with(Reason.WRONG_PEER, port, other, own.public)
        assert f"{own.public.hex()} is there, as expected, but seems not to know ours, {other.public.hex()}" in text


@pytest.mark.parametrize("peers", ["nobody", "own"])
async def test_nobody_is_served_where_nobody_is_known(own, peer, peers):
    known = [own.public] if peers == "own" else []
    async with serving(own, known, echo) as port:
        await fails_with(Reason.WRONG_PEER, port, peer, own.public)


async def test_a_certificate_that_names_a_known_identity_but_has_another_key_is_refused(
    own, peer, tmp_path, monkeypatch
):
    real = identity_module._name
    monkeypatch.setattr(identity_module, "_name", lambda text: real(peer.public.hex() if len(text) == 64 else text))
    forged = new_identity(tmp_path, "forged")
    monkeypatch.undo()
    assert forged.public != peer.public
    async with serving(own, [peer.public], echo) as port:
        await fails_with(Reason.WRONG_PEER, port, forged, own.public)
        assert await echoes(port, own, peer)


async def test_a_key_that_a_known_identity_vouches_for_is_not_that_identity(own, peer, tmp_path, caplog):
    """The peer's key certifies another one: TLS accepts the chain, we do not."""
    caplog.set_level(logging.INFO)
    other = new_identity(tmp_path, "other")
    key = serialization.load_pem_private_key(peer.path.read_bytes(), None)
    theirs = serialization.load_pem_private_key(other.path.read_bytes(), None)
    uses = identity_module._certificate(key).extensions
    builder = identity_module._builder(identity_module._name("bitvm party"), key.public_key(), 2)
    builder._public_key = theirs.public_key()
    certificate = builder.add_extension(uses[2].value, critical=True).sign(key, None)
    pem = other.path.read_bytes().partition(b"-----BEGIN CERT")[0]
    other.path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    async with serving(own, [peer.public], echo) as port:
        await fails_with(Reason.WRONG_PEER, port, Identity(other.path, other.public), own.public)
        assert f"the identity {other.public.hex()} was not expected" in caplog.text


@pytest.mark.parametrize("version", [3, 4, 127])
async def test_a_caller_with_a_certificate_that_openssl_takes_and_no_parser_does_is_refused(
    own, peer, tmp_path, version
):
    odd = with_version(new_identity(tmp_path, "odd"), version)
    async with serving(own, [peer.public, odd.public], echo) as port:
        for _ in range(3):
            await fails_with(Reason.WRONG_PEER, port, odd, own.public)
        assert await echoes(port, own, peer)


@pytest.mark.parametrize("expected", ["odd", "another"])
async def test_a_server_with_a_certificate_that_no_parser_takes_is_refused(own, peer, tmp_path, expected):
    odd = with_version(new_identity(tmp_path, "odd"), 4)
    async with serving(odd, [peer.public], echo) as port:
        wanted = odd.public if expected == "odd" else own.public
        text = await fails_with(Reason.WRONG_PEER, port, peer, wanted)
    assert f"the identity {wanted.hex()} was expected, another one is there" in text


async def test_whatever_goes_wrong_in_a_handshake_is_an_error_of_the_channel(own, peer, monkeypatch):
    def fail(_):
        raise RuntimeError("of a kind that nobody has thought of")

    async with serving(own, [peer.public], echo) as port:
        monkeypatch.setattr(channel_module, "key_of", fail)
        text = await fails_with(Reason.GARBAGE, port, peer, own.public)
        assert "of a kind that nobody has thought of" in text
        monkeypatch.undo()
        assert await echoes(port, own, peer)


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), ExceptionGroup("both", [OSError("a"), ValueError("b")])])
async def test_an_error_while_one_caller_is_served_ends_its_channel_alone(own, peer, caplog, error):
    errors = [error]

    async def fail_once(channel):
        if errors:
            raise errors.pop()
        await echo(channel)

    async with serving(own, [peer.public], fail_once) as port:
        await fails_with(Reason.CLOSED, port, peer, own.public)
        assert await echoes(port, own, peer)
    assert "connection failed" in caplog.text


async def hear(stream):
    await stream.send_all(b"\x02\x00\x00\x00\x00")
    return await stream.receive_some()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_caller_without_certificate_or_with_old_tls_is_refused(own, peer, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, version
    async with serving(own, [peer.public], echo) as port:
        stream = trio.SSLStream(await trio.open_tcp_stream(HOST, port), context)
        with pytest.raises(trio.BrokenResourceError):
            await hear(stream)
        await trio.aclose_forcefully(stream)
        assert await echoes(port, own, peer)


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", bytes(5_000), b"\x16\x03\x01\xff\xff" * 999, b""])
async def test_garbage_of_a_stranger_ends_its_own_connection(own, peer, garbage):
    async with serving(own, [peer.public], echo) as port:
        stream = await trio.open_tcp_stream(HOST, port)
        await stream.send_all(garbage)
        await stream.send_eof()
        with trio.fail_after(3):
            try:
                while await stream.receive_some():
                    pass
            except trio.BrokenResourceError:
                pass
        await stream.aclose()
        assert await echoes(port, own, peer)


async def test_a_server_that_speaks_no_tls_is_named(own, peer):
    async def talk(stream):
        await stream.send_all(b"220 mail ready\r\n" * 10)
        await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        listeners, port = await listen()
        nursery.start_soon(trio.serve_listeners, talk, listeners)
        assert "not the TLS" in await fails_with(Reason.GARBAGE, port, peer, own.public)
        nursery.cancel_scope.cancel()


async def test_nobody_there_is_named(own, peer):
    listeners, port = await listen()
    await listeners[0].aclose()
    assert str(port) in await fails_with(Reason.UNREACHABLE, port, peer, own.public)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".localhost", "a\u200d", "\ud800", "\0", "\x1b[2J", "-"])
async def test_a_host_that_cannot_be_one_is_as_good_as_unreachable(own, host):
    async def call():
        async with connect(host, 80, own, own.public, QUICK):
            pass

    with trio.fail_after(20), pytest.raises(ChannelError) as caught:
        await call()
    assert caught.value.reason is Reason.UNREACHABLE
    assert str(caught.value).isprintable()


async def test_a_refusal_is_one_printable_line_of_a_limited_length(own, peer):
    said = ["\x1b]0;title\x07\r\nprover: all is well\u202e \ud800", "\x1b" * 5_000]

    async def refuse(channel):
        await channel.refuse(said[0])

    for expected in (r"refused: \x1b]0;title\x07\r\nprover: all is well\u202e ?", r"refused: \x1b\x1b"):
        async with serving(own, [peer.public], refuse) as port:
            text = await fails_with(Reason.REFUSED, port, peer, own.public)
        assert text.startswith(expected)
        assert text.isprintable()
        assert len(text) < 1_100
        said.pop(0)


HOSTILE = {
    "oversize": (b"\x02" + (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"), Reason.OVERSIZE),
    "4 GB": (b"\x02\xff\xff\xff\xff", Reason.OVERSIZE),
    "no kind": (b"\x00\x00\x00\x00\x01x", Reason.GARBAGE),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", Reason.GARBAGE),
    "cut in the header": (b"\x02\x00", Reason.TIMEOUT),
    "cut in the payload": (b"\x02\x00\x00\x00\x09half", Reason.TIMEOUT),
    "silent": (b"", Reason.TIMEOUT),
    "refusal that is no text": (b"\x05\x00\x00\x00\x02\xff\xfe", Reason.REFUSED),
}


@pytest.mark.parametrize(("data", "reason"), HOSTILE.values(), ids=HOSTILE)
async def test_a_known_peer_that_misbehaves_is_named_and_ends_its_own_channel(own, peer, data, reason):
    ended = []

    async def listen_to(channel):
        try:
            await channel.receive()
        except ChannelError as error:
            ended.append(error.reason)
            raise

    async with serving(own, [peer.public], listen_to) as port:
        with trio.fail_after(5):
            async with connect(HOST, port, peer, own.public, QUICK) as channel:
                await channel._stream.send_all(data)
                with pytest.raises(ChannelError):
                    await channel._receive_any()
    assert ended == [reason]


@pytest.mark.parametrize("ending", ["clean", "cut"])
async def test_a_peer_that_goes_in_mid_frame_is_named(own, peer, ending):
    async def go(channel):
        await channel._stream.send_all(b"\x02\x00\x00\x00\x09half")
        await (channel.aclose() if ending == "clean" else trio.aclose_forcefully(channel._stream))

    async with serving(own, [peer.public], go) as port:
        await fails_with(Reason.CLOSED, port, peer, own.public)


async def test_one_byte_at_a_time_is_too_slow(own, peer):
    async def drip(channel):
        for byte in b"\x02\x00\x00\x00\xff" + bytes(255):
            await channel._stream.send_all(bytes([byte]))
            await trio.sleep(0.1)

    async with serving(own, [peer.public], drip) as port:
        with trio.fail_after(3):
            assert "too slow" in await fails_with(Reason.TIMEOUT, port, peer, own.public)


async def test_a_peer_that_never_reads_is_too_slow(own, peer):
    async def deaf(_channel):
        await trio.sleep(30)

    async def pour(channel):
        while True:
            await channel.send(Kind.MESSAGE, bytes(4_000_000))

    async with serving(own, [peer.public], deaf) as port, connect(HOST, port, peer, own.public, QUICK) as channel:
        with trio.fail_after(20), pytest.raises(ChannelError) as caught:
            await pour(channel)
    assert caught.value.reason is Reason.TIMEOUT


async def test_a_payload_above_the_limit_is_not_sent(own, peer):
    async with serving(own, [peer.public], echo) as port, connect(HOST, port, peer, own.public, QUICK) as channel:
        with pytest.raises(ChannelError) as caught:
            await channel.send(Kind.MESSAGE, bytes(MAX_MESSAGE_BYTES + 1))
        assert caught.value.reason is Reason.OVERSIZE
        await channel.send(Kind.DONE)
        assert await channel.receive() == (Kind.DONE, b"")


async def test_signs_of_life_keep_a_silent_channel_open(own, peer):
    async def patient(channel):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.keep_alive)
            await trio.sleep(2 * QUICK.idle_seconds)
            await channel.send(Kind.DONE)
            nursery.cancel_scope.cancel()

    async with serving(own, [peer.public], patient) as port, connect(HOST, port, peer, own.public, QUICK) as channel:
        assert await channel.receive() == (Kind.DONE, b"")


async def test_a_refusal_is_heard_even_by_a_peer_whose_words_were_not_read(own, peer):
    async def refuse(channel):
        await trio.sleep(0.2)
        await channel.refuse("the reason, " + "at length " * 500)

    async with serving(own, [peer.public], refuse) as port, connect(HOST, port, peer, own.public, QUICK) as channel:
        await channel.send(Kind.MESSAGE, bytes(200_000))
        with pytest.raises(ChannelError, match="the reason, at length") as caught:
            await channel.receive()
    assert caught.value.reason is Reason.REFUSED
    assert len(str(caught.value)) < 1_100


async def test_strangers_make_room_for_strangers_and_for_those_that_are_known(own, peer):
    limits = Limits(handshake_seconds=30, strangers=10)
    async with serving(own, [peer.public], echo, limits) as port:
        idle = [await trio.open_tcp_stream(HOST, port) for _ in range(100)]
        assert await echoes(port, own, peer, limits)
        dropped = 0
        for stream in idle:
            with trio.move_on_after(0.02):
                assert await stream.receive_some() == b""
                dropped += 1
            await stream.aclose()
        assert dropped >= 90
