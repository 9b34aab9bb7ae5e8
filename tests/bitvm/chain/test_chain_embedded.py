"""The embedded chain: Core's consensus has the last word, whatever the checks of `submit` let through."""

import pytest
from bitcoin.core import CMutableTransaction, COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from chain_bench import Bench

from bitvm.chain.blocks import COINBASE_MATURITY, subsidy
from bitvm.chain.embedded import BLOCK_INTERVAL, BlockRefusedError, EmbeddedChain
from bitvm.chain.faucet import FAUCET_KEY
from bitvm.chain.fees import sign_key_paths
from bitvm.chain.interface import ChainError, Rejected
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid

SECONDS = 1 << 22


@pytest.fixture
def bench(embedded: EmbeddedChain) -> Bench:
    return Bench(embedded, Wallet(embedded, Bench.key()))


def forged(tx: CTransaction) -> CTransaction:
    """Return `tx` with a signature of the right length that signs nothing."""
    copy = CMutableTransaction.from_tx(tx)
    copy.wit = CTxWitness([CTxInWitness(CScriptWitness([b"\x01" * 64]))])
    return CTransaction.from_tx(copy)


def test_block_with_an_invalid_script_is_refused(embedded: EmbeddedChain, bench: Bench) -> None:
    key = bench.key()
    tx = bench.spend(key, embedded.faucet(key.script_pubkey, 10_000), fee=500)
    height = embedded.height()
    with pytest.raises(BlockRefusedError, match="Invalid Schnorr signature"):
        embedded.mine_block([forged(tx)])
    assert embedded.height() == height
    embedded.mine_block([tx])
    assert embedded.confirmation(txid(tx)) == height + 1


def test_block_with_a_greedy_coinbase_is_refused(embedded: EmbeddedChain) -> None:
    with pytest.raises(BlockRefusedError, match="bad-cb-amount"):
        embedded.mine_block([], fees=1)


def test_block_with_a_double_spend_is_refused(embedded: EmbeddedChain, bench: Bench) -> None:
    key = bench.key()
    coin = embedded.faucet(key.script_pubkey, 10_000)
    with pytest.raises(BlockRefusedError, match="missingorspent"):
        embedded.mine_block([bench.spend(key, coin, fee=500), bench.spend(key, coin, fee=600)])


def test_block_with_a_premature_lock_is_refused(embedded: EmbeddedChain, bench: Bench) -> None:
    tx = bench.leaf_spend(bytes([0x53, 0xB2]), [], sequence=3)
    with pytest.raises(BlockRefusedError, match=r"nonfinal|non-BIP68-final"):
        embedded.mine_block([tx])


@pytest.mark.parametrize("lock", [1, 2, 5])
def test_relative_height_locks_are_those_of_consensus(embedded: EmbeddedChain, bench: Bench, lock: int) -> None:
    tx = bench.leaf_spend(b"\x51", [], sequence=lock)
    for _ in range(lock - 1):
        with pytest.raises(Rejected, match="non-BIP68-final"):
            embedded.submit([tx])
        with pytest.raises(BlockRefusedError):
            embedded.mine_block([tx])
        embedded.mine()
    embedded.submit([tx])
    embedded.mine()
    assert embedded.confirmation(txid(tx)) == embedded.height()


@pytest.mark.parametrize("units", [1, 3, 4])
def test_relative_time_locks_are_those_of_consensus(embedded: EmbeddedChain, bench: Bench, units: int) -> None:
    tx = bench.leaf_spend(b"\x51", [], sequence=SECONDS | units)
    funded = embedded.height()
    while True:
        try:
            embedded.submit([tx])
            break
        except Rejected as refused:
            assert refused.reason == "non-BIP68-final"  # noqa: PT017 - the loop ends by not raising
            with pytest.raises(BlockRefusedError):
                embedded.mine_block([tx])
            embedded.mine()
    embedded.mine()
    assert embedded.confirmation(txid(tx)) == embedded.height()
    waited = embedded.height() - funded
    assert waited * BLOCK_INTERVAL >= units * 512 > (waited - 2) * BLOCK_INTERVAL


