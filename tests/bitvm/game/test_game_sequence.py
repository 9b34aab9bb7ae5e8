"""An honest challenger before several claims: on which it puts its one stake, and what it calls for help over."""

import pytest
from offline import OfflineGame
from scripted import fork

from bitvm.game import challenger, prover
from bitvm.game.finality import Verdict
from bitvm.game.moves import Move, Wait
from regtest.accusations import scene
from regtest.accusations.sequence import lied_in, lied_twice, true_runs

CLAIMS = 2


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    return OfflineGame(scene.parameters(claims=CLAIMS), tmp_path_factory.mktemp("sequence"))


@pytest.fixture
def game(agreed, tmp_path):
    return fork(agreed, tmp_path)


def claim(game, runs):
    for slot in range(1, len(runs) + 1):
        move = prover.decide_setup(game.position, runs)[f"{slot}:{prover.BOND_DECISION}"]
        game.confirm(move.template, game.signed_move("prover", move))


def challenges(decisions):
    return [decision.template for decision in decisions.values() if isinstance(decision, Move)]


def test_true_claims_are_left_alone(game):
    claim(game, true_runs(CLAIMS))
    decisions = challenger.decide_setup(game.position, true_runs(CLAIMS), 1)
    assert challenges(decisions) == []
    assert set(decisions) == {"1:1", "2:1"}
    assert not any(decision.alarm for decision in decisions.values())


def test_the_stake_goes_on_the_earliest_false_claim(game):
    claim(game, lied_twice())
    decisions = challenger.decide_setup(game.position, true_runs(CLAIMS), 1)
    assert challenges(decisions) == ["1/Challenge"]
    assert set(decisions) == {"1:1"}
    game.confirm("1/Challenge", game.signed_move("challenger1", decisions["1:1"]))
    facts = challenger.claim_facts(game.position, true_runs(CLAIMS), 1)
    assert [fact.verdict for fact in facts] == [Verdict.INVALID, Verdict.INVALID]
    assert [fact.challengeable for fact in facts] == [False, False]
    assert set(challenger.decide_setup(game.position, true_runs(CLAIMS), 1)) == {"1:1"}


def test_a_false_claim_behind_a_true_one_is_challenged(game):
    claim(game, lied_in(2, CLAIMS))
    decisions = challenger.decide_setup(game.position, true_runs(CLAIMS), 1)
    assert challenges(decisions) == ["1/Challenge#2"]
    assert "setup" not in decisions


def test_an_unknown_claim_before_a_false_one_is_an_alarm(game):
    claim(game, lied_in(2, CLAIMS))
    runs = (None, true_runs(CLAIMS)[1])
    decisions = challenger.decide_setup(game.position, runs, 1)
    assert challenges(decisions) == []
    assert decisions["setup"].alarm
    assert decisions["setup"].why.startswith("claim 1 is UNKNOWN and can still be challenged")
    game.height = game.confirmed["Claim#2"].height + game.parameters.delta_claim - game.parameters.delta
    assert challenges(challenger.decide_setup(game.position, runs, 1)) == ["1/Challenge#2"]


def test_a_false_claim_noticed_too_late_is_an_alarm(game):
    claim(game, lied_twice())
    game.height = game.confirmed["Claim"].height + game.parameters.delta_claim - 1
    decisions = challenger.decide_setup(game.position, true_runs(CLAIMS), 1)
    assert challenges(decisions) == []  # it may be true of the false state
    assert decisions["setup"].alarm
    assert decisions["setup"].why.startswith("claim 1 is INVALID and we can challenge it no more")


def test_a_slot_in_which_nothing_is_claimed_goes_back(game):
    claim(game, true_runs(1))
    runs = (*true_runs(1), None)
    waiting = prover.decide_setup(game.position, runs)["2:bond"]
    assert isinstance(waiting, Wait)
    game.height = waiting.until - 1
    move = prover.decide_setup(game.position, runs)["2:bond"]
    assert move.template == "Withdraw#2"
    game.confirm("Withdraw#2", game.signed_move("prover", move))
    assert prover.decide_setup(game.position, runs)["2:bond"].over
    withdrawn = challenger.claim_facts(game.position, true_runs(1), 1)[1]
    assert withdrawn.withdrawn
    assert withdrawn.buried
