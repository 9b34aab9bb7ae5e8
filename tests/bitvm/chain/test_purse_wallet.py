"""A purse on a real node: what is free, what is promised, and that no coin is promised twice."""

import multiprocessing
from contextlib import closing
from pathlib import Path
from typing import cast

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from chain_bench import Bench
from purse_bench import amounts, fill, look
from sqlite_utils import Database

from bitvm import database
from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.blocks import COINBASE_MATURITY
from bitvm.chain.fees import sign_key_paths
from bitvm.chain.interface import Rejected
from bitvm.chain.keys import TaprootKey
from bitvm.chain.purse import Purse
from bitvm.chain.purse_coins import FORGET_AFTER, WORTHLESS
from bitvm.chain.purse_form import FORM, ForeignPurseError, InsufficientFundsError, PurseError, PurseMissingError
from bitvm.chain.remote import RemoteNode, Unspent
from bitvm.chain.rpc import NodeUnreachableError
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid, vsize

pytestmark = pytest.mark.bitcoind


@pytest.fixture
def chain(node_chain: BitcoindChain) -> BitcoindChain:
    return node_chain


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


class Resyncing:
    """A node that can be replaced by one that has read only a part of the chain."""

    def __init__(self, purse: Purse, made: int) -> None:
        self.height, self.made = made, made
        script = CScript(purse.script_pubkey)
        self.held = {COutPoint(bytes([n]) * 32, 0): CTxOut(10_000 * n, script) for n in range(1, 4)}

    def coin(self, outpoint: COutPoint, *, include_mempool: bool = True) -> Unspent | None:
        assert not include_mempool
        return self.coins_of(b"").get(outpoint)

    def coins_of(self, _: bytes) -> dict[COutPoint, Unspent]:
        depth = self.height - self.made + 1
        return {each: Unspent(output, depth, False) for each, output in self.held.items()} if depth > 0 else {}

    def mempool_spenders(self, _: object) -> dict[COutPoint, bytes]:
        return {}

    def look(self, purse: Purse, height: int, *, scan: bool = False) -> list[int]:
        self.height = height
        node = cast("RemoteNode", self)
        purse.refresh(node, height, purse.search(node) if scan or not purse.searched else None)
        return amounts(purse)


@pytest.mark.parametrize("scan", [False, True])
def test_a_node_that_reads_the_chain_anew_makes_the_purse_forget_nothing(purse: Purse, scan: bool) -> None:
    node = Resyncing(purse, 900_000)
    assert node.look(purse, 900_001) == [30_000, 20_000, 10_000]
    purse.reserve("a", 5_000)
    for height in (0, 100_000, 100_400, 800_000, 900_001 - FORGET_AFTER - 1):
        assert node.look(purse, height, scan=scan) == [30_000, 20_000]
        assert not purse.vanished
    node.look(purse, 900_001 - FORGET_AFTER)
    assert purse.vanished
    node.look(purse, 900_000 - 1)
    assert node.look(purse, 900_001) == [30_000, 20_000]
    assert [held.coin.output.nValue for held in purse.reserved()] == [10_000]


def test_coins_that_are_gone_without_a_spend_of_ours_are_noticed(purse: Purse) -> None:
    node = Resyncing(purse, 100)
    node.look(purse, 110)
    purse.reserve("a", 5_000)
    ours, other, _ = node.held
    del node.held[ours]
    node.look(purse, 111)
    assert not purse.vanished, "our own move may have spent it"
    del node.held[other]
    node.look(purse, 112)
    assert purse.vanished
    node.look(purse, 113)
    assert not purse.vanished, "it is noticed once"


@pytest.mark.parametrize("scan", [False, True])
def test_idle_refresh_writes_nothing(chain: BitcoindChain, purse: Purse, scan: bool) -> None:
    """Also the scan at a start: a daemon that ends at each of its commits gets on from start to start."""
    fill(chain, purse, 10_000)
    before = purse._database.conn.total_changes
    look(chain, purse, scan=scan)
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
