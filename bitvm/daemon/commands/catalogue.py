"""All shared commands, and the errors that they tell in one line."""

from __future__ import annotations

from bitvm.chain.interface import ChainError
from bitvm.chain.sightings import SightingsError
from bitvm.daemon.backup import BackupError
from bitvm.daemon.commands import check, homes, moves, show, status, verify, wallet
from bitvm.daemon.commands.desk import Side
from bitvm.daemon.commands.framework import Command
from bitvm.daemon.config import ConfigError
from bitvm.daemon.enrol import EnrolError
from bitvm.daemon.home import HomeError
from bitvm.daemon.store import DaemonStoreError
from bitvm.database import CopyError
from bitvm.game.computation import ForeignImageError
from bitvm.graph.parameters import ParameterError
from bitvm.keys.journal import JournalError
from bitvm.setup.archive import ArchiveError
from bitvm.setup.identity import IdentityError
from bitvm.setup.input_store import InputStoreError
from bitvm.setup.plan import PlanError
from bitvm.setup.store import SetupStoreError
from lvm.boot import InputTooLargeError
from lvm.elf import ElfError
from lvm.machine import EngineUnavailableError

FAILURES: tuple[type[Exception], ...] = (
    ArchiveError,
    BackupError,
    ChainError,
    ConfigError,
    CopyError,
    DaemonStoreError,
    ElfError,
    EngineUnavailableError,
    EnrolError,
    ForeignImageError,
    HomeError,
    IdentityError,
    InputStoreError,
    InputTooLargeError,
    JournalError,
    OSError,
    ParameterError,
    PlanError,
    SetupStoreError,
    SightingsError,
)
"""Errors whose message names the file, the field and the fix."""


def shared_commands(side: Side) -> tuple[Command, ...]:
    """Return the commands that prover and watchtower have in common."""
    groups = (homes, status, show, moves, verify, check, wallet)
    return tuple(command for group in groups for command in group.commands(side))
