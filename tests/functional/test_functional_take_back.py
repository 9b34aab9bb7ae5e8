"""Coins for Fund are taken back: whoever does that is free once it is buried; with Fund in a block it is too late."""

from __future__ import annotations

import json

import pytest
from company import Company, give_inputs, new_stage
from storm import CHALLENGER, SETUP

from bitvm.graph.graph import FUND
from bitvm.graph.model import PROVER
from bitvm.prover.commands import main as prover_command
from challenger.cli import main as challenger_command

pytestmark = pytest.mark.bitcoind

COMMANDS = {PROVER: prover_command, CHALLENGER: challenger_command}


@pytest.fixture
def company(tmp_path):
    with new_stage(tmp_path) as stage:
        give_inputs(stage)
        company = Company(stage)
        company.start()
        yield company
        company.stop()


def take_back(company, party, capsys, *more):
    """Return what the command answers, or the last line of what it refuses with."""
    config = str(company.stage.actors[party].config_path)
    capsys.readouterr()
    code = COMMANDS[party](["wallet", "take-back", SETUP, "--json", "--config", config, *more])
    said = capsys.readouterr()
    return json.loads(said.out) if code == 0 else said.err.splitlines()[-1]


def is_over(company, party, capsys):
    """Whether it is over, as the daemon has told it, and as a command finds it in the home."""
    (status,) = company.snapshots[party].setups
    (found,) = told(company, party, capsys, "status")["setups"]
    assert status.over == found["over"]
    return status.over


def told(company, party, capsys, *command):
    capsys.readouterr()
    COMMANDS[party]([*command, "--json", "--config", str(company.stage.actors[party].config_path)])
    return json.loads(capsys.readouterr().out)


def bury(company, party, capsys):
    """Mine what waits; a set-up is not over before that is buried, and its reserve not free."""
    reserve = company.snapshots[party].wallet.reserve
    assert reserve > 0
    for _ in range(company.stage.parameters.confirmations + 1):
        assert not is_over(company, party, capsys)
        assert company.snapshots[party].wallet.reserve == told(company, party, capsys, "wallet")["reserve"] == reserve
        company.mine()
    assert is_over(company, party, capsys)
    assert company.snapshots[party].wallet.reserve == told(company, party, capsys, "wallet")["reserve"] == 0


def test_who_takes_its_coins_back_makes_fund_impossible(company, capsys):
    before = {party: company.holdings(party) for party in COMMANDS}
    sent = take_back(company, PROVER, capsys)
    company.tick()
    assert [each.GetTxid()[::-1].hex() for each in company.stage.chain.mempool()] == [sent["txid"]], "and no Fund"
    assert told(company, PROVER, capsys, "moves")["moves"] == []
    assert [move["transaction"] for move in told(company, CHALLENGER, capsys, "moves")["moves"]] == [FUND]
    bury(company, PROVER, capsys)
    assert not company.stage.position(SETUP).confirmed
    assert not company.notices(PROVER)
    assert company.holdings(PROVER) == before[PROVER] - sent["fee"] - cutting(company, PROVER)
    assert "no coin is promised to its Fund" in take_back(company, PROVER, capsys)

    assert not is_over(company, CHALLENGER, capsys)
    (notice,) = company.notices(CHALLENGER)
    assert notice.startswith("move_at_risk: Fund: ")
    sent = take_back(company, CHALLENGER, capsys)
    company.tick()
    bury(company, CHALLENGER, capsys)
    assert not company.notices(CHALLENGER)
    assert company.holdings(CHALLENGER) == before[CHALLENGER] - sent["fee"] - cutting(company, CHALLENGER)


def test_fund_that_is_confirmed_although_it_was_given_up_is_defended(company, capsys):
    """Somebody else who holds all signatures has put it in a block in place of what takes the coins back."""
    company.tick()
    company.daemons[CHALLENGER].place.store.give_up(SETUP)
    company.stage.chain.mine(1)
    company.tick()
    assert company.snapshots[CHALLENGER].setups[0].funded
    company.mine(company.stage.parameters.confirmations + 1)
    assert not is_over(company, CHALLENGER, capsys)
    assert company.snapshots[CHALLENGER].wallet.reserve > 0


def test_a_reorganisation_brings_the_coins_back_and_the_set_up(company, capsys):
    take_back(company, PROVER, capsys)
    company.mine()
    store = company.daemons[PROVER].place.store
    assert store.taken_back_at(SETUP) == company.stage.chain.height()
    company.stage.chain.reorganise(1)
    company.tick()
    assert store.taken_back_at(SETUP) is None
    bury(company, PROVER, capsys)


def cutting(company, party):
    """Return what cutting coins for games has cost, beside the payment that took coins back."""
    purse = company.daemons[party].place.purse
    made = [purse.recorded(each) for each in purse.purposes("payment ")]
    return sum(each.fee for each in made if len(each.transaction.vout) > 1)


def test_fund_that_waits_is_replaced_only_by_a_higher_fee(company, capsys):
    company.tick()
    (waiting,) = company.stage.chain.mempool()
    assert waiting.GetTxid() == company.stage.archives[SETUP].graph[FUND].txid
    assert "insufficient fee" in take_back(company, PROVER, capsys, "--feerate", "1")
    company.tick()
    assert [each.GetHash() for each in company.stage.chain.mempool()] == [waiting.GetHash()]
    assert not is_over(company, PROVER, capsys)
    sent = take_back(company, PROVER, capsys, "--feerate", "200")
    company.tick()
    assert [each.GetTxid()[::-1].hex() for each in company.stage.chain.mempool()] == [sent["txid"]]
    bury(company, PROVER, capsys)


def test_coins_of_a_fund_that_is_confirmed_cannot_be_taken_back(company, capsys):
    company.mine_until(SETUP, FUND)
    said = take_back(company, PROVER, capsys)
    assert "spent in a block" in said or "no coin is promised" in said
    assert company.mine_until(SETUP, "Payout") == "Payout"
