"""The exploration can fail: each fault put into a strategy or the graph breaks an invariant that it checks."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
from symbolic_game import ViolationError
from symbolic_play import explore_challenger, explore_prover
from symbolic_position import SymbolicPosition
from symbolic_world import DATA, false, graph

from bitvm.game import challenger as challenger_strategy
from bitvm.game import prover as prover_strategy
from bitvm.game.moves import Move, Wait
from bitvm.game.proofs import find_proof
from bitvm.graph.graph import Graph
from regtest.hostile import LIES
from regtest.lies.telling import beside, says


def liar():
    return false(beside(DATA + 4), 1)


def violated(explore, *args, **options):
    with pytest.raises(ViolationError) as raised:
        explore(*args, **{"patient": False, **options})
    return raised.value.number


@dataclass(frozen=True)
class AnythingEqual:
    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


def with_inputs(name, kept):
    """The graph with fewer inputs in one transaction."""
    template = copy.copy(graph()[name])
    object.__setattr__(template, "inputs", tuple(i for i in template.inputs if i.output in kept))
    return Graph(graph().setting, {**graph().templates, name: template})


# ---- the challenger's


def test_moves_before_what_they_answer_is_buried(monkeypatch):
    monkeypatch.setattr(SymbolicPosition, "buried", lambda *_: True)
    assert violated(explore_challenger, liar(), reorgs=1) in (3, 7)  # or what it has sent loses


def test_prover_answers_what_is_not_buried(monkeypatch):
    monkeypatch.setattr(SymbolicPosition, "buried", lambda *_: True)
    assert violated(explore_prover, few=True, reorgs=1) == 7


def test_a_garbled_list_is_not_demanded(monkeypatch):
    monkeypatch.setattr(challenger_strategy, "trace_root", lambda _: AnythingEqual())
    assert violated(explore_challenger, liar(), budget=1) in (2, 3, 6)


def test_the_next_interval_is_chosen(monkeypatch):
    honest = challenger_strategy.first_disagreement
    monkeypatch.setattr(
        challenger_strategy, "first_disagreement", lambda *lists: (honest(*lists) + 1) % (len(lists[0]) + 1)
    )
    assert violated(explore_challenger, liar()) == 6


def test_the_group_beside_is_picked(monkeypatch):
    honest = challenger_strategy.pick_of_outline
    monkeypatch.setattr(challenger_strategy, "pick_of_outline", lambda *given: honest(*given) ^ 1)
    assert violated(explore_challenger, liar(), budget=1) in (2, 3, 6)


@pytest.mark.parametrize("question", ["descend", "narrow"])
def test_another_gap_is_asked_for(monkeypatch, question):
    honest = getattr(challenger_strategy, question)

    def next_gap(*given):
        gap = honest(*given)
        return None if gap is None else (gap + 1) % 4

    monkeypatch.setattr(challenger_strategy, question, next_gap)
    assert violated(explore_challenger, liar()) in (2, 3)


def test_the_first_statement_is_always_asked_for(monkeypatch):
    honest = challenger_strategy.first_false_kind

    def read(*given):
        kind = honest(*given)
        return None if kind is None else type(kind).CONTROL

    monkeypatch.setattr(challenger_strategy, "first_false_kind", read)
    assert violated(explore_challenger, liar()) in (2, 3)


def test_compare_is_forgotten(monkeypatch):
    def without_pages(template, said):
        return None if "Compare" in template.name else find_proof(template, said)

    monkeypatch.setattr(challenger_strategy, "find_proof", without_pages)
    assert violated(explore_challenger, false(says(LIES["written"]), 0), budget=1) in (2, 3)


@pytest.mark.soak
def test_a_slash_is_tried_though_the_bond_is_gone(monkeypatch):
    def win(position, number, slash, why, proof=None):
        statement, leaf = proof or (None, None)
        return Move(position.template(f"{number}/{slash}").name, why, statement, leaf)

    monkeypatch.setattr(challenger_strategy, "_win", win)
    assert violated(explore_challenger, liar(), challengers=2, delta=4, moves_a_block=1) == 8


# ---- the prover's


def test_nonsense_is_not_dismissed(monkeypatch):
    honest = prover_strategy._explain

    def explain(position, *given):
        decision = honest(position, *given)
        dismisses = isinstance(decision, Move) and "Dismiss" in decision.template
        return Wait("what now?") if dismisses else decision

    monkeypatch.setattr(prover_strategy, "_explain", explain)
    assert violated(explore_prover, few=True) == 1


def test_a_demand_is_not_answered(monkeypatch):
    monkeypatch.setattr(prover_strategy, "standing", lambda *_: prover_strategy.Standing.UNTOUCHED)
    assert violated(explore_prover, few=True) in (1, 8)


# ---- the graph's


def test_a_stake_can_be_taken_while_the_prover_owes_an_outline():
    faulty = with_inputs("1/TakeStake_after_Challenge", ("choice_due",))
    assert violated(explore_challenger, liar(), budget=1, played_on=faulty) in (3, 9)


def test_a_demand_outlives_the_choice():
    faulty = with_inputs("1/Slash_after_Demand_1", ("outline_due", "bond"))
    assert violated(explore_prover, few=True, played_on=faulty) in (1, 9)
