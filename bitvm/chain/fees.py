"""Sizes, fees, and the child that pays for a fee-less parent.

Every pre-signed transaction of the game is version 3 (TRUC), pays no fee and carries one zero-value output, its
anchor, keyed to the party that moves. That party alone can spend the anchor, so nobody else can attach a child and
pin the parent. `fee_child` spends the anchor together with one confirmed coin and returns the rest to the coin's
owner; the fee it pays is that of parent and child as a package. A child is 169 vB. Limits of TRUC (Core's policy):
parent at most 10,000 vB, child at most 1,000 vB, one child a parent, and the child has no other unconfirmed parent.

One transaction of the game, the refutation of a hash, is larger than that: it is version 2, pays the minimum itself,
and its anchor holds an output's worth. Its child is version 2 as well.

Feerates are satoshi per virtual byte, amounts satoshi, sizes virtual bytes (weight / 4, rounded up).
"""

import math
from collections.abc import Sequence

from bitcoin.core import (
    CMutableTransaction,
    COutPoint,
    CTransaction,
    CTxIn,
    CTxInWitness,
    CTxOut,
    CTxWitness,
)
from bitcoin.core.script import CScript, CScriptWitness

from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.script.weight import compact_size_length, txid, virtual_size, vsize

TRUC_VERSION = 3
TRUC_PARENT_LIMIT = 10_000
TRUC_CHILD_LIMIT = 1_000
DUST_P2TR = 330
INCREMENTAL_FEERATE = 1
"""What a replacement pays for its own size on top of what it replaces; nodes ask for 1 sat/vB or less."""
SEQUENCE_REPLACEABLE = 0xFFFFFFFD


class FeeError(ValueError):
    """The child cannot be built; the message says why."""


def key_path_vsize(inputs: int, outputs: Sequence[CTxOut]) -> int:
    """Virtual size of a transaction that spends `inputs` key paths (64-byte signatures) to `outputs`."""
    output_bytes = sum(len(output.serialize()) for output in outputs)
    base = 8 + compact_size_length(inputs) + 41 * inputs + compact_size_length(len(outputs)) + output_bytes
    witness = 2 + 66 * inputs  # marker and flag; count, length and signature
    return virtual_size(4 * base + witness)


def anchor_output(script_pubkey: bytes) -> CTxOut:
    """The zero-value output that lets the owner of `script_pubkey` pay for a fee-less parent."""
    return CTxOut(0, CScript(script_pubkey))


def fee_child(
    parent: CTransaction,
    anchor_index: int,
    anchor_key: TaprootKey,
    coin: SpendableCoin,
    feerate: float,
    *,
    replaced_fee: int = 0,
) -> CTransaction:
    """Build and sign the child that brings `parent` and itself to `feerate`, as if `parent` paid nothing.

    The child has `parent`'s version, spends output `anchor_index` of `parent` (which must be on `anchor_key`, and hold
    nothing if `parent` is version 3) and `coin`, and pays the rest to `coin.key`. With `replaced_fee`, the fee of an
    earlier child, it pays enough more than that one to replace it. FeeError if the anchor is not the key's, or the
    coin too small.
    """
    if not 0 <= anchor_index < len(parent.vout):
        raise FeeError(f"the parent has {len(parent.vout)} outputs, none at index {anchor_index}")
    anchor = parent.vout[anchor_index]
    truc = parent.nVersion == TRUC_VERSION
    if (truc and anchor.nValue != 0) or bytes(anchor.scriptPubKey) != anchor_key.script_pubkey:
        raise FeeError(f"output {anchor_index} of the parent is not an anchor on the given key")
    anchor_outpoint = COutPoint(txid(parent), anchor_index)
    spent = ((anchor_outpoint, anchor, anchor_key), (coin.outpoint, coin.output, coin.key))
    child_size = key_path_vsize(2, [coin.output])
    fee = math.ceil(feerate * (vsize(parent) + child_size))
    if replaced_fee:
        fee = max(fee, replaced_fee + INCREMENTAL_FEERATE * child_size)
    change = coin.output.nValue + anchor.nValue - fee
    if change < DUST_P2TR:
        raise FeeError(f"a coin of {coin.output.nValue} sat cannot pay a fee of {fee} sat and leave an output")
    return _key_path_spend(spent, change, coin.key.script_pubkey, TRUC_VERSION if truc else 2)


def _key_path_spend(
    spent: Sequence[tuple[COutPoint, CTxOut, TaprootKey]], value: int, script_pubkey: bytes, version: int
) -> CTransaction:
    """Build and sign a transaction from `spent` to one output."""
    inputs = [CTxIn(outpoint, nSequence=SEQUENCE_REPLACEABLE) for outpoint, _, _ in spent]
    unsigned = CTransaction(inputs, [CTxOut(value, CScript(script_pubkey))], nVersion=version)
    outputs = [output for _, output, _ in spent]
    keys = [key for _, _, key in spent]
    return sign_key_paths(unsigned, outputs, keys)


def sign_key_paths(tx: CTransaction, spent_outputs: Sequence[CTxOut], keys: Sequence[TaprootKey]) -> CTransaction:
    """Sign every input of `tx` on its key path (SIGHASH_DEFAULT); `keys` and `spent_outputs` follow the inputs."""
    witnesses = [
        CTxInWitness(CScriptWitness([key.sign_input(tx, index, spent_outputs)])) for index, key in enumerate(keys)
    ]
    signed = CMutableTransaction.from_tx(tx)
    signed.wit = CTxWitness(witnesses)
    return CTransaction.from_tx(signed)
