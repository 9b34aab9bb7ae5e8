"""By when a move must be there and what it may cost, against what the opponent can really do on the graph."""

from dataclasses import replace

import pytest
from offline import OfflineGame
from small_run import honest, lying, parameters

from bitvm.game.leaving import is_settled, may_leave
from bitvm.game.position import Position
from bitvm.game.urgency import Rivals, budget, since
from bitvm.graph.model import PROVER

PLAYED = ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step", "1/Slash")


class Played:
    """A lie played to its Slash: where the game stood when each transaction was buried, and what was due when."""

    def __init__(self, game):
        self.graph, self.parameters, self.rivals = game.graph, game.parameters, Rivals(game.graph)
        self.at = {}
        self.deadlines = {}
        computations = {PROVER: lying("written"), "challenger1": honest(challengers=2)}
        for name in PLAYED:
            transaction = game.play(computations, name)
            self.deadlines[name] = (self.rivals.deadline(game.position, game.graph[name]), game.position.height)
            if name == "1/Slash":
                self.before_slash = game.position
            game.confirm(name, transaction)
            self.at[name] = game.position


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    return Played(OfflineGame(parameters(challengers=2), tmp_path_factory.mktemp("played")))


def test_a_move_must_be_there_before_the_first_timeout_of_the_opponent(played):
    position = played.at["1/Choice_1"]
    asked, delta = position.height_of("1/Choice_1"), played.parameters.delta
    assert played.rivals.deadline(position, played.graph["1/Reveal_2"]) == asked + delta
    assert position.unlock_height(played.graph["1/Slash_after_Choice_1"]) == asked + delta


def test_every_answer_of_a_game_has_a_deadline_that_lies_ahead(played):
    for name in PLAYED[1:-1]:
        deadline, height = played.deadlines[name]
        assert deadline is not None
        assert deadline > height, name


def test_challenge_must_be_there_before_payout(played):
    position = played.at["Claim"]
    until = position.height_of("Claim") + played.parameters.delta_claim
    assert played.rivals.deadline(position, played.graph["1/Challenge"]) == until


def test_a_timeout_that_has_become_impossible_is_no_deadline(played):
    position = played.at["1/Step"]
    payout = position.unlock_height(played.graph["Payout"])
    assert payout is not None
    position = replace(position, height=payout + 1)  # its time has come, but its connector went into Challenge
    step = position.height_of("1/Step")
    assert played.rivals.deadline(position, played.graph["1/Slash"]) == step + played.parameters.delta


def test_a_slash_of_a_comrade_that_is_due_is_no_deadline(played):
    """It would make every honest challenger bid its most against the others; but Reclaim must still be in time."""
    position = played.before_slash
    claim, graph = position.confirmed["Claim"], played.graph
    for name in ("2/Challenge", "2/Choice_1"):  # as if it had been played long ago
        position = replace(position, confirmed={**position.confirmed, name: replace(claim, height=claim.height + 1)})
    slash = graph["2/Slash_after_Choice_1"]
    assert position.unlock_height(slash) == position.height + 1, "it can be sent now"
    timeout = position.height_of("1/Step") + played.parameters.delta
    due = played.rivals.deadline(position, graph["1/Slash"])
    assert due == timeout - played.parameters.confirmations - 1
    buried = due - 1 + played.parameters.confirmations  # where theirs is in the last block in which ours could be
    assert buried + 1 < timeout, "Reclaim follows in the next one"
    assert slash in played.rivals.comrades(graph["1/Slash"])


def test_nobody_overtakes_a_payout(played):
    position = played.at["Claim"]
    template = played.graph["LatePayout"]
    assert played.rivals.deadline(position, template) is None
    assert budget(position, template, None) < played.parameters.bond // 10


@pytest.mark.parametrize(
    ("after", "debtor"),
    [
        ("1/Challenge", "challenger1"),
        ("1/Choice_1", PROVER),
        ("1/Reveal_2", "challenger1"),
        ("1/Choice_2", PROVER),
        ("1/Step", "challenger1"),
    ],
)
def test_who_owes_the_next_move_and_until_when(played, after, debtor):
    position = played.at[after]
    assert played.rivals.owed(position, 1) == (debtor, position.height_of(after) + played.parameters.delta)
    assert played.rivals.owed(position, 2) is None


@pytest.mark.parametrize("after", ["Claim", "1/Slash"])
def test_nobody_owes_anything_before_and_after_a_game(played, after):
    assert played.rivals.owed(played.at[after], 1) is None


def test_a_move_with_a_deadline_may_cost_half_of_what_silence_loses(played):
    position = played.at["1/Choice_1"]
    assert budget(position, played.graph["1/Reveal_2"], 1) == played.parameters.bond // 2
    assert budget(position, played.graph["1/Choice_2"], 1) == played.parameters.stake // 2


def test_the_clock_of_a_move_starts_when_it_becomes_possible(played):
    position = played.at["1/Choice_1"]
    asked, later = position.height_of("1/Choice_1"), replace(position, height=position.height + 3)
    assert since(position, played.graph["1/Reveal_2"]) == asked
    assert since(later, played.graph["1/Reveal_2"]) == asked
    timeout = played.graph["1/Slash_after_Choice_1"]
    assert since(position, timeout) == position.height  # not yet possible
    much_later = replace(position, height=position.height + 50)
    assert since(much_later, timeout) == asked + played.parameters.delta


def test_comrades_are_other_challengers_only(played):
    names = {comrade.plain for comrade in played.rivals.comrades(played.graph["1/Slash"])}
    assert names
    assert all(name.startswith("2/Slash") for name in names)
    assert played.rivals.comrades(played.graph["Payout"]) == ()


def test_what_a_buried_rival_took_is_void(played):
    position = played.at["1/Slash"]
    assert played.rivals.is_void(position, played.graph["1/TakeStake_after_Step"])
    assert played.rivals.is_void(position, played.graph["LatePayout"])
    assert not played.rivals.is_void(position, played.graph["1/Slash"])
    fresh = replace(position, height=position.height_of("1/Slash"))
    assert not played.rivals.is_void(fresh, played.graph["LatePayout"])


def test_a_challenger_leaves_when_nothing_is_left_to_guard(played):
    assert not is_settled(played.before_slash)
    assert not may_leave(played.before_slash, 2)
    assert may_leave(played.at["1/Slash"], 2)
    assert not may_leave(played.at["1/Slash"], 1)  # its stake went into the game, and came back with the Slash


def test_a_challenger_leaves_when_the_claim_was_paid_and_not_before_that_is_buried(played):
    seen = played.at["Claim"].confirmed
    height = played.at["Claim"].height
    payout = replace(seen["Claim"], height=height)
    paid = Position(played.graph, height + played.parameters.confirmations, {**seen, "Payout": payout})
    assert may_leave(paid, 1)
    assert not may_leave(replace(paid, height=paid.height - 1), 1)
