"""What both backends promise: the embedded chain refuses what a real node refuses, and the other way round."""

import pytest
from bitcoin.core import CMutableTransaction, COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from chain_bench import Bench

from bitvm.chain.fees import FeeError, fee_child, sign_key_paths
from bitvm.chain.interface import ChainError, RegtestChain, Rejected
from bitvm.script.taproot import TapLeaf, TapTree
from bitvm.script.weight import txid, vsize, weight

OP_DROP = 0x75
OP_CHECKSEQUENCEVERIFY = 0xB2
OP_CHECKLOCKTIMEVERIFY = 0xB1


def test_feeless_parent_and_fee_child_are_mined(bench: Bench) -> None:
    key = bench.key()
    parent = bench.parent(key, bench.wallet.key)
    child = bench.wallet.fee_child(parent, 1, feerate=5)
    bench.chain.submit([parent, child])
    assert bench.waiting() == [txid(parent), txid(child)]
    assert bench.chain.confirmation(txid(parent)) is None
    bench.chain.mine()
    height = bench.chain.height()
    assert bench.chain.confirmation(txid(parent)) == bench.chain.confirmation(txid(child)) == height
    assert bench.chain.spender(COutPoint(txid(parent), 1)) == (child, height)
    assert bench.chain.spender(COutPoint(txid(parent), 0)) is None
    assert list(bench.chain.block_transactions(height))[1:] == [parent, child]
    assert bench.waiting() == []


def test_package_pays_the_feerate_asked_for(bench: Bench) -> None:
    parent = bench.parent(bench.key(), bench.wallet.key)
    before = bench.wallet.balance()
    child = bench.wallet.fee_child(parent, 1, feerate=7.5)
    bench.chain.submit([parent, child])
    bench.chain.mine()
    size = vsize(parent) + vsize(child)
    paid = before - bench.wallet.balance()
    assert 7.5 * size <= paid < 7.5 * size + 1
    assert vsize(child) == 169


def test_feeless_parent_alone_is_refused(bench: Bench) -> None:
    parent = bench.parent(bench.key(), bench.wallet.key)
    with pytest.raises(Rejected) as refused:
        bench.chain.submit([parent])
    assert refused.value.txid == txid(parent)
    assert "fee" in refused.value.reason or "dust" in refused.value.reason
    assert bench.waiting() == []


def test_child_below_the_minimum_feerate_is_refused(bench: Bench) -> None:
    parent = bench.parent(bench.key(), bench.wallet.key)
    child = fee_child(parent, 1, bench.wallet.key, bench.wallet.reserve(1_000), feerate=0.01)
    with pytest.raises(Rejected):
        bench.chain.submit([parent, child])
    assert bench.waiting() == []


def test_child_that_leaves_the_anchor_unspent_is_refused(bench: Bench) -> None:
    key = bench.key()
    parent = bench.parent(key, bench.wallet.key)
    child = bench.spend(key, (COutPoint(txid(parent), 0), parent.vout[0]), fee=5_000, version=3)
    with pytest.raises(Rejected, match="ephemeral"):
        bench.chain.submit([parent, child])
    assert bench.waiting() == []


def test_stranger_cannot_attach_a_child_to_the_anchor(bench: Bench) -> None:
    mover, stranger = bench.key(), bench.wallet
    parent = bench.parent(bench.key(), mover)
    with pytest.raises(FeeError, match="not an anchor"):
        stranger.fee_child(parent, 1, feerate=5)
    disguised = CMutableTransaction.from_tx(parent)
    disguised.vout[1] = CTxOut(0, CScript(stranger.script_pubkey))
    child = CMutableTransaction.from_tx(stranger.fee_child(CTransaction.from_tx(disguised), 1, feerate=5))
    child.vin[0] = CTxIn(COutPoint(txid(parent), 1))
    with pytest.raises(Rejected, match="Invalid Schnorr signature"):
        bench.chain.submit([parent, CTransaction.from_tx(child)])


def test_bad_signature_is_refused_with_the_engines_reason(bench: Bench) -> None:
    key = bench.key()
    good = bench.spend(key, bench.chain.faucet(key.script_pubkey, 10_000), fee=500)
    signature = bytearray(good.wit.vtxinwit[0].scriptWitness.stack[0])
    signature[40] ^= 1
    bad = CMutableTransaction.from_tx(good)
    bad.wit = CTxWitness([CTxInWitness(CScriptWitness([bytes(signature)]))])
    with pytest.raises(Rejected, match="Invalid Schnorr signature") as refused:
        bench.chain.submit([CTransaction.from_tx(bad)])
    assert refused.value.txid == txid(good)
    bench.chain.submit([good])


