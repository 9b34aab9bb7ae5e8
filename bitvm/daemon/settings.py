"""What a field of the configuration may hold: how it is read, from YAML and from an environment variable, and what
is allowed, in words.

A reader returns the value or raises a `SettingError`, which says what is wrong and never shows the value of a secret.
Text from the environment says the same as YAML does; an empty one, or the word `none`, is nothing.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

import yaml

from bitvm.hosts import is_host, is_ipv6

MAX_PORT = 65_535
_NOTHING = ("", "none")


class SettingError(ValueError):
    """A value that a field cannot hold; the message says why, without the field's name."""


class Address(NamedTuple):
    """A host and a TCP port; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return host:port, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read host:port, an IPv6 host in brackets; or SettingError."""
        match = re.fullmatch(r"(?:\[([^\]]+)]|([^:\[\]]+)):([0-9]{1,5})", text)
        fits = match is not None and (is_ipv6(match[1]) if match[1] else is_host(match[2]))
        if match is None or not fits or int(match[3]) > MAX_PORT:
            raise SettingError(f"{text!r} is not host:port")
        return cls(match[1] or match[2], int(match[3]))

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")


class Kind(ABC):
    """A kind of value."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What is allowed, in words."""

    @abstractmethod
    def read(self, value: object) -> object:
        """Return the field's value from what YAML holds; a path may be relative."""

    def from_text(self, text: str) -> object:
        """Return what YAML would hold for the text of an environment variable."""
        return text


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """A whole number within limits."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        """Say the limits."""
        return f"a whole number from {self.least} to {self.most}"

    def read(self, value: object) -> int:
        """Take an int, no bool."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise SettingError(f"{value!r} is not a whole number")
        if not self.least <= value <= self.most:
            raise SettingError(f"{value} is out of range")
        return value

    def from_text(self, text: str) -> object:
        """Take decimal digits."""
        return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


@dataclass(frozen=True, slots=True)
class Seconds(Kind):
    """A time in seconds within limits."""

    least: float
    most: float

    @property
    def allowed(self) -> str:
        """Say the limits."""
        return f"seconds, from {self.least:.10g} to {self.most:.10g}"

    def read(self, value: object) -> float:
        """Take an int or a float, no bool."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise SettingError(f"{value!r} is not a number")
        if not self.least <= value <= self.most:  # also refuses "not a number"
            raise SettingError(f"{value} is out of range")
        return float(value)

    def from_text(self, text: str) -> object:
        """Take a decimal number."""
        return float(text) if re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,9})?", text) else text


@dataclass(frozen=True, slots=True)
class OneOf(Kind):
    """One of some words."""

    words: Sequence[str]

    @property
    def allowed(self) -> str:
        """List the words."""
        return f"one of {', '.join(self.words)}"

    def read(self, value: object) -> str:
        """Take one of the words."""
        if not isinstance(value, str) or value not in self.words:
            raise SettingError(f"{value!r} is not known")
        return value


@dataclass(frozen=True, slots=True)
class FilePath(Kind):
    """A path; a relative one starts from the folder of the configuration file."""

    allowed: str = field(default="a path; a relative one starts from this file's folder", init=False)

    def read(self, value: object) -> Path:
        """Return the path; `~` is the user's home."""
        if not isinstance(value, str) or not value or "\0" in value:
            raise SettingError(f"{value!r} is not a path")
        try:
            return Path(value).expanduser()
        except RuntimeError as error:
            raise SettingError(f"{value!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class Host(Kind):
    """The name or address of a host."""

    allowed: str = field(default="the name or address of a host", init=False)

    def read(self, value: object) -> str:
        """Take what `bitvm.hosts` knows as one."""
        if not isinstance(value, str) or not is_host(value):
            raise SettingError(f"{value!r} is not a host")
        return value


@dataclass(frozen=True, slots=True)
class Listening(Kind):
    """Where to listen."""

    allowed: str = field(default='"host:port" (port 0 is any free one)', init=False)

    def read(self, value: object) -> Address:
        """Take host:port."""
        if not isinstance(value, str):
            raise SettingError(f"{value!r} is not host:port in quotes")
        return Address.parse(value)


@dataclass(frozen=True, slots=True)
class ZmqUrl(Kind):
    """Where a node publishes its new blocks."""

    allowed: str = field(default='"tcp://host:port"', init=False)

    def read(self, value: object) -> str:
        """Take tcp://host:port."""
        if not isinstance(value, str) or not value.startswith("tcp://") or not Address.parse(value[6:]).port:
            raise SettingError(f"{value!r} is not tcp://host:port")
        return value


@dataclass(frozen=True, slots=True)
class NodeUrl(Kind):
    """A node's RPC with its password; nothing of it is ever shown."""

    allowed: str = field(default='"http://user:password@host:port"', init=False)

    def read(self, value: object) -> str:
        """Take a URL that names everything."""
        if not isinstance(value, str):
            raise SettingError("not text")
        try:
            parts = urlsplit(value)
            complete = all((parts.username, parts.password, parts.hostname, parts.port))
        except ValueError:
            raise SettingError("not a URL (it is not shown, it may hold a password)") from None
        if parts.scheme != "http" or not complete or parts.path.strip("/") or parts.query or parts.fragment:
            raise SettingError("not such a URL (it is not shown, it may hold a password)")
        return value


@dataclass(frozen=True, slots=True)
class Words(Kind):
    """The words of a command: a program and its arguments, for no shell. Not shown, one may be a secret."""

    allowed: str = field(default='a list of words, as ["/usr/bin/notify", "operator"]', init=False)

    def read(self, value: object) -> tuple[str, ...]:
        """Take a list of text that begins with a program's name."""
        if not isinstance(value, list) or not all(isinstance(word, str) and "\0" not in word for word in value):
            raise SettingError("not a list of words")
        if not value or not value[0]:
            raise SettingError("no program is named")
        return tuple(value)

    def from_text(self, text: str) -> object:
        """Take the list as it is written in YAML."""
        try:
            return yaml.safe_load(text)
        except (ValueError, RecursionError, yaml.YAMLError):
            return text


@dataclass(frozen=True, slots=True)
class Optional(Kind):
    """Something, or nothing."""

    kind: Kind

    @property
    def allowed(self) -> str:
        """Say what, or none."""
        return f"{self.kind.allowed}, or none"

    def read(self, value: object) -> object:
        """Take nothing, the word for it, or what the other kind takes."""
        return None if value is None or value == "none" else self.kind.read(value)

    def from_text(self, text: str) -> object:
        """Take an empty text and the word `none` as nothing."""
        return None if text.strip() in _NOTHING else self.kind.from_text(text)


@dataclass(frozen=True, slots=True)
class Setting:
    """What is to be known about a field: what it may hold, what it means, and a value to show."""

    kind: Kind
    meaning: str
    example: str = ""
    """As YAML; where the default says enough, nothing."""
