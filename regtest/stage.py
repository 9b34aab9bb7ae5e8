"""The whole as processes: a real node, and for every party a home, a configuration and a daemon of its own.

`Stage` makes homes with coins, runs the set-up over the loopback, and then starts, stops and kills daemons and mines
blocks. Between two blocks it waits until every daemon that runs has acted on the newest one, which their status pages
tell: so a play is as fast as its parties, and never depends on a pause that is long enough.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trio
import yaml

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.purse import Purse
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.config import Config, Role
from bitvm.daemon.enrol import enrol
from bitvm.daemon.home import Home
from bitvm.daemon.store import DaemonStore
from bitvm.game.position import Position
from bitvm.graph.costs import defence
from bitvm.graph.fund import contribution
from bitvm.graph.model import PROVER, all_parties
from bitvm.graph.parameters import Parameters
from bitvm.setup.archive import Archive
from bitvm.setup.input_store import InputStore
from bitvm.setup.plan import Address, PlannedParty, SetupPlan
from regtest.follower import observe

HOST = "127.0.0.1"
POLL_SECONDS = 0.1
ANSWER_SECONDS = 120.0
"""How long a daemon may take to act on a block; far longer than it takes, so that a busy machine breaks nothing."""
FEE_COIN = 300_000
FUND_FEE_ROOM = 30_000
COMMAND = "-m"


class StageError(RuntimeError):
    """A daemon that ended, or did not act in time; the message holds the end of its log."""


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Return different ports of the loopback that nobody uses now."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((HOST, 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


@dataclass
class Actor:
    """One party: its folder, its daemon's command and, while it runs, its process."""

    name: str
    folder: Path
    http: int
    listen: int
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def role(self) -> Role:
        """Which daemon it is."""
        return "prover" if self.name == PROVER else "challenger"

    @property
    def config_path(self) -> Path:
        """Its configuration."""
        return self.folder / f"{self.role}.yaml"

    @property
    def log_path(self) -> Path:
        """Where its daemon's standard error goes."""
        return self.folder / "daemon.log"

    @property
    def home_path(self) -> Path:
        """Its home."""
        return self.folder / "home"

    def home(self) -> Home:
        """Open its home."""
        return Home.open(self.home_path, self.role)

    @property
    def runs(self) -> bool:
        """Whether its daemon was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start its daemon."""
        usual = ["bitvm", "prover", "run"] if self.role == "prover" else ["challenger", "run"]
        command = list(self.command) or usual
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, COMMAND, *command, "--config", str(self.config_path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send its daemon a signal and wait for its end; return its exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(ANSWER_SECONDS)
        self.process = None
        return status

    def status(self) -> dict[str, Any] | None:
        """Return its newest snapshot; None while there is none."""
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.http}/status", timeout=10) as answer:
                found: dict[str, Any] = json.load(answer)
        except (OSError, http.client.HTTPException, ValueError):  # not there, or killed while it answered
            return None
        return found

    def log_tail(self, lines: int = 25) -> str:
        """Return the end of its log."""
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])


