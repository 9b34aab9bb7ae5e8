"""The alert hook: runs the operator's command for every notice, again while it lasts, and once when it is over.

`decide` says what is to be told now; it is pure. `Alerter` does it. The command is run without a shell. It gets the
notice as JSON on standard input and the main parts in the environment: BITVM_ALERT_KIND, _SEVERITY, _SETUP, _TEXT and
_RESOLVED. Variables of the configuration, which may hold a password, are kept from it.

Nothing waits for a command: it has `COMMAND_SECONDS`, then it and what it started are killed. A few run at once; when
too many wait, more are left out, said in the log, and told again later as long as they last.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import trio

from bitvm.daemon.board import Board
from bitvm.daemon.config import PREFIX
from bitvm.daemon.logs import get_logger
from bitvm.daemon.status import Notice, Severity, Snapshot

_log = get_logger(__name__)

COMMAND_SECONDS = 30.0
KILL_SECONDS = 2.0
"""Between the signal to end and the one that cannot be refused."""
RETRY_SECONDS = 60.0
"""A notice whose command failed is told again after so long, if it still lasts."""
SETTLE_SECONDS = 60.0
"""A notice is over when it was absent for so long; one that comes and goes is one notice."""
RUNNING_AT_ONCE = 4
WAITING = 100
MAX_TEXT = 2_000

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to tell: a notice that is there, or one that is over."""

    notice: Notice
    resolved: bool


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that was told: how it was, when it is to be told again, and since when it is absent, if it is."""

    notice: Notice
    again: float
    absent: float | None = None


Memory = Mapping[Key, Told]


def decide(
    memory: Memory, notices: Sequence[Notice], now: float, repeat_seconds: float
) -> tuple[dict[Key, Told], list[Alert]]:
    """Return what is remembered from now on, and what is to be told now. `now` is a clock that only goes forward.

    Told is what is new, what has become critical, what lasts and is due again, and what is over. Of several notices
    with one key the worst counts.
    """
    present: dict[Key, Notice] = {}
    for notice in notices:
        known = present.get(notice.key)
        if known is None or notice.severity is Severity.CRITICAL is not known.severity:
            present[notice.key] = notice
    after: dict[Key, Told] = {}
    alerts: list[Alert] = []
    for key, notice in present.items():
        told = memory.get(key)
        worse = told is not None and notice.severity is Severity.CRITICAL is not told.notice.severity
        if told is None or worse or now >= told.again:
            alerts.append(Alert(notice, resolved=False))
            after[key] = Told(notice, now + repeat_seconds)
        else:
            after[key] = Told(notice, told.again)
    for key, told in memory.items():
        if key in present:
            continue
        since = now if told.absent is None else told.absent
        if now - since >= min(SETTLE_SECONDS, repeat_seconds):
            alerts.append(Alert(told.notice, resolved=True))
        else:
            after[key] = replace(told, absent=since)
    return after, alerts


@dataclass(slots=True)
class Alerter:
    """Tells the operator. Without a command it only writes to the log."""

    command: tuple[str, ...] | None = field(repr=False)
    repeat_seconds: float
    _memory: dict[Key, Told] = field(default_factory=dict, init=False, repr=False)
    _slots: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(RUNNING_AT_ONCE), init=False, repr=False
    )
    _open: int = field(default=0, init=False, repr=False)

    async def run(self, board: Board) -> None:
        """Look at every snapshot that is published, until cancelled; commands that still run then are killed."""
        snapshot: Snapshot | None = None
        async with trio.open_nursery() as nursery:
            while True:
                snapshot = await board.newer_than(snapshot)
                self._memory, alerts = decide(self._memory, snapshot.notices, trio.current_time(), self.repeat_seconds)
                for alert in alerts:
                    self._say(alert)
                    if self.command is None:
                        continue
                    if self._open >= WAITING:
                        _log.error("too many alerts wait", kind=alert.notice.kind.value, setup=alert.notice.setup)
                        self._retry(alert)
                        continue
                    self._open += 1
                    nursery.start_soon(self._send, self.command, alert, snapshot)

    def _say(self, alert: Alert) -> None:
        notice = alert.notice
        say = _log.info if alert.resolved else _log.error if notice.severity is Severity.CRITICAL else _log.warning
        say("over" if alert.resolved else "notice", kind=notice.kind.value, setup=notice.setup, text=notice.text)

    async def _send(self, command: tuple[str, ...], alert: Alert, snapshot: Snapshot) -> None:
        try:
            async with self._slots:
                failure = await _run(command, alert, snapshot)
        finally:
            self._open -= 1
        if failure is not None:
            _log.error("alert command failed", program=command[0], kind=alert.notice.kind.value, reason=failure)
            self._retry(alert)

    def _retry(self, alert: Alert) -> None:
        """Let a notice that could not be told, and lasts, be told again soon."""
        told = self._memory.get(alert.notice.key)
        if told is not None and not alert.resolved:
            soon = trio.current_time() + RETRY_SECONDS
            self._memory[alert.notice.key] = replace(told, again=min(told.again, soon))


def message(alert: Alert, snapshot: Snapshot) -> dict[str, object]:
    """Return what the command reads as JSON."""
    notice = alert.notice
    return {
        "kind": notice.kind.value,
        "severity": notice.severity.value,
        "setup": notice.setup,
        "text": notice.text,
        "resolved": alert.resolved,
        "role": snapshot.role,
        "tip": snapshot.tip,
        "at": snapshot.at,
    }


def environment(alert: Alert, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the command's environment: `environ` without the configuration's variables, and the notice."""
    notice = alert.notice
    return {
        **{name: value for name, value in environ.items() if not name.startswith(PREFIX)},
        "BITVM_ALERT_KIND": notice.kind.value,
        "BITVM_ALERT_SEVERITY": notice.severity.value,
        "BITVM_ALERT_SETUP": _line(notice.setup or ""),
        "BITVM_ALERT_TEXT": _line(notice.text),
        "BITVM_ALERT_RESOLVED": "true" if alert.resolved else "false",
    }


def _line(text: str) -> str:
    """Return one line of printable text that fits into an environment."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_TEXT])


async def _run(command: tuple[str, ...], alert: Alert, snapshot: Snapshot) -> str | None:
    """Run the command; return what went wrong, None if nothing."""
    with trio.move_on_after(COMMAND_SECONDS):
        try:
            done = await trio.run_process(
                command,
                stdin=json.dumps(message(alert, snapshot)).encode() + b"\n",
                stdout=subprocess.DEVNULL,  # what it says on standard error joins our log
                check=False,
                env=environment(alert, os.environ),
                start_new_session=True,
                deliver_cancel=_kill,
            )
        except (OSError, ValueError) as error:
            return str(error)
        return None if done.returncode == 0 else f"exit status {done.returncode}"
    return f"not done within {COMMAND_SECONDS:g} s"


async def _kill(process: trio.Process) -> None:
    """End the command and what it started: they are a process group of their own."""
    with trio.CancelScope(shield=True), suppress(ProcessLookupError):  # also what it left behind when it ended
        os.killpg(process.pid, signal.SIGTERM)
        await trio.sleep(KILL_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
