"""The catalogue as a whole: every case comes out right, on both nodes, and nothing of the game is left out."""

import os

import pytest

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.node import find_bitcoind, install_bitcoind
from regtest.cases import Case
from regtest.control import control
from regtest.coverage import coverage, covering
from regtest.matrix import Task, all_cases, play_tasks

JOBS = int(os.environ.get("MATRIX_JOBS", "1"))
"""Processes that play the whole matrix on the embedded chain; ``scripts/soak`` sets it."""

FAMILIES = ("lie/", "accuse/", "both/", "claims/")


def wrong(results) -> dict[str, str]:
    return {result.name: result.why_not for result in results if not result.ok}


def test_names_are_unique_and_stories_told():
    cases = all_cases()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert case.name.startswith(FAMILIES), case.name
        assert case.story
        assert case.decides or case.absent, case.name
    assert {case.name.partition("/")[0] + "/" for case in cases} == set(FAMILIES)


def sample() -> list[Case]:
    """The first case of each family, and of lies and accusations one more."""
    cases = all_cases()
    firsts = [next(case for case in cases if case.name.startswith(family)) for family in FAMILIES]
    return [*firsts, cases[len(cases) // 3], cases[len(cases) // 2]]


def test_a_sample_comes_out_right():
    assert wrong(result for _, result in play_tasks([Task(case.name) for case in sample()])) == {}


@pytest.mark.soak
@pytest.mark.bitcoind
def test_the_whole_matrix():
    """All in one test, so that only one process plays it: cases, coverage, control experiment, and the real node.

    The node plays a cover: under its default policy, at least one case of every transaction and every family of leaves.
    """
    tasks = [Task(case.name) for case in all_cases()]
    results = [result for _, result in play_tasks(tasks, jobs=JOBS)]
    assert wrong(results) == {}
    covered = coverage(results)
    assert covered.unused_kinds == ()
    assert covered.proofs & set(covered.unused_families) == set()
    assert [item.family for item in control(results, jobs=JOBS) if not item.goes_wrong] == []
    with BitcoindNode(find_bitcoind() or install_bitcoind()) as node, BitcoindChain(node) as chain:
        cover = [Task(name) for name in covering(results)]
        assert wrong(result for _, result in play_tasks(cover, chain=chain)) == {}
