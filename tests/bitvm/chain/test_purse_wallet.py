"""A purse on a real node: what is free, what is promised, and that no coin is promised twice."""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from bitcoin.core import CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from chain_bench import Bench
from sqlite_utils import Database

from bitvm import database
from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.blocks import COINBASE_MATURITY
from bitvm.chain.fees import sign_key_paths
from bitvm.chain.interface import Rejected
from bitvm.chain.keys import TaprootKey
from bitvm.chain.purse import PAYMENT, Purse
from bitvm.chain.purse_coins import FORGET_AFTER, WORTHLESS
from bitvm.chain.purse_form import FORM, ForeignPurseError, InsufficientFundsError, PurseError, PurseMissingError
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import NodeUnreachableError
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid, vsize

pytestmark = pytest.mark.bitcoind


@pytest.fixture
def chain(node: BitcoindNode) -> Iterator[BitcoindChain]:
    with BitcoindChain(node) as chain:
        yield chain
        chain.mine()


@pytest.fixture
def purse(tmp_path: Path) -> Iterator[Purse]:
    with Purse.create(tmp_path / "wallet", Bench.key()) as purse:
        yield purse


def amounts(purse: Purse) -> list[int]:
    return [coin.output.nValue for coin in purse.coins()]


def fill(chain: BitcoindChain, purse: Purse, *coins: int) -> None:
    for amount in coins:
        chain.faucet(purse.script_pubkey, amount)
    look(chain, purse, scan=True)


def look(chain: BitcoindChain, purse: Purse, *, scan: bool = False) -> None:
    purse.refresh(chain, chain.height(), scan=scan)


def spend(chain: BitcoindChain, purse: Purse, which: int = 0) -> CTransaction:
    coin = purse.coins()[which]
    return Bench(chain, Wallet(chain, purse.key)).spend(purse.key, (coin.outpoint, coin.output), fee=500)


# ---- coins


def test_coins_are_found_by_the_first_look_and_by_a_scan(chain: BitcoindChain, purse: Purse) -> None:
    assert (purse.coins(), purse.balance()) == ((), 0)
    chain.faucet(purse.script_pubkey, 10_000)
    look(chain, purse)
    assert amounts(purse) == [10_000]
    chain.faucet(purse.script_pubkey, 30_000)
    look(chain, purse)
    assert amounts(purse) == [10_000]
    look(chain, purse, scan=True)
    assert amounts(purse) == [30_000, 10_000]
    assert purse.balance() == 40_000


def test_spent_coins_go_and_own_change_comes(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000, 20_000)
    spending = spend(chain, purse)
    chain.submit([spending])
    purse.learn(spending)
    look(chain, purse)
    assert amounts(purse) == [10_000]
    chain.mine()
    look(chain, purse)
    assert amounts(purse) == [19_500, 10_000]


def test_reorganisation_brings_coins_back(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000)
    spending = spend(chain, purse)
    purse.learn(spending)
    chain.submit([spending])
    chain.mine()
    look(chain, purse)
    assert [coin.outpoint.hash for coin in purse.coins()] == [txid(spending)]
    chain.reorganise(1)
    look(chain, purse)
    assert amounts(purse) == []  # the spend waits again
    unspent = chain.coin(spending.vin[0].prevout, include_mempool=False)
    assert unspent is not None
    rival = Bench(chain, Wallet(chain, purse.key)).spend(
        purse.key, (spending.vin[0].prevout, unspent.output), fee=5_000
    )
    chain.submit([rival])
    purse.learn(rival)
    chain.mine()
    look(chain, purse)
    assert [coin.outpoint.hash for coin in purse.coins()] == [txid(rival)]


def test_coinbase_has_to_mature(chain: BitcoindChain, purse: Purse) -> None:
    chain.call("generatetoaddress", 1, purse.address("regtest"))
    look(chain, purse)
    assert purse.coins() == ()
    chain.mine(COINBASE_MATURITY - 2)
    look(chain, purse)
    assert purse.coins() == ()
    chain.mine()
    look(chain, purse)
    assert len(purse.coins()) == 1
    chain.submit([spend(chain, purse)])


def test_coins_that_are_gone_are_forgotten_in_time(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000, 20_000)
    chain.submit([spend(chain, purse)])
    chain.mine()
    look(chain, purse)
    assert purse._row("SELECT count(*) FROM coins") == (2,)
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    assert purse._row("SELECT count(*) FROM coins") == (1,)


def test_idle_refresh_writes_nothing(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000)
    before = purse._database.conn.total_changes
    look(chain, purse)
    assert purse._database.conn.total_changes == before


