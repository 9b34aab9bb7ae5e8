"""The follower on nodes that stall, fall behind, lie, change while they are read, or have deleted what is needed."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from follower_bench import ScriptedNode, scripted_transaction

from bitvm.chain.follower import ATTEMPTS, BLOCKS_PER_RECORD, AlarmKind, Follower, RestlessChainError, Update
from bitvm.chain.interface import BlockId, PrunedBlockError
from bitvm.chain.rpc import NodeUnreachableError
from bitvm.chain.sightings import Sightings
from bitvm.script.weight import txid

MOVES = [scripted_transaction(number) for number in range(4)]
START = 10
CONFIRMATIONS = 3
WINDOW = 20
STALL = 3_600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Sightings]:
    with Sightings.create(tmp_path / "sightings", [txid(move) for move in MOVES], START) as store:
        yield store


@pytest.fixture
def node() -> ScriptedNode:
    node = ScriptedNode()
    node.grow(*[()] * (START + 1), (MOVES[0],), (), (MOVES[1],), *[()] * 6)
    return node


def follower(node: ScriptedNode, store: Sightings, second: ScriptedNode | None = None) -> Follower:
    return Follower(node, store, confirmations=CONFIRMATIONS, stall_after=STALL, second=second, window=WINDOW)


def copy(node: ScriptedNode) -> ScriptedNode:
    return ScriptedNode(list(node.chain), dict(node.blocks))


def replace_at_zero(node: ScriptedNode, countdown: Iterator[int], question: str) -> None:
    """Replace six blocks by as many others when the countdown of the node's questions is over."""
    if question and next(countdown) == 0:
        node.cut(6)
        node.grow((), (), (), (MOVES[3],), (), (), branch=2)


def kinds(update: Update) -> list[tuple[AlarmKind, float]]:
    return [(alarm.kind, alarm.amount) for alarm in update.alarms]


def heights(update: Update) -> list[int]:
    return [height for _, height in update.confirmed]


# ---- reading


def test_every_block_is_read_once(node: ScriptedNode, store: Sightings) -> None:
    follow = follower(node, store)
    for _ in range(3):
        follow.tick(0)
    assert node.asked == list(range(START, len(node.chain)))
    node.asked.clear()
    node.grow((), (MOVES[2],))
    follower(node, store).tick(0)
    assert node.asked == [len(node.chain) - 2, len(node.chain) - 1]


def test_idle_tick_writes_nothing(node: ScriptedNode, store: Sightings) -> None:
    node.mempool = [MOVES[2]]
    follow = follower(node, store)
    follow.tick(0)
    before = store._database.conn.total_changes
    follow.tick(0)
    assert store._database.conn.total_changes == before


def test_long_catch_up_is_recorded_in_parts(node: ScriptedNode, store: Sightings) -> None:
    node.grow(*[()] * (3 * BLOCKS_PER_RECORD), (MOVES[2],))
    questions = iter(range(10**6))

    def fail(question: str) -> None:
        if question == "extract" and next(questions) == BLOCKS_PER_RECORD + 50:
            raise NodeUnreachableError("gone")

    node.before = fail
    follow = follower(node, store)
    with pytest.raises(NodeUnreachableError):
        follow.tick(0)
    tip = store.tip()
    assert tip is not None
    assert tip.height == START + BLOCKS_PER_RECORD - 1
    node.asked.clear()
    assert len(follow.tick(0).confirmed) == 3
    assert node.asked == list(range(START + BLOCKS_PER_RECORD, len(node.chain)))


def test_reorganisation_cut_short_by_the_node_is_reported_by_the_next_update(
    node: ScriptedNode, store: Sightings
) -> None:
    follow = follower(node, store)
    follow.tick(0)
    node.cut(8)
    node.grow(*[()] * (BLOCKS_PER_RECORD + 9), branch=1)
    questions = iter(range(10**6))

    def fail(question: str) -> None:
        if question == "extract" and next(questions) == BLOCKS_PER_RECORD + 1:
            raise NodeUnreachableError("gone")

    node.before = fail
    with pytest.raises(NodeUnreachableError):
        follow.tick(0)
    update = follow.tick(0)
    assert (update.reorg_depth, len(update.disappeared), heights(update)) == (8, 1, [START + 1])
    assert follow.tick(0).reorg_depth == 0


