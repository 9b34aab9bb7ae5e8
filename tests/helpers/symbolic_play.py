"""Explorations of both roles: an honest prover against challengers, an honest challenger against a prover."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from symbolic_checks import (
    GAME,
    challenger_keeps_stake,
    challenger_slashes_end,
    choices_are_disputes,
    fail,
    nothing_stuck_end,
    prover_keeps_bond,
    prover_wins_end,
    unknown_is_silent,
)
from symbolic_game import Exploration, State
from symbolic_hostile import HostileChallenger, HostileProver, Remembered, by_mover
from symbolic_world import graph, true

from bitvm.game import challenger as challenger_strategy
from bitvm.game import prover as prover_strategy
from bitvm.graph.graph import Graph
from bitvm.graph.model import PROVER, challenger


def explore_prover(
    *,
    few: bool = False,
    levels: int = 1,
    challengers: int = 1,
    confirmations: int = 1,
    delta: int = 4,
    played_on: Graph | None = None,
    **options: Any,
) -> Exploration:
    """Explore an honest prover from before its true claim, against hostile challengers; ``few``: who say less."""
    computation = true(levels)
    exploration = Exploration(
        played_on or graph(levels, challengers, confirmations, delta),
        {PROVER: lambda position: prover_strategy.decide(position, computation)},
        HostileChallenger(few),
        checks=(*GAME, prover_keeps_bond),
        ends=(prover_wins_end, nothing_stuck_end),
        **options,
    )
    check_longest(exploration, exploration.explore(exploration.start()))
    return exploration


def explore_challenger(
    *claimed: Remembered,
    blind: bool = False,
    few: bool = True,
    levels: int = 1,
    challengers: int = 1,
    confirmations: int = 1,
    delta: int = 4,
    played_on: Graph | None = None,
    **options: Any,
) -> Exploration:
    """Explore challenger 1 from each false claim of a hostile prover; other challengers are the prover's.

    blind: the challenger has no run, and each claim is one that needs none to be judged.
    """
    computation = true(levels)
    known = None if blind else computation
    seeing = (choices_are_disputes(1, computation), unknown_is_silent(1, computation))
    liar = HostileProver([computation, *claimed], claimed)
    exploration = Exploration(
        played_on or graph(levels, challengers, confirmations, delta),
        {challenger(1): lambda position: challenger_strategy.decide(position, known, 1)},
        by_mover(liar, HostileChallenger(few)),
        checks=(*GAME, challenger_keeps_stake(1), *(() if blind else seeing)),
        ends=(challenger_slashes_end(1), nothing_stuck_end),
        **options,
    )
    check_longest(exploration, max(map(exploration.explore, states_after_claims(exploration, liar))))
    return exploration


def states_after_claims(exploration: Exploration, liar: HostileProver) -> Iterator[State]:
    """Yield the state after each claim that the budget allows."""
    start = exploration.start()
    position = exploration.position(start)
    for cost, leaf, statement in liar(position, exploration.graph["Claim"]):
        if cost <= exploration.budget:
            after = exploration.with_confirmed(start, "Claim", exploration.uttered(leaf, statement))
            yield replace(after, height=after.height + 1, budget=after.budget - cost)


def check_longest(exploration: Exploration, blocks: int) -> None:
    """11. From Claim to the end of the longest run, LatePayout is locked (which so need not be explored)."""
    exploration.longest = blocks
    if blocks + exploration.parameters.confirmations >= exploration.parameters.delta_long:
        fail(exploration, 11, f"a run takes {blocks} blocks")
