"""The graph as a whole: how many transactions, how they hang together, and that no money is locked in for good."""

from dataclasses import replace

import pytest
from offline import OfflineGame
from small_run import parameters

from bitvm.graph.fund import WITHDRAW
from bitvm.graph.graph import build
from bitvm.graph.model import (
    ANCHOR,
    COVENANT,
    GAME_VERSION,
    MAX_LEAVES,
    NO_LOCK,
    PAYING_VERSION,
    PROVER,
    GraphError,
    Input,
    Output,
    Template,
)
from bitvm.graph.parameters import DUST
from bitvm.graph.setting import Setting, key_plan
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.proof import ProofLeaf
from bitvm.script.engine import failing_input

SIDE_STATES = ("side", "outline_due", "pick_due", "detail_due", "answered")


@pytest.fixture(scope="module")
def game(tmp_path_factory):
    return OfflineGame(parameters(), tmp_path_factory.mktemp("shape"))


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """Three claims between a prover and two challengers, of which either may attest, twice."""
    more = replace(parameters(levels=1, challengers=2), claims=3, attesters=2, quorum=1, tries=2)
    return OfflineGame(more, tmp_path_factory.mktemp("claims"))


def inputs(graph):
    return [(template, spent) for template in graph.templates.values() for spent in template.inputs]


def spenders(graph):
    found = {}
    for template, spent in inputs(graph):
        if isinstance(spent, Input):
            found.setdefault((spent.source.name, spent.output), []).append(template)
    return found


def expected_templates(p):
    m = p.levels
    main = 1 + m + (m - 1) + 1
    side = 4 * m + 5 * m
    after_step = 6 + 2 + 2  # messages, Refutes, Compares
    prover_wins = 3 * m + 6 + 3  # TakeStakes on side paths and after Step, Dismisses
    challenger_wins = 2 * (3 * m + 11)
    game = main + side + after_step + prover_wins + challenger_wins
    return 1 + p.claims * (4 + p.challengers * game)


def test_the_number_of_transactions_follows_from_the_parameters(game, claims):
    for graph in (game.graph, claims.graph):
        assert len(graph.templates) == expected_templates(graph.setting.parameters)


def test_names_and_ids_are_unique_and_parents_come_first(claims):
    graph = claims.graph
    assert len(graph.by_txid()) == len(graph.templates)
    seen = set()
    for name, template in graph.templates.items():
        assert name == template.name
        assert all(spent.source.name in seen for spent in template.inputs if isinstance(spent, Input))
        seen.add(name)


def frees_without_a_word(template):
    """Whether signatures and time are all that a template needs."""
    return all(not spent.leaves or set(spent.leaves) <= {COVENANT, WITHDRAW} for spent in template.inputs)


def test_no_value_is_locked_in_for_good(game):
    """What a leaf guards, some template frees without anybody having to say or prove a thing; connectors are dust."""
    free = spenders(game.graph)
    guarded = 0
    for template in game.graph.templates.values():
        for output in template.outputs:
            if output.tree is None or output.name.startswith("connector_"):
                continue
            guarded += 1
            found = free.get((template.name, output.name), [])
            assert any(map(frees_without_a_word, found)), (template.name, output.name)
    p = game.parameters
    assert guarded == 2 + 7 * p.levels + 1 + 2 + 6 + 2  # slot, bond; levels; Step, Compares, path, Refutes


def test_either_player_wins_when_the_other_sleeps_at_any_state_of_a_side_path(game):
    """While O_r is there, one template takes it together with what the side path has come to."""
    graph = game.graph
    for level, opener in ((1, "1/Challenge"), (2, "1/Reveal_2")):
        found = {}
        for template in spenders(graph)[opener, "choice_due"]:
            if template.name.startswith("1/Reclaim"):
                continue
            for spent in template.inputs:
                if spent.output in SIDE_STATES:
                    found[spent.output] = template
        assert set(found) == set(SIDE_STATES)
        movers = {state: template.mover for state, template in found.items()}
        asleep = {"side": PROVER, "pick_due": PROVER, "answered": PROVER}
        assert movers == {**dict.fromkeys(SIDE_STATES, "challenger1"), **asleep}
        for state, template in found.items():
            delta = game.parameters.delta
            o_r = next(spent for spent in template.inputs if spent.output == "choice_due")
            side = next(spent for spent in template.inputs if spent.output == state)
            assert side.sequence == delta
            assert o_r.sequence == (delta if template.mover == PROVER else NO_LOCK)
            sweeps = [t for t in spenders(graph)[side.source.name, state] if "Sweep" in t.name]
            assert [t.inputs[0].sequence for t in sweeps] == [game.parameters.delta_long]
            assert [t.mover for t in sweeps] == ["challenger1" if state == "side" else PROVER]
            assert sweeps[0].name.endswith(f"_{level}")


