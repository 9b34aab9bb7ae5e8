"""Sightings: durable or not there at all, whatever is raised or killed; damaged files are refused and left alone."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from follower_bench import ScriptedNode, scripted_transaction

from bitvm.chain.follower import Follower
from bitvm.chain.sightings import (
    APPLICATION_ID,
    BlockOrderError,
    ForeignSightingsError,
    Sightings,
    SightingsBusyError,
    SightingsCorruptError,
    SightingsError,
    SightingsExistError,
    SightingsMissingError,
    wtxid,
)
from bitvm.database import commit
from bitvm.script.weight import txid

WATCHED = frozenset(txid(scripted_transaction(number)) for number in range(4))
START = 2
KILLS = 3

Step = Callable[[ScriptedNode], None]


def follower(node: ScriptedNode, store: Sightings) -> Follower:
    return Follower(node, store, confirmations=2, stall_after=1e9, window=6)


def content(store: Sightings) -> tuple[object, ...]:
    """Return everything a store says, comparable."""
    seen = [
        (s.number, s.transaction.serialize(), s.block, s.active)
        for tx_id in sorted(store.watched)
        for s in store.seen(tx_id)
    ]
    heights = range(store.lowest() or 0, 30)
    return store.tip(), store.lowest(), tuple(map(store.block_hash, heights)), sorted(seen), store.start()


def script() -> Iterator[Step]:
    """Yield what happens to a node, one step before each tick."""
    first, again, other = scripted_transaction(0, 1), scripted_transaction(0, 2), scripted_transaction(1)
    yield lambda node: node.grow((), (), (), ())
    yield lambda node: node.mempool.extend([first, other])
    yield lambda node: node.grow((first,), (), (other, scripted_transaction(9)))
    yield lambda node: node.cut(3)
    yield lambda node: node.grow((again, other), (), (), branch=1)
    yield lambda node: node.cut(3)
    yield lambda node: node.grow((first,), (), (other, scripted_transaction(9)), ())  # as it was
    yield lambda node: node.mempool.append(scripted_transaction(2, 5))
    yield lambda node: node.grow(*[()] * 9)  # beyond the window
    yield lambda node: node.cut(12)
    yield lambda node: node.grow(
        (other,), *[(scripted_transaction(number),) for number in (2, 3)], *[()] * 14, branch=2
    )


class Crash(BaseException):
    """The process ends here."""


def crash_at(store: Sightings, at: int, patch: pytest.MonkeyPatch, *, before: bool) -> None:
    """Make the store fail at its `at`-th statement, commits included, before or after SQLite has executed it."""
    left = iter(range(at, -1, -1))

    def crashing(execute: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: object) -> None:
            crash = next(left, None) == 0
            if crash and before:
                raise Crash
            execute(*arguments)
            if crash:
                raise Crash

        return step

    patch.setattr(store, "_execute", crashing(store._execute))
    patch.setattr("bitvm.database.commit", crashing(commit))


def play(path: Path, snapshots: Path | None = None) -> list[object]:
    """Play the script with a tick after each step; returns what the store says after each, files before each."""
    node = ScriptedNode()
    found: list[object] = []
    with Sightings.create(path, WATCHED, START) as store:
        follow = follower(node, store)
        for number, step in enumerate(script()):
            if snapshots is not None:
                shutil.copy(path, snapshots / str(number))
            step(node)
            update = follow.tick(0)
            active = [(s.transaction.serialize(), s.block.height) for s in store.confirmed() if s.block]
            assert [(tx.serialize(), height) for tx, height in update.confirmed] == active
            found.append(content(store))
    return found


@pytest.mark.parametrize("before", [True, False])
def test_crash_at_every_statement_loses_and_doubles_nothing(tmp_path: Path, before: bool) -> None:
    """Each step is played from the file as it was, with a crash at each of its statements, and then resumed."""
    (tmp_path / "snapshots").mkdir()
    expected = play(tmp_path / "whole", tmp_path / "snapshots")
    node, path, points = ScriptedNode(), tmp_path / "crashed", 0
    with Sightings.open(tmp_path / "snapshots" / "0", WATCHED) as store:
        previous: object = content(store)
    for number, step in enumerate(script()):
        step(node)
        for at in range(1_000):
            shutil.copy(tmp_path / "snapshots" / str(number), path)
            with Sightings.open(path, WATCHED) as store, pytest.MonkeyPatch.context() as patch:
                crash_at(store, at, patch, before=before)
                try:
                    follower(node, store).tick(0)
                    break
                except Crash:
                    points += 1
            with Sightings.open(path, WATCHED) as store:
                assert content(store) in (previous, expected[number]), f"{number=} {at=}: half a step"
                follower(node, store).tick(0)
                assert content(store) == expected[number], f"{number=} {at=}"
        previous = expected[number]
    assert points > 80


def test_script_sees_what_it_should(tmp_path: Path) -> None:
    play(tmp_path / "sightings")
    with Sightings.open(tmp_path / "sightings", WATCHED) as store:
        tx_id = txid(scripted_transaction(0))
        assert [wtxid(tx) for tx in store.witnesses(tx_id)] == [wtxid(scripted_transaction(0, v)) for v in (1, 2)]
        places = [(s.block is not None, s.active) for s in store.seen(tx_id)]
        assert places == [
            (False, False),
            (True, True),
            (True, False),
        ]  # mempool, the block that came back, the stale one
        assert not store.witnesses(txid(scripted_transaction(9)))  # not watched
        assert [s.block.height for s in store.confirmed() if s.block] == [4, 5, 6, 7]


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from test_follower_sightings import WATCHED, follower, endless
from bitvm.chain.sightings import Sightings
store = Sightings.open(Path({path!r}), WATCHED)
for node in endless(store.tip()):
    print(follower(node, store).tick(0).tip.height, flush=True)
"""


