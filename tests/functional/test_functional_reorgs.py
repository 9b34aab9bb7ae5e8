"""Disputes whose every move is taken back by a reorganisation: who is right wins, and no key of theirs signs twice.

After every move of the set-up, when it lies ``depth`` blocks deep, these blocks are replaced (see `weather`).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from company import give_inputs
from storm import CHALLENGER, DEPTH, SETUP, Storm, accuser_storm, liar_storm, stormy_stage
from weather import FLAVOURS, check, play

from bitvm.graph.model import PROVER

pytestmark = pytest.mark.bitcoind

CASES = {"liar": (liar_storm, CHALLENGER), "accuser": (accuser_storm, PROVER)}


def dispute(folder: Path, who: str, depth: int, flavour: str, *, haste: bool = False, at_once: bool = False) -> Storm:
    make, honest = CASES[who]
    with stormy_stage(folder) as stage:
        give_inputs(stage)
        storm = make(stage, haste=haste)
        try:
            storm.start()
            end = play(storm, depth, flavour, (honest,), at_once=at_once)
            check(storm, end, (honest,))
            opponent = PROVER if honest == CHALLENGER else CHALLENGER
            assert bool(storm.changed) == (flavour == "changes")
            assert {path.rpartition("/")[0] for path in storm.signed_twice(SETUP, [opponent])} == set(storm.changed)
        finally:
            storm.stop()
    return storm


HASTE, AT_ONCE = "haste", "at once"
QUICK = (("liar", DEPTH, "changes", ""),)
"""What is played without `soak`."""
ALL = [
    (who, depth, flavour, special)
    for who in CASES
    for depth in range(1, DEPTH + 1)
    for flavour in FLAVOURS
    for special in ("", HASTE, AT_ONCE)
    if special == "" or flavour == "changes"
]


@pytest.mark.parametrize(
    ("who", "depth", "flavour", "special"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.soak) for case in ALL],
)
def test_who_is_right_wins_although_every_move_is_taken_back(tmp_path, who, depth, flavour, special):
    """Haste: the opponent answers what is not buried. At once: a move is taken back as soon as it is confirmed."""
    dispute(tmp_path, who, depth, flavour, haste=special == HASTE, at_once=special == AT_ONCE)


def test_answer_that_a_deeper_reorganisation_made_wrong_is_told_and_nothing_else_is_signed(tmp_path):
    """The accuser's choice changes after the prover has answered it, and that was buried."""
    with stormy_stage(tmp_path) as stage:
        give_inputs(stage)
        storm = accuser_storm(stage)
        storm.start()
        try:
            storm.mine_until(SETUP, "1/Reveal_2")
            reveal = stage.position(SETUP).confirmed["1/Reveal_2"].transaction
            forged = storm.forged("1/Choice_1")
            assert forged is not None
            storm.reorganise(stage.chain.height() - stage.position(SETUP).height_of("1/Choice_1") + 1, forged)
            storm.forget_mempool()
            storm.stop(CHALLENGER)
            while not stage.position(SETUP).buried("1/Choice_1"):
                storm.mine_block()
            storm.tick(PROVER, PROVER)  # the first one finds out that the node was started again
            (told,) = storm.complaints(PROVER)
            assert told.startswith("cannot_sign: 1/Reveal_2: ")
            assert told.endswith("what it signed is sent")
            assert [each for each in stage.chain.mempool() if each.GetTxid() == reveal.GetTxid()] == [reveal]
            assert storm.signed_twice(SETUP, [PROVER]) == {}

            storm.stop(PROVER)
            stage.actors[PROVER].home().daemon_path.unlink()  # now the journal alone knows that there was an answer
            storm.forget_mempool()
            storm.told.clear()
            storm.start(PROVER)
            storm.tick(PROVER)
            (told,) = storm.complaints(PROVER)
            assert told.endswith("nothing is sent")
            assert not stage.chain.mempool()
            assert storm.signed_twice(SETUP, [PROVER]) == {}
        finally:
            storm.stop()
