"""Transaction ids and the size that fees and relay limits count (BIP141).

The weight of a transaction is four units a byte outside the witness and one a byte inside it, the witness's marker and
flag included; a virtual byte is four units, rounded up. Everything is exact, from the serialised bytes.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence

from bitcoin.core import CTransaction

WITNESS_SCALE = 4


class WitnessShapeError(ValueError):
    """A transaction whose witness does not have exactly one stack an input: it has no valid serialisation."""


def compact_size(number: int) -> bytes:
    """Return Bitcoin's variable-length encoding of a length (1, 3, 5 or 9 bytes); raises ValueError if negative."""
    if number < 0:
        raise ValueError(f"a length is not negative: {number}")
    if number < 0xFD:
        return bytes([number])
    if number <= 0xFFFF:
        return b"\xfd" + struct.pack("<H", number)
    if number <= 0xFFFF_FFFF:
        return b"\xfe" + struct.pack("<I", number)
    return b"\xff" + struct.pack("<Q", number)


def compact_size_length(number: int) -> int:
    """Return how many bytes `compact_size(number)` has."""
    return len(compact_size(number))


def witness_weight(items: Iterable[bytes] | Sequence[bytes]) -> int:
    """Return the weight of one input's witness stack, its item count included."""
    lengths = [len(item) for item in items]
    return compact_size_length(len(lengths)) + sum(compact_size_length(length) + length for length in lengths)


def txid(tx: CTransaction) -> bytes:
    """Return the transaction id: 32 bytes in the order of an outpoint (reversed in what people read)."""
    return hashlib.sha256(hashlib.sha256(_stripped(tx)).digest()).digest()


def weight(tx: CTransaction) -> int:
    """Return the weight in units (WU); raises WitnessShapeError."""
    base = WITNESS_SCALE * len(_stripped(tx))
    if tx.wit.is_null():
        return base
    if len(tx.wit.vtxinwit) != len(tx.vin):
        raise WitnessShapeError(f"{len(tx.vin)} inputs, but {len(tx.wit.vtxinwit)} witness stacks")
    marker_and_flag = 2
    return base + marker_and_flag + sum(witness_weight(stack.scriptWitness.stack) for stack in tx.wit.vtxinwit)


def vsize(tx: CTransaction) -> int:
    """Return the virtual size in vB, rounded up; raises WitnessShapeError."""
    return virtual_size(weight(tx))


def virtual_size(weight_units: int) -> int:
    """Return the virtual bytes of `weight_units`, rounded up."""
    return -(-weight_units // WITNESS_SCALE)


def _stripped(tx: CTransaction) -> bytes:
    """Serialise without the witness."""
    serialised: bytes = tx.serialize({"include_witness": False})
    return serialised
