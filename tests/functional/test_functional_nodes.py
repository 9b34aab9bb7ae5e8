"""Nodes that stop, forget, prune, disagree or stand still in the middle of a dispute."""

from contextlib import ExitStack

import pytest
import yaml
from company import Company, give_inputs, liar, new_stage
from tiny import tiny_parameters, write_program

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.daemon.status import NoticeKind, Severity
from bitvm.graph.model import PROVER
from bitvm.script.weight import txid
from regtest.stage import Stage

pytestmark = pytest.mark.bitcoind

ENDS = ("1/Slash", "Payout", "LatePayout")
AWAY = 10
"""Blocks for which the node is away; fewer than a party has for a move."""
KEPT_BLOCKS = 288
"""What a pruned node keeps at least."""


def kinds(company, name):
    return {notice.kind for notice in company.snapshots[name].notices}


@pytest.fixture
def companies():
    """Return what takes a stage and returns its company, to be closed at the end."""
    with ExitStack() as stack:

        def company(stage, make=liar):
            made = make(stage)
            stack.callback(made.close)
            return made

        yield company


@pytest.fixture
def dispute(companies, tmp_path):
    """Return what starts a company whose prover lies, with these parameters and options of a stage."""

    def start(**options):
        company = companies(new_stage(tmp_path, **options))
        give_inputs(company.stage)
        company.start()
        return company

    return start


def waiting(company):
    """Return what the parties have in the mempool."""
    return {txid(transaction) for transaction in company.stage.chain.mempool()}


def test_a_node_that_forgets_its_mempool_at_every_move(dispute):
    """It is started again before every block, with another cookie; everything is sent again, the very same bytes."""
    company = dispute()
    stage, forgotten = company.stage, 0
    for _ in range(60):
        if any(name in stage.position("alpha").confirmed for name in ENDS):
            break
        company.tick()
        sent = waiting(company)
        if sent:
            cookie = stage.node.cookie.url()
            stage.stop_node()
            company.tick()
            assert all(kinds(company, name) == {NoticeKind.NODE_UNREACHABLE} for name in company.daemons)
            stage.start_node("-persistmempool=0")
            assert stage.node.cookie.url() != cookie
            assert not waiting(company)
            company.tick()
            assert waiting(company) == sent
            forgotten += 1
        stage.chain.mine()
    assert "1/Slash" in stage.position("alpha").confirmed
    assert forgotten >= 7  # Claim, Challenge, two choices, Reveal, Step, Slash
    company.mine(2)
    assert not any(company.notices(name) for name in company.daemons)
    assert not company.signed_twice("alpha")


@pytest.mark.soak
def test_a_node_that_is_away_while_blocks_come(dispute):
    """Who has time left for its move makes it when the node is back."""
    company = dispute(delta=AWAY + 4, delta_claim=AWAY + 6, delta_long=400)
    stage = company.stage
    company.mine_until("alpha", "1/Choice_1")
    stage.stop_node()
    company.tick()
    assert kinds(company, PROVER) == {NoticeKind.NODE_UNREACHABLE}
    assert all(snapshot.tip is None for snapshot in company.snapshots.values())
    stage.start_node()
    stage.chain.mine(AWAY)
    company.tick()
    assert not any(company.notices(name) for name in company.daemons)
    assert company.mine_until("alpha", *ENDS) == "1/Slash"
    names = stage.position("alpha").confirmed
    assert "1/Step" in names
    assert not company.signed_twice("alpha")


@pytest.mark.soak
def test_a_pruned_node_serves_a_whole_dispute(companies, tmp_path):
    """It deletes blocks all the time; a daemon that is started in the middle goes on where it was."""
    program = write_program(tmp_path)
    arguments = ("-prune=1", "-fastprune")
    stage = Stage(tmp_path / "stage", tiny_parameters(program), program, node_arguments=arguments)
    company = companies(stage)
    stage.fund()
    stage.chain.mine(2 * KEPT_BLOCKS)
    stage.set_up("alpha")
    give_inputs(stage)
    company.start()
    for _ in range(60):
        confirmed = stage.position("alpha").confirmed
        if any(name in confirmed for name in ENDS):
            break
        company.mine()
        stage.chain.call("pruneblockchain", stage.chain.height() - KEPT_BLOCKS)
        company.stop("challenger1")
        company.start("challenger1")
    assert "1/Slash" in stage.position("alpha").confirmed
    assert stage.remote.info().prune_height > KEPT_BLOCKS / 2
    assert not any(company.notices(name) for name in company.daemons)
    assert not company.signed_twice("alpha")

    company.stop("challenger1")
    for _ in range(4):
        stage.chain.mine(KEPT_BLOCKS // 2)
    deleted = stage.chain.call("pruneblockchain", stage.chain.height() - KEPT_BLOCKS)
    assert deleted > company.snapshots["challenger1"].tip
    company.start("challenger1")
    company.tick("challenger1")
    (notice,) = company.notices("challenger1")
    assert "the node has deleted block" in notice
    assert "follow a node that has it" in notice


@pytest.mark.soak
def test_a_second_node_that_disagrees_and_then_is_down(dispute, tmp_path):
    """Somebody is told; the dispute goes on with the first node."""
    with BitcoindNode(datadir=tmp_path / "second") as second:
        with BitcoindChain(second) as other:
            other.mine(130)
        cookie = second.cookie
        settings = {"second_node": {"cookie": str(cookie.path), "port": cookie.port}}
        company = dispute(settings=settings)
        company.mine_until("alpha", "1/Challenge")
        for name in company.daemons:
            notices = {notice.severity: notice for notice in company.snapshots[name].notices}
            assert notices[Severity.CRITICAL].kind is NoticeKind.NODES_DISAGREE
            assert "has another block" in notices[Severity.CRITICAL].text
            assert notices[Severity.WARNING].kind is NoticeKind.NODE_BEHIND  # the other one has more blocks
    company.mine_until("alpha", "1/Choice_2")
    for name in company.daemons:
        (notice,) = company.snapshots[name].notices
        assert (notice.kind, notice.severity) == (NoticeKind.NODES_DISAGREE, Severity.WARNING)
        assert "does not answer" in notice.text
    assert company.mine_until("alpha", *ENDS) == "1/Slash"


def test_a_node_that_stands_still_and_one_of_another_network(companies, tmp_path):
    """The first is a notice until a block comes; at the second nothing is read or sent."""
    stage = new_stage(tmp_path)
    company = companies(stage, Company)
    give_inputs(stage)
    changed = stage.actors["challenger1"].config_path
    content = yaml.safe_load(changed.read_text())
    changed.write_text(yaml.safe_dump({**content, "network": "signet"}))

    company.start()
    company.tick()
    (notice,) = company.notices("challenger1")
    assert notice.startswith("node_unreachable")
    assert "it is on regtest, the configuration says signet" in notice
    assert company.snapshots["challenger1"].tip is None
    assert not company.daemons["challenger1"].engagements

    assert not kinds(company, PROVER)
    company.wait(company.daemons[PROVER].place.config.node.stall_seconds + 1)
    company.tick(PROVER)
    assert kinds(company, PROVER) == {NoticeKind.NODE_STALLED}
    stage.chain.mine()
    company.tick(PROVER)
    assert not kinds(company, PROVER)
