"""Homes that are restored from a backup three moves old, on a real node: silent at first, then they win.

What was signed since the backup may be in blocks, in the node's mempool alone, or nowhere but in what was sent.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from company import give_inputs
from storm import CHALLENGER, SETUP, Storm, accuser_storm, liar_storm, stormy_stage
from tiny import INPUT

from bitvm.daemon.backup import backup, recovery_pending, restore
from bitvm.daemon.status import NoticeKind
from bitvm.daemon.store import DaemonStore
from bitvm.graph.fund import stake_output
from bitvm.graph.graph import FUND
from bitvm.graph.model import PROVER
from bitvm.prover.commands import main as prover_command

pytestmark = pytest.mark.bitcoind

CONFIRMATIONS = 2
PARAMETERS = {"confirmations": CONFIRMATIONS, "delta": 8, "delta_claim": 10}
CASES = {
    CHALLENGER: (liar_storm, "1/Challenge", "1/Choice_2", "1/Slash"),
    PROVER: (accuser_storm, "1/Choice_1", "1/Step", "1/TakeStake_after_Step"),
}
"""By the honest party: who plays, after which move the backup is made, the newest move, three later, and the end."""


@contextmanager
def started(folder: Path, honest: str, *, inputs: bool = True, **more: int) -> Iterator[Storm]:
    with stormy_stage(folder, **PARAMETERS, **more) as stage:
        if inputs:
            give_inputs(stage)
        storm = CASES[honest][0](stage)
        storm.start()
        try:
            yield storm
        finally:
            storm.stop()


def home_of(storm: Storm, party: str) -> Path:
    return storm.stage.actors[party].home_path


def save(storm: Storm, party: str, name: str = "backup") -> Path:
    target = storm.stage.folder / f"{party}.{name}"
    backup(home_of(storm, party), target, with_seed=True)
    return target


def lose_and_restore(storm: Storm, party: str, file: Path) -> None:
    """Lose a home with its daemon, and start one from the backup."""
    storm.stop(party)
    shutil.rmtree(home_of(storm, party))
    restore(file, home_of(storm, party))
    storm.start(party)


def kinds(storm: Storm, party: str) -> set[NoticeKind]:
    return {notice.kind for notice in storm.snapshots[party].notices}


def pass_silence(storm: Storm, party: str) -> None:
    """Let a restored daemon wait as long as it has to, and see that it signs nothing before."""
    storm.tick()
    begun = storm.daemons[party]
    signed, known = begun.place.store.signed(SETUP), journal(storm, party)
    for left in range(CONFIRMATIONS + 1, 0, -1):
        storm.tick()
        assert NoticeKind.RECOVERING in kinds(storm, party), left
        assert storm.snapshots[party].recovering
        assert recovery_pending(home_of(storm, party))
        assert begun.place.store.signed(SETUP) == signed
        assert journal(storm, party) == known
        storm.stage.chain.mine(1)
    storm.tick()
    assert not recovery_pending(home_of(storm, party))
    assert begun.place.store.signed(SETUP) == signed
    storm.tick()
    assert NoticeKind.RECOVERING not in kinds(storm, party)


def journal(storm: Storm, party: str) -> dict[str, bytes]:
    """Return what a party's journal holds, by key path."""
    return {str(entry.path): entry.message for entry in storm.daemons[party].place.journal.entries()}


def check_won(storm: Storm, party: str) -> None:
    end = CASES[party][3]
    assert storm.mine_until(SETUP, end, *LOST[party], most=60) == end
    storm.mine(CONFIRMATIONS)
    assert storm.slashed() == (party == CHALLENGER)
    assert storm.signed_twice(SETUP) == {}
    assert not storm.complaints(party), storm.complaints(party)


DAYS = 3 * 24 * 3600

LOST = {CHALLENGER: ("LatePayout", "Payout", "1/TakeStake_after_Reveal_2"), PROVER: ("1/Slash_after_Choice_2",)}


def waits(storm: Storm, name: str) -> bool:
    template = storm.stage.archives[SETUP].graph[name]
    return any(transaction.GetTxid() == template.txid for transaction in storm.stage.chain.mempool())


PLACES = [
    pytest.param(party, place, marks=() if (party, place) == (PROVER, "nowhere") else pytest.mark.soak)
    for party in CASES
    for place in ("blocks", "mempool", "nowhere")
]


@pytest.mark.parametrize(("party", "place"), PLACES)
def test_home_restored_from_a_backup_three_moves_old_goes_on_and_wins(tmp_path, party, place):
    _, old, newest, _ = CASES[party]
    with started(tmp_path, party) as storm:
        storm.mine_until(SETUP, old)
        storm.tick()
        file, before = save(storm, party), journal(storm, party)
        while not waits(storm, newest):
            storm.mine()
            storm.tick()
        if place == "blocks":
            storm.mine()
            assert newest in storm.stage.position(SETUP).confirmed
        storm.stop(*storm.daemons)
        if place == "nowhere":
            storm.forget_mempool()
        storm.start()
        lost = journal(storm, party)
        lose_and_restore(storm, party, file)
        assert journal(storm, party) == before != lost
        storm.tick(party)
        recalled = journal(storm, party)
        missing = set() if place != "nowhere" else lost.keys() - recalled.keys()
        assert recalled == {path: message for path, message in lost.items() if path not in missing}
        assert bool(missing) == (place == "nowhere")
        pass_silence(storm, party)
        check_won(storm, party)
        assert lost.items() <= journal(storm, party).items()


