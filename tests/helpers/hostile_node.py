"""A node that somebody hostile runs: it answers on the loopback as the test says, and remembers nothing."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

Talk = Callable[[socket.socket], None]
"""What is done with each connection, which is closed afterwards."""

DRIP_SECONDS = 0.02


def read_request(connection: socket.socket) -> dict[str, Any]:
    """Read one call; OSError if none comes."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line)
    while len(body) < length:
        body += _some(connection)
    found: dict[str, Any] = json.loads(body)
    return found


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("the client has left")
    return data


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def raw(data: bytes) -> Talk:
    """Answer every call with these bytes."""

    def talk(connection: socket.socket) -> None:
        while True:
            read_request(connection)
            connection.sendall(data)

    return talk


def reply(connection: socket.socket, answers: Mapping[str, object], asked: set[str]) -> None:
    """Answer one call with the result of its method, or an error if there is none; remember the method."""
    method = read_request(connection)["method"]
    asked.add(method)
    error = None if method in answers else {"code": -32601, "message": "Method not found"}
    body = {"result": answers.get(method), "error": error, "id": 1}
    connection.sendall(response(json.dumps(body).encode()))


def results(answers: Mapping[str, object]) -> Talk:
    """Answer each method with its result."""

    def talk(connection: socket.socket) -> None:
        while True:
            reply(connection, answers, set())

    return talk


def once(data: bytes) -> Talk:
    """Answer one call with these bytes, and leave."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(data)

    return talk


def drip(beginning: bytes, repeated: bytes) -> Talk:
    """Answer with a beginning, and then with so little at a time that no read ever waits for long."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(beginning)
        while True:
            connection.sendall(repeated)
            time.sleep(DRIP_SECONDS)

    return talk


def flood(beginning: bytes, repeated: bytes) -> Talk:
    """Answer with a beginning, and then without an end as fast as it is read."""

    def talk(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(beginning)
        while True:
            connection.sendall(repeated * 1_000)

    return talk


def silence(connection: socket.socket) -> None:
    """Read whatever comes, and never answer."""
    while True:
        _some(connection)


class HostileNode:
    """Serves every new connection with `talk`, which a test may change; `calls` counts the connections."""

    def __init__(self, talk: Talk = silence) -> None:
        self.talk = talk
        self.calls = 0
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://user:password@127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.turn(self.talk)
        for thread in self._threads:
            thread.join(10)

    def turn(self, talk: Talk) -> None:
        """Talk otherwise from now on, with whoever is connected too: that one has to connect again."""
        self.talk = talk
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.calls += 1
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            self.talk(connection)
        connection.close()
