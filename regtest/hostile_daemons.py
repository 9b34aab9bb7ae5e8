"""Daemons that do not play fair: the real processes of the real daemons, with a role of `regtest.hostile_roles`."""

from __future__ import annotations

from pathlib import Path

from bitvm.daemon.config import Config
from bitvm.daemon.launch import run_daemon
from bitvm.prover.launch import TASKS as PROVER_TASKS
from bitvm.prover.role import ProverRole
from regtest.hostile_roles import Accuser, lying


def run_liar(config: Path, lie: str, step: int | None) -> None:
    """Run a lying prover's daemon."""
    run_daemon(Config.load(config, "prover"), "prover", ProverRole, tasks=PROVER_TASKS, run=lying(lie, step))


def run_accuser(config: Path, step: int) -> None:
    """Run a false accuser's daemon."""
    run_daemon(Config.load(config, "challenger"), "challenger", lambda bench: Accuser(bench, step))
