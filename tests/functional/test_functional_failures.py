"""What breaks in one place of a daemon stays there: a run without memory, a set-up's folder after a restore."""

from __future__ import annotations

import shutil

import pytest
from company import LIE, Company, give_inputs, new_stage
from storm import CHALLENGER, SETUP, accuser
from tiny import LIE_STEP

from bitvm.daemon import computations
from bitvm.daemon.backup import backup, recovery_pending, restore
from bitvm.daemon.computations import execute
from bitvm.daemon.status import NoticeKind, Severity
from bitvm.graph.model import PROVER
from regtest.hostile_roles import lying

pytestmark = pytest.mark.bitcoind


def test_a_run_that_had_no_memory_is_told_and_made_again(tmp_path, monkeypatch):
    """An honest prover is started again in the middle of a game."""
    monkeypatch.setattr(computations, "RETRY_SECONDS", 0.0)
    left = [MemoryError("no room")] * 3

    def short_of_memory(job, engine):
        if left and blocked:
            raise left.pop()
        return execute(job, engine)

    with new_stage(tmp_path) as stage:
        give_inputs(stage)
        company = Company(stage, roles={CHALLENGER: accuser}, runs={PROVER: short_of_memory})
        blocked = False
        company.start()
        try:
            company.mine_until(SETUP, "1/Choice_1")
            company.stop(PROVER)
            blocked = True
            company.start(PROVER)
            snapshot = company.daemons[PROVER].tick(company._now)
            company.daemons[PROVER].computations.make_wanted()
            snapshot = company.daemons[PROVER].tick(company._now + 1)
            (told,) = [each for each in snapshot.notices if each.kind is NoticeKind.RUN_FAILED]
            assert told.text == "the run of claim 1 failed: MemoryError('no room')"
            company.tick(PROVER)
            assert not left
            assert company.mine_until(SETUP, "1/TakeStake_after_Step", "1/Slash_after_Choice_1") == (
                "1/TakeStake_after_Step"
            )
        finally:
            company.stop()


def test_after_a_restore_a_folder_that_cannot_be_read_silences_itself_alone(tmp_path):
    with new_stage(tmp_path) as stage:
        give_inputs(stage)
        company = Company(stage, runs={PROVER: lying(LIE, LIE_STEP)})
        company.start()
        try:
            company.mine_until(SETUP, "Claim")
            home = stage.actors[CHALLENGER].home_path
            backup(home, tmp_path / "saved", with_seed=True)
            company.stop(CHALLENGER)
            shutil.rmtree(home)
            restore(tmp_path / "saved", home)
            broken = home / "setups" / "broken"
            broken.mkdir(mode=0o700)
            (broken / "setup.yaml").write_text("nothing")
            company.start(CHALLENGER)
            assert company.mine_until(SETUP, "1/Slash", "Payout", "LatePayout") == "1/Slash"
            assert recovery_pending(home), "what the other folder holds is not known yet"
            shutil.rmtree(broken)
            company.mine(2)
            assert not recovery_pending(home)
        finally:
            company.stop()


def test_a_prover_that_has_lost_its_input_says_so_at_once(tmp_path):
    with new_stage(tmp_path) as stage:
        give_inputs(stage)
        company = Company(stage)
        company.start()
        try:
            company.mine_until(SETUP, "Claim")
            company.stop(PROVER)
            stage.actors[PROVER].home().inputs_path.unlink()
            company.start(PROVER)
            company.tick(PROVER)
            (told,) = [each for each in company.snapshots[PROVER].notices if each.kind is NoticeKind.RUN_FAILED]
            assert "is not held" in told.text
            assert told.severity is Severity.CRITICAL
        finally:
            company.stop()
