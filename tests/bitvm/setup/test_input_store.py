"""The store of attested inputs: a real file, real processes, damage."""

import random
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from bitvm.keys.journal import Journal
from bitvm.keys.seed import Seed
from bitvm.setup.input_store import (
    ForeignStoreError,
    InputMissingError,
    InputStore,
    InputStoreCorruptError,
    InputStoreError,
)
from lvm.boot import input_root

SETUP = b"\x05" * 32
INPUT, OTHER = b"the input", b"another input"


@pytest.fixture
def store(tmp_path):
    with InputStore(tmp_path / "some inputs.sqlite") as opened:
        yield opened


def test_inputs_are_kept_as_long_as_a_claim_needs_them(store):
    root = input_root(INPUT)
    assert store.keep(SETUP, 1, INPUT)
    assert not store.keep(SETUP, 1, INPUT)
    assert store.keep(SETUP, 2, INPUT)
    assert store.keep(b"\x06" * 32, 1, INPUT)
    store.withdraw(SETUP, 1, root)
    assert (store.roots(SETUP, 1), store.roots(SETUP, 2)) == ((), (root,))
    store.withdraw(SETUP, 2, root)
    assert store.read(root) == INPUT
    store.withdraw(b"\x06" * 32, 1, root)
    with pytest.raises(InputMissingError):
        store.read(root)


def test_a_promise_taken_back_leaves_the_others(store):
    for data in (INPUT, OTHER, b""):
        store.keep(SETUP, 1, data)
    store.withdraw(SETUP, 1, input_root(OTHER))
    assert set(store.roots(SETUP, 1)) == {input_root(INPUT), input_root(b"")}
    assert store.read(input_root(b"")) == b""


def test_a_store_survives_closing(store):
    store.keep(SETUP, 1, INPUT)
    store.close()
    with InputStore(store.path) as again:
        assert again.read(input_root(INPUT)) == INPUT
        assert not again.keep(SETUP, 1, INPUT)


def test_changed_bytes_are_noticed(store):
    store.keep(SETUP, 1, INPUT)
    with sqlite3.connect(store.path) as raw:
        raw.execute("UPDATE inputs SET data = ?", [OTHER])
    raw.close()
    with pytest.raises(InputStoreCorruptError, match="another root"):
        store.read(input_root(INPUT))


def test_other_files_are_refused_and_left_alone(tmp_path):
    seed = Seed(bytes(32))
    Journal.create(tmp_path / "journal", seed).close()
    (tmp_path / "text").write_bytes(b"no database " * 100)
    with sqlite3.connect(tmp_path / "tables") as raw:
        raw.execute("CREATE TABLE inputs (root)")
    raw.close()
    for name in ("journal", "text", "tables"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(ForeignStoreError):
            InputStore(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    Journal.open(tmp_path / "journal", seed).close()
    for impossible in (tmp_path, tmp_path / "missing" / "store"):
        with pytest.raises(InputStoreError):
            InputStore(impossible)


def test_damage_is_named(store):
    store.keep(SETUP, 1, random.Random(3).randbytes(20_000))
    store.close()
    content = bytearray(store.path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    store.path.write_bytes(content)
    with InputStore(store.path) as damaged, pytest.raises(InputStoreCorruptError, match="damaged"):
        damaged.keep(SETUP, 2, INPUT)


def test_killed_after_it_kept(tmp_path):
    """A process that dies by SIGKILL right after `keep` leaves the bytes behind."""
    path = tmp_path / "killed.inputs"
    script = f"""
        import os, signal
        from pathlib import Path
        from bitvm.setup.input_store import InputStore
        InputStore(Path({str(path)!r})).keep({SETUP!r}, 1, {INPUT!r})
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False).returncode == -9
    with InputStore(path) as store:
        assert store.read(input_root(INPUT)) == INPUT
