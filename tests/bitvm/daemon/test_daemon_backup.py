"""Backups of homes: real databases, real tar files, damaged and hostile ones too."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from bitvm.daemon.backup import (
    MANIFEST,
    MAX_BYTES,
    RECOVERY,
    BackupError,
    backup,
    finish_recovery,
    recovery_pending,
    restore,
)
from bitvm.database import Form
from bitvm.graph.parameters import Parameters
from bitvm.keys.journal import AlreadySigned, Journal
from bitvm.keys.path import KeyPath
from bitvm.keys.seed import Seed
from bitvm.script.onetime import NODE
from bitvm.setup.identity import Identity
from bitvm.setup.input_store import InputStore
from bitvm.setup.store import SetupStore

SEED = Seed(bytes(range(32)))
PARAMETERS = Parameters(bytes(24), levels=1, width=4, challengers=1)
WALLET = Form(0x4256_5831, 1, absent="no wallet", precious="a wallet", error=RuntimeError)
INPUT = b"the input" * 1000


def at(field: str) -> KeyPath:
    return KeyPath(b"\x07" * 32, "prover", transaction="Step", field=field)


@pytest.fixture
def home(tmp_path) -> Path:
    """A home with everything in it, one set-up done and one begun, and things that are nobody's."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    SEED.save(path / "seed")
    Identity.create(path / "identity")
    (path / "role").write_text("prover\n")
    with Journal.create(path / "journal.sqlite", SEED) as journal:
        journal.sign(at("A"), NODE, bytes(24))
    with InputStore(path / "inputs.sqlite") as store:
        store.keep(b"\x05" * 32, 1, INPUT)
    WALLET.create(path / "wallet.sqlite", lambda db: db.execute("CREATE TABLE t (a INTEGER NOT NULL) STRICT"))
    setup = path / "setups" / "first-one"
    setup.mkdir(parents=True, mode=0o700)
    (setup / "setup.yaml").write_text("name: first-one\n")
    (setup / "program.elf").write_bytes(b"\x7fELF" + bytes(5000))
    (setup / "start").write_text("100\n")
    with SetupStore.create(setup / "exchange.sqlite", "prover", PARAMETERS) as exchange:
        exchange.keep(0, {"prover": b"offer"})
    (path / "setups" / "no-plan-yet").mkdir()
    (path / "setups" / "no-plan-yet" / "program.elf").write_bytes(b"\x7fELF")
    (path / "notes.txt").write_text("mine")
    (path / "lock").write_text("17\n")
    return path


MEMBERS = {
    "role",
    "identity",
    "journal.sqlite",
    "inputs.sqlite",
    "wallet.sqlite",
    "setups/first-one/setup.yaml",
    "setups/first-one/program.elf",
    "setups/first-one/start",
    "setups/first-one/exchange.sqlite",
}


@pytest.fixture
def saved(home, tmp_path) -> Path:
    backup(home, tmp_path / "saved.tar", with_seed=True)
    return tmp_path / "saved.tar"


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def refused(words: str | None, saved: Path, target: Path, **options) -> None:
    before = sorted(target.parent.iterdir())
    with pytest.raises(BackupError, match=words) as caught:
        restore(saved, target, **options)
    assert str(target.parent) in str(caught.value)
    assert sorted(target.parent.iterdir()) == before


# ---- there and back


@pytest.mark.parametrize("with_seed", [True, False])
def test_a_home_comes_back(home, tmp_path, with_seed):
    saved, back, seed_file = tmp_path / "saved.tar", tmp_path / "back", tmp_path / "home" / "seed"
    backup(home, saved, with_seed=with_seed)
    assert saved.stat().st_mode & 0o777 == 0o600
    with tarfile.open(saved) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile(MANIFEST).read())
    assert set(names) == MEMBERS | {MANIFEST} | ({"seed"} if with_seed else set())
    assert (names[0], names[-1]) == (MANIFEST, "journal.sqlite")
    assert (set(manifest), manifest["version"]) == ({"version", "created", "members"}, 1)
    assert ((home / "seed").read_bytes() in saved.read_bytes()) is with_seed
    restore(saved, back, seed_file=None if with_seed else seed_file)
    assert files(back) == MEMBERS | {"seed", RECOVERY}
    for name in (name for name in MEMBERS if not name.endswith(".sqlite")):
        assert (back / name).read_bytes() == (home / name).read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (back, *back.rglob("*")))
    with Journal.open(back / "journal.sqlite", Seed.load(back / "seed")) as journal:
        assert journal.recorded(at("A")).message == bytes(24)
        with pytest.raises(AlreadySigned):
            journal.sign(at("A"), NODE, b"\1" * 24)
    with InputStore(back / "inputs.sqlite") as store:
        assert store.read(store.roots(b"\x05" * 32, 1)[0]) == INPUT
    with SetupStore.open(back / "setups/first-one/exchange.sqlite", "prover", PARAMETERS) as exchange:
        assert exchange.messages(0) == {"prover": b"offer"}
    Identity.load(back / "identity")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "home", "saved.tar"]


