"""One way to create, open, check and write an SQLite database; every store of the project goes through here.

A store says once, as a `Form`, what its database is: the two numbers in the file's header, words for messages, its own
errors, and how it is written. Then:

    FORM.create(path, schema)  make the file, filled by `schema(database)`; it appears complete and on disk, or not
    FORM.open(path, check)     recognise the file by its header, let `check(database)` read it, open it to write
    FORM.errors(path)          with-block in which SQLite's errors become the store's own
    FORM.integrity(path, db)   raise the store's "corrupt" if SQLite finds damage
    transaction(database)      with-block that is durable as a whole or has not happened; raise in it to undo it
    copy(path, target)         a consistent copy of any database, even while others write it
    check(path)                whether SQLite finds any database whole

What is guaranteed: `create` never touches what is there and `open` never creates. A file that is refused by its header
or, where the database has a write-ahead log, by `check` has not been changed. Files are readable by their owner alone.
Every connection has explicit transactions and may be used from any thread, by one at a time; it waits `BUSY_SECONDS`
for other processes. When `transaction` ends the change is on disk: either a write-ahead log with synchronous=FULL that
is checkpointed at once, so that the database file alone is complete (`wal=True`), or a rollback journal with
synchronous=EXTRA, which counts the folder's entry too (`wal=False`).

Every commit of the project is one call of `commit`. To stop a process right before or after each of them, replace
`bitvm.database.commit`: it is looked up here when it is called, however a store has imported `transaction`.

Example, all that a store needs:

    FORM = Form(0x4256_5831, 1, absent="no such example", precious="an example", error=ExampleError)
    FORM.create(path, lambda database: database.execute("CREATE TABLE example (a INTEGER NOT NULL) STRICT"))
    database = FORM.open(path)
    with FORM.errors(path), transaction(database):
        database.execute("INSERT INTO example VALUES (?)", [1])
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from bitvm.keys.seed import sync_folder

BUSY_SECONDS = 30.0
"""How long a connection waits for what another process is writing."""

_FILE_MODE = 0o600  # it says what will be signed
_HEADER_BYTES = 100
_SQLITE_MAGIC = b"SQLite format 3\x00"
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class CopyError(Exception):
    """A database that cannot be copied, or a copy that is damaged; the message names the file."""


@dataclass(frozen=True, slots=True)
class Form:
    """What one kind of database is.

    application_id, schema_version: SQLite's application_id and user_version. absent: what to say where there is no
    file. precious: what is never replaced, as the subject of a sentence. error: the store's general error; the others
    are used where they are given, `error` where not. wal: a write-ahead log, or else a rollback journal.
    """

    application_id: int
    schema_version: int
    absent: str
    precious: str
    error: type[Exception]
    exists: type[Exception] | None = None
    missing: type[Exception] | None = None
    foreign: type[Exception] | None = None
    version: type[Exception] | None = None
    corrupt: type[Exception] | None = None
    busy: type[Exception] | None = None
    wal: bool = True

    def create(self, path: Path, schema: Callable[[Database], object]) -> None:
        """Make a database that `schema` fills, in one transaction; raises `exists`, or `error` where it cannot be.

        The file appears under its name when it is complete and on disk, or not at all.
        """
        try:
            with self.errors(path), _draft(path) as draft, closing(self._connect(draft, "rwc")) as database:
                draft.chmod(_FILE_MODE)
                with transaction(database):
                    schema(database)
                    database.execute(f"PRAGMA application_id = {self.application_id}")
                    database.execute(f"PRAGMA user_version = {self.schema_version}")
                if self.wal:
                    database.execute("PRAGMA journal_mode = WAL")
        except FileExistsError:
            raise (self.exists or self.error)(f"{path}: exists; {self.precious} is never replaced") from None
        except OSError as error:
            raise self.error(f"{path}: cannot be made: {error.strerror}") from error

    def open(self, path: Path, check: Callable[[Database], object] | None = None) -> Database:
        """Open a database to read and write it, after its header and `check` were satisfied.

        `check` gets a connection that reads only; it raises what it likes. It is for databases with a write-ahead log:
        a rollback journal that a crash has left can only be played back by a connection that may write, so such a
        store checks what it was given. Raises `missing`, `foreign`, `version`, `corrupt`, `busy` or `error`.
        """
        self._check_header(path)
        with self.errors(path):
            if check is not None:
                with closing(self._connect(path, "ro")) as reader:
                    check(reader)
            return self._connect(path, "rw")

    @contextmanager
    def errors(self, path: Path) -> Iterator[None]:
        """Turn SQLite's errors in the block into the store's: `busy`, `error` (disk full, ..), or `corrupt`.

        A misuse of SQLite by the program, such as a closed connection, stays what it is.
        """
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None:  # it comes from Python: text that is not UTF-8
                raise (self.corrupt or self.error)(f"{path}: damaged: {error}") from error
            if code & 0xFF in _BUSY:
                text = f"{path}: locked for more than {BUSY_SECONDS:.0f} s by another process"
                raise (self.busy or self.error)(text) from error
            raise self.error(f"{path}: {error}") from error
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a damaged schema is quoted in SQLite's message
            raise (self.corrupt or self.error)(f"{path}: damaged: {error}") from error

    def integrity(self, path: Path, database: Database) -> None:
        """Let SQLite check the whole database; raises `corrupt`."""
        with self.errors(path):
            problem = _problem(database)
        if problem is not None:
            raise (self.corrupt or self.error)(f"{path}: damaged: {problem}")

    def _connect(self, path: Path, mode: str) -> Database:
        settings = ("synchronous = FULL", "wal_autocheckpoint = 1") if self.wal else ("synchronous = EXTRA",)
        return _connect(path, mode, settings)

    def _check_header(self, path: Path) -> None:
        """Recognise the file by its first bytes, before SQLite opens it (file format, section 1.3)."""
        foreign, corrupt = self.foreign or self.error, self.corrupt or self.error
        try:
            with path.open("rb") as file:
                header = file.read(_HEADER_BYTES)
        except FileNotFoundError:
            raise (self.missing or self.error)(f"{path}: {self.absent}") from None
        except OSError as error:
            raise self.error(f"{path}: cannot be read: {error.strerror}") from error
        if not header.startswith(_SQLITE_MAGIC[: len(header)]):
            raise foreign(f"{path}: not an SQLite database")
        if len(header) < _HEADER_BYTES:
            raise corrupt(f"{path}: truncated: {len(header)} bytes")
        application = int.from_bytes(header[68:72], "big")
        if application != self.application_id:
            raise foreign(f"{path}: the database of another application ({application:#010x})")
        version = int.from_bytes(header[60:64], "big")
        if version != self.schema_version:
            text = f"{path}: schema version {version}; this program knows version {self.schema_version}"
            raise (self.version or foreign)(text)


@contextmanager
def transaction(database: Database) -> Iterator[None]:
    """Commit what the block does, durably, or nothing of it; nobody else writes meanwhile."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        commit(database)
    finally:
        if database.conn.in_transaction:
            database.execute("ROLLBACK")


