"""A lying prover and several challengers, or an honest one and several accusers: who has what in the end.

One bond, a stake each. The first Slash takes the bond; who wins its game later takes its stake back, and who did
nothing is compensated. That nobody who was honest has less than before is judged for every case (`regtest.matrix`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache

from bitvm.game.moves import Move, SayCommitment, Wait
from bitvm.game.position import Position
from bitvm.graph.model import PROVER, challenger
from bitvm.graph.setting import game_name
from bitvm.leaves.fields import WORDS_A_GROUP
from lvm.layout import LEAF_WORDS, WORD_BYTES, physical_word
from lvm.outcome import Outcome
from lvm.record import StepRecord
from regtest.accusations import scene
from regtest.accusations.accuser import accuser
from regtest.cases import (
    Case,
    Decisions,
    Deviation,
    Seats,
    asleep,
    challenger_of,
    deviating,
    flipping,
    from_age,
    on_moves,
    plain_name,
    prover_of,
)
from regtest.hostile import LIES, Lie, LyingExecution, tell
from regtest.players import Strategy

LOAD = 0x03

HONEST = "honest"
"""In place of a script: the challenger plays honestly."""

ASLEEP = "asleep"


def _misread(record: StepRecord) -> StepRecord | None:
    if record.outcome is not Outcome.RETIRE or record.instr & 0x7F != LOAD:
        return None
    return replace(record, mem=record.mem ^ 1, written=record.written ^ 1)


MISREAD = Lie("mem", "another word is read from memory", _misread)


@cache
def told(lie: Lie) -> tuple[LyingExecution, int]:
    """Return the run of a prover that tells this lie, and the step at which it does."""
    return tell(scene.run(), lie, None)


def lying(lie: Lie = LIES["written"]) -> LyingExecution:
    """Return the run of a prover that tells this lie."""
    return told(lie)[0]


# ---- deviations


def silent_in_games(silences: Mapping[int, str]) -> Deviation:
    """Return the deviation of a prover that never makes a move of these: plain names by game."""
    silent = {game_name(number, name) for number, name in silences.items()}
    return on_moves(lambda _, move: Wait("silent", over=True) if move.template in silent else move)


def until_paid(strategy: Strategy, last: str) -> Strategy:
    """Return a challenger's strategy that sleeps from the move ``last`` on until the prover has its bond."""

    def decide(position: Position) -> Decisions:
        return {} if position.has(last) and not position.has("LatePayout") else strategy(position)

    return decide


def garbled(_: Position, move: Move) -> Move:
    """Show list 1 with its first two points exchanged under the root of the true one."""
    said = move.statement
    if plain_name(move) != "Claim" or not isinstance(said, SayCommitment):
        return move
    return replace(move, statement=replace(said, listed=(said.listed[1], said.listed[0], *said.listed[2:])))


