"""What a BIP340 signature in a Taproot input signs: BIP341's message, with BIP342's extension for leaves.

A `SighashMaker` hashes what the inputs of a transaction share once; `taproot_sighash` is the same for one input.
Every hash type of BIP341 is supported. Amounts are satoshi, scripts and hashes as they appear in transactions.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from functools import cached_property

from bitcoin.core import CTransaction, CTxOut

from bitvm.script.taproot import ANNEX_TAG, tagged_hash
from bitvm.script.weight import compact_size

SIGHASH_DEFAULT = 0x00
SIGHASH_ALL = 0x01
SIGHASH_NONE = 0x02
SIGHASH_SINGLE = 0x03
SIGHASH_ANYONECANPAY = 0x80
HASH_TYPES = frozenset({0x00, 0x01, 0x02, 0x03, 0x81, 0x82, 0x83})
"""Every other hash type is invalid (BIP341)."""

NO_CODE_SEPARATOR = 0xFFFF_FFFF
"""The position signed in a leaf that has executed no OP_CODESEPARATOR (BIP342)."""

_EPOCH = b"\x00"
_KEY_VERSION = b"\x00"
_OUTPUTS_MASK = 0x03
_HAS_ANNEX, _HAS_EXTENSION = 1, 2


class SighashError(ValueError):
    """Nothing to sign: no such input, hash type or output, or spent outputs that do not fit the inputs."""


class SighashMaker:
    """The signature messages of one transaction."""

    def __init__(self, tx: CTransaction, spent: Sequence[CTxOut]) -> None:
        """Take the transaction and the output that each of its inputs spends, in the order of the inputs.

        Raises SighashError if their number differs.
        """
        if len(spent) != len(tx.vin):
            raise SighashError(f"{len(tx.vin)} inputs, but {len(spent)} spent outputs")
        self._tx = tx
        self._spent = tuple(spent)

    def sighash(
        self,
        index: int,
        *,
        leaf_hash: bytes | None = None,
        hash_type: int = SIGHASH_DEFAULT,
        annex: bytes | None = None,
        code_separator: int = NO_CODE_SEPARATOR,
    ) -> bytes:
        """Return the 32-byte message for input `index`.

        With `leaf_hash` the signature is checked inside that leaf, without it it spends through the key path.
        `annex` includes its tag 0x50. `code_separator` is the opcode position of the last OP_CODESEPARATOR executed.
        Raises SighashError.
        """
        self._check(index, leaf_hash, hash_type, annex)
        outputs, anyone_can_pay = hash_type & _OUTPUTS_MASK, hash_type & SIGHASH_ANYONECANPAY
        spend_type = (_HAS_ANNEX if annex is not None else 0) | (_HAS_EXTENSION if leaf_hash is not None else 0)
        parts = [_EPOCH, bytes([hash_type]), struct.pack("<iI", self._tx.nVersion, self._tx.nLockTime)]
        if not anyone_can_pay:
            parts.append(self._all_inputs)
        if outputs in (SIGHASH_DEFAULT, SIGHASH_ALL):
            parts.append(self._all_outputs)
        parts.append(bytes([spend_type]))
        parts.append(self._this_input(index) if anyone_can_pay else struct.pack("<I", index))
        if annex is not None:
            parts.append(_sha256([compact_size(len(annex)), annex]))
        if outputs == SIGHASH_SINGLE:
            parts.append(_sha256([_output(self._tx.vout[index])]))
        if leaf_hash is not None:
            parts += [leaf_hash, _KEY_VERSION, struct.pack("<I", code_separator)]
        return tagged_hash("TapSighash", b"".join(parts))

    def _check(self, index: int, leaf_hash: bytes | None, hash_type: int, annex: bytes | None) -> None:
        if not 0 <= index < len(self._tx.vin):
            raise SighashError(f"no input {index} in a transaction with {len(self._tx.vin)} inputs")
        if hash_type not in HASH_TYPES:
            raise SighashError(f"no hash type {hash_type:#x}")
        if hash_type & _OUTPUTS_MASK == SIGHASH_SINGLE and index >= len(self._tx.vout):
            raise SighashError(f"SIGHASH_SINGLE for input {index}, but there are {len(self._tx.vout)} outputs")
        if leaf_hash is not None and len(leaf_hash) != 32:
            raise SighashError(f"a leaf hash has 32 bytes, this one has {len(leaf_hash)}")
        if annex is not None and annex[:1] != bytes([ANNEX_TAG]):
            raise SighashError(f"an annex begins with {ANNEX_TAG:#x}")

    @cached_property
    def _all_inputs(self) -> bytes:
        """Hashes of all outpoints, amounts, scriptPubKeys and sequences: 128 bytes."""
        return b"".join(
            (
                _sha256(txin.prevout.hash + struct.pack("<I", txin.prevout.n) for txin in self._tx.vin),
                _sha256(struct.pack("<q", output.nValue) for output in self._spent),
                _sha256(_script(output) for output in self._spent),
                _sha256(struct.pack("<I", txin.nSequence) for txin in self._tx.vin),
            )
        )

    @cached_property
    def _all_outputs(self) -> bytes:
        return _sha256(_output(output) for output in self._tx.vout)

    def _this_input(self, index: int) -> bytes:
        """Outpoint, amount, scriptPubKey and sequence of one input, in the clear."""
        txin, output = self._tx.vin[index], self._spent[index]
        outpoint = txin.prevout.hash + struct.pack("<I", txin.prevout.n)
        return bytes(outpoint) + _output(output) + struct.pack("<I", txin.nSequence)


def taproot_sighash(
    tx: CTransaction,
    spent: Sequence[CTxOut],
    index: int,
    *,
    leaf_hash: bytes | None = None,
    hash_type: int = SIGHASH_DEFAULT,
    annex: bytes | None = None,
    code_separator: int = NO_CODE_SEPARATOR,
) -> bytes:
    """Return the 32-byte message that a signature in input `index` of `tx` signs; see `SighashMaker`."""
    maker = SighashMaker(tx, spent)
    return maker.sighash(index, leaf_hash=leaf_hash, hash_type=hash_type, annex=annex, code_separator=code_separator)


def _output(output: CTxOut) -> bytes:
    return struct.pack("<q", output.nValue) + _script(output)


def _script(output: CTxOut) -> bytes:
    script = bytes(output.scriptPubKey)
    return compact_size(len(script)) + script


def _sha256(parts: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