def test_immature_coinbase_is_refused(embedded: EmbeddedChain, bench: Bench) -> None:
    embedded.mine(COINBASE_MATURITY - 1)
    first = embedded.block_transactions(1)[0]
    assert first.vout[0].nValue == subsidy(1)
    tx = bench.spend(FAUCET_KEY, (COutPoint(txid(first), 0), first.vout[0]), fee=500)
    with pytest.raises(Rejected, match="bad-txns-premature-spend-of-coinbase"):
        embedded.submit([tx])
    with pytest.raises(BlockRefusedError, match="bad-txns-premature-spend-of-coinbase"):
        embedded.mine_block([tx])
    embedded.mine()
    embedded.submit([tx])
    embedded.mine()


def test_package_is_accepted_as_a_whole_or_not_at_all(embedded: EmbeddedChain, bench: Bench) -> None:
    key = bench.key()
    first = bench.spend(key, embedded.faucet(key.script_pubkey, 10_000), fee=500)
    second = bench.spend(key, (COutPoint(txid(first), 0), first.vout[0]), fee=500)
    with pytest.raises(Rejected) as refused:
        embedded.submit([first, forged(second)])
    assert refused.value.txid == txid(second)
    assert embedded.mempool() == ()
    embedded.submit([first, second])
    assert bench.waiting() == [txid(first), txid(second)]


def test_package_cannot_spend_a_coin_twice(embedded: EmbeddedChain, bench: Bench) -> None:
    key = bench.key()
    coin = embedded.faucet(key.script_pubkey, 10_000)
    with pytest.raises(Rejected, match="missingorspent"):
        embedded.submit([bench.spend(key, coin, fee=500), bench.spend(key, coin, fee=9_000)])


def test_descendants_go_with_what_they_build_on(embedded: EmbeddedChain, bench: Bench) -> None:
    key = bench.key()
    coin = embedded.faucet(key.script_pubkey, 10_000)
    first = bench.spend(key, coin, fee=500)
    second = bench.spend(key, (COutPoint(txid(first), 0), first.vout[0]), fee=500)
    embedded.submit([first])
    embedded.submit([second])
    with pytest.raises(Rejected, match="insufficient fee"):
        embedded.submit([bench.spend(key, coin, fee=999)])
    dearer = bench.spend(key, coin, fee=2_000)
    embedded.submit([dearer])
    assert bench.waiting() == [txid(dearer)]


def test_undecodable_transaction_is_refused(embedded: EmbeddedChain, bench: Bench) -> None:
    key = bench.key()
    coins = [embedded.faucet(key.script_pubkey, 10_000) for _ in range(2)]
    draft = CTransaction(
        [CTxIn(outpoint) for outpoint, _ in coins], [CTxOut(19_000, CScript(key.script_pubkey))], nVersion=2
    )
    signed = CMutableTransaction.from_tx(sign_key_paths(draft, [output for _, output in coins], [key, key]))
    signed.wit = CTxWitness(signed.wit.vtxinwit[:1])  # one witness for two inputs has no serialisation
    with pytest.raises(Rejected, match="decode"):
        embedded.submit([CTransaction.from_tx(signed)])


def test_what_does_not_fit_waits_for_the_next_block(embedded: EmbeddedChain, bench: Bench) -> None:
    script = (b"\x4d\x00\x01" + bytes(256) + b"\x75") * 1530 + b"\x51"
    spends = [bench.leaf_spend(script, []) for _ in range(11)]  # 398 kWU each, ten a block
    for tx in spends:
        embedded.submit([tx])
    embedded.mine()
    assert bench.waiting() == [txid(spends[-1])]
    embedded.mine()
    assert embedded.confirmation(txid(spends[-1])) == embedded.height()


def test_same_steps_make_the_same_chain() -> None:
    tips = []
    for _ in range(2):
        with EmbeddedChain() as chain:
            chain.faucet(bytes([0x51, 0x20]) + b"\x11" * 32, 10_000)
            chain.reorganise(1)
            tips.append(txid(chain.block_transactions(chain.height())[0]))
    assert tips[0] == tips[1]


def test_empty_package_is_an_error(embedded: EmbeddedChain) -> None:
    with pytest.raises(ChainError, match="at least one"):
        embedded.submit([])
