"""The command `challenger`: a watchtower, and what its operator does."""

from __future__ import annotations

from collections.abc import Sequence

from bitvm.daemon.commands.catalogue import FAILURES
from bitvm.daemon.commands.framework import run_commands
from challenger.commands import SIDE, commands

_DESCRIPTION = """\
Run a watchtower that re-executes every claim of its set-ups and slashes the false ones, and look after it. Every
command takes the configuration with --config FILE, or from the environment variable BITVM_CONFIG;
`challenger init --example` prints one to start from."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    return run_commands(SIDE.program, _DESCRIPTION, commands(), argv, FAILURES)