def test_refused_leaf_names_the_opcode_that_failed(bench: Bench) -> None:
    equalverify = bench.leaf_spend(bytes([0x52, 0x88, 0x51]), [b"\x03"])
    with pytest.raises(Rejected, match="OP_EQUALVERIFY"):
        bench.chain.submit([equalverify])


@pytest.mark.parametrize("blocks", [0, 1])
def test_premature_relative_lock_is_refused(bench: Bench, blocks: int) -> None:
    tx = bench.leaf_spend(bytes([0x53, OP_CHECKSEQUENCEVERIFY]), [], sequence=3)  # three blocks
    bench.chain.mine(blocks)  # the coin itself lies in a block, so the lock lacks two blocks, then one
    with pytest.raises(Rejected, match="non-BIP68-final"):
        bench.chain.submit([tx])
    bench.chain.mine(2 - blocks)
    bench.chain.submit([tx])
    bench.chain.mine()
    assert bench.chain.confirmation(txid(tx)) == bench.chain.height()


def test_sequence_below_the_scripts_lock_is_refused(bench: Bench) -> None:
    tx = bench.leaf_spend(bytes([0x53, OP_CHECKSEQUENCEVERIFY]), [], sequence=1)
    with pytest.raises(Rejected, match="Locktime requirement not satisfied"):
        bench.chain.submit([tx])


def test_premature_absolute_lock_is_refused(bench: Bench) -> None:
    tx = bench.leaf_spend(b"\x51", [], locktime=bench.chain.height() + 3)
    for _ in range(2):  # one block more came with the funding; a block at the locked height itself is too early
        with pytest.raises(Rejected, match="non-final"):
            bench.chain.submit([tx])
        bench.chain.mine()
    bench.chain.submit([tx])


def test_confirmed_coin_cannot_be_spent_twice(bench: Bench) -> None:
    key = bench.key()
    coin = bench.chain.faucet(key.script_pubkey, 10_000)
    first, second = bench.spend(key, coin, fee=500), bench.spend(key, coin, fee=5_000)
    bench.chain.submit([first])
    bench.chain.mine()
    with pytest.raises(Rejected, match=r"missingorspent|missing-inputs|missing inputs"):
        bench.chain.submit([second])
    assert bench.chain.spender(coin[0]) == (first, bench.chain.height())


def test_waiting_coin_is_not_spent_again_for_less(bench: Bench) -> None:
    key = bench.key()
    coin = bench.chain.faucet(key.script_pubkey, 10_000)
    first, cheaper = bench.spend(key, coin, fee=500), bench.spend(key, coin, fee=400)
    bench.chain.submit([first])
    with pytest.raises(Rejected, match="insufficient fee"):
        bench.chain.submit([cheaper])
    assert bench.waiting() == [txid(first)]


def test_higher_fee_replaces_a_waiting_spend(bench: Bench) -> None:
    key = bench.key()
    coin = bench.chain.faucet(key.script_pubkey, 10_000)
    first, dearer = bench.spend(key, coin, fee=500), bench.spend(key, coin, fee=2_000)
    bench.chain.submit([first])
    bench.chain.submit([dearer])
    assert bench.waiting() == [txid(dearer)]


def test_child_is_replaced_by_a_dearer_one(bench: Bench) -> None:
    parent = bench.parent(bench.key(), bench.wallet.key)
    first = bench.wallet.fee_child(parent, 1, feerate=2)
    bench.chain.submit([parent, first])
    second = bench.wallet.fee_child(parent, 1, feerate=2)  # asked again, the wallet pays enough to replace
    assert txid(first) != txid(second)
    bench.chain.submit([parent, second])
    assert bench.waiting() == [txid(parent), txid(second)]
    third = bench.wallet.fee_child(parent, 1, feerate=30)
    assert {txin.prevout for txin in third.vin} == {txin.prevout for txin in first.vin}
    bench.chain.submit([parent, third])
    with pytest.raises(Rejected):
        bench.chain.submit([parent, second])
    bench.chain.mine()
    assert bench.chain.confirmation(txid(third)) == bench.chain.height()
    assert bench.chain.confirmation(txid(second)) is None


def test_submitting_again_is_no_error(bench: Bench) -> None:
    parent = bench.parent(bench.key(), bench.wallet.key)
    package = [parent, bench.wallet.fee_child(parent, 1, feerate=2)]
    bench.chain.submit(package)
    bench.chain.submit(package)
    assert len(bench.waiting()) == 2
    bench.chain.mine()
    bench.chain.submit(package)
    bench.chain.submit(package[:1])
    assert bench.waiting() == []


