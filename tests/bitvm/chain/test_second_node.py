"""The second node, seen through what its looks have found: the same alarms as ever, and nobody waits for it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from follower_bench import ScriptedNode, scripted_transaction
from hostile_node import HostileNode, Talk, drip, raw, response, silence

from bitvm.chain.follower import AlarmKind, Follower, Update
from bitvm.chain.interface import BlockId, UnknownBlockError
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import NodeUnreachableError
from bitvm.chain.second import COMPARED_BLOCKS, LOOK_SECONDS, SecondNode
from bitvm.chain.sightings import Sightings
from bitvm.script.weight import txid

PATIENCE = 60.0
CONFIRMATIONS = 3
START = 10
SET_UPS = 30


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class HeaderNode(RemoteNode):
    """The headers of a scripted node; each question takes `seconds`."""

    def __init__(self, node: ScriptedNode, clock: Clock) -> None:
        super().__init__("http://user:password@127.0.0.1:1")
        self.node, self.clock = node, clock
        self.seconds = 0.0
        self.asked = 0
        self.error: Exception | None = None

    def tip_if_not(self, known: BlockId | None) -> BlockId | None:
        self._take_time()
        tip = self.node.tip()
        return None if tip == known else tip

    def header(self, block_hash: bytes) -> tuple[BlockId, bytes]:
        self._take_time()
        extract = self.node.blocks[block_hash]
        return extract.block, extract.parent

    def _take_time(self) -> None:
        self.asked += 1
        self.clock.now += self.seconds
        if self.error is not None:
            raise self.error


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def node() -> ScriptedNode:
    node = ScriptedNode()
    node.grow(*[()] * (START + 20))
    return node


@pytest.fixture
def headers(node: ScriptedNode, clock: Clock) -> HeaderNode:
    return HeaderNode(ScriptedNode(list(node.chain), dict(node.blocks)), clock)


@pytest.fixture
def second(headers: HeaderNode, clock: Clock) -> SecondNode:
    return SecondNode(headers, patience=PATIENCE, clock=clock)


@pytest.fixture
def follower(tmp_path: Path, node: ScriptedNode, second: SecondNode) -> Iterator[Follower]:
    with Sightings.create(tmp_path / "sightings", [txid(scripted_transaction(0))], START) as store:
        yield following(node, store, second)


def following(node: ScriptedNode, store: Sightings, second: SecondNode) -> Follower:
    return Follower(node, store, confirmations=CONFIRMATIONS, stall_after=1e9, second=second)


def kinds(update: Update) -> list[tuple[AlarmKind, float]]:
    return [(alarm.kind, alarm.amount) for alarm in update.alarms]


def known(second: SecondNode) -> dict[int, bytes]:
    """Return all hashes that the second node is known to have."""
    found = {}
    for height in range(second.tip().height + 2):
        try:
            found[height] = second.block_hash(height)
        except UnknownBlockError:
            continue
    return found


def newest(headers: HeaderNode, count: int = COMPARED_BLOCKS) -> dict[int, bytes]:
    return dict(list(enumerate(headers.node.chain))[-count:])


# ---- looks


def test_look_finds_the_newest_blocks_and_asks_for_each_once(headers: HeaderNode, second: SecondNode) -> None:
    headers.node.grow(*[()] * 500)
    second.look()
    assert second.tip() == headers.node.tip()
    assert known(second) == newest(headers)
    assert headers.asked == COMPARED_BLOCKS
    for grown, questions in ((0, 1), (1, 2), (5, 6)):
        headers.node.grow(*[()] * grown)
        headers.asked = 0
        second.look()
        assert (known(second), headers.asked) == (newest(headers), questions)


def test_looks_follow_any_history(headers: HeaderNode, second: SecondNode) -> None:
    chance = random.Random(5)
    for branch in range(60):
        headers.node.cut(chance.choice((1, 2, 3, 25)))
        headers.node.grow(*[()] * chance.choice((1, 2, 3, 30)), branch=branch)
        second.look()
        assert second.tip() == headers.node.tip()
        assert known(second) == newest(headers)


def test_slow_node_is_known_after_some_looks(headers: HeaderNode, second: SecondNode, clock: Clock) -> None:
    headers.node.grow(*[()] * 500)
    headers.seconds = 1.0
    looks = 0
    while not looks or len(known(second)) < COMPARED_BLOCKS:
        begun = clock.now
        second.look()
        looks += 1
        assert clock.now - begun <= LOOK_SECONDS + 2
        assert known(second) == newest(headers, len(known(second)))  # those that are known have no gap
        headers.node.grow(())
    assert looks > 20


def test_what_fails_is_told_until_a_look_succeeds(headers: HeaderNode, second: SecondNode) -> None:
    with pytest.raises(UnknownBlockError):
        second.tip()
    headers.error = NodeUnreachableError("refused")
    for _ in range(2):
        second.look()
        with pytest.raises(NodeUnreachableError, match="refused"):
            second.tip()
    headers.error = None
    second.look()
    assert second.tip() == headers.node.tip()


def test_what_was_found_grows_too_old(second: SecondNode, clock: Clock) -> None:
    second.look()
    clock.now += PATIENCE
    assert second.tip()
    clock.now += 1
    with pytest.raises(NodeUnreachableError, match="too old"):
        second.tip()


def test_node_that_never_lets_a_look_end_is_told(clock: Clock, second: SecondNode) -> None:
    clock.now += PATIENCE + 1
    with pytest.raises(NodeUnreachableError, match="too old"):
        second.tip()


def test_chain_whose_heights_are_lies_is_no_chain(headers: HeaderNode, second: SecondNode) -> None:
    other = ScriptedNode()
    other.grow(*[()] * 5, branch=1)
    top = other.blocks[other.chain[-1]]
    headers.node.blocks |= other.blocks
    headers.node.blocks[top.block.hash] = type(top)(BlockId(100, top.block.hash), top.parent, ())
    headers.tip_if_not = lambda known: BlockId(100, top.block.hash)  # type: ignore[method-assign]  # noqa: ARG005
    second.look()
    with pytest.raises(NodeUnreachableError, match=r"block 3 .* lies below a block 100"):
        second.tip()


# ---- alarms


def test_alarms_are_those_of_the_newest_look(
    node: ScriptedNode, headers: HeaderNode, second: SecondNode, follower: Follower
) -> None:
    assert not follower.tick(0).alarms  # nothing is known yet
    second.look()
    assert not follower.tick(0).alarms

    headers.node.cut(CONFIRMATIONS)
    headers.node.grow(*[()] * CONFIRMATIONS, branch=1)
    second.look()
    assert not follower.tick(0).alarms
    headers.node.cut(CONFIRMATIONS + 1)
    headers.node.grow(*[()] * (CONFIRMATIONS + 1), branch=1)
    assert not follower.tick(0).alarms  # nobody has looked
    second.look()
    assert kinds(follower.tick(0)) == [(AlarmKind.DISAGREES, CONFIRMATIONS + 1)]

    headers.node.chain = node.chain[: -CONFIRMATIONS - 1]
    second.look()
    assert kinds(follower.tick(0)) == [(AlarmKind.SECOND_BEHIND, CONFIRMATIONS + 1)]

    headers.node.chain = list(node.chain)
    headers.node.grow(*[()] * (CONFIRMATIONS + 1))
    second.look()
    assert kinds(follower.tick(0)) == [(AlarmKind.BEHIND, CONFIRMATIONS + 1)]

    headers.error = NodeUnreachableError("refused")
    second.look()
    update = follower.tick(0)
    assert kinds(update) == [(AlarmKind.SECOND_UNREACHABLE, 0)]
    assert update.alarms[0].text == "the second node does not answer: refused"


def test_alarms_where_the_second_node_is_far_ahead_on_another_branch(
    headers: HeaderNode, second: SecondNode, follower: Follower
) -> None:
    headers.node.cut(CONFIRMATIONS + 1)
    headers.node.grow(*[()] * (CONFIRMATIONS + 1 + 200), branch=1)
    second.look()
    assert kinds(follower.tick(0)) == [(AlarmKind.BEHIND, 200), (AlarmKind.DISAGREES, CONFIRMATIONS + 1)]


TALKS = {
    "silent": silence,
    "null": raw(response(b'{"result": null, "error": null, "id": 1}')),
    "list": raw(response(b"[]")),
    "no hash": raw(response(b'{"result": "zz", "error": null}')),
    "dripping": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
    "long": raw(response(b" " * 100_000 + b'{"result": "' + b"ab" * 32 + b'", "error": null}')),
}


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS.keys())
def test_hostile_node_costs_the_ticks_of_many_set_ups_nothing(tmp_path: Path, node: ScriptedNode, talk: Talk) -> None:
    stores = [
        Sightings.create(tmp_path / f"{number}", [txid(scripted_transaction(0))], START) for number in range(SET_UPS)
    ]
    with HostileNode(talk) as hostile, RemoteNode(hostile.url, timeout=0.3, limit=64_000) as remote:
        second = SecondNode(remote, patience=PATIENCE)
        followers = [following(node, store, second) for store in stores]
        for each in followers:
            assert not each.tick(0).alarms
        begun = time.monotonic()
        second.look()
        assert time.monotonic() - begun < 2
        calls = hostile.calls
        for each in followers:
            assert kinds(each.tick(0)) == [(AlarmKind.SECOND_UNREACHABLE, 0)]
        assert hostile.calls == calls  # whoever ticks asks it nothing
    for store in stores:
        store.close()