def test_dust_that_others_send_is_no_money(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000)
    thief = Bench.key()
    outpoint, output = chain.faucet(thief.script_pubkey, 100_000)
    dust = [CTxOut(amount, CScript(purse.script_pubkey)) for amount in (330, WORTHLESS - 1, WORTHLESS)]
    unsigned = CTransaction([CTxIn(outpoint)], [CTxOut(90_000, CScript(thief.script_pubkey)), *dust], nVersion=2)
    chain.submit([sign_key_paths(unsigned, [output], [thief])])
    chain.mine()
    look(chain, purse, scan=True)
    assert (amounts(purse), purse.balance()) == ([10_000, WORTHLESS], 10_000 + WORTHLESS)
    assert purse._row("SELECT count(*) FROM coins") == (2,), "nobody makes us ask about his dust for ever"


def test_addresses(purse: Purse) -> None:
    starts = {network: purse.address(network)[:5] for network in ("main", "test", "signet", "regtest")}
    assert starts == {"main": "bc1p" + starts["main"][4], "test": "tb1p" + starts["test"][4]} | {
        "signet": starts["test"],
        "regtest": "bcrt1",
    }


# ---- promises


def test_smallest_coin_that_is_large_enough(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000, 20_000, 30_000)
    coin = purse.reserve("a", 15_000)
    assert coin.output.nValue == 20_000
    assert purse.reserve("a", 15_000) == purse.reserve("a", 1) == coin
    assert purse.reserve("b", 15_000).output.nValue == 30_000
    assert amounts(purse) == [10_000]
    with pytest.raises(InsufficientFundsError, match=r"no single coin of 15000 sat; the largest free one has 10000"):
        purse.reserve("c", 15_000)
    assert [(held.purpose, held.coin.output.nValue, held.amount) for held in purse.reserved()] == [
        ("a", 20_000, 15_000),
        ("b", 30_000, 15_000),
    ]
    purse.release("a")
    assert purse.reserve("c", 15_000) == coin
    assert purse.purposes() == ("b", "c")
    assert purse.purposes("b") == ("b",)


def test_coin_that_is_too_small_stays_with_its_purpose(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000, 20_000)
    small, large = purse.reserve("a", 5_000), purse.reserve("a", 15_000)
    assert (small.output.nValue, large.output.nValue) == (10_000, 20_000)
    assert [held.coin for held in purse.reserved()] == [small, large]
    assert amounts(purse) == []


def test_several_coins_for_one_purpose(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000, 20_000, 30_000)
    assert [coin.output.nValue for coin in purse.reserve_many("one", 15_000)] == [20_000]
    many = purse.reserve_many("many", 35_000)
    assert [coin.output.nValue for coin in many] == [30_000, 10_000]
    assert purse.reserve_many("many", 35_000) == many
    with pytest.raises(InsufficientFundsError, match=r"5000 sat are needed, but the free coins hold 0"):
        purse.reserve_many("more", 5_000)


def test_promised_coin_that_is_gone_is_replaced(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 10_000, 20_000)
    spending = spend(chain, purse, 1)
    assert purse.reserve("a", 5_000).output.nValue == 10_000
    chain.submit([spending])
    look(chain, purse)
    assert purse.reserve("a", 5_000).output.nValue == 10_000  # only our own transaction can be what spends it
    chain.mine()
    look(chain, purse)
    assert purse.reserve("a", 5_000).output.nValue == 20_000


def test_everything_is_there_after_opening_again(tmp_path: Path, chain: BitcoindChain) -> None:
    key = Bench.key()
    with Purse.create(tmp_path / "wallet", key) as purse:
        fill(chain, purse, 10_000, 20_000)
        coin = purse.reserve("a", 5_000)
        made = spend(chain, purse)
        purse.record("a", made, 500)
    with Purse.open(tmp_path / "wallet", key) as purse:
        assert purse.reserve("a", 5_000) == coin
        recorded = purse.recorded("a")
        assert recorded is not None
        assert (recorded.transaction.serialize(), recorded.fee) == (made.serialize(), 500)
        assert purse.recorded("b") is None
        assert amounts(purse) == [20_000]
        purse.release("a")
        assert purse.recorded("a") is None


def take_all(path: Path, name: str, answers: "multiprocessing.Queue[list[bytes]]") -> None:
    """Reserve one coin after the other until there are none; what a second process does."""
    taken: list[bytes] = []
    with Purse.open(path, TaprootKey.from_seed(b"tests", "two processes")) as purse:
        while True:
            try:
                taken.append(purse.reserve(f"{name}{len(taken)}", 1).outpoint.serialize())
            except InsufficientFundsError:
                answers.put(taken)
                return


