"""The runs of a daemon: which of them keep what makes answers quick. (Failures and retries: functional tests.)"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from bitvm.daemon.computations import ROOM, Computations, Job, RunName
from bitvm.game.computation import Execution

FIT = 4
"""Runs for which there is room."""


class House:
    """Computations whose runs do nothing but take room, and count how often they are slimmed."""

    def __init__(self) -> None:
        self.slimmed: list[int] = []
        self.computations = Computations("auto", 1, self.run)

    def run(self, job: Job, _: object) -> Execution:
        number = cast(int, job)
        run = SimpleNamespace(pages=ROOM // FIT)

        def slim() -> None:
            self.slimmed.append(number)
            run.pages = 1

        run.slim = slim
        return cast(Execution, run)

    def want(self, number: int) -> None:
        self.computations.want(name(number), cast(Job, number))


def name(number: int) -> RunName:
    return RunName("alpha" if number % 2 else "beta", tuple(bytes([each]) for each in range(number + 1)))


@pytest.fixture
def house() -> House:
    return House()


def test_older_runs_are_slimmed_once(house: House) -> None:
    for number in range(FIT + 2):
        house.want(number)
        assert house.computations.make_wanted()
    assert house.slimmed == [0], "the newest ones of all set-ups keep theirs"
    for _ in range(3):
        house.computations.make_wanted()
    assert house.slimmed == [0, 1]


def test_a_run_that_is_forgotten_and_made_again_is_slimmed_again(house: House) -> None:
    for number in range(FIT + 1):
        house.want(number)
    house.computations.make_wanted()
    house.computations.make_wanted()
    house.computations.forget("beta", set())
    house.computations.make_wanted()
    for number in (0, *range(10, 10 + FIT)):
        house.want(number)
    house.computations.make_wanted()
    house.computations.make_wanted()
    assert house.slimmed == [0, 0, 3, 1], "and those that had room before"


async def test_the_loop_slims_between_two_ticks(house: House) -> None:
    ended: list[Any] = []
    async with trio.open_nursery() as nursery:
        for number in range(FIT + 1):
            house.want(number)
        house.computations.start(nursery, lambda: ended.append(None))
    assert len(ended) == FIT + 1
    assert house.slimmed == []
    async with trio.open_nursery() as nursery:
        house.computations.start(nursery, lambda: None)
    assert len(house.slimmed) == 1