def test_reclaim_is_slash_without_the_bond(game):
    for name, slash in game.graph.templates.items():
        if "/Slash" not in name:
            continue
        reclaim = game.graph[name.replace("Slash", "Reclaim")]
        *won, bond = slash.inputs
        assert bond.output == "bond"
        assert reclaim.inputs == tuple(won)
        assert [output.name for output in reclaim.outputs] == ["challenger", ANCHOR]
        reward = game.parameters.reward
        assert slash.output("challenger").value - reclaim.output("challenger").value == reward
        slots = [slot for slot in game.graph.signature_slots() if slot.template == reclaim.name]
        assert all(slot.party == PROVER and slot.leaf == COVENANT for slot in slots)


def test_refute_pays_its_fee_and_is_the_challengers_alone(game):
    graph, p = game.graph, game.parameters
    slots = {slot.template for slot in graph.signature_slots()}
    for name in ("1/Refute_after_Inside", "1/Refute_after_Close"):
        refute = graph[name]
        assert refute.version == PAYING_VERSION
        assert refute.spent[0].nValue - sum(output.value for output in refute.outputs) == p.refute_fee
        assert refute.vsize() <= p.refute_fee
        assert refute.output(ANCHOR).value == DUST
        assert name not in slots
        for leaf in refute.inputs[0].leaves:
            assert refute.inputs[0].leaf(leaf).signers == ("challenger1",)
        after = name.partition("/")[2]
        assert graph[f"1/Slash_after_{after}"].inputs[0].source is refute


def test_proofs_and_dismissals_ask_for_their_winner_alone_and_only_large_ones_go_to_refute(game):
    winners = set()
    for template, spent in inputs(game.graph):
        proofs = [spent.leaf(name) for name in spent.leaves if isinstance(spent.leaf(name), ProofLeaf)]
        for leaf in proofs:
            assert leaf.signers == (template.mover,)
            assert leaf.proof.large == (template.version == PAYING_VERSION)
            assert leaf.name.startswith("dismiss.") == (template.mover == PROVER)
        winners |= {template.mover for _ in proofs}
    assert winners == {PROVER, "challenger1"}


def test_every_leaf_of_every_output_is_used_by_some_template(claims):
    graph = claims.graph
    used = {
        (spent.source.name, spent.output, leaf)
        for _, spent in inputs(graph)
        if isinstance(spent, Input)
        for leaf in spent.leaves
    }
    for template in graph.templates.values():
        for output in template.outputs:
            assert {(template.name, output.name, leaf) for leaf in output.leaves} <= used
            assert len(output.leaves) <= MAX_LEAVES


def test_an_output_with_too_many_leaves_is_refused():
    leaves = [CovenantLeaf(f"leaf {i}", ("a",), (i.to_bytes(32, "big"),)) for i in range(MAX_LEAVES + 1)]
    assert len(Output.locked("full", 1_000, leaves[1:]).leaves) == MAX_LEAVES
    with pytest.raises(GraphError, match="129 leaves"):
        Output.locked("full", 1_000, leaves)


def test_ids_follow_from_set_up_data_and_every_one_time_key_of_a_game_counts(game):
    setting = game.graph.setting
    again = build.__wrapped__(setting)
    assert again.hash() == game.graph.hash()
    assert {t.txid for t in again.templates.values()} == set(game.graph.by_txid())
    for path in ("1/Close/sibling_1", "1/Detail_2/point_3", "1/Narrow/gap", "Claim/final_root"):
        key = setting.public[path]
        values = (b"\x5a" * 20, *key.values[1:])
        changed = Setting(
            setting.parameters, setting.participants, {**setting.public, path: replace(key, values=values)}
        )
        assert build(changed).hash() != game.graph.hash()


def test_a_graph_writes_itself_out_in_short(game):
    assert len(repr(game.graph)) < 3_000
    assert len(repr(game.graph["1/Slash"])) < 200


# ---- claims in sequence, attesters


def test_the_view_of_a_claim_calls_its_transactions_by_plain_names(claims):
    graph = claims.graph
    first, second = graph.claim(1), graph.claim(2)
    assert first["1/Step"] is graph["1/Step"]
    assert second["1/Step"] is graph["1/Step#2"]
    assert (second["1/Step"].plain, second["1/Step"].claim) == ("1/Step", 2)
    assert first["Fund"] is second["Fund"]
    assert first.names() == second.names()
    assert second.setting is graph.setting
    total = [graph.claim(number)[name].name for number in (1, 2, 3) for name in graph.claim(number).names()]
    assert set(total) == set(graph.templates)
    for number in (0, 4):
        with pytest.raises(GraphError, match="no claim"):
            graph.claim(number)


