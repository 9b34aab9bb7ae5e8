"""Several parties, honest, hostile and asleep, and what each of them has in the end, to the satoshi."""

from dataclasses import dataclass

import pytest
from company import Company, attest, give_inputs, liar, new_stage
from tiny import LIE_STEP, OTHER_INPUT

from bitvm.daemon.computations import execute
from bitvm.daemon.engagement import LEAVE
from bitvm.game.moves import Move
from bitvm.graph.model import PROVER
from bitvm.graph.parameters import DUST
from bitvm.script.weight import vsize
from regtest.hostile_roles import Accuser, lying

pytestmark = pytest.mark.bitcoind

DELTA_LONG = 133
"""The least that the parameters allow."""
LEFT = 2 * DUST - DUST
"""What a challenger that wins leaves behind: the dust set aside for the side paths of two levels, less its connector.
"""
ENOUGH = 4
"""Blocks after the last transaction until everything is buried and a stake is home."""


@dataclass
class Silent(Accuser):
    """Challenges without cause and is not heard of again."""

    def decide(self, position):
        made = super().decide(position)
        return {key: move for key, move in made.items() if isinstance(move, Move) and "Challenge" in move.template}


def accuser(step):
    return lambda bench: Accuser(bench, step)


def silent(bench):
    return Silent(bench, 0)


@pytest.fixture
def stages(tmp_path):
    opened = []

    def stage(**parameters):
        opened.append(new_stage(tmp_path, **parameters))
        return opened[-1]

    yield stage
    for each in opened:
        each.__exit__(None, None, None)


def opening(company):
    return {name: company.holdings(name) for name in company.stage.actors}


def earned(company, before):
    return {name: company.earned(name, "alpha", before[name]) for name in before}


def state(company, name, number, slot=1):
    games = company.snapshots[name].setups[0].games
    return next(game.state for game in games if (game.slot, game.challenger) == (slot, number))


def test_one_honest_challenger_of_three_slashes(stages):
    """The first sleeps, the second is honest, the third accuses where nothing is false."""
    stage = stages(challengers=3)
    give_inputs(stage)
    company = liar(stage)
    company.roles["challenger3"] = accuser(0)
    before = opening(company)
    company.start(PROVER, "challenger2", "challenger3")
    assert company.mine_until("alpha", "1/Slash", "2/Slash", "3/Slash", "Payout", "LatePayout") == "2/Slash"
    company.mine_until("alpha", "3/TakeStake_after_Step", most=60)
    company.start("challenger1")  # wakes up when all is over, and takes its stake home
    company.mine(ENOUGH)

    parameters = stage.parameters
    assert state(company, "challenger2", 2) == "won"
    assert state(company, PROVER, 3) == "lost"
    assert earned(company, before) == {
        "challenger1": parameters.compensation,
        "challenger2": parameters.reward - LEFT,
        "challenger3": parameters.compensation - parameters.stake,
        PROVER: parameters.stake - parameters.bond - LEFT - 3 * DUST,  # the connectors
    }
    assert not company.signed_twice("alpha")
    assert all(snapshot.setups[0].over for snapshot in company.snapshots.values())
    company.stop()


@pytest.mark.soak
def test_an_honest_prover_takes_the_stakes_of_false_accusers(stages):
    """One falls silent after Challenge, the other accuses to the end; LatePayout gives the bond back."""
    stage = stages(challengers=2, delta_long=DELTA_LONG)
    give_inputs(stage)
    company = Company(stage, roles={"challenger1": silent, "challenger2": accuser(LIE_STEP)})
    before = opening(company)
    company.start()
    company.mine_until("alpha", "1/TakeStake_after_Challenge")
    while state(company, PROVER, 2) == "running":
        company.mine()
    made = stage.position("alpha").height_of("Claim")
    stage.chain.mine(made + DELTA_LONG - stage.chain.height() - 2)
    company.mine_until("alpha", "LatePayout", "1/Slash", "2/Slash", most=6)
    company.mine(ENOUGH)

    parameters = stage.parameters
    assert [state(company, PROVER, number) for number in (1, 2)] == ["lost", "lost"]
    assert earned(company, before) == {
        "challenger1": -parameters.stake,
        "challenger2": -parameters.stake,
        PROVER: 2 * parameters.stake - 2 * parameters.answer_price,  # nothing is set aside before Reveal
    }
    assert not company.signed_twice("alpha", [PROVER])
    company.stop()


