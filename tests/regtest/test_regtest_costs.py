"""Costs without a run: exact, never below what is played, and within the limits that the project sets itself."""

import json

import pytest
from arena import Arena, Fought, owed
from bitcoin.core.script import OP_IF, OP_NOTIF, CScript

from bitvm.graph.costs import kind_of, reference_graph
from bitvm.graph.graph import Graph
from bitvm.graph.model import GAME_VERSION, PROVER, Input
from bitvm.graph.parameters import Parameters
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.leaves.proof import ProofLeaf
from bitvm.script.onetime.forms import NUMBER_BYTES
from bitvm.script.weight import virtual_size
from regtest.cli import main
from regtest.costs import PRE_SIGNED_LIMIT, TARGETS, costs, family_of
from regtest.players import Silence

PUSH_LIMIT, CONTROL_BLOCK_LIMIT = 256, 257
"""Bytes in a tapscript push and in a control block; Knots relays no more, and no OP_IF (``bitvm.chain.bitcoind``)."""

TRUC_LIMIT = 10_000
STANDARD_WEIGHT = 400_000

WEIGHTS = {
    "Fund": 846,
    "Withdraw": 816,
    "Claim": 11_538,
    "Payout": 1_182,
    "LatePayout": 784,
    "1/Challenge": 1_186,
    "1/Choice": 1_084,
    "1/Reveal": 5_600,
    "1/Step": 23_571,
    "1/Ask": 1_394,
    "1/Slash_after_Choice": 1_254,
    "1/TakeStake_after_Challenge": 1_214,
    "1/TakeStake_after_Reveal": 1_214,
}
"""Exact weights of a game of five levels; a name without a level stands for all of them."""

SCENARIOS = {
    "honest_claim": (2, 3_200),
    "honest_claim_attested": (2, 4_900),
    "execution_lie": (12, 15_000),
    "read_lie": (13, 14_000),
    "worst_case": (44, 103_000),
}
"""Transactions, and virtual bytes that are not exceeded, of scenarios of five levels."""


@pytest.fixture(scope="module")
def full():
    return costs(5)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return reference_graph(Parameters(bytes(24), levels=2))


def test_weights_are_pinned(full):
    for name, weight in WEIGHTS.items():
        levels = [f"{name}_{level}" for level in range(1, 6) if f"{name}_{level}" in full.transactions]
        for found in levels or [name]:
            assert full.transactions[found] == (virtual_size(weight), weight), found


def test_scenarios_keep_to_the_limits(full):
    assert set(full.scenarios) == set(SCENARIOS)
    for name, (transactions, limit) in SCENARIOS.items():
        cost = full.scenarios[name]
        assert cost.transactions == transactions, name
        assert cost.vsize <= limit <= TARGETS.get(name, limit), name
        assert sum(cost.vbytes.values()) == cost.vsize
        assert sum(cost.counts.values()) == cost.transactions


def test_the_worst_case_is_worse_than_any_other_way_after_step(full):
    """Questions about boot, or about an entry or a leaf, end with Refute_after_Inside; they are shorter."""
    sizes = {name.rpartition("/")[2]: vsize for name, (vsize, _) in full.transactions.items()}
    weights = {name: leaf.weight / 4 for name, leaf in full.leaves.items()}
    written = sum(weights[name] for name in ("path.write", "inside.write", "close.write")) + sizes["Refute_after_Close"]
    start = weights["path.start"] + weights["inside.start"]
    leaf = weights["path.write"] + weights["inside.write_words"]
    assert written > max(start, leaf) + sizes["Refute_after_Inside"]


def test_every_pre_signed_transaction_is_standard(full):
    for name, (vsize, weight) in full.transactions.items():
        assert vsize < TRUC_LIMIT == PRE_SIGNED_LIMIT or kind_of(name).startswith("Refute_"), name
        assert weight <= STANDARD_WEIGHT, name


def test_every_leaf_is_relayed_by_the_strictest_node(graph: Graph):
    for template in graph.templates.values():
        for spent in template.inputs:
            for name in spent.leaves:
                operations = list(CScript(spent.leaf(name).script).raw_iter())
                assert not {OP_IF, OP_NOTIF} & {operation for operation, _, _ in operations}, name
                assert max(len(data or b"") for _, data, _ in operations) <= PUSH_LIMIT, name
                control_block = spent.source.output(spent.output).tree.witness(name, [])[-1]
                assert len(control_block) <= CONTROL_BLOCK_LIMIT, name


def test_everything_has_a_price(full):
    assert {leaf.name for leaf in EXECUTION_LEAVES} < set(full.leaves)
    assert {"claim", "reveal", "step", "choice", "covenant", "withdraw"} < set(full.leaves)
    for name, leaf in full.leaves.items():
        assert 0 < leaf.script_bytes < leaf.weight, name


