"""The transaction with which a challenger takes home a stake that went into no game.

It is no part of the graph: one input, the stake on its owner's key, one output, the owner's payout script, and a fee of
its own. While it waits the same bytes are sent again; after `PATIENCE` blocks a new one pays more and replaces it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import DUST_P2TR, INCREMENTAL_FEERATE, SEQUENCE_REPLACEABLE, key_path_vsize, sign_key_paths
from bitvm.chain.keys import TaprootKey
from bitvm.chain.remote import RemoteNode
from bitvm.daemon.store import Signed

PATIENCE = 6
"""Blocks after which a fee that was too low is raised."""

HURRY = 12
"""Blocks within which it should be confirmed: there is none."""


@dataclass(frozen=True, slots=True)
class Stake:
    """A stake that is still where Fund put it. key: its owner's. script_pubkey: where it goes."""

    key: TaprootKey
    outpoint: COutPoint
    output: CTxOut
    script_pubkey: bytes


def returned_stake(stake: Stake, kept: Signed | None, height: int, node: RemoteNode) -> CTransaction:
    """Return the transaction to send now, ``kept`` being the one that was signed last; raises ChainError."""
    if kept is not None and height - kept.height < PATIENCE:
        return kept.transaction
    script, spent = CScript(stake.script_pubkey), stake.output
    size = key_path_vsize(1, [CTxOut(0, script)])
    fee = math.ceil(node.market_feerate(HURRY) * size)
    if kept is not None:
        fee = max(fee, spent.nValue - kept.transaction.vout[0].nValue + math.ceil(INCREMENTAL_FEERATE * size))
    output = CTxOut(max(spent.nValue - fee, DUST_P2TR), script)
    unsigned = CTransaction([CTxIn(stake.outpoint, nSequence=SEQUENCE_REPLACEABLE)], [output], nVersion=2)
    return sign_key_paths(unsigned, [spent], [stake.key])
