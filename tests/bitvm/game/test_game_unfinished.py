"""A prover whose own run has not ended does all that needs no run, and says what it cannot do."""

import pytest
from offline import OfflineGame
from scripted import fork

from bitvm.game import prover
from bitvm.game.computation import Unfinished, UnfinishedError
from bitvm.game.moves import Move, Wait
from bitvm.leaves.fields import Kind
from regtest.accusations import scene
from regtest.accusations.sequence import true_runs
from regtest.hostile import accuse

CLAIMS = 2
UNFINISHED = Unfinished("no run yet")


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    return OfflineGame(scene.parameters(claims=CLAIMS), tmp_path_factory.mktemp("unfinished"))


@pytest.fixture
def game(agreed, tmp_path):
    game = fork(agreed, tmp_path)
    for slot in range(1, CLAIMS + 1):
        play(game, "prover", prover.decide_setup(game.position, true_runs(CLAIMS))[f"{slot}:bond"])
    return game


def play(game, party, move):
    game.confirm(move.template, game.signed_move(party, move))


def decide(game, *computations):
    return prover.decide_setup(game.position, computations or (UNFINISHED,) * CLAIMS)


def test_whatever_is_asked_says_that_there_is_no_run():
    asked = (
        lambda: UNFINISHED.input_root,
        lambda: UNFINISHED.start_root,
        lambda: UNFINISHED.final_root,
        lambda: UNFINISHED.accepted,
        lambda: UNFINISHED.points(1, 0),
        lambda: UNFINISHED.step(0),
        lambda: UNFINISHED.opening(Kind.CONTROL, 0),
    )
    for ask in asked:
        with pytest.raises(UnfinishedError, match="no run yet"):
            ask()


def test_claims_that_nobody_disputed_are_paid(game):
    game.height = game.confirmed["Claim#2"].height + game.parameters.delta_claim
    decisions = decide(game)
    assert [decisions[f"{slot}:bond"].template for slot in (1, 2)] == ["Payout", "Payout#2"]


def test_a_claim_is_not_made_and_its_slot_is_kept_for_a_while(agreed, tmp_path):
    """A slot that can be claimed is claimed, but its bond is not locked for ever by a run that fails for good."""
    game = fork(agreed, tmp_path)
    unlocked = game.confirmed["Fund"].height + game.parameters.delta_long
    game.height = unlocked
    assert decide(game)["1:bond"] == Wait("no run yet")
    game.height = unlocked + game.parameters.delta_claim - 2
    assert decide(game) == {"1:bond": Wait("no run yet"), "2:bond": Wait("no run yet")}
    game.height += 1
    assert templates(decide(game)) == ["Withdraw", "Withdraw#2"]
    late = decide(game, *true_runs(CLAIMS))
    assert templates(late)[0] == "Claim", "a run that ends after all is claimed"
    play(game, "prover", decide(game)["1:bond"])
    assert decide(game, *true_runs(CLAIMS))["1:bond"].over


def test_a_slot_behind_one_that_goes_back_goes_back(agreed, tmp_path):
    game = fork(agreed, tmp_path)
    run = true_runs(CLAIMS)[1]
    assert decide(game, None, run)["2:bond"] == Wait("the claim before is not buried yet")
    game.height = game.confirmed["Fund"].height + game.parameters.delta_long
    play(game, "prover", decide(game, None, run)["1:bond"])
    assert decide(game, None, run)["2:bond"].template == "Withdraw#2"
    assert decide(game, None, UNFINISHED)["2:bond"].template == "Withdraw#2"


def test_a_slot_behind_one_that_is_never_claimed_goes_back(agreed, tmp_path):
    game = fork(agreed, tmp_path)
    game.height = game.confirmed["Fund"].height + game.parameters.delta_long + game.parameters.delta_claim
    assert templates(decide(game, UNFINISHED, true_runs(CLAIMS)[1])) == ["Withdraw", "Withdraw#2"]


def templates(decisions):
    return [decision.template for decision in decisions.values()]


def test_a_silent_accuser_loses_its_stake_and_an_answer_waits_for_the_run(game):
    at = game.position.at_claim(1)
    play(game, "challenger1", accuse(at, true_runs(CLAIMS)[0], 1, 0)["1"])
    game.height += game.parameters.delta
    assert decide(game)["1:1"].template == "1/TakeStake_after_Challenge"

    choice = accuse(game.position.at_claim(1), true_runs(CLAIMS)[0], 1, 0)["1"]
    play(game, "challenger1", choice)
    game.height += game.parameters.confirmations
    assert decide(game)["1:1"] == Wait(f"{prover.UNFINISHED}: no run yet", alarm=True)
    assert isinstance(decide(game, true_runs(CLAIMS)[0], UNFINISHED)["1:1"], Move)
