"""Finding a `bitcoind`: named by the environment, on PATH, installed earlier, or installed now.

In this order: the variable BITVM_BITCOIND, `bitcoind` on PATH, the project's private folder, and otherwise Debian's
archive (see `debian`). The private folder lies in the virtual environment, or in the user's cache outside of one.
A node that is found is asked for its version, so that a broken one is noticed here and not in a dispute.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bitvm.chain import debian
from bitvm.chain.interface import ChainError

ENVIRONMENT_VARIABLE = "BITVM_BITCOIND"
VERSION_TIMEOUT = 60


class NodeNotFoundError(ChainError):
    """The named node does not exist or does not run."""


@dataclass(frozen=True, slots=True)
class Bitcoind:
    """A node that runs: `command` starts it (arguments are appended), `version` is its own first line."""

    command: tuple[str, ...]
    version: str

    @property
    def is_knots(self) -> bool:
        """Whether it is Bitcoin Knots, whose default relay policy is not Core's."""
        return "knots" in self.version.lower()


def private_folder() -> Path:
    """Where an installed node lives: in the virtual environment, else in the user's cache directory."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix) / "bitvm" / "bitcoind"
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "bitvm" / "bitcoind"


def find_bitcoind(folder: Path | None = None) -> Bitcoind | None:
    """Find a node without installing one; NodeNotFoundError if BITVM_BITCOIND names one that does not run."""
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        path = shutil.which(named)
        if path is None:
            raise NodeNotFoundError(f"{ENVIRONMENT_VARIABLE}={named!r} is no executable file")
        return _ask_version((path,))
    on_path = shutil.which("bitcoind")
    if on_path is not None:
        return _ask_version((on_path,))
    installed = folder or private_folder()
    return _ask_version(unpacked_command(installed)) if installed.exists() else None


def install_bitcoind(folder: Path | None = None) -> Bitcoind:
    """Return the node in the private folder, installed from Debian's archive if it is not there; InstallError."""
    target = folder or private_folder()
    debian.install(target)
    return _ask_version(unpacked_command(target))


def provide_bitcoind(folder: Path | None = None) -> Bitcoind:
    """Find a node, or install one; see `find_bitcoind` and `install_bitcoind` for what can go wrong."""
    return find_bitcoind(folder) or install_bitcoind(folder)


def unpacked_command(folder: Path) -> tuple[str, ...]:
    """The command that runs the node unpacked in `folder` through the folder's own loader and libraries."""
    programs = sorted(folder.glob("usr/bin/bitcoind"))
    loaders = sorted(folder.glob("usr/lib*/**/ld-linux*.so.*"))
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/*/*.so.*")})
    if not programs or not loaders or not libraries:
        raise NodeNotFoundError(f"{folder} holds no complete node: remove it, and it is installed anew")
    return (str(loaders[0]), "--library-path", ":".join(libraries), str(programs[0]))


def _ask_version(command: tuple[str, ...]) -> Bitcoind:
    try:
        done = subprocess.run(
            [*command, "-version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NodeNotFoundError(f"{command[-1]} does not run: {error}") from error
    first_line = done.stdout.partition("\n")[0].strip()
    if done.returncode != 0 or not re.search(r"v?\d+\.\d+", first_line):
        raise NodeNotFoundError(f"{command[-1]} does not tell its version: {done.stderr.strip() or first_line}")
    return Bitcoind(command, first_line)
