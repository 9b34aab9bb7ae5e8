"""The daemons as processes: they get what they need from each other, and survive kill -9 at every commit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from company import LIE, new_stage
from tiny import INPUT, LIE_STEP

from bitvm.chain.sightings import Sightings
from bitvm.game.recall import double_signed, recall
from bitvm.graph.model import PROVER
from regtest.stage import POLL_SECONDS, Actor, Stage

CRASHING = Path(__file__).parent.parent / "helpers" / "crashing.py"
FOLLOWING = "sightings:,wallet:,daemon:DaemonStore.keep_f,daemon:DaemonStore.keep_v"
"""Commits that follow the chain, count fees and remember opinions: no signature hangs on them."""

LIAR = ["regtest", "hostile", "--lie", LIE, "--step", str(LIE_STEP)]


def signed_twice(stage: Stage, setup: str = "alpha") -> dict[str, object]:
    """Return the keys that signed two messages in what any party has ever seen."""
    graph = stage.archives[setup].graph
    seen = []
    for actor in stage.actors.values():
        path = actor.home().setup(setup).sightings_path
        if path.exists():
            with Sightings.open(path, graph.by_txid()) as sightings:
                seen += [tx for template in graph.templates.values() for tx in sightings.witnesses(template.txid)]
    return {path: said for party in stage.actors for path, said in double_signed(recall(graph, party, seen)).items()}


@pytest.mark.bitcoind
def test_parties_get_what_they_need_from_each_other_and_survive_a_kill(tmp_path):
    """Nobody is given anything by hand: attesters sign, the challenger that is none fetches the input."""
    with new_stage(tmp_path, challengers=2, attesters=1, quorum=1, delta_claim=12) as stage:
        stage.queue_claim("alpha", INPUT)
        stage.actors[PROVER].command = LIAR
        stage.start()
        stage.mine_until("alpha", ["1/Reveal_2", "2/Reveal_2"])
        for actor in stage.actors.values():
            assert actor.end(signal.SIGKILL) == -signal.SIGKILL
            actor.start()
        slash = stage.mine_until("alpha", ["1/Slash", "2/Slash"])
        loser = "2/Reclaim" if slash == "1/Slash" else "1/Reclaim"
        stage.mine_until("alpha", [loser])
        assert not signed_twice(stage)
        assert all(actor.end() == 0 for actor in stage.actors.values()), "a daemon that is asked to stop, stops"


class Mortal:
    """An actor whose process dies at its own commits and is started again, and what it died at."""

    def __init__(self, actor: Actor, mode: str, skip: str) -> None:
        self.actor, self.deaths = actor, 0
        self.log = actor.folder / "deaths.txt"
        usual = ["bitvm", "prover", "run"] if actor.role == "prover" else ["challenger", "run"]
        command = list(actor.command) or usual
        self.argv = [sys.executable, str(CRASHING), mode, str(self.log), *command, "--config", str(actor.config_path)]
        self.environment = {**os.environ, "CRASH_SKIP": skip, "PYTHONPATH": str(Path.cwd())}

    def keep_alive(self) -> bool:
        """Start the process if it is not running, and say so; anything but a kill is a failure."""
        process = self.actor.process
        if process is not None and process.poll() is None:
            return False
        if process is not None:
            assert process.returncode == -signal.SIGKILL, self.actor.log_tail()
            self.deaths += 1
        with self.actor.log_path.open("ab") as log:
            self.actor.process = subprocess.Popen(self.argv, stdout=log, stderr=log, env=self.environment)
        return True

    def died_at(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


def play_with_deaths(stage: Stage, mortals: list[Mortal], ends: list[str]) -> str:
    """Mine until one of ``ends``; a block is mined when every daemon has lived to act on the one before."""
    deadline = time.monotonic() + 1_500
    while time.monotonic() < deadline:
        confirmed = stage.position("alpha").confirmed
        found = next((name for name in ends if name in confirmed), None)
        if found is not None:
            return found
        tip = stage.chain.tip().hash[::-1].hex()
        acted: dict[str, set[int]] = {mortal.actor.name: set() for mortal in mortals}
        while not all(len(ticks) >= 2 for ticks in acted.values()):
            assert time.monotonic() < deadline, "\n".join(mortal.actor.log_tail() for mortal in mortals)
            for mortal in mortals:
                ticks = acted[mortal.actor.name]
                if mortal.keep_alive():
                    ticks.clear()
                status = mortal.actor.status()
                runs = 1 if mortal.actor.name == PROVER or "Claim" in confirmed else 0
                if status is not None and status["tip_hash"] == tip and status["acted"] == status["tip"]:
                    ticks |= {status["ticks"]} if len(status["runs"]) >= runs else set()
            time.sleep(POLL_SECONDS / 2)
        stage.chain.mine(1)
    raise AssertionError("the dispute has not ended")


def dying(stage: Stage, mode: str, skip: str) -> list[Mortal]:
    stage.actors[PROVER].command = LIAR
    stage.queue_claim("alpha", INPUT)
    stage.give_input("challenger1", "alpha", INPUT)
    return [Mortal(actor, mode, skip) for actor in stage.actors.values()]


@pytest.mark.soak
@pytest.mark.bitcoind
def test_both_daemons_are_killed_at_every_commit_that_matters(tmp_path):
    """Right after each record of a signature and each signed transaction: the lie is slashed all the same."""
    with new_stage(tmp_path, delta=8, delta_claim=12) as stage:
        mortals = dying(stage, "after", FOLLOWING)
        assert play_with_deaths(stage, mortals, ["1/Slash", "LatePayout", "Payout"]) == "1/Slash"
        assert not signed_twice(stage)
        prover, challenger = (set(mortal.died_at()) for mortal in mortals)
        assert {"after journal:Journal.record", "after daemon:DaemonStore.keep_signed"} <= prover & challenger


@pytest.mark.soak
@pytest.mark.bitcoind
@pytest.mark.parametrize("mode", ["after", "before"])
def test_both_daemons_are_killed_at_every_commit(tmp_path, mode):
    """Without exception: what the chain shows, every promise of a coin, every fee."""
    with new_stage(tmp_path, delta=10, delta_claim=14) as stage:
        mortals = dying(stage, mode, "")
        assert play_with_deaths(stage, mortals, ["1/Slash", "LatePayout", "Payout"]) == "1/Slash"
        assert not signed_twice(stage)
        for mortal in mortals:
            print(mortal.actor.name, mortal.deaths, "deaths:", sorted(set(mortal.died_at())))
            assert mortal.deaths > 20
