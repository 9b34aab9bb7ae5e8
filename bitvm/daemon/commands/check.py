"""``check``: everything that has to be right for a daemon to do its work, a line each, with the fix."""

from __future__ import annotations

import argparse
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from rich.console import Console

from bitvm.chain.interface import ChainError, UnknownBlockError
from bitvm.chain.remote import LEAST_VERSION, NodeInfo, RemoteNode
from bitvm.chain.sightings import Sightings
from bitvm.daemon.backup import recovery_pending
from bitvm.daemon.commands.check_lines import Line, Mark, ok
from bitvm.daemon.commands.check_settings import check_config, check_daemon, check_wallet
from bitvm.daemon.commands.desk import Desk, Side, open_desk
from bitvm.daemon.commands.framework import FINE, WRONG, Command, HelpText, answer, config_path, said, table_of
from bitvm.daemon.config import Config
from bitvm.daemon.home import HomeError
from bitvm.daemon.store import DaemonStoreError
from bitvm.daemon.workplace import second_node
from bitvm.database import copy
from bitvm.setup.archive import UnfinishedSetupError
from bitvm.setup.input_store import InputStoreError
from lvm.elf import load_elf

LEAST_FREE = 1_000_000_000
"""Bytes that should be free where the home is."""
VERY_LEAST_FREE = 100_000_000
LEAST_PEERS = 4
CLOCK_SECONDS = 2 * 3_600
"""How far the clock may be behind the newest blocks' median time, or ahead where blocks come."""
COMPARED_DEPTH = 6
"""Blocks below the lower tip at which both nodes must have the same block."""
_OPEN_TO_OTHERS = 0o077


def commands(side: Side) -> tuple[Command, ...]:
    """Return the command."""
    text = HelpText(
        "check node, home, money and configuration",
        """\
Look at all that a daemon needs: the node (reachable, right network, synchronised, keeps enough blocks, peers, version),
the second node, disk space, the clock, every store of the home with its own checks, file modes, finished set-ups, the
wallet against the fees of the worst case, and settings that are dangerous. Exit code 1 if a line failed.""",
        f"""\
examples:
  {side.program} check
  {side.program} check --json | jq -r '.[] | select(.mark != "ok") | .fix'""",
    )
    return (Command("check", text, partial(_check, side)),)


def _check(side: Side, arguments: argparse.Namespace) -> int:
    Config.load(config_path(arguments), side.role)
    lines: list[Line] = []
    try:
        with open_desk(arguments, side) as desk:
            lines.extend(lines_of(desk))
    except (HomeError, DaemonStoreError, InputStoreError) as error:
        lines.append(Line("home", Mark.FAILED, str(error), "do what it says, then check again"))
    answer(arguments, lines, _show)
    return WRONG if any(line.mark is Mark.FAILED for line in lines) else FINE


def lines_of(desk: Desk) -> Iterator[Line]:
    """Check everything; a check that cannot be made is a line that failed."""
    info = _info(desk.node)
    yield from _node(desk, info)
    if isinstance(info, NodeInfo):
        yield from _chain(desk, info)
        yield _clock(desk, info)
    yield from _second(desk)
    yield _disk(desk.home.path)
    yield from _files(desk.home.path)
    yield from _stores(desk)
    yield from _setups(desk)
    yield _recovery(desk)
    yield check_wallet(desk)
    yield from check_config(desk)
    yield check_daemon(desk)


# ---- the node


def _info(node: RemoteNode) -> NodeInfo | str:
    try:
        return node.info()
    except ChainError as error:
        return str(error)


def _node(desk: Desk, info: NodeInfo | str) -> Iterator[Line]:
    if isinstance(info, str):
        fix = f"start the node at {desk.config.node.address}, or correct node.* in the configuration"
        yield Line("node", Mark.FAILED, info, fix)
        return
    yield ok("node", f"{info.version} at {desk.config.node.address}")
    if info.network != desk.config.network:
        text = f"the node is on {info.network}, the configuration says {desk.config.network}"
        yield Line("network", Mark.FAILED, text, "correct network, or node.*")
    else:
        yield ok("network", info.network)
    if info.outdated:
        text = f"{info.version}: version {LEAST_VERSION} or later is needed"
        yield Line("version", Mark.FAILED, text, "install a newer node")
    for warning in info.warnings:
        yield Line("node says", Mark.WARNING, warning, "see the node's log")