def test_a_restored_home_waits_until_it_knows(home, saved, tmp_path):
    back = tmp_path / "back"
    back.mkdir()  # empty, so it may be taken
    restore(saved, back)
    assert recovery_pending(back)
    assert not recovery_pending(home)
    recovery = json.loads((back / RECOVERY).read_text())
    assert recovery["version"] == 1
    assert recovery["restored_at"] > 1_600_000_000
    finish_recovery(back)
    assert not recovery_pending(back)
    finish_recovery(back)
    with pytest.raises(BackupError, match="cannot be removed"):
        finish_recovery(tmp_path / "nowhere")


def test_a_backup_of_a_restored_home_restores_to_a_waiting_one(saved, tmp_path):
    restore(saved, tmp_path / "back")
    finish_recovery(tmp_path / "back")
    backup(tmp_path / "back", tmp_path / "again.tar", with_seed=True)
    restore(tmp_path / "again.tar", tmp_path / "third")
    assert recovery_pending(tmp_path / "third")


WRITER = """
    import sys
    from pathlib import Path
    from bitvm.database import Form, transaction
    from bitvm.keys.journal import Journal
    from bitvm.keys.path import KeyPath
    from bitvm.keys.seed import Seed
    from bitvm.script.onetime import Window
    home = Path(sys.argv[1])
    wallet = Form(0x4256_5831, 1, absent="", precious="", error=RuntimeError).open(home / "wallet.sqlite")
    with Journal.open(home / "journal.sqlite", Seed.load(home / "seed")) as journal:
        for number in range(100_000):
            place = KeyPath(b"\\7" * 32, "prover", claim=number, transaction="Step", field="t")
            journal.record([(place, Window(width=16, slots=1), (number % 16,))])
            with transaction(wallet):
                wallet.execute("INSERT INTO t VALUES (?)", [number])
            print(number, flush=True)
"""


