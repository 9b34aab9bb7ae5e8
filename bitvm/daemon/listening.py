"""Addresses that a daemon listens on: opened, or refused with the field, the address, the reason and the fix."""

from __future__ import annotations

import errno
import socket

import trio

from bitvm.daemon.config import Config, ConfigError
from bitvm.daemon.settings import Address

_FIXES = {
    errno.EADDRINUSE: "stop the program that listens there, or choose another port",
    errno.EADDRNOTAVAIL: "choose an address of this machine; 0.0.0.0 and [::] are all of them",
    errno.EACCES: "choose a port from 1024 on",
}


def open_listener(address: Address) -> socket.socket:
    """Return a listening socket; raises OSError, and then nothing is left behind."""
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


async def check_listening(config: Config) -> None:
    """Listen for a moment where the daemon is going to, so that it fails before anything runs; raises ConfigError."""
    if config.listen is not None:
        try:
            listeners = await trio.open_tcp_listeners(config.listen.port, host=config.listen.host)
        except OSError as error:
            raise cannot_listen("listen", config.listen, error) from error
        for listener in listeners:
            await listener.aclose()
    if config.http is not None:
        try:
            open_listener(config.http).close()
        except OSError as error:
            raise cannot_listen("http", config.http, error) from error


def cannot_listen(field: str, address: Address, error: OSError) -> ConfigError:
    """Return the error to raise where a field's address cannot be listened on."""
    return ConfigError(f"{field}: cannot listen on {address}: {why_not(address.host, error)}")


def why_not(host: str, error: OSError) -> str:
    """Return why an address of ``host`` cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        fix = f"correct the name {host}, or give an address of this machine"
    else:
        fix = _FIXES.get(error.errno or 0, "choose another address or port")
    return f"{error.strerror or error}; {fix}"
