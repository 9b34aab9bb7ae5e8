"""A node's JSON-RPC over python-bitcoinlib's `RawProxy`.

One connection, used by one thread at a time. A node closes a connection that was idle for some seconds, so an idle
one is replaced before it is used; a call is never sent twice, because not every call may be. The one exception was not
carried out: a node that restarts writes a new cookie, so when it refuses the credentials of a cookie, the file is read
again and the call repeated once.
"""

import http.client
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bitcoin.rpc import JSONRPCError, RawProxy

from bitvm.chain.interface import ChainError

CALL_TIMEOUT = 120
"""Seconds until a call counts as failed."""
IDLE_LIMIT = 10
"""Seconds after which a connection is replaced; nodes close theirs after 30."""

_IN_WARMUP = -28
_NO_JSON = -342
"""The client's own code for an answer that is a status line of HTTP and nothing else."""


class NodeUnreachableError(ChainError):
    """No answer from the node: not started, still starting, overloaded, or gone."""


class CredentialsError(NodeUnreachableError):
    """The node refuses user and password."""


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


class Rpc:
    """Calls to the node at `access`: http://user:password@host:port, or a `Cookie`."""

    def __init__(self, access: str | Cookie, *, timeout: float = CALL_TIMEOUT) -> None:
        """Connect at the first call; ChainError if `access` is no such URL. `timeout` in seconds, for each call."""
        if isinstance(access, str):
            _check(access)
        self._access = access
        self._timeout = timeout
        self._proxy: RawProxy | None = None
        self._used = 0.0
        self._lock = threading.Lock()

    def __call__(self, method: str, *arguments: object) -> Any:
        """Call `method`; JSON numbers with a fraction come back as Decimal. RpcError, NodeUnreachableError."""
        with self._lock:
            try:
                return self._call(method, *arguments)
            except CredentialsError:
                if isinstance(self._access, str):
                    raise
                self._drop()
                return self._call(method, *arguments)

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            self._drop()

    def _call(self, method: str, *arguments: object) -> Any:
        if self._proxy is not None and time.monotonic() - self._used > IDLE_LIMIT:
            self._drop()
        if self._proxy is None:
            url = self._access if isinstance(self._access, str) else self._access.url()
            self._proxy = RawProxy(url, timeout=self._timeout)
        try:
            return self._proxy._call(method, *arguments)
        except JSONRPCError as error:
            raise _meaning(method, error.error["code"], error.error["message"]) from error
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            raise NodeUnreachableError(f"{method}: {error or type(error).__name__}") from error
        finally:
            self._used = time.monotonic()

    def _drop(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


def cookie_url(cookie: Path, port: int, host: str = "127.0.0.1") -> str:
    """The URL of a node that wrote its credentials to `cookie`; NodeUnreachableError if it did not."""
    try:
        user, password = cookie.read_text().strip().split(":", 1)
    except (OSError, ValueError) as error:
        raise NodeUnreachableError(f"no usable credentials in {cookie}: {error}") from error
    return f"http://{user}:{password}@{host}:{port}/"


def _meaning(method: str, code: int, message: str) -> ChainError:
    """What an error of a call says: about the call, or that the node cannot be asked now."""
    if code == _NO_JSON and "'401 " in message:
        return CredentialsError(f"{method}: the node refuses user and password ({message})")
    if code in (_NO_JSON, _IN_WARMUP):
        return NodeUnreachableError(f"{method}: {message}")
    return RpcError(method, code, message)


def _check(url: str) -> None:
    """ChainError unless `url` names scheme, user, password, host and port; it does not repeat the password."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme == "http" and parts.username and parts.password and parts.hostname and parts.port
    except ValueError:
        complete = False
    if not complete:
        raise ChainError("the address of a node is http://user:password@host:port, with all of its five parts")
