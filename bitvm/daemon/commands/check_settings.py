"""`check`: the money for fees, settings that are dangerous, and the daemon itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator

from bitvm.daemon.commands.check_lines import Line, Mark, ok
from bitvm.daemon.commands.desk import Desk
from bitvm.daemon.commands.snapshots import from_daemon, from_home, why_unknown
from bitvm.daemon.home import HomeError
from bitvm.daemon.status import Severity
from bitvm.daemon.treasury import on_the_way

BLOCK_SECONDS = 600


def check_wallet(desk: Desk) -> Line:
    """Compare the wallet with the fees of the worst case."""
    try:
        found = from_home(desk, whole=False).wallet
        with desk.purse() as purse:
            if not purse.searched:
                purse.refresh(desk.node, desk.node.tip().height, purse.search(desk.node))
            balance, address = purse.balance(), purse.address(desk.config.network)
            coming = on_the_way(purse)
    except Exception as error:  # whatever it is, the other lines are shown
        return Line("wallet", Mark.FAILED, f"cannot be checked: {error}", "see the other lines")
    reserve = 0 if found is None else found.reserve
    text = f"{balance:,} sat free, {coming:,} in use or on their way; the fees of the worst case are {reserve:,} sat"
    if balance + coming < reserve:
        return Line("wallet", Mark.FAILED, text, f"pay {reserve - balance - coming:,} sat to {address}")
    if desk.unread:
        text += f", without those of {', '.join(desk.unread)}"
        return Line("wallet", Mark.WARNING, text, "put right what cannot be read, see the other lines")
    return ok("wallet", text)


def check_config(desk: Desk) -> Iterator[Line]:
    """Look for settings that are dangerous."""
    config = desk.config
    found: list[Line] = []
    if config.node.poll_seconds > BLOCK_SECONDS / 2:
        text = f"node.poll_seconds is {config.node.poll_seconds:g}: blocks come every {BLOCK_SECONDS} s"
        found.append(Line("polling", Mark.WARNING, text, "ask at least every minute"))
    for name in desk.home.setups():
        try:
            ceiling = desk.home.setup(name).plan().parameters.fee_ceiling
        except HomeError:  # it has a line of its own
            continue
        if config.fees.max_feerate < ceiling:
            text = f"fees.max_feerate is {config.fees.max_feerate} sat/vB, {name} counts on {ceiling}"
            found.append(Line("fees", Mark.FAILED, text, f"set fees.max_feerate to {ceiling} or more"))
    if config.alerts.command is None:
        fix = "name a program in alerts.command that reaches an operator"
        found.append(Line("alerts", Mark.WARNING, "nobody is told when something is wrong", fix))
    elif shutil.which(config.alerts.command[0]) is None:
        text = f"alerts.command: {config.alerts.command[0]} is no program that can be run"
        found.append(Line("alerts", Mark.FAILED, text, "correct alerts.command"))
    if config.listen is None:
        fix = "set listen, so that the other parties can ask for inputs and for what was seen"
        found.append(Line("listen", Mark.WARNING, "we answer no other party", fix))
    if config.http is not None and not config.http.loopback:
        text = f"http is at {config.http}: whoever reaches it reads everything"
        found.append(Line("http", Mark.WARNING, text, "listen on 127.0.0.1, or behind a firewall"))
    yield from found or [ok("settings", "none is dangerous")]


def check_daemon(desk: Desk) -> Line:
    """Say whether the daemon runs, and what it says of itself."""
    snapshot = from_daemon(desk.config)
    if snapshot is None:
        why, fix = why_unknown(desk.config, desk.home.running())
        return Line("daemon", Mark.WARNING, f"its notices are not known: {why}", fix)
    critical = [notice.text for notice in snapshot.notices if notice.severity is Severity.CRITICAL]
    if critical:
        return Line("daemon", Mark.FAILED, "; ".join(critical), "see `status`")
    return ok("daemon", f"runs; its last tick ended {time.time() - snapshot.at:.0f} s ago")
