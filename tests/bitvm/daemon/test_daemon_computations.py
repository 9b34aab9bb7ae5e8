"""The runs of a daemon: which of them keep what makes answers quick. (Failures and retries: functional tests.)"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from bitvm.daemon.computations import WITH_SNAPSHOTS, Computations, Job, RunName
from bitvm.game.computation import Execution


class House:
    """Computations whose runs do nothing but count how often they are slimmed, and wait for a while if told so."""

    def __init__(self) -> None:
        self.slimmed: list[int] = []
        self.computations = Computations("auto", 1, self.run)

    def run(self, job: Job, _: object) -> Execution:
        number = cast(int, job)
        return cast(Execution, SimpleNamespace(slim=lambda: self.slimmed.append(number)))

    def want(self, number: int) -> None:
        self.computations.want(name(number), cast(Job, number))


def name(number: int) -> RunName:
    return RunName("alpha" if number % 2 else "beta", tuple(bytes([each]) for each in range(number + 1)))


@pytest.fixture
def house() -> House:
    return House()


def test_older_runs_are_slimmed_once(house: House) -> None:
    for number in range(WITH_SNAPSHOTS + 2):
        house.want(number)
        assert house.computations.make_wanted()
    assert house.slimmed == [0], "the newest ones of all set-ups keep theirs"
    for _ in range(3):
        house.computations.make_wanted()
    assert house.slimmed == [0, 1]


def test_a_run_that_is_forgotten_and_made_again_is_slimmed_again(house: House) -> None:
    for number in range(WITH_SNAPSHOTS + 1):
        house.want(number)
    house.computations.make_wanted()
    house.computations.make_wanted()
    house.computations.forget("beta", set())
    house.computations.make_wanted()
    for number in (0, *range(10, 10 + WITH_SNAPSHOTS)):
        house.want(number)
    house.computations.make_wanted()
    house.computations.make_wanted()
    assert house.slimmed == [0, 1, 3, 0]


async def test_the_loop_slims_between_two_ticks(house: House) -> None:
    ended: list[Any] = []
    async with trio.open_nursery() as nursery:
        for number in range(WITH_SNAPSHOTS + 1):
            house.want(number)
        house.computations.start(nursery, lambda: ended.append(None))
    assert len(ended) == WITH_SNAPSHOTS + 1
    assert house.slimmed == []
    async with trio.open_nursery() as nursery:
        house.computations.start(nursery, lambda: None)
    assert len(house.slimmed) == 1
