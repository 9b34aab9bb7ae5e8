"""The prover's daemon: what it runs beside its ticks."""

from __future__ import annotations

from bitvm.daemon.config import Config
from bitvm.daemon.daemon import Task
from bitvm.daemon.launch import run_daemon
from bitvm.prover.correspondence import ask_attesters
from bitvm.prover.role import ProverRole

TASKS: tuple[Task, ...] = (ask_attesters,)


def run_prover(config: Config) -> None:
    """Run the honest prover's daemon until a signal asks it to stop; see `run_daemon` for what it raises."""
    run_daemon(config, "prover", ProverRole, tasks=TASKS)
