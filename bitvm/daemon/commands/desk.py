"""What a command needs of a home: its parts, open to read, beside the daemon that may be running there.

Parts that a new home does not have yet are empty ones in a temporary folder. The wallet is always a copy, brought up to
date there. The node that a desk has sends nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bitvm.chain.interface import ChainError
from bitvm.chain.purse import Purse
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.commands.framework import FINE, WRONG, CommandError, config_path, fail
from bitvm.daemon.commands.lookout import Look, Lookout, QuietNode
from bitvm.daemon.config import Config, Role
from bitvm.daemon.home import Home
from bitvm.daemon.role import RoleMaker
from bitvm.daemon.store import DaemonStore
from bitvm.database import copy
from bitvm.graph.model import PROVER, challenger_number
from bitvm.setup.archive import Archive, UnfinishedSetupError
from bitvm.setup.input_store import InputStore
from bitvm.setup.plan import SetupPlan


@dataclass(frozen=True, slots=True)
class Side:
    """Whose commands these are. program: how they are called, as in ``bitvm prover``. run: runs the daemon."""

    role: Role
    program: str
    make_role: RoleMaker
    run: Callable[[Config], None]


@dataclass(frozen=True)
class SetupView:
    """A finished set-up and where it stands."""

    name: str
    plan: SetupPlan
    archive: Archive
    look: Look

    @property
    def party(self) -> str:
        """Who we are in it."""
        return self.archive.party

    @property
    def own_game(self) -> int | None:
        """The number of our game; None for the prover, who plays all."""
        return None if self.party == PROVER else challenger_number(self.party)


@dataclass(frozen=True)
class Desk:
    """The open parts of a home."""

    config: Config
    home: Home
    store: DaemonStore
    inputs: InputStore
    node: QuietNode
    lookout: Lookout
    folder: Path
    """Temporary; removed with the desk."""
    unread: dict[str, str] = field(default_factory=dict)
    """The set-ups that `views` had to leave out, and why."""
    _archives: dict[str, Archive] = field(default_factory=dict)

    def names(self, chosen: str | None = None) -> tuple[str, ...]:
        """Return the names of the set-ups, or the chosen one; raises CommandError where there is no such."""
        names = self.home.setups()
        if chosen is None:
            return names
        if chosen not in names:
            known = f"there are {', '.join(names)}" if names else "there is none yet"
            raise CommandError(f"{self.home.setups_path}: no set-up {chosen!r:.60}; {known}")
        return (chosen,)

    def archive(self, name: str) -> Archive:
        """Load a finished set-up, which never changes, once; raises HomeError, SetupStoreError, ArchiveError."""
        if name not in self._archives:
            folder = self.home.setup(name)
            self._archives[name] = Archive.load(folder.exchange_path, folder.plan().parameters)
        return self._archives[name]

    def view(self, name: str) -> SetupView:
        """Return a finished set-up as it stands; raises what `archive` and `Lookout.look` do."""
        folder = self.home.setup(name)
        plan, archive = folder.plan(), self.archive(name)
        look = self.lookout.look(name, archive.graph, folder.first_height(), folder.sightings_path)
        return SetupView(name, plan, archive, look)

    def views(self, chosen: str | None = None) -> Iterator[SetupView]:
        """Yield the finished set-ups, or the chosen one, which then has to be finished.

        One that cannot be read hides no other: without a choice it is left out, and put into `unread`.
        """
        self.lookout.refresh()
        self.unread.clear()
        for name in self.names(chosen):
            try:
                view = self.view(name)
            except (CommandError, ChainError):  # the node's fault, so it is the same for all
                raise
            except Exception as error:
                if chosen is not None:
                    raise
                if not isinstance(error, UnfinishedSetupError):
                    self.unread[name] = str(error)
            else:
                yield view

    @contextmanager
    def own_purse(self, node: RemoteNode) -> Iterator[Purse]:
        """Give the home's own wallet, to write to, after checking that ``node`` is on the configured network."""
        network = node.info().network
        if network != self.config.network:
            raise CommandError(f"network: the node is on {network}, the configuration says {self.config.network}")
        make = Purse.open if self.home.wallet_path.exists() else Purse.create
        with make(self.home.wallet_path, self.home.wallet_key()) as purse:
            yield purse

    def own_store(self) -> DaemonStore:
        """Open the daemon's own database, to write to; it is made where there is none."""
        use = DaemonStore.open if self.home.daemon_path.exists() else DaemonStore.create
        return use(self.home.daemon_path)

    @contextmanager
    def purse(self) -> Iterator[Purse]:
        """Give a copy of the wallet as it was recorded; an empty one where there is none."""
        path = self.folder / "wallet.sqlite"
        if self.home.wallet_path.exists():
            copy(self.home.wallet_path, path)
        make = Purse.open if path.exists() else Purse.create
        try:
            with make(path, self.home.wallet_key()) as purse:
                yield purse
        finally:
            for left in self.folder.glob("wallet.sqlite*"):
                left.unlink()


def tell_unread(arguments: argparse.Namespace, unread: Mapping[str, str]) -> int:
    """Say on standard error which set-ups could not be read; returns the exit code."""
    sys.stdout.flush()
    for name, why in unread.items():
        fail(arguments.called, f"set-up {name} is left out: {why}; see `check`", WRONG)
    return WRONG if unread else FINE


@contextmanager
def open_desk(arguments: argparse.Namespace, side: Side) -> Iterator[Desk]:
    """Open the home that the configuration names; raises ConfigError, HomeError, and the errors of its stores."""
    config = Config.load(config_path(arguments), side.role)
    home = Home.open(config.data_dir, side.role)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitvm-desk-")))
        if home.daemon_path.exists():
            store = DaemonStore.open(home.daemon_path)
        else:
            store = DaemonStore.create(folder / "daemon.sqlite")
        inputs = home.inputs_path if home.inputs_path.exists() else folder / "inputs.sqlite"
        stack.enter_context(store)
        node = stack.enter_context(QuietNode(config.node.access))
        yield Desk(
            config,
            home,
            store,
            stack.enter_context(InputStore(inputs)),
            node,
            stack.enter_context(Lookout(node)),
            folder,
        )
