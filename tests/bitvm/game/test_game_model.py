"""Every run of small games between the honest strategies and hostile parties: what must always hold does.

Games have one or two levels of four intervals. Where a hostile party is patient it may make any legal move in any
block; otherwise it makes each at once, or never one again but timeouts. Its budget is how many fields it may falsify
beyond saying what another computation says. See `symbolic_game`, and `symbolic_checks` for the invariants.
"""

from __future__ import annotations

from copy import copy

import pytest
from symbolic_play import explore_challenger, explore_prover
from symbolic_position import NO_NODE
from symbolic_world import DATA, false, true

from lvm.layout import CONTROL_BASE
from regtest.hostile import LIES
from regtest.lies.telling import afterwards, beside, elsewhere, misread, replaced, says

TELLS = {
    "written": (says(LIES["written"]), 0),
    "next_pc": (says(LIES["next_pc"]), 2),
    "halt": (says(LIES["halt"]), 1),
    "instr": (misread("instr", 1 << 20), 0),
    "rs2": (misread("rs2"), 1),
    "fuel": (misread("fuel"), 2),
    "beside": (beside(DATA + 4), 1),
    "afterwards": (afterwards(CONTROL_BASE + 32), 2),
    "start": (elsewhere(DATA + 4), 0),
    "left": (elsewhere(DATA), 3),
    "right": (replaced(DATA), 2),
    "end": (replaced(DATA), 3),
}


def lie(name, levels=1, later=0):
    tell, step = TELLS[name]
    return false(tell, step + later, levels)


def challenger_wins(exploration):
    return {over for over in exploration.ended if over} and all(
        over.startswith(("Slash", "Reclaim")) for over in exploration.ended if over
    )


def prover_wins(exploration):
    return {over for over in exploration.ended if over} and all(
        over.startswith(("TakeStake", "Dismiss")) for over in exploration.ended if over
    )


# ---- an honest prover


@pytest.mark.soak
def test_prover_against_any_challenger_at_any_time():
    exploration = explore_prover(few=True)
    assert prover_wins(exploration)
    assert exploration.states > 1_000


def test_prover_against_a_challenger_that_is_never_late():
    assert prover_wins(explore_prover(few=True, patient=False))


def test_prover_against_any_challenger_and_a_reorg():
    assert prover_wins(explore_prover(few=True, patient=False, reorgs=1))


@pytest.mark.soak
@pytest.mark.parametrize(
    "options",
    [
        {"patient": False},
        {"few": True, "delta": 4, "lag": 1},
        {"few": True, "sweeps": True},
        {"few": True, "patient": False, "confirmations": 2, "delta": 5, "reorgs": 1},
        {"few": True, "patient": False, "challengers": 2},
        {"few": True, "patient": False, "levels": 2},
        {"few": True, "reorgs": 1},
    ],
    ids=str,
)
def test_prover_in_larger_games(options):
    assert prover_wins(explore_prover(**options))


# ---- an honest challenger


@pytest.mark.parametrize("name", TELLS)
def test_challenger_against_a_liar_of_many_words(name):
    assert challenger_wins(explore_challenger(lie(name), patient=False))


def test_challenger_against_a_liar_that_falsifies_a_field():
    exploration = explore_challenger(lie("beside"), patient=False, budget=1)
    assert challenger_wins(exploration)
    assert {"Slash_after_Close", "Slash_after_Refute_after_Close", "Slash_after_Compare_left"} <= exploration.ended


@pytest.mark.parametrize("true_otherwise", [True, False])
def test_challenger_without_a_run_against_an_input_that_cannot_exist(true_otherwise):
    """What a thief baits a stake with costs it the bond, whatever else it says."""
    claimed = copy(true() if true_otherwise else lie("beside"))
    claimed.input_root = NO_NODE
    assert challenger_wins(explore_challenger(claimed, blind=True, patient=False, budget=1))


def test_challenger_against_a_patient_liar_whose_miners_hold_moves_up():
    assert challenger_wins(explore_challenger(lie("beside"), delta=4, lag=1))


def test_challenger_against_a_liar_and_a_reorg():
    assert challenger_wins(explore_challenger(lie("beside"), patient=False, reorgs=1))


@pytest.mark.soak
@pytest.mark.parametrize("name", TELLS)
def test_challenger_against_each_liar_that_falsifies_a_field(name):
    assert challenger_wins(explore_challenger(lie(name), patient=False, budget=1))


@pytest.mark.soak
@pytest.mark.parametrize(
    "options",
    [
        {"reorgs": 1},
        {"patient": False, "reorgs": 1, "budget": 1},
        {"patient": False, "reorgs": 1, "confirmations": 2, "delta": 5},
        {"budget": 1, "sweeps": True},
        {"patient": False, "budget": 2},
        {"patient": False, "challengers": 2, "delta": 4, "moves_a_block": 1},
    ],
    ids=str,
)
def test_challenger_in_larger_games(options):
    assert challenger_wins(explore_challenger(lie("beside"), **options))


@pytest.mark.soak
def test_challenger_against_three_liars_in_one():
    liars = [lie(name) for name in ("beside", "written", "rs2")]
    assert challenger_wins(explore_challenger(*liars, patient=False, budget=1))


@pytest.mark.soak
def test_challenger_in_games_of_two_levels():
    liars = [lie("beside", levels=2, later=3), lie("written", levels=2)]
    assert challenger_wins(explore_challenger(*liars, levels=2, patient=False))
