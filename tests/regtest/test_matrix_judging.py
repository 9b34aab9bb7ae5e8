"""Judging a case: what is right is called right, and each thing that can be wrong about it is called wrong."""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
from small_run import honest, lying, parameters

from bitvm.chain.embedded import EmbeddedChain
from bitvm.game.position import Position
from bitvm.graph.model import PROVER
from bitvm.graph.parameters import Parameters
from regtest import control
from regtest.cases import Case, Seats, challenger_of, deviating, prover_of, silent_at
from regtest.cli import main
from regtest.cli import matrix as matrix_command
from regtest.control import Control, play_without
from regtest.coverage import coverage
from regtest.match import Match, Narrator
from regtest.matrix import (
    CaseResult,
    Task,
    balances,
    complaints,
    find_case,
    leaves_used,
    play_case,
    play_tasks,
    winner_of,
)


@cache
def short(challengers: int = 1) -> Parameters:
    found = parameters(challengers=challengers)
    return replace(found, delta_long=found.delta_claim + found.longest_game)


def seats_of_a_liar() -> Seats:
    return Seats(short(), {PROVER: prover_of(lying("next_pc")), "challenger1": challenger_of(1, honest())})


def seats_of_a_silent_liar() -> Seats:
    liar = deviating(prover_of(lying("next_pc")), silent_at("Step"))
    return Seats(short(), {PROVER: liar, "challenger1": challenger_of(1, honest())})


def honest_seats() -> Seats:
    return Seats(short(), {PROVER: prover_of(honest()), "challenger1": challenger_of(1, honest())})


def no_seats() -> Seats:
    raise ValueError("nobody came")


LIE = Case(
    "lie/pc", "it goes on elsewhere", "challenger1", ("1/Step", "Slash"), seats_of_a_liar, ("next_pc.sequential",)
)
SILENT = Case("lie/silent", "it says nothing", "challenger1", ("Slash_after_Choice_2",), seats_of_a_silent_liar)
HONEST = Case("honest", "nobody objects", PROVER, ("Payout",), honest_seats, absent=("Challenge", "1/Slash"))


def own_cases() -> tuple[Case, ...]:
    return LIE, SILENT, HONEST


@pytest.fixture(scope="module")
def results() -> dict[str, CaseResult]:
    tasks = [Task(case.name) for case in own_cases()]
    return {result.name: result for _, result in play_tasks(tasks, catalogue=own_cases)}


@pytest.fixture(scope="module")
def ends() -> dict[str, Position]:
    """The final position of every case."""
    found = {}
    for case in own_cases():
        seats = case.seats()
        with EmbeddedChain() as chain, Match(chain, seats.parameters, 1, Narrator()) as match:
            for party, strategy in seats.strategies.items():
                match.seat(party, strategy)
            found[case.name] = match.play()
    return found


def test_right_cases_are_right(results):
    assert all(result.ok for result in results.values()), results
    lie = results["lie/pc"]
    assert (lie.winner, lie.transactions) == ("challenger1", 7)
    assert lie.templates[0] == "Fund"
    assert lie.templates[-1] == "1/Slash"
    assert lie.vbytes["prover"] + lie.vbytes["challenger"] == sum(played.vsize for played in lie.played[1:])
    assert lie.blocks == lie.played[-1].height - lie.played[0].height
    assert {"claim", "reveal", "step", "choice", "covenant", "next_pc.sequential"} == set(lie.leaves)
    assert results["honest"].vbytes["challenger"] == 0


@pytest.mark.parametrize(
    ("case", "wrong"),
    [
        (replace(LIE, winner=PROVER), "challenger1 has the bond, not prover"),
        (replace(HONEST, winner="challenger1"), "prover has the bond, not challenger1"),
        (replace(LIE, decides=("Slash", "Ask")), "Ask was not played"),
        (replace(LIE, decides=("2/Slash",)), "2/Slash was not played"),
        (replace(LIE, absent=("Choice_2",)), "Choice_2 was played"),
        (replace(LIE, leaves=("written.add", "next_pc.jal")), "none of the leaves written.add, next_pc.jal was used"),
        (replace(SILENT, leaves=("next_pc.sequential",)), "none of the leaves next_pc.sequential was used"),
    ],
)
def test_what_is_wrong_is_told(ends, case, wrong):
    assert wrong in list(complaints(case, ends[case.name]))


def test_right_ends_have_no_complaints(ends):
    for case in own_cases():
        assert list(complaints(case, ends[case.name])) == []
        assert list(complaints(replace(case, leaves=tuple(leaves_used(ends[case.name]))[:1]), ends[case.name])) == []


def without(position: Position, *names: str) -> Position:
    return replace(position, confirmed={name: seen for name, seen in position.confirmed.items() if name not in names})


def test_who_lost_what(ends):
    lie, paid = ends["lie/pc"], ends["honest"]
    p = short()
    won = balances(lie)
    assert won["challenger1"] >= p.reward - p.levels * p.answer_price
    assert won[PROVER] <= -p.bond
    assert balances(paid) == {PROVER: 0, "challenger1": 0}
    locked = without(paid, "Payout")
    assert winner_of(locked) == "nobody"
    assert balances(locked)[PROVER] < -p.bond + 1_000
    assert any(re.fullmatch(r"prover lost 20,000,\d\d\d sat", wrong) for wrong in complaints(HONEST, locked))
    unpaid = list(complaints(LIE, without(lie, "1/Slash")))
    assert "nobody has the bond, not challenger1" in unpaid
    assert any(wrong.startswith("challenger1 lost") for wrong in unpaid)


