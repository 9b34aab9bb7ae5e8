"""Both strategies against each other, each against silence, each against the other's worst."""

import pytest
from offline import OfflineGame
from small_run import honest, lying, parameters

from bitvm.game import challenger, prover
from bitvm.game.challenger import Verdict
from bitvm.game.moves import Move, Wait
from bitvm.game.trace_list import first_disagreement, trace_root
from lvm.hashing import node_hash
from regtest.hostile import LIES, accuse

ANSWERS = {"1/Choice_1": "1/Reveal_2", "1/Choice_2": "1/Step"}


@pytest.fixture
def game(tmp_path):
    return OfflineGame(parameters(), tmp_path)


def confirm(game, computations, name):
    game.confirm(name, game.play(computations, name))


def test_an_honest_claim_is_paid_out_when_nobody_challenged_in_time(game):
    computations = {"prover": honest(), "challenger1": honest()}
    confirm(game, computations, "Claim")
    claimed = game.confirmed["Claim"].height
    confirm(game, computations, "Payout")
    assert game.confirmed["Payout"].height == claimed + game.parameters.delta_claim
    assert not any(name.startswith("1/") for name in game.confirmed)


@pytest.mark.parametrize("lie", sorted(LIES))
def test_every_lie_is_slashed(game, lie):
    computations = {"prover": lying(lie), "challenger1": honest()}
    for name in ("Claim", "1/Slash"):
        confirm(game, computations, name)
    assert game.position.spent_by("Claim", "bond") == "1/Slash"
    assert list(prover.moves(game.position, computations["prover"])) == []


@pytest.mark.parametrize("choice", sorted(ANSWERS))
def test_a_prover_that_does_not_answer_is_slashed(game, choice):
    computations = {"prover": lying("written"), "challenger1": honest()}
    confirm(game, computations, choice)
    waiting = {"challenger1": honest()}
    slash = f"1/Slash_after_{choice[2:]}"
    confirm(game, waiting, slash)
    assert game.confirmed[slash].height == game.confirmed[choice].height + game.parameters.delta
    over = Wait(f"we ended the game with {slash[2:]}", over=True)
    assert challenger.decide(game.position, honest(), 1)["1"] == over


@pytest.mark.parametrize("last", ["1/Challenge", "1/Reveal_2", "1/Step"])
def test_a_challenger_that_falls_silent_loses_its_stake_and_the_prover_its_fear(game, last):
    computations = {"prover": lying("written"), "challenger1": honest()}
    confirm(game, computations, last)
    alone = {"prover": computations["prover"]}
    taken = f"1/TakeStake_after_{last[2:]}"
    confirm(game, alone, taken)
    assert game.confirmed[taken].height == game.confirmed[last].height + game.parameters.delta
    confirm(game, alone, "LatePayout")
    assert game.confirmed["LatePayout"].height == game.confirmed["Claim"].height + game.parameters.delta_long


@pytest.mark.parametrize("step", [0, 1, 300, 661, 662, 663, 4095])
def test_an_honest_prover_falsely_accused_keeps_its_bond_and_takes_the_stake(game, step):
    for _ in range(2_000):
        moves = list(prover.moves(game.position, honest()))
        decisions = accuse(game.position, honest(), 1, step).values()
        moves += [decision for decision in decisions if isinstance(decision, Move)]
        for move in moves:
            party = game.graph[move.template].mover
            game.confirm(move.template, game.signed_move(party, move))
        if game.position.has("LatePayout"):
            break
        game.height += not moves
    assert game.position.has("1/TakeStake_after_Step")
    assert game.position.step(1).index == step
    assert game.position.spent_by("Claim", "bond") == "LatePayout"


def test_a_challenger_makes_no_move_on_what_it_cannot_judge(game):
    computations = {"prover": lying("written"), "challenger1": honest()}
    confirm(game, computations, "Claim")
    position = game.position
    assert challenger.judge(position, None).verdict is Verdict.UNKNOWN
    decision = challenger.decide(position, None, 1)["1"]
    assert isinstance(decision, Wait)
    assert decision.alarm
    assert challenger.judge(position, honest()).verdict is Verdict.INVALID


def test_no_move_answers_what_is_not_buried(game):
    computations = {"prover": lying("written"), "challenger1": honest()}
    for name in ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2"):
        confirm(game, computations, name)
        fresh = game.position
        object.__setattr__(fresh, "height", fresh.confirmed[name].height)
        mover = game.graph[name].mover
        if mover == "prover":
            assert isinstance(challenger.decide(fresh, honest(), 1)["1"], Wait)
        else:
            assert isinstance(prover.decide(fresh, computations["prover"])["1"], Wait) or name == "1/Challenge"


def test_a_garbled_list_is_demanded_and_its_points_are_compared(game):
    computations = {"prover": lying("written"), "challenger1": honest()}
    claim = game.play(computations, "Claim")
    stack = claim.wit.vtxinwit[0].scriptWitness.stack
    position = next(i for i, item in enumerate(stack) if len(item) == 72)
    garbled = game.graph["Claim"].with_witness([[*stack[:position], bytes(72), *stack[position + 1 :]]])
    game.confirm("Claim", garbled)
    for name in ("1/Demand_1", "1/Outline_1", "1/Pick_1", "1/Detail_1", "1/Choice_1", "1/Slash"):
        confirm(game, computations, name)
    assert not game.position.has("1/Demand_2")


def test_a_false_claim_noticed_too_late_is_not_challenged(game):
    computations = {"prover": lying("written")}
    confirm(game, computations, "Claim")
    game.height = game.confirmed["Claim"].height + game.parameters.delta_claim
    decision = challenger.decide(game.position, honest(), 1)["1"]
    assert isinstance(decision, Wait)
    assert decision.alarm


def test_trace_root_is_the_merkle_root_with_a_zero_entry_at_the_end():
    points = [bytes([i]) * 24 for i in range(3)]
    assert trace_root(points) == node_hash(node_hash(*points[:2]), node_hash(points[2], bytes(24)))
    with pytest.raises(ValueError, match="power of two"):
        trace_root(points[:2])


def test_the_choice_is_the_first_interval_with_a_false_right_end():
    ours = [bytes([i]) * 24 for i in range(3)]
    assert first_disagreement([b"x" * 24, *ours[1:]], ours) == 0
    assert first_disagreement([*ours[:2], b"x" * 24], ours) == 2
    assert first_disagreement(ours, ours) == 3
    with pytest.raises(ValueError, match="lists of"):
        first_disagreement(ours[:2], ours)


def test_a_prover_whose_run_was_not_accepted_takes_its_slot_back(game):
    class Rejected:
        accepted = False
        input_root = b"\xab" * 24

    waits = prover.decide(game.position, Rejected())[prover.BOND_DECISION]
    assert "ab" * 24 in waits.why
    assert waits.why.endswith("its bond comes back with Withdraw, which is locked")
    confirm(game, {"prover": Rejected()}, "Withdraw")
    assert game.confirmed["Withdraw"].height == game.confirmed["Fund"].height + game.parameters.delta_long
    assert prover.decide(game.position, honest())[prover.BOND_DECISION] == Wait("the slot was withdrawn", over=True)
