"""A node's JSON-RPC over python-bitcoinlib's `RawProxy`.

One connection, used by one thread at a time. A node closes a connection that was idle for some seconds, so an idle
one is replaced before it is used; a call is never sent twice, because not every call may be.
"""

import http.client
import threading
import time
from pathlib import Path
from typing import Any

from bitcoin.rpc import JSONRPCError, RawProxy

from bitvm.chain.interface import ChainError

CALL_TIMEOUT = 120
"""Seconds until a call counts as failed."""
IDLE_LIMIT = 10
"""Seconds after which a connection is replaced; nodes close theirs after 30."""


class NodeUnreachableError(ChainError):
    """No answer from the node: not started, still starting, or gone."""


class RpcError(ChainError):
    """The node answered with an error: its `code`, and its own words as `message`."""

    def __init__(self, method: str, code: int, message: str) -> None:
        """Name the method that failed."""
        super().__init__(f"{method}: {message} ({code})")
        self.code = code
        self.message = message


class Rpc:
    """Calls to the node at `url` (http://user:password@host:port)."""

    def __init__(self, url: str) -> None:
        """Connect at the first call."""
        self._url = url
        self._proxy: RawProxy | None = None
        self._used = 0.0
        self._lock = threading.Lock()

    def __call__(self, method: str, *arguments: object) -> Any:
        """Call `method`; JSON numbers with a fraction come back as Decimal. RpcError, NodeUnreachableError."""
        with self._lock:
            if self._proxy is not None and time.monotonic() - self._used > IDLE_LIMIT:
                self._drop()
            if self._proxy is None:
                self._proxy = RawProxy(self._url, timeout=CALL_TIMEOUT)
            try:
                return self._proxy._call(method, *arguments)
            except JSONRPCError as error:
                raise RpcError(method, error.error["code"], error.error["message"]) from error
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                raise NodeUnreachableError(f"{method}: {error or type(error).__name__}") from error
            finally:
                self._used = time.monotonic()

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None


def cookie_url(cookie: Path, port: int) -> str:
    """The loopback URL of a node that wrote its credentials to `cookie`; NodeUnreachableError if it did not."""
    try:
        user, password = cookie.read_text().strip().split(":", 1)
    except (OSError, ValueError) as error:
        raise NodeUnreachableError(f"no usable credentials in {cookie}: {error}") from error
    return f"http://{user}:{password}@127.0.0.1:{port}/"
