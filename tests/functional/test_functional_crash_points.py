"""A short dispute in which a daemon ends at every one of its commits, and is started again: always the same outcome."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from company import give_inputs
from crash_points import AFTER, BEFORE, Crashing, CrashingStorm
from storm import CHALLENGER, SETUP, accuser, stormy_stage
from tiny import LIE_STEP

from bitvm.graph.model import PROVER
from regtest.hostile_roles import lying
from regtest.stage import Stage

pytestmark = pytest.mark.bitcoind

PARAMETERS = {"confirmations": 1, "delta": 6, "delta_claim": 8}
ENDS = {CHALLENGER: "1/Slash", PROVER: "1/TakeStake_after_Step"}
"""What ends the dispute where this party is the honest one."""
LOSSES = (
    "1/TakeStake_after_Step",
    "LatePayout",
    "Payout",
    "1/Slash",
    "1/Slash_after_Choice_1",
    "1/Slash_after_Choice_2",
)

WRITERS = ("Journal.record", "DaemonStore.keep_signed", "Purse.record", "CoinBook.reserve", "Sightings.record")
"""What commits in every dispute, whoever is honest."""


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with stormy_stage(tmp_path, **PARAMETERS) as found:
        give_inputs(found)
        yield found


def play(stage: Stage, crashing: Crashing) -> CrashingStorm:
    """Play a dispute to its end; return what has happened, with all daemons stopped."""
    honest = crashing.party
    storm = CrashingStorm(stage, crashing=crashing)
    if honest == CHALLENGER:
        storm.runs[PROVER] = lying("written", LIE_STEP)
    else:
        storm.roles[CHALLENGER] = accuser
    with crashing.installed():
        storm.start()
        try:
            ended = storm.mine_until(SETUP, ENDS[honest], *(each for each in LOSSES if each != ENDS[honest]))
            storm.mine(2)
            assert ended == ENDS[honest]
            assert ENDS[honest] in stage.position(SETUP).confirmed
            assert storm.slashed() == (honest == CHALLENGER)
            assert storm.signed_twice(SETUP) == {}
            assert not storm.reused_coins.get(honest)
            assert not storm.complaints(honest)
        except AssertionError as error:
            raise AssertionError(f"crashed {'; '.join(crashing.crashes)}: {error}") from error
        finally:
            storm.stop()
    return storm


def is_written(crashes: list[str]) -> set[str]:
    return {writer for writer in WRITERS if any(writer in each for each in crashes)}


@pytest.mark.parametrize(
    ("honest", "when"),
    [
        (CHALLENGER, BEFORE),
        pytest.param(PROVER, AFTER, marks=pytest.mark.soak),
        pytest.param(CHALLENGER, AFTER, marks=pytest.mark.soak),
        pytest.param(PROVER, BEFORE, marks=pytest.mark.soak),
    ],
)
def test_daemon_that_ends_at_each_of_its_commits_wins(stage, honest, when):
    crashing = Crashing(honest, when)
    play(stage, crashing)
    assert is_written(crashing.crashes) == set(WRITERS)


@pytest.mark.soak
@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("honest", [CHALLENGER, PROVER])
def test_daemon_that_ends_at_one_commit_wins_whichever_it_is(stage, tmp_path, honest, when):
    stage.stop_node()
    saved = tmp_path / "saved"
    shutil.copytree(stage.folder, saved)
    stage.start_node()
    undisturbed = Crashing(honest, when, only=0)
    play(stage, undisturbed)
    failures = []
    for number in range(1, len(undisturbed.commits) + 1):
        stage.stop_node()
        shutil.rmtree(stage.folder)
        shutil.copytree(saved, stage.folder)
        stage.start_node()
        crashing = Crashing(honest, when, only=number)
        try:
            play(stage, crashing)
            assert len(crashing.crashes) == 1
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, "\n".join([*failures, f"of {len(undisturbed.commits)} commits"])
    print(f"{honest} {when}: {len(undisturbed.commits)} commits")
