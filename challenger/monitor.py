"""``challenger monitor``: follow set-ups without a seed, and say who is going to win.

It needs the public files of a set-up alone, plan and exchange store, in the home or in a folder somewhere else, and a
node. It keeps what it sees in a temporary folder, and touches nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Group, RenderableType

from bitvm.chain.interface import BlockId, ChainError
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.commands.framework import (
    FINE,
    WRONG,
    Command,
    CommandError,
    HelpText,
    answer,
    config_path,
    new_console,
    plain,
    said,
    table_of,
    watching,
)
from bitvm.daemon.commands.judging import inputs_of, read_input, verify_claim
from bitvm.daemon.commands.lookout import Look, Lookout, QuietNode
from bitvm.daemon.config import Config
from bitvm.daemon.home import SetupFolder
from bitvm.game.finality import Verdict
from bitvm.graph.graph import FUND, Graph
from bitvm.graph.model import PROVER
from bitvm.setup.archive import Archive, UnfinishedSetupError
from bitvm.setup.plan import SetupPlan
from challenger.forecast import Forecast, forecasts
from lvm.elf import Image, load_elf
from lvm.machine import Engine

_MONITOR = HelpText(
    "follow set-ups without a seed, and forecast who wins",
    """\
Show every claim and game of the home's set-ups, or of SETUP, with a forecast: who wins, unless which move is confirmed
by which block. SETUP is a name, or a folder with setup.yaml and exchange.sqlite, as anybody may have who was given
these two files: no seed is needed, nothing is signed, sent or written. With the input of a claim (--input) its truth is
found out by a run (with the folder's program.elf), and the forecast says who can only delay. Exit code 1 if a set-up
of the home cannot be read; the others are shown.""",
    """\
examples:
  challenger monitor
  challenger monitor /public/ledger-1 --input transfers.txt
  challenger monitor ledger-1 --follow
  challenger monitor --follow --json | jq -c '.setups[].forecasts[] | select(.left != null and .left < 3)'""",
)


@dataclass(frozen=True, slots=True)
class Watched:
    """A set-up at a block. funded: whether Fund is confirmed. truths: verdicts of our own runs, by claim."""

    setup: str
    height: int
    problem: str
    funded: bool
    waiting: tuple[str, ...]
    truths: dict[int, Verdict]
    forecasts: tuple[Forecast, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything at a block; the hash as explorers show it. unread: why set-ups are left out, by name."""

    height: int | None
    hash: str | None
    setups: tuple[Watched, ...]
    unread: Mapping[str, str]


def commands() -> tuple[Command, ...]:
    """Return the command."""
    return (Command("monitor", _MONITOR, _monitor, _add),)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("setup", nargs="?", metavar="SETUP", help="a name, or a folder with the public files")
    parser.add_argument(
        "--input",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="the input of a claim",
    )
    parser.add_argument(
        "--from", type=int, dest="first", metavar="HEIGHT", help="read the chain from here on (default: found out)"
    )
    parser.add_argument("--follow", action="store_true", help="go on; with --json one line a block")


def _monitor(arguments: argparse.Namespace) -> int:
    config = Config.load(config_path(arguments), None)
    for file in arguments.input:
        read_input(file)  # one that cannot be read is told now, not when something is claimed
    with ExitStack() as stack:
        node = stack.enter_context(QuietNode(config.node.access))
        lookout = stack.enter_context(Lookout(node))
        _check_from(node, arguments.first)
        setups, unread = _setups(config, node, arguments)
        watch = Watch(lookout, setups, arguments.input, config.engine, unread)
        if arguments.follow:
            return _follow(watch, config.node.poll_seconds, as_json=arguments.json)
        answer(arguments, watch.look(), lambda console, sight: console.print(picture(sight)))
    return WRONG if unread else FINE


def _check_from(node: RemoteNode, first: int | None) -> None:
    """Refuse a height from which on there is nothing to read."""
    if first is None:
        return
    tip = node.tip().height
    if not 0 <= first <= tip:
        raise CommandError(f"--from {first}: the node has blocks 0 to {tip}; give one of them")


def _setups(config: Config, node: RemoteNode, arguments: argparse.Namespace) -> tuple[list[_Setup], dict[str, str]]:
    """Load the set-ups; one that cannot be read hides no other, and is returned with the reason."""
    setups: list[_Setup] = []
    unread: dict[str, str] = {}
    for folder in _folders(config, arguments.setup):
        try:
            setup = _watch(folder, node, arguments)
        except (CommandError, ChainError):
            raise
        except Exception as error:
            if arguments.setup is not None:
                raise
            unread[folder.name] = str(error)
        else:
            setups += [] if setup is None else [setup]
    return setups, unread


def _folders(config: Config, chosen: str | None) -> Iterator[SetupFolder]:
    """Yield the folders to watch; a folder anywhere, or set-ups of the home, whose other files are not looked at."""
    home = config.data_dir / "setups"
    if chosen is not None:
        for path in (Path(chosen), home / chosen):
            if (path / "setup.yaml").is_file():
                yield SetupFolder(path)
                return
        raise CommandError(f"{chosen}: neither a folder with setup.yaml and exchange.sqlite nor a set-up in {home}")
    found = sorted(home.glob("*/setup.yaml"))
    if not found:
        raise CommandError(f"{home}: no set-up; name a folder with setup.yaml and exchange.sqlite")
    yield from (SetupFolder(path.parent) for path in found)


# ---- watching


@dataclass(frozen=True)
class _Setup:
    """A finished set-up that is watched. image: the program, None where it is not there."""

    plan: SetupPlan
    graph: Graph = field(repr=False)
    first_height: int
    image: Image | None = field(repr=False)


def _watch(folder: SetupFolder, node: RemoteNode, arguments: argparse.Namespace) -> _Setup | None:
    """Load the public files of a set-up; None for one that has not ended, unless it was asked for."""
    plan = SetupPlan.load(folder.plan_path)
    try:
        archive = Archive.load(folder.exchange_path, plan.parameters)
    except UnfinishedSetupError:
        if arguments.setup is not None:
            raise
        return None
    first = _first_height(folder, plan, archive.graph, node, arguments.first)
    image = load_elf(folder.program_path) if folder.program_path.exists() else None
    if image is None and arguments.input:
        raise CommandError(f"{folder.program_path}: no program; --input needs it there to run")
    return _Setup(plan, archive.graph, first, image)


def _first_height(folder: SetupFolder, plan: SetupPlan, graph: Graph, node: RemoteNode, given: int | None) -> int:
    """Return from which block on the chain has to be read; raises CommandError where nobody says it."""
    if given is not None:
        return given
    if folder.start_path.exists():
        return folder.first_height()
    tip, fund = node.tip(), graph[FUND]
    for output in fund.outputs:
        coin = node.coin(fund.outpoint(output.name), include_mempool=False)
        if coin is not None:
            return max(0, tip.height - coin.confirmations + 1 - plan.parameters.confirmations)
    if plan.network == "regtest":
        return 0
    raise CommandError(f"{folder.path}: no output of Fund is unspent; say from which block to read with --from HEIGHT")


class Watch:
    """Looks at set-ups again and again; runs a claim once."""

    def __init__(
        self, lookout: Lookout, setups: list[_Setup], files: list[Path], engine: Engine, unread: Mapping[str, str]
    ) -> None:
        """Look at nothing yet; ``files`` are inputs of claims, ``unread`` the set-ups that are left out."""
        self._lookout, self._setups, self._files, self._engine = lookout, setups, files, engine
        self._unread = unread
        self._truths: dict[tuple[str, int, bytes], Verdict] = {}

    def tip(self) -> BlockId | None:
        """Ask the node for its tip; None where it does not answer."""
        return self._lookout.refresh()

    def look(self) -> Sight:
        """Look at everything."""
        tip = self.tip()
        watched = tuple(self._one(setup) for setup in self._setups)
        height, shown = (None, None) if tip is None else (tip.height, tip.hash[::-1].hex())
        return Sight(height, shown, watched, self._unread)

    def _one(self, setup: _Setup) -> Watched:
        name = setup.plan.name
        look = self._lookout.look(name, setup.graph, setup.first_height)
        truths = dict(self._judge(setup, look)) if self._files else {}
        by_txid = setup.graph.by_txid()
        waiting = tuple(by_txid[transaction.GetTxid()].name for transaction in look.waiting)
        found = tuple(forecasts(look.position, truths))
        return Watched(name, look.position.height, look.problem, look.position.has(FUND), waiting, truths, found)

    def _judge(self, setup: _Setup, look: Look) -> Iterator[tuple[int, Verdict]]:
        """Yield the verdicts that can be found with the inputs that were given."""
        if setup.image is None:
            return
        for slot in range(1, setup.plan.parameters.claims + 1):
            at = look.position.at_claim(slot)
            seen = at.seen("Claim")
            if seen is None:
                return
            key = (setup.plan.name, slot, seen.transaction.GetHash())
            if key not in self._truths:
                find = inputs_of(self._files, look.position.at_claim(setup.plan.parameters.claims), None)
                self._truths[key] = verify_claim(setup.plan.name, at, setup.image, find, self._engine).verdict
            yield slot, self._truths[key]


def _follow(watch: Watch, seconds: float, *, as_json: bool) -> int:
    """Show every new block until interrupted."""
    try:
        if as_json:
            for sight in _sights(watch, seconds):
                print(json.dumps(plain(sight)))
                sys.stdout.flush()
        else:
            with watching(new_console()) as show:
                for sight in _sights(watch, seconds):
                    show(picture(sight))
    except KeyboardInterrupt:
        pass
    return FINE


def _sights(watch: Watch, seconds: float) -> Iterator[Sight]:
    """Yield a sight whenever there is another newest block."""
    shown: str | None = ""
    while True:
        sight = watch.look()
        if sight.hash != shown:
            shown = sight.hash
            yield sight
        time.sleep(seconds)


# ---- the picture


def picture(sight: Sight) -> RenderableType:
    """Return all set-ups with their forecasts."""
    head = "the node does not answer" if sight.height is None else f"block {sight.height:,}"
    parts: list[RenderableType] = [said(head, "bold")]
    parts += [said(f"{name}: left out: {why}", "bold red") for name, why in sight.unread.items()]
    for watched in sight.setups:
        if watched.problem:
            parts.append(said(f"{watched.setup}: {watched.problem}", "yellow"))
        if not watched.funded:
            parts.append(said(f"{watched.setup}: Fund is not confirmed", "dim"))
        if watched.waiting:
            parts.append(said(f"{watched.setup}: in the mempool: {', '.join(watched.waiting)}"))
        rows = [_row(each) for each in watched.forecasts]
        parts.append(table_of(("claim", "game of", "winner", "left", "forecast"), rows, watched.setup))
    return Group(*parts)


def _row(each: Forecast) -> tuple[object, ...]:
    who = "" if each.challenger is None else f"challenger{each.challenger}"
    style = "" if each.winner is None else "cyan" if each.winner == PROVER else "magenta"
    winner = said(each.winner or "", f"bold {style}" if each.decided and style else style)
    return each.slot, who, winner, each.left, each.text
