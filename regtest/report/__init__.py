"""The report of a simulation: one HTML file that holds everything it shows, and works without a network or scripts."""

from __future__ import annotations

from pathlib import Path

from regtest.report.page import render
from regtest.simulate import Result

__all__ = ["render", "write_report"]


def write_report(path: Path, result: Result) -> None:
    """Write the report of a finished simulation; raises OSError where the file cannot be written."""
    path.write_text(render(result), encoding="utf-8")