def _chain(desk: Desk, info: NodeInfo) -> Iterator[Line]:
    behind = info.headers - info.blocks
    private = desk.config.network == "regtest"
    if (info.initial_download and not private) or behind > 1:
        text = f"at block {info.blocks:,} of {info.headers:,}"
        yield Line("synchronised", Mark.FAILED, text, "wait until the node has caught up")
    else:
        yield ok("synchronised", f"block {info.blocks:,}")
    if info.peers < LEAST_PEERS and not private:
        yield Line("peers", Mark.WARNING, f"{info.peers} peers", f"let the node have at least {LEAST_PEERS}")
    else:
        yield ok("peers", f"{info.peers} peers")
    if info.pruned:
        yield _pruned(desk, info)


def _pruned(desk: Desk, info: NodeInfo) -> Line:
    lowest = info.prune_height or 0
    needed = {name: _needed(desk, name) for name in desk.home.setups()}
    lacking = sorted(name for name, height in needed.items() if height is not None and height < lowest)
    if lacking:
        text = f"blocks below {lowest:,} are gone, {lacking[0]} needs them from {needed[lacking[0]]:,} on"
        return Line("pruned", Mark.FAILED, text, "use a node that has them, or let it download the chain again")
    return ok("pruned", f"keeps blocks from {lowest:,} on, which is enough")


def _needed(desk: Desk, name: str) -> int | None:
    """Return the lowest block that has not been read for a set-up; None where that cannot be told."""
    folder = desk.home.setup(name)
    try:
        with closing(_sightings(desk, name)) as seen:
            tip = seen.tip()
            return seen.start() if tip is None else tip.height + 1
    except Exception:  # a store that cannot be read has a line of its own
        with suppress(HomeError):
            return folder.first_height()
        return None


def _sightings(desk: Desk, name: str) -> Sightings:
    """Open a copy of what was seen of a set-up, with all its checks."""
    folder = desk.home.setup(name)
    target = desk.folder / f"check-{name}.sqlite"
    if not target.exists():
        copy(folder.sightings_path, target)
    return Sightings.open(target, desk.archive(name).graph.by_txid())


def _clock(desk: Desk, info: NodeInfo) -> Line:
    ahead = time.time() - info.median_time
    if ahead < -CLOCK_SECONDS:
        text = f"{-ahead / 3_600:.1f} h behind the newest blocks"
        return Line("clock", Mark.FAILED, text, "set the machine's clock")
    if ahead > 6 * CLOCK_SECONDS and desk.config.network != "regtest":
        text = f"{ahead / 3_600:.1f} h ahead of the newest blocks"
        return Line("clock", Mark.WARNING, text, "set the machine's clock, or see why the node has no newer blocks")
    return ok("clock", f"within {max(1, abs(ahead) / 60):.0f} min of the newest blocks' median time")


def _second(desk: Desk) -> Iterator[Line]:
    endpoint = desk.config.second_node
    if endpoint is None:
        fix = "name somebody else's node in second_node, so that an attacker who cuts ours off is noticed"
        yield Line("second node", Mark.WARNING, "none is configured", fix)
        return
    try:
        with second_node(endpoint) as second:
            yield _compared(desk.node, second)
    except ChainError as error:
        yield Line("second node", Mark.WARNING, str(error), f"see the node at {endpoint.address}")


def _compared(node: RemoteNode, second: RemoteNode) -> Line:
    ours, theirs = node.tip(), second.tip()
    height = max(0, min(ours.height, theirs.height) - COMPARED_DEPTH)
    try:
        same = node.block_hash(height) == second.block_hash(height)
    except UnknownBlockError:
        same = False
    if not same:
        text = f"other blocks at height {height:,}"
        return Line("second node", Mark.FAILED, text, "find out which of the two nodes follows the real chain")
    if abs(ours.height - theirs.height) > COMPARED_DEPTH:
        text = f"at block {theirs.height:,}, ours at {ours.height:,}"
        return Line("second node", Mark.WARNING, text, "see why one of them is behind")
    return ok("second node", f"agrees at block {height:,}")


