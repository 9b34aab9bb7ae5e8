"""``status``, ``claims``, ``games``: where everything stands, once or as a picture that keeps up."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from rich.console import Console, Group, RenderableType
from rich.text import Text

from bitvm.daemon.commands.desk import Side, open_desk, tell_unread
from bitvm.daemon.commands.framework import (
    FINE,
    WRONG,
    Command,
    CommandError,
    HelpText,
    answer,
    config_path,
    new_console,
    said,
    table_of,
    watching,
)
from bitvm.daemon.commands.outlook import short_name
from bitvm.daemon.commands.snapshots import Standing, from_daemon, standing_of, standing_of_home
from bitvm.daemon.config import Config
from bitvm.daemon.status import ClaimStatus, GameStatus, SetupStatus, Severity, WalletStatus

STATES = ("open", "running", "won", "lost", "closed")
_VERDICT_STYLES = {"VALID": "green", "INVALID": "bold red", "UNKNOWN": "yellow"}
_STATE_STYLES = {"running": "bold yellow", "won": "magenta", "lost": "cyan", "open": "", "closed": "dim"}
_ROOT_DIGITS = 12


def commands(side: Side) -> tuple[Command, ...]:
    """Return the three commands."""
    program = side.program
    status = HelpText(
        "where everything stands",
        """\
Show set-ups, claims with our verdicts, games with whose move it is and how many blocks are left, the wallet, and what
somebody should look at. Told by the daemon if it runs and the configuration has `http`; otherwise made from the home
and the node, with the verdicts that the daemon has kept. Then the daemon's notices are not known: it says so, and
whether a daemon runs at all. In JSON `notices` is null then, `notices_unknown` says why, and `found` is what this
command has found itself. Exit code 1 if a set-up cannot be read.""",
        f"""\
examples:
  {program} status
  {program} status --watch
  {program} status --json | jq '.notices_unknown // .notices[].text'""",
    )
    claims = HelpText(
        "the claims and our verdicts",
        "List the claims of all set-ups: what they state, our verdict, and what became of them.",
        f"""\
examples:
  {program} claims
  {program} claims --setup ledger-1 --verdict INVALID
  {program} claims --json | jq 'map(select(.final)) | length'""",
    )
    games = HelpText(
        "the games, whose move it is, and until when",
        """\
List the games. A game is open (its challenger may still challenge the claim), running, won or lost by its challenger,
or closed (never played).""",
        f"""\
