"""One way to use SQLite: forms, transactions, copies. Real files, real processes, both ways of being durable."""

import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from pathlib import Path

import pytest

import bitvm
from bitvm import database as module
from bitvm.database import CopyError, Form, check, copy, transaction


class ExampleError(Exception):
    pass


class ExistsError(ExampleError):
    pass


class MissingError(ExampleError):
    pass


class ForeignError(ExampleError):
    pass


class CorruptError(ExampleError):
    pass


class BusyError(ExampleError):
    pass


class VersionError(ExampleError):
    pass


def form(*, wal: bool, version: int = 1) -> Form:
    return Form(
        0x4256_5831,
        version,
        absent="no example",
        precious="an example",
        error=ExampleError,
        exists=ExistsError,
        missing=MissingError,
        foreign=ForeignError,
        version=VersionError,
        corrupt=CorruptError,
        busy=BusyError,
        wal=wal,
    )


def schema(database):
    database.execute("CREATE TABLE example (a INTEGER NOT NULL) STRICT")


@pytest.fixture(params=[True, False], ids=["wal", "rollback"])
def example(request, tmp_path):
    """A form and the path of an empty database of it."""
    made = form(wal=request.param)
    path = tmp_path / "an example? #1.sqlite"
    made.create(path, schema)
    return made, path


def insert(database, *numbers):
    for number in numbers:
        database.execute("INSERT INTO example VALUES (?)", [number])


def numbers_in(path):
    with closing(sqlite3.connect(path)) as database:
        return [number for (number,) in database.execute("SELECT a FROM example ORDER BY a")]


