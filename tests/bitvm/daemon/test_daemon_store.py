"""What a daemon remembers: kept durably, once, and refused when it is damaged or somebody else's."""

import sqlite3
from contextlib import closing

import pytest
from bitcoin.core import CMutableTransaction, COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness

from bitvm.daemon.store import (
    ClaimQueuedError,
    DaemonStore,
    DaemonStoreCorruptError,
    DaemonStoreError,
    KeptVerdict,
)


def signed(witness):
    transaction = CMutableTransaction([CTxIn(COutPoint(b"\x01" * 32, 0))], [CTxOut(5, CScript(b"\x51"))])
    transaction.wit = CTxWitness([CTxInWitness(CScriptWitness([witness]))])
    return CTransaction.from_tx(transaction)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "daemon.sqlite"


@pytest.fixture
def store(path):
    with DaemonStore.create(path) as store:
        yield store


def again(store):
    return DaemonStore.open(store.path)


def test_what_was_signed_is_there_after_a_restart_once_and_in_order(store):
    for witness in (b"one", b"two", b"one"):
        store.keep_signed("alpha", "1/Step", signed(witness), 7)
    store.keep_signed("alpha", "1/Choice_1", signed(b"three"), 3)
    with again(store) as reopened:
        kept = reopened.signed("alpha", "1/Step")
        assert [each.transaction.wit.vtxinwit[0].scriptWitness.stack[0] for each in kept] == [b"one", b"two"]
        assert [each.template for each in reopened.signed("alpha")] == ["1/Choice_1", "1/Step", "1/Step"]
        assert reopened.signed("beta") == ()


def test_fees_are_those_of_the_newest_child(store):
    store.keep_signed("alpha", "1/Step", signed(b"one"), 7)
    store.keep_fee("alpha", "1/Step", 900)
    store.keep_fee("alpha", "1/Step", 1_200)
    with again(store) as reopened:
        assert reopened.fees("alpha") == {"1/Step": 1_200}
        assert reopened.fees("beta") == {}


def test_the_newest_verdict_on_a_claim_counts(store):
    store.keep_verdict("alpha", KeptVerdict(1, b"r" * 24, "INVALID", "the run ends in another state", 2.0))
    store.keep_verdict("alpha", KeptVerdict(1, b"r" * 24, "VALID", "the run ends in the claimed state", 1.0))
    store.keep_verdict("alpha", KeptVerdict(1, b"s" * 24, "INVALID", "of another input", 1.0))
    with again(store) as reopened:
        assert [(each.input_root[:1], each.verdict) for each in reopened.verdicts("alpha")] == [
            (b"r", "VALID"),
            (b"s", "INVALID"),
        ]


def test_a_slot_is_queued_for_one_input(store):
    store.queue("alpha", 1, b"r" * 24)
    store.queue("alpha", 1, b"r" * 24)
    with pytest.raises(ClaimQueuedError, match="slot 1 of alpha"):
        store.queue("alpha", 1, b"s" * 24)
    with again(store) as reopened:
        assert reopened.queued("alpha") == {1: b"r" * 24}


def test_the_first_answer_of_an_attester_counts(store):
    store.keep_attempt("alpha", 1, 0)
    store.keep_attempt("alpha", 1, 1)
    store.keep_attestation("alpha", 1, 0, "challenger1", b"first")
    store.keep_attestation("alpha", 1, 0, "challenger1", b"second")
    with again(store) as reopened:
        assert reopened.attestations("alpha", 1) == (b"first",)
        assert reopened.attempt("alpha", 1) == 1
        assert reopened.attempt("alpha", 2) is None


def test_facts(store):
    assert store.fact("height") is None
    store.keep_fact("height", "1")
    store.keep_fact("height", "2")
    assert store.fact("height") == "2"


def test_nothing_is_replaced(store):
    with pytest.raises(DaemonStoreError, match="never replaced"):
        DaemonStore.create(store.path)


@pytest.mark.parametrize("content", [b"", b"SQLite", b"no database at all" * 20, b"SQLite format 3\x00" + bytes(84)])
def test_what_is_no_database_of_a_daemon_is_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(DaemonStoreError, match=r"daemon\.sqlite"):
        DaemonStore.open(path)
    assert path.read_bytes() == content


def test_a_missing_database_is_not_made(path):
    with pytest.raises(DaemonStoreError, match="no database of a daemon"):
        DaemonStore.open(path)
    assert not path.exists()


def test_a_transaction_that_is_not_the_one_that_was_signed_is_damage(store):
    store.keep_signed("alpha", "1/Step", signed(b"one"), 7)
    store.close()
    with closing(sqlite3.connect(store.path)) as raw, raw:
        raw.execute("UPDATE signed SET raw = ?", [signed(b"other").serialize()])
    with again(store) as reopened, pytest.raises(DaemonStoreCorruptError, match="1/Step is not the transaction"):
        reopened.signed("alpha")


def test_a_damaged_page_is_noticed_when_it_is_opened(store):
    for number in range(50):
        store.keep_signed("alpha", f"{number}", signed(b"w" * 80), number)
    store.close()
    content = bytearray(store.path.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    store.path.write_bytes(content)
    with pytest.raises(DaemonStoreError):
        again(store)
