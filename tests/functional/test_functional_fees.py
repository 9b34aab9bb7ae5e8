"""What moves pay: in a rush, with a full mempool, against opponents who attach children, and with an empty wallet."""

from contextlib import ExitStack

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from company import give_inputs, liar, new_stage
from crowd import Crowd

from bitvm.chain.fees import TRUC_VERSION, sign_key_paths
from bitvm.chain.interface import Rejected
from bitvm.chain.payer import CHILD_VSIZE
from bitvm.chain.purse import PAYMENT
from bitvm.daemon.status import NoticeKind
from bitvm.game.position import Position
from bitvm.game.urgency import Rivals, budget
from bitvm.graph.model import ANCHOR, PROVER
from bitvm.script.weight import txid, vsize

pytestmark = pytest.mark.bitcoind

ENDS = ("1/Slash", "Payout", "LatePayout")
CALM = 1.0
"""The feerate of quiet times, in satoshi per virtual byte."""
RUSH = 50 * CALM
SMALL_BLOCK = 40_000
"""Weight units: room for the largest move, its child and little else."""


@pytest.fixture
def companies():
    """Return what makes a stage with one set-up and returns its company, to be closed at the end."""
    with ExitStack() as stack:

        def company(folder, make=liar, **options):
            stage = new_stage(folder, **options)
            made = make(stage)
            stack.callback(made.close)
            give_inputs(stage)
            return made

        yield company


def kinds(company, name):
    return {notice.kind for notice in company.snapshots[name].notices}


def before(position, template):
    """Return the position one block before the transaction was confirmed."""
    height = position.confirmed[template.name].height
    earlier = {name: seen for name, seen in position.confirmed.items() if seen.height < height}
    return Position(position.graph, height - 1, earlier)


def check_moves(company):
    """Check that every confirmed move came before its deadline, within its budget, and return what each paid."""
    position = company.stage.position("alpha")
    rivals, paid = Rivals(position.graph), {}
    for name, seen in position.confirmed.items():
        template = position.graph[name]
        if name == "Fund":
            continue
        then = before(position, template)
        deadline = rivals.deadline(then, template)
        assert deadline is None or seen.height < deadline, name
        paid[name] = company.daemons[template.mover].place.store.fees("alpha")[name]
        assert 0 < paid[name] <= budget(then, template, deadline)
    return paid


def feerates(company):
    """Return what each confirmed move paid for a virtual byte, its child included."""
    confirmed = company.stage.position("alpha").confirmed
    paid = check_moves(company)
    return {name: fee / (vsize(confirmed[name].transaction) + CHILD_VSIZE) for name, fee in paid.items()}


@pytest.mark.soak
def test_a_rush_while_deadlines_run(companies, tmp_path):
    """Blocks are full of payments at fifty times the price, from Challenge to the end."""
    arguments = (f"-blockmaxweight={SMALL_BLOCK}",)
    company = companies(tmp_path, delta=12, delta_claim=14, delta_long=300, node_arguments=arguments)
    stage = company.stage
    crowd = Crowd(stage, outputs=5)  # small ones, that leave no gap in a block for a move
    a_block = SMALL_BLOCK // 4 // crowd.size + 1
    while len(crowd.coins) < 75 * a_block:
        crowd.earn(4 * a_block, RUSH)
    company.start()
    company.mine_until("alpha", "Claim")
    crowd.pay(2 * a_block, RUSH)
    while crowd.coins and not any(name in stage.position("alpha").confirmed for name in ENDS):
        company.mine()
        crowd.pay(min(a_block, len(crowd.coins)), RUSH)
    assert "1/Slash" in stage.position("alpha").confirmed
    paid = feerates(company)
    print({name: round(rate, 1) for name, rate in paid.items()}, stage.chain.height())
    assert all(rate >= RUSH for name, rate in paid.items() if name != "Claim")
    assert not company.signed_twice("alpha")


@pytest.mark.soak
def test_a_mempool_that_throws_ours_out(companies, tmp_path):
    """Dearer payments fill a small mempool; what was thrown out is sent again, dearer."""
    company = companies(tmp_path, node_arguments=("-maxmempool=5",))
    stage = company.stage
    crowd = Crowd(stage, outputs=2_000)
    crowd.earn(80, RUSH)
    company.start()
    company.mine_until("alpha", "1/Challenge")
    company.mine()
    company.tick()
    (choice,) = [each for each in company.stage.chain.mempool() if each.nVersion == TRUC_VERSION and len(each.vin) == 1]
    name = stage.archives["alpha"].graph.by_txid()[txid(choice)].name
    crowd.fill(RUSH)
    assert stage.remote.mempool_entry(txid(choice)) is None
    floor = stage.remote.minimum_feerate()
    assert floor > 10 * CALM
    company.tick()
    assert stage.remote.mempool_entry(txid(choice)) is not None
    assert not any(company.notices(each) for each in company.daemons)
    company.mine()
    assert name in stage.position("alpha").confirmed
    assert feerates(company)[name] >= floor
    assert company.mine_until("alpha", *ENDS) == "1/Slash"


