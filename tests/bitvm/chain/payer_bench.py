"""A node of its own, a purse, a payer, and orders for hand-made parents: what the tests of the payer are made of."""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxOut
from bitcoin.core.script import CScript
from chain_bench import Bench

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.fees import DUST_P2TR, SEQUENCE_REPLACEABLE, key_path_vsize, sign_key_paths
from bitvm.chain.keys import TaprootKey, address
from bitvm.chain.payer import Delivery, Order, Payer
from bitvm.chain.purse import Purse
from bitvm.chain.wallet import Wallet
from bitvm.script.weight import txid

PARENT_VALUE = 50_000
EMPTY_BLOCK = address(TaprootKey.from_seed(b"tests", "empty blocks").script_pubkey)

_numbers = itertools.count()


class PayerBench:
    """A chain that a test can fill and mine as it likes; `payer` delivers with the coins of `purse`."""

    def __init__(self, chain: BitcoindChain, folder: Path) -> None:
        self.path = folder / "wallet"
        self.key = Bench.key()
        self.anchor_key = Bench.key()
        self.purse = Purse.create(self.path, self.key)
        self.move(chain)

    def move(self, chain: BitcoindChain) -> None:
        """Go on with another connection."""
        self.chain = chain
        self.payer = Payer(chain, self.purse)

    def fund(self, *coins: int) -> None:
        """Confirm coins in the purse."""
        for amount in coins:
            self.chain.faucet(self.key.script_pubkey, amount)
        self.purse.refresh(self.chain, self.chain.height(), self.purse.search(self.chain))

    def order(
        self,
        *,
        blocks: int | None = 12,
        budget: int = 100_000,
        comrades: frozenset[bytes] = frozenset(),
        yields_for: int | None = None,
        version: int = 3,
        own_fee: int = 0,
        coin: tuple[TaprootKey, COutPoint, CTxOut] | None = None,
        anchored: bool = True,
        lock: int = 0,
        payee: TaprootKey | None = None,
    ) -> Order:
        """Make an order to be confirmed within `blocks` blocks; its parent moves a new coin, or `coin`, to a key.

        It gives way to ``comrades`` for the next ``yields_for`` blocks, None for ever.
        """
        key, outpoint, spent = coin or self.parent_coin()
        anchors = [CTxOut(0 if version == 3 else DUST_P2TR, CScript(self.anchor_key.script_pubkey))] * anchored
        value = spent.nValue - own_fee - sum(each.nValue for each in anchors)
        unsigned = CTransaction(
            [CTxIn(outpoint, nSequence=SEQUENCE_REPLACEABLE)],
            [CTxOut(value, CScript((payee or Bench.key()).script_pubkey)), *anchors],
            nLockTime=lock,
            nVersion=version,
        )
        height = self.chain.height()
        return Order(
            purpose=f"test:{next(_numbers)}",
            transaction=sign_key_paths(unsigned, [spent], [key]),
            anchor_index=1 if anchored else None,
            anchor_key=self.anchor_key if anchored else None,
            spent=[spent],
            since=height,
            deadline=None if blocks is None else height + blocks,
            budget=budget,
            comrades=comrades,
            yields_below=math.inf if yields_for is None else height + yields_for,
        )

    def parent_coin(self) -> tuple[TaprootKey, COutPoint, CTxOut]:
        """Confirm a coin for a parent, on a key of its own."""
        key = Bench.key()
        return (key, *self.chain.faucet(key.script_pubkey, PARENT_VALUE))

    def deliver(self, order: Order) -> Delivery:
        """Do what a daemon does on a tick."""
        height = self.chain.height()
        self.purse.refresh(self.chain, height)
        return self.payer.deliver(order, height)

    def mine_empty(self) -> None:
        """Mine a block that takes up nothing."""
        self.chain.call("generateblock", EMPTY_BLOCK, [])

    def waiting(self) -> list[bytes]:
        """Return the ids of what waits."""
        return list(self.chain.mempool_txids())

    def is_confirmed(self, order: Order) -> bool:
        return self.chain.confirmation(txid(order.transaction)) is not None

    def crowd(self, count: int, value: int = 100_000) -> "Crowd":
        """Prepare other people: `count` confirmed coins of `value` sat, each spent alone."""
        return Crowd(self.chain, count, value)


class Crowd:
    """Many payments of strangers, at any feerate."""

    def __init__(self, chain: BitcoindChain, count: int, value: int) -> None:
        self._chain, self._key = chain, Bench.key()
        self._bench = Bench(chain, Wallet(chain, self._key))
        self._coins: list[tuple[COutPoint, CTxOut]] = []
        output = CTxOut(value, CScript(self._key.script_pubkey))
        while len(self._coins) < count:
            outputs = [output] * min(200, count - len(self._coins))
            fee = 2 * key_path_vsize(1, outputs)
            outpoint, spent = chain.faucet(self._key.script_pubkey, sum(each.nValue for each in outputs) + fee)
            cut = sign_key_paths(CTransaction([CTxIn(outpoint)], outputs, nVersion=2), [spent], [self._key])
            chain.submit([cut])
            chain.mine()
            self._coins += [(COutPoint(txid(cut), n), each) for n, each in enumerate(outputs)]

    def pay(self, feerates: Sequence[float]) -> None:
        """Send a payment of one input and one output at each feerate."""
        size = key_path_vsize(1, [self._coins[0][1]])
        for feerate in feerates:
            self._chain.submit([self._bench.spend(self._key, self._coins.pop(), fee=int(feerate * size) + 1)])

    def fill(self, feerate: float, outputs: int) -> None:
        """Spend each coin to many outputs, each dearer than the last: a mempool full of large transactions."""
        while self._coins:
            feerate *= 1.04  # what is added to a full mempool has to be dearer than what it throws out
            outpoint, spent = self._coins.pop()
            many = [CTxOut(DUST_P2TR, CScript(self._key.script_pubkey))] * outputs
            fee = int(feerate * key_path_vsize(1, [*many, spent]))
            change = CTxOut(spent.nValue - fee - DUST_P2TR * outputs, spent.scriptPubKey)
            unsigned = CTransaction([CTxIn(outpoint)], [*many, change], nVersion=2)
            self._chain.submit([sign_key_paths(unsigned, [spent], [self._key])])


@contextmanager
def payer_bench(folder: Path, *arguments: str, block_weight: int = 4_000_000) -> Iterator[PayerBench]:
    """Start a node with these arguments and a bench on it."""
    limits = [f"-blockmaxweight={block_weight}"] if block_weight < 4_000_000 else []
    with (
        BitcoindNode(extra_arguments=[*limits, *arguments]) as node,
        BitcoindChain(node, block_weight=block_weight) as chain,
    ):
        bench = PayerBench(chain, folder)
        with bench.purse:
            yield bench