def misread_words(position: Position, decisions: Decisions) -> Decisions:
    """Show the leaf as it was misread: its words fit Step, its hash does not fit the path."""
    record = scene.run().step(told(MISREAD)[1]).record
    group, word = divmod(physical_word(record.before.window, record.address) // WORD_BYTES % LEAF_WORDS, WORDS_A_GROUP)
    lie = flipping("Inside", f"Inside/words_{group}", word * 2 * WORD_BYTES)
    return lie(position, decisions)


# ---- cases


def combined(
    name: str,
    story: str,
    winner: str,
    decides: str,
    prover: Callable[[], Strategy],
    *scripts: str | Callable[[], Strategy],
    absent: tuple[str, ...] = (),
) -> Case:
    """Return a case; ``scripts``: each challenger's, HONEST, ASLEEP, or what makes a strategy."""

    def seat(number: int, script: str | Callable[[], Strategy]) -> Strategy:
        if not isinstance(script, str):
            return script()
        if script == ASLEEP:
            return asleep
        true = scene.run()
        return challenger_of(number, true) if script == HONEST else accuser(script, true, number)

    def seats() -> Seats:
        chairs = {challenger(number): seat(number, script) for number, script in enumerate(scripts, start=1)}
        return Seats(scene.parameters(challengers=len(scripts)), {PROVER: prover(), **chairs})

    return Case(f"both/{name}", story, winner, tuple(decides.split()), seats, absent=absent)


def liar(*deviations: Deviation, lie: Lie = LIES["written"]) -> Callable[[], Strategy]:
    """Return what makes the strategy of a prover that tells ``lie`` and deviates besides."""
    return lambda: deviating(prover_of(lying(lie)), *deviations)


def honest() -> Strategy:
    """Return the strategy of an honest prover."""
    return prover_of(scene.run())


def together_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _accusers()
    yield from _hangers_on()
    yield from _two_honest()
    yield from _sybils()
    yield from _slow()


def _accusers() -> Iterator[Case]:
    """Several accusers of an honest prover."""
    yield combined(
        "accusers/two",
        "two accusers, one silent after the step, one after a question",
        PROVER,
        "1/TakeStake_after_Step 2/TakeStake_after_Path LatePayout",
        honest,
        "Challenge Choice_1=3 Choice_2=9",
        "Challenge Choice_1=7 Choice_2=0 Ask=1",
    )
    yield combined(
        "accusers/same_step",
        "two accusers ask different things of one step",
        PROVER,
        "1/TakeStake_after_Close 2/Dismiss_Ask LatePayout",
        honest,
        "Challenge Choice_1=3 Choice_2=9 Ask=6 Descend=2 Narrow=0",
        "Challenge Choice_1=3 Choice_2=9 Ask=15",
    )
    yield combined(
        "accusers/three",
        "two accusers, and an honest challenger that stays out of it",
        PROVER,
        "1/TakeStake_after_Compare_left 3/TakeStake_after_Outline_1 LatePayout",
        honest,
        "Challenge Choice_1=3 Choice_2=9 Compare_left",
        HONEST,
        "Challenge Demand_1",
        absent=("2/Challenge",),
    )


def _hangers_on() -> Iterator[Case]:
    """A lying prover, an honest challenger, and others who sleep or get in the way."""
    yield combined(
        "sleeper",
        "one challenger asleep is compensated",
        challenger(1),
        "1/Slash",
        liar(),
        HONEST,
        ASLEEP,
    )
    yield combined(
        "staller",
        "one challenger honest, one asleep, one that challenges and stalls",
        challenger(2),
        "2/Slash 3/TakeStake_after_Challenge",
        liar(),
        ASLEEP,
        HONEST,
        "Challenge",
    )
    yield combined(
        "late_slasher",
        "one challenger honest, one asleep, one that makes every move at the last moment, too late for the bond",
        challenger(1),
        "1/Slash 3/Reclaim",
        liar(),
        HONEST,
        ASLEEP,
        lambda: deviating(challenger_of(3, scene.run()), from_age(scene.DELTA - 1)),
    )
    yield combined(
        "accuser_of_a_liar",
        "an accuser points at a step that is true and loses; the honest challenger wins",
        challenger(2),
        "1/TakeStake_after_Step 2/Slash",
        liar(),
        "Challenge Choice_1=0 Choice_2=1",
        HONEST,
    )


STAGES = {
    "Choice_1": (liar(silent_in_games({1: "Reveal_2", 2: "Reveal_2"})), "2/Reclaim_after_Choice_1"),
    "Choice_2": (liar(silent_in_games({1: "Reveal_2", 2: "Step"})), "2/Reclaim_after_Choice_2"),
    "Demand_1": (
        liar(on_moves(garbled), silent_in_games({1: "Outline_1", 2: "Outline_1"})),
        "2/Reclaim_after_Demand_1",
    ),
    "Pick_1": (liar(on_moves(garbled), silent_in_games({1: "Outline_1", 2: "Detail_1"})), "2/Reclaim_after_Pick_1"),
    "Ask": (liar(silent_in_games({1: "Reveal_2", 2: "Path"}), lie=MISREAD), "2/Reclaim_after_Ask"),
    "Descend": (liar(silent_in_games({1: "Reveal_2", 2: "Inside"}), lie=MISREAD), "2/Reclaim_after_Descend"),
    "Narrow": (
        liar(flipping("Path", "Path/before_1"), silent_in_games({1: "Reveal_2", 2: "Close"}), lie=MISREAD),
        "2/Reclaim_after_Narrow",
    ),
    "Step": (liar(silent_in_games({1: "Reveal_2"})), "2/Reclaim"),
    "Path": (
        liar(flipping("Path", "Path/where", 2), silent_in_games({1: "Reveal_2"}), lie=MISREAD),
        "2/Reclaim_after_Path",
    ),
    "Inside": (liar(silent_in_games({1: "Reveal_2"}), lie=MISREAD), "2/Reclaim_after_Inside"),
    "Refute_after_Inside": (
        liar(misread_words, silent_in_games({1: "Reveal_2"}), lie=MISREAD),
        "2/Reclaim_after_Refute_after_Inside",
    ),
    "Close": (
        liar(
            flipping("Path", "Path/before_1"),
            flipping("Close", "Close/where", 2),
            silent_in_games({1: "Reveal_2"}),
            lie=MISREAD,
        ),
        "2/Reclaim_after_Close",
    ),
    "Refute_after_Close": (
        liar(flipping("Path", "Path/before_1"), silent_in_games({1: "Reveal_2"}), lie=MISREAD),
        "2/Reclaim_after_Refute_after_Close",
    ),
}
"""Where the second challenger stands when the first has the bond: the prover, and how its game ends."""


def _two_honest() -> Iterator[Case]:
    yield combined(
        "two_honest/proof",
        "two honest challengers at once: one slashes, the other has its stake back",
        challenger(1),
        "1/Slash 2/Reclaim",
        liar(),
        HONEST,
        HONEST,
    )
    for stage, (prover, end) in STAGES.items():
        yield combined(
            f"two_honest/timeout/{stage}",
            f"the first challenger slashes by a timeout, the second wins its stake at {stage}, with the bond gone",
            challenger(1),
            f"1/Slash_after_{'Demand_1' if stage in ('Demand_1', 'Pick_1') else 'Choice_1'} {end}",
            prover,
            HONEST,
            lambda: deviating(challenger_of(2, scene.run()), from_age(scene.DELTA - 1, "Challenge")),
        )
    yield combined(
        "late_payout/reclaim",
        "a challenger sleeps in the middle of its game: the lying prover has the bond, but not this stake",
        PROVER,
        "LatePayout 1/Reclaim_after_Choice_2 2/TakeStake_after_Challenge",
        liar(silent_in_games({1: "Step"})),
        lambda: until_paid(challenger_of(1, scene.run()), "1/Choice_2"),
        "Challenge",
    )
    yield combined(
        "late_payout/abandoned",
        "a challenger abandons its game after a step that is false: bond and stake are the prover's",
        PROVER,
        "1/TakeStake_after_Step LatePayout",
        liar(),
        "Challenge Choice_1=0 Choice_2=0",
    )


def _sybils() -> Iterator[Case]:
    """A challenger of the prover's slashes first, so that the honest one gets no reward: both lose the burnt part."""
    fast = "Challenge Choice_1=0"
    yield combined(
        "sybil/timeout",
        "the prover lets its own challenger slash by a timeout; the honest one has stake and compensation",
        challenger(1),
        "1/Slash_after_Choice_1 2/Reclaim",
        liar(silent_in_games({1: "Reveal_2"})),
        fast,
        HONEST,
    )
    yield combined(
        "sybil/before_anybody",
        "the prover's own challenger slashes before an honest one has challenged",
        challenger(1),
        "1/Slash_after_Choice_1",
        liar(silent_in_games({1: "Reveal_2"})),
        fast,
        lambda: deviating(challenger_of(2, scene.run()), from_age(scene.DELTA_CLAIM - 1, "Challenge")),
        absent=("2/Challenge",),
    )
    yield combined(
        "sybil/proof",
        "the prover's own challenger slashes by a proof in the block in which the honest one could",
        challenger(1),
        "1/Slash 2/Reclaim",
        liar(),
        HONEST,
        HONEST,
    )


def _slow() -> Iterator[Case]:
    """Everybody takes all the time there is: the bond is slashed before the prover can have it."""
    late = from_age(scene.DELTA - 1)
    yield combined(
        "slow/longest",
        "a lying prover and an honest challenger make every move there is, each in the last block it can",
        challenger(1),
        "1/Slash_after_Refute_after_Close",
        liar(late, on_moves(garbled), flipping("Path", "Path/before_1"), lie=MISREAD),
        lambda: deviating(challenger_of(1, scene.run()), late, from_age(scene.DELTA_CLAIM - 1, "Challenge")),
        absent=("LatePayout", "Payout"),
    )
    yield combined(
        "slow/timeout",
        "a lying prover makes every move in the last block it can, and the last one never",
        challenger(1),
        "1/Slash_after_Narrow",
        liar(late, silent_in_games({1: "Close"}), flipping("Path", "Path/before_1"), lie=MISREAD),
        HONEST,
        absent=("LatePayout", "Payout"),
    )