def endless(tip: Any, until: int | None = None) -> Iterator[ScriptedNode]:
    """Yield a node that has one block more each time, each with another witness of one transaction."""
    node = ScriptedNode()
    height = 0
    while until is None or height <= until:
        node.grow((scripted_transaction(0, height), scripted_transaction(1, height)))
        node.mempool = [scripted_transaction(2, height)]
        if tip is None or height > tip.height:
            yield node
        height += 1


def test_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    path, dice = tmp_path / "sightings", random.Random(4)
    Sightings.create(path, WATCHED, 0).close()
    source = CHILD.format(paths=[str(Path(__file__).parent), *sys.path], path=str(path))
    reached = -1
    for _ in range(KILLS):
        with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(dice.randrange(3, 30)):
                reached = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
        with Sightings.open(path, WATCHED) as store:
            tip = store.tip()
            assert tip is not None
            assert tip.height >= reached
            reached = tip.height
    with Sightings.open(path, WATCHED) as store, Sightings.create(tmp_path / "whole", WATCHED, 0) as whole:
        for node in endless(None, reached):
            follower(node, whole).tick(0)
        assert content(store) == content(whole)


def test_damage_is_refused_or_harmless_and_nothing_is_changed(tmp_path: Path) -> None:
    path, dice = tmp_path / "sightings", random.Random(7)
    play(path)
    whole, bad = path.read_bytes(), tmp_path / "damaged"
    with Sightings.open(path, WATCHED) as store:
        expected = content(store)
    used = [position for position, byte in enumerate(whole) if byte]
    refused = 0
    for position in dice.sample(used, 250):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << dice.randrange(8)
        bad.write_bytes(damaged)
        try:
            with Sightings.open(bad, WATCHED) as store:
                assert content(store) == expected, position
        except SightingsError:
            refused += 1
            assert bad.read_bytes() == damaged
        for leftover in tmp_path.glob("damaged-*"):
            leftover.unlink()
    assert refused > 150
    for size in (0, 10, 99, 100, 4096, len(whole) // 2, len(whole) - 1):
        bad.write_bytes(whole[:size])
        with pytest.raises(SightingsCorruptError):
            Sightings.open(bad, WATCHED)
        assert bad.read_bytes() == whole[:size]


def edited(path: Path, statement: str) -> Path:
    """Return a copy on which a valid SQL statement was executed."""
    copy = path.with_name(f"edited {len(list(path.parent.iterdir()))}")
    shutil.copy(path, copy)
    connection = sqlite3.connect(copy)
    connection.execute(statement)
    connection.commit()
    connection.close()
    return copy


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sightings SET active = 1 - active WHERE number = 2",
        "UPDATE sightings SET height = height + 1 WHERE number = 3",
        "UPDATE blocks SET hash = randomblob(32) WHERE height = (SELECT max(height) FROM blocks)",
        "UPDATE transactions SET raw = CAST(raw || x'00' AS BLOB)",
        "UPDATE transactions SET txid = randomblob(32)",
        "UPDATE watch SET start = start + 1",
        "DELETE FROM transactions",
        "DELETE FROM sightings WHERE number = 2",
        "DELETE FROM blocks WHERE height = (SELECT max(height) - 1 FROM blocks)",
        "DELETE FROM watch",
    ],
)
def test_rows_that_were_changed_are_refused(tmp_path: Path, statement: str) -> None:
    play(tmp_path / "sightings")
    with pytest.raises(SightingsCorruptError):
        Sightings.open(edited(tmp_path / "sightings", statement), WATCHED)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sightings"
    Sightings.create(path, WATCHED, START).close()
    with pytest.raises(ForeignSightingsError, match="another set-up"):
        Sightings.open(path, list(WATCHED)[:3])
    with pytest.raises(ForeignSightingsError, match="another application"):
        Sightings.open(edited(path, f"PRAGMA application_id = {APPLICATION_ID + 1}"), WATCHED)
    with pytest.raises(ForeignSightingsError, match="schema version 2"):
        Sightings.open(edited(path, "PRAGMA user_version = 2"), WATCHED)
    text = tmp_path / "text"
    text.write_text("not a database at all, but long enough to be one" * 10)
    with pytest.raises(ForeignSightingsError, match="not an SQLite database"):
        Sightings.open(text, WATCHED)
    with pytest.raises(SightingsMissingError):
        Sightings.open(tmp_path / "nothing", WATCHED)
    with pytest.raises(SightingsError, match="cannot be read"):
        Sightings.open(tmp_path, WATCHED)


