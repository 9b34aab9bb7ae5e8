"""Everything that a daemon, or a command on its home, works with: open together, closed together.

The parts that a new home does not have yet (wallet, inputs, the daemon's own database) are made when they are first
needed; seed, identity and journal never are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bitvm.chain.purse import Purse
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.computations import Computations
from bitvm.daemon.config import Config, Endpoint, Role
from bitvm.daemon.home import Home
from bitvm.daemon.role import Bench
from bitvm.daemon.store import DaemonStore
from bitvm.keys.journal import Journal
from bitvm.keys.secrets import Secrets
from bitvm.setup.archive import Archive
from bitvm.setup.input_store import InputStore
from bitvm.setup.plan import SetupPlan
from lvm.elf import load_elf

SECOND_TIMEOUT = 10.0
"""Seconds until a call to the second node counts as failed."""
SECOND_ANSWER_LIMIT = 64_000
"""Bytes of the longest answer that is read from the second node, which is asked for hashes and headers alone."""


@dataclass(frozen=True)
class Workplace:
    """The open parts. second: another node to compare with, if the configuration names one."""

    config: Config
    home: Home
    journal: Journal
    store: DaemonStore
    inputs: InputStore
    purse: Purse
    node: RemoteNode
    second: RemoteNode | None

    def plan(self, name: str) -> SetupPlan:
        """Read the plan of a set-up; raises HomeError."""
        return self.home.setup(name).plan()

    def bench(self, name: str, computations: Computations) -> Bench:
        """Load a finished set-up; raises HomeError, SetupStoreError, ArchiveError, ElfError."""
        folder = self.home.setup(name)
        archive = Archive.load(folder.exchange_path, folder.plan().parameters)
        secrets = Secrets(self.home.seed, self.journal, archive.setup_id, archive.party)
        image = load_elf(folder.program_path)
        return Bench(name, archive, secrets, image, self.store, self.inputs, computations)


@contextmanager
def open_workplace(config: Config, role: Role) -> Iterator[Workplace]:
    """Open the home of a configuration; raises HomeError, and the errors of each part."""
    with ExitStack() as stack:
        home = Home.open(config.data_dir, role)
        journal = stack.enter_context(home.open_journal())
        stores = DaemonStore.open if home.daemon_path.exists() else DaemonStore.create
        purses = Purse.open if home.wallet_path.exists() else Purse.create
        yield Workplace(
            config,
            home,
            journal,
            stack.enter_context(stores(home.daemon_path)),
            stack.enter_context(InputStore(home.inputs_path)),
            stack.enter_context(purses(home.wallet_path, home.wallet_key())),
            stack.enter_context(RemoteNode(config.node.access)),
            None if config.second_node is None else stack.enter_context(second_node(config.second_node)),
        )


def second_node(endpoint: Endpoint) -> RemoteNode:
    """Return the client of somebody else's node, which is not trusted with our time or memory; asks nothing yet."""
    return RemoteNode(endpoint.access, timeout=SECOND_TIMEOUT, limit=SECOND_ANSWER_LIMIT)
