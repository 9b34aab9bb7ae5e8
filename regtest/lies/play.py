"""A prover that lies against a challenger that does not: how such a case is put together."""

from __future__ import annotations

from collections.abc import Callable

from bitvm.game.computation import Computation
from bitvm.graph.model import PROVER, challenger
from regtest.cases import Case, Deviation, Seats, challenger_of, deviating, prover_of
from regtest.lies.telling import Lying, Story
from regtest.worlds import GUEST, World

Told = Callable[[World], Story]
"""Makes up the story that is told of a world's run."""

SLASHED_BY_LEAF = "1/Slash"
AFTER_PATH, AFTER_INSIDE, AFTER_CLOSE = (f"1/Slash_after_{answer}" for answer in ("Path", "Inside", "Close"))
REFUTED_INSIDE, REFUTED_CLOSE = (f"1/Slash_after_Refute_after_{answer}" for answer in ("Inside", "Close"))


def lying(told: Told, world: World = GUEST) -> Computation:
    """Return the computation of a prover that tells the story."""
    return Lying(world.run(), told(world))


def seated(claimed: Callable[[], Computation], *deviations: Deviation, world: World = GUEST) -> Callable[[], Seats]:
    """Return how a prover that claims a computation, and deviates, is seated against an honest challenger."""

    def seats() -> Seats:
        liar = deviating(prover_of(claimed()), *deviations)
        return Seats(world.parameters(), {PROVER: liar, challenger(1): challenger_of(1, world.run())})

    return seats


def caught(
    name: str,
    story: str,
    told: Told,
    *decides: str,
    deviations: tuple[Deviation, ...] = (),
    leaves: tuple[str, ...] = (),
    world: World = GUEST,
) -> Case:
    """Return the case of a prover whose story is found out; ``decides`` and ``leaves``: by what."""
    seats = seated(lambda: lying(told, world), *deviations, world=world)
    return Case(f"lie/{name}", story, challenger(1), decides, seats, leaves)