def commit(database: Database) -> None:
    """Make the open transaction durable. Called by `transaction` alone."""
    database.execute("COMMIT")


def copy(path: Path, target: Path) -> None:
    """Write a consistent, checked copy of the database at `path` to the new file `target`; raises CopyError.

    It is one moment of the database, whoever writes it meanwhile; what a killed process left half-written is first
    undone or finished, as any open does. The copy appears complete and on disk, or not at all.
    """
    try:
        with (
            closing(_connect(path, "rw")) as source,
            _draft(target) as draft,
            closing(_connect(draft, "rwc", ("synchronous = FULL",))) as database,
        ):
            draft.chmod(_FILE_MODE)
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on it is this moment
            source.conn.backup(database.conn)
            source.execute("ROLLBACK")
            problem = _problem(database)
            if problem is not None:
                raise CopyError(f"{path}: damaged: {problem}")
    except FileExistsError:
        raise CopyError(f"{target}: exists; a copy replaces nothing") from None
    except OSError as error:
        raise CopyError(f"{target}: cannot be made: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        raise CopyError(f"{path}: cannot be copied: {error}") from error
    except sqlite3.DatabaseError as error:
        raise CopyError(f"{path}: damaged: {error}") from error


def check(path: Path) -> None:
    """Let SQLite check the whole database at `path`, of whatever kind; raises CopyError."""
    try:
        with closing(_connect(path, "rw")) as database:
            problem = _problem(database)
    except sqlite3.OperationalError as error:
        raise CopyError(f"{path}: cannot be read: {error}") from error
    except sqlite3.DatabaseError as error:
        raise CopyError(f"{path}: damaged: {error}") from error
    if problem is not None:
        raise CopyError(f"{path}: damaged: {problem}")


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Give a name for a new file that becomes `path`, durably, after the block and when all its connections are shut.

    Enter it before the connection, so that it is left after it. Raises FileExistsError where `path` exists.
    """
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.absolute().parent) as folder:
        draft = Path(folder) / path.name
        yield draft
        os.link(draft, path)
    sync_folder(path.absolute().parent)


def _problem(database: Database) -> str | None:
    """Return the first thing that SQLite finds wrong with a database."""
    rows = database.execute("PRAGMA integrity_check").fetchall()
    return next((str(text) for (text,) in rows if text != "ok"), None)


def _connect(path: Path, mode: str, settings: tuple[str, ...] = ()) -> Database:
    """Open SQLite in `mode` (ro, rw, rwc), transactions under our own control, from any thread."""
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
        return Database(connection, execute_plugins=False)
    except sqlite3.Error:
        connection.close()
        raise
