"""Challengers that the prover plays itself cannot keep the honest one from its right."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from company import LIE, Company, give_inputs, new_stage
from tiny import LIE_STEP

from bitvm.game.moves import Decision, Move, Wait
from bitvm.game.position import Position
from bitvm.graph.model import PROVER
from bitvm.prover.role import ProverRole
from regtest.hostile_roles import lying

pytestmark = pytest.mark.bitcoind

UNATTRACTIVE = -10_000_000
"""Satoshi by which miners value a package less: there is always something better to mine."""


class SilentToItsSybil(ProverRole):
    """A prover that does not answer challenger 2, which is its own."""

    def decide(self, position: Position) -> Mapping[str, Decision]:
        return {key: _unless_to_sybil(made) for key, made in super().decide(position).items()}


def _unless_to_sybil(made: Decision) -> Decision:
    return Wait("silent") if isinstance(made, Move) and made.template.startswith("2/") else made


def test_a_slash_that_is_parked_in_the_mempool_does_not_stop_an_honest_one(tmp_path):
    """The sybil wins by silence, and sends its Slash at a price at which nobody mines it."""
    with new_stage(tmp_path, challengers=2) as stage:
        give_inputs(stage)
        company = Company(stage, runs={PROVER: lying(LIE, LIE_STEP)}, roles={PROVER: SilentToItsSybil})
        company.start()
        parked = stage.archives["alpha"].graph["2/Slash_after_Choice_1"].txid[::-1].hex()
        was_parked = False
        try:
            for _ in range(60):
                company.tick()
                if parked in stage.remote.call("getrawmempool"):
                    was_parked = True
                    for child in stage.remote.call("getmempooldescendants", parked):
                        if child not in stage.remote.call("getprioritisedtransactions"):
                            stage.remote.call("prioritisetransaction", child, 0, UNATTRACTIVE)
                stage.chain.mine(1)
                ends = [name for name in stage.position("alpha").confirmed if "Slash" in name or "TakeStake" in name]
                if ends:
                    break
            assert was_parked
            assert ends == ["1/Slash"]
        finally:
            company.stop()
