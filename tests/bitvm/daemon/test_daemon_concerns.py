"""When somebody is called: a claim that cannot be judged, and a move that waits for our own run."""

import pytest
from offline import OfflineGame
from small_run import honest, parameters

from bitvm.daemon.concerns import Concerns
from bitvm.daemon.role import Judged
from bitvm.daemon.status import NoticeKind, Severity
from bitvm.game.finality import Verdict
from bitvm.game.moves import Wait
from bitvm.game.position import Confirmed, Position
from bitvm.game.prover import UNFINISHED
from bitvm.game.urgency import Rivals
from bitvm.graph.model import PROVER
from regtest.accusations import scene

SHORT = 3


@pytest.fixture(scope="module")
def claimed(tmp_path_factory):
    game = OfflineGame(parameters(), tmp_path_factory.mktemp("concerns"))
    game.confirm("Claim", game.play({PROVER: honest()}, "Claim"))
    return game


def concerns(game, party="challenger1", short=SHORT):
    return Concerns("alpha", party, Rivals(game.graph), short)


def at(game, left):
    """Return the position so many blocks before Payout."""
    game.height = game.confirmed["Claim"].height + game.parameters.delta_claim - left
    return game.position


def judged(verdict):
    return lambda slot: Judged(verdict, f"claim {slot}")


@pytest.mark.parametrize("short", [SHORT, 100])
def test_a_claim_that_cannot_be_judged_calls_when_the_stake_may_be_needed_elsewhere(claimed, short):
    begins = max(short, claimed.parameters.delta)
    found = concerns(claimed, short=short)
    assert not list(found.find(at(claimed, begins + 1), {}, judged(Verdict.UNKNOWN)))
    (told,) = found.find(at(claimed, begins), {}, judged(Verdict.UNKNOWN))
    assert (told.kind, told.severity, told.setup) == (
        NoticeKind.UNKNOWN_NEAR_DEADLINE,
        Severity.CRITICAL,
        "alpha",
    )
    assert told.text == f"claim 1: cannot be judged, and Payout is {begins} blocks away"


def test_nobody_is_called_for_a_claim_that_is_judged_or_ones_own(claimed):
    position = at(claimed, 1)
    for verdict in (Verdict.VALID, Verdict.INVALID):
        assert not list(concerns(claimed).find(position, {}, judged(verdict)))
    assert not list(concerns(claimed, PROVER).find(position, {}, judged(Verdict.UNKNOWN)))


def test_a_run_that_has_not_ended_calls_when_a_move_is_owed_soon(claimed):
    waits = {"1:1": Wait(f"{UNFINISHED}: no memory", alarm=True)}
    assert not list(concerns(claimed, PROVER).find(at(claimed, 1), waits, judged(Verdict.VALID))), "nothing is owed"


def test_other_alarms_are_told_at_once(claimed):
    (told,) = concerns(claimed).find(
        at(claimed, 50), {"1:1": Wait("our game cannot be read", alarm=True)}, judged(Verdict.VALID)
    )
    assert (told.kind, told.text) == (NoticeKind.GAME_ALARM, "1:1: our game cannot be read")


def test_nobody_is_called_when_it_is_too_late(claimed):
    assert list(concerns(claimed).find(at(claimed, 2), {}, judged(Verdict.UNKNOWN)))
    for left in (1, 0, -1_000):
        assert not list(concerns(claimed).find(at(claimed, left), {}, judged(Verdict.UNKNOWN)))


def test_nobody_is_called_for_a_claim_behind_a_slash_or_behind_our_own_game(tmp_path):
    game = OfflineGame(scene.parameters(challengers=2, claims=2), tmp_path)
    graph, near = game.graph, game.parameters.delta_claim - 2
    slash = next(name for name in graph.templates if name.startswith("2/Slash") and "#" not in name)

    def told(**heights):
        names = {"claim": "Claim", "second": "Claim#2", "slash": slash, "ours": "1/Challenge"}
        made = {names[key]: Confirmed(graph[names[key]].unsigned, height) for key, height in heights.items()}
        position = Position(graph, 111 + near, {**game.confirmed, **made})
        verdicts = {1: Verdict.INVALID, 2: Verdict.UNKNOWN}
        return list(concerns(game).find(position, {}, lambda slot: Judged(verdicts[slot], "")))

    assert told(claim=110, second=111)
    assert not told(claim=110, second=111, slash=112)
    assert not told(claim=110, second=111, ours=112)
    assert told(claim=110, second=111, slash=111 + near), "not buried yet"
