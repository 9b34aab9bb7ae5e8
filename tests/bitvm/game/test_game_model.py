"""Every run of small games between the honest strategies and hostile parties: what must always hold does."""

from __future__ import annotations

import time
from functools import partial

import pytest
from symbolic_checks import (
    GAME,
    challenger_keeps_stake,
    challenger_slashes_end,
    choices_are_disputes,
    nothing_stuck_end,
    prover_keeps_bond,
    prover_wins_end,
    unknown_is_silent,
)
from symbolic_game import Exploration, ViolationError
from symbolic_hostile import HostileChallenger, HostileProver, both
from symbolic_world import DATA, false, graph, true

from bitvm.game import challenger as challenger_strategy
from bitvm.game import prover as prover_strategy
from bitvm.graph.model import PROVER, challenger
from lvm.layout import CONTROL_BASE
from regtest.hostile import LIES
from regtest.lies.telling import beside, elsewhere, misread, replaced, says


def against_challengers(few=False, levels=1, challengers=1, confirmations=1, delta=3, **options):
    """Explore an honest prover, its true claim made, against hostile challengers."""
    computation = true(levels)
    exploration = Exploration(
        graph(levels, challengers, confirmations, delta),
        {PROVER: lambda position: prover_strategy.decide(position, computation)},
        HostileChallenger(few),
        checks=(*GAME, prover_keeps_bond),
        ends=(prover_wins_end, nothing_stuck_end),
        **options,
    )
    longest = exploration.explore(exploration.start())
    assert longest < exploration.parameters.delta_long  # 11
    return exploration


def against_prover(computations, levels=1, challengers=1, confirmations=1, delta=3, few=False, **options):
    """Explore challenger 1 against a hostile prover and, if there are more challengers, its sybils."""
    computation = true(levels)
    liar = HostileProver([computation, *computations], computations)
    exploration = Exploration(
        graph(levels, challengers, confirmations, delta),
        {challenger(1): lambda position: challenger_strategy.decide(position, computation, 1)},
        both(liar, HostileChallenger(few)),
        checks=(
            *GAME, challenger_keeps_stake(1), choices_are_disputes(1, computation), unknown_is_silent(1, computation)
        ),
        ends=(challenger_slashes_end(1), nothing_stuck_end),
        **options,
    )
    longest = max(exploration.explore(state) for state in claimed(exploration, liar))
    assert longest < exploration.parameters.delta_long  # 11
    return exploration


def claimed(exploration, liar):
    """The states after each claim that the budget allows."""
    start = exploration.start()
    position = exploration.position(start)
    for cost, leaf, statement in liar(position, exploration.graph["Claim"]):
        if cost <= exploration.budget:
            after = exploration._with(start, "Claim", exploration.uttered(leaf, statement))
            yield after.__class__(after.height + 1, after.confirmed, {}, {}, after.reorgs, after.budget - cost)
