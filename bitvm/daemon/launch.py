"""Starts a daemon with everything that runs beside its ticks: metrics, alerts, hints, requests of other parties."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import trio

from bitvm.daemon import logs
from bitvm.daemon.alerts import Alerter
from bitvm.daemon.computations import Run, execute
from bitvm.daemon.config import Config, Role
from bitvm.daemon.correspondence import ask_for_inputs, ask_what_was_seen, serve_parties
from bitvm.daemon.daemon import Daemon, Task
from bitvm.daemon.hints import listen_to_hints
from bitvm.daemon.http import serve_http
from bitvm.daemon.listening import check_listening
from bitvm.daemon.role import RoleMaker
from bitvm.daemon.workplace import open_workplace


def run_daemon(
    config: Config, role: Role, make_role: RoleMaker, *, tasks: tuple[Task, ...] = (), run: Run = execute
) -> None:
    """Run the daemon of a home until a signal asks it to stop.

    tasks: what this role does beside the ticks. run: how the machine is run. Raises HomeError, the errors of the home's
    stores, and ConfigError for an address that cannot be listened on.
    """
    logs.configure(config.log)
    with open_workplace(config, role) as place:
        trio.run(_run, Daemon(place, make_role, run=run), tasks)


async def _run(daemon: Daemon, tasks: tuple[Task, ...]) -> None:
    with closing(daemon):
        if daemon.place.home.running() is None:  # else its lock says what is wrong, not the addresses that it holds
            await check_listening(daemon.place.config)
        await daemon.run([*_beside(daemon.place.config), *tasks])


def _beside(config: Config) -> Iterator[Task]:
    """Yield what every daemon runs beside its ticks, as far as it is configured."""
    if config.http is not None:
        yield _serve_http
    yield _alert
    yield ask_for_inputs
    yield ask_what_was_seen
    if config.listen is not None:
        yield serve_parties
    if config.node.zmq is not None:
        yield listen_to_hints


async def _serve_http(daemon: Daemon) -> None:
    address = daemon.place.config.http
    if address is not None:
        await serve_http(address, daemon.board)


async def _alert(daemon: Daemon) -> None:
    alerts = daemon.place.config.alerts
    await Alerter(alerts.command, alerts.repeat_seconds).run(daemon.board)
