"""What a daemon tells over HTTP: /metrics for Prometheus, /health for whoever restarts or pages, /status as JSON.

Read only: every answer is made from the newest snapshot, nothing a caller sends is used for more than choosing one of
the three. Bounded: a request has `REQUEST_SECONDS`, a connection without one is closed after `IDLE_SECONDS`, and a
server that fails all the same is started again, without touching the daemon.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import anycorn
import trio
from anycorn.typing import Framework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bitvm.daemon.board import Board
from bitvm.daemon.config import ConfigError
from bitvm.daemon.logs import get_logger
from bitvm.daemon.settings import Address
from bitvm.daemon.status import NoticeKind, Severity, Snapshot
from bitvm.daemon.telemetry import CONTENT_TYPE, Telemetry

_log = get_logger(__name__)

STALE_SECONDS = 120.0
"""A daemon whose last tick is older is not healthy; a tick may wait for a slow node."""
REQUEST_SECONDS = 10.0
IDLE_SECONDS = 5
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
    """An application that gives up a request which takes too long, as when the caller does not read the answer."""

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle HTTP within the time limit; refuse a WebSocket; nothing is to be done at the start and the end."""
        if scope["type"] == "http":
            with trio.move_on_after(REQUEST_SECONDS):
                await self._inner(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            for moment in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{moment}.complete"})


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
        listener = _listener(address)
    except OSError as error:
        raise ConfigError(f"http: cannot listen on {address}: {error}; choose another address or port") from error
    address = Address(address.host, listener.getsockname()[1])
    _log.info("HTTP listens", address=str(address))
    task_status.started(address)
    while True:
        try:
            await anycorn.serve(app, _settings(listener))
        except Exception:
            _log.exception("HTTP failed")
        _log.error("HTTP ended and starts again", seconds=RESTART_SECONDS)  # some of its failures are not raised
        await trio.sleep(RESTART_SECONDS)
        listener = await _listener_again(address)


def _listener(address: Address) -> socket.socket:
    """Return a listening socket; made here, so that an address that is taken leaves nothing behind."""
    family, kind, proto, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


async def _listener_again(address: Address) -> socket.socket:
    while True:
        try:
            return _listener(address)
        except OSError as error:
            _log.warning("HTTP cannot listen", address=str(address), reason=str(error))
            await trio.sleep(RESTART_SECONDS)


def _settings(listener: socket.socket) -> anycorn.Config:
    config = anycorn.Config()
    config.bind = f"fd://{listener.detach()}"
    config.errorlog = logging.getLogger("bitvm.daemon.http.server")
    config.accesslog = None
    config.include_server_header = False
    config.keep_alive_timeout = IDLE_SECONDS
    config.h11_max_incomplete_size = MAX_HEAD_BYTES
    config.websocket_max_message_size = MAX_HEAD_BYTES
    config.graceful_timeout = 0
    return config