def test_reorganisation_while_nothing_runs_is_reported(node: ScriptedNode, store: Sightings) -> None:
    follower(node, store).tick(0)
    node.cut(8)
    node.grow(*[()] * 9, branch=1)
    update = follower(node, store).tick(0)
    assert (update.reorg_depth, [s.txid for s in update.disappeared]) == (8, [txid(MOVES[1])])


def test_chain_that_changes_at_any_question_is_never_mixed(tmp_path: Path, node: ScriptedNode) -> None:
    """The reorganisation comes between any two questions of a tick; the result is the new chain's, whole."""
    watched = [txid(move) for move in MOVES]
    with Sightings.create(tmp_path / "read", watched, START) as store:
        follower(node, store).tick(0)
    for moment in range(60):
        racing = copy(node)
        shutil.copy(tmp_path / "read", tmp_path / "racing")
        with Sightings.open(tmp_path / "racing", watched) as store:
            follow = follower(racing, store)
            racing.cut(3)
            racing.grow((), (MOVES[2],), (), (), branch=1)
            questions = iter(range(moment, -1000, -1))
            racing.before = partial(replace_at_zero, racing, questions)
            update = follow.tick(0)
            reached = next(questions) < 0
            remembered = [store.block_hash(height) for height in range(START, update.tip.height + 1)]
            parents = [racing.blocks[block].parent for block in remembered[1:] if block]
            assert parents == remembered[:-1]
            assert update.tip in racing.tips
            if reached:
                update = follow.tick(0)
                assert update.tip == BlockId(len(racing.chain) - 1, racing.chain[-1])
                assert txid(MOVES[2]) not in [txid(tx) for tx, _ in update.confirmed]
                assert txid(MOVES[3]) in [txid(tx) for tx, _ in update.confirmed]
    assert not reached


def test_node_that_contradicts_itself_is_an_error(node: ScriptedNode, store: Sightings) -> None:
    follow = follower(node, store)
    follow.tick(0)
    good = store.tip()
    stranger = ScriptedNode()
    stranger.grow(*[()] * 30, branch=9)
    node.blocks |= stranger.blocks
    node.chain.append(stranger.chain[len(node.chain)])  # its parent is not ours
    node.asked.clear()
    with pytest.raises(RestlessChainError, match=f"{ATTEMPTS} times"):
        follow.tick(0)
    assert len(node.asked) == ATTEMPTS
    assert store.tip() == good


# ---- windows and pruning


def test_reorganisation_beyond_the_window_reads_from_the_start(node: ScriptedNode, store: Sightings) -> None:
    node.grow(*[()] * WINDOW)
    follow = follower(node, store)
    follow.tick(0)
    assert store.lowest() == len(node.chain) - WINDOW
    node.cut(WINDOW + 4)
    node.grow(*[()] * (WINDOW + 5), branch=1)
    node.asked.clear()
    update = follow.tick(0)
    assert update.rescanned
    assert update.reorg_depth >= WINDOW + 4
    assert (heights(update), update.disappeared) == ([START + 1, START + 3], ())
    assert node.asked == list(range(START, len(node.chain)))
    assert not follow.tick(0).rescanned


def test_reorganisation_beyond_window_and_pruning_is_a_clear_error(node: ScriptedNode, store: Sightings) -> None:
    node.grow(*[()] * WINDOW)
    follow = follower(node, store)
    update = follow.tick(0)
    node.pruned = START + 5
    node.grow(())
    follow.tick(0)
    tip = store.tip()
    node.cut(WINDOW + 4)
    node.grow(*[()] * (WINDOW + 5), branch=1)
    with pytest.raises(PrunedBlockError, match=f"has deleted block {START}, .*read up to block"):
        follow.tick(0)
    assert store.tip() == tip
    assert [s.block.height for s in store.confirmed() if s.block] == heights(update)


def test_window_has_to_hold_the_confirmations(node: ScriptedNode, store: Sightings) -> None:
    with pytest.raises(ValueError, match="cannot judge"):
        Follower(node, store, confirmations=6, stall_after=STALL, window=6)


# ---- alarms


