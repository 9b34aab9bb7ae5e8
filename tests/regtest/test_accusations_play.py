"""Hostile challengers and claims in sequence, played on a chain: who has what in the end, from what was confirmed."""

import pytest

from bitvm.chain.embedded import EmbeddedChain
from bitvm.game.challenger import claim_facts
from bitvm.game.finality import ended_by, final_claims
from bitvm.graph.model import PROVER, challenger
from regtest.accusations import challenger_cases, claims_cases, combined_cases
from regtest.accusations.sequence import true_runs
from regtest.cases import unique
from regtest.match import Match, Narrator
from regtest.matrix import balances, play_case

CASES = {case.name: case for case in unique([*challenger_cases(), *combined_cases(), *claims_cases()])}

SAMPLE = (
    "accuse/question/STATE/1.2",
    "accuse/nonsense/kind_15",
    "accuse/nonsense/START/1.3",
    "accuse/void/2/pick",
    "accuse/compare/Compare_right/signed/11-3",
    "accuse/last_block/Challenge_too_late",
    "both/accusers/same_step",
    "both/two_honest/timeout/Refute_after_Inside",
    "both/late_payout/reclaim",
    "claims/accused/2",
    "claims/start/other_input",
)


def played(name):
    """The position at the end of a case."""
    seats = CASES[name].seats()
    with EmbeddedChain() as chain, Match(chain, seats.parameters, 1, Narrator()) as match:
        for party, strategy in seats.strategies.items():
            match.seat(party, strategy)
        return match.play()


@pytest.mark.parametrize("name", SAMPLE)
def test_a_case_ends_as_it_must(name):
    with EmbeddedChain() as chain:
        assert play_case(CASES[name], chain).why_not == ""


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in CASES if name not in SAMPLE])
def test_every_case_ends_as_it_must(name):
    with EmbeddedChain() as chain:
        assert play_case(CASES[name], chain).why_not == ""


@pytest.mark.parametrize("name", ["accuse/question/INSTR/3", "accuse/demand/2/1/outside"])
def test_an_honest_prover_has_its_bond_and_the_stake(name):
    position = played(name)
    parameters, found = position.graph.setting.parameters, balances(position)
    left = parameters.levels * parameters.answer_price  # what side paths hold that nobody demanded
    assert parameters.stake - left <= found[PROVER] <= parameters.stake
    assert found[challenger(1)] <= left - parameters.stake


def test_two_accusers_pay_two_stakes():
    position = played("both/accusers/two")
    parameters = position.graph.setting.parameters
    assert balances(position)[PROVER] >= 2 * (parameters.stake - parameters.levels * parameters.answer_price)


@pytest.mark.parametrize("name", ["both/sybil/timeout", "both/sybil/before_anybody", "both/sybil/proof"])
def test_a_prover_that_slashes_itself_loses_what_is_burnt(name):
    position = played(name)
    parameters, found = position.graph.setting.parameters, balances(position)
    assert found[PROVER] + found[challenger(1)] <= -parameters.burn
    assert found[challenger(2)] >= parameters.compensation - parameters.levels * parameters.answer_price


def test_reward_stake_and_compensation_come_to_those_who_have_a_right_to_them():
    position = played("both/staller")
    parameters, found = position.graph.setting.parameters, balances(position)
    left = parameters.levels * parameters.answer_price
    assert parameters.reward - left <= found[challenger(2)] <= parameters.reward + parameters.answer_price
    assert found[challenger(1)] == parameters.compensation
    assert found[challenger(3)] == parameters.compensation - parameters.stake
    assert found[PROVER] < 0


@pytest.mark.parametrize(
    ("name", "final", "ended"),
    [
        ("claims/honest", 3, None),
        ("claims/lie/second_of_three", 1, 2),
        ("claims/lie/first_of_two", 0, 1),
        ("claims/lie/both", 0, 1),
    ],
)
def test_what_is_final_after_claims_in_sequence(name, final, ended):
    position = played(name)
    facts = claim_facts(position, true_runs(position.graph.setting.parameters.claims), 1)
    assert final_claims(facts) == final
    assert ended_by(facts) == ended
