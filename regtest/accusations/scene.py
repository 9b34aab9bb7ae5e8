"""What accusations are played on: the ``guest`` of `regtest.worlds`, in claims of 256 steps, and its runs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from bitvm.game.computation import Execution
from bitvm.graph.parameters import DUST, Parameters
from regtest.worlds import DELTA, DELTA_CLAIM, GUEST, LEVELS, WIDTH

__all__ = ["DEAR_ANSWER", "DELTA", "DELTA_CLAIM", "LEVELS", "STEPS", "WIDTH", "parameters", "run"]

STEPS = WIDTH**LEVELS
DEAR_ANSWER = 200_000
"""A price of answers that is worth a Sweep."""


@cache
def parameters(
    challengers: int = 1, claims: int = 1, attesters: int = 0, tries: int = 1, answer_price: int = DUST
) -> Parameters:
    """Return parameters with short times; with attesters, all of them have to sign."""
    return replace(
        GUEST.parameters(claims, challengers),
        attesters=attesters,
        quorum=attesters,
        tries=tries,
        answer_price=answer_price,
    )


@cache
def run(data: bytes = b"\1", previous: Execution | None = None) -> Execution:
    """Return the true run on an input, after the run of the claim before if there is one."""
    return GUEST.run(data, previous)