def test_a_running_daemon_is_backed_up_and_the_journal_knows_most(home, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for count in range(3):
            reached = int(process.stdout.readline())
            backup(home, tmp_path / f"{count}.tar", with_seed=True)
        os.kill(process.pid, signal.SIGKILL)
    for count in range(3):
        restore(tmp_path / f"{count}.tar", tmp_path / f"back {count}")
    back = tmp_path / "back 2"
    with Journal.open(back / "journal.sqlite", SEED) as journal, closing(WALLET.open(back / "wallet.sqlite")) as wallet:
        rows = [number for (number,) in wallet.execute("SELECT a FROM t").fetchall()]
        assert len(rows) > reached
        for number in rows:
            place = KeyPath(b"\7" * 32, "prover", claim=number, transaction="Step", field="t")
            assert journal.recorded(place) is not None


# ---- what is refused


def test_nothing_is_replaced(home, saved, tmp_path):
    before = saved.read_bytes()
    with pytest.raises(BackupError, match=r"saved\.tar: exists"):
        backup(home, saved)
    assert saved.read_bytes() == before
    refused("not empty", saved, home)
    refused("not empty", saved, saved)
    with pytest.raises(BackupError, match="cannot be written"):
        backup(home, tmp_path / "none" / "x.tar")
    with pytest.raises(BackupError, match="cannot be made"):
        restore(saved, tmp_path / "none" / "home")


def test_the_home_of_another_role_is_not_made(saved, tmp_path):
    words = r"saved\.tar: the home of a prover, not of a challenger; use the prover's `restore`"
    refused(words, saved, tmp_path / "back", role="challenger")
    restore(saved, tmp_path / "back", role="prover")


@pytest.mark.parametrize("name", ["role", "identity", "journal.sqlite", "seed"])
def test_what_is_no_whole_home_is_not_backed_up(home, tmp_path, name):
    (home / name).unlink()
    with pytest.raises(BackupError, match=f"{name}: missing"):
        backup(home, tmp_path / "x.tar", with_seed=True)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_damaged_database_is_not_backed_up(home, tmp_path):
    content = (home / "inputs.sqlite").read_bytes()
    (home / "inputs.sqlite").write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with pytest.raises(BackupError, match=r"inputs\.sqlite: damaged"):
        backup(home, tmp_path / "x.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_folder_that_is_no_set_up_is_named(home, tmp_path):
    (home / "setups" / "Not one").mkdir()
    (home / "setups" / "Not one" / "setup.yaml").write_text("")
    with pytest.raises(BackupError, match="Not one: not the name"):
        backup(home, tmp_path / "x.tar")


def test_seeds(home, saved, tmp_path):
    bare, other, back = tmp_path / "bare.tar", tmp_path / "other seed", tmp_path / "back"
    backup(home, bare)
    Seed(bytes(32)).save(other)
    refused("holds no seed", bare, back)
    refused("not the one of its journal", bare, back, seed_file=other)
    refused("another seed than the one", saved, back, seed_file=other)
    refused("no such seed file", bare, back, seed_file=tmp_path / "none")
    other.chmod(0o644)
    refused("chmod 600", bare, back, seed_file=other)
    restore(saved, back, seed_file=home / "seed")


def test_files_that_are_no_backups(tmp_path):
    back, made = tmp_path / "back", tmp_path / "made"
    refused("made: cannot be read: No such file", made, back)
    refused(f"{tmp_path}: cannot be read: Is a directory", tmp_path, back)
    made.write_bytes(b"")
    refused("not a backup, or damaged|does not begin", made, back)
    made.write_bytes(b"a text that is no tar file\n" * 100)
    refused("not a backup, or damaged", made, back)
    with tarfile.open(made, "w") as tar:
        tar.addfile(tarfile.TarInfo("other"))
    refused("does not begin with a manifest", made, back)


def test_a_truncated_backup_is_refused_wherever_it_ends(saved, tmp_path):
    content, cut = saved.read_bytes(), tmp_path / "cut"
    with tarfile.open(saved) as tar:
        end = max(member.offset_data + member.size for member in tar.getmembers())
    for size in [*range(0, 3000, 500), *range(4096, end, end // 12), end - 1]:
        cut.write_bytes(content[:size])
        refused(None, cut, tmp_path / "back")


def test_one_changed_byte_is_refused_or_changes_nothing(saved, tmp_path):
    content, bad, dice, found = saved.read_bytes(), tmp_path / "bad", random.Random(2), 0
    used = [place for place, byte in enumerate(content) if byte]
    for count, place in enumerate(dice.sample(used, 40)):
        bad.write_bytes(content[:place] + bytes([content[place] ^ 1 << dice.randrange(8)]) + content[place + 1 :])
        target = tmp_path / f"back {count}"
        try:
            restore(bad, target)
        except BackupError:
            found += 1
            assert not target.exists()
        else:
            with Journal.open(target / "journal.sqlite", SEED) as journal:
                assert journal.recorded(at("A")).message == bytes(24)
    assert found > 30


# ---- hostile files


def contents(saved: Path) -> dict[str, bytes]:
    with tarfile.open(saved) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}


def remade(saved: Path, path: Path, change, extra=()) -> Path:
    """A backup whose manifest was changed, and to which members were added."""
    parts = contents(saved)
    manifest = json.loads(parts[MANIFEST])
    replaced = change(manifest)
    manifest = replaced if isinstance(replaced, list) else manifest
    parts[MANIFEST] = json.dumps(manifest).encode()
    members = [(tarfile.TarInfo(name), content) for name, content in parts.items()]
    with tarfile.open(path, "w") as tar:
        for member, content in [*members, *extra]:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(version=2), "version 2; this program knows version 1"),
        (lambda m: m.update(more=1), "version, created and members needed"),
        (lambda _: [1], "version, created and members needed"),
        (lambda m: m.update(members=[]), "files by name needed"),
        (lambda m: m["members"].pop("journal.sqlite"), "journal.sqlite is missing"),
        (lambda m: m["members"].pop("wallet.sqlite"), "holds 'wallet.sqlite'"),
        (lambda m: m["members"].update({"daemon.sqlite": m["members"]["role"]}), "daemon.sqlite is missing"),
        (lambda m: m["members"].update({"../role": m["members"]["role"]}), "'../role' is no file of a home"),
        (lambda m: m["members"].update({"/etc/role": m["members"]["role"]}), "is no file of a home"),
        (lambda m: m["members"].update({"setups/../x.sqlite": m["members"]["role"]}), "is no file of a home"),
        (lambda m: m["members"].update({"recovery.json": m["members"]["role"]}), "is no file of a home"),
        (lambda m: m["members"].update({"role\n": m["members"]["role"]}), "is no file of a home"),
        (lambda m: m["members"]["role"].update(size=MAX_BYTES), "no backup of a home"),
        (lambda m: m["members"]["role"].update(size=-1), "sha256 and size needed"),
        (lambda m: m["members"]["role"].update(size=8), "role is not the file"),
        (lambda m: m["members"]["role"].update(size=True), "sha256 and size needed"),
        (lambda m: m["members"]["role"].update(sha256="00" * 32), "role is damaged"),
        (lambda m: m["members"].update(dict.fromkeys(map(str, range(20_000)))), "at most 10000 files"),
    ],
)
def test_manifests_that_nobody_wrote(saved, tmp_path, change, words):
    refused(words, remade(saved, tmp_path / "made.tar", change), tmp_path / "back")