@pytest.mark.soak
def test_prover_restored_from_before_its_claim_needs_the_input_and_is_given_it(tmp_path):
    with started(tmp_path, PROVER, inputs=False) as storm:
        storm.mine_until(SETUP, FUND)
        file = save(storm, PROVER)
        give_inputs(storm.stage)
        storm.mine_until(SETUP, "1/Choice_1")
        lose_and_restore(storm, PROVER, file)
        storm.tick()
        assert storm.daemons[PROVER].place.store.queued(SETUP) == {}
        assert journal(storm, PROVER).keys()
        alarms = [each for each in storm.notices(PROVER) if "is not held" in each]
        assert alarms, storm.notices(PROVER)
        storm.stage.give_input(PROVER, SETUP, INPUT)
        storm.told.clear()
        pass_silence(storm, PROVER)
        check_won(storm, PROVER)


def test_claim_that_may_have_been_signed_since_the_backup_is_queued_knowingly(tmp_path, capsys):
    with started(tmp_path, PROVER, inputs=False, claims=2) as storm:
        config = storm.stage.actors[PROVER].config_path
        (tmp_path / "input").write_bytes(INPUT)

        def claim(*more: str) -> str:
            words = ["claim", SETUP, "--input", str(tmp_path / "input"), "--config", str(config), *more]
            return "" if prover_command(words) == 0 else capsys.readouterr().err

        storm.mine_until(SETUP, FUND)
        file = save(storm, PROVER)
        assert claim() == ""
        while not waits(storm, "Claim"):
            storm.mine()
            storm.tick()
        storm.stop(*storm.daemons)
        storm.forget_mempool()
        storm.start()
        storm.stop(CHALLENGER)  # only the lost home remembers the claim
        lost = journal(storm, PROVER)
        lose_and_restore(storm, PROVER, file)
        assert "Claim 1 may have been signed" in claim()
        pass_silence(storm, PROVER)
        assert "Claim 1 may have been signed" in claim()
        with DaemonStore.open(storm.stage.actors[PROVER].home().daemon_path) as store:
            assert store.queued(SETUP) == {}
        assert claim("--after-restore") == ""
        storm.mine_until(SETUP, "Claim")
        assert lost.items() <= journal(storm, PROVER).items()
        assert claim() == "", "claim 2 cannot have been signed before claim 1 was in the chain"


def test_a_stake_that_went_home_before_the_restore_is_no_theft(tmp_path):
    with started(tmp_path, PROVER) as storm:
        del storm.roles[CHALLENGER]
        storm.stop(CHALLENGER)
        storm.start(CHALLENGER)
        storm.mine_until(SETUP, "Claim")
        file = save(storm, CHALLENGER)
        storm.mine_until(SETUP, "Payout")
        stake = storm.stage.archives[SETUP].graph[FUND].outpoint(stake_output(1))
        while storm.stage.remote.coin(stake, include_mempool=False) is not None:
            storm.mine()
        lose_and_restore(storm, CHALLENGER, file)
        pass_silence(storm, CHALLENGER)
        storm.mine(2)
        assert not storm.daemons[CHALLENGER].place.store.signed(SETUP)
        assert NoticeKind.UNEXPECTED_SPEND not in kinds(storm, CHALLENGER)


def test_second_restore_waits_as_the_first_did(tmp_path):
    with started(tmp_path, CHALLENGER) as storm:
        storm.mine_until(SETUP, "Claim")
        lose_and_restore(storm, CHALLENGER, save(storm, CHALLENGER))
        pass_silence(storm, CHALLENGER)
        file = save(storm, CHALLENGER, "later")
        time.sleep(1)  # restores are told apart by the second
        lose_and_restore(storm, CHALLENGER, file)
        pass_silence(storm, CHALLENGER)


@pytest.mark.soak
def test_silence_does_not_begin_before_the_node_has_read_its_blocks(tmp_path):
    with started(tmp_path, CHALLENGER) as storm:
        storm.mine_until(SETUP, "Claim")
        file = save(storm, CHALLENGER)
        storm.stop(*storm.daemons)
        storm.stage.stop_node()
        storm.stage.start_node(f"-mocktime={int(time.time()) + DAYS}")  # for it, there must be newer blocks than these
        assert storm.stage.remote.info().initial_download
        storm.start()
        lose_and_restore(storm, CHALLENGER, file)
        for _ in range(3):
            storm.tick()
            assert any("has not read all blocks" in each for each in storm.notices(CHALLENGER))
        storm.stage.chain.mine(1)
        assert not storm.stage.remote.info().initial_download
        pass_silence(storm, CHALLENGER)


def test_two_daemons_on_one_seed_are_noticed(tmp_path):
    with started(tmp_path, PROVER) as storm:
        storm.mine_until(SETUP, "1/Choice_1")
        forged = storm.forged("1/Choice_1")
        assert forged is not None
        assert not storm.complaints(CHALLENGER)
        storm.reorganise(1, forged)  # the accuser's other daemon has answered, too, and was heard
        storm.tick()
        assert any("somebody else signs" in each for each in storm.complaints(CHALLENGER))
        assert NoticeKind.CANNOT_SIGN in kinds(storm, CHALLENGER)
        storm.stop(CHALLENGER)
        storm.start(CHALLENGER)
        storm.told.clear()
        storm.tick()
        assert any("somebody else signs" in each for each in storm.complaints(CHALLENGER))
        assert not storm.complaints(PROVER)
