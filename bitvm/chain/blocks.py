"""Regtest blocks made in Python: coinbase, witness commitment, merkle root, proof of work.

Guarantees blocks that Bitcoin Core accepts on regtest as long as the transactions given are valid: the height is
the coinbase's first push (BIP34), its first OP_RETURN output commits to the witnesses (BIP141, nonce zero), the
subsidy halves every 150 blocks, and the nonce meets regtest's constant target. Hashes are in internal byte order;
everything is little-endian, as on the wire.
"""

import hashlib
import itertools
import struct
from collections.abc import Sequence

from bitcoin.core import CTransaction

from bitvm.script.weight import compact_size, txid

BITS = 0x207FFFFF
TARGET = 0x7FFFFF << 8 * (0x20 - 3)
BLOCK_VERSION = 0x20000000
SUBSIDY = 50 * 100_000_000
HALVING_INTERVAL = 150
COINBASE_MATURITY = 100
BLOCK_WEIGHT_LIMIT = 4_000_000
BLOCK_OVERHEAD_WEIGHT = 2_000
"""Weight kept for header, counts and coinbase, with room to spare."""

TOTAL_SUBSIDY = HALVING_INTERVAL * sum(SUBSIDY >> halvings for halvings in range(SUBSIDY.bit_length()))
"""Satoshi that regtest can ever create."""

_WITNESS_NONCE = bytes(32)


def subsidy(height: int) -> int:
    """Satoshi created by the block at `height`."""
    return SUBSIDY >> (height // HALVING_INTERVAL)


def coinbase(height: int, value: int, script_pubkey: bytes, witness_root: bytes, *, extra: int = 0) -> CTransaction:
    """Make the block's first transaction: `value` satoshi to `script_pubkey`, and the witness commitment.

    `witness_root` is the merkle root over the witness ids, this transaction counting as zero; `extra` tells
    apart blocks that are otherwise equal.
    """
    commitment = b"\x6a\x24\xaa\x21\xa9\xed" + _double_sha256(witness_root + _WITNESS_NONCE)
    script_sig = _push_number(height) + b"\x04" + struct.pack("<I", extra)
    return CTransaction.deserialize(
        b"".join(
            (
                b"\x02\x00\x00\x00\x00\x01\x01" + bytes(32) + b"\xff\xff\xff\xff",
                bytes([len(script_sig)]) + script_sig + b"\xff\xff\xff\xff\x02",
                struct.pack("<q", value) + bytes([len(script_pubkey)]) + script_pubkey,
                struct.pack("<q", 0) + bytes([len(commitment)]) + commitment,
                b"\x01\x20" + _WITNESS_NONCE + b"\x00\x00\x00\x00",
            )
        )
    )


def witness_root(transactions: Sequence[CTransaction]) -> bytes:
    """Merkle root over the witness ids of a block whose transactions after the coinbase are `transactions`."""
    return merkle_root([bytes(32), *(transaction.GetHash() for transaction in transactions)])


def assemble(previous: bytes, time: int, transactions: Sequence[CTransaction]) -> tuple[bytes, bytes]:
    """Serialise and mine a block on `previous`; returns (block hash, block). `transactions` starts with a coinbase."""
    root = merkle_root([txid(tx) for tx in transactions])
    front = struct.pack("<i", BLOCK_VERSION) + previous + root + struct.pack("<II", time, BITS)
    for nonce in itertools.count():
        header = front + struct.pack("<I", nonce)
        block_hash = _double_sha256(header)
        if int.from_bytes(block_hash, "little") <= TARGET:
            break
    body = b"".join(transaction.serialize() for transaction in transactions)
    return block_hash, header + compact_size(len(transactions)) + body


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    """Bitcoin's merkle root: double SHA-256, the last hash of an odd level paired with itself."""
    level = list(hashes)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [_double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def _push_number(number: int) -> bytes:
    """Encode a non-negative number as Script's shortest push of it."""
    if number == 0:
        return b"\x00"
    if number <= 16:
        return bytes([0x50 + number])
    encoded = number.to_bytes(number.bit_length() // 8 + 1, "little")
    return bytes([len(encoded)]) + encoded


def _double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()
