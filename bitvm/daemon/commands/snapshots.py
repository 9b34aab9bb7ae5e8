"""The newest snapshot: from the daemon if it tells over HTTP, or made from the home and the node."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from bitvm.daemon.commands.desk import Desk, SetupView
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
from bitvm.setup.archive import UnfinishedSetupError

HTTP_SECONDS = 5.0
MAX_STATUS_BYTES = 10_000_000
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


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


def from_home(desk: Desk) -> Snapshot:
    """Make the snapshot of a home: what the chain shows, and the verdicts and fees that its daemon has kept."""
    begun = time.time()
    tip = desk.lookout.refresh()
    setups: list[SetupStatus] = []
    notices: dict[str, Notice] = {}
    for name in desk.names():
        try:
            view = desk.view(name)
        except UnfinishedSetupError:
            continue
        if view.look.problem:
            text = f"{view.look.problem}; shown as of block {view.look.tip.height}"
            notices[text] = Notice(NoticeKind.NODE_UNREACHABLE, Severity.CRITICAL, text)
        setups.append(status_of(desk, view))
    heights = [setup.height for setup in setups if setup.height is not None]
    height = max(heights, default=None) if tip is None else tip.height
    return Snapshot(
        role=desk.home.role,
        at=begun,
        tip=height,
        tip_hash=None if tip is None else tip.hash[::-1].hex(),
        acted=None,
        recovering=False,
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
        given_up=desk.store.is_given_up(view.name),
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
