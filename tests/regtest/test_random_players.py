"""Whoever plays at random loses, on real transactions; the seed of a game repeats it."""

from __future__ import annotations

import pytest

from bitvm.chain.embedded import EmbeddedChain
from regtest.random_players import play_random

FEW = range(11, 19)
MANY = range(1_000, 3_000)


@pytest.fixture(scope="module")
def chain():
    with EmbeddedChain() as chain:
        yield chain


@pytest.mark.parametrize("seed", FEW)
def test_random_player_loses(seed, chain):
    play_random(seed, chain)


@pytest.mark.soak
@pytest.mark.parametrize("first", range(MANY.start, MANY.stop, 20))
def test_many_random_players_lose(first):
    with EmbeddedChain() as chain:
        for seed in range(first, first + 20):
            play_random(seed, chain)


def test_a_seed_repeats_its_game(chain):
    once, again = ([line.split(maxsplit=1)[1] for line in play_random(2, chain).story] for _ in range(2))
    assert once == again