@pytest.mark.parametrize("levels", [1, 3])
def test_a_game_of_fewer_levels_has_the_same_moves(full, levels):
    fewer = costs(levels)
    assert set(fewer.transactions) < set(full.transactions)
    assert fewer.transactions["Claim"] == full.transactions["Claim"]
    assert fewer.scenarios["execution_lie"].transactions == 2 + 2 * levels


def test_json_has_the_promised_shape(capsys):
    assert main(["costs", "--levels", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"transactions", "leaves", "scenarios"}
    assert all(set(transaction) == {"name", "vsize", "weight"} for transaction in printed["transactions"])
    assert all(set(leaf) == {"script_bytes", "weight"} for leaf in printed["leaves"].values())
    assert set(printed["scenarios"]) == set(SCENARIOS)
    for scenario in printed["scenarios"].values():
        assert set(scenario) == {"vsize", "transactions", "vbytes"}
        assert set(scenario["vbytes"]) == {"prover", "challenger"}


def test_tables_show_every_kind_and_family_or_all(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # narrower tables shorten long names
    found = costs(2)
    kinds, families = set(map(kind_of, found.transactions)), set(map(family_of, found.leaves))
    assert main(["costs", "--levels", "2"]) == 0
    printed = capsys.readouterr().out
    assert all(f"│ {name} " in printed for name in (*kinds, *families, *found.scenarios))
    assert "1/Step" not in printed
    assert main(["costs", "--levels", "2", "--all"]) == 0
    printed = capsys.readouterr().out
    assert all(f"│ {name} " in printed for name in (*found.transactions, *found.leaves, *found.scenarios))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Fund", "Fund"), ("2/Slash_after_Choice_3#2", "Slash_after_Choice"), ("1/Step", "Step"), ("Claim#2", "Claim")],
)
def test_kinds_of_transactions(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("compare.left.outline_3_2", "compare.left"),
        ("place.left_1", "place.left"),
        ("entry.0.right", "entry"),
        ("claim.0.1-2", "claim"),
        ("restated.top_after.M", "restated.top_after"),
        ("compress.before.0.inside_1.left", "compress.before"),
        ("turns", "turns"),
    ],
)
def test_families_of_leaves(name, family):
    assert family_of(name) == family


# ---- against what is played


def check_played(fought: Fought) -> None:
    """Every played weight is the computed one, less what an index of zero or a short hint saves: its missing bytes."""
    priced = costs(fought.result.scenario.levels).transactions
    for confirmation in fought.result.confirmations:
        spent = fought.graph[confirmation.name].inputs[0]
        expected = priced[confirmation.name][1]
        if isinstance(spent, Input) and spent.leaves:
            *items, script, _control = confirmation.transaction.wit.vtxinwit[0].scriptWitness.stack
            (leaf,) = (spent.leaf(name) for name in spent.leaves if spent.leaf(name).script == script)
            choose = {0: leaf.name}
            assert fought.graph[confirmation.name].weight(choose) <= expected
            expected = fought.graph[confirmation.name].weight(choose)
            sizes = leaf.item_sizes()
            shorter = [(size, size - len(item)) for size, item in zip(sizes, items, strict=True) if len(item) < size]
            hints = leaf.proof.hints if isinstance(leaf, ProofLeaf) else ()
            assert {size for size, _ in shorter} <= {1, NUMBER_BYTES}, confirmation.name
            assert sum(size == NUMBER_BYTES for size, _ in shorter) <= len(hints), confirmation.name
            expected -= sum(missing for _, missing in shorter)
        assert confirmation.weight == expected, confirmation.name
        assert confirmation.vsize == virtual_size(confirmation.weight)


@pytest.mark.parametrize("options", [{}, {"lie": "written"}, {"lie": "window"}, {"lie": "address"}, {"accuse": 662}])
def test_played_weights_are_the_computed_ones(arena: Arena, options):
    check_played(arena.play(**options))


@pytest.mark.slow_on_a_node
def test_timeouts_weigh_what_was_computed(arena: Arena, graph: Graph):
    moves = {name.rpartition("/")[2] for name in arena.play(lie="written").names}
    for timeout, (party, move) in owed(graph).items():
        ending, _, after = timeout.partition("_after_")
        if ending in ("1/Slash", "1/TakeStake") and after in moves and move in moves:
            fought = arena.play(lie="written", silence=Silence(party, move))
            assert timeout in fought.names
            check_played(fought)


def test_only_fund_and_refute_pay_their_own_fee(graph: Graph):
    fee_paying = [template.name for template in graph.templates.values() if template.version != GAME_VERSION]
    assert fee_paying == ["Fund", "1/Refute_after_Inside", "1/Refute_after_Close"]
    assert graph["Fund"].mover == PROVER
