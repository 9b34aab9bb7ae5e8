"""Claims in sequence, each on the state in which the one before ended: lies in some of them, and one stake for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

from bitvm.game import prover as honest_prover
from bitvm.game.computation import Execution
from bitvm.graph.model import PROVER, challenger
from lvm.boot import input_root
from regtest.accusations import scene
from regtest.accusations.accuser import accuser
from regtest.cases import Case, Seats, challenger_of, deviating, prover_of, silent_at
from regtest.hostile import LIES, LyingExecution, tell
from regtest.players import Strategy
from regtest.worlds import GUEST

INPUTS = (b"\1", b"\2", b"\3")

Runs = tuple[Execution, ...]


@cache
def true_runs(claims: int) -> Runs:
    """Return the true runs of so many claims in sequence."""
    runs: Runs = ()
    for data in INPUTS[:claims]:
        runs = (*runs, scene.run(data, runs[-1] if runs else None))
    return runs


class _ClaimsOtherInput(Execution):
    """A run on one input that is said to be on another."""

    def __init__(self, data: bytes, said: bytes, previous: Execution) -> None:
        super().__init__(scene.parameters(), GUEST.image, data, previous=previous, engine="spec")
        self.input_root = input_root(said)


@cache
def lied_in(slot: int, claims: int) -> Runs:
    """Return runs of which that of ``slot`` tells a lie; those after it are true from the false state on."""
    runs = true_runs(claims)[: slot - 1]
    runs = (*runs, _lie(true_runs(slot)[-1]))
    for data in INPUTS[slot:claims]:
        runs = (*runs, scene.run(data, runs[-1]))
    return runs


def _lie(true: Execution) -> LyingExecution:
    return tell(true, LIES["written"], None)[0]


@cache
def lied_twice() -> Runs:
    """Return two runs with a lie each."""
    first = _lie(scene.run(INPUTS[0]))
    return first, _lie(scene.run(INPUTS[1], first))


def other_state() -> Runs:
    """Return two runs of which the second starts from another state than the first ended in."""
    return scene.run(INPUTS[0]), scene.run(INPUTS[1], scene.run(INPUTS[2]))


def image_again() -> Runs:
    """Return two runs of which the second starts from the image, as the first did."""
    return scene.run(INPUTS[0]), scene.run(INPUTS[1])


def other_input() -> Runs:
    """Return two runs of which the second is on another input than it says."""
    first = scene.run(INPUTS[0])
    return first, _ClaimsOtherInput(INPUTS[2], INPUTS[1], first)


def sequence(
    name: str,
    story: str,
    winner: str,
    decides: str,
    runs: Callable[[], Runs],
    *challengers: Callable[[], Strategy],
    prover: Callable[[Strategy], Strategy] | None = None,
    claims: int = 2,
    absent: tuple[str, ...] = (),
) -> Case:
    """Return a case; without ``challengers`` there is an honest one. prover: what becomes of the honest strategy."""

    def seats() -> Seats:
        made = challengers or (lambda: challenger_of(1, *true_runs(claims)),)
        strategy = prover_of(*runs())
        chairs = {challenger(number): make() for number, make in enumerate(made, start=1)}
        parameters = scene.parameters(challengers=len(made), claims=claims)
        return Seats(parameters, {PROVER: prover(strategy) if prover else strategy, **chairs})

    return Case(f"claims/{name}", story, winner, tuple(decides.split()), seats, absent=absent)


def sequence_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _true_claims()
    yield from _false_claims()
    yield from _false_starts()


def _true_claims() -> Iterator[Case]:
    yield sequence(
        "honest",
        "three true claims in sequence are paid, all are final",
        PROVER,
        "Payout Payout#2 Payout#3",
        lambda: true_runs(3),
        claims=3,
        absent=("Challenge", "LatePayout"),
    )
    yield sequence(
        "withdrawn",
        "one claim is made and paid, the second slot goes back unused",
        PROVER,
        "Payout Withdraw#2",
        lambda: true_runs(1),
        prover=lambda _: lambda position: honest_prover.decide_setup(position, (scene.run(INPUTS[0]), None)),
        absent=("Claim#2",),
    )
    for slot, other in ((1, 2), (2, 1)):
        suffix = "" if slot == 1 else "#2"
        paid = "" if other == 1 else "#2"
        yield sequence(
            f"accused/{slot}",
            f"claim {slot} of two is accused in vain: it is paid late, the other in time",
            PROVER,
            f"1/TakeStake_after_Path{suffix} LatePayout{suffix} Payout{paid}",
            lambda: true_runs(2),
            lambda slot=slot: accuser(  # type: ignore[misc]
                "Challenge Choice_1=0 Choice_2=0 Ask=9", true_runs(2)[slot - 1], slot=slot
            ),
        )


def _false_claims() -> Iterator[Case]:
    yield sequence(
        "lie/second_of_three",
        "the first claim is paid and final, the second slashed, the third never final",
        challenger(1),
        "Payout 1/Slash#2",
        lambda: lied_in(2, 3),
        claims=3,
        absent=("1/Challenge#3",),
    )
    yield sequence(
        "lie/first_of_two",
        "the first claim is slashed; the second is true of the false state, and never final",
        challenger(1),
        "1/Slash",
        lambda: lied_in(1, 2),
        absent=("1/Challenge#2", "1/Slash#2"),
    )
    yield sequence(
        "lie/both",
        "both claims are false: the one stake goes on the first",
        challenger(1),
        "1/Slash",
        lied_twice,
        absent=("1/Challenge#2", "1/Slash#2"),
    )
    yield sequence(
        "lie/second_silent",
        "the second claim is false and not defended",
        challenger(1),
        "Payout 1/Slash_after_Choice_1#2",
        lambda: lied_in(2, 2),
        prover=lambda strategy: deviating(strategy, silent_at("Reveal_2")),
    )
    yield sequence(
        "lie/stake_spent",
        "one challenger wasted its stake on the first claim, which is true; another slashes the second",
        challenger(2),
        "1/TakeStake_after_Step LatePayout 2/Slash#2",
        lambda: lied_in(2, 2),
        lambda: accuser("Challenge Choice_1=1 Choice_2=1", true_runs(1)[0]),
        lambda: challenger_of(2, *true_runs(2)),
    )
    yield sequence(
        "lie/unknown_first",
        "the challenger never gets the first claim's input, and stakes on the second, which is false, at the last",
        challenger(1),
        "Payout 1/Slash#2",
        lambda: lied_in(2, 2),
        lambda: challenger_of(1, None, true_runs(2)[1]),
    )


def _false_starts() -> Iterator[Case]:
    """The second claim's run is true of a first state that is not what the claim before and the input make."""
    ends = ("1/Slash_after_Path#2", "1/Slash_after_Path#2", "1/Slash_after_Refute_after_Inside#2")
    for runs, end in zip((other_state, image_again, other_input), ends, strict=True):
        name = runs.__name__
        what = name.replace("_", " ")
        story = f"the second claim starts from {what}"
        yield sequence(f"start/{name}", story, challenger(1), f"Payout {end}", runs)
        yield sequence(
            f"start/{name}/silent",
            f"{story}, and the prover does not prove it",
            challenger(1),
            "Payout 1/Slash_after_Ask#2",
            runs,
            prover=lambda strategy: deviating(strategy, silent_at("Path")),
        )
