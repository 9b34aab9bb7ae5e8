"""A node's JSON-RPC over HTTP.

One connection, used by one thread at a time. A node closes a connection that was idle for some seconds, so an idle
one is replaced before it is used; a call is never sent twice, because not every call may be. The one exception was not
carried out: a node that restarts writes a new cookie, so when it refuses the credentials of a cookie, the file is read
again and the call repeated once.

The node may be somebody else's, and hostile. A call has one deadline for all of it, however slowly its answer comes,
and reads no more than a limit. Whatever is no answer is a ChainError; what the node says in its own words is made one
short line. Redirections are not followed.
"""

import base64
import http.client
import json
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bitvm.chain.interface import ChainError
from bitvm.printable import printable

CALL_TIMEOUT = 120
"""Seconds until a call counts as failed."""
IDLE_LIMIT = 10
"""Seconds after which a connection is replaced; nodes close theirs after 30."""
ANSWER_LIMIT = 128_000_000
"""Bytes of the longest answer that is read.

The ids of a mempool of 300 MB need 40 MB: 67 bytes each, while a transaction takes at least 500 bytes of memory. Those
of a block need 1.2 MB; a transaction that fills a block is 8 MB of hex. Objects that are read from an answer take up to
20 times its length: for a node that is not trusted this limit is far too high.
"""
LONGEST_WORDS = 1_000
"""Characters that are kept of what a node says in its own words."""

_IN_WARMUP = -28
_MOST_CODE = 2**31
_OK = 200
_UNAUTHORIZED = 401
_PIECE = 65_536


class NodeUnreachableError(ChainError):
    """No answer from the node: not started, still starting, overloaded, too slow, or gone."""


class CredentialsError(NodeUnreachableError):
    """The node refuses user and password."""


class BadAnswerError(ChainError):
    """The node's answer to `method` makes no sense: no JSON, too long, or not of the form that the method has."""

    def __init__(self, method: str, why: str) -> None:
        """Name the method and what is wrong."""
        super().__init__(f"{method}: an answer that makes no sense: {why}")
        self.method = method


class RpcError(ChainError):
    """The node answered with an error: its `code`, and its own words as `message`."""

    def __init__(self, method: str, code: int, message: str) -> None:
        """Name the method that failed."""
        super().__init__(f"{method}: {message} ({code})")
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Cookie:
    """The file into which a node writes its credentials at every start, and where it answers."""

    path: Path
    host: str = "127.0.0.1"
    port: int = 8332

    def url(self) -> str:
        """The URL with the credentials of now; NodeUnreachableError if there are none."""
        return cookie_url(self.path, self.port, self.host)


class _Socket(socket.socket):
    """A socket whose reads and writes together end by `deadline`, of the monotonic clock.

    A timeout of the standard library holds for each read: an answer that comes a byte at a time would never end.
    """

    deadline = 0.0

    def recv_into(self, *arguments: Any) -> int:
        self.settimeout(_left(self.deadline))
        return super().recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self.settimeout(_left(self.deadline))
        super().sendall(*arguments)


class _Connection(http.client.HTTPConnection):
    """A connection on which every exchange has a deadline and a limit."""

    sock: _Socket | None
    _deadline = 0.0

    def connect(self) -> None:
        opened = socket.create_connection((self.host, self.port), _left(self._deadline))
        self.sock = _Socket(fileno=opened.detach())
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.deadline = self._deadline

    def exchange(
        self, path: str, body: bytes, headers: dict[str, str], *, deadline: float, limit: int
    ) -> tuple[http.client.HTTPResponse, bytearray]:
        """Post `body`; the response and its content, cut one byte above `limit`. Raises OSError, HTTPException."""
        self._deadline = deadline
        if self.sock is not None:
            self.sock.deadline = deadline
        self.request("POST", path, body, headers)
        content = bytearray()
        with self.getresponse() as response:
            while len(content) <= limit and (piece := response.read(min(_PIECE, limit + 1 - len(content)))):
                content += piece
            if response.length and len(content) <= limit:
                raise http.client.IncompleteRead(b"", response.length)
        return response, content


