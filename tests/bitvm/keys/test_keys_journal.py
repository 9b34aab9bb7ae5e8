"""The one-time journal: real files, real processes, real schemes."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from bitvm.keys.journal import (
    AlreadySigned,
    Entry,
    ForeignJournalError,
    Journal,
    JournalBusyError,
    JournalCorruptError,
    JournalError,
    JournalExistsError,
    JournalMissingError,
    JournalSeedError,
    JournalVersionError,
    MessageError,
    one_time_public_key,
)
from bitvm.keys.path import KeyPath
from bitvm.keys.seed import Seed
from bitvm.script.onetime import NODE, NODE_USED, OneTimeError, Window

SEED = Seed(bytes(range(32)))
DIGIT = Window(width=8, slots=2)
NODES = [bytes([n]) * 24 for n in range(4)]


def at(field: str, claim: int = 0) -> KeyPath:
    return KeyPath(b"\x07" * 32, "prover", claim, transaction="Step", field=field)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "one time.journal"


@pytest.fixture
def journal(file):
    with Journal.create(file, SEED) as opened:
        yield opened


# ---- signing


def test_a_signature_verifies_and_comes_again(journal):
    path = at("A")
    public = one_time_public_key(SEED, path, NODE)
    signature = journal.sign(path, NODE, NODES[1])
    assert NODE.verify(getattr(public, "values", public), signature) == NODES[1]
    assert journal.sign(path, NODE, NODES[1]) == signature
    assert journal.recorded(path) == Entry(path, NODE.name, NODES[1])


def test_another_message_is_refused_by_name(journal):
    path = at("A")
    journal.sign(path, NODE, NODES[1])
    with pytest.raises(AlreadySigned) as caught:
        journal.sign(path, NODE, NODES[2])
    for word in (str(path), NODES[1].hex(), NODES[2].hex()):
        assert word in str(caught.value)
    assert caught.value.path == path
    assert (caught.value.recorded.message, caught.value.refused.message) == (NODES[1], NODES[2])
    assert journal.recorded(path).message == NODES[1]


def test_one_key_has_one_scheme(journal):
    journal.sign(at("A"), NODE, NODES[1])
    with pytest.raises(AlreadySigned, match=NODE_USED.name.replace("(", r"\(").replace(")", r"\)")):
        journal.sign(at("A"), NODE_USED, NODES[1])


def test_keys_differ_by_path_scheme_and_seed():
    publics = [
        one_time_public_key(seed, path, scheme)
        for seed in (SEED, Seed(bytes(32)))
        for path in (at("A"), at("B"), at("A", claim=1))
        for scheme in (Window(width=16, slots=2), Window(width=16, slots=3))
    ]
    values = [value for public in publics for value in getattr(public, "values", public)]
    assert len(set(values)) == len(values)


def test_digits_are_bytes_in_the_journal(journal):
    journal.sign(at("t"), DIGIT, (7, 3))
    assert journal.recorded(at("t")).message == b"\x07\x03"
    assert journal.sign(at("t"), DIGIT, [7, 3]) == journal.sign(at("t"), DIGIT, (7, 3))
    with pytest.raises(AlreadySigned):
        journal.sign(at("t"), DIGIT, (3, 7))


@pytest.mark.parametrize("message", [5, None, "node", (256, 0), (-1, 0), (1.0, 2), ("a", "b")])
def test_what_is_no_message(journal, message):
    with pytest.raises(MessageError):
        journal.sign(at("t"), DIGIT, message)
    assert journal.recorded(at("t")) is None


@pytest.mark.parametrize(("scheme", "message"), [(DIGIT, (8, 0)), (DIGIT, (1, 2, 3)), (NODE, bytes(23))])
def test_a_message_that_the_scheme_refuses_does_not_use_up_the_key(journal, scheme, message):
    with pytest.raises(OneTimeError):
        journal.sign(at("t"), scheme, message)
    assert journal.recorded(at("t")) is None


def test_a_batch_is_recorded_whole_or_not_at_all(journal):
    batch = [(at(f"node {n}"), NODE, node) for n, node in enumerate(NODES)]
    signatures = journal.sign_many([*batch, (at("t"), DIGIT, (1, 2))])
    assert len(signatures) == 5
    assert signatures[2] == journal.sign(at("node 2"), NODE, NODES[2])
    before = list(journal.entries())
    with pytest.raises(AlreadySigned):
        journal.sign_many([(at("new"), NODE, NODES[0]), (at("node 2"), NODE, NODES[0])])
    with pytest.raises(AlreadySigned):
        journal.sign_many([(at("twice"), NODE, NODES[0]), (at("twice"), NODE, NODES[1])])
    with pytest.raises(OneTimeError):
        journal.sign_many([(at("new"), NODE, NODES[0]), (at("bad"), DIGIT, (9, 9))])
    assert list(journal.entries()) == before
    assert journal.sign_many([]) == ()


def test_what_the_chain_has_seen_can_be_recorded(journal):
    journal.record([(at("A"), NODE, NODES[1])])
    with pytest.raises(AlreadySigned):
        journal.sign(at("A"), NODE, NODES[2])
    journal.sign(at("A"), NODE, NODES[1])


class OpenScheme:
    """Shows what a scheme is given: the public key is the seed, the signature is the message."""

    def __init__(self, name="open", on_encode=lambda: None):
        self.name, self._on_encode = name, on_encode

    def encode(self, message):
        self._on_encode()
        return tuple(message)

    def secret_key(self, seed):
        return SimpleNamespace(public=seed, sign=bytes)


def test_schemes_of_one_path_grow_from_different_seeds():
    seeds = [one_time_public_key(SEED, at("A"), OpenScheme(name)) for name in ("one", "other")]
    assert [len(seed) for seed in seeds] == [32, 32]
    assert seeds[0] != seeds[1]


def test_the_message_cannot_change_between_record_and_signature(journal):
    digits = [1, 2]
    scheme = OpenScheme(on_encode=digits.clear)
    assert journal.sign(at("t"), scheme, digits) == journal.recorded(at("t")).message == b"\x01\x02"


# ---- crashes and other processes


def run_python(program: str, *arguments: object) -> subprocess.Popen:
    prelude = """
        import os, signal, sys
        from pathlib import Path
        from bitvm.keys.journal import AlreadySigned, Journal
        from bitvm.keys.path import KeyPath
        from bitvm.keys.seed import Seed
        from bitvm.script.onetime import NODE, Window
        SEED = Seed(bytes(range(32)))
        def at(field, claim=0):
            return KeyPath(b"\\x07" * 32, "prover", claim, transaction="Step", field=field)
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        journal = Journal.open(Path(sys.argv[1]), SEED)
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(program)
    command = [sys.executable, "-W", "error", "-c", source, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_killed_between_record_and_signature(journal, file):
    journal.close()
    process = run_python(
        """
        class Scheme:  # dies exactly where the signature would be made
            name, encode, secret_key = NODE.name, NODE.encode, die
        journal.sign(at("A"), Scheme(), bytes(24))
        """,
        file,
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    with Journal.open(file, SEED) as again:
        assert again.recorded(at("A")).message == bytes(24)
        with pytest.raises(AlreadySigned):
            again.sign(at("A"), NODE, NODES[1])
        again.sign(at("A"), NODE, bytes(24))


def test_killed_inside_the_transaction(journal, file):
    journal.close()
    process = run_python(
        """
        insert = Journal._insert
        def insert_then_die(self, entry):
            insert(self, entry)
            if entry.path == at("B"):
                die()
        Journal._insert = insert_then_die
        journal.sign_many([(at("A"), NODE, bytes(24)), (at("B"), NODE, bytes(24))])
        """,
        file,
    )
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    with Journal.open(file, SEED) as again:
        assert list(again.entries()) == []


def test_whatever_was_signed_before_a_kill_is_in_the_file_alone(journal, file, tmp_path):
    journal.close()
    process = run_python(
        """
        scheme = Window(width=8, slots=2)
        for claim in range(1_000_000):
            journal.sign(at("t", claim), scheme, (claim % 8, claim // 8 % 8))
            print(claim, flush=True)
        """,
        file,
    )
    claims = [int(process.stdout.readline()) for _ in range(30)]
    process.kill()
    claims += [int(line) for line in process.communicate(timeout=60)[0].split()]
    copy = tmp_path / "copy"
    shutil.copy(file, copy)  # without the write-ahead log
    for path in (copy, file):
        with Journal.open(path, SEED) as again:
            for claim in claims:
                assert again.recorded(at("t", claim)).message == bytes((claim % 8, claim // 8 % 8))


def test_processes_that_race_agree_on_one_message(journal, file):
    program = """
        print("ready", flush=True)
        sys.stdin.readline()
        won = []
        for claim in range(25):
            try:
                journal.sign(at("t", claim), Window(width=8, slots=2), (int(sys.argv[2]), 0))
                won.append(claim)
            except AlreadySigned:
                pass
        print(*won)
    """
    processes = [run_python(program, file, number) for number in range(3)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 3
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [{int(claim) for claim in process.communicate(timeout=60)[0].split()} for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    for claim in range(25):
        (winner,) = [number for number in range(3) if claim in won[number]]
        assert journal.recorded(at("t", claim)).message == bytes((winner, 0))


def test_two_openers_see_each_other(journal, file):
    with Journal.open(file, SEED) as other:
        journal.sign(at("A"), NODE, NODES[1])
        with pytest.raises(AlreadySigned):
            other.sign(at("A"), NODE, NODES[2])


def test_a_lock_that_stays_is_named(journal, file, monkeypatch):
    monkeypatch.setattr("bitvm.database.BUSY_SECONDS", 0.05)
    with Journal.open(file, SEED) as waiting:
        journal._database.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalBusyError, match="locked"):
            waiting.sign(at("A"), NODE, NODES[1])
        journal._database.execute("ROLLBACK")
        waiting.sign(at("A"), NODE, NODES[1])


# ---- files


def test_durable_and_private(journal, file):
    database = journal._database
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    assert file.stat().st_mode & 0o777 == 0o600


def test_create_never_replaces(journal, file):
    journal.sign(at("A"), NODE, NODES[1])
    with pytest.raises(JournalExistsError):
        Journal.create(file, SEED)
    assert journal.recorded(at("A")).message == NODES[1]
    assert {entry.name.removeprefix(file.name) for entry in file.parent.iterdir()} == {"", "-wal", "-shm"}


def test_create_where_nothing_can_be(tmp_path):
    with pytest.raises(JournalError, match="cannot be made"):
        Journal.create(tmp_path / "nowhere" / "journal", SEED)


def test_open_never_creates(file):
    with pytest.raises(JournalMissingError):
        Journal.open(file, SEED)
    assert not file.exists()


def filled(file: Path) -> bytes:
    with Journal.create(file, SEED) as journal:
        journal.record([(at(f"node {n}", claim), NODE, NODES[n]) for n in range(4) for claim in range(40)])
    return file.read_bytes()


def refused(file: Path, content: bytes, error: type[JournalError], words: str | None = None, seed: Seed = SEED) -> None:
    file.write_bytes(content)
    with pytest.raises(error, match=words) as caught:
        Journal.open(file, seed)
    assert type(caught.value) is error
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content


def test_the_journal_of_another_seed(file):
    refused(file, filled(file), JournalSeedError, seed=Seed(bytes(32)))


def test_a_refused_journal_is_not_even_recovered(journal, file):
    journal.close()
    process = run_python('journal.record([(at("A"), NODE, bytes(24))]); die()', file)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors
    assert file.with_name(file.name + "-wal").stat().st_size > 0  # it would be written back over this page
    content = bytearray(file.read_bytes())
    content[content.index(str(at("A")).encode()) - 60] ^= 1
    refused(file, bytes(content), JournalSeedError, seed=Seed(bytes(32)))


def test_not_a_database(file):
    refused(file, b"a text that is no database, and long enough for a header\n" * 4, ForeignJournalError, "SQLite")
    refused(file, b"short", ForeignJournalError, "SQLite")


def test_the_database_of_another_application(file):
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE entries (path TEXT, scheme TEXT, message BLOB, seal BLOB)")
    connection.close()
    refused(file, file.read_bytes(), ForeignJournalError, "another application")


def test_a_schema_of_the_future(file):
    content = filled(file)
    refused(file, content[:60] + (2).to_bytes(4, "big") + content[64:], JournalVersionError, "version 2")


def test_a_schema_that_lies(file):
    filled(file)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("ALTER TABLE entries RENAME TO others")
    connection.close()
    with pytest.raises(JournalError, match="no such table"):
        Journal.open(file, SEED)


@pytest.mark.parametrize("kept", [0, 1, 15, 16, 99, 100, 512, 4096, 5000, 3 * 4096, -4096, -1])
def test_truncated(file, kept):
    refused(file, filled(file)[:kept], JournalCorruptError)


def test_every_overwritten_page_is_noticed(file):
    content = filled(file)
    for page in range(1, len(content) // 4096):
        start = page * 4096
        refused(file, content[:start] + b"\xa5" * 4096 + content[start + 4096 :], JournalCorruptError, "damaged")


@pytest.mark.parametrize("what", [NODES[2], str(at("node 3", 5)).encode(), NODE.name.encode()])
def test_one_changed_bit_of_an_entry_is_noticed(file, what):
    content = filled(file)
    # a path is in the table and in its index
    places = [place for place in range(len(content)) if content.startswith(what, place)]
    for place in {places[0], places[-1]}:
        for offset in (0, len(what) - 1):
            changed = bytearray(content)
            changed[place + offset] ^= 1
            refused(file, bytes(changed), JournalCorruptError, "damaged")


def test_an_entry_moved_to_another_path_is_noticed(file):
    filled(file)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("UPDATE entries SET path = ? WHERE path = ?", [str(at("free")), str(at("node 1"))])
    connection.close()
    with pytest.raises(JournalCorruptError, match="fails its check"):
        Journal.open(file, SEED)


def test_damage_after_opening_is_noticed_before_signing(journal, file):
    journal.sign(at("A"), NODE, NODES[1])
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("UPDATE entries SET message = ?", [NODES[2]])
    connection.close()
    with pytest.raises(JournalCorruptError):
        journal.sign(at("A"), NODE, NODES[2])


def test_a_folder_is_no_journal(tmp_path):
    with pytest.raises(JournalError, match="cannot be read"):
        Journal.open(tmp_path, SEED)
