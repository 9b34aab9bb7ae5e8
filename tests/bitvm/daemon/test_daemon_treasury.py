"""The fee coins of a home on a real node: dust, worn coins, cuts that miners pass over, and what is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from bitcoin.core import CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.fees import INCREMENTAL_FEERATE, sign_key_paths
from bitvm.chain.interface import ChainError
from bitvm.chain.keys import TaprootKey
from bitvm.chain.purse import Purse
from bitvm.chain.scan import ScanBusyError
from bitvm.daemon import treasury as module
from bitvm.daemon.status import ClaimStatus, SetupStatus
from bitvm.daemon.treasury import HURRIED, LATE, SEARCH_WHILE_LOW, UNHURRIED, Treasury
from bitvm.script.weight import txid, vsize

pytestmark = pytest.mark.bitcoind

VALUE = 300_000
GAMES = 16
HIGHEST = 500


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with BitcoindNode(datadir=tmp_path_factory.mktemp("node")) as node, BitcoindChain(node) as chain:
        yield chain


class House:
    """A prover's home with a wallet, and one set-up that is not over."""

    def __init__(self, chain, folder, monkeypatch):
        self.chain, self.path = chain, folder / "wallet"
        self.key = TaprootKey.from_seed(b"treasury", str(folder))
        self.purse = Purse.create(self.path, self.key)
        self.market, self.running, self.needed = 2.0, 0, 1_000_000
        self.role, self.network, self.claims = "prover", "regtest", ()
        self.held_up = []
        monkeypatch.setattr(chain, "market_feerate", lambda _: self.market)
        monkeypatch.setattr(module, "defence", lambda *_, **__: SimpleNamespace(fees=self.needed))
        self.open()

    def open(self):
        fees = SimpleNamespace(coins_per_game=2, coin_value=VALUE, max_feerate=HIGHEST)
        config, home = SimpleNamespace(network=self.network, fees=fees), SimpleNamespace(role=self.role)
        self.treasury = Treasury(SimpleNamespace(purse=self.purse, node=self.chain, config=config, home=home))

    def fill(self, *coins):
        for value in coins:
            self.chain.faucet(self.key.script_pubkey, value)

    def update(self):
        games = [SimpleNamespace(state="running")] * self.running + [SimpleNamespace(state="open")]
        alpha = SetupStatus("alpha", "", self.role, self.chain.height(), True, False, self.claims, games)
        parameters = SimpleNamespace(challengers=GAMES)
        graphs = {"alpha": SimpleNamespace(setting=SimpleNamespace(parameters=parameters))}
        return [notice.text for notice in self.treasury.update(self.chain.height(), {"alpha": alpha}, graphs)]

    def mine(self, blocks=1):
        for _ in range(blocks):
            self.chain.mine()
            self.update()

    def hold_up(self):
        """Have miners pass over what waits now."""
        for transaction in self.chain.mempool():
            self.held_up.append(txid(transaction)[::-1].hex())
            self.chain.call("prioritisetransaction", self.held_up[-1], 0, -10_000_000)

    def values(self):
        return [coin.output.nValue for coin in self.purse.coins()]

    def feerate(self):
        (payment,) = self.purse.payments()
        return payment.fee / vsize(payment.transaction)

    def close(self):
        self.purse.close()
        for name in self.held_up:
            self.chain.call("prioritisetransaction", name, 0, 10_000_000)
        self.chain.mine()


@pytest.fixture
def house(chain, tmp_path, monkeypatch):
    house = House(chain, tmp_path, monkeypatch)
    yield house
    house.close()


def test_dust_does_not_keep_coins_from_being_cut(house):
    """As many outputs as games need coins, sent by somebody who wants the next games to be without."""
    thief = TaprootKey(b"\x02" * 32)
    house.fill(15_000_000)
    outpoint, output = house.chain.faucet(thief.script_pubkey, 200_000)
    dust = [CTxOut(value, CScript(house.key.script_pubkey)) for value in (330, 5_000) for _ in range(32)]
    house.chain.submit([sign_key_paths(CTransaction([CTxIn(outpoint)], dust, nVersion=2), [output], [thief])])
    house.mine(2)
    assert sum(value >= VALUE for value in house.values()) == 2 * GAMES
    assert not [value for value in house.values() if value < VALUE], "what is worth it was melted down with it"


def test_worn_coins_are_melted_when_there_is_new_money(house):
    house.fill(*[100_000] * 4)
    house.mine(2)
    assert house.values()[0] == VALUE
    house.fill(15_000_000)
    house.mine(2)
    assert len(house.values()) == 2 * GAMES
    assert min(house.values()) >= VALUE


@pytest.mark.parametrize("restarted", [False, True])
def test_a_cut_that_waits_while_the_market_rises_is_replaced(house, restarted):
    house.fill(15_000_000)
    house.update()
    house.hold_up()
    house.mine(LATE)
    assert house.feerate() < 2.1, "the market asks no more yet"
    if restarted:
        house.purse.close()
        house.purse = Purse.open(house.path, house.key)
        house.open()
    house.market = 40.0
    house.mine()
    assert 40 <= house.feerate() < 40.1
    house.mine()
    assert len(house.values()) == 2 * GAMES
    assert house.purse.payments() == ()


