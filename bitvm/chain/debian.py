"""Bitcoin Knots from Debian's own archive, unpacked into a private folder.

Nothing is installed on the machine and no privilege is needed: `apt-get` runs on a configuration and a state of its
own, so it sees an empty system, resolves the node's libraries down to libc, and downloads them; `dpkg -x` unpacks
them. The node then runs through the folder's own dynamic loader, whatever libc the machine has.

Trust: the archive's address comes from the machine's apt configuration. apt accepts only indices signed by Debian's
archive keys (`debian-archive-keyring`), and every package is checked once more here against the SHA-256 in those
indices before it is unpacked. The folder appears under its name only when it is complete.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bitvm.chain.interface import ChainError

PACKAGE = "bitcoin-knots"
SUITE = "trixie"
PACKAGE_SUITE = "trixie-backports"
COMPONENT = "main"
KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)
MAINTAINER_SCRIPT_PACKAGES = ("debconf", "systemd")
"""Dependencies of installation scripts, which `dpkg -x` does not run: apt is told that they are there."""
DOWNLOAD_TIMEOUT = 900
"""Seconds that one apt command may take."""

INSTEAD = "install bitcoind (Core or Knots, 29 or later) and put it on PATH, or name it in BITVM_BITCOIND"


class InstallError(ChainError):
    """The node could not be installed; the message says what is missing and what to do instead."""


class ChecksumError(InstallError):
    """A downloaded package is not the one that the signed index describes."""


@dataclass(frozen=True, slots=True)
class Archive:
    """A downloaded package file and the SHA-256 that the signed index gives for it, in hex."""

    path: Path
    sha256: str


def install(folder: Path) -> None:
    """Download and unpack the node and its libraries into `folder`; nothing happens if it exists. InstallError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder.with_name(folder.name + ".lock")):
        if folder.exists():
            return
        require_debian()
        with tempfile.TemporaryDirectory(prefix="bitvm-apt-", dir=folder.parent) as scratch:
            archives = _download(Path(scratch))
            unpacked = Path(scratch) / "unpacked"
            unpacked.mkdir()
            for archive in archives:
                verify(archive)
                _run(["dpkg", "-x", str(archive.path), str(unpacked)])
            unpacked.rename(folder)


def require_debian(os_release: Path = Path("/etc/os-release")) -> str:
    """Return the code name of the Debian release this machine runs; InstallError on any other machine."""
    fields = (
        dict(line.split("=", 1) for line in os_release.read_text().splitlines() if "=" in line)
        if os_release.exists()
        else {}
    )
    system = fields.get("ID", "unknown").strip('"')
    if system != "debian":
        raise InstallError(f"this machine runs {system!r}, not Debian, so no node can be installed: {INSTEAD}")
    for tool in ("apt-get", "apt-cache", "dpkg"):
        if shutil.which(tool) is None:
            raise InstallError(f"{tool} is missing, so no node can be installed: {INSTEAD}")
    return fields.get("VERSION_CODENAME", "").strip('"')


def verify(archive: Archive) -> None:
    """Raise ChecksumError unless the file has the SHA-256 of the signed index."""
    found = hashlib.sha256(archive.path.read_bytes()).hexdigest()
    if found != archive.sha256:
        raise ChecksumError(f"{archive.path.name} has SHA-256 {found}, the index says {archive.sha256}")


def archive_addresses(release: str) -> list[str]:
    """Addresses from which this machine's apt takes Debian `release`, component main; InstallError if none."""
    listing = _run(
        [
            "apt-get",
            "indextargets",
            "--no-release-info",
            "--format",
            "$(RELEASE)|$(COMPONENT)|$(REPO_URI)",
            "Created-By: Packages",
        ]
    )
    rows = [line.split("|", 2) for line in listing.splitlines() if line.count("|") >= 2]
    addresses = [uri for suite, component, uri in rows if (suite, component) == (release, COMPONENT)]
    if not addresses:
        raise InstallError(f"apt has no source for Debian {release} {COMPONENT}: add one, or {INSTEAD}")
    return list(dict.fromkeys(addresses))


