from dataclasses import replace

import pytest
from bitcoin.core import CTransaction
from offline import OfflineGame
from small_run import parameters

from bitvm.graph.model import ANCHOR, GAME_VERSION, GraphError, Input, Output, Template
from bitvm.graph.parameters import DUST
from bitvm.graph.setting import Setting, key_plan


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    return OfflineGame(parameters(challengers=2), tmp_path_factory.mktemp("graph"))


def is_refute(template):
    return "/Refute_after_" in template.name


def test_every_game_transaction_is_fee_less_truc_with_one_zero_anchor_of_its_mover(game):
    participants = game.graph.setting.participants
    for template in list(game.graph.templates.values())[1:]:
        if is_refute(template):
            continue
        transaction = template.unsigned
        assert transaction.nVersion == GAME_VERSION == 3
        assert transaction.nLockTime == 0
        assert sum(spent.nValue for spent in template.spent) == sum(out.nValue for out in transaction.vout)
        zero = [out for out in transaction.vout if out.nValue == 0]
        assert zero == [template.output(ANCHOR).txout]
        assert bytes(zero[0].scriptPubKey)[2:] == participants[template.mover].anchor_key


def test_every_presigned_transaction_can_be_relayed_with_its_child(game):
    for template in game.graph.templates.values():
        assert template.vsize() < (100_000 if is_refute(template) else 10_000)
        items = template.largest().wit.vtxinwit
        for spent, witness in zip(template.inputs, items, strict=True):
            if isinstance(spent, Input) and spent.leaves:
                *arguments, _script, _control = witness.scriptWitness.stack
                assert all(len(item) <= 80 for item in arguments)
                assert len(arguments) <= 1_000


def test_ids_depend_on_set_up_data_alone_and_not_on_witnesses(game):
    for template in game.graph.templates.values():
        assert template.largest().GetTxid() == template.txid
        assert CTransaction.deserialize(template.unsigned.serialize()).GetTxid() == template.txid


def test_every_relative_lock_is_the_one_of_the_parameters(game):
    p = game.parameters
    locks = set()
    for template in game.graph.templates.values():
        kind, _, after = template.plain.rpartition("/")[2].partition("_after_")
        kind = kind.rpartition("_")[0] if kind.startswith("Sweep") else kind
        for spent in template.inputs:
            if isinstance(spent, Input) and spent.sequence < 2**31:
                locks.add((kind.partition("_")[0], spent.output, after.partition("_")[0], spent.sequence))
    expected = {
        ("Withdraw", "slot_1", "", p.delta_long),
        ("Payout", "bond", "", p.delta_claim),
        ("LatePayout", "bond", "", p.delta_long),
    }
    swept = ("side", "outline_due", "pick_due", "detail_due", "answered")
    expected |= {("Sweep", output, "", p.delta_long) for output in swept}
    owed_by_challenger = {
        "Challenge": ("choice_due", "side"),
        "Reveal": ("choice_due", "side"),
        "Outline": ("choice_due", "pick_due"),
        "Detail": ("choice_due", "answered"),
        "Step": ("verdict_due",),
        "Path": ("descend_due",),
        "Inside": ("narrow_due",),
        "Close": ("proof_due",),
        "Compare": ("compare_due",),
    }
    expected |= {("TakeStake", out, after, p.delta) for after, outs in owed_by_challenger.items() for out in outs}
    owed_by_prover = {
        "Choice": "answer_due",
        "Demand": "outline_due",
        "Pick": "detail_due",
        "Ask": "path_due",
        "Descend": "inside_due",
        "Narrow": "close_due",
    }
    for kind in ("Slash", "Reclaim"):
        expected |= {(kind, output, after, p.delta) for after, output in owed_by_prover.items()}
    assert locks == expected


def test_payout_spends_the_bond_and_every_connector(game):
    spent = {(s.source.name, s.output) for s in game.graph["Payout"].inputs if isinstance(s, Input)}
    assert spent == {("Claim", "bond"), ("Claim", "connector_1"), ("Claim", "connector_2")}


def test_the_slasher_compensates_everybody_else_and_burns_the_rest(game):
    p = game.parameters
    slash = game.graph["2/Slash"]
    assert slash.output("compensation_1").value == p.compensation
    assert slash.output("burn").value == p.bond - p.reward - p.compensation > 0
    assert bytes(slash.output("burn").txout.scriptPubKey) == b"\x6a"
    assert slash.output("challenger").value == p.stake + p.reward + DUST - p.levels * p.answer_price
    with pytest.raises(GraphError, match="no output"):
        slash.output("compensation_2")


def test_a_template_that_does_not_balance_is_refused(game):
    claim = game.graph["Claim"]
    with pytest.raises(GraphError, match="inputs hold"):
        Template("Bad", "prover", claim.inputs, (*claim.outputs, Output("more", 1, b"\x6a")))
    with pytest.raises(GraphError, match="inputs hold"):
        Template("Bad", "prover", claim.inputs, claim.outputs[1:])


def test_key_paths_are_unique_and_values_distinct(game):
    plan = key_plan(game.parameters)
    assert len({spec.path for spec in plan}) == len(plan)
    setting = game.graph.setting
    one, other = [spec for spec in plan if spec.scheme.name == plan[0].scheme.name][:2]
    with pytest.raises(GraphError, match="occurs again"):
        Setting(setting.parameters, setting.participants, {**setting.public, other.path: setting.public[one.path]})
    with pytest.raises(GraphError, match="missing"):
        Setting(setting.parameters, setting.participants, {})


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_length_is_refused_because_script_would_not_check_its_signatures(game, size):
    setting = game.graph.setting
    forged = replace(setting.participants["challenger1"], key=bytes(size))
    with pytest.raises(GraphError, match=f"a key has {size} bytes"):
        Setting(setting.parameters, {**setting.participants, "challenger1": forged}, setting.public)


def test_a_leaf_that_an_input_does_not_use_is_refused(game):
    with pytest.raises(GraphError, match="spent here through"):
        game.graph["Claim"].sighash(0, "withdraw")
    with pytest.raises(GraphError, match="no transaction"):
        game.graph["Nothing"]