# ---- the home


def _disk(path: Path) -> Line:
    free = shutil.disk_usage(path).free
    text = f"{free / 1e9:.1f} GB free"
    if free < LEAST_FREE:
        mark = Mark.FAILED if free < VERY_LEAST_FREE else Mark.WARNING
        return Line("disk", mark, text, f"free some space where {path} is: what cannot be recorded is not signed")
    return ok("disk", text)


def _files(home: Path) -> Iterator[Line]:
    wrong = [path for path in (home, *sorted(home.rglob("*"))) if stat.S_IMODE(path.lstat().st_mode) & _OPEN_TO_OTHERS]
    for path in wrong:
        right = "700" if path.is_dir() else "600"
        mark = Mark.FAILED if home in (path.parent, path) else Mark.WARNING
        yield Line("file modes", mark, f"{path} is open to others", f"chmod {right} {path}")
    if not wrong:
        yield ok("file modes", "everything is its owner's alone")


def _stores(desk: Desk) -> Iterator[Line]:
    home = desk.home
    yield _tried("journal", home.journal_path, lambda: home.open_journal().close())
    yield ok("daemon store", "opens") if home.daemon_path.exists() else ok("daemon store", "not made yet")
    if home.inputs_path.exists():
        yield _tried("inputs", home.inputs_path, lambda: copy(home.inputs_path, desk.folder / "check-inputs.sqlite"))
    if home.wallet_path.exists():
        yield _tried("wallet store", home.wallet_path, lambda: _open_purse(desk))


def _open_purse(desk: Desk) -> None:
    with desk.purse():
        pass


def _tried(name: str, path: Path, check: Callable[[], object]) -> Line:
    try:
        check()
    except Exception as error:  # whatever is wrong with one store, the others are checked
        return Line(name, Mark.FAILED, str(error), f"stop the daemon, keep {path.name}, restore the newest backup")
    return ok(name, f"{path.name} opens and passes its checks")


def _setups(desk: Desk) -> Iterator[Line]:
    for name in desk.home.setups():
        yield _setup(desk, name)


def _setup(desk: Desk, name: str) -> Line:
    folder = desk.home.setup(name)
    try:
        plan = folder.plan()
        if load_elf(folder.program_path).root() != plan.parameters.image_root:
            text = f"{folder.program_path} is not the program of the plan"
            return Line(f"set-up {name}", Mark.FAILED, text, "put the program there that the plan is about")
        archive = desk.archive(name)
        if folder.sightings_path.exists():
            _sightings(desk, name).close()
    except UnfinishedSetupError as error:
        return Line(f"set-up {name}", Mark.WARNING, str(error), "run the set-up to its end, or remove its folder")
    except Exception as error:  # whatever is wrong with one set-up, the others are checked
        return Line(f"set-up {name}", Mark.FAILED, str(error), "restore the newest backup")
    if plan.network != desk.config.network:
        text = f"its plan is for {plan.network}, the configuration says {desk.config.network}"
        return Line(f"set-up {name}", Mark.FAILED, text, "correct network, or move the set-up to another home")
    return ok(f"set-up {name}", f"finished; we are {archive.party}")


def _recovery(desk: Desk) -> Line:
    if recovery_pending(desk.home.path):
        text = "restored from a backup: nothing is signed until it is known what was signed since"
        return Line("recovery", Mark.WARNING, text, "run the daemon with a node until `status` says that it has ended")
    return ok("recovery", "none is pending")


# ---- the picture

_STYLES = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.FAILED: "bold red"}


def _show(console: Console, lines: list[Line]) -> None:
    rows = [(said(line.mark.value, _STYLES[line.mark]), line.name, line.text, line.fix) for line in lines]
    console.print(table_of(("", "what", "found", "fix"), rows))
    failed = sum(line.mark is Mark.FAILED for line in lines)
    console.print(f"{failed} failed, {sum(line.mark is Mark.WARNING for line in lines)} warnings")