def test_games_of_different_claims_share_the_stake_and_no_key(claims):
    graph, p = claims.graph, claims.parameters
    stakes = {(t.plain, s.output) for t, s in inputs(graph) if getattr(s, "output", "").startswith("stake_")}
    assert stakes == {("1/Challenge", "stake_1"), ("2/Challenge", "stake_2")}
    one, other = graph.setting.game_public(1, 1), graph.setting.game_public(2, 1)
    assert set(other) == {*one, "Before/final_root"}
    assert other["Before/final_root"] == one["Claim/final_root"]
    assert not {key.values for key in one.values()} & {other[path].values for path in one}
    scripts = [graph[name].output("descend_due").script_pubkey for name in ("1/Path", "1/Path#2", "1/Path#3")]
    assert len(set(scripts)) == p.claims


def test_every_key_has_its_own_path_in_the_journal(claims):
    plan = key_plan(claims.parameters)
    assert {spec.claim for spec in plan} == {1, 2, 3}
    assert {spec.attempt for spec in plan} == {0, 1}
    for party, secrets in claims.secrets.items():
        own = [spec for spec in plan if spec.owner == party]
        paths = {secrets._one_time_path(spec) for spec in own}
        assert len(paths) == len(own)
        assert {(path.claim, path.attempt) for path in paths} == {(spec.claim, spec.attempt) for spec in own}
        assert not any("#" in str(path) for path in paths)


def claim_witnesses(game, name, leaf_name, before):
    """The witnesses of a claim of zero roots, signed by everybody who has to."""
    template, prover = game.graph[name], game.secrets[PROVER]
    slot = template.inputs[0]
    leaf = slot.leaf(leaf_name)
    specs = {spec.path: spec for spec in key_plan(game.parameters)}
    fields = {field: prover.sign_once([(specs[f"{name}/{field}"], bytes(24))])[field] for field in leaf.fields}
    attested = {}
    for field in leaf.attesters:
        spec = specs[f"{name}/{field}"]
        attested |= game.secrets[spec.owner].sign_once([(spec, bytes(24))])
    schnorr = [game.secrets[party].sign_schnorr(template.sighash(0, leaf_name)) for party in leaf.signers]
    listed = [bytes(24)] * (game.parameters.width - 1)
    witnesses = [template.input_witness(0, leaf_name, leaf.witness(schnorr, fields | attested, listed))]
    if before:
        witnesses.append([prover.stake.sign_input(template.unsigned, 1, template.spent)])
    return witnesses


def test_a_claim_is_made_after_the_one_before_by_any_quorum_at_any_try(claims):
    graph = claims.graph
    names = ("claim.0.1", "claim.0.2", "claim.1.1", "claim.1.2")
    for name, before in (("Claim", None), ("Claim#2", "Claim"), ("Claim#3", "Claim#2")):
        template = graph[name]
        assert template.inputs[0].leaves == names
        sources = [(spent.source.name, spent.output) for spent in template.inputs[1:]]
        assert sources == ([] if before is None else [(before, "next")])
        for leaf_name in names:
            witnesses = claim_witnesses(claims, name, leaf_name, before)
            assert failing_input(template.with_witness(witnesses), template.spent) is None
    # the root at try 0 under the leaf of try 1, and next through another key
    first, second = (claim_witnesses(claims, "Claim#2", leaf, True) for leaf in names[:2])
    mixed = [[*first[0][:-2], *second[0][-2:]], first[1]]
    assert failing_input(graph["Claim#2"].with_witness(mixed), graph["Claim#2"].spent) == 0
    stranger = claims.secrets["challenger1"].stake
    forged = [first[0], [stranger.sign_input(graph["Claim#2"].unsigned, 1, graph["Claim#2"].spent)]]
    assert failing_input(graph["Claim#2"].with_witness(forged), graph["Claim#2"].spent) == 1


def test_slots_hold_what_claims_give_out(claims):
    p, graph = claims.parameters, claims.graph
    for number in (1, 2, 3):
        claim = graph.claim(number)["Claim"]
        assert claim.output("bond").value == p.bond
        assert claim.output("next").value == DUST
        assert claim.output("next").tree is None
        withdraw = graph.claim(number)["Withdraw"]
        assert withdraw.inputs[0].output == f"slot_{number}"


def test_a_paying_template_may_cost_and_a_fee_less_one_may_not(game):
    spent, source = game.graph["1/Refute_after_Close"].inputs, game.graph["1/Refute_after_Close"]
    with pytest.raises(GraphError, match="inputs hold"):
        Template("Bad", "challenger1", spent, source.outputs, GAME_VERSION)
    with pytest.raises(GraphError, match="inputs hold"):
        Template("Bad", "challenger1", spent, (*source.outputs, *source.outputs), PAYING_VERSION)