def test_opponents_attach_children_and_cannot_take_the_anchor(companies, tmp_path):
    """Who is compensated by a Slash cannot spend from it before it is confirmed, so nobody takes our child's place."""
    company = companies(tmp_path, challengers=2)
    stage = company.stage
    graph, hostile = stage.archives["alpha"].graph, stage.actors["challenger2"].home().wallet_key()
    company.start(PROVER, "challenger1")
    company.mine_until("alpha", "1/Step")
    slash = stage.remote.waiting_transaction(graph["1/Slash"].txid)
    parts = {"anchor": graph["1/Slash"].index(ANCHOR), "compensation": graph["1/Slash"].index("compensation_2")}
    coins = [(outpoint, coin.output) for outpoint, coin in stage.remote.coins_of(hostile.script_pubkey).items()]

    def child(part, fee, coin):
        spent = [slash.vout[parts[part]], coin[1]]
        left = CTxOut(sum(output.nValue for output in spent) - fee, CScript(hostile.script_pubkey))
        padding = CTxOut(0, CScript(b"\x6a\x4c\x50" + bytes(80)))
        inputs = [CTxIn(COutPoint(slash.GetTxid(), parts[part]), nSequence=0), CTxIn(coin[0], nSequence=0)]
        unsigned = CTransaction(inputs, [left, *[padding] * (part == "compensation")], nVersion=TRUC_VERSION)
        return sign_key_paths(unsigned, spent, [hostile, hostile])

    with pytest.raises(Rejected, match="Schnorr"):
        stage.remote.submit([slash, child("anchor", 5_000, coins[0])])
    ours = stage.chain.mempool()
    for fee in (300, 4_000, 8_000):  # nobody can spend from it without its anchor, whatever he pays
        with pytest.raises(Rejected, match="missing-ephemeral-spends"):
            stage.remote.submit([child("compensation", fee, coins[0])])
        with pytest.raises(Rejected, match="missing-ephemeral-spends"):
            stage.remote.submit([slash, child("compensation", fee, coins[0])])
    assert stage.chain.mempool() == ours
    company.mine()
    assert "1/Slash" in stage.position("alpha").confirmed
    company.mine(2)
    assert not any(company.notices(name) for name in company.daemons)


def test_a_wallet_that_runs_dry(companies, tmp_path):
    """Somebody takes all coins: the notices say what is missing, and it goes on when money is there."""
    company = companies(tmp_path)
    stage = company.stage
    company.start()
    company.mine_until("alpha", "1/Challenge")
    purse = company.daemons["challenger1"].place.purse
    coins = stage.remote.coins_of(purse.script_pubkey)
    spent = [coin.output for coin in coins.values()]
    away = CTxOut(sum(output.nValue for output in spent) - 10_000, CScript(b"\x51\x20" + bytes(32)))
    inputs = [CTxIn(outpoint, nSequence=0) for outpoint in coins]
    stage.chain.submit([sign_key_paths(CTransaction(inputs, [away], nVersion=2), spent, [purse.key] * len(coins))])
    company.mine(2)

    snapshot = company.snapshots["challenger1"]
    notices = {notice.kind: notice.text for notice in snapshot.notices}
    assert set(notices) == {NoticeKind.RESERVE_LOW, NoticeKind.MOVE_AT_RISK}
    fees = company.daemons["challenger1"].place.config.fees
    needed = max(snapshot.wallet.reserve, fees.coin_value)
    assert f"pay {needed} sat to {snapshot.wallet.address}" in notices[NoticeKind.RESERVE_LOW]
    assert "the wallet cannot pay a child: no single coin of" in notices[NoticeKind.MOVE_AT_RISK]

    cuts = purse.purposes(PAYMENT)
    stage.chain.faucet(purse.script_pubkey, max(needed, 4 * fees.coin_value))
    company.mine(2)
    assert not company.notices("challenger1")
    assert purse.purposes(PAYMENT) == cuts, "the only coin is not cut while the game needs it"
    assert company.mine_until("alpha", *ENDS) == "1/Slash"


@pytest.mark.parametrize(
    "feerate", [pytest.param(1, marks=pytest.mark.soak), pytest.param(10, marks=pytest.mark.soak), 50]
)
def test_what_a_dispute_pays(companies, tmp_path, feerate):
    """Every move pays what the network asks, and nothing above."""
    company = companies(tmp_path, fee_ceiling=60)
    company.stage.stop_node()
    company.stage.start_node(f"-minrelaytxfee={feerate / 100_000:.8f}")
    company.start()
    assert company.mine_until("alpha", *ENDS) == "1/Slash"
    paid, rates = check_moves(company), feerates(company)
    movers = {name: company.stage.archives["alpha"].graph[name].mover for name in paid}
    sides = {party: sum(fee for name, fee in paid.items() if movers[name] == party) for party in company.daemons}
    print(feerate, sides, paid)
    assert all(feerate <= rate < 1.01 * feerate for rate in rates.values())