@pytest.mark.soak
def test_two_honest_challengers_share_one_lie(stages):
    """One slashes the bond, the other takes its stake back, and nobody waits for the other."""
    stage = stages(challengers=2)
    give_inputs(stage)
    company = liar(stage)
    before = opening(company)
    company.start()
    first = company.mine_until("alpha", "1/Slash", "2/Slash", "Payout", "LatePayout")
    winner, other = ("challenger1", 2) if first == "1/Slash" else ("challenger2", 1)
    company.mine_until("alpha", f"{other}/Reclaim", most=5)
    confirmed = stage.position("alpha").confirmed
    assert confirmed[f"{other}/Reclaim"].height > confirmed[first].height + stage.parameters.confirmations
    company.mine(ENOUGH)

    parameters = stage.parameters
    assert earned(company, before) == {
        winner: parameters.reward - LEFT,
        f"challenger{other}": parameters.compensation - LEFT,
        PROVER: -parameters.bond - 2 * DUST,
    }
    assert not company.signed_twice("alpha")
    company.stop()


def test_claims_in_sequence_that_nobody_disputes(stages):
    """Two true claims are paid out one after the other, and the stake goes home after the second."""
    stage = stages(claims=2)
    give_inputs(stage)
    stage.queue_claim("alpha", OTHER_INPUT, slot=2)
    stage.give_input("challenger1", "alpha", OTHER_INPUT, slot=2)
    company = Company(stage)
    before = opening(company)
    company.start()
    company.mine_until("alpha", "Payout#2")
    company.mine(ENOUGH)

    assert company.snapshots["challenger1"].setups[0].claims[1].final
    assert earned(company, before) == {"challenger1": 0, PROVER: -DUST}  # the last claim's `next`
    (home,) = company.daemons["challenger1"].place.store.signed("alpha")
    assert home.template == LEAVE
    assert stage.parameters.stake - home.transaction.vout[0].nValue <= 2 * vsize(home.transaction)
    assert not company.signed_twice("alpha")
    company.stop()


@pytest.mark.soak
def test_the_second_of_two_claims_is_false(stages):
    """The first is final and paid, the second is slashed."""
    stage = stages(claims=2)
    give_inputs(stage)
    stage.queue_claim("alpha", OTHER_INPUT, slot=2)
    stage.give_input("challenger1", "alpha", OTHER_INPUT, slot=2)

    def second_is_false(job, engine):
        run = execute if job.previous is None else lying("written", LIE_STEP)
        return run(job, engine)

    company = Company(stage, runs={PROVER: second_is_false})
    before = opening(company)
    company.start()
    assert company.mine_until("alpha", "1/Slash#2", "1/Slash", "Payout#2", "LatePayout#2") == "1/Slash#2"
    company.mine(ENOUGH)
    claims = company.snapshots["challenger1"].setups[0].claims
    assert [(claim.verdict, claim.final) for claim in claims] == [("VALID", True), ("INVALID", False)]
    parameters = stage.parameters
    assert earned(company, before) == {
        "challenger1": parameters.reward - LEFT,
        PROVER: -parameters.bond - 2 * DUST,
    }
    assert not company.signed_twice("alpha")
    company.stop()


@pytest.mark.soak
def test_a_false_claim_that_attesters_signed(stages):
    """Without a signature there is no claim; the first try stays without a quorum, the second has one."""
    stage = stages(challengers=2, attesters=2, quorum=2, tries=2)
    give_inputs(stage)
    company = liar(stage)
    before = opening(company)
    company.start()
    company.mine(4)
    assert list(stage.position("alpha").confirmed) == ["Fund"]
    attest(company, "alpha", "challenger1")
    company.mine(4)
    assert list(stage.position("alpha").confirmed) == ["Fund"]
    attest(company, "alpha", "challenger1", "challenger2")
    company.stop("challenger2")  # signs, and does not look what becomes of it
    assert company.mine_until("alpha", "1/Slash", "2/Slash", "Payout", "LatePayout") == "1/Slash"
    company.mine(ENOUGH)
    company.start("challenger2")
    company.mine(ENOUGH)
    parameters = stage.parameters
    assert earned(company, before) == {
        "challenger1": parameters.reward - LEFT,
        "challenger2": parameters.compensation,
        PROVER: -parameters.bond - 2 * DUST,
    }
    assert not company.signed_twice("alpha")
    company.stop()
