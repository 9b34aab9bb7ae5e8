"""Set-ups that are lost before they start, and transactions that could not be relayed, spent alone or spent early."""

from dataclasses import replace

import pytest
from bitcoin.core import CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from offline import OfflineGame, new_session, parties_of
from small_run import parameters

from bitvm.game.position import Confirmed, Position
from bitvm.graph.model import ANCHOR, COVENANT, GAME_VERSION, Input
from bitvm.graph.parameters import DUST, ParameterError, Parameters
from bitvm.graph.setting import PAYOUT_PROGRAMS
from bitvm.leaves.authority import CovenantLeaf
from bitvm.script.engine import failing_input

MANY = 16


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    return OfflineGame(parameters(challengers=2), tmp_path_factory.mktemp("attacks"))


@pytest.fixture(scope="module")
def largest(tmp_path_factory):
    """The graph of a set-up of as many challengers as there may be, built by one party of it."""
    most, folder = Parameters(bytes(24), levels=2, challengers=MANY), tmp_path_factory.mktemp("largest")
    sessions = [new_session(party, most, folder) for party in parties_of(most)]
    offers = [session.offer() for session in sessions]
    sessions[0].agreement([session.keys(offers) for session in sessions])
    return sessions[0]._graph


@pytest.mark.parametrize(("confirmations", "claim"), [(2, 1), (2, 4), (6, 12)])
def test_a_claim_that_nobody_could_challenge_in_time_is_refused(confirmations, claim):
    good = Parameters(bytes(24), confirmations=confirmations, delta=40, delta_long=6_000, delta_claim=13)
    with pytest.raises(ParameterError, match="delta_claim: more than twice"):
        replace(good, delta_claim=claim)


@pytest.mark.parametrize(
    "text", [b"\xff\xfe\x00", b"1: 2\na: 3\n", b"a: 2001-99-99\n", b"[" * 5_000, b"? [1]\n: 2\n", b"a: " + b"9" * 9_000]
)
def test_a_parameter_file_of_any_bytes_is_a_named_error(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_bytes(text)
    with pytest.raises(ParameterError, match=r"p\.yaml"):
        Parameters.load(path)


def test_nothing_but_one_anchor_is_dust_and_every_script_is_standard(largest):
    heads = {bytes([0x50 + version if version else 0, size]) for version, size in PAYOUT_PROGRAMS}
    for template in largest.templates.values():
        for output in template.outputs:
            script = bytes(output.script_pubkey)
            assert script == b"\x6a" or (script[:2] in heads and len(script) == 2 + script[1])
            assert output.value >= DUST or (output.name, output.value, template.version) == (ANCHOR, 0, GAME_VERSION)


def test_with_sixteen_challengers_everything_is_still_relayed(largest):
    for template in largest.templates.values():
        if template.version == GAME_VERSION:
            assert template.vsize() < 10_000


def test_every_signature_slot_is_needed_and_none_is_the_movers(game):
    """With all slots of a template and the mover's own signatures it confirms; without any one of them it does not."""
    graph, signed = game.graph, game.signed["prover"].signatures
    by_template = {}
    for slot in graph.signature_slots():
        assert slot.party != graph[slot.template].mover
        by_template.setdefault(slot.template, []).append(slot)
    for name, slots in by_template.items():
        template = graph[name]
        if not all(_is_covenant(spent) for spent in template.inputs):
            continue
        whole = _witnesses(game, template, signed)
        assert failing_input(template.with_witness(whole), template.spent) is None
        for slot in slots:
            broken = _witnesses(game, template, {**signed, slot: bytes(64)})
            assert failing_input(template.with_witness(broken), template.spent) == slot.index


def _is_covenant(spent):
    return isinstance(spent, Input) and any(isinstance(spent.leaf(leaf), CovenantLeaf) for leaf in spent.leaves)


def _witnesses(game, template, signatures):
    own = game.secrets[template.mover]
    slots = {(slot.template, slot.index, slot.party): signature for slot, signature in signatures.items()}
    witnesses = []
    for index, spent in enumerate(template.inputs):
        (leaf,) = spent.leaves
        given = [
            own.sign_schnorr(template.sighash(index, leaf))
            if party == template.mover
            else slots[template.name, index, party]
            for party in spent.leaf(leaf).signers
        ]
        witnesses.append(template.input_witness(index, leaf, spent.leaf(leaf).witness(given)))
    return witnesses


def test_no_input_can_be_spent_without_the_others(game):
    """The bond's covenant frees nothing but whole templates: not alone, not with another output, not earlier."""
    signed = game.signed["prover"].signatures
    for name in (
        "Payout",
        "LatePayout",
        "1/Slash_after_Choice_1",
        "2/Slash_after_Pick_2",
        "1/Reclaim_after_Demand_1",
        "1/TakeStake_after_Challenge",
        "2/TakeStake_after_Outline_2",
        "1/TakeStake_after_Compare_left",
        "1/Sweep_answered_1",
    ):
        template = game.graph[name]
        witnesses = _witnesses(game, template, signed)
        for index, spent in enumerate(template.inputs):
            for outputs in ([CTxOut(spent.spent.nValue, CScript(b"\x51"))], [o.txout for o in template.outputs]):
                if len(template.inputs) == 1 and len(outputs) > 1:
                    continue
                wit = CTxWitness([CTxInWitness(CScriptWitness(witnesses[index]))])
                alone = CTransaction([CTxIn(spent.outpoint, nSequence=spent.sequence)], outputs, 0, 3, wit)
                assert failing_input(alone, [spent.spent]) == 0
        for index in range(len(template.inputs)):
            earlier = [
                CTxIn(i.outpoint, nSequence=i.sequence - 1 if at == index else i.sequence)
                for at, i in enumerate(template.inputs)
            ]
            stacks = CTxWitness([CTxInWitness(CScriptWitness(items)) for items in witnesses])
            moved = CTransaction(earlier, [o.txout for o in template.outputs], 0, 3, stacks)
            assert failing_input(moved, template.spent) is not None


def test_unlock_heights_are_those_of_bip68(game):
    """An input with a lock of n blocks, confirmed at h, may be spent in block h + n and not before (BIP68)."""
    fund = game.confirmed["Fund"].transaction
    for name, source, lock in (
        ("Payout", "Claim", game.parameters.delta_claim),
        ("LatePayout", "Claim", game.parameters.delta_long),
        ("Withdraw", "Fund", game.parameters.delta_long),
        ("1/TakeStake_after_Challenge", "1/Challenge", game.parameters.delta),
        ("1/Sweep_side_1", "1/Challenge", game.parameters.delta_long),
        ("1/Slash_after_Ask", "1/Ask", game.parameters.delta),
    ):
        template, at = game.graph[name], 500
        for height, open_ in ((at + lock - 2, False), (at + lock - 1, True)):
            confirmed = {"Claim": Confirmed(fund, 1), source: Confirmed(fund, at)}
            position = Position(game.graph, height, confirmed)
            assert position.unlock_height(template) == at + lock
            assert position.unlocked(template) is open_
        assert position.unlock_height(game.graph["1/Slash"]) is None
    assert COVENANT in game.graph["Claim"].output("bond").leaves
