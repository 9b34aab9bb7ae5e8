"""The data folder of a party: one seed, one identity, one role, and a folder a set-up.

    role                 what this home is: prover or challenger
    lock                 held by the daemon that runs on it, with its process number
    seed, identity       bitvm.keys.seed, bitvm.setup.identity
    journal.sqlite       bitvm.keys.journal
    daemon.sqlite        bitvm.daemon.store
    wallet.sqlite        bitvm.chain.purse
    inputs.sqlite        bitvm.setup.input_store
    setups/NAME/         setup.yaml, program.elf, start, exchange.sqlite, sightings.sqlite

A home is made complete or not at all: everything is drafted beside it, made durable, and gets its name in one step.
`Home.open` never makes what is missing: an empty journal in the place of a lost one would let keys sign twice. A home
is for its owner alone (0700), its files too (0600).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bitvm.chain.keys import TaprootKey
from bitvm.daemon.config import Role
from bitvm.files import write_new
from bitvm.keys.journal import Journal
from bitvm.keys.seed import Purpose, Seed, SeedError, sync_folder
from bitvm.setup.identity import Identity, IdentityError
from bitvm.setup.plan import PlanError, SetupPlan, is_setup_name

_FOLDER_MODE = 0o700
_FOR_OTHERS = 0o077


REORGANISED = 100
"""Blocks that a reorganisation replaces at most (`bitvm.graph.parameters`: confirmations)."""


class HomeError(Exception):
    """A data folder that cannot be used; names the file and the fix."""


class HomeLockedError(HomeError):
    """A daemon runs on this home."""


ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True)
class SetupFolder:
    """The files of one set-up."""

    path: Path

    @property
    def name(self) -> str:
        """The set-up's name."""
        return self.path.name

    @property
    def plan_path(self) -> Path:
        """The plan."""
        return self.path / "setup.yaml"

    @property
    def program_path(self) -> Path:
        """The program."""
        return self.path / "program.elf"

    @property
    def exchange_path(self) -> Path:
        """The messages of the set-up (bitvm.setup.store)."""
        return self.path / "exchange.sqlite"

    @property
    def sightings_path(self) -> Path:
        """What the chain has shown (bitvm.chain.sightings)."""
        return self.path / "sightings.sqlite"

    @property
    def start_path(self) -> Path:
        """The height from which on the chain can hold the set-up's transactions."""
        return self.path / "start"

    def begin(self, height: int) -> None:
        """Keep, durably, the height of the newest block before anything of the set-up was signed; the first one counts.

        Raises OSError.
        """
        with contextlib.suppress(FileExistsError):
            write_new(self.start_path, f"{height}\n".encode())

    def first_height(self) -> int:
        """Return the first height at which a transaction of the set-up can be; raises HomeError.

        Blocks that were there when the set-up began may be replaced, so it lies `REORGANISED` blocks deeper.
        """
        try:
            height = int(self.start_path.read_text())
        except (OSError, ValueError) as error:
            raise HomeError(f"{self.start_path}: does not hold the height at which the set-up began") from error
        return max(0, height - REORGANISED)

    def plan(self) -> SetupPlan:
        """Read the plan; raises HomeError."""
        try:
            plan = SetupPlan.load(self.plan_path)
        except PlanError as error:
            raise HomeError(str(error)) from error
        if plan.name != self.name:
            raise HomeError(f"{self.plan_path}: the plan of {plan.name}, in the folder of {self.name}")
        return plan


