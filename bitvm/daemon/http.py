"""What a daemon tells over HTTP: /metrics for Prometheus, /health for whoever restarts or pages, /status as JSON.

Read only: every answer is made from the newest snapshot, nothing a caller sends is used for more than choosing one of
the three. Bounded: a request has `REQUEST_SECONDS`, a connection without one is closed after `IDLE_SECONDS`, and every
connection after `CONNECTION_SECONDS`; one more than `CONNECTIONS` ends the oldest. Nothing but HTTP/1 is spoken. A
server that fails all the same is started again, without touching the daemon.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

import anycorn
import trio
from anycorn.tcp_server import tcp_server_handler
from anycorn.typing import ConnectionState, Framework
from anycorn.utils import wrap_app
from anycorn.worker_context import WorkerContext
from anyio.abc import SocketListener, SocketStream
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bitvm.daemon.board import Board
from bitvm.daemon.listening import cannot_listen, open_listener
from bitvm.daemon.logs import get_logger
from bitvm.daemon.settings import Address
from bitvm.daemon.status import NoticeKind, Severity, Snapshot
from bitvm.daemon.telemetry import CONTENT_TYPE, Telemetry

_log = get_logger(__name__)

STALE_SECONDS = 120.0
"""A daemon whose last tick is older is not healthy; a tick may wait for a slow node."""
REQUEST_SECONDS = 10.0
IDLE_SECONDS = 5
CONNECTIONS = 64
"""How many connections there are at once: a caller must not use up what the daemon's stores and node need."""
CONNECTION_SECONDS = 30.0
"""How old a connection becomes, whatever is done with it."""
RESTART_SECONDS = 5.0
MAX_HEAD_BYTES = 8_192
NODE_KINDS = frozenset(
    {NoticeKind.NODE_UNREACHABLE, NoticeKind.NODE_STALLED, NoticeKind.NODE_BEHIND, NoticeKind.NODES_DISAGREE}
)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a daemon can do its work; if not, why."""

    reasons: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether there is no reason against it."""
        return not self.reasons


def judge(snapshot: Snapshot | None, now: float, stale_seconds: float = STALE_SECONDS) -> Health:
    """Judge by the newest snapshot: it is recent, and no notice about the node is critical."""
    if snapshot is None:
        return Health(("no tick has ended yet",))
    reasons = [
        f"{notice.kind.value}: {notice.text}"
        for notice in snapshot.notices
        if notice.kind in NODE_KINDS and notice.severity is Severity.CRITICAL
    ]
    if (age := now - snapshot.at) > stale_seconds:
        reasons.insert(0, f"the last tick ended {age:.0f} s ago")
    return Health(tuple(reasons))


def application(
    board: Board, *, stale_seconds: float = STALE_SECONDS, clock: Callable[[], float] = time.time
) -> Starlette:
    """Return the three pages as an ASGI application."""
    telemetry = Telemetry()

    async def metrics(_: Request) -> Response:
        if board.latest is not None:
            telemetry.update(board.latest)
        return Response(telemetry.render(), headers={"content-type": CONTENT_TYPE})

    async def health(_: Request) -> Response:
        judged = judge(board.latest, clock(), stale_seconds)
        return _json({"healthy": judged.healthy, "reasons": judged.reasons}, 200 if judged.healthy else 503)

    async def status(_: Request) -> Response:
        if board.latest is None:
            return _json({"error": "no tick has ended yet"}, 503)
        return _json(board.latest.to_json(), 200)

    return Starlette(
        routes=[Route("/metrics", metrics), Route("/health", health), Route("/status", status)],
    )


def _json(content: object, status: int) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")


class _Guarded:
    """An application that gives up a request which takes too long, as when the caller does not send all of it."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle HTTP within the time limit; refuse a WebSocket."""
        if scope["type"] == "http":
            with trio.move_on_after(REQUEST_SECONDS):
                await self._inner(scope, receive, send)
        else:
            await send({"type": "websocket.close"})


class _Door:
    """Lets in at most `CONNECTIONS` at once, each for `CONNECTION_SECONDS`.

    One more ends the oldest: whoever holds many open keeps nobody out.
    """

    def __init__(self, serve: Callable[[SocketStream], Awaitable[None]]) -> None:
        self._serve = serve
        self._inside: list[trio.CancelScope] = []

    async def let_in(self, stream: SocketStream) -> None:
        """Serve a connection until its end; one that fails is nobody else's matter."""
        if len(self._inside) >= CONNECTIONS:
            self._inside.pop(0).cancel()
        async with trio.open_nursery() as nursery:
            scope = nursery.cancel_scope
            scope.deadline = trio.current_time() + CONNECTION_SECONDS
            self._inside.append(scope)
            nursery.start_soon(_close_at_the_end, stream)
            try:
                await self._serve(stream)
            except* Exception as errors:
                _log.debug("HTTP connection given up", reason=repr(errors.exceptions[0]))
            finally:
                scope.cancel()
                if scope in self._inside:
                    self._inside.remove(scope)


async def _close_at_the_end(stream: SocketStream) -> None:
    """Close a connection when its nursery is cancelled: the server does not let go of one that it is writing to."""
    try:
        await trio.sleep_forever()
    finally:
        await stream.aclose()


async def serve_http(
    address: Address,
    board: Board,
    *,
    stale_seconds: float = STALE_SECONDS,
    task_status: trio.TaskStatus[Address] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports where it listens. ConfigError if it cannot listen there at the start."""
    if not address.loopback:
        _log.warning("HTTP can be read by other machines; it has no password", address=str(address))
    app = cast("Framework", _Guarded(application(board, stale_seconds=stale_seconds)))
    try:
        listener = open_listener(address)
    except OSError as error:
        raise cannot_listen("http", address, error) from error
    address = Address(address.host, listener.getsockname()[1])
    _log.info("HTTP listens", address=str(address))
    task_status.started(address)
    while True:
        try:
            await _serve(app, listener)
        except Exception:
            _log.exception("HTTP failed")
        _log.error("HTTP ended and starts again", seconds=RESTART_SECONDS)  # some of its failures are not raised
        await trio.sleep(RESTART_SECONDS)
        listener = await _listener_again(address)


async def _serve(app: Framework, listener: socket.socket) -> None:
    """Serve until it fails; as `anycorn.serve` does, but with a door."""
    settings = _settings()
    wrapped = wrap_app(app, settings.wsgi_max_body_size, "asgi")
    door = _Door(tcp_server_handler(wrapped, settings, WorkerContext(None), ConnectionState({})))
    async with await SocketListener.from_socket(listener) as listening:
        await listening.serve(door.let_in)


async def _listener_again(address: Address) -> socket.socket:
    while True:
        try:
            return open_listener(address)
        except OSError as error:
            _log.warning("HTTP cannot listen", address=str(address), reason=str(error))
            await trio.sleep(RESTART_SECONDS)


def _settings() -> anycorn.Config:
    config = anycorn.Config()
    config.h2_max_header_list_size = -1  # impossible: a connection that turns to HTTP/2 fails, and is given up
    config.errorlog = logging.getLogger("bitvm.daemon.http.server")
    config.accesslog = None
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_SECONDS
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    config.websocket_max_message_size = MAX_HEAD_BYTES
    return config
