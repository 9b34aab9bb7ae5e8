"""Claims of an input that attesters have signed: from the request to a Claim that Core's engine accepts."""

from dataclasses import replace
from itertools import product

import pytest
from offline import OfflineGame
from scripted import fork

from bitvm.game import prover
from bitvm.game.moves import Move, Wait
from bitvm.graph.model import PROVER, challenger
from bitvm.graph.setting import attest_field, key_plan
from bitvm.script.engine import failing_input
from bitvm.setup.attestation import AnotherRootError, AttestationRound, Attested, Attester
from bitvm.setup.input_store import InputStore
from regtest.accusations import scene

INPUT = b"\1"
NUMBERS = (1, 2)


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    return OfflineGame(scene.parameters(challengers=2, attesters=2, tries=2), tmp_path_factory.mktemp("attested"))


@pytest.fixture
def game(agreed, tmp_path):
    return fork(agreed, tmp_path)


@pytest.fixture
def attesters(game, tmp_path):
    setup = game.signed[PROVER].setup_id
    found = {}
    for number in NUMBERS:
        party = challenger(number)
        specs = {
            (spec.claim, spec.attempt): spec
            for spec in key_plan(game.parameters)
            if spec.owner == party and spec.field.startswith("attest_")
        }
        store = InputStore(tmp_path / f"{party}-inputs.sqlite")
        key = game.secrets[PROVER].covenant.public_key
        found[number] = Attester(game.responders[party]._secrets, store, setup, PROVER, key, specs)
    yield found
    for attester in found.values():
        attester.store.close()


def new_round(game, data=INPUT):
    public = game.graph.setting.public
    keys = {
        attempt: {challenger(number): public[f"Claim/{attest_field(number, attempt)}"] for number in NUMBERS}
        for attempt in range(game.parameters.tries)
    }
    return AttestationRound(game.secrets[PROVER], game.signed[PROVER].setup_id, 1, data, keys, game.parameters.quorum)


def decide(game, attested):
    return prover.decide(game.position, scene.run(INPUT), attested)[prover.BOND_DECISION]


def collected(game, attesters, rounds):
    """All attesters' signatures in the first ``rounds`` tries."""
    asked = new_round(game)
    for _ in range(rounds):
        request = asked.next_try()
        for attester in attesters.values():
            asked.accept(attester.attest(request, ()))
    return asked


def test_an_attested_claim_is_made_and_paid(game, attesters):
    attested = collected(game, attesters, 1).attested()
    move = decide(game, attested)
    assert isinstance(move, Move)
    assert move.leaf == "claim.0.1-2"
    game.confirm("Claim", game.signed_move(PROVER, move))
    shown = game.position.claim()
    assert {game.graph.setting.public[f"Claim/{name}"].verify(s) for name, s in shown.attestations.items()} == {
        scene.run(INPUT).input_root
    }


def test_a_claim_waits_for_the_quorum(game, attesters):
    asked = new_round(game)
    request = asked.request()
    assert isinstance(decide(game, asked.attested()), Wait)
    asked.accept(attesters[1].attest(request, ()))
    assert asked.attested() is None
    assert asked.missing() == (challenger(2),)
    decision = decide(game, None)
    assert isinstance(decision, Wait)
    assert decision.alarm


def test_a_slot_without_a_quorum_goes_back_but_late_attestations_are_used(game, attesters):
    game.height = game.confirmed["Fund"].height + game.parameters.delta_long + game.parameters.delta_claim - 2
    assert isinstance(decide(game, None), Wait)
    game.height += 1
    assert decide(game, None).template == "Withdraw"
    assert decide(game, collected(game, attesters, 1).attested()).template == "Claim"


def test_a_claim_of_another_input_than_was_attested_is_not_made(game, attesters):
    attested = collected(game, attesters, 1).attested()
    assert isinstance(prover.decide(game.position, scene.run(b"\2"), attested)[prover.BOND_DECISION], Wait)


def test_a_try_that_one_attester_refuses_is_followed_by_one_that_succeeds(game, attesters):
    other = new_round(game, b"\2")
    attesters[2].attest(other.request(), ())  # its key of try 0 is used up by another input
    asked = new_round(game)
    request = asked.request()
    asked.accept(attesters[1].attest(request, ()))
    with pytest.raises(AnotherRootError):
        attesters[2].attest(request, ())
    request = asked.next_try()
    for attester in attesters.values():
        asked.accept(attester.attest(request, ()))
    move = decide(game, asked.attested())
    assert isinstance(move, Move)
    assert move.leaf == "claim.1.1-2"
    game.confirm("Claim", game.signed_move(PROVER, move))


@pytest.mark.parametrize("mixed", list(product((0, 1), repeat=2)))
@pytest.mark.parametrize("attempt", [0, 1])
def test_script_does_not_mix_tries(game, attesters, attempt, mixed):
    asked = collected(game, attesters, 2)
    signed = {
        attempt: {number: asked._received[attempt][challenger(number)] for number in NUMBERS} for attempt in (0, 1)
    }
    signatures = {challenger(number): signed[take][number] for number, take in zip(NUMBERS, mixed, strict=True)}
    move = decide(game, Attested(attempt, asked.input_root, signatures))
    failing = failing_input(game.signed_move(PROVER, move), game.graph["Claim"].spent)
    assert failing == (None if mixed == (attempt, attempt) else 0)


def test_an_attestation_of_another_root_does_not_serve(game, attesters):
    other = new_round(game, b"\2")
    for attester in attesters.values():
        other.accept(attester.attest(other.request(), ()))
    forged = replace(other.attested(), input_root=scene.run(INPUT).input_root)
    move = decide(game, forged)
    with pytest.raises(ValueError, match="input_root"):
        game.signed_move(PROVER, move)