def test_a_transaction_is_there_as_a_whole_or_not_at_all(example):
    made, path = example
    with closing(made.open(path)) as database, closing(made.open(path)) as other:
        with transaction(database):
            insert(database, 1, 2)
            assert other.execute("SELECT count(*) FROM example").fetchone() == (0,)
        with pytest.raises(sqlite3.IntegrityError), transaction(database):
            insert(database, 3, None)
        assert other.execute("SELECT count(*) FROM example").fetchone() == (2,)
        assert database.execute("PRAGMA synchronous").fetchone() == ((2,) if made.wal else (3,))
        assert database.execute("PRAGMA journal_mode").fetchone() == (("wal",) if made.wal else ("delete",))
    assert numbers_in(path) == [1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_any_thread_may_use_a_connection(example):
    made, path = example
    with closing(made.open(path)) as database:

        def work():
            with transaction(database):
                insert(database, 7)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert numbers_in(path) == [7]


def test_create_replaces_nothing_and_leaves_nothing_behind(example, tmp_path):
    made, path = example
    before = path.read_bytes()
    with pytest.raises(ExistsError, match="an example is never replaced"):
        made.create(path, schema)
    with pytest.raises(ExampleError, match="cannot be made"):
        made.create(tmp_path / "none" / "x", schema)
    with pytest.raises(ExampleError, match="syntax error"):
        made.create(tmp_path / "y", lambda database: database.execute("CREATE NONSENSE"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_open_refuses_what_is_not_its_own(example, tmp_path):
    made, path = example
    whole = path.read_bytes()

    def refused(content, error, words, opener=made):
        path.write_bytes(content)
        with pytest.raises(error, match=words) as caught:
            opener.open(path)
        assert type(caught.value) is error
        assert path.read_bytes() == content

    refused(b"a text", ForeignError, "not an SQLite")
    refused(b"", CorruptError, "truncated: 0 bytes")
    refused(whole[:99], CorruptError, "truncated: 99 bytes")
    refused(whole[:68] + b"BVX2" + whole[72:], ForeignError, "another application")
    refused(whole, VersionError, "schema version 1; this program knows version 2", form(wal=made.wal, version=2))
    with pytest.raises(MissingError, match="no example"):
        made.open(tmp_path / "nothing")
    with pytest.raises(ExampleError, match="cannot be read"):
        made.open(tmp_path)
    assert not (tmp_path / "nothing").exists()


def test_a_form_without_special_errors_raises_its_general_one(tmp_path):
    plain = Form(1, 1, absent="none", precious="it", error=ExampleError)
    plain.create(tmp_path / "x", schema)
    for attempt in (lambda: plain.create(tmp_path / "x", schema), lambda: plain.open(tmp_path / "y")):
        with pytest.raises(ExampleError) as caught:
            attempt()
        assert type(caught.value) is ExampleError


def test_a_check_only_reads(tmp_path):
    made, path = form(wal=True), tmp_path / "x"
    made.create(path, schema)
    with pytest.raises(ExampleError, match="readonly"):
        made.open(path, lambda database: insert(database, 1))
    with pytest.raises(ZeroDivisionError):
        made.open(path, lambda _: 1 / 0)
    made.open(path, schema_is_there).close()
    assert numbers_in(path) == []


def schema_is_there(database):
    assert database.execute("SELECT count(*) FROM example").fetchone() == (0,)


def test_damage_locks_and_misuse_are_told_apart(example, monkeypatch):
    made, path = example
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.05)
    with closing(made.open(path)) as database, closing(made.open(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusyError, match="locked"), made.errors(path), transaction(database):
            insert(database, 1)
        other.execute("ROLLBACK")
        with pytest.raises(CorruptError, match="UTF-8"), made.errors(path):
            database.execute("SELECT CAST(x'ff' AS TEXT)").fetchone()
        with pytest.raises(ExampleError, match="no such table"), made.errors(path):
            database.execute("SELECT * FROM missing")
        made.integrity(path, database)
    with pytest.raises(sqlite3.ProgrammingError), made.errors(path):
        database.execute("SELECT 1")
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    with closing(made.open(path)) as database, pytest.raises(CorruptError, match="damaged"):
        made.integrity(path, database)


def test_every_commit_is_one_call(example, monkeypatch):
    made, path = example
    seen = []
    monkeypatch.setattr(module, "commit", seen.append)
    with closing(made.open(path)) as database:
        with transaction(database):
            insert(database, 1)
        assert seen == [database]
    assert numbers_in(path) == [], "what was not committed is undone"


def test_no_other_place_commits():
    sources = [path for path in Path(bitvm.__file__).parent.rglob("*.py") if path != Path(module.__file__)]
    assert len(sources) > 100
    for path in sources:
        text = path.read_text()
        assert "COMMIT" not in text, path
        assert "sqlite3.connect" not in text, path


WRITER = """
    import os, signal, sys
    from pathlib import Path
    from bitvm.database import Form, transaction
    form = Form(0x4256_5831, 1, absent="", precious="", error=Exception, wal={wal})
    database = form.open(Path({path!r}))
    for number in range(1, 1_000_000):
        with transaction(database):
            database.execute("INSERT INTO example VALUES (?)", [number])
            {between}
            database.execute("INSERT INTO example VALUES (?)", [-number])
        print(number, flush=True)
"""


def writer(made, path, between=""):
    source = textwrap.dedent(WRITER).format(wal=made.wal, path=str(path), between=between)
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)


def test_a_copy_is_one_moment_of_a_database_that_is_written(example, tmp_path):
    made, path = example
    with writer(made, path) as process:
        reached = 0
        for count in range(3):
            reached = int(process.stdout.readline())
            target = tmp_path / f"copy {count}"
            copy(path, target)
            numbers = numbers_in(target)
            assert sum(numbers) == 0
            assert max(numbers) >= reached
            assert target.stat().st_mode & 0o777 == 0o600
            made.open(target).close()
        process.kill()
    assert max(numbers_in(path)) > 1


def test_a_copy_of_what_a_killed_process_left(example, tmp_path):
    made, path = example
    spill = "database.execute('PRAGMA cache_size = 1') if number == 3 else None; number == 3 and ("
    spill += "[database.execute('INSERT INTO example VALUES (?)', [9]) for _ in range(20_000)], "
    spill += "os.kill(os.getpid(), signal.SIGKILL))"
    with writer(made, path, spill) as process:
        assert process.wait(60) == -signal.SIGKILL
    left = path.with_name(path.name + ("-wal" if made.wal else "-journal"))
    assert left.stat().st_size > 0
    copy(path, tmp_path / "copy")
    assert numbers_in(tmp_path / "copy") == [-2, -1, 1, 2]


def test_a_copy_replaces_nothing_and_refuses_damage(example, tmp_path):
    made, path = example
    with pytest.raises(CopyError, match="replaces nothing"):
        copy(path, path)
    with pytest.raises(CopyError, match="cannot be made"):
        copy(path, tmp_path / "none" / "x")
    with pytest.raises(CopyError, match="cannot be copied"):
        copy(tmp_path / "none", tmp_path / "x")
    with closing(made.open(path)) as database, transaction(database):
        insert(database, *range(3_000))
    check(path)
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * 4096 + content[12288:])
    for attempt in (lambda: copy(path, tmp_path / "x"), lambda: check(path)):
        with pytest.raises(CopyError, match="damaged"):
            attempt()
    path.write_bytes(b"text")
    for attempt in (lambda: copy(path, tmp_path / "x"), lambda: check(path)):
        with pytest.raises(CopyError, match="not a database"):
            attempt()
    with pytest.raises(CopyError, match="cannot be read"):
        check(tmp_path / "none")
    assert list(tmp_path.iterdir()) == [path]
