"""Two daemons that ask each other over real sockets: inputs, what was seen, and who gets no answer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from company import Company, new_stage
from tiny import INPUT, OTHER_INPUT

from bitvm.chain.sightings import Sightings
from bitvm.daemon.correspondence import ask_for_inputs, ask_peer, ask_what_was_seen, between, serve_parties
from bitvm.daemon.memory import Memory
from bitvm.graph.model import PROVER
from bitvm.keys.journal import Journal
from bitvm.keys.secrets import Secrets
from bitvm.setup.peers import InputRequest
from lvm.boot import input_root

pytestmark = pytest.mark.bitcoind


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with new_stage(tmp_path_factory.mktemp("correspondence")) as stage:
        stage.queue_claim("alpha", INPUT)
        yield stage


@pytest.fixture
def company(stage):
    company = Company(stage)
    company.start()
    company.tick()
    yield company
    company.stop()


@asynccontextmanager
async def running(company, *tasks):
    """Run tasks of daemons, with a snapshot on each board, for the length of a block."""
    async with trio.open_nursery() as nursery:
        for name, task in tasks:
            nursery.start_soon(task, company.daemons[name])
            company.daemons[name].board.publish(company.snapshots[name])
        yield nursery
        nursery.cancel_scope.cancel()


async def until(what):
    with trio.fail_after(60):
        while not (found := await what()):
            await trio.sleep(0.05)
        return found


async def test_an_input_that_is_held_is_given_and_another_one_is_not(company):
    daemon = company.daemons["challenger1"]
    engagement = daemon.engagements["alpha"]

    async def ask(data):
        request = InputRequest(between(engagement, PROVER), input_root(data))
        return await ask_peer(daemon, engagement, PROVER, request)

    async with running(company, (PROVER, serve_parties)):
        assert await until(lambda: ask(INPUT)) == INPUT
        assert await ask(OTHER_INPUT) is None


async def test_a_watchtower_fetches_the_input_of_a_claim_and_judges_it(company):
    company.mine_until("alpha", "Claim")
    challenger = company.daemons["challenger1"]
    assert list(challenger.engagements["alpha"].bench.missing) == [input_root(INPUT)]
    assert company.snapshots["challenger1"].setups[0].claims[0].verdict == "UNKNOWN"

    async def judged():
        company.tick("challenger1")
        challenger.board.publish(company.snapshots["challenger1"])
        return company.snapshots["challenger1"].setups[0].claims[0].verdict != "UNKNOWN"

    async with running(company, (PROVER, serve_parties), ("challenger1", ask_for_inputs)):
        await until(judged)
    assert company.snapshots["challenger1"].setups[0].claims[0].verdict == "VALID"


async def test_after_a_restore_an_opponent_tells_what_we_have_signed(company, tmp_path, monkeypatch):
    """With a journal that knows nothing of Claim, and nothing but the opponent's word to go by."""
    company.mine_until("alpha", "Claim")
    daemon = company.daemons[PROVER]
    engagement = daemon.engagements["alpha"]
    bench = engagement.bench
    with (
        Journal.create(tmp_path / "journal.sqlite", daemon.place.home.seed) as journal,
        Sightings.create(tmp_path / "sightings.sqlite", engagement.sightings.watched, 0) as nothing,
    ):
        secrets = Secrets(daemon.place.home.seed, journal, bench.archive.setup_id, PROVER)
        forgetful = Memory(replace(bench, secrets=secrets), nothing)
        monkeypatch.setattr(engagement, "_memory", forgetful)
        monkeypatch.setattr(daemon._recovery, "pending", True)
        async with running(company, ("challenger1", serve_parties), (PROVER, ask_what_was_seen)):

            async def recorded():
                daemon.board.publish(replace(company.snapshots[PROVER]))
                return [entry.path.field for entry in journal.entries() if entry.path.transaction == "Claim"]

            assert sorted(await until(recorded)) == ["final_root", "input_root", "trace_root"]


async def test_nobody_answers_a_stranger_or_about_another_set_up(company):
    give = company.daemons["challenger1"].engagements["alpha"]
    wrong = between(give, PROVER)
    request = InputRequest(type(wrong)(bytes(32), wrong.asker, wrong.asked), input_root(INPUT))
    async with running(company, (PROVER, serve_parties)):
        assert await ask_peer(company.daemons["challenger1"], give, PROVER, request) is None