class Rpc:
    """Calls to the node at `access`: http://user:password@host:port, or a `Cookie`."""

    def __init__(self, access: str | Cookie, *, timeout: float = CALL_TIMEOUT, limit: int = ANSWER_LIMIT) -> None:
        """Connect at the first call; ChainError if `access` is no such URL.

        timeout: seconds, for a whole call. limit: bytes of an answer.
        """
        if isinstance(access, str):
            _check(access)
        self._access = access
        self._timeout, self._limit = timeout, limit
        self._connection: _Connection | None = None
        self._path = "/"
        self._headers: dict[str, str] = {}
        self._used = 0.0
        self._lock = threading.Lock()

    def __call__(self, method: str, *arguments: object) -> Any:
        """Call `method`; JSON numbers with a fraction come back as Decimal.

        Raises RpcError, NodeUnreachableError, BadAnswerError.
        """
        with self._lock:
            deadline = time.monotonic() + self._timeout
            try:
                return self._call(method, arguments, deadline)
            except CredentialsError:
                if isinstance(self._access, str):
                    raise
                self._drop()
                return self._call(method, arguments, deadline)

    def close(self) -> None:
        """Close the connection, which ends a call that waits in another thread; a later call opens another."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._drop()

    def _call(self, method: str, arguments: tuple[object, ...], deadline: float) -> Any:
        if time.monotonic() - self._used > IDLE_LIMIT:
            self._drop()
        connection = self._connection or self._connect()
        body = json.dumps({"version": "1.1", "method": method, "params": arguments, "id": 1}).encode()
        try:
            response, content = connection.exchange(
                self._path, body, self._headers, deadline=deadline, limit=self._limit
            )
        except BaseException as error:
            self._drop()  # or what is left of an answer would be read as the next one
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise NodeUnreachableError(
                    f"{method}: {printable(str(error), LONGEST_WORDS) or type(error).__name__}"
                ) from error
            raise
        finally:
            self._used = time.monotonic()
        if len(content) > self._limit:
            self._drop()
            raise BadAnswerError(method, f"it is longer than {self._limit} bytes")
        return _result(method, response, content)

    def _connect(self) -> _Connection:
        """A connection with the credentials of now; it opens with the first exchange."""
        parts = urlsplit(self._access if isinstance(self._access, str) else self._access.url())
        credentials = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        self._path = parts.path or "/"
        self._connection = _Connection(parts.hostname or "", parts.port)
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def cookie_url(cookie: Path, port: int, host: str = "127.0.0.1") -> str:
    """The URL of a node that wrote its credentials to `cookie`; NodeUnreachableError if it did not."""
    try:
        user, password = cookie.read_text().strip().split(":", 1)
    except (OSError, ValueError) as error:
        raise NodeUnreachableError(f"no usable credentials in {cookie}: {error}") from error
    return f"http://{user}:{password}@{host}:{port}/"


def _left(deadline: float) -> float:
    """Seconds until `deadline`; TimeoutError if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _result(method: str, response: http.client.HTTPResponse, content: bytearray) -> Any:
    """The result in an answer, or what its error says: about the call, or that the node cannot be asked now."""
    status = f"HTTP {response.status} {printable(response.reason, LONGEST_WORDS)}"
    if response.status == _UNAUTHORIZED:
        raise CredentialsError(f"{method}: the node refuses user and password ({status})")
    try:
        answer = json.loads(content, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError, ArithmeticError) as error:
        if response.status != _OK:
            raise NodeUnreachableError(f"{method}: {status}") from error
        raise BadAnswerError(method, "it is no JSON") from error
    if isinstance(answer, dict) and answer.get("error") is not None:
        raise _meaning(method, answer["error"])
    if response.status != _OK:
        raise NodeUnreachableError(f"{method}: {status}")
    if not isinstance(answer, dict) or "result" not in answer:
        raise BadAnswerError(method, "it has no result")
    return answer["result"]


def _meaning(method: str, error: object) -> ChainError:
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
    if type(code) is not int or abs(code) > _MOST_CODE or not isinstance(message, str):
        return BadAnswerError(method, "its error has no code and message")
    if code == _IN_WARMUP:
        return NodeUnreachableError(f"{method}: {printable(message, LONGEST_WORDS)}")
    return RpcError(method, code, printable(message, LONGEST_WORDS))


def _refuse(constant: str) -> None:
    """Refuse NaN and infinity, which are no JSON."""
    raise ValueError(f"{constant} is no number")


def _check(url: str) -> None:
    """ChainError unless `url` names scheme, user, password, host and port; it does not repeat the password."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme == "http" and parts.username and parts.password and parts.hostname and parts.port
    except ValueError:
        complete = False
    if not complete:
        raise ChainError("the address of a node is http://user:password@host:port, with all of its five parts")