def test_stalled_node(node: ScriptedNode, store: Sightings) -> None:
    follow = follower(node, store)
    assert not follow.tick(1_000.0).alarms
    assert not follow.tick(1_000.0 + STALL).alarms
    assert kinds(follow.tick(1_001.0 + STALL)) == [(AlarmKind.STALLED, STALL + 1)]
    node.cut(1)
    node.grow((), branch=1)  # another tip, but none that is higher
    assert kinds(follow.tick(1_002.0 + STALL)) == [(AlarmKind.STALLED, STALL + 2)]
    node.grow(())
    assert not follow.tick(1_003.0 + STALL).alarms


def test_node_that_starts_over_takes_nothing_back(node: ScriptedNode, store: Sightings) -> None:
    node.grow(*[()] * WINDOW)
    follow = follower(node, store)
    before = follow.tick(0)
    whole = list(node.chain)
    for left in (len(whole) - 2, len(whole) - WINDOW - 3, START + 2, START - 5, 1):
        node.chain = whole[:left]
        update = follow.tick(0)
        assert kinds(update) == [(AlarmKind.BEHIND, len(whole) - left)]
        assert (update.tip, update.confirmed, update.reorg_depth) == (before.tip, before.confirmed, 0)
    node.chain = whole
    assert follow.tick(0) == before


def test_node_that_is_not_at_the_start_yet(node: ScriptedNode, store: Sightings) -> None:
    whole = list(node.chain)
    node.chain, node.mempool = whole[: START - 1], [MOVES[3]]
    update = follower(node, store).tick(0)
    assert kinds(update) == [(AlarmKind.BEHIND, 2)]
    assert (update.tip.height, update.confirmed) == (START - 2, ())
    assert len(store.seen(txid(MOVES[3]))) == 1
    node.chain = whole
    assert len(follower(node, store).tick(0).confirmed) == 2


@pytest.mark.parametrize("depth", [1, CONFIRMATIONS, CONFIRMATIONS + 1, CONFIRMATIONS + 5])
def test_second_node_on_another_branch(node: ScriptedNode, store: Sightings, depth: int) -> None:
    second = copy(node)
    second.cut(depth)
    second.grow(*[()] * depth, branch=1)
    alarms = kinds(follower(node, store, second).tick(0))
    expected = [(AlarmKind.DISAGREES, CONFIRMATIONS + 1)] if depth > CONFIRMATIONS else []
    assert alarms == expected


def test_second_node_at_another_height(node: ScriptedNode, store: Sightings) -> None:
    second = copy(node)
    follow = follower(node, store, second)
    second.grow(*[()] * CONFIRMATIONS)
    assert not follow.tick(0).alarms
    second.grow(())
    assert kinds(follow.tick(0)) == [(AlarmKind.BEHIND, CONFIRMATIONS + 1)]
    second.chain = node.chain[:-CONFIRMATIONS]
    assert not follow.tick(0).alarms
    second.chain = node.chain[: -CONFIRMATIONS - 1]
    assert kinds(follow.tick(0)) == [(AlarmKind.SECOND_BEHIND, CONFIRMATIONS + 1)]
    second.chain = node.chain[:2]
    assert kinds(follow.tick(0)) == [(AlarmKind.SECOND_BEHIND, len(node.chain) - 2)]


def test_second_node_that_does_not_answer(node: ScriptedNode, store: Sightings) -> None:
    second = copy(node)

    def fail(question: str) -> None:
        raise NodeUnreachableError(question)

    second.before = fail
    update = follower(node, store, second).tick(0)
    assert kinds(update) == [(AlarmKind.SECOND_UNREACHABLE, 0)]
    assert len(update.confirmed) == 2


def test_waiting_moves_are_told_and_kept_with_every_witness(node: ScriptedNode, store: Sightings) -> None:
    variants = [scripted_transaction(2, variant) for variant in (0, 7, 8)]
    follow = follower(node, store)
    for variant in variants:
        node.mempool = [scripted_transaction(99), variant]
        assert [tx.serialize() for tx in follow.tick(0).waiting] == [variant.serialize()]
    node.grow((variants[1],))
    update = follow.tick(0)
    assert [tx.serialize() for tx in update.waiting] == [variants[2].serialize()]  # another witness than confirmed
    node.mempool = []
    assert follow.tick(0).waiting == ()
    seen = [tx.serialize() for tx in store.witnesses(txid(variants[0]))]
    assert seen == [variant.serialize() for variant in variants]
