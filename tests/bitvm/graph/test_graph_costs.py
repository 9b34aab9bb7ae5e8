"""What an honest party must be able to pay: no way through the games costs more."""

import re
from dataclasses import replace
from functools import cache

import pytest

from bitvm.graph.costs import CHILD_VSIZE, Prices, defence, kind_of, reference_graph, role_of
from bitvm.graph.fund import contribution
from bitvm.graph.model import GraphError, Input
from bitvm.graph.parameters import Parameters

SMALL = Parameters(bytes(24), levels=2, width=4, challengers=2, claims=2, attesters=2, quorum=1)
SIDE = ("Demand", "Outline", "Pick", "Detail")


@pytest.fixture(scope="module")
def graph():
    return reference_graph(SMALL)


def test_a_reference_graph_needs_no_secret_and_is_the_same_again(graph):
    assert reference_graph(SMALL).hash() == graph.hash()
    assert reference_graph(replace(SMALL, bond=SMALL.bond + 1)).hash() != graph.hash()


WAYS = (
    ("path.write", "inside.write", "close.write"),
    ("path.write", "inside.write_words", None),
    ("path.read", "inside.read", "close.read"),
    ("path.read", "inside.read_words", None),
    ("path.left_1", "inside.entry", None),
    ("path.right_1", "inside.entry", None),
    ("path.start", "inside.start", None),
)
"""What a question after Step is about, from Path on."""


def dearest_game(graph, role):
    """Return the fees at 1 sat/vB of the dearest way from Challenge to an end of game 1, side paths beside it.

    On every way a party pays for its own moves; each level's side path is played and swept as well.
    """
    return max(dearest_way(graph, role, dict(zip(("1/Path", "1/Inside", "1/Close"), way, strict=True))) for way in WAYS)


def dearest_way(graph, role, leaves):
    game = [template for template in graph.templates.values() if template.name.startswith("1/") and template.claim == 1]
    price = {}
    for template in game:
        leaf = leaves.get(template.name)
        size = template.vsize({0: leaf} if leaf else None) + CHILD_VSIZE
        price[template.name] = size if role_of(template.mover) == role else 0
    levels = range(1, graph.setting.parameters.levels + 1)
    sides = sum(price[f"1/{move}_{level}"] for move in (*SIDE, "Sweep_answered") for level in levels)

    @cache
    def beyond(name):
        """Return the price of the dearest way from a transaction on, itself included."""
        after = [
            template
            for template in game
            if any(isinstance(spent, Input) and spent.source.name == name for spent in template.inputs)
            and not kind_of(template.name).startswith((*SIDE, "Sweep"))
            and not (template.name in leaves and leaves[template.name] is None)
        ]
        return price[name] + max((beyond(template.name) for template in after), default=0)

    return sides + beyond("1/Challenge")


def test_every_way_after_step_is_looked_at(graph):
    for position, name in enumerate(("1/Path", "1/Inside", "1/Close")):
        seen = {re.sub(r"_\d$", "", way[position]) for way in WAYS if way[position]}
        assert seen == {re.sub(r"_\d$", "", leaf) for leaf in graph[name].inputs[0].leaves}


@pytest.mark.parametrize("party", ["prover", "challenger2"])
def test_no_way_through_the_games_costs_more(graph, party):
    role = role_of(party)
    found = defence(SMALL, party, 1)
    games = dearest_game(graph, role) * (SMALL.challengers if role == "prover" else 1)
    outside = 0
    for claim in ("", "#2") if role == "prover" else ():
        ends = max(graph[name + claim].vsize() for name in ("Payout", "LatePayout", "Withdraw"))
        outside += graph["Claim" + claim].vsize() + ends + 2 * CHILD_VSIZE
    reclaim = 0
    if role == "challenger":
        reclaim = (
            max(t.vsize() for t in graph.templates.values() if kind_of(t.name).startswith("Reclaim")) + CHILD_VSIZE
        )
    assert games + outside + reclaim <= found.fees
    assert found.fees < 1.1 * (games + outside + reclaim) + 10_000, "nor much less"


def test_a_defence_is_the_sum_of_its_lines_and_grows_with_what_may_happen():
    for party in ("prover", "challenger1"):
        found = defence(SMALL, party)
        assert found == defence(SMALL, party, SMALL.fee_ceiling)
        assert found.fees == sum(line.sats for line in found.lines)
        assert found.total == found.fees + contribution(SMALL, party)
        assert defence(SMALL, party, 2 * SMALL.fee_ceiling).fees == pytest.approx(2 * found.fees, abs=9)
    more = replace(SMALL, challengers=3)
    assert defence(more, "prover").fees > 1.3 * defence(SMALL, "prover").fees
    assert defence(more, "challenger1").fees < 1.1 * defence(SMALL, "challenger1").fees
    assert defence(replace(SMALL, claims=1), "prover").fees < defence(SMALL, "prover").fees
    worst = next(line for line in defence(SMALL, "prover").lines if line.what == "worst game")
    assert worst.sats == worst.times * Prices(SMALL, SMALL.fee_ceiling).scenario("worst_case", "prover")


def test_nobody_has_no_defence():
    with pytest.raises(GraphError, match="no party 'challenger3'"):
        defence(SMALL, "challenger3")
