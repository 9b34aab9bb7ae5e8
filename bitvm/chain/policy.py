"""The relay rules of Bitcoin Core that a dispute can run into, for the embedded chain.

Consensus alone would accept what no node relays, and a simulation that needs such a transaction proves nothing.
These are Core's default rules for the shapes this project makes (version 3 packages, tapscript spends, P2TR
outputs); a real node has the last word, and every scenario runs on one too. Reasons are worded as Core words them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxOut

from bitvm.chain.fees import TRUC_CHILD_LIMIT, TRUC_PARENT_LIMIT, TRUC_VERSION
from bitvm.chain.interface import Rejected
from bitvm.script.taproot import ANNEX_TAG
from bitvm.script.weight import vsize, weight

STANDARD_WEIGHT = 400_000
TAPSCRIPT_ITEM_BYTES = 80
MINIMUM_FEERATE = 0.1
"""Satoshi per virtual byte, Core's default since version 30; older nodes ask for 1."""
DUST_RELAY_FEERATE = 3
OP_RETURN = b"\x6a"
OP_RETURN_OUTPUT_BYTES = 83
"""Core's limit until version 30, which many nodes keep: 80 bytes of data."""


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A transaction about to wait: its id, its fee in satoshi, and the ids of its unconfirmed parents."""

    tx: CTransaction
    txid: bytes
    fee: int
    parents: frozenset[bytes]


def check_alone(tx: CTransaction, txid: bytes, spent: Sequence[CTxOut]) -> None:
    """Judge what a single transaction shows: version, weight, empty scriptSigs, witness items; or Rejected."""
    if tx.nVersion not in (1, 2, TRUC_VERSION):
        raise Rejected(txid, "version")
    if weight(tx) > STANDARD_WEIGHT:
        raise Rejected(txid, "tx-size")
    if len(tx.serialize(params={"include_witness": False})) < 65:
        raise Rejected(txid, "tx-size-small")
    if not all(_standard_output(bytes(output.scriptPubKey)) for output in tx.vout):
        raise Rejected(txid, "scriptpubkey")
    for index, output in enumerate(spent):
        witness = tx.wit.vtxinwit[index].scriptWitness.stack if index < len(tx.wit.vtxinwit) else ()
        script = bytes(output.scriptPubKey)
        if len(script) == 34 and script[:2] == b"\x51\x20" and not _standard_taproot_witness(witness):
            raise Rejected(txid, "bad-witness-nonstandard")


def check_package(package: Sequence[PoolEntry]) -> None:
    """Judge new transactions as a package, parents first; or Rejected.

    The package as a whole meets the minimum feerate, dust is made by fee-less transactions only and spent inside
    the package, and version 3 transactions keep to the sizes of TRUC.
    """
    spent_inside = {txin.prevout for entry in package for txin in entry.tx.vin}
    for entry in package:
        dust = [COutPoint(entry.txid, n) for n, output in enumerate(entry.tx.vout) if _is_dust(output)]
        if len(dust) > 1:
            raise Rejected(entry.txid, "dust")
        if dust and entry.fee > 0:
            raise Rejected(entry.txid, "dust, tx with dust output must be 0-fee")
        if not spent_inside.issuperset(dust):
            raise Rejected(entry.txid, "missing-ephemeral-spends, the package does not spend its dust")
        limit = TRUC_CHILD_LIMIT if entry.parents else TRUC_PARENT_LIMIT
        if entry.tx.nVersion == TRUC_VERSION and vsize(entry.tx) > limit:
            raise Rejected(entry.txid, f"TRUC-violation, {vsize(entry.tx)} virtual bytes, more than {limit}")
    size = sum(vsize(entry.tx) for entry in package)
    fees = sum(entry.fee for entry in package)
    if fees < MINIMUM_FEERATE * size:
        raise Rejected(package[0].txid, f"min relay fee not met, {fees} < {MINIMUM_FEERATE * size:.0f}")


def check_topology(package: Sequence[PoolEntry], waiting: Sequence[PoolEntry]) -> None:
    """Judge the TRUC families that `package` makes with the transactions that stay `waiting`; or Rejected.

    A version 3 transaction has at most one unconfirmed ancestor and one descendant, and all of a family are
    version 3 or none.
    """
    pool = {entry.txid: entry for entry in (*waiting, *package)}
    children = Counter(parent for entry in pool.values() for parent in entry.parents)
    for entry in package:
        parents = [pool[parent] for parent in entry.parents]
        if any((parent.tx.nVersion == TRUC_VERSION) != (entry.tx.nVersion == TRUC_VERSION) for parent in parents):
            raise Rejected(entry.txid, "TRUC-violation, version 3 and other versions in one family")
        if entry.tx.nVersion != TRUC_VERSION:
            continue
        if len(parents) > 1 or any(parent.parents for parent in parents):
            raise Rejected(entry.txid, "TRUC-violation, too many unconfirmed ancestors")
        if any(children[parent.txid] > 1 for parent in parents):
            raise Rejected(entry.txid, "TRUC-violation, the parent has another child")


def _standard_taproot_witness(witness: Sequence[bytes]) -> bool:
    """Core's IsWitnessStandard for Taproot: no annex, tapscript stack items of at most 80 bytes."""
    if len(witness) < 2:
        return True
    if witness[-1][:1] == bytes([ANNEX_TAG]):
        return False
    return all(len(item) <= TAPSCRIPT_ITEM_BYTES for item in witness[:-2])


def _standard_output(script: bytes) -> bool:
    """Whether nodes relay an output on `script`: P2PKH, P2SH, a witness program, or a short OP_RETURN."""
    if script[:1] == OP_RETURN:
        return len(script) <= OP_RETURN_OUTPUT_BYTES
    if (len(script), script[:2]) in ((25, b"\x76\xa9"), (23, b"\xa9\x14")):
        return True
    return _is_witness_program(script)


def _is_witness_program(script: bytes) -> bool:
    """BIP141: a version opcode (OP_0, OP_1 to OP_16) and one push of 2 to 40 bytes."""
    versions = (0x00, *range(0x51, 0x61))
    return 4 <= len(script) <= 42 and script[0] in versions and script[1] == len(script) - 2


def _is_dust(output: CTxOut) -> bool:
    """Whether spending the output would cost more than it holds, at the dust feerate; OP_RETURN never is."""
    script = bytes(output.scriptPubKey)
    if script[:1] == OP_RETURN:
        return False
    spending_size = 67 if _is_witness_program(script) else 148
    return bool(output.nValue < DUST_RELAY_FEERATE * (len(output.serialize()) + spending_size))
