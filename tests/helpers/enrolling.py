"""Parties that enrol from homes of their own, over real sockets and a real node, in processes that can be cut short."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import trio
from networked import LIMITS
from sqlite_utils import Database

from bitvm import database
from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.purse import Purse
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.config import Role
from bitvm.daemon.enrol import enrol, fee_share
from bitvm.daemon.home import Home
from bitvm.graph.costs import defence
from bitvm.graph.model import PROVER, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.setup.archive import Archive
from bitvm.setup.plan import Address, PlannedParty, SetupPlan
from lvm.elf import load_elf
from lvm.guest import elf_path
from regtest.stage import free_port

PROGRAM = elf_path("sieve")


def parameters(**fields: Any) -> Parameters:
    image = load_elf(PROGRAM)
    return Parameters(image.root(), entry=image.entry, levels=1, width=4, **fields)


def homes(folder: Path, agreed: Parameters) -> dict[str, Home]:
    """Make a home for every party."""
    roles: dict[str, Role] = {
        party: "prover" if party == PROVER else "challenger" for party in all_parties(agreed.challengers)
    }
    return {party: Home.create(folder / party, role) for party, role in roles.items()}


def plan_of(found: dict[str, Home], agreed: Parameters, name: str = "first") -> SetupPlan:
    prover, *challengers = [PlannedParty(home.identity.public) for home in found.values()]
    digest = hashlib.sha256(PROGRAM.read_bytes()).digest()
    return SetupPlan(name, "regtest", agreed, digest, Address("127.0.0.1", free_port()), prover, tuple(challengers))


def fund(chain: BitcoindChain, found: dict[str, Home], agreed: Parameters, parts: int = 1) -> None:
    """Give every home what it needs for one set-up, in so many coins."""
    for party, home in found.items():
        needed = defence(agreed, party).total + fee_share(agreed, 10)
        for _ in range(parts):
            chain.faucet(home.wallet_key().script_pubkey, -(-needed // parts))


def open_purse(home: Home) -> Purse:
    use = Purse.open if home.wallet_path.exists() else Purse.create
    return use(home.wallet_path, home.wallet_key())


async def enrolled(home: Home, plan: SetupPlan, url: str, **options: Any) -> Archive:
    with open_purse(home) as purse, RemoteNode(url) as node:
        return await enrol(home, plan, PROGRAM, node, purse, limits=LIMITS, **options)


async def all_enrolled(found: dict[str, Home], plan: SetupPlan, url: str, **options: Any) -> dict[str, Archive]:
    ended = {}

    async def run(party: str) -> None:
        ended[party] = await enrolled(found[party], plan, url, **options)

    async with trio.open_nursery() as nursery:
        for party in found:
            nursery.start_soon(run, party)
    return ended


def point_of(opened: Database) -> str:
    """Return the name of a database and how many rows its tables hold, what is not committed yet included."""
    (file,) = [row[2] for row in opened.execute("PRAGMA database_list").fetchall() if row[1] == "main"]
    tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
    rows = [opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables]
    return f"{Path(file).name} " + " ".join(f"{table}={count}" for table, count in zip(tables, rows, strict=True))


def cut(points: Path, *, after: bool) -> None:
    """Let this process be killed right before, or right after, each change of a database, once for each `point_of`."""
    commit = database.commit

    def cutting(opened: Database) -> None:
        point = point_of(opened)
        known = points.read_text().splitlines() if points.exists() else []
        if after:
            commit(opened)
        if point not in known:
            points.write_text("\n".join([*known, point]))
            os.kill(os.getpid(), signal.SIGKILL)
        if not after:
            commit(opened)

    database.commit = cutting  # type: ignore[assignment]


def main(folder: str, plan_path: str, url: str, when: str) -> None:
    cut(Path(f"{folder}.points"), after=when == "after")
    home, plan = Home.open(Path(folder)), SetupPlan.load(Path(plan_path))
    archive = trio.run(partial(enrolled, home, plan, url, linger=2, patience=300))
    print(archive.graph.hash().hex(), archive.fund.serialize().hex())


if __name__ == "__main__":
    main(*sys.argv[1:])