class Home:
    """A data folder whose parts were checked."""

    def __init__(self, path: Path, role: Role, seed: Seed, identity: Identity) -> None:
        """Take checked parts; use `create` or `open`."""
        self.path = path
        self.role = role
        self.seed = seed
        self.identity = identity

    def __repr__(self) -> str:
        """Return a text without a secret."""
        return f"<Home {self.path}, {self.role}>"

    @classmethod
    def create(cls, path: Path, role: Role, *, seed: Seed | None = None) -> Home:
        """Make a home where there is nothing, or an empty folder; ``seed``: an earlier one, None for a new one.

        Raises HomeError, and then nothing is there. An earlier seed comes with an empty journal here: whoever takes
        one has to record what it has signed before it signs again.
        """
        path = path.absolute()
        try:
            if path.is_dir() and any(path.iterdir()):
                raise HomeError(f"{path}: not empty; a home is made in a new or empty folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            try:
                _fill(draft, role, seed or Seed.generate())
                draft.rename(path)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            sync_folder(path.parent)
        except OSError as error:
            raise HomeError(f"{path}: cannot be made: {_why(path, error)}") from error
        return cls.open(path, role)

    @classmethod
    def open(cls, path: Path, role: Role | None = None) -> Home:
        """Check every part and return the home; raises HomeError, also where it is not one of ``role``."""
        path = path.absolute()
        if not path.is_dir():
            raise HomeError(f"{path}: no such folder; make a home first, or restore one from a backup")
        _check_private(path)
        found = _read_role(path / "role")
        if role is not None and found != role:
            raise HomeError(f"{path / 'role'}: this is the home of a {found}, not of a {role}")
        for part in (path / "seed", path / "identity"):
            if part.exists():
                _check_private(part)  # a wrong mode is no damage, and no reason to restore
        try:
            seed = Seed.load(path / "seed")
            identity = Identity.load(path / "identity")
        except (SeedError, IdentityError) as error:
            theirs = isinstance(error.__cause__, PermissionError)
            raise HomeError(f"{error}; {'become the user whose home it is' if theirs else _RESTORE}") from error
        home = cls(path, found, seed, identity)
        if not home.journal_path.is_file():
            raise HomeError(f"{home.journal_path}: no journal; {_RESTORE}, never with an empty one")
        for part in (home.journal_path, home.daemon_path, home.wallet_path, home.inputs_path):
            if part.exists():
                _check_private(part)
        return home

    # ---- files

    @property
    def journal_path(self) -> Path:
        """The one-time journal."""
        return self.path / "journal.sqlite"

    @property
    def daemon_path(self) -> Path:
        """What the chain cannot remember."""
        return self.path / "daemon.sqlite"

    @property
    def wallet_path(self) -> Path:
        """Reservations of coins."""
        return self.path / "wallet.sqlite"

    @property
    def inputs_path(self) -> Path:
        """The inputs that an attester holds."""
        return self.path / "inputs.sqlite"

    @property
    def lock_path(self) -> Path:
        """The lock of the running daemon."""
        return self.path / "lock"

    @property
    def setups_path(self) -> Path:
        """The folder of the set-ups' folders."""
        return self.path / "setups"

    # ---- parts

    def open_journal(self) -> Journal:
        """Open the one-time journal; raises JournalError."""
        return Journal.open(self.journal_path, self.seed)

    def wallet_key(self) -> TaprootKey:
        """Return the key of the party's money outside the set-ups."""
        return TaprootKey(self.seed.prf(Purpose.WALLET))

    def setups(self) -> tuple[str, ...]:
        """Return the names of the set-ups that have a plan here, finished or not, in name order."""
        if not self.setups_path.is_dir():
            return ()
        folders = (SetupFolder(path) for path in self.setups_path.iterdir() if is_setup_name(path.name))
        return tuple(sorted(folder.name for folder in folders if folder.plan_path.is_file()))

    def setup(self, name: str) -> SetupFolder:
        """Return the folder of a set-up, whether it exists or not; raises HomeError for what is no name."""
        if not is_setup_name(name):
            raise HomeError(f"{name!r:.80}: no name of a set-up")
        return SetupFolder(self.setups_path / name)

    def adopt(self, plan: SetupPlan, program: bytes) -> SetupFolder:
        """Put plan and program of a set-up here, durably, the plan last; the same ones again change nothing.

        Raises HomeError where others are there under this name.
        """
        folder = self.setup(plan.name)
        try:
            folder.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            for parent in (self.path, self.setups_path):
                sync_folder(parent)
            if folder.plan_path.exists() and folder.plan().digest() != plan.digest():
                raise HomeError(f"{folder.plan_path}: another plan with this name; give the new one another name")
            _put(folder.program_path, program)
            if not folder.plan_path.exists():
                write_new(folder.plan_path, plan.to_yaml().encode())
        except OSError as error:
            raise HomeError(f"{folder.path}: cannot be written: {error.strerror}") from error
        return folder

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep every other daemon off this home while the block runs; raises HomeLockedError with its process."""
        try:
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise HomeError(f"{self.lock_path}: cannot be opened: {error.strerror}") from error
        try:
            if not _locked(descriptor):
                text = f"a daemon runs on this home already, process {_holder(descriptor)}; stop it first"
                raise HomeLockedError(f"{self.lock_path}: {text}")
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def running(self) -> str | None:
        """Return the process of the daemon that runs on this home; None where none does. Raises HomeError.

        Writes nothing.
        """
        try:
            descriptor = os.open(self.lock_path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeError(f"{self.lock_path}: cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(descriptor)
        finally:
            os.close(descriptor)
        return None


_RESTORE = "restore the home from a backup"


def _fill(draft: Path, role: Role, seed: Seed) -> None:
    """Make the parts of a home in an empty folder, durably."""
    seed.save(draft / "seed")
    Identity.create(draft / "identity")
    Journal.create(draft / "journal.sqlite", seed).close()
    (draft / "setups").mkdir(mode=_FOLDER_MODE)
    write_new(draft / "role", f"{role}\n".encode())


def _locked(descriptor: int) -> bool:
    """Take the lock; tried again, since `Home.running` holds it for a moment. Whether it was had."""
    for pause in (0.05, 0.05, 0.0):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False


def _holder(descriptor: int) -> str:
    """Return the process that a lock names."""
    return os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"


def _put(path: Path, content: bytes) -> None:
    try:
        write_new(path, content)
    except FileExistsError:
        if path.read_bytes() != content:
            raise HomeError(f"{path}: another program is there; it is not the one of the plan") from None


def _read_role(path: Path) -> Role:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        raise HomeError(f"{path}: missing, so this folder is no home; make one first") from None
    except (OSError, ValueError) as error:
        raise HomeError(f"{path}: cannot be read: {error}") from error
    for role in ROLES:
        if text == role:
            return role
    raise HomeError(f"{path}: {' or '.join(ROLES)} needed, got {text!r:.40}")


def _check_private(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _FOR_OTHERS:
        right = "700" if path.is_dir() else "600"
        raise HomeError(f"{path}: mode {mode:04o} opens it to others; run chmod {right} {path}")


def _why(path: Path, error: OSError) -> str:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return f"it is where a volume is mounted; take a folder inside it, {path / 'home'} for instance"
    file = next((above for above in path.parents if above.exists() and not above.is_dir()), None)
    if file is not None:
        return f"{file} is a file; take a folder that is not below it"
    if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
        return "something is there already; a home is made in a new or empty folder"
    return str(error.strerror)
