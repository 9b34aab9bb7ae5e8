"""Bitcoin Core's consensus engine on one transaction.

Every verdict here is given by libbitcoinkernel (through `pbk`), with all consensus flags of today's main
chain set: P2SH, DERSIG, NULLDUMMY, CHECKLOCKTIMEVERIFY, CHECKSEQUENCEVERIFY, WITNESS, TAPROOT. Nothing is
interpreted in Python.

What a yes does not say: policy (80-byte witness items, 400,000 weight units, minimal pushes, discouraged
OP_SUCCESSx) is not consensus and is judged by a real node only. In particular a script that contains an
OP_SUCCESSx opcode passes with any witness, as BIP342 demands. The relative locks of BIP68 belong to blocks
and are judged by `bitvm.chain`; here OP_CHECKSEQUENCEVERIFY sees the input's sequence number alone.
"""

import struct
from collections.abc import Iterable, Sequence

import pbk
from bitcoin.core import CTransaction, CTxOut
from pbk.capi import bindings
from pbk.script import PrecomputedTransactionData

from bitvm.script.taproot import TapLeaf, TapTree
from bitvm.script.weight import compact_size

ALL_FLAGS = pbk.ScriptVerificationFlags.ALL

_TRIAL_OUTPOINT = b"\x01" * 32 + b"\x00" * 4
_TRIAL_AMOUNT = 100_000


class UndecodableTransactionError(ValueError):
    """The bytes are not one consensus-serialised transaction."""


class SpentOutputsError(ValueError):
    """The number of spent outputs, or the input index, does not fit the transaction."""


def verify_input(tx: CTransaction, input_index: int, spent_outputs: Sequence[CTxOut]) -> bool:
    """Whether input `input_index` of `tx` may spend `spent_outputs[input_index]`.

    `spent_outputs` holds the output spent by each input, in the order of the inputs (BIP341 signs them all).
    Raises SpentOutputsError and UndecodableTransactionError; a script that fails is a plain False.
    """
    return _verify(tx.serialize(), [input_index], _amounts_and_scripts(tx, spent_outputs)) is None


def failing_input(tx: CTransaction, spent_outputs: Sequence[CTxOut]) -> int | None:
    """The first input of `tx` whose script fails, or None when every input may be spent.

    Arguments and errors as in `verify_input`; the hashes that BIP341 shares between inputs are made once.
    """
    return _verify(tx.serialize(), range(len(tx.vin)), _amounts_and_scripts(tx, spent_outputs))


def run_leaf(script: bytes, witness_items: Sequence[bytes], *, sequence: int = 0xFFFFFFFF, locktime: int = 0) -> bool:
    """Whether the tapscript leaf `script`, alone in its tree, accepts `witness_items` (stack bottom first).

    The leaf is spent by the only input of a version 2 transaction with one OP_1 output, so `sequence` and
    `locktime` are what OP_CHECKSEQUENCEVERIFY and OP_CHECKLOCKTIMEVERIFY see. A signature cannot be known
    before the transaction: to check one, build the transaction and ask `verify_input`.
    """
    tree = TapTree([TapLeaf("leaf", script)])
    witness = tree.witness("leaf", witness_items)
    transaction = b"".join(
        (
            b"\x02\x00\x00\x00\x00\x01\x01",  # version 2, segwit marker and flag, one input
            _TRIAL_OUTPOINT,
            b"\x00",  # empty scriptSig
            struct.pack("<I", sequence),
            b"\x01" + struct.pack("<q", _TRIAL_AMOUNT) + b"\x01\x51",  # one output: OP_1
            compact_size(len(witness)),
            *(compact_size(len(item)) + item for item in witness),
            struct.pack("<I", locktime),
        )
    )
    return _verify(transaction, [0], [(_TRIAL_AMOUNT, tree.script_pubkey)]) is None


def kernel_transaction(serialised: bytes) -> pbk.Transaction:
    """Decode a serialised transaction into the kernel's own object; raises UndecodableTransactionError.

    `pbk.Transaction(bytes)` passes every byte as a Python argument (20 ms for 400 kB), so its constructor is
    called underneath.
    """
    handle = bindings.btck_transaction_create(serialised, len(serialised))
    if not handle:
        raise UndecodableTransactionError(f"{len(serialised)} bytes that are no serialised transaction")
    return pbk.Transaction._from_handle(handle)


def _amounts_and_scripts(tx: CTransaction, spent_outputs: Sequence[CTxOut]) -> list[tuple[int, bytes]]:
    if len(spent_outputs) != len(tx.vin):
        raise SpentOutputsError(f"{len(tx.vin)} inputs, but {len(spent_outputs)} spent outputs")
    return [(output.nValue, bytes(output.scriptPubKey)) for output in spent_outputs]


def _verify(transaction: bytes, input_indices: Iterable[int], spent_outputs: Sequence[tuple[int, bytes]]) -> int | None:
    """Find the first of `input_indices` that fails; `spent_outputs` are (amount in satoshi, scriptPubKey)."""
    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(script), amount) for amount, script in spent_outputs]
    spending = kernel_transaction(transaction)
    precomputed = PrecomputedTransactionData(spending, outputs)
    for index in input_indices:
        if not 0 <= index < len(outputs):
            raise SpentOutputsError(f"no input {index} in a transaction with {len(outputs)} inputs")
        amount, script = outputs[index].amount, outputs[index].script_pubkey
        if not script.verify(amount, spending, precomputed, index, ALL_FLAGS):
            return index
    return None
