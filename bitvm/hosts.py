"""What may name a machine in a plan or a configuration: nothing that could fail in a way that sockets do not expect."""

from __future__ import annotations

import ipaddress
import re

MAX_HOST = 253
"""Longest name of a host (RFC 1035, as text)."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")


def is_host(text: str) -> bool:
    """Whether this is an IP address, or a name: ASCII labels of 1 to 63 characters of A-Z, a-z, 0-9, - and _."""
    return is_ipv6(text) or (len(text) <= MAX_HOST and _NAME.fullmatch(text) is not None)


def is_ipv6(text: str) -> bool:
    """Whether this is an IPv6 address; one with a zone is none, it would mean something on one machine alone."""
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text
