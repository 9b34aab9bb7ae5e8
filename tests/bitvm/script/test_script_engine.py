"""Core's engine on one input: it must say yes, and it must be able to say no."""

import pytest
from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import sign_key_paths
from bitvm.chain.keys import TaprootKey
from bitvm.script.engine import (
    SpentOutputsError,
    UndecodableTransactionError,
    failing_input,
    kernel_transaction,
    run_leaf,
    verify_input,
)

OP_2_CHECKSEQUENCEVERIFY = bytes([0x52, 0xB2])
OP_2_CHECKLOCKTIMEVERIFY = bytes([0x52, 0xB1])


@pytest.mark.parametrize(
    ("script", "witness", "verdict"),
    [
        (b"\x51", [], True),
        (b"\x00", [], False),
        (b"\x51", [b"left over"], False),  # BIP342: exactly one item is left
        (bytes([0x52, 0x87]), [b"\x02"], True),  # 2 EQUAL
        (bytes([0x52, 0x87]), [b"\x03"], False),
        (bytes([0x94, 0x51, 0x87]), [b"\x03", b"\x02"], True),  # SUB 1 EQUAL: the last item is on top
        (bytes([0x94, 0x51, 0x87]), [b"\x02", b"\x03"], False),
        (b"\x75\x51", [bytes(520)], True),  # DROP 1
        (b"\x75\x51", [bytes(521)], False),
        (b"\x6d" * 500 + b"\x51", [b""] * 1000, True),  # 2DROP
        (b"\x6d" * 500 + b"\x75\x51", [b""] * 1001, False),  # more than 1,000 items
        (bytes([0x63, 0x51, 0x67, 0x51, 0x68]), [b"\x01"], True),
        (bytes([0x63, 0x51, 0x67, 0x51, 0x68]), [b"\x02"], False),  # MINIMALIF is consensus in tapscript
        (b"\xae", [], False),  # CHECKMULTISIG is disabled in tapscript
    ],
)
def test_leaf(script: bytes, witness: list[bytes], verdict: bool) -> None:
    assert run_leaf(script, witness) is verdict


@pytest.mark.parametrize(("sequence", "verdict"), [(1, False), (2, True), (3, True), (0xFFFFFFFF, False)])
def test_leaf_sees_the_sequence(sequence: int, verdict: bool) -> None:
    assert run_leaf(OP_2_CHECKSEQUENCEVERIFY, [], sequence=sequence) is verdict


@pytest.mark.parametrize(("locktime", "sequence", "verdict"), [(1, 0, False), (2, 0, True), (2, 0xFFFFFFFF, False)])
def test_leaf_sees_the_locktime(locktime: int, sequence: int, verdict: bool) -> None:
    assert run_leaf(OP_2_CHECKLOCKTIMEVERIFY, [], locktime=locktime, sequence=sequence) is verdict


def test_large_leaf_is_judged() -> None:
    script = b"\x51\x75" * 150_000 + b"\x51"
    assert run_leaf(script, [])
    assert not run_leaf(script[:-1], [])


def signed_pair() -> tuple[CTransaction, list[CTxOut]]:
    keys = [TaprootKey.from_seed(b"engine", name) for name in ("first", "second")]
    spent = [CTxOut(1_000 * (n + 1), CScript(key.script_pubkey)) for n, key in enumerate(keys)]
    inputs = [CTxIn(COutPoint(bytes([n + 1]) * 32, n)) for n in range(2)]
    draft = CTransaction(inputs, [CTxOut(2_500, CScript(b"\x51"))], nVersion=3)
    return sign_key_paths(draft, spent, keys), spent


def test_every_input_is_judged_on_its_own() -> None:
    tx, spent = signed_pair()
    assert failing_input(tx, spent) is None
    assert verify_input(tx, 0, spent)
    swapped = CTransaction(tx.vin, tx.vout, tx.nLockTime, tx.nVersion, type(tx.wit)(tuple(reversed(tx.wit.vtxinwit))))
    assert failing_input(swapped, spent) == 0
    assert not verify_input(swapped, 1, spent)


@pytest.mark.parametrize("changed", [0, 1])
def test_every_amount_is_signed(changed: int) -> None:
    tx, spent = signed_pair()
    spent[changed] = CTxOut(spent[changed].nValue + 1, spent[changed].scriptPubKey)
    assert not verify_input(tx, 0, spent)
    assert not verify_input(tx, 1, spent)


def test_wrong_number_of_outputs_is_an_error() -> None:
    tx, spent = signed_pair()
    with pytest.raises(SpentOutputsError, match="2 inputs, but 1 spent outputs"):
        verify_input(tx, 0, spent[:1])
    with pytest.raises(SpentOutputsError, match="no input 2"):
        verify_input(tx, 2, spent)


def test_bytes_that_are_no_transaction_are_an_error() -> None:
    with pytest.raises(UndecodableTransactionError, match="3 bytes"):
        kernel_transaction(b"abc")
