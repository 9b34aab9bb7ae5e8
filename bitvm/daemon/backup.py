"""One file that brings a party's home back, and what a home that came back has to wait for.

A backup is a tar file: a manifest (JSON, with the SHA256 of every member), then the files of the home: role, identity,
every database as a consistent copy, and of every set-up its plan, program and start. It can be made while the daemon
runs. The journal is copied last, so it holds what the other databases rely on. The seed is in it only where that is
asked for; a seed that is kept elsewhere never changes, and with it alone the file is worth little to a thief.

A backup is always older than the party: what it signed since is not in the journal that comes back, and a one-time key
that signs twice is broken. So a restored home holds ``recovery.json``, and a daemon that finds it signs nothing until
it knows again what was signed (`recovery_pending`, `finish_recovery`). Never run a home and its restored copy at once.

What is guaranteed: a backup and a restored home appear complete and on disk, or not at all, and replace nothing. Both
are for their owner alone. `restore` takes nothing that the manifest does not name with this hash, writes nowhere else
than into the new folder, and refuses a seed that is not the journal's. Every failure is a `BackupError`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bitvm import database
from bitvm.daemon.config import Role
from bitvm.files import write_new
from bitvm.keys.journal import Journal, JournalError, JournalSeedError
from bitvm.keys.seed import Seed, SeedError, sync_folder

VERSION = 1
"""The version of manifest and ``recovery.json``."""

MANIFEST = "manifest.json"
RECOVERY = "recovery.json"
"""The file that keeps a restored home from signing."""

SEED, JOURNAL = "seed", "journal.sqlite"
REQUIRED = ("role", "identity", JOURNAL)
"""Without these a folder is no home."""

MAX_MANIFEST_BYTES = 2**22
MAX_MEMBERS = 10_000
MAX_BYTES = 2**36
"""What a backup holds at most in all, unpacked; more is refused before it is written."""

_DATABASE = r"[a-z][a-z0-9_]{0,31}\.sqlite"
_SETUP = r"setups/[a-z0-9-]{1,40}/"
_MEMBER = re.compile(rf"role|identity|seed|{_DATABASE}|{_SETUP}({_DATABASE}|setup\.yaml|program\.elf|start)")
_CHUNK = 2**20


class BackupError(Exception):
    """A backup that cannot be made, read or restored; names the file and the fix."""


@dataclass(frozen=True, slots=True)
class _Member:
    """What the manifest says of a file."""

    sha256: str
    size: int


# ---- making one


def backup(home_folder: Path, target_file: Path, *, with_seed: bool = False) -> None:
    """Write a backup of a home, running or not, to a new file; raises BackupError."""
    names = _names(home_folder, with_seed=with_seed)
    target = target_file.absolute()
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as drafts:
            copies = Path(drafts) / "copies"
            for name in names:
                _copy(home_folder / name, copies / name)
            draft = Path(drafts) / "backup"
            _pack(copies, names, draft)
            os.link(draft, target)
        sync_folder(target.parent)
    except FileExistsError:
        raise BackupError(f"{target_file}: exists; a backup replaces nothing, give another name") from None
    except OSError as error:
        raise BackupError(f"{target_file}: cannot be written: {_why(error)}") from error


def _names(home: Path, *, with_seed: bool) -> list[str]:
    """Return what a backup of the home holds, the journal last; raises BackupError."""
    for name in (*REQUIRED, *([SEED] if with_seed else [])):
        if not (home / name).is_file():
            raise BackupError(f"{home / name}: missing, so this is no whole home; name the data folder of a party")
    setups = (plan.parent for plan in home.glob("setups/*/setup.yaml"))
    folders = [home, *sorted(folder for folder in setups if not folder.name.startswith("."))]
    found = [path.relative_to(home).as_posix() for folder in folders for path in sorted(folder.iterdir())]
    wanted = [name for name in found if _MEMBER.fullmatch(name) and (with_seed or name != SEED) and name != JOURNAL]
    for folder in folders[1:]:
        if f"{folder.relative_to(home).as_posix()}/setup.yaml" not in wanted:
            raise BackupError(f"{folder}: not the name of a set-up; move this folder out of the home")
    return [*wanted, JOURNAL]


def _copy(source: Path, target: Path) -> None:
    """Copy a file of the home, a database as one moment of it."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if source.suffix == ".sqlite":
        try:
            database.copy(source, target)
        except database.CopyError as error:
            raise BackupError(str(error)) from error
    else:
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise BackupError(f"{source}: cannot be copied: {_why(error)}") from error


