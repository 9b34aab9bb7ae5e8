"""Whole matches on both backends: every ending, under attack at every step (see ``arena``)."""

import pytest
from arena import Arena, Fought, is_timeout, owed

from bitvm.chain.bitcoind import BitcoindChain
from bitvm.game.moves import Decision, Move, Wait
from bitvm.game.position import Position
from bitvm.graph.costs import reference_graph
from bitvm.graph.model import NO_LOCK, PROVER
from bitvm.graph.parameters import Parameters
from regtest.hostile import LIES
from regtest.players import Silence

LEVELS = 2
DISPUTE = ["Fund", "Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step"]
OWED = owed(reference_graph(Parameters(bytes(24), levels=LEVELS)))
"""Who owes what, by the timeout that punishes its silence."""

OTHER = {PROVER: "challenger1", "challenger1": PROVER}
IN_GAME = {
    name: owner
    for name, owner in OWED.items()
    if name.startswith("1/") and owner[1] in ("Choice_1", "Reveal_2", "Choice_2", "Step", "Slash")
    if not name.startswith("1/Reclaim") and "Outline" not in name and "Detail" not in name
}
"""The timeouts of a dispute about an instruction; the matrix plays all others."""


def check_attacks(fought: Fought) -> None:
    """No parent went through alone, no copied witness, no timeout before its block; all were tried."""
    on_node = isinstance(fought.attacks.chain, BitcoindChain)
    graph, result = fought.graph, fought.result
    moves = [confirmation for confirmation in result.confirmations if confirmation.name != "Fund"]
    for confirmation in moves:
        txid = confirmation.transaction.GetTxid()
        fee_reason = "min relay fee not met" if on_node else "missing-ephemeral-spends"
        assert fought.attacks.alone[txid].startswith(fee_reason), confirmation.name
        thefts = fought.attacks.stolen[txid]
        assert thefts
        assert all("script-verify-flag-failed" in why or "block-script-verify" in why for why in thefts), thefts
    for name in filter(lambda name: is_timeout(graph[name]), fought.names):
        assert fought.attacks.early[name].startswith("non-BIP68-final"), name
        (source,) = {i.source.name for i in graph[name].inputs if i.sequence != NO_LOCK}
        assert fought.heights[name] == fought.heights[source] + patience(graph.setting.parameters, name), name


def patience(parameters: Parameters, timeout: str) -> int:
    """Return the blocks that have to pass before a timeout."""
    if timeout == "Payout":
        return parameters.delta_claim
    return parameters.delta_long if timeout in ("LatePayout", "Withdraw") else parameters.delta


def test_the_graph_lets_nobody_wait_for_ever():
    moves = {"Challenge", "Choice_1", "Reveal_2", "Choice_2", "Step", "Slash"}
    assert moves <= {move for _, move in OWED.values()}


def test_an_honest_claim_is_paid_out(arena: Arena):
    fought = arena.play()
    assert fought.result.outcome.winner == PROVER
    assert fought.names == ["Fund", "Claim", "Payout"]
    check_attacks(fought)


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_slashed(arena: Arena, lie: str):
    fought = arena.play(lie=lie)
    assert fought.result.outcome.winner == "challenger1"
    assert fought.names == [*DISPUTE, "1/Slash"]
    assert fought.result.position.step(1).index == fought.result.prepared.lie_step
    check_attacks(fought)


def test_a_copied_winning_witness_steals_nothing(arena: Arena):
    fought = arena.play(lie="written")
    slash = fought.result.position.confirmed["1/Slash"].transaction
    both_inputs, verdict_alone = fought.attacks.stolen[slash.GetTxid()]
    for why in (both_inputs, verdict_alone):
        assert "Invalid Schnorr signature" in why


@pytest.mark.parametrize("step", [0, 662, 4095])
def test_a_false_accusation_costs_the_challenger_its_stake(arena: Arena, step: int):
    fought = arena.play(accuse=step)
    assert fought.result.outcome.winner == PROVER
    assert fought.names == [*DISPUTE, "1/TakeStake_after_Step", "LatePayout"]
    assert fought.result.position.step(1).index == step
    check_attacks(fought)


@pytest.mark.parametrize("timeout", IN_GAME)
def test_who_falls_silent_loses(arena: Arena, timeout: str):
    party, move = IN_GAME[timeout]
    fought = arena.play(lie="written", silence=Silence(party, move))
    assert fought.result.fell_silent
    assert fought.result.outcome.winner == OTHER[party]
    before = [name for name in DISPUTE if name.rpartition("/")[2] != move]
    after = ["LatePayout"] if party != PROVER else []
    assert fought.names == [*before[: len(fought.names) - 1 - len(after)], timeout, *after]
    check_attacks(fought)


def test_a_false_claim_that_nobody_challenges_is_paid_out(arena: Arena):
    fought = arena.play(lie="written", silence=Silence("challenger1", "Challenge"))
    assert fought.result.outcome.winner == PROVER
    assert fought.names == ["Fund", "Claim", "Payout"]
    check_attacks(fought)


@pytest.mark.parametrize(
    ("options", "move"),
    [({}, "Claim"), ({}, "Payout"), ({"accuse": 5}, "TakeStake_after_Step"), ({"accuse": 5}, "LatePayout")],
)
def test_a_prover_that_does_not_take_what_is_its_own_leaves_it_locked(arena: Arena, options, move):
    fought = arena.play(silence=Silence(PROVER, move), **options)
    assert fought.result.fell_silent
    assert fought.result.outcome.winner == "nobody"
    assert move not in {name.rpartition("/")[2] for name in fought.names}


def test_an_unclaimed_slot_is_withdrawn_after_a_long_delay(arena: Arena):
    fought = arena.play_with({PROVER: withdraw})
    assert fought.names == ["Fund", "Withdraw"]
    check_attacks(fought)


def withdraw(position: Position) -> dict[str, Decision]:
    """Decide as a prover that claims nothing and wants its bond back."""
    template = position.graph["Withdraw"]
    if position.has("Withdraw"):
        return {"bond": Wait("withdrawn", over=True)}
    if position.unlocked(template):
        return {"bond": Move("Withdraw", "nothing was claimed")}
    return {"bond": Wait("the slot is locked", position.unlock_height(template))}


def test_two_challengers_race_for_one_bond(arena: Arena):
    fought = arena.play(lie="written", challengers=2)
    slashes = [name for name in fought.names if name.endswith("/Slash")]
    assert len(slashes) == 1
    assert fought.result.outcome.winner == f"challenger{slashes[0][0]}"
    check_attacks(fought)


def test_a_silent_challenger_does_not_save_the_liar(arena: Arena):
    fought = arena.play(lie="halt", challengers=2, silence=Silence("challenger1", "Challenge"))
    assert fought.result.outcome.winner == "challenger2"
    assert "1/Challenge" not in fought.names


@pytest.mark.parametrize("levels", [3, 5])
def test_more_levels(arena: Arena, levels: int):
    fought = arena.play(lie="next_pc", levels=levels)
    assert fought.result.outcome.winner == "challenger1"
    assert len(fought.names) == 2 + 2 + 2 * levels
    check_attacks(fought)