def test_blocks_that_do_not_follow_are_refused(tmp_path: Path) -> None:
    node = ScriptedNode()
    node.grow(*[(scripted_transaction(number),) for number in range(4)], *[()] * 4)
    blocks = [node.blocks[block] for block in node.chain]
    with Sightings.create(tmp_path / "sightings", WATCHED, START) as store:
        store.record(START - 1, blocks[START:5], (), keep=6)
        before = content(store)
        for after, wrong in ((5, blocks[6:]), (4, blocks[6:]), (4, [blocks[5], blocks[7]]), (3, blocks[5:])):
            with pytest.raises(BlockOrderError):
                store.record(after, wrong, [scripted_transaction(0, 1)], keep=6)
            assert content(store) == before
        store.record(4, blocks[5:], (), keep=6)


def test_create_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "sightings"
    path.write_bytes(b"something")
    with pytest.raises(SightingsExistError):
        Sightings.create(path, WATCHED, START)
    assert path.read_bytes() == b"something"
    with pytest.raises(SightingsError, match="cannot be made"):
        Sightings.create(tmp_path / "no folder" / "sightings", WATCHED, START)
    assert [entry.name for entry in tmp_path.iterdir()] == ["sightings"]


def test_locked_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitvm.database.BUSY_SECONDS", 0.05)
    path = tmp_path / "sightings"
    with Sightings.create(path, WATCHED, START) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(SightingsBusyError):
            store.record(START, (), [scripted_transaction(0)], keep=6)
        other.execute("ROLLBACK")
        other.close()
        store.record(START, (), [scripted_transaction(0)], keep=6)
        assert len(store.seen(txid(scripted_transaction(0)))) == 1