def test_a_cut_that_nobody_takes_is_made_dearer_whatever_the_market_says(house):
    house.fill(15_000_000)
    house.update()
    house.hold_up()
    house.mine(UNHURRIED + 1)
    assert house.feerate() == pytest.approx(2 + INCREMENTAL_FEERATE, rel=0.01)
    house.mine()
    assert len(house.values()) == 2 * GAMES


def test_a_payment_is_never_dearer_than_is_allowed(house):
    house.fill(15_000_000)
    house.update()
    house.hold_up()
    house.market = 10.0 * HIGHEST
    house.mine(LATE + 1)
    assert house.feerate() == pytest.approx(HIGHEST, rel=0.001)
    house.hold_up()
    house.mine(LATE + UNHURRIED)
    assert house.feerate() == pytest.approx(HIGHEST, rel=0.001)


def test_a_game_that_runs_keeps_its_coins_and_does_not_wait_for_long(house):
    house.fill(15_000_000, VALUE, VALUE)
    house.running = 1
    house.update()
    assert house.values() == [VALUE, VALUE]
    assert len(house.purse.payments()) == 1
    house.hold_up()
    house.market = 30.0
    house.mine(HURRIED + 1)
    assert 30 <= house.feerate() < 30.1
    house.mine()
    assert len(house.values()) == 2 * GAMES


def test_one_coin_is_left_to_the_game_that_runs(house):
    house.fill(15_000_000)
    house.running = 1
    house.update()
    assert house.values() == [15_000_000]
    house.running = 2
    house.mine()
    assert house.values() == [], "one of the games would have to wait for the other"
    house.mine()
    assert len(house.values()) == 2 * GAMES


@pytest.mark.parametrize(
    ("verdict", "left", "spender", "spared"),
    [
        ("INVALID", 5, None, True),
        ("INVALID", 0, None, False),
        ("INVALID", 5, "Payout", False),
        ("VALID", 5, None, False),
    ],
)
def test_the_coin_for_a_challenge_that_is_due_is_not_cut(house, verdict, left, spender, spared):
    house.fill(15_000_000)
    until = house.chain.height() + left
    house.claims = (ClaimStatus("alpha", 1, made=1, verdict=verdict, spender=spender, until=until),)
    house.role = "challenger"
    house.open()
    house.update()
    assert house.values() == ([15_000_000] if spared else [])


@pytest.mark.parametrize("gone", [False, True])
def test_all_coins_are_looked_for_once_more_when_some_are_gone(house, monkeypatch, gone):
    """Also on a network where a search takes minutes and is made seldom."""
    house.running, house.network, house.needed = 1, "main", 0
    monkeypatch.setattr(module.Treasury, "_cut", lambda *_: None)
    house.fill(VALUE)
    house.open()
    house.update()
    house.fill(2 * VALUE)
    house.mine()
    assert house.values() == [VALUE], "it is not looked for at every block"
    if gone:
        (coin,) = house.purse.coins()
        elsewhere = [CTxOut(VALUE - 1_000, CScript(TaprootKey(b"\x03" * 32).script_pubkey))]
        spend = sign_key_paths(CTransaction([CTxIn(coin.outpoint)], elsewhere, nVersion=2), [coin.output], [house.key])
        house.chain.submit([spend])
    house.mine(3)
    assert house.values() == ([2 * VALUE] if gone else [VALUE])


@pytest.mark.parametrize("low", [False, True])
def test_money_that_comes_is_found_sooner_while_there_is_too_little(house, monkeypatch, low):
    house.network, house.needed = "main", VALUE + 1 if low else 0
    monkeypatch.setattr(module.Treasury, "_cut", lambda *_: None)
    house.fill(VALUE)
    house.open()
    assert bool(house.update()) is low
    house.fill(2 * VALUE)
    house.mine(SEARCH_WHILE_LOW - 2)
    assert house.values() == [VALUE]
    house.mine(2)
    assert house.values() == ([2 * VALUE, VALUE] if low else [VALUE])


def test_no_tick_waits_for_a_search_that_takes_long(house, monkeypatch):
    """And as long as nothing is known of the wallet, nobody is asked to pay."""
    go_on, search = threading.Event(), house.chain.coins_of
    monkeypatch.setattr(module, "SEARCH_PATIENCE", 0.0)
    monkeypatch.setattr(house.chain, "coins_of", lambda script: (go_on.wait(60), search(script))[1])
    house.network = "main"
    house.fill(VALUE)
    house.open()
    for _ in range(3):
        assert (house.update(), house.values()) == ([], [])
        house.chain.mine()
    go_on.set()
    while not house.values():
        house.update()
    assert house.values() == [VALUE]
    assert len(house.update()) == 1, "it is too little, now that it is known"