def test_value_cannot_be_made(bench: Bench) -> None:
    key = bench.key()
    tx = bench.spend(key, bench.chain.faucet(key.script_pubkey, 10_000), fee=-1)
    with pytest.raises(Rejected, match="bad-txns-in-belowout"):
        bench.chain.submit([tx])


def test_unknown_coin_is_refused(bench: Bench) -> None:
    key = bench.key()
    tx = bench.spend(key, (COutPoint(b"\x07" * 32, 0), CTxOut(10_000, CScript(key.script_pubkey))), fee=500)
    with pytest.raises(Rejected, match=r"missingorspent|missing-inputs|missing inputs"):
        bench.chain.submit([tx])


def test_truc_child_has_no_second_unconfirmed_parent(bench: Bench) -> None:
    parent = bench.parent(bench.key(), bench.wallet.key)
    key = bench.key()
    unconfirmed = bench.spend(key, bench.chain.faucet(key.script_pubkey, 100_000), fee=1_000, version=3)
    bench.chain.submit([unconfirmed])
    anchor, money = COutPoint(txid(parent), 1), COutPoint(txid(unconfirmed), 0)
    draft = CTransaction([CTxIn(anchor), CTxIn(money)], [CTxOut(90_000, CScript(key.script_pubkey))], nVersion=3)
    spent, keys = [parent.vout[1], unconfirmed.vout[0]], [bench.wallet.key, key]
    with pytest.raises(Rejected, match=r"(?i)truc-|package-not"):
        bench.chain.submit([parent, sign_key_paths(draft, spent, keys)])
    assert bench.waiting() == [txid(unconfirmed)]


def test_truc_grandchild_is_refused(bench: Bench) -> None:
    key = bench.key()
    coin = bench.chain.faucet(key.script_pubkey, 100_000)
    generations = [bench.spend(key, coin, fee=1_000, version=3)]
    for _ in range(2):
        newest = generations[-1]
        outpoint = COutPoint(txid(newest), 0)
        generations.append(bench.spend(key, (outpoint, newest.vout[0]), fee=1_000, version=3))
    bench.chain.submit(generations[:1])
    bench.chain.submit(generations[1:2])
    with pytest.raises(Rejected, match=r"(?i)truc-"):
        bench.chain.submit(generations[2:])


def test_large_truc_parent_is_refused(bench: Bench) -> None:
    key = bench.key()
    outpoint, output = bench.chain.faucet(key.script_pubkey, 300 * 400)
    outputs = [CTxOut(330, CScript(key.script_pubkey))] * 240  # 43 vB each
    draft = CTransaction([CTxIn(outpoint)], outputs, nVersion=3)
    assert vsize(draft) > 10_000
    with pytest.raises(Rejected, match=r"(?i)truc-"):
        bench.chain.submit([sign_key_paths(draft, [output], [key])])


@pytest.mark.parametrize(("size", "relayed"), [(80, True), (81, False)])
def test_witness_items_of_more_than_80_bytes_are_not_relayed(bench: Bench, size: int, relayed: bool) -> None:
    tx = bench.leaf_spend(bytes([OP_DROP, 0x51]), [bytes(size)])
    if relayed:
        bench.chain.submit([tx])
    else:
        with pytest.raises(Rejected, match="bad-witness-"):
            bench.chain.submit([tx])


@pytest.mark.parametrize(("pushes", "relayed"), [(1530, True), (1545, False)])
def test_transactions_beyond_the_standard_weight_are_not_relayed(bench: Bench, pushes: int, relayed: bool) -> None:
    script = (b"\x4d\x00\x01" + bytes(256) + bytes([OP_DROP])) * pushes + b"\x51"
    tx = bench.leaf_spend(script, [])
    assert (weight(tx) <= 400_000) == relayed
    if relayed:
        bench.chain.submit([tx])
    else:
        with pytest.raises(Rejected, match="tx-size"):
            bench.chain.submit([tx])


def test_shapes_that_stricter_nodes_relay_too(bench: Bench) -> None:
    items = bench.leaf_spend(b"\x6d" * 450 + b"\x51", [bytes([7]) * 24] * 900)
    push = bench.leaf_spend(b"\x4d\x00\x01" + bytes(256) + b"\x75\x51", [])
    tree = TapTree([TapLeaf(str(n), b"\x51" + b"\x51\x75" * n, 2.0**-n) for n in range(8)])
    assert tree.depth("7") == 7
    outpoint, _ = bench.chain.faucet(tree.script_pubkey, 10_000)
    output = CTxOut(9_000, CScript(bench.key().script_pubkey))
    witness = CTxWitness([CTxInWitness(CScriptWitness(tree.witness("7", [])))])
    deep = CTransaction([CTxIn(outpoint)], [output], nVersion=2, witness=witness)
    for tx in (items, push, deep):
        bench.chain.submit([tx])
    assert len(bench.waiting()) == 3