class Stage:
    """A node and its parties; a context manager that ends all of them."""

    def __init__(
        self,
        folder: Path,
        parameters: Parameters,
        program: Path,
        *,
        node: BitcoindNode | None = None,
        node_arguments: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the node and make every party's home and configuration.

        parameters: image root and entry are the program's. settings: more of every configuration.
        """
        self.folder = folder
        self.program = program
        self.parameters = parameters
        self._own_node = node is None
        self.node = node or BitcoindNode(datadir=folder / "node", extra_arguments=node_arguments)
        self.chain = BitcoindChain(self.node)
        self.remote = RemoteNode(self.node.cookie)
        self._node_arguments = node_arguments
        self._settings = dict(settings or {})
        self._setup_port = free_port()
        self.actors = {name: self._actor(name) for name in all_parties(parameters.challengers)}
        self.plans: dict[str, SetupPlan] = {}
        self.archives: dict[str, Archive] = {}

    def __enter__(self) -> Self:
        """Return the stage itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End all daemons and the node."""
        for actor in self.actors.values():
            if actor.runs:
                actor.end(signal.SIGKILL)
        self.remote.close()
        self.chain.close()
        if self._own_node:
            self.node.close()

    # ---- making

    def _actor(self, name: str) -> Actor:
        folder = self.folder / name
        folder.mkdir(parents=True)
        http, listen = free_ports(2)
        actor = Actor(name, folder, http, listen)
        cookie = self.node.cookie
        access = {} if "url" in self._settings.get("node", {}) else {"cookie": str(cookie.path), "port": cookie.port}
        content = {
            "data_dir": "home",
            "network": "regtest",
            "node": {**access, "poll_seconds": POLL_SECONDS},
            "http": f"{HOST}:{actor.http}",
            "listen": f"{HOST}:{actor.listen}",
        }
        for key, value in self._settings.items():
            content[key] = {**content[key], **value} if isinstance(content.get(key), dict) else value  # type: ignore[dict-item]
        actor.config_path.write_text(yaml.safe_dump(content))
        Config.load(actor.config_path, actor.role)
        Home.create(actor.home_path, actor.role)
        return actor

    def fund(self, setups: int = 1) -> None:
        """Give every party the coins for so many set-ups and for the fees of their games."""
        for actor in self.actors.values():
            script = actor.home().wallet_key().script_pubkey
            games = self.parameters.challengers if actor.name == PROVER else 1
            needed = defence(self.parameters, actor.name).fees // (2 * games + 1)
            for _ in range(setups):
                self.chain.faucet(script, contribution(self.parameters, actor.name) + FUND_FEE_ROOM)
            for _ in range(setups * (2 * games + 1)):
                self.chain.faucet(script, max(FEE_COIN, needed + 1))

    def plan(self, name: str) -> SetupPlan:
        """Return the plan of a set-up between all parties."""
        identities = {party: actor.home().identity.public for party, actor in self.actors.items()}
        parties = {
            party: PlannedParty(identities[party], Address(HOST, actor.listen)) for party, actor in self.actors.items()
        }
        challengers = tuple(planned for party, planned in parties.items() if party != PROVER)
        digest = sha256(self.program.read_bytes()).digest()
        address = Address(HOST, self._setup_port)
        plan = SetupPlan(name, "regtest", self.parameters, digest, address, parties[PROVER], challengers)
        self.plans[name] = plan
        return plan

    def set_up(self, name: str) -> Archive:
        """Run a set-up of all parties over the loopback, in this process; return what the prover has then."""
        plan = self.plan(name)
        trio.run(self._enrol_all, plan)
        folder = self.actors[PROVER].home().setup(name)
        self.archives[name] = Archive.load(folder.exchange_path, plan.parameters)
        return self.archives[name]

    async def _enrol_all(self, plan: SetupPlan) -> None:
        async with trio.open_nursery() as nursery:
            for actor in self.actors.values():
                nursery.start_soon(self._enrol, actor, plan)

    async def _enrol(self, actor: Actor, plan: SetupPlan) -> None:
        home = actor.home()
        purses = Purse.open if home.wallet_path.exists() else Purse.create
        with purses(home.wallet_path, home.wallet_key()) as purse, RemoteNode(self.node.url) as node:
            await enrol(home, plan, self.program, node, purse)

    def queue_claim(self, name: str, data: bytes, slot: int = 1) -> bytes:
        """Have the prover claim a run on ``data``; return the input's root."""
        home = self.actors[PROVER].home()
        stores = DaemonStore.open if home.daemon_path.exists() else DaemonStore.create
        with InputStore(home.inputs_path) as inputs, stores(home.daemon_path) as store:
            inputs.keep(self.archives[name].setup_id, slot, data)
            root = inputs.roots(self.archives[name].setup_id, slot)[-1]
            store.queue(name, slot, root)
        return root

    def give_input(self, party: str, name: str, data: bytes, slot: int = 1) -> None:
        """Give a challenger an input by hand."""
        home = self.actors[party].home()
        with InputStore(home.inputs_path) as inputs:
            inputs.keep(self.archives[name].setup_id, slot, data)

    # ---- playing

    def start(self, *names: str) -> None:
        """Start the daemons of these parties, of all if none is named."""
        for name in names or self.actors:
            self.actors[name].start()

    def position(self, name: str) -> Position:
        """Return where a set-up stands on the chain."""
        return observe(self.chain, self.archives[name].graph)

    def settle(self) -> None:
        """Wait until every daemon that runs has acted on the newest block, or has ended; raises StageError."""
        tip = self.chain.tip()
        for actor in self.running():
            self._wait_for(actor, tip.height, tip.hash[::-1].hex())

    def running(self) -> Iterator[Actor]:
        """Yield the parties whose daemon runs."""
        return (actor for actor in self.actors.values() if actor.runs)

    def _wait_for(self, actor: Actor, height: int, block: str) -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        ticks: int | None = None
        while actor.runs:
            found = actor.status()
            if found is not None and found["tip_hash"] == block and found["acted"] == height:
                # One more tick: what a run or an answer of somebody else has changed meanwhile is acted on, too.
                ticks = found["ticks"] if ticks is None else ticks
                if found["ticks"] > ticks:
                    return
            if time.monotonic() > deadline:
                raise StageError(f"{actor.name} has not acted on block {height}:\n{actor.log_tail()}")
            time.sleep(POLL_SECONDS / 4)

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks, each after everybody has acted on the one before."""
        for _ in range(blocks):
            self.settle()
            self.chain.mine(1)
        self.settle()

    def mine_until(self, name: str, transactions: Sequence[str], blocks: int = 400) -> str:
        """Mine until one of these transactions of a set-up is confirmed; return which. Raises StageError."""
        for _ in range(blocks):
            found = next((each for each in transactions if each in self.position(name).confirmed), None)
            if found is not None:
                return found
            self.mine()
        logs = "\n".join(f"--- {actor.name}\n{actor.log_tail()}" for actor in self.actors.values())
        raise StageError(f"none of {', '.join(transactions)} after {blocks} blocks:\n{logs}")

    def stop_node(self) -> None:
        """Stop the node; its files stay."""
        self.remote.close()
        self.chain.close()
        self.node.close(keep_files=True)

    def start_node(self, *arguments: str) -> None:
        """Start the node again, on the same files and at the same port, with a new cookie and further arguments."""
        folder, port = self.node.datadir, self.node.cookie.port
        self.node = BitcoindNode(datadir=folder, port=port, extra_arguments=(*self._node_arguments, *arguments))
        self.chain = BitcoindChain(self.node)
