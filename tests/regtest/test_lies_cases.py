"""The catalogue of lying provers: its names, what it covers, and a few of its cases, played."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.interface import RegtestChain
from bitvm.graph.model import PROVER, challenger
from regtest.cases import Case, challenger_of, prover_of, unique
from regtest.costs import family_of
from regtest.coverage import catalogue
from regtest.lies import prover_cases
from regtest.matrix import play_case
from regtest.worlds import GUEST

CASES = {case.name: case for case in unique(prover_cases())}

PLAYED = (
    "lie/says/written.mul",
    "lie/says/control.fuel/2",
    "lie/misread/mem/true",
    "lie/changes/store/neighbour",
    "lie/entry/left/5/1",
    "lie/start/after/20",
    "lie/final/claimed",
    "lie/accepted/endless",
    "lie/label/root_written",
    "lie/list_2/compared/left_5",
    "lie/silent/Inside",
    "lie/healed/memory",
)


@pytest.fixture(scope="module")
def chain() -> Iterator[RegtestChain]:
    with EmbeddedChain() as embedded:
        yield embedded


def test_every_case_says_who_wins_and_by_what() -> None:
    assert {case.winner for case in CASES.values()} == {challenger(1), PROVER, "nobody"}
    assert [case.name for case in CASES.values() if not case.decides] == []


def test_a_case_is_named_for_every_family_of_proofs_of_a_challenger() -> None:
    _, families, proofs = catalogue()
    assert set(families) >= proofs
    named = {family_of(leaf) for case in CASES.values() for leaf in case.leaves}
    missing = {family for family in proofs if family not in named and not family.startswith("dismiss.")}
    assert missing == set()


@pytest.mark.parametrize("name", PLAYED)
def test_played(name: str, chain: RegtestChain) -> None:
    result = play_case(CASES[name], chain)
    assert result.ok, result.why_not


def test_an_honest_prover_is_not_caught(chain: RegtestChain) -> None:
    """The judgement is not blind: played honestly, the same case is wrong."""
    case: Case = CASES["lie/says/written.mul"]
    seats = case.seats()
    honest = {PROVER: prover_of(GUEST.run()), challenger(1): challenger_of(1, GUEST.run())}
    result = play_case(case, chain, seats=replace(seats, strategies=honest))
    assert not result.ok
    assert result.winner == PROVER
