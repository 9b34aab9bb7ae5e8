"""Ids and sizes against python-bitcoinlib's serialisation."""

import pytest
from bitcoin.core import COutPoint, CScript, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness, lx, x
from bitcoin.core.script import CScriptWitness
from hypothesis import given
from hypothesis import strategies as st

from bitvm.script.weight import (
    WitnessShapeError,
    compact_size,
    compact_size_length,
    txid,
    virtual_size,
    vsize,
    weight,
    witness_weight,
)


def transaction(stacks, *, inputs=None, version=3) -> CTransaction:
    vin = [CTxIn(COutPoint(b"\x01" * 32, n)) for n in range(len(stacks) if inputs is None else inputs)]
    witness = CTxWitness([CTxInWitness(CScriptWitness(stack)) for stack in stacks])
    return CTransaction(vin, [CTxOut(5, CScript(b"\x51"))], nVersion=version, witness=witness)


@given(st.lists(st.lists(st.sampled_from([0, 1, 20, 252, 253, 400, 70_000]).map(bytes), max_size=4), min_size=1))
def test_weight_counts_the_serialised_bytes(stacks):
    tx = transaction(stacks)
    stripped = CTransaction(tx.vin, tx.vout, tx.nLockTime, tx.nVersion).serialize()
    assert weight(tx) == 3 * len(stripped) + len(tx.serialize())
    assert 4 * vsize(tx) - weight(tx) in range(4)
    assert txid(tx) == tx.GetTxid()


def test_more_than_252_items():
    tx = transaction([[b"\x01" * 32] * 300])
    assert weight(tx) == tx.calc_weight()
    assert witness_weight([b"\x01" * 32] * 300) == 3 + 300 * 33


def test_the_first_bitcoin_payment():
    tx = CTransaction.deserialize(
        x(
            "0100000001c997a5e56e104102fa209c6a852dd90660a20b2d9c352423edce25857fcd3704000000004847304402204e45e16932b8af"
            "514961a1d3a1a25fdf3f4f7732e9d624c6c61548ab5fb8cd410220181522ec8eca07de4860a4acdd12909d831cc56cbbac4622082221"
            "a8768d1d0901ffffffff0200ca9a3b00000000434104ae1a62fe09c5f51b13905f07f06b99a2f7159b2225f374cd378d71302fa28414"
            "e7aab37397f554a7df5f142c21c1b7303b8a0626f1baded5c72a704f7e6cd84cac00286bee0000000043410411db93e1dcdb8a016b49"
            "840f8c53bc1eb68a382e97b1482ecad7b148a6909a5cb2e0eaddfb84ccf9744464f82e160bfa9b8b64f9d4c03f999b8643f656b412a3"
            "ac00000000"
        )
    )
    assert txid(tx) == lx("f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16")
    assert (weight(tx), vsize(tx)) == (1100, 275)


def test_version_3_and_the_largest_version_survive():
    for version in (3, 2**31 - 1, -1):
        tx = transaction([[b"x"]], version=version)
        assert CTransaction.deserialize(tx.serialize()) == tx


def test_one_stack_an_input():
    with pytest.raises(WitnessShapeError, match="2 inputs, but 1"):
        weight(transaction([[b"x"]], inputs=2))


def test_rounding_is_up():
    assert [virtual_size(units) for units in (0, 1, 4, 5, 400_000)] == [0, 1, 1, 2, 100_000]


def test_compact_size_at_its_steps():
    for number, length in [(0, 1), (252, 1), (253, 3), (0xFFFF, 3), (0x10000, 5), (0xFFFFFFFF, 5), (1 << 32, 9)]:
        assert len(compact_size(number)) == compact_size_length(number) == length
    assert compact_size(515).hex() == "fd0302"
    with pytest.raises(ValueError, match="-1"):
        compact_size(-1)