def _pack(folder: Path, names: list[str], draft: Path) -> None:
    """Write the tar file, durably."""
    created = int(time.time())
    members = {name: {"sha256": _digest(folder / name), "size": (folder / name).stat().st_size} for name in names}
    manifest = json.dumps({"version": VERSION, "created": created, "members": members}, indent=1).encode()
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_header(MANIFEST, len(manifest), created), io.BytesIO(manifest))
            for name in names:
                with (folder / name).open("rb") as member:
                    tar.addfile(_header(name, members[name]["size"], created), member)
        file.flush()
        os.fsync(file.fileno())


def _header(name: str, size: Any, created: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = int(size), 0o600, created
    return header


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---- bringing it back


def restore(backup_file: Path, home_folder: Path, *, seed_file: Path | None = None, role: Role | None = None) -> None:
    """Make the home of a backup in a new or empty folder; raises BackupError, and then nothing is there.

    seed_file: the party's seed, where the backup does not hold it. role: whose home it has to be, if that matters. The
    home waits for its recovery.
    """
    home = home_folder.absolute()
    if home.exists() and not (home.is_dir() and not any(home.iterdir())):
        raise BackupError(f"{home_folder}: not empty; a home is restored into a new or empty folder")
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=home.parent))
        try:
            members = _unpack(backup_file, draft)
            _check_role(backup_file, draft, role)
            _seed(backup_file, draft, members, seed_file)
            _check(backup_file, draft, members)
            recovery = {"version": VERSION, "restored_at": int(time.time())}
            write_new(draft / RECOVERY, json.dumps(recovery).encode() + b"\n")
            for folder in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
                sync_folder(folder)
            draft.rename(home)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(home.parent)
    except OSError as error:
        raise BackupError(f"{home_folder}: cannot be made: {_why(error)}") from error


def _unpack(backup_file: Path, draft: Path) -> Mapping[str, _Member]:
    """Write all members into the folder and return them; raises BackupError at the first that is wrong."""
    with _tar_errors(backup_file), backup_file.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
        first = tar.next()
        if first is None or first.name != MANIFEST or not first.isreg() or first.size > MAX_MANIFEST_BYTES:
            raise BackupError(f"{backup_file}: does not begin with a manifest, so it is no backup of a home")
        members = _read_manifest(backup_file, _content(tar, first).read())
        written: set[str] = set()
        while (header := tar.next()) is not None:
            expected = members.get(header.name)
            if expected is None or header.name in written:
                raise BackupError(
                    f"{backup_file}: holds {header.name!r:.100}, which its manifest does not name (again)"
                )
            if not header.isreg() or header.issparse() or header.size != expected.size:
                raise BackupError(f"{backup_file}: {header.name} is not the file that the manifest names")
            path = draft / header.name
            for folder in reversed(Path(header.name).parents):
                (draft / folder).mkdir(mode=0o700, exist_ok=True)
            if _write(_content(tar, header), path) != expected.sha256:
                raise BackupError(f"{backup_file}: {header.name} is damaged; take another backup")
            written.add(header.name)
    if missing := sorted(set(members) - written):
        raise BackupError(f"{backup_file}: {missing[0]} is missing: the file is truncated; take another backup")
    return members


