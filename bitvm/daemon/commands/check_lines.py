"""What a line of `check` says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mark(StrEnum):
    """How a line came out."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was checked. fix: what to do, where it is not ok."""

    name: str
    mark: Mark
    text: str
    fix: str = ""


def ok(name: str, text: str) -> Line:
    """Return a line about something that is as it should be."""
    return Line(name, Mark.OK, text)
