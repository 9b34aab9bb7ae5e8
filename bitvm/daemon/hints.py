"""Hints of new blocks: the node publishes them over ZMQ, and the daemon looks at once instead of at the next poll.

A hint is never believed and never needed: it only wakes the loop, which asks the node as always. ZMQ drops messages,
so polling goes on. Needs the extra ``zmq``; without it, or where nothing publishes, the daemon just polls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from bitvm.daemon.daemon import Daemon
from bitvm.daemon.logs import get_logger

if TYPE_CHECKING:
    import zmq

_log = get_logger(__name__)

TOPIC = b"hashblock"


async def listen_to_hints(daemon: Daemon) -> None:
    """Wake the daemon whenever its node publishes a block; runs until it is cancelled."""
    url = daemon.place.config.node.zmq
    if url is None:
        return
    try:
        import zmq
    except ImportError:
        _log.warning("no hints of new blocks: pyzmq is not installed; install bitvm[zmq]", node=url)
        return
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(url)
        while True:
            if _drain(socket):
                daemon.wake()
            # The descriptor tells of a change once, so it is waited for only when nothing is left to read.
            await trio.lowlevel.wait_readable(socket.fileno())


def _drain(socket: zmq.Socket[bytes]) -> bool:
    """Take all messages; whether there was one."""
    from zmq import NOBLOCK, Again

    found = False
    while True:
        try:
            socket.recv_multipart(NOBLOCK)
        except Again:
            return found
        found = True