@contextmanager
def _tar_errors(backup_file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename == str(backup_file):
            raise BackupError(f"{backup_file}: cannot be read: {error.strerror}; name the file of a backup") from None
        raise
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise BackupError(f"{backup_file}: not a backup, or damaged: {error}; take another backup") from error


def _content(tar: tarfile.TarFile, header: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(header)
    if content is None:
        raise tarfile.ReadError(f"{header.name} has no content")
    return content


def _write(content: IO[bytes], path: Path) -> str:
    """Write a new file, durably, and return its SHA256."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _read_manifest(backup_file: Path, content: bytes) -> Mapping[str, _Member]:
    """Return the members; raises BackupError for anything but what `backup` writes."""
    where = f"{backup_file}: {MANIFEST}"
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BackupError(f"{where}: not JSON: {error}") from error
    if not isinstance(manifest, dict) or set(manifest) != {"version", "created", "members"}:
        raise BackupError(f"{where}: version, created and members needed; this is no backup of a home")
    if manifest["version"] != VERSION:
        raise BackupError(f"{where}: version {manifest['version']!r:.40}; this program knows version {VERSION}")
    listed = manifest["members"]
    if not isinstance(listed, dict) or len(listed) > MAX_MEMBERS:
        raise BackupError(f"{where}: members: at most {MAX_MEMBERS} files by name needed")
    members = {name: _member(where, name, fields) for name, fields in listed.items()}
    if sum(member.size for member in members.values()) > MAX_BYTES:
        raise BackupError(f"{where}: more than {MAX_BYTES} bytes; this is no backup of a home")
    for name in REQUIRED:
        if name not in members:
            raise BackupError(f"{where}: {name} is missing; this is no backup of a whole home")
    return members


def _member(where: str, name: str, fields: Any) -> _Member:
    if _MEMBER.fullmatch(name) is None:
        raise BackupError(f"{where}: {name!r:.100} is no file of a home")
    match fields:
        case {"sha256": str(digest), "size": int(size), **rest} if (
            not rest and size >= 0 and not isinstance(size, bool)
        ):
            return _Member(digest, size)
    raise BackupError(f"{where}: {name}: sha256 and size needed, got {fields!r:.100}")


def _check_role(backup_file: Path, draft: Path, role: Role | None) -> None:
    found = (draft / "role").read_text(errors="replace").strip()
    if role is not None and found != role:
        raise BackupError(f"{backup_file}: the home of a {found:.20}, not of a {role}; use the {found:.20}'s `restore`")


def _seed(backup_file: Path, draft: Path, members: Mapping[str, _Member], seed_file: Path | None) -> None:
    """Put the seed into the folder, or check that it is the one that came with the backup."""
    if seed_file is None:
        if SEED not in members:
            raise BackupError(f"{backup_file}: holds no seed; name the seed file of this party too")
        return
    try:
        seed = Seed.load(seed_file)
        if SEED not in members:
            seed.save(draft / SEED)
        elif Seed.load(draft / SEED).identity != seed.identity:
            raise BackupError(
                f"{seed_file}: another seed than the one in {backup_file}; leave it out, or name the other"
            )
    except SeedError as error:
        raise BackupError(str(error)) from error


def _check(backup_file: Path, draft: Path, members: Mapping[str, _Member]) -> None:
    """Check seed, journal and databases with those that use them."""
    try:
        Journal.open(draft / JOURNAL, Seed.load(draft / SEED)).close()
    except JournalSeedError as error:
        raise BackupError(f"{backup_file}: the seed is not the one of its journal; name that party's seed") from error
    except (JournalError, SeedError) as error:
        raise BackupError(f"{backup_file}: {error}; take another backup") from error
    for name in members:
        if name.endswith(".sqlite"):
            try:
                database.check(draft / name)
            except database.CopyError as error:
                raise BackupError(f"{backup_file}: {error}; take another backup") from error


# ---- afterwards


def recovery_pending(home_folder: Path) -> bool:
    """Whether the home was restored and does not know yet what was signed since the backup: it signs nothing."""
    return (home_folder / RECOVERY).exists()


def restored_at(home_folder: Path) -> str:
    """Return what tells this restore from every other one, in one word; raises BackupError where none is pending."""
    path = home_folder / RECOVERY
    try:
        content = json.loads(path.read_bytes())
        return str(int(content["restored_at"]))
    except OSError as error:
        raise BackupError(f"{path}: cannot be read: {_why(error)}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise BackupError(f"{path}: does not say when the home was restored; restore it again") from error


def finish_recovery(home_folder: Path) -> None:
    """Let the home sign again, durably; nothing happens where no recovery is pending. Raises BackupError.

    Call it when the journal holds all that the opponents, the chain and the mempool have seen.
    """
    try:
        (home_folder / RECOVERY).unlink(missing_ok=True)
        sync_folder(home_folder)
    except OSError as error:
        raise BackupError(f"{home_folder / RECOVERY}: cannot be removed: {_why(error)}") from error


def _why(error: OSError) -> str:
    if error.errno in (errno.EBUSY, errno.EXDEV):
        return "a volume is mounted there; name a folder inside it"
    return str(error.strerror or error)
