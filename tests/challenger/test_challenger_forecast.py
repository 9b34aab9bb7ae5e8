"""The forecast, over whole plays without a chain: what is owed is what is played, and the truth decides who wins."""

from dataclasses import dataclass, field, replace

import pytest
from offline import OfflineGame
from tiny import INPUT, tiny_parameters, write_program

from bitvm.daemon.commands.outlook import owed, short_name
from bitvm.game.computation import Execution
from bitvm.game.finality import Verdict
from bitvm.game.position import Position
from bitvm.game.urgency import Rivals
from bitvm.graph.model import PROVER
from challenger.forecast import forecast_claim, forecast_game, forecasts
from lvm.elf import load_elf
from regtest.hostile import LIES, tell

TRUE, FALSE, UNKNOWN = Verdict.VALID, Verdict.INVALID, Verdict.UNKNOWN
ENDS = ("1/Slash", "Payout")


@dataclass
class Played:
    """A play: the position before each transaction, with its name, and the end."""

    steps: list[tuple[Position, str]] = field(default_factory=list)
    end: Position | None = None

    def before(self, name: str) -> Position:
        return next(position for position, played in self.steps if played == name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    program = write_program(tmp_path_factory.mktemp("program"))
    parameters = tiny_parameters(program, challengers=2)
    true = Execution(parameters, load_elf(program), INPUT)
    return parameters, true, tell(true, LIES["written"], 3)[0]


def play(game, computations, ends):
    """Play until one of ``ends`` is confirmed; who is in ``computations`` plays honestly from what it computed."""
    played = Played()
    while not any(end in game.confirmed for end in ends):
        before = game.height
        for party, computation in computations.items():
            for decision in game.decide(party, computation).values():
                name = getattr(decision, "template", None)
                if name is None or name in game.confirmed:
                    continue
                transaction = game.signed_move(party, decision)
                played.steps.append((game.position, name))
                game.confirm(name, transaction)
        if game.height == before:
            game.height += 1
    played.end = game.position
    return played


@pytest.fixture(scope="module")
def false_claim(runs, tmp_path_factory):
    parameters, true, lie = runs
    game = OfflineGame(parameters, tmp_path_factory.mktemp("false"))
    return play(game, {PROVER: lie, "challenger1": true}, ENDS)


@pytest.fixture(scope="module")
def silent_prover(runs, tmp_path_factory):
    parameters, true, lie = runs
    game = OfflineGame(parameters, tmp_path_factory.mktemp("silent"))
    play(game, {PROVER: lie, "challenger1": true}, ["1/Choice_1"])
    return play(game, {"challenger1": true}, ["1/Slash_after_Choice_1"])


@pytest.fixture(scope="module")
def true_claim(runs, tmp_path_factory):
    parameters, true, _ = runs
    game = OfflineGame(parameters, tmp_path_factory.mktemp("true"))
    return play(game, {PROVER: true, "challenger1": true}, ENDS)


def test_what_is_owed_is_what_is_played(false_claim, silent_prover):
    checked = []
    for played in (false_claim, silent_prover):
        for position, name in played.steps:
            due, rivals = owed(position, 1), Rivals(position.graph)
            expected = rivals.owed(position, 1) if position.has("Claim") else None
            assert (None if due is None else (due.debtor, due.deadline)) == expected
            if due is None or not name.startswith("1/"):
                continue
            assert due.debtor != due.creditor
            if position.graph[name].mover == due.debtor:
                assert name in due.answers
            else:
                assert name == due.penalty
            checked.append(name)
    assert {"1/Choice_1", "1/Reveal_2", "1/Step", "1/Slash", "1/Slash_after_Choice_1"} <= set(checked)


def test_before_a_claim_nothing_is_forecast(false_claim):
    found = forecast_claim(false_claim.before("Claim"))
    assert (found.winner, found.decided, found.by) == (None, False, None)
    assert "nothing is claimed" in found.text
    assert len(list(forecasts(false_claim.before("Claim"), {}))) == 1


def test_a_claim_that_nobody_challenges_is_paid(false_claim):
    at = false_claim.before("1/Challenge")
    made = at.height_of("Claim")
    unknown, true, false = (forecast_claim(at, truth) for truth in (UNKNOWN, TRUE, FALSE))
    assert unknown.winner == true.winner == PROVER
    assert unknown.by == false.by == made + 7 - 1
    assert unknown.left == made + 7 - 1 - at.height
    assert f"paid at block {made + 7}" in unknown.text
    assert true.text.startswith("the claim is true")
    assert false.winner is None
    assert f"unless a Challenge is confirmed by block {made + 6}" in false.text
    late = replace(at, height=made + 6)
    assert forecast_claim(late, FALSE).winner == PROVER
    assert "Payout can be confirmed in the next block" in forecast_claim(late, FALSE).text
    assert forecast_game(at, 1).text == "not challenged"


def test_who_owes_a_move_loses_unless_it_comes(false_claim):
    at = false_claim.before("1/Reveal_2")
    deadline = at.height_of("1/Choice_1") + 5
    found = forecast_game(at, 1)
    assert (found.winner, found.by, found.left) == ("challenger1", deadline - 1, deadline - 1 - at.height)
    expected = f"challenger1 wins unless the prover confirms Reveal_2 by block {deadline - 1} ({found.left} left)"
    assert found.text == expected
    at = false_claim.before("1/Choice_2")
    found = forecast_game(at, 1)
    assert found.winner == PROVER
    assert "the prover wins unless challenger1 confirms Demand_2 or Choice_2 by block" in found.text


def test_with_the_truth_the_right_side_wins_and_the_other_can_only_delay(false_claim):
    owing_prover, owing_challenger = false_claim.before("1/Reveal_2"), false_claim.before("1/Choice_2")
    for at in (owing_prover, owing_challenger):
        assert forecast_game(at, 1, FALSE).winner == "challenger1"
        assert forecast_game(at, 1, TRUE).winner == PROVER
    assert "the prover can only delay" in forecast_game(owing_prover, 1, FALSE).text
    assert "challenger1 wins if it confirms" in forecast_game(owing_challenger, 1, FALSE).text
    assert "challenger1 can only delay" in forecast_game(owing_challenger, 1, TRUE).text
    claim = forecast_claim(owing_prover, FALSE)
    parameters = owing_prover.graph.setting.parameters
    latest = min(
        owing_prover.height_of("1/Challenge") + parameters.longest_game,
        owing_prover.height_of("Claim") + parameters.delta_long - 1,
    )
    assert claim.winner == "challenger1"
    assert f"Slash by block {latest} at the latest" in claim.text
    assert "challengers can only delay" in forecast_claim(owing_prover, TRUE).text
    assert "disputed by challenger1" in forecast_claim(owing_prover).text


def test_every_position_of_a_false_claim_forecasts_its_end(false_claim):
    """Who knows the truth, and plays in time, sees the winner at every move."""
    for position, name in false_claim.steps:
        if name.startswith("1/") and name != "1/Challenge":
            assert forecast_game(position, 1, FALSE).winner == "challenger1", name


def test_who_is_late_loses_whatever_the_truth_is(false_claim):
    at = false_claim.before("1/Choice_2")
    late = replace(at, height=at.height_of("1/Reveal_2") + 4)
    found = forecast_game(late, 1, FALSE)
    assert (found.winner, found.left) == (PROVER, 0)
    assert "the prover wins by TakeStake_after_Reveal_2, unless challenger1 is faster" in found.text


def test_silence_is_seen_as_the_end_comes(silent_prover):
    position, name = silent_prover.steps[-1]
    assert name == "1/Slash_after_Choice_1"
    found = forecast_game(position, 1)
    assert (found.winner, found.left) == ("challenger1", 0)
    assert owed(position, 1).penalty == name


def test_what_is_decided_is_told_as_it_is(false_claim, true_claim):
    end = false_claim.end
    claim, game, other = (forecast_claim(end), forecast_game(end, 1), forecast_game(end, 2))
    assert (claim.winner, claim.decided) == ("challenger1", True)
    assert "slashed by challenger1 in block" in claim.text
    assert (game.winner, game.decided, game.text) == ("challenger1", True, "challenger1 won by Slash")
    assert (other.winner, other.decided, other.text) == (None, True, "never played")
    fresh = replace(end, height=end.height_of("1/Slash"))
    assert not forecast_claim(fresh).decided
    paid = true_claim.end
    assert forecast_claim(paid).text.endswith("final")
    assert forecast_claim(paid).decided
    just = replace(paid, height=paid.height_of("Payout"))
    assert not forecast_claim(just).decided
    assert f"buried in block {paid.height_of('Payout') + 1}" in forecast_claim(just).text


def test_a_beaten_challenger_leaves_the_claim_to_the_others(runs, tmp_path):
    parameters, true, lie = runs
    game = OfflineGame(parameters, tmp_path)
    play(game, {PROVER: lie, "challenger1": true}, ["1/Challenge"])
    play(game, {PROVER: lie}, ["1/TakeStake_after_Challenge"])
    at = game.position
    assert forecast_game(at, 1).winner == PROVER
    found = forecast_claim(at, FALSE)
    late = at.height_of("Claim") + parameters.delta_long
    assert found.winner == PROVER
    assert f"paid at block {late}" in found.text
    early = replace(at, height=at.height_of("Claim") + 3)
    assert "unless another one challenges" in forecast_claim(early, FALSE).text


def test_names_are_short():
    assert short_name("2/Slash_after_Choice_3#2") == "Slash_after_Choice_3"
