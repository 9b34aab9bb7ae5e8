"""The table of guarantees: computed from the parameters, and every case that it names exists."""

import json
from dataclasses import replace

import pytest

from bitvm.graph.costs import CHILD_VSIZE, kind_of, reference_graph
from bitvm.graph.model import PROVER
from bitvm.graph.parameters import MAX_SEQUENCE_BLOCKS, Parameters
from regtest.cli import main
from regtest.guarantees import EVERYBODY, guarantees, with_room
from regtest.matrix import all_cases

SMALL = Parameters(bytes(24), levels=1, width=4, challengers=3, attesters=2, quorum=1, claims=2)


@pytest.fixture(scope="module")
def found():
    return guarantees(SMALL, 10)


def test_every_case_that_is_named_exists(found):
    names = [case.name for case in all_cases()]
    named = {case for line in found.lines for case in line.cases}
    assert named
    for prefix in named:
        assert any(name.startswith(prefix) for name in names), prefix


def test_lines_without_a_case_are_known(found):
    """Attesters and reorganisations have tests of their own."""
    bare = {(line.purpose == EVERYBODY, line.who) for line in found.lines if not line.cases}
    assert bare <= {(True, "everybody"), (False, "attesters")}


def test_fees_are_those_of_the_real_transactions_of_several_challengers(found):
    largest: dict[str, int] = {}
    movers: dict[str, str] = {}
    for name, template in reference_graph(SMALL).templates.items():
        largest[kind_of(name)] = max(largest.get(kind_of(name), 0), template.vsize())
        movers[kind_of(name)] = template.mover.rstrip("0123456789")
    del largest["Fund"]
    assert [move.name for move in found.moves] == list(largest)
    for move in found.moves:
        assert move.vbytes - 2 <= largest[move.name] <= move.vbytes, move.name
        assert move.sats == 10 * (move.vbytes + CHILD_VSIZE)
        assert move.party == movers[move.name]


def test_times_follow_from_the_parameters(found):
    figures = {figure.name: figure.value for figure in found.figures}
    assert figures["longest game after Challenge"] == SMALL.longest_game
    assert figures["longest dispute after Claim"] == SMALL.delta_claim + SMALL.longest_game
    assert figures["of a slashed bond burnt"] == SMALL.burn
    blocks = {move.name: move.blocks for move in found.moves}
    assert blocks["Challenge"] == SMALL.delta_claim
    assert blocks["Step"] == blocks["Slash"] == blocks["Slash_after_Path"] == SMALL.delta
    assert blocks["Slash_after_Ask"] is blocks["Payout"] is blocks["TakeStake_after_Step"] is None


def violated(parameters: Parameters, feerate: float | None = None) -> list[str]:
    return [check.what.partition(" ")[0] for check in guarantees(parameters, feerate).checks if not check.holds]


def test_violated_inequalities_are_told():
    assert violated(SMALL) == []
    assert violated(SMALL, 2_000) == ["stake", "reward", "compensation"]
    assert violated(replace(SMALL, stake=100_000)) == ["stake"]
    assert violated(replace(SMALL, delta=5)) == ["delta"]
    assert violated(replace(SMALL, delta=2 * SMALL.confirmations + 2)) == ["delta"]
    assert violated(replace(SMALL, delta=2 * SMALL.confirmations + 3)) == []
    alone = replace(SMALL, challengers=1, attesters=0, quorum=0)
    assert "delta" not in violated(replace(alone, delta=2 * SMALL.confirmations + 2))
    assert violated(replace(SMALL, delta_claim=5, claims=1)) == ["delta_claim"]
    assert violated(replace(SMALL, delta_claim=14)) == ["delta_claim"]
    assert violated(replace(SMALL, delta_claim=14, claims=1)) == []


def test_attesters_have_conditions_both_ways(found):
    lines = [line for line in found.lines if line.who == "attesters"]
    assert [line.purpose.partition(":")[0] for line in lines] == ["Safety", "Availability"]
    assert "2 of 2 suffice" in lines[0].must
    assert "1 of 2 sign" in lines[1].must
    assert not [line for line in guarantees(Parameters(bytes(24), levels=1, width=4)).lines if line.who == "attesters"]


def test_room_for_the_longest_game_is_made():
    long = with_room(Parameters(bytes(24), levels=8, width=16, delta_long=MAX_SEQUENCE_BLOCKS))
    assert long.delta_long == long.delta_claim + long.longest_game
    assert with_room(SMALL).delta_long == SMALL.delta_long


def test_json_has_everything(capsys):
    assert main(["guarantees", "--levels", "1", "--width", "4", "--feerate", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"parameters", "feerate", "guarantees", "moves", "figures", "checks"}
    assert printed["feerate"] == 5
    assert printed["parameters"]["levels"] == 1
    assert all({"who", "must", "blocks", "sats", "cases"} <= set(line) for line in printed["guarantees"])
    assert {move["party"] for move in printed["moves"]} == {PROVER, "challenger"}


def test_tables_fit(capsys, tmp_path):
    file = tmp_path / "setup.yaml"
    file.write_text(f"image_root: {'ab' * 24}\nlevels: 1\nwidth: 4\n")
    assert main(["guarantees", "--parameters", str(file)]) == 0
    out = capsys.readouterr().out
    assert "Safety: no false claim is paid" in out
    assert "Availability" in out
    assert "holds" in out
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--levels", "9"], "--levels: a whole number from 1 to 8"),
        (["--width", "256"], "--width: one of"),
        (["--attesters", "2"], "--attesters: a whole number from 0 to 1"),
        (["--feerate", "0"], "--feerate 0: a number of sat/vB above 0"),
        (["--parameters", "/nowhere.yaml"], "/nowhere.yaml"),
    ],
)
def test_nonsense_is_refused(capsys, options, message):
    assert main(["guarantees", *options]) == 2
    assert message in capsys.readouterr().err
