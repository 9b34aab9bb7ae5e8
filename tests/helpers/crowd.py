"""Other people's payments: they fill blocks and mempools at the feerate they are told."""

from __future__ import annotations

from dataclasses import dataclass, field

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.fees import DUST_P2TR, SEQUENCE_REPLACEABLE, key_path_vsize, sign_key_paths
from bitvm.chain.interface import Rejected
from bitvm.chain.keys import SpendableCoin, TaprootKey
from bitvm.script.weight import txid
from regtest.stage import Stage

OUTPUT = CTxOut(DUST_P2TR, CScript(b"\x51\x20" + bytes(31) + b"\x01"))


@dataclass
class Crowd:
    """Pays with coins of its own, each coin once. outputs: of every payment, 43 vB each."""

    stage: Stage
    outputs: int
    coins: list[SpendableCoin] = field(default_factory=list)
    key: TaprootKey = field(default_factory=lambda: TaprootKey.from_seed(b"crowd", "key"))

    @property
    def size(self) -> int:
        """Virtual size of a payment."""
        return key_path_vsize(1, [OUTPUT] * self.outputs)

    def earn(self, count: int, feerate: float) -> None:
        """Get the coins for so many payments at a feerate."""
        script = CScript(self.key.script_pubkey)
        value = int(feerate * self.size) + DUST_P2TR * self.outputs + DUST_P2TR
        split = [CTxOut(value, script)] * count
        fee = 3 * key_path_vsize(1, split)
        outpoint, output = self.stage.chain.faucet(self.key.script_pubkey, value * count + fee)
        made = sign_key_paths(CTransaction([CTxIn(outpoint)], split, nVersion=2), [output], [self.key])
        self.stage.chain.submit([made])
        self.stage.chain.mine()
        self.coins += [SpendableCoin(COutPoint(txid(made), n), each, self.key) for n, each in enumerate(split)]

    def pay(self, count: int, feerate: float) -> None:
        """Send so many payments; raises Rejected."""
        for _ in range(count):
            coin = self.coins.pop()
            fee = int(feerate * self.size) + 1
            change = coin.output.nValue - fee - DUST_P2TR * (self.outputs - 1)
            outputs = [*[OUTPUT] * (self.outputs - 1), CTxOut(change, OUTPUT.scriptPubKey)]
            unsigned = CTransaction([CTxIn(coin.outpoint, nSequence=SEQUENCE_REPLACEABLE)], outputs, nVersion=2)
            self.stage.chain.submit([sign_key_paths(unsigned, [coin.output], [self.key])])

    def fill(self, feerate: float) -> None:
        """Send payments until the mempool is so full that it throws out what pays less, and takes no more."""
        while True:
            try:
                self.pay(1, feerate)
            except Rejected as error:
                if "mempool full" not in str(error):
                    raise
                return
