"""What the tests of the follower are made of: a small real graph with free witnesses, and a scripted node."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bitcoin.core import COutPoint, CTransaction, CTxIn, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness

from bitvm.chain.bitcoind import BitcoindChain
from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.faucet import FAUCET_KEY
from bitvm.chain.interface import BlockExtract, BlockId, PrunedBlockError, RegtestChain, UnknownBlockError
from bitvm.chain.keys import address
from bitvm.game.position import Position
from bitvm.graph.graph import Graph
from bitvm.graph.model import Coin, Input, Output, Template
from bitvm.script.weight import txid

FEE = 1_000


@dataclass(frozen=True)
class FreeLeaf:
    """A leaf that takes any one item, so that a transaction has as many witnesses as one likes."""

    name: str = "free"
    signers: tuple[str, ...] = ()
    script: bytes = b"\x75\x51"  # OP_DROP OP_TRUE

    def item_sizes(self) -> list[int]:
        return [80]


class FreeGraph:
    """Fund, then pairs of rivals: Fund has outputs a and b, each spent by one of two templates, and so on."""

    def __init__(self, chain: RegtestChain, salt: int = 0, depth: int = 2) -> None:
        leaf = FreeLeaf()
        self._tree = Output.locked("coin", 0, (leaf,)).tree
        assert self._tree is not None
        value = 60_000 + salt
        outpoint, spent = chain.faucet(self._tree.script_pubkey, value)
        self.start = chain.height()
        fund = self._template("Fund", (Coin(outpoint, spent),), value, leaf)
        templates = {"Fund": fund}
        newest = [fund]
        for _ in range(depth):
            newest = [
                self._template(f"{parent.name}.{output}{rival}", (self._input(parent, output),), None, leaf, rival)
                for parent in newest
                for output in "ab"
                for rival in range(2)
            ]
            templates |= {template.name: template for template in newest}
        setting: Any = None
        self.graph = Graph(setting, templates)
        self.watched = frozenset(self.graph.by_txid())

    @staticmethod
    def _input(parent: Template, output: str) -> Input:
        return Input(parent, output, ("free",))

    @staticmethod
    def _template(
        name: str, inputs: tuple[Input | Coin, ...], value: int | None, leaf: FreeLeaf, rival: int = 0
    ) -> Template:
        total = value if value is not None else sum(spent.spent.nValue for spent in inputs)
        half = (total - FEE) // 2 - rival  # rivals differ in what they pay
        return Template(name, "prover", inputs, tuple(Output.locked(o, half, (leaf,)) for o in "ab"), version=2)

    def transaction(self, name: str, variant: int = 0) -> CTransaction:
        """Return a template with one of its witnesses."""
        assert self._tree is not None
        return self.graph[name].with_witness([self._tree.witness("free", [variant.to_bytes(4, "big")])])

    def position(self, height: int, confirmed: Sequence[tuple[CTransaction, int]]) -> Position:
        return Position.fold(self.graph, height, confirmed)


def mine_exactly(chain: RegtestChain, *transactions: CTransaction) -> None:
    """Mine one block that holds these and nothing of what waits, whatever witness waits."""
    if isinstance(chain, EmbeddedChain):
        chain.mine_block(transactions)
    elif isinstance(chain, BitcoindChain):
        chain.call("generateblock", address(FAUCET_KEY.script_pubkey), [tx.serialize().hex() for tx in transactions])


def told(position: Position) -> dict[str, tuple[bytes, int]]:
    """Return what a position says, comparable byte for byte."""
    return {name: (seen.transaction.serialize(), seen.height) for name, seen in position.confirmed.items()}


def scripted_transaction(number: int, variant: int = 0) -> CTransaction:
    """Return a transaction that only a scripted node holds: its id depends on `number`, its witness on both."""
    inputs = [CTxIn(COutPoint(number.to_bytes(32, "big"), 0))]
    witness = CTxWitness([CTxInWitness(CScriptWitness([variant.to_bytes(4, "big")]))])
    return CTransaction(inputs, [CTxOut(number + 1, CScript(b"\x51"))], nVersion=2, witness=witness)


@dataclass
class ScriptedNode:
    """A `BlockSource` whose blocks are what the test says: for what no honest node can be made to do.

    asked: heights of the blocks that were read. tips: the tips that were told. pruned: blocks below this height are
    deleted. before: called before every question but `waiting`, with its name.
    """

    chain: list[bytes] = field(default_factory=list)
    blocks: dict[bytes, BlockExtract] = field(default_factory=dict)
    mempool: list[CTransaction] = field(default_factory=list)
    pruned: int = 0
    asked: list[int] = field(default_factory=list)
    tips: list[BlockId] = field(default_factory=list)
    before: Callable[[str], None] = lambda question: None  # noqa: ARG005

    def grow(self, *contents: Sequence[CTransaction], branch: int = 0) -> None:
        """Append blocks with these contents; equal contents on an equal parent make an equal block."""
        for transactions in contents:
            parent = self.chain[-1] if self.chain else bytes(32)
            body = b"".join(tx.serialize() for tx in transactions)
            block = BlockId(len(self.chain), hashlib.sha256(parent + bytes([branch]) + body).digest())
            self.blocks[block.hash] = BlockExtract(block, parent, tuple(transactions))
            self.chain.append(block.hash)

    def cut(self, depth: int) -> None:
        del self.chain[-depth:]

    def tip(self) -> BlockId:
        self.before("tip")
        self.tips.append(BlockId(len(self.chain) - 1, self.chain[-1]))
        return self.tips[-1]

    def block_hash(self, height: int) -> bytes:
        self.before("block_hash")
        if not 0 <= height < len(self.chain):
            raise UnknownBlockError(f"no block at height {height}")
        return self.chain[height]

    def extract(self, block_hash: bytes, txids: Collection[bytes]) -> BlockExtract:
        self.before("extract")
        whole = self.blocks[block_hash]
        self.asked.append(whole.block.height)
        if whole.block.height < self.pruned:
            raise PrunedBlockError("deleted")
        return replace(whole, transactions=tuple(tx for tx in whole.transactions if txid(tx) in txids))

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        return [tx for tx in self.mempool if txid(tx) in txids]