def test_processes_never_get_the_same_coin(tmp_path: Path, chain: BitcoindChain) -> None:
    path, count = tmp_path / "wallet", 40
    with Purse.create(path, TaprootKey.from_seed(b"tests", "two processes")) as purse:
        fill(chain, purse, 100_000)
        purse.split(chain, count, 1_000, 2)
        chain.mine()
        look(chain, purse)
        expected = len(purse.coins())
        assert expected >= count
    context = multiprocessing.get_context("spawn")
    answers: multiprocessing.Queue[list[bytes]] = context.Queue()
    processes = [context.Process(target=take_all, args=(path, name, answers)) for name in "abc"]
    for process in processes:
        process.start()
    taken = [outpoint for _ in processes for outpoint in answers.get(timeout=60)]
    for process in processes:
        process.join()
    answers.close()
    answers.join_thread()
    assert len(taken) == len(set(taken)) == expected


# ---- payments


def test_split_makes_confirmed_coins(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 30_000, 100_000)
    made = purse.split(chain, 6, 20_000, 3)
    assert purse.coins() == ()
    assert purse.purposes("payment ") == (f"payment {txid(made)[::-1].hex()}",)
    chain.mine()
    look(chain, purse)
    fee = 130_000 - purse.balance()
    assert 3 * vsize(made) <= fee <= 3 * vsize(made) + 3
    assert amounts(purse) == [20_000] * 6 + [10_000 - fee]
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    assert (purse.purposes(), purse.reserved()) == ((), ())


def test_money_can_be_taken_out(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 30_000)
    payee = Bench.key()
    made = purse.send(chain, payee.script_pubkey, 29_500, 2)
    assert len(made.vout) == 1  # the rest is worth no output
    chain.mine()
    assert [unspent.output.nValue for unspent in chain.coins_of(payee.script_pubkey).values()] == [29_500]
    with pytest.raises(InsufficientFundsError, match=r"5\d\d\d sat are needed, but the free coins hold 0"):
        purse.send(chain, payee.script_pubkey, 5_000, 2)


def test_refused_payment_promises_nothing(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 30_000)
    with pytest.raises(Rejected, match="min relay fee not met"):
        purse.split(chain, 2, 1_000, 0.01)
    assert amounts(purse) == [30_000]
    assert purse.purposes() == ()


def test_payment_that_was_not_sent_is_sent_by_the_next_refresh(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 30_000)
    with closing(RemoteNode("http://a:b@127.0.0.1:1")) as absent, pytest.raises(NodeUnreachableError):
        purse.split(absent, 2, 1_000, 2)
    assert purse.coins() == ()
    look(chain, purse)
    assert [len(tx.vout) for tx in chain.mempool()] == [3]
    chain.mine()
    look(chain, purse)
    assert len(purse.coins()) == 3


