"""The wallet's keys against BIP86 and a second implementation; its coins against the chain."""

import pytest
from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript
from bitcoinutils.keys import PrivateKey
from bitcoinutils.setup import setup
from chain_bench import Bench

from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.faucet import FAUCET_KEY
from bitvm.chain.fees import FeeError, fee_child, key_path_vsize
from bitvm.chain.keys import CURVE_ORDER, SpendableCoin, TaprootKey, address, key_path_script
from bitvm.chain.wallet import InsufficientFundsError, Wallet
from bitvm.script.weight import txid, vsize


@pytest.fixture
def wallet(embedded: EmbeddedChain) -> Wallet:
    wallet = Wallet(embedded, Bench.key())
    for amount in (30_000, 50_000, 40_000):
        embedded.faucet(wallet.script_pubkey, amount)
    return wallet


def test_key_path_output_is_that_of_bip86() -> None:
    internal_key = bytes.fromhex("cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115")
    script = key_path_script(internal_key)
    assert script.hex() == "5120a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c"
    assert address(script, "bc") == "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"


@pytest.mark.parametrize("secret", [1, 2, 3, 7, CURVE_ORDER - 1, CURVE_ORDER // 3])
def test_keys_and_addresses_agree_with_bitcoinutils(secret: int) -> None:
    setup("regtest")
    key = TaprootKey(secret.to_bytes(32, "big"))
    other = PrivateKey(b=secret.to_bytes(32, "big")).get_public_key()
    assert address(key.script_pubkey) == other.get_taproot_address().to_string()
    assert key_path_script(key.internal_key) == key.script_pubkey


@pytest.mark.parametrize("secret", [bytes(32), CURVE_ORDER.to_bytes(32, "big"), b"\x01" * 31])
def test_invalid_secrets_are_refused(secret: bytes) -> None:
    with pytest.raises(ValueError, match="secret key"):
        TaprootKey(secret)


def test_addresses_are_for_taproot_outputs_alone() -> None:
    with pytest.raises(ValueError, match="P2TR"):
        address(b"\x00\x14" + bytes(20))


def test_coins_are_free_until_reserved(wallet: Wallet) -> None:
    assert [coin.output.nValue for coin in wallet.coins()] == [50_000, 40_000, 30_000]
    coin = wallet.reserve(35_000)
    assert coin.output.nValue == 40_000
    assert wallet.balance() == 80_000
    wallet.release(coin)
    assert wallet.balance() == 120_000
    with pytest.raises(InsufficientFundsError, match="largest free one has 50000"):
        wallet.reserve(50_001)


def test_payments_never_share_coins(embedded: EmbeddedChain, wallet: Wallet) -> None:
    payments = [wallet.pay(FAUCET_KEY.script_pubkey, 20_000, feerate=2) for _ in range(3)]
    spent = [txin.prevout for tx in payments for txin in tx.vin]
    assert len(set(spent)) == len(spent) == 3
    with pytest.raises(InsufficientFundsError):
        wallet.pay(FAUCET_KEY.script_pubkey, 20_000, feerate=2)
    for tx in payments:
        embedded.submit([tx])
    embedded.mine()
    assert wallet.balance() == 120_000 - 3 * 20_000 - 2 * 3 * vsize(payments[0])


def test_payment_joins_coins_and_drops_change_that_is_dust(embedded: EmbeddedChain, wallet: Wallet) -> None:
    amount = 90_000 - key_path_vsize(2, [CTxOut(0, CScript(wallet.script_pubkey))] * 2) - 100
    payment = wallet.pay(FAUCET_KEY.script_pubkey, amount, feerate=1)
    assert (len(payment.vin), len(payment.vout)) == (2, 1)
    embedded.submit([payment])


def test_size_of_key_path_spends_is_exact(wallet: Wallet) -> None:
    payment = wallet.pay(FAUCET_KEY.script_pubkey, 100_000, feerate=1)
    assert len(payment.vin) == 3
    assert vsize(payment) == key_path_vsize(len(payment.vin), payment.vout)


def test_coins_of_a_waiting_payment_are_not_offered(embedded: EmbeddedChain, wallet: Wallet) -> None:
    embedded.submit([wallet.pay(FAUCET_KEY.script_pubkey, 45_000, feerate=1)])
    fresh = Wallet(embedded, wallet.key)  # as after a restart: nothing is reserved
    assert fresh.balance() == 70_000


def test_coins_leave_with_a_reorganisation(embedded: EmbeddedChain, wallet: Wallet) -> None:
    embedded.submit([wallet.pay(FAUCET_KEY.script_pubkey, 45_000, feerate=1)])
    embedded.mine()
    before = wallet.balance()
    embedded.reorganise(1)
    assert wallet.balance() == 70_000
    embedded.mine()
    assert wallet.balance() == before


def test_fee_child_needs_a_coin_that_pays(embedded: EmbeddedChain, wallet: Wallet) -> None:
    parent = Bench(embedded, wallet).parent(Bench.key(), wallet.key)
    coin = SpendableCoin(COutPoint(b"\x01" * 32, 0), CTxOut(1_000, CScript(wallet.script_pubkey)), wallet.key)
    with pytest.raises(FeeError, match="cannot pay"):
        fee_child(parent, 1, wallet.key, coin, feerate=3)
    with pytest.raises(FeeError, match="none at index 2"):
        fee_child(parent, 2, wallet.key, coin, feerate=1)
    with pytest.raises(InsufficientFundsError):
        wallet.fee_child(parent, 1, feerate=1_000)


def test_anchor_may_have_its_own_key(embedded: EmbeddedChain, wallet: Wallet) -> None:
    mover = Bench.key()
    parent = Bench(embedded, wallet).parent(Bench.key(), mover)
    child = wallet.fee_child(parent, 1, feerate=3, anchor_key=mover)
    embedded.submit([parent, child])
    embedded.mine()
    assert embedded.confirmation(txid(child)) == embedded.height()
