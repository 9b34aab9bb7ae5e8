"""Reorganisations of disputes that have more in them: comrades, later claims, withheld lists, attested inputs.

As in `test_functional_reorgs` every move is taken back once, when it lies `DEPTH` blocks deep.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from company import attest, give_inputs
from storm import DEPTH, SETUP, Deviating, Storm, lying_about, stormy_stage
from tiny import INPUT, OTHER_INPUT
from weather import FLAVOURS, check, play

from bitvm.graph.graph import FUND
from bitvm.graph.model import PROVER
from bitvm.prover.role import ProverRole
from lvm.layout import HASH_BYTES
from regtest.cases import Deviation
from regtest.lies.lists import listing
from regtest.stage import Stage

pytestmark = pytest.mark.bitcoind

LIE = {PROVER: lying_about(INPUT)}


def withheld(shower: str) -> Deviation:
    """Show nothing in place of a list, in Claim or in Reveal_r: it has to be demanded."""
    return listing(shower, lambda listed: (bytes(HASH_BYTES),) * len(listed))


def comrades(stage: Stage) -> Storm:
    """Two challengers on one bond: one slashes, the other reclaims."""
    give_inputs(stage)
    return Storm(stage, runs=LIE)


def later(stage: Stage) -> Storm:
    """The first claim is true, the second one false; both have their reorganisations within the time to challenge."""
    give_inputs(stage)
    stage.queue_claim(SETUP, OTHER_INPUT, 2)
    stage.give_input("challenger1", SETUP, OTHER_INPUT, 2)
    return Storm(stage, runs={PROVER: lying_about(OTHER_INPUT)})


def first_withheld(stage: Stage) -> Storm:
    """The list of Claim is demanded point by point."""
    give_inputs(stage)
    return Storm(stage, runs=LIE, roles={PROVER: lambda bench: Deviating(ProverRole(bench), withheld("Claim"))})


def second_withheld(stage: Stage) -> Storm:
    """The list of Reveal_2 is demanded point by point."""
    give_inputs(stage)
    return Storm(stage, runs=LIE, roles={PROVER: lambda bench: Deviating(ProverRole(bench), withheld("Reveal_2"))})


def attested(stage: Stage) -> Storm:
    """The input of the false claim was signed by an attester."""
    give_inputs(stage)
    storm = Storm(stage, runs=LIE)
    storm.start()
    storm.mine_until(SETUP, FUND)
    attest(storm, SETUP, "challenger1")
    storm.stop()
    return storm


CASES: dict[str, tuple[Callable[[Stage], Storm], dict[str, int], tuple[str, ...]]] = {
    "comrades": (comrades, {"challengers": 2}, ("1/Challenge", "2/Challenge")),
    "later": (later, {"claims": 2, "delta_claim": 45}, ("1/Challenge#2", "1/Slash#2")),
    "first withheld": (first_withheld, {}, ("1/Demand_1", "1/Detail_1")),
    "second withheld": (second_withheld, {}, ("1/Demand_2", "1/Detail_2")),
    "attested": (attested, {"attesters": 1, "quorum": 1, "tries": 2}, ("1/Slash",)),
}
"""By name: who plays, the parameters, and what is played if everything returns as it was."""


def dispute(folder: Path, name: str, flavour: str) -> None:
    make, parameters, wanted = CASES[name]
    with stormy_stage(folder, **parameters) as stage:
        storm = make(stage)
        honest = [party for party in stage.actors if party != PROVER]
        try:
            storm.start()
            end = play(storm, DEPTH, flavour, honest)
            check(storm, end, honest)
            if flavour == "returns":  # otherwise what comes back says something else, or too late
                assert stage.position(SETUP).confirmed.keys() >= set(wanted)
            assert bool(storm.changed) == (flavour == "changes")
        finally:
            storm.stop()


@pytest.mark.soak
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", CASES)
def test_honest_challengers_win_although_every_move_is_taken_back(tmp_path, name, flavour):
    dispute(tmp_path, name, flavour)
