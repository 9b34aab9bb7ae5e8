"""Readers of the fields that requests between parties have (`bitvm.setup.peers`), beside those of all messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bitvm.setup.messages import MessageError


def text_field(value: Any, where: str) -> str:
    """Read a text that UTF-8 can hold; raises MessageError."""
    if not isinstance(value, str):
        raise MessageError(f"{where}: text needed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MessageError(f"{where}: text needed that UTF-8 can hold") from error
    return value


def bool_field(value: Any, where: str) -> bool:
    """Read true or false; raises MessageError."""
    if not isinstance(value, bool):
        raise MessageError(f"{where}: true or false needed")
    return value


def or_none(read: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Return what reads null as None, and anything else as ``read`` does."""
    return lambda value, where: None if value is None else read(value, where)


def list_of(read: Callable[[Any, str], Any]) -> Callable[[Any, str], list[Any]]:
    """Return what reads a list, each item as ``read`` does."""

    def read_all(value: Any, where: str) -> list[Any]:
        if not isinstance(value, list):
            raise MessageError(f"{where}: a list needed")
        return [read(item, f"{where}[{position}]") for position, item in enumerate(value)]

    return read_all
