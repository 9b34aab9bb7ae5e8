"""The transactions that the tests of this folder are made of."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness

from bitvm.chain.fees import anchor_output, sign_key_paths
from bitvm.chain.interface import RegtestChain
from bitvm.chain.keys import TaprootKey
from bitvm.chain.wallet import Wallet
from bitvm.script.taproot import TapLeaf, TapTree
from bitvm.script.weight import txid

_counter = itertools.count()


@dataclass
class Bench:
    """A chain, a funded wallet, and shorthand for transactions."""

    chain: RegtestChain
    wallet: Wallet

    @staticmethod
    def key() -> TaprootKey:
        """Return a key that no other test has."""
        return TaprootKey.from_seed(b"tests", f"key {next(_counter)}")

    def parent(self, key: TaprootKey, anchor_key: TaprootKey) -> CTransaction:
        """Build a fee-less version 3 transaction that moves a coin of `key` and carries an anchor."""
        outpoint, output = self.chain.faucet(key.script_pubkey, 50_000)
        unsigned = CTransaction([CTxIn(outpoint)], [output, anchor_output(anchor_key.script_pubkey)], nVersion=3)
        return sign_key_paths(unsigned, [output], [key])

    def spend(self, key: TaprootKey, coin: tuple[COutPoint, CTxOut], fee: int, *, version: int = 2) -> CTransaction:
        """Spend a coin of `key` to itself."""
        outpoint, output = coin
        change = CTxOut(output.nValue - fee, CScript(key.script_pubkey))
        unsigned = CTransaction([CTxIn(outpoint, nSequence=0xFFFFFFFD)], [change], nVersion=version)
        return sign_key_paths(unsigned, [output], [key])

    def leaf_spend(
        self, script: bytes, items: Sequence[bytes], *, sequence: int = 0xFFFFFFFD, locktime: int = 0
    ) -> CTransaction:
        """Fund an output with the one leaf `script` and spend it through that leaf, for a fee of 1 sat/WU."""
        tree = TapTree([TapLeaf("leaf", script)])
        witness = CTxWitness([CTxInWitness(CScriptWitness(tree.witness("leaf", items)))])
        fee = len(script) + sum(len(item) for item in items) + 500
        outpoint, _ = self.chain.faucet(tree.script_pubkey, fee + 1_000)
        output = CTxOut(1_000, CScript(self.key().script_pubkey))
        inputs = [CTxIn(outpoint, nSequence=sequence)]
        return CTransaction(inputs, [output], nVersion=2, nLockTime=locktime, witness=witness)

    def waiting(self) -> list[bytes]:
        """Return the ids of what waits."""
        return [txid(tx) for tx in self.chain.mempool()]
