"""Schnorr keys against BIP340's vectors and Core's engine."""

import pytest
from bitcoin.core import COutPoint, CScript, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScriptWitness

from bitvm.keys.path import KeyPath
from bitvm.keys.schnorr import DETERMINISTIC, SchnorrError, SigningKey, verify
from bitvm.keys.seed import Seed
from bitvm.script.engine import verify_input
from bitvm.script.sighash import taproot_sighash
from bitvm.script.taproot import TapLeaf, TapTree

ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
SEED = Seed(bytes(range(32)))
PATH = KeyPath(bytes(32), "prover", transaction="Reveal_2")
MESSAGE = b"\x2a" * 32


def test_vector_0_of_bip340():
    key = SigningKey((3).to_bytes(32, "big"))
    assert key.public_key.hex().upper() == "F9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9"
    assert key.sign(bytes(32), bytes(32)).hex().upper() == (
        "E907831F80848D1069A5371B402410364BDF1C5F8307B0084C55F1CE2DCA8215"
        "25F66A4A85EA8B71E482A74F382D2CE5EBEEE8FDB2172F477DF4900D310536C0"
    )


def test_a_key_belongs_to_seed_and_path():
    keys = [
        SigningKey.derive(seed, path).public_key
        for seed in (SEED, Seed(bytes(32)))
        for path in (PATH, KeyPath(bytes(32), "prover", transaction="Reveal_3"))
    ]
    assert len(set(keys)) == 4
    assert SigningKey.derive(SEED, PATH).public_key == keys[0]


def test_signatures_verify_and_nothing_else_does():
    key = SigningKey.derive(SEED, PATH)
    signature = key.sign(MESSAGE)
    assert verify(key.public_key, MESSAGE, signature)
    for bit in range(0, 512, 37):
        flipped = (int.from_bytes(signature, "big") ^ (1 << bit)).to_bytes(64, "big")
        assert not verify(key.public_key, MESSAGE, flipped)
    assert not verify(key.public_key, b"\x2b" * 32, signature)
    assert not verify(SigningKey(MESSAGE).public_key, MESSAGE, signature)


def test_randomness():
    key = SigningKey.derive(SEED, PATH)
    assert key.sign(MESSAGE) != key.sign(MESSAGE)
    assert key.sign(MESSAGE, DETERMINISTIC) == key.sign(MESSAGE, DETERMINISTIC)


@pytest.mark.parametrize(
    ("public_key", "message", "signature"),
    [
        (b"", MESSAGE, bytes(64)),
        (b"\xff" * 32, MESSAGE, bytes(64)),
        (bytes(33), MESSAGE, bytes(64)),
        (SigningKey(MESSAGE).public_key, b"", bytes(64)),
        (SigningKey(MESSAGE).public_key, MESSAGE, bytes(65)),
        (SigningKey(MESSAGE).public_key, MESSAGE, b""),
    ],
)
def test_malformed_is_false(public_key, message, signature):
    assert verify(public_key, message, signature) is False


@pytest.mark.parametrize("secret", [b"", bytes(32), bytes(31) + b"\1\1", ORDER.to_bytes(32, "big"), b"\1"])
def test_no_secret_key(secret):
    with pytest.raises(SchnorrError):
        SigningKey(secret)


def test_sizes():
    key = SigningKey.derive(SEED, PATH)
    with pytest.raises(SchnorrError, match="message"):
        key.sign(b"\x00" * 31)
    with pytest.raises(SchnorrError, match="randomness"):
        key.sign(MESSAGE, b"")


def test_the_secret_is_never_shown():
    key = SigningKey((3).to_bytes(32, "big"))
    assert repr(key) == f"<SigningKey of {key.public_key.hex()}>"


def test_core_accepts_it_in_a_leaf():
    key = SigningKey.derive(SEED, PATH)
    tree = TapTree([TapLeaf("move", b"\x20" + key.public_key + b"\xac"), TapLeaf("other", b"\x51")])
    spent = [CTxOut(1000, CScript(tree.script_pubkey))]
    unsigned = CTransaction([CTxIn(COutPoint(b"\x01" * 32, 0))], [CTxOut(900, CScript(b"\x51"))], nVersion=3)
    signature = key.sign(taproot_sighash(unsigned, spent, 0, leaf_hash=tree.leaf_hash("move")))
    for items, verdict in [([signature], True), ([signature[:-1] + b"\x00"], False), ([signature + b"\x00"], False)]:
        witness = CTxWitness([CTxInWitness(CScriptWitness(tree.witness("move", items)))])
        tx = CTransaction(unsigned.vin, unsigned.vout, 0, 3, witness)
        assert verify_input(tx, 0, spent) is verdict
