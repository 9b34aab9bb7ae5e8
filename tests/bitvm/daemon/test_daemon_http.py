import contextlib
import json
import logging
import os
import random
import resource
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from bitvm.daemon import http
from bitvm.daemon.board import Board
from bitvm.daemon.config import ConfigError
from bitvm.daemon.http import judge, serve_http
from bitvm.daemon.settings import Address
from bitvm.daemon.status import Notice, NoticeKind, SetupStatus, Severity, Snapshot
from bitvm.daemon.telemetry import METRIC_NAMES

ANYWHERE = Address("127.0.0.1", 0)
SNAPSHOT = Snapshot(
    "prover", 1_000.0, 7, "ab", 6, False, ticks=3, setups=(SetupStatus("alpha", "cd", "prover", 6, True, False),)
)


async def ask(address: Address, request: bytes) -> tuple[int, bytes]:
    with trio.fail_after(10):
        stream = await trio.open_tcp_stream(address.host, address.port)
        async with stream:
            await stream.send_all(request)
            answer = b"".join([chunk async for chunk in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def get(address: Address, path: str, method: str = "GET") -> tuple[int, bytes]:
    return await ask(address, f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())


def fresh(board: Board) -> None:
    """Publish a snapshot of now."""
    board.publish(replace(SNAPSHOT, at=time.time()))


async def test_the_three_pages(nursery: trio.Nursery) -> None:
    board = Board()
    address = await nursery.start(serve_http, ANYWHERE, board)
    assert address.port
    assert (await get(address, "/health")) == (503, b'{"healthy": false, "reasons": ["no tick has ended yet"]}')
    assert (await get(address, "/status"))[0] == 503
    assert (await get(address, "/metrics")) == (200, b"")
    fresh(board)
    assert (await get(address, "/health")) == (200, b'{"healthy": true, "reasons": []}')
    status, body = await get(address, "/status")
    assert status == 200
    assert json.loads(body)["setups"][0]["name"] == "alpha"
    status, body = await get(address, "/metrics")
    assert status == 200
    assert all(name.encode() in body for name in METRIC_NAMES)
    board.publish(replace(SNAPSHOT, at=1.0))
    status, body = await get(address, "/health")
    assert status == 503
    assert b"the last tick ended" in body
    nursery.cancel_scope.cancel()


async def test_nothing_but_reading_is_allowed(nursery: trio.Nursery) -> None:
    board = Board()
    fresh(board)
    address = await nursery.start(serve_http, ANYWHERE, board)
    assert (await get(address, "/", "GET"))[0] == 404
    assert (await get(address, "/../seed", "GET"))[0] == 404
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert (await get(address, "/status", method))[0] == 405
    nursery.cancel_scope.cancel()


GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /health HTTP/1.1\r\nContent-Length: -5\r\nHost: x\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
    b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: !!\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\xff\xff",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET /%ff%00 HTTP/1.1\r\nHost: \xff\xff\r\n\r\n",
    b"\x00" * 50_000,
)


async def poke(address: Address, data: bytes) -> None:
    """Send bytes, then vanish in one of three ways."""
    stream = await trio.open_tcp_stream(address.host, address.port)
    async with stream:
        try:
            await stream.send_all(data)
            await stream.send_eof()
            with trio.move_on_after(0.2):
                await stream.receive_some()
        except trio.BrokenResourceError:
            pass


async def test_garbage_does_not_stop_it(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    board = Board()
    fresh(board)
    address = await nursery.start(serve_http, ANYWHERE, board)
    draw = random.Random(5)
    async with trio.open_nursery() as pokes:
        for data in GARBAGE:
            pokes.start_soon(poke, address, data)
        for _ in range(60):
            good = b"GET /health HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            mutated = bytearray(good)
            for _ in range(draw.randrange(1, 8)):
                mutated[draw.randrange(len(mutated))] = draw.randrange(256)
            pokes.start_soon(poke, address, bytes(mutated[: draw.randrange(1, len(mutated))]))
    assert (await get(address, "/health"))[0] == 200
    assert "starts again" not in caplog.text
    nursery.cancel_scope.cancel()


async def test_idle_and_half_open_connections_keep_nobody_out(nursery: trio.Nursery) -> None:
    board = Board()
    fresh(board)
    address = await nursery.start(serve_http, ANYWHERE, board)
    streams = [await trio.open_tcp_stream(address.host, address.port) for _ in range(200)]
    for index, stream in enumerate(streams):
        if index % 2:
            await stream.send_all(b"GET /health HTTP/1.1\r\nHo")
    with trio.fail_after(2):
        assert (await get(address, "/health"))[0] == 200
    with trio.fail_after(http.IDLE_SECONDS + 5):
        for stream in streams:
            while await stream.receive_some():
                pass
            await stream.aclose()
    nursery.cancel_scope.cancel()


async def test_who_does_not_read_the_answer_is_cut_off(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.5)
    board = Board()
    setups = tuple(SetupStatus(f"{index}" * 100, "cd", "prover", 6, True, False) for index in range(40_000))
    board.publish(replace(SNAPSHOT, setups=setups))
    address = await nursery.start(serve_http, ANYWHERE, board)
    stream = await trio.open_tcp_stream(address.host, address.port)
    async with stream:
        await stream.send_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        await trio.sleep(3)
        received = 0
        with trio.fail_after(10):
            try:
                while chunk := await stream.receive_some(1 << 20):
                    received += len(chunk)
            except trio.BrokenResourceError:
                pass
    assert received < len(json.dumps(board.latest and board.latest.to_json()))
    fresh(board)
    assert (await get(address, "/health"))[0] == 200
    nursery.cancel_scope.cancel()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
UPGRADE = (
    b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
)


@pytest.mark.parametrize(
    "said", [PREFACE, UPGRADE, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" + PREFACE], ids=["first", "upgrade", "later"]
)
async def test_http_2_is_not_spoken(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, said: bytes) -> None:
    """Nothing would end such a connection: the server counts it as busy for ever."""
    address = await nursery.start(serve_http, ANYWHERE, Board())
    async with await trio.open_tcp_stream(address.host, address.port) as stream:
        await stream.send_all(said)
        with trio.fail_after(2):
            try:
                while chunk := await stream.receive_some():
                    assert not chunk.startswith(b"\0"), "a frame of HTTP/2"
            except trio.BrokenResourceError:
                pass
    assert "starts again" not in caplog.text
    nursery.cancel_scope.cancel()


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@pytest.mark.parametrize("said", [PREFACE, b"GET /status HTTP/1.1\r\nHost: x\r\nX: "], ids=["h2", "half a request"])
async def test_callers_cannot_use_up_the_descriptors(nursery: trio.Nursery, said: bytes) -> None:
    board = Board()
    fresh(board)
    address = await nursery.start(serve_http, ANYWHERE, board)
    before = descriptors()
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(3 * http.CONNECTIONS):
            stream = await opened.enter_async_context(await trio.open_tcp_stream(address.host, address.port))
            with contextlib.suppress(trio.BrokenResourceError):
                await stream.send_all(said)
        await trio.sleep(0.2)
        assert descriptors() - before - 3 * http.CONNECTIONS <= http.CONNECTIONS
        assert (await get(address, "/health"))[0] == 200
    nursery.cancel_scope.cancel()


async def test_every_connection_ends_in_time(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that always has something to say, and of one that never reads its answer."""
    monkeypatch.setattr(http, "CONNECTION_SECONDS", 1.0)
    board = Board()
    setups = tuple(SetupStatus(f"{index}" * 100, "cd", "prover", 6, True, False) for index in range(40_000))
    board.publish(replace(SNAPSHOT, setups=setups))
    address = await nursery.start(serve_http, ANYWHERE, board)
    before = descriptors()
    deaf = await trio.open_tcp_stream(address.host, address.port)
    busy = await trio.open_tcp_stream(address.host, address.port)
    async with deaf, busy:
        await deaf.send_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")
        with trio.move_on_after(4), contextlib.suppress(trio.BrokenResourceError):
            chunk = b"."
            while chunk:
                await busy.send_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                chunk = await busy.receive_some()
        with trio.fail_after(60):  # our own ends alone stay open
            while descriptors() != before + 2:
                await trio.sleep(0.1)
    nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_named(nursery: trio.Nursery) -> None:
    address = await nursery.start(serve_http, ANYWHERE, Board())
    with pytest.raises(
        ConfigError, match=f"http: cannot listen on {address}.*in use; stop the program .*, or choose another port"
    ):
        await serve_http(address, Board())
    nursery.cancel_scope.cancel()


async def test_a_server_that_fails_starts_again(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(http, "RESTART_SECONDS", 0.05)
    board = Board()
    fresh(board)
    address = await nursery.start(serve_http, ANYWHERE, board)
    with contextlib.ExitStack() as waiting:
        for _ in range(20):
            waiting.enter_context(socket.create_connection(address))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(it.name) for it in Path("/dev/fd").iterdir()) + 1, hard))
        with contextlib.suppress(OSError):
            while True:  # until none of them can be accepted
                waiting.callback(os.close, os.dup(0))
        try:
            await trio.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await trio.sleep(0.3)
    assert (await get(address, "/health"))[0] == 200
    assert "HTTP ended and starts again" in caplog.text
    nursery.cancel_scope.cancel()


async def test_listening_for_others_is_said(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await nursery.start(serve_http, Address("0.0.0.0", 0), Board())
    assert "can be read by other machines" in caplog.text
    nursery.cancel_scope.cancel()


def notice(kind: NoticeKind, severity: Severity) -> Notice:
    return Notice(kind, severity, "because: of that")


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_only_a_critical_notice_of_the_node_is_unhealthy(kind: NoticeKind) -> None:
    assert judge(replace(SNAPSHOT, notices=(notice(kind, Severity.WARNING),)), 1_000).healthy
    judged = judge(replace(SNAPSHOT, notices=(notice(kind, Severity.CRITICAL),)), 1_000)
    assert judged.healthy == (kind not in http.NODE_KINDS)
    if not judged.healthy:
        assert judged.reasons == (f"{kind.value}: because: of that",)


def test_an_old_tick_is_unhealthy() -> None:
    assert judge(SNAPSHOT, 1_030, 30).healthy
    assert judge(SNAPSHOT, 1_031, 30).reasons == ("the last tick ended 31 s ago",)
    assert judge(SNAPSHOT, 900, 30).healthy