examples:
  {program} games
  {program} games --state running --json""",
    )
    return (
        Command("status", status, partial(_status, side), _add_status),
        Command("claims", claims, partial(_claims, side), _add_claims),
        Command("games", games, partial(_games, side), _add_games),
    )


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="a full-screen view that keeps up; end it with Ctrl-C")
    parser.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds between two looks (default 2)")


def _add_claims(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setup", metavar="NAME", help="of this set-up alone")
    parser.add_argument("--verdict", choices=list(_VERDICT_STYLES), help="with this verdict alone")


def _add_games(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--setup", metavar="NAME", help="of this set-up alone")
    parser.add_argument("--state", choices=STATES, help="in this state alone")


def _take(side: Side, arguments: argparse.Namespace) -> Standing:
    told = from_daemon(Config.load(config_path(arguments), side.role))
    if told is not None:
        if told.role != side.role:
            raise CommandError(f"http: a {told.role}'s daemon answers there; give the configuration of a {side.role}")
        return Standing(told, runs=True)
    with open_desk(arguments, side) as desk:
        return standing_of_home(desk)


def _status(side: Side, arguments: argparse.Namespace) -> int:
    if arguments.watch:
        return _watch(side, arguments)
    standing = _take(side, arguments)
    answer(arguments, standing.to_json(), lambda console, _: console.print(picture(standing)))
    return WRONG if standing.unread else FINE


def _watch(side: Side, arguments: argparse.Namespace) -> int:
    if arguments.json:
        raise CommandError("--watch: draws on a terminal; leave --json out, or leave --watch out and repeat")
    if not 0.1 <= arguments.every <= 3_600:
        raise CommandError(f"--every {arguments.every:g}: seconds from 0.1 to 3600 needed")
    console = new_console()
    try:
        with open_desk(arguments, side) as desk, watching(console) as show:
            while True:
                show(picture(standing_of(desk)))
                time.sleep(arguments.every)
    except KeyboardInterrupt:
        return FINE


def _claims(side: Side, arguments: argparse.Namespace) -> int:
    standing = _take(side, arguments)
    setups, unread = _chosen(standing, arguments.setup)
    disputed = _disputed(game for setup in setups for game in setup.games)
    found = [claim for setup in setups for claim in setup.claims if arguments.verdict in (None, claim.verdict)]
    answer(arguments, found, lambda console, claims: console.print(_claims_table(claims, disputed)))
    return tell_unread(arguments, unread)


def _games(side: Side, arguments: argparse.Namespace) -> int:
    standing = _take(side, arguments)
    setups, unread = _chosen(standing, arguments.setup)
    found = [game for setup in setups for game in setup.games if arguments.state in (None, game.state)]

    def show(console: Console, games: list[GameStatus]) -> None:
        console.print(_games_table(games, standing.snapshot.tip, None))

    answer(arguments, found, show)
    return tell_unread(arguments, unread)


def _chosen(standing: Standing, name: str | None) -> tuple[tuple[SetupStatus, ...], Mapping[str, str]]:
    """Return the set-ups, or the chosen one, and those that cannot be read; raises CommandError for no such one."""
    setups, unread = standing.snapshot.setups, standing.unread
    if name is None:
        return setups, unread
    if name in unread:
        raise CommandError(f"--setup {name}: {unread[name]}; see `check`")
    chosen = tuple(setup for setup in setups if setup.name == name)
    if not chosen:
        known = ", ".join(setup.name for setup in setups)
        there = f"there are {known}" if known else "there is none yet"
        raise CommandError(f"--setup {name!r:.60}: no finished set-up has this name; {there}")
    return chosen, {}


# ---- pictures


def picture(standing: Standing) -> RenderableType:
    """Return everything as one picture."""
    snapshot = standing.snapshot
    claims = [claim for setup in snapshot.setups for claim in setup.claims]
    games = [game for setup in snapshot.setups for game in setup.games]
    disputed = _disputed(games)
    return Group(
        *_head(standing), _claims_table(claims, disputed, "Claims"), _games_table(games, snapshot.tip, "Games")
    )


def _disputed(games: Iterable[GameStatus]) -> frozenset[tuple[str, int]]:
    """Return the claims, by set-up and slot, of which a game runs."""
    return frozenset((game.setup, game.slot) for game in games if game.state == "running")


def _head(standing: Standing) -> Iterator[RenderableType]:
    snapshot = standing.snapshot
    tip = "no block seen" if snapshot.tip is None else f"block {snapshot.tip:,}"
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(snapshot.at))
    yield said(f"{snapshot.role}, {tip}, {clock}", "bold")
    if snapshot.recovering:
        yield said("recovering from a restore: nothing is signed yet", "yellow")
    if standing.unknown:
        live = any(not setup.over for setup in snapshot.setups)
        yield said(f"notices are not known: {standing.unknown}", "bold red" if live and not standing.runs else "yellow")
    for notice in snapshot.notices:
        where = f"{notice.setup}: " if notice.setup else ""
        style = "bold red" if notice.severity is Severity.CRITICAL else "yellow"
        yield said(f"{notice.severity.value}: {where}{notice.kind.value}: {notice.text}", style)
    if snapshot.wallet is not None:
        yield _wallet(snapshot.wallet)
    rows = [
        (each.name, each.party, each.height, each.funded, "over" if each.over else "live") for each in snapshot.setups
    ]
    if rows:
        yield table_of(("set-up", "we are", "read to block", "funded", "state"), rows, "Set-ups")
    else:
        yield said("No finished set-up.", "dim")


def _wallet(wallet: WalletStatus) -> Text:
    enough = wallet.balance >= wallet.reserve
    text = (
        f"wallet: {wallet.balance:,} sat free in {wallet.coins} coins, {wallet.reserved:,} promised; "
        f"the worst case needs {wallet.reserve:,}"
    )
    return said(text, "" if enough else "yellow")


def _claims_table(
    claims: list[ClaimStatus], disputed: frozenset[tuple[str, int]], title: str | None = None
) -> RenderableType:
    rows = [
        (
            claim.setup,
            claim.slot,
            claim.made,
            _digits(claim.input_root),
            _digits(claim.final_root),
            said(claim.verdict, _VERDICT_STYLES[claim.verdict]) if claim.made is not None else "",
            "disputed" if (claim.setup, claim.slot) in disputed and claim.spender is None else _fate(claim),
            claim.why if claim.made is not None else "",
        )
        for claim in claims
    ]
    return table_of(("set-up", "claim", "block", "input", "ends in", "verdict", "state", "why"), rows, title)


def _digits(root: str | None) -> str:
    return "" if root is None else f"{root[:_ROOT_DIGITS]}…"


def _fate(claim: ClaimStatus) -> str:
    if claim.final:
        return "final"
    if claim.spender is not None:
        return short_name(claim.spender)
    if claim.made is None:
        return "free"
    return f"payable from {claim.until:,}" if claim.until is not None else ""


def _games_table(games: list[GameStatus], tip: int | None, title: str | None) -> RenderableType:
    rows = [
        (
            game.setup,
            game.slot,
            f"challenger{game.challenger}",
            said(game.state, _STATE_STYLES[game.state]),
            None if game.last is None else short_name(game.last),
            game.turn,
            game.deadline,
            None if game.deadline is None or tip is None else max(0, game.deadline - 1 - tip),
            game.fees or None,
            game.decision,
        )
        for game in games
    ]
    columns = ("set-up", "claim", "game of", "state", "last", "turn of", "too late at", "left", "our fees", "we do")
    return table_of(columns, rows, title)