def apt_configuration(directory: Path, address: str, keyring: Path) -> Path:
    """Write an apt configuration that knows one archive, an empty system and nothing of the machine's state."""
    for part in ("state/lists/partial", "cache/archives/partial", "log"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    sources = directory / "sources.list"
    suites = (SUITE, PACKAGE_SUITE)
    sources.write_text("".join(f"deb [signed-by={keyring}] {address} {suite} {COMPONENT}\n" for suite in suites))
    architecture = _run(["dpkg", "--print-architecture"]).strip()
    status = directory / "status"
    status.write_text(
        "".join(
            f"Package: {name}\nStatus: install ok installed\nVersion: 9999\nArchitecture: {architecture}\n"
            f"Maintainer: nobody\nDescription: assumed\n\n"
            for name in MAINTAINER_SCRIPT_PACKAGES
        )
    )
    configuration = directory / "apt.conf"
    configuration.write_text(
        f"""#clear APT::Update;
#clear DPkg;
Dir::Etc::sourcelist "{sources}";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{directory}/state";
Dir::State::status "{status}";
Dir::Cache "{directory}/cache";
Dir::Log "{directory}/log";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
"""
    )
    return configuration


def _download(scratch: Path) -> list[Archive]:
    """Fetch the node and its libraries into `scratch`."""
    keyring = next((path for path in KEYRINGS if path.exists()), None)
    if keyring is None:
        raise InstallError(f"Debian's archive keys are missing: install debian-archive-keyring, or {INSTEAD}")
    failures = []
    for address in archive_addresses(require_debian()):
        configuration = apt_configuration(scratch, address, keyring)
        try:
            update(configuration)
        except InstallError as error:
            failures.append(str(error))
            continue
        apt_get = ["apt-get", "-c", str(configuration), "--quiet", "--yes"]
        _run([*apt_get, "install", "--download-only", "--target-release", PACKAGE_SUITE, PACKAGE])
        return _indexed_archives(configuration, scratch / "cache" / "archives")
    raise InstallError("no archive of Debian's can be used: " + "; ".join(failures))


def update(configuration: Path) -> None:
    """Fetch the indices; InstallError if they are missing or not signed by Debian's archive keys."""
    options = ["-o", "APT::Update::Error-Mode=any"]
    _run(["apt-get", "-c", str(configuration), "--quiet", *options, "update"])


def _indexed_archives(configuration: Path, folder: Path) -> list[Archive]:
    """Pair every package file in `folder` with its SHA-256 in the indices."""
    files = {}
    for path in folder.glob("*.deb"):
        name, version, _ = path.stem.split("_")  # apt writes the colon of an epoch as %3a
        files[name, version.replace("%3a", ":")] = path
    if not any(name == PACKAGE for name, _ in files):
        raise InstallError(f"apt downloaded no {PACKAGE} into {folder}")
    asked = [f"{name}={version}" for name, version in files]
    records = _run(["apt-cache", "-c", str(configuration), "show", *asked]).split("\n\n")
    digests = {(_field(record, "Package"), _field(record, "Version")): _field(record, "SHA256") for record in records}
    missing = [key for key in files if not digests.get(key)]
    if missing:
        raise ChecksumError(f"the index has no SHA-256 for {missing}")
    return [Archive(path, digests[key]) for key, path in sorted(files.items())]


def _field(record: str, name: str) -> str:
    found = re.search(rf"^{name}: (\S+)$", record, re.MULTILINE)
    return found.group(1) if found else ""


def _run(command: Sequence[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_TIMEOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{' '.join(command[:2])} took more than {DOWNLOAD_TIMEOUT} seconds") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-6:]
        raise InstallError(f"{' '.join(command)} failed ({done.returncode}): " + " / ".join(said))
    return done.stdout


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time install."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
