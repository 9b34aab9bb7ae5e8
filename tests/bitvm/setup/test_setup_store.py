import sqlite3
from contextlib import closing

import pytest

from bitvm.graph.parameters import Parameters
from bitvm.setup.store import (
    AnotherSetupError,
    ForeignSetupStoreError,
    SetupStore,
    SetupStoreCorruptError,
    SetupStoreError,
    SetupStoreExistsError,
    SetupStoreMissingError,
    StoreConflictError,
)

PARAMETERS = Parameters(bytes(24), levels=1, width=4, challengers=2)
PARTIES = ("prover", "challenger1", "challenger2")
OWN = "challenger1"


def of_round(number):
    return {party: f"{party} in round {number}".encode() * 300 for party in PARTIES}


@pytest.fixture
def path(tmp_path):
    """A store with two whole rounds, and the own message of the third."""
    path = tmp_path / "setup.sqlite"
    with SetupStore.create(path, OWN, PARAMETERS) as store:
        store.keep(0, of_round(0))
        store.keep(1, of_round(1))
        store.keep(2, {OWN: of_round(2)[OWN]})
    return path


def change(path, *statements):
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def reopen(path, party=OWN, parameters=PARAMETERS):
    with SetupStore.open(path, party, parameters) as store:
        return store.nonce, store.complete(), [store.messages(number) for number in range(4)]


def test_what_was_kept_is_there_again_in_party_order(path):
    nonce, complete, messages = reopen(path)
    assert (nonce, complete) == (reopen(path)[0], 2)
    assert len(nonce) == 32
    assert messages == [of_round(0), of_round(1), {OWN: of_round(2)[OWN]}, {}]
    assert list(messages[0]) == list(PARTIES)
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_stores_have_two_nonces(path, tmp_path):
    with SetupStore.create(tmp_path / "other", OWN, PARAMETERS) as store:
        assert store.nonce != reopen(path)[0]


def test_a_message_never_changes(path):
    with SetupStore.open(path, OWN, PARAMETERS) as store:
        store.keep(1, of_round(1))
        with pytest.raises(StoreConflictError, match="challenger1 in round 2"):
            store.keep(2, {"prover": b"new", OWN: b"other"})
        assert store.messages(2) == {OWN: of_round(2)[OWN]}, "all or none"


def test_nothing_is_made_in_the_place_of_anything(path):
    before = path.read_bytes()
    with pytest.raises(SetupStoreExistsError, match="never replaced"):
        SetupStore.create(path, OWN, PARAMETERS)
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises(SetupStoreMissingError, match="no set-up store"):
        reopen(path)
    assert not path.exists()


def test_the_store_of_another_set_up_is_refused(path):
    with pytest.raises(AnotherSetupError, match="of challenger1, not of prover"):
        reopen(path, party="prover")
    with pytest.raises(AnotherSetupError, match="other parameters"):
        reopen(path, parameters=Parameters(bytes(24), levels=2, width=4, challengers=2))


@pytest.mark.parametrize("content", [b"not a database at all", b"x" * 5_000, b"\x7fELF"])
def test_a_foreign_file_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(ForeignSetupStoreError, match="not an SQLite"):
        reopen(path)
    assert path.read_bytes() == content


def test_the_database_of_another_application_is_refused(path, tmp_path):
    change(tmp_path / "other.sqlite", "CREATE TABLE t (a)")
    with pytest.raises(ForeignSetupStoreError, match="0x00000000"):
        reopen(tmp_path / "other.sqlite")
    change(path, "PRAGMA user_version = 1")
    with pytest.raises(ForeignSetupStoreError, match="schema version 1; this program knows version 2"):
        reopen(path)


def test_a_truncated_store_is_refused_wherever_it_ends(path):
    content = path.read_bytes()
    for size in [*range(0, 200, 25), *range(200, len(content), 1_511)]:
        path.write_bytes(content[:size])
        with pytest.raises(SetupStoreCorruptError):
            reopen(path)


def test_one_changed_byte_is_found_or_changes_nothing(path):
    content, sound = path.read_bytes(), reopen(path)
    found = 0
    for position in range(100, len(content), 397):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x11]) + content[position + 1 :])
        try:
            assert reopen(path)[1:] == sound[1:]
        except SetupStoreError:
            found += 1
    assert found > len(content) // 397 // 2


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM messages WHERE round = 0 AND party = 'prover'",
        "DELETE FROM messages WHERE round = 1",
        "UPDATE messages SET party = 'nobody' WHERE round = 2",
        "UPDATE messages SET round = 4 WHERE round = 2",
        "UPDATE messages SET round = 3 WHERE round = 2",
        "UPDATE messages SET data = x'00' WHERE round = 2",
        "UPDATE messages SET party = 'prover' WHERE round = 2",
        "UPDATE setup SET nonce = x'00'",
        "DELETE FROM setup",
        "DROP TABLE messages",
    ],
)
def test_a_store_that_nobody_could_have_written_is_refused(path, statement):
    change(path, statement)
    with pytest.raises(SetupStoreError, match=r"damaged|no such table"):
        reopen(path)


def test_a_store_that_another_process_writes_is_named(path, monkeypatch):
    monkeypatch.setattr("bitvm.database.BUSY_SECONDS", 0.1)
    with SetupStore.open(path, OWN, PARAMETERS) as store, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SetupStoreError, match="locked"):
            store.keep(2, of_round(2))
        other.rollback()
        store.keep(2, of_round(2))
        assert store.complete() == 3


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SetupStoreError, match="cannot be made"):
        SetupStore.create(tmp_path / "none" / "setup.sqlite", OWN, PARAMETERS)