def test_process_that_dies_at_a_payment(chain: BitcoindChain, purse: Purse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the record nothing has happened; after it the same bytes are sent by whoever opens the purse next."""
    fill(chain, purse, 30_000)
    commit = database.commit
    for after in (False, True):

        def die(opened: Database, after: bool = after) -> None:
            if after:
                commit(opened)
            raise KeyboardInterrupt

        monkeypatch.setattr(database, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            purse.split(chain, 2, 1_000, 2)
        monkeypatch.setattr(database, "commit", commit)
        with Purse.open(purse.path, purse.key) as again:
            look(chain, again)
            assert len(chain.mempool()) == len(again.purposes()) == after


# ---- payments that are replaced


@pytest.fixture
def held_up(chain: BitcoindChain) -> Iterator[Callable[[CTransaction], None]]:
    """Have miners pass transactions over until the end of the test, as if the market had risen."""
    names: list[str] = []

    def hold(made: CTransaction) -> None:
        names.append(txid(made)[::-1].hex())
        chain.call("prioritisetransaction", names[-1], 0, -10_000_000)

    yield hold
    for name in names:
        chain.call("prioritisetransaction", name, 0, 10_000_000)


@pytest.mark.parametrize("older", [False, True])
def test_a_payment_that_is_replaced_counts_in_both_forms(
    chain: BitcoindChain, purse: Purse, older: bool, held_up: Callable[[CTransaction], None]
) -> None:
    """Whichever is mined, its coins are ours, and nothing waits any more."""
    fill(chain, purse, 100_000)
    made = purse.split(chain, 2, 20_000, 2)
    look(chain, purse)
    (payment,) = purse.payments()
    assert payment.fee < 10 * vsize(made) / 2
    dearer = purse.replace(chain, payment, 10)
    assert [txin.prevout for txin in dearer.vin] == [txin.prevout for txin in made.vin]
    assert dearer.vout[:2] == made.vout[:2]
    (again,) = purse.payments()
    assert 10 * vsize(dearer) <= again.fee == 100_000 - sum(output.nValue for output in dearer.vout)
    assert [txid(each) for each in chain.mempool()] == [txid(dearer)]
    if older:
        held_up(dearer)
        chain.call("generateblock", purse.address("regtest"), [made.serialize().hex()])
    else:
        chain.mine()
    look(chain, purse)
    kept = made if older else dearer
    assert {coin.outpoint.hash for coin in purse.coins()} == {txid(kept)}
    assert amounts(purse) == sorted((output.nValue for output in kept.vout), reverse=True)
    assert (purse.payments(), chain.mempool()) == ((), ())
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    assert purse.purposes() == ()


def test_a_payment_can_be_replaced_again_and_is_recognised_after_months(
    chain: BitcoindChain, purse: Purse, held_up: Callable[[CTransaction], None]
) -> None:
    """The first form of a payment is mined after two dearer ones were made and all were long forgotten as coins."""
    fill(chain, purse, 100_000)
    made = purse.split(chain, 2, 20_000, 2)
    for feerate in (10, 30):
        look(chain, purse)
        purse.replace(chain, purse.payments()[0], feerate)
    (last,) = chain.mempool()
    held_up(last)
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    chain.mine(FORGET_AFTER + 1)
    look(chain, purse)
    assert [payment.transaction for payment in purse.payments()] == [last]
    chain.call("generateblock", purse.address("regtest"), [made.serialize().hex()])
    look(chain, purse)
    assert {coin.outpoint.hash for coin in purse.coins()} == {txid(made)}


def test_since_when_a_payment_waits(
    chain: BitcoindChain, purse: Purse, held_up: Callable[[CTransaction], None]
) -> None:
    fill(chain, purse, 100_000)
    held_up(purse.split(chain, 2, 20_000, 2))
    chain.mine()
    look(chain, purse)
    begun = chain.height()
    chain.mine(3)
    look(chain, purse)
    (payment,) = purse.payments()
    assert payment.since == begun
    held_up(purse.replace(chain, payment, 10))
    chain.mine()
    look(chain, purse)
    assert purse.payments()[0].since == begun + 4


def test_what_others_get_never_shrinks(chain: BitcoindChain, purse: Purse) -> None:
    fill(chain, purse, 30_000)
    payee = Bench.key().script_pubkey
    purse.send(chain, payee, 20_000, 2)
    look(chain, purse)
    (payment,) = purse.payments()
    with pytest.raises(InsufficientFundsError, match="does not pay for a higher fee"):
        purse.replace(chain, payment, 100)
    with pytest.raises(PurseError, match="a replacement has to pay"):
        purse.replace(chain, payment, 2.5)
    assert purse.payments() == (payment,)
    dearer = purse.replace(chain, payment, 40)
    assert (dearer.vout[0].nValue, bytes(dearer.vout[0].scriptPubKey)) == (20_000, payee)
    assert dearer.vout[1].nValue < payment.transaction.vout[1].nValue


def test_a_cut_gives_up_its_last_coins_for_a_higher_fee(chain: BitcoindChain, purse: Purse) -> None:
    """It was made with hardly any change, and must not be stuck for that."""
    fill(chain, purse, 100_000)
    made = purse.split(chain, 4, 24_900, 1)
    look(chain, purse)
    dearer = purse.replace(chain, purse.payments()[0], 150)
    assert [output.nValue for output in dearer.vout[:-1]] == [24_900] * (len(dearer.vout) - 1)
    assert len(dearer.vout) < len(made.vout)
    assert 100_000 - sum(output.nValue for output in dearer.vout) == pytest.approx(150 * vsize(dearer), rel=0.01)


def test_process_that_dies_at_a_replacement(
    chain: BitcoindChain, purse: Purse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the record the old form stands; after it whoever opens the purse next sends the new one."""
    fill(chain, purse, 30_000)
    made = purse.split(chain, 2, 1_000, 2)
    look(chain, purse)
    commit = database.commit
    for after in (False, True):

        def die(opened: Database, after: bool = after) -> None:
            if after:
                commit(opened)
            raise KeyboardInterrupt

        monkeypatch.setattr(database, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            purse.replace(chain, purse.payments()[0], 10)
        monkeypatch.setattr(database, "commit", commit)
        assert chain.mempool() == (made,)
        with Purse.open(purse.path, purse.key) as again:
            look(chain, again)
            assert chain.mempool() == tuple(payment.transaction for payment in again.payments())
            assert (chain.mempool() == (made,)) != after
            assert len(again.purposes(PAYMENT)) == 1


# ---- files


def test_purse_of_another_key_is_refused(tmp_path: Path, purse: Purse) -> None:
    before = purse.path.read_bytes()
    with pytest.raises(ForeignPurseError, match="the wallet of another key"):
        Purse.open(purse.path, Bench.key())
    with pytest.raises(PurseError, match="never replaced"):
        Purse.create(purse.path, purse.key)
    with pytest.raises(PurseMissingError, match="no wallet"):
        Purse.open(tmp_path / "none", purse.key)
    assert purse.path.read_bytes() == before
    FORM.integrity(purse.path, purse._database)
