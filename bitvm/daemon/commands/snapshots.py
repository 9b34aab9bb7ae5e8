"""The newest snapshot: from the daemon if it tells over HTTP, or made from the home and the node."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bitvm.daemon.backup import recovery_pending
from bitvm.daemon.commands.desk import Desk, SetupView
from bitvm.daemon.commands.framework import CommandError
from bitvm.daemon.config import Config
from bitvm.daemon.reports import setup_status
from bitvm.daemon.role import Judged, claimed_input
from bitvm.daemon.settings import Address
from bitvm.daemon.status import (
    ClaimStatus,
    GameStatus,
    Notice,
    NoticeKind,
    SetupStatus,
    Severity,
    Snapshot,
    WalletStatus,
)
from bitvm.game.finality import Verdict
from bitvm.game.urgency import Rivals
from bitvm.graph.costs import defence

HTTP_SECONDS = 5.0
MAX_STATUS_BYTES = 10_000_000
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where everything stands.

    runs: whether a daemon runs on the home. unknown: why its notices are not known; empty where it has told the
    snapshot. Else home and node have, and the snapshot's notices are what the command itself has found.
    """

    snapshot: Snapshot
    runs: bool
    unknown: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot's values, and who has told them.

        Where the daemon's notices are not known, ``notices`` is null, and ``found`` is what the command has found.
        """
        values = {**self.snapshot.to_json(), "told_by": "home" if self.unknown else "daemon", "daemon_runs": self.runs}
        if self.unknown:
            values |= {"notices": None, "notices_unknown": self.unknown, "found": values["notices"]}
        return values

    @property
    def unread(self) -> dict[str, str]:
        """The set-ups that cannot be read, and why."""
        failed = (notice for notice in self.snapshot.notices if notice.kind is NoticeKind.SETUP_FAILED)
        return {notice.setup or "": notice.text.removeprefix(f"{notice.setup}: ") for notice in failed}


def standing_of(desk: Desk) -> Standing:
    """Return where everything stands, by the daemon if it tells, else by the home."""
    told = from_daemon(desk.config)
    return Standing(told, runs=True) if told is not None else standing_of_home(desk)


def standing_of_home(desk: Desk) -> Standing:
    """Return where everything stands, by home and node alone."""
    process = desk.home.running()
    snapshot = from_home(desk, whole=False)
    return Standing(snapshot, process is not None, "; ".join(why_unknown(desk.config, process)))


def why_unknown(config: Config, process: str | None) -> tuple[str, str]:
    """Say why the notices of this home's daemon are not known, and what to do."""
    if process is None:
        return "no daemon runs on this home, so nobody watches and nothing is sent", "start it"
    if config.http is None:
        return f"the daemon, process {process}, tells them over `http` alone, which is not configured", "set http"
    if not config.http.port:
        return f"the daemon, process {process}, tells them over `http`, whose port is not fixed", "give http a port"
    return (
        f"the daemon, process {process}, does not answer at {config.http}",
        "wait if it has just begun, or see its log",
    )


def from_daemon(config: Config) -> Snapshot | None:
    """Ask the daemon of this configuration; None where it tells nothing over HTTP, does not run, or has no tick yet."""
    if config.http is None or not config.http.port:
        return None
    address = Address(_EVERYWHERE.get(config.http.host, config.http.host), config.http.port)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}/status", timeout=HTTP_SECONDS) as reply:
            return snapshot_of(json.loads(reply.read(MAX_STATUS_BYTES)))
    except (OSError, ValueError, KeyError, TypeError, urllib.error.HTTPError):
        return None


def snapshot_of(values: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot that `Snapshot.to_json` wrote; raises KeyError, TypeError or ValueError for anything else."""
    wallet = values["wallet"]
    return Snapshot(
        **{
            **values,
            "setups": tuple(_setup_of(each) for each in values["setups"]),
            "wallet": None if wallet is None else WalletStatus(**wallet),
            "notices": tuple(_notice_of(each) for each in values["notices"]),
            "runs": tuple(values["runs"]),
        }
    )


def _setup_of(values: Mapping[str, Any]) -> SetupStatus:
    claims = tuple(ClaimStatus(**each) for each in values["claims"])
    games = tuple(GameStatus(**each) for each in values["games"])
    return SetupStatus(**{**values, "claims": claims, "games": games})


def _notice_of(values: Mapping[str, Any]) -> Notice:
    kind, severity = NoticeKind(values["kind"]), Severity(values["severity"])
    return Notice(kind, severity, values["text"], values["setup"])


def from_home(desk: Desk, *, whole: bool = True) -> Snapshot:
    """Make the snapshot of a home: what the chain shows, and the verdicts and fees that its daemon has kept.

    Its notices are what is found here; those of a daemon are not known. whole: whether a set-up that cannot be read is
    an error; else it is a notice, and the wallet's reserve is without it.
    """
    begun = time.time()
    tip = desk.lookout.refresh()
    setups: list[SetupStatus] = []
    notices: dict[str, Notice] = {}
    for view in desk.views():
        if view.look.problem:
            text = f"{view.look.problem}; shown as of block {view.look.tip.height}"
            notices[text] = Notice(NoticeKind.NODE_UNREACHABLE, Severity.CRITICAL, text)
        setups.append(status_of(desk, view))
    for name, why in desk.unread.items():
        if whole:
            raise CommandError(f"set-up {name} cannot be read: {why}; see `check`")
        notices[name] = Notice(NoticeKind.SETUP_FAILED, Severity.CRITICAL, f"{name}: {why}", name)
    heights = [setup.height for setup in setups if setup.height is not None]
    height = max(heights, default=None) if tip is None else tip.height
    return Snapshot(
        role=desk.home.role,
        at=begun,
        tip=height,
        tip_hash=None if tip is None else tip.hash[::-1].hex(),
        acted=None,
        recovering=recovery_pending(desk.home.path),
        setups=tuple(setups),
        wallet=wallet_of(desk, setups),
        notices=tuple(notices.values()),
    )


def status_of(desk: Desk, view: SetupView) -> SetupStatus:
    """Return one set-up as plain values, with the verdicts and fees that the home's daemon has kept."""
    position = view.look.position
    verdicts = {(kept.slot, kept.input_root): kept for kept in desk.store.verdicts(view.name)}

    def judged(slot: int) -> Judged:
        kept = verdicts.get((slot, claimed_input(position, slot) or b""))
        if kept is None:
            return Judged(Verdict.UNKNOWN, "not judged by the daemon yet")
        return Judged(Verdict(kept.verdict), kept.why, kept.seconds)

    return setup_status(
        view.name,
        view.party,
        view.archive.setup_id,
        position,
        Rivals(view.archive.graph),
        judge=judged,
        decisions={},
        fees=desk.store.fees(view.name),
        taken_back=desk.store.taken_back_at(view.name),
    )


def wallet_of(desk: Desk, setups: list[SetupStatus]) -> WalletStatus:
    """Return the wallet as it was recorded."""
    reserve = 0
    for setup in setups:
        if not setup.over:
            graph = desk.archive(setup.name).graph
            reserve += defence(graph.setting.parameters, setup.party, graph=graph).fees
    with desk.purse() as purse:
        reserved = sum(held.amount for held in purse.reserved())
        return WalletStatus(purse.address(desk.config.network), purse.balance(), len(purse.coins()), reserved, reserve)