def test_a_case_that_breaks_is_wrong_and_no_exception():
    with EmbeddedChain() as chain:
        result = play_case(replace(HONEST, seats=no_seats), chain)
    assert (result.ok, result.winner, result.transactions) == (False, "nobody", 0)
    assert result.why_not == "ValueError: nobody came"


def test_processes_play_the_same_transactions(results):
    tasks = [Task(case.name) for case in own_cases()[:2]]
    played = dict(play_tasks(tasks, catalogue=own_cases, jobs=2))
    assert [played[place] for place in range(len(tasks))] == [results[task.name] for task in tasks]


def test_coverage_counts_kinds_and_families(results):
    covered = coverage(results.values())
    assert covered.kinds["Slash"] == 1
    assert covered.kinds["Choice"] == 2
    assert covered.families["next_pc.sequential"] == 1
    assert {"Ask", "Reclaim_after_Choice", "Withdraw"} <= set(covered.unused_kinds)
    assert "written.mul" in covered.unused_families
    assert "next_pc.sequential" in covered.proofs
    assert "step" not in covered.proofs


# ---- control


def test_a_lie_survives_without_the_proof_it_falls_by():
    with EmbeddedChain() as chain:
        blind = play_without(LIE, "next_pc", chain)
        assert (blind.ok, blind.winner) == (False, PROVER)
        assert play_without(LIE, "next_pc.seq", chain).ok  # names are hidden whole, or up to a dot


def test_control_finds_cases_that_cannot_fail(results):
    vacuous = replace(results["honest"], leaves=("written.mul",))
    found = {item.family: item for item in control.control([*results.values(), vacuous], catalogue=own_cases)}
    assert found["next_pc.sequential"] == Control("next_pc.sequential", ("lie/pc",), (), ())
    assert found["written.mul"] == Control("written.mul", (), (), ("honest",))
    assert not found["written.mul"].goes_wrong
    assert found["written.div"] == Control("written.div", (), (), ())


# ---- the command


def wrong_cases() -> tuple[Case, ...]:
    return replace(HONEST, winner="challenger1"), LIE


@pytest.fixture
def mine(monkeypatch):
    monkeypatch.setattr(matrix_command, "all_cases", own_cases)


def test_json_has_the_promised_shape(capsys, mine):  # noqa: ARG001
    assert main(["matrix", "--only", "lie/", "--jobs", "1", "--json", "--coverage"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["failed"] == 0
    assert [case["name"] for case in printed["cases"]] == ["lie/pc", "lie/silent"]
    for case in printed["cases"]:
        assert {"name", "expected", "winner", "ok", "vbytes", "transactions", "blocks"} <= set(case)
        assert set(case["vbytes"]) == {"prover", "challenger"}
    assert "Slash" not in printed["coverage"]["unused"]["transactions"]


def test_a_wrong_case_is_shown_and_fails(capsys, monkeypatch):
    monkeypatch.setattr(matrix_command, "all_cases", wrong_cases)
    assert main(["matrix", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^WRONG  honest +prover ", out, re.MULTILINE)
    assert re.search(r"^ok     lie/pc +challenger1 ", out, re.MULTILINE)
    assert "1 came out wrong" in out
    assert "prover has the bond, not challenger1" in out


def test_list_names_cases_and_stories_without_playing(capsys, mine):  # noqa: ARG001
    assert main(["matrix", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(case.name in out and case.story in out for case in own_cases())
    assert "3 cases" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--only", "nonsense"], "--only nonsense: no case begins like this"),
        (["--jobs", "0"], "--jobs 0: a whole number from 1"),
        (["--jobs", "2", "--node", "bitcoind"], "--jobs 2: all cases share one bitcoind"),
    ],
)
def test_nonsense_is_refused(capsys, mine, options, message):  # noqa: ARG001
    assert main(["matrix", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_simulate_plays_a_case_with_its_story(capsys):
    name = next(case.name for case in matrix_command.all_cases() if case.name.startswith("accuse/silence/"))
    assert main(["simulate", "--case", name]) == 0
    out = capsys.readouterr().out
    assert name in out
    assert "Challenge" in out
    assert "ok: that is what must happen" in out
    assert max(map(len, out.splitlines())) <= 120


def test_a_lie_may_be_named_like_a_case():
    case = next(case for case in matrix_command.all_cases() if case.name.startswith("lie/"))
    assert find_case(case.name.removeprefix("lie/")).name == find_case(case.name).name == case.name
    assert find_case("nonsense") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--case", "nonsense"], "--case nonsense: there is no such case"),
        (["--case", "claims/honest", "--accuse", "1"], "--case: a case says who lies"),
        (["--case", "claims/honest", "--report", "x.html"], "--report: a page shows the run of a program"),
    ],
)
def test_impossible_cases_are_refused(capsys, options, message):
    assert main(["simulate", *options]) == 2
    assert message in capsys.readouterr().err