def header(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (header("role"), r"which its manifest does not name \(again\)"),
        (header(MANIFEST), "does not name"),
        (header("../../evil"), "does not name"),
        (header("/tmp/evil"), "does not name"),
        (header("setups", tarfile.DIRTYPE), "does not name"),
    ],
)
def test_members_that_the_manifest_does_not_name(saved, tmp_path, member, words):
    refused(words, remade(saved, tmp_path / "made.tar", lambda _: None, [(member, b"")]), tmp_path / "back")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_members_that_are_no_files(saved, tmp_path, kind):
    """The manifest names it, and where it points to there is even the right content."""
    made, parts = tmp_path / "made.tar", contents(saved)
    manifest = json.loads(parts[MANIFEST])
    manifest["members"]["wallet.sqlite"]["size"] = 0
    with tarfile.open(made, "w") as tar:
        for name, content in {**parts, MANIFEST: json.dumps(manifest).encode()}.items():
            member = header(name, kind, "journal.sqlite") if name == "wallet.sqlite" else header(name)
            member.size = 0 if name == "wallet.sqlite" else len(content)
            tar.addfile(member, io.BytesIO(content[: member.size]))
    refused("wallet.sqlite is not the file", made, tmp_path / "back")


def test_a_packed_backup_is_not_unpacked(tmp_path):
    with tarfile.open(tmp_path / "made.tar.gz", "w:gz") as tar:
        tar.addfile(header(MANIFEST))
    refused("not a backup, or damaged", tmp_path / "made.tar.gz", tmp_path / "back")


def test_a_huge_manifest_is_not_read(tmp_path):
    with tarfile.open(tmp_path / "made.tar", "w") as tar:
        member = header(MANIFEST)
        member.size = 2**22 + 1
        tar.addfile(member, io.BytesIO(bytes(member.size)))
    refused("does not begin with a manifest", tmp_path / "made.tar", tmp_path / "back")


def test_a_database_that_is_none_is_refused(saved, tmp_path):
    """Hashes only say that the file is as it was made; the databases are looked at too."""
    made, parts = tmp_path / "made.tar", contents(saved)
    for name, words in (("wallet.sqlite", "not a database"), ("journal.sqlite", "not an SQLite database")):
        bad = b"no database " * 100
        manifest = json.loads(parts[MANIFEST])
        manifest["members"][name] = {"sha256": hashlib.sha256(bad).hexdigest(), "size": len(bad)}
        with tarfile.open(made, "w") as tar:
            for member, content in {**parts, MANIFEST: json.dumps(manifest).encode(), name: bad}.items():
                made_header = header(member)
                made_header.size = len(content)
                tar.addfile(made_header, io.BytesIO(content))
        refused(words, made, tmp_path / "back")