def test_value_can_be_burnt(bench: Bench) -> None:
    key = bench.key()
    outpoint, output = bench.chain.faucet(key.script_pubkey, 500_000)
    burn = CTxOut(490_000, CScript(b"\x6a\x04burn"))
    draft = CTransaction([CTxIn(outpoint)], [burn], nVersion=2)
    bench.chain.submit([sign_key_paths(draft, [output], [key])])
    bench.chain.mine()
    assert bench.chain.spender(outpoint) is not None


@pytest.mark.parametrize(
    ("script", "relayed"),
    [
        (b"\x6a\x4c\x50" + bytes(80), True),
        (b"\x6a\x4c\x51" + bytes(81), False),
        (b"\x51\x02\x4e\x73", True),  # pay-to-anchor
        (b"\x51", False),
        (b"\x51\x20" + bytes(31), False),
    ],
)
def test_outputs_are_standard(bench: Bench, script: bytes, relayed: bool) -> None:
    key = bench.key()
    outpoint, output = bench.chain.faucet(key.script_pubkey, 10_000)
    draft = CTransaction(
        [CTxIn(outpoint)], [CTxOut(1_000, CScript(script)), CTxOut(8_000, output.scriptPubKey)], nVersion=2
    )
    tx = sign_key_paths(draft, [output], [key])
    if relayed:
        bench.chain.submit([tx])
    else:
        with pytest.raises(Rejected, match=r"scriptpubkey|datacarrier"):
            bench.chain.submit([tx])


def test_faucet_coin_is_confirmed_and_exact(chain: RegtestChain) -> None:
    script = bytes([0x51, 0x20]) + b"\x11" * 32
    outpoint, output = chain.faucet(script, 12_345)
    assert (output.nValue, bytes(output.scriptPubKey)) == (12_345, script)
    assert chain.confirmation(outpoint.hash) == chain.height()
    paid = next(tx for tx in chain.block_transactions(chain.height()) if txid(tx) == outpoint.hash)
    assert paid.vout[outpoint.n] == output
    assert chain.spender(outpoint) is None


def test_faucet_that_cannot_pay_says_so(embedded: RegtestChain) -> None:
    with pytest.raises(ChainError, match="more than regtest ever creates"):
        embedded.faucet(bytes([0x51, 0x20]) + b"\x11" * 32, 16_000 * 100_000_000)


def test_unknown_block_is_an_error(chain: RegtestChain) -> None:
    with pytest.raises(ChainError, match="no block at height"):
        chain.block_transactions(chain.height() + 1)
    assert len(chain.block_transactions(0)) == 1


def test_reorganised_transactions_wait_again(bench: Bench) -> None:
    key = bench.key()
    coin = bench.chain.faucet(key.script_pubkey, 10_000)
    tx = bench.spend(key, coin, fee=500)
    bench.chain.submit([tx])
    bench.chain.mine(2)
    height = bench.chain.height()
    balance = bench.wallet.balance()
    assert bench.chain.confirmation(txid(tx)) == height - 1
    bench.chain.reorganise(2)
    assert bench.chain.height() == height + 1
    assert bench.chain.confirmation(txid(tx)) is None
    assert bench.chain.spender(coin[0]) is None
    assert bench.waiting() == [txid(tx)]
    bench.chain.mine()
    assert bench.chain.confirmation(txid(tx)) == height + 2
    assert bench.wallet.balance() == balance


def test_reorganisation_replaces_empty_blocks_too(chain: RegtestChain) -> None:
    chain.mine(3)
    height = chain.height()
    before = [txid(chain.block_transactions(n)[0]) for n in range(height - 2, height + 1)]
    chain.reorganise(2)
    after = [txid(chain.block_transactions(n)[0]) for n in range(height - 2, height + 1)]
    assert after[0] == before[0]
    assert not set(after[1:]) & set(before[1:])
    assert chain.height() == height + 1


def test_reorganisation_of_more_than_there_is_is_an_error(chain: RegtestChain) -> None:
    with pytest.raises(ChainError, match="cannot replace"):
        chain.reorganise(chain.height() + 1)