def test_a_search_of_a_new_wallet_that_fails_is_told(house, monkeypatch):
    def refuse(_):
        raise ScanBusyError("the node scans for somebody else")

    with monkeypatch.context() as patch:
        patch.setattr(house.chain, "coins_of", refuse)
        (text,) = house.update()
        assert "not known" in text
        assert "the node scans for somebody else" in text
    house.mine()
    (text,) = house.update()
    assert "0 sat for fees" in text


def test_a_loss_while_a_search_goes_on_brings_another_one(house, monkeypatch):
    house.network, house.needed = "main", 0
    monkeypatch.setattr(module.Treasury, "_cut", lambda *_: None)
    house.fill(VALUE)
    house.update()
    house.open()
    house.fill(2 * VALUE)
    (coin,), go_on, found = house.purse.coins(), threading.Event(), house.chain.coins_of(house.key.script_pubkey)
    with monkeypatch.context() as patch:
        patch.setattr(module, "SEARCH_PATIENCE", 0.0)
        patch.setattr(house.chain, "coins_of", lambda _: (go_on.wait(60), {coin.outpoint: found[coin.outpoint]})[1])
        house.update()
        elsewhere = [CTxOut(VALUE - 1_000, CScript(b"\x51\x20" + bytes(32)))]
        spend = CTransaction([CTxIn(coin.outpoint)], elsewhere, nVersion=2)
        house.chain.submit([sign_key_paths(spend, [coin.output], [house.key])])
        house.chain.mine(2)
        house.update()
        house.mine()
        go_on.set()
        while house.treasury._search.begun:
            house.update()
    house.mine()
    assert house.values() == [2 * VALUE]


def test_what_a_search_found_is_not_lost_when_the_node_fails_then(house, monkeypatch):
    house.network = "main"
    house.fill(VALUE)

    def fail(*_, **__):
        raise ChainError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(house.chain, "coin", fail)
        assert house.update() == []
    monkeypatch.setattr(house.chain, "coins_of", fail)
    house.update()
    assert house.values() == [VALUE]


def test_coins_that_are_spent_while_a_search_goes_on_are_not_found(house, monkeypatch):
    house.fill(VALUE, 2 * VALUE)
    (coin, _), search = house.chain.coins_of(house.key.script_pubkey).items(), house.chain.coins_of
    elsewhere = [CTxOut(VALUE - 1_000, CScript(TaprootKey(b"\x03" * 32).script_pubkey))]
    output = coin[1].output
    spend = sign_key_paths(CTransaction([CTxIn(coin[0])], elsewhere, nVersion=2), [output], [house.key])

    def meanwhile(script):
        found = search(script)
        house.chain.submit([spend])
        house.chain.mine()
        return found

    monkeypatch.setattr(house.chain, "coins_of", meanwhile)
    monkeypatch.setattr(module.Treasury, "_cut", lambda *_: None)
    house.update()
    assert house.values() == [3 * VALUE - output.nValue]


def test_a_search_that_fails_is_made_again_and_known_coins_are_followed(house, monkeypatch):
    monkeypatch.setattr(module.Treasury, "_cut", lambda *_: None)
    house.fill(VALUE)
    house.update()
    house.open()
    house.fill(2 * VALUE)

    def refuse(_):
        raise ScanBusyError("the node scans its coins for somebody else")

    with monkeypatch.context() as patch:
        patch.setattr(house.chain, "coins_of", refuse)
        house.network = "main"
        house.open()
        house.update()
        (coin,) = house.purse.coins()
        elsewhere = [CTxOut(VALUE - 1_000, CScript(b"\x51\x20" + bytes(32)))]
        spend = CTransaction([CTxIn(coin.outpoint)], elsewhere, nVersion=2)
        house.chain.submit([sign_key_paths(spend, [coin.output], [house.key])])
        house.mine()
        assert house.values() == []
    house.mine()
    assert house.values() == [2 * VALUE]


def test_a_node_that_catches_up_is_not_asked_for_all_coins(house, monkeypatch):
    """It has not got them yet, and what it lacks would be missing until the next scan."""
    house.network = "main"
    house.fill(VALUE)
    house.open()
    behind = replace(house.chain.info(), initial_download=True, headers=house.chain.height() + 100)
    with monkeypatch.context() as patch:
        patch.setattr(house.chain, "info", lambda: behind)
        house.update()
        assert house.values() == []
    house.mine()
    assert house.values() == [VALUE]


def test_coins_that_are_on_their_way_are_not_cut_twice_and_are_no_loss(house):
    house.fill(15_000_000, 5_000_000)
    assert house.update() == []
    assert house.values() == [5_000_000]
    house.hold_up()
    house.needed = 19_000_000
    house.mine()
    assert len(house.purse.payments()) == 1
    assert house.update() == []


def test_what_is_asked_for_is_a_fee_coin_at_least(house):
    house.fill(VALUE)
    house.needed = VALUE + 10
    (text,) = house.update()
    assert text.startswith(f"the wallet: {VALUE} sat for fees, {VALUE + 10} sat needed")
    assert f"; pay {VALUE} sat to bcrt1" in text
    house.needed = 3 * VALUE
    house.open()
    assert f"; pay {2 * VALUE} sat to bcrt1" in house.update()[0]
