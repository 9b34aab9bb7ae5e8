"""A private regtest chain in this process, under Bitcoin Core's own consensus rules.

Blocks are made in Python (`blocks`) and every one is validated in full by libbitcoinkernel before it counts: proof
of work, witness commitment, scripts, locks, amounts. What waits (`pool`) was checked the same way at submission,
so that a bad witness is refused with a reason at once and not when a block fails. No daemon, no socket; the only
files are the kernel's block files in a temporary directory.

Time is simulated: a block comes 600 seconds after its predecessor, starting at regtest's genesis block, and coins
come from the same known key, so two runs that submit the same transactions make the same chain, byte for byte.

On regtest the kernel checks its whole block index after every block: about 2,500 blocks a second at first, 600 a
second from height 4,000 on.
"""

import re
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import pbk
from bitcoin.core import COutPoint, CTransaction, CTxOut
from pbk.capi import bindings

from bitvm.chain.blocks import assemble, coinbase, subsidy, witness_root
from bitvm.chain.faucet import FAUCET_KEY, Faucet
from bitvm.chain.index import BlockIndex
from bitvm.chain.interface import BlockExtract, BlockId, ChainError, Rejected, UnknownBlockError
from bitvm.chain.pool import Pool, ScriptRejected
from bitvm.script.weight import txid

BLOCK_INTERVAL = 600
"""Seconds between the times of two blocks."""

_CONNECT_FAILURE = re.compile(r"ConnectBlock (?P<block>[0-9a-f]{64}) failed, (?P<reason>.*)")


class BlockRefusedError(ChainError):
    """The kernel refused a block; `reason` is its own verdict."""

    def __init__(self, height: int, reason: str) -> None:
        """Name the height the block was made for."""
        super().__init__(f"block at height {height} refused by the consensus engine: {reason}")
        self.reason = reason


class EmbeddedChain:
    """A `RegtestChain` without a node."""

    def __init__(self) -> None:
        """Start a chain that holds the genesis block alone; `faucet` mines its coins when first asked."""
        self._directory = tempfile.TemporaryDirectory(prefix="bitvm-chain-")
        self._log = _KernelLog()
        self._manager = self._start_kernel(Path(self._directory.name))
        self._index = BlockIndex()
        self._pool = Pool(self._index)
        self._faucet = Faucet(self)
        self._branches = 0
        self._processed: dict[bytes, BlockExtract] = {}  # stale blocks too, whole
        genesis = self._manager.get_active_chain().block_tree_entries[0]
        transactions = [CTransaction.deserialize(bytes(tx)) for tx in self._manager.blocks[genesis].transactions]
        time = int(genesis.block_header.timestamp.timestamp())
        genesis_hash = bytes(genesis.block_hash)
        self._index.connect(genesis_hash, time, transactions)
        self._processed[genesis_hash] = BlockExtract(BlockId(0, genesis_hash), bytes(32), tuple(transactions))

    def height(self) -> int:
        """See `Chain`."""
        return self._index.height

    def tip(self) -> BlockId:
        """See `BlockSource`."""
        return BlockId(self._index.height, self._index.block(self._index.height).block_hash)

    def block_hash(self, height: int) -> bytes:
        """See `BlockSource`."""
        if not 0 <= height <= self._index.height:
            raise UnknownBlockError(f"no block at height {height}: the chain ends at height {self._index.height}")
        return self._index.block(height).block_hash

    def extract(self, block_hash: bytes, txids: Collection[bytes]) -> BlockExtract:
        """See `BlockSource`; nothing is ever pruned."""
        whole = self._processed.get(block_hash)
        if whole is None:
            raise UnknownBlockError(f"no block {block_hash[::-1].hex()}")
        return replace(whole, transactions=tuple(tx for tx in whole.transactions if txid(tx) in txids))

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        """See `BlockSource`."""
        return tuple(tx for tx in self._pool.transactions() if txid(tx) in txids)

    def block_transactions(self, height: int) -> Sequence[CTransaction]:
        """See `Chain`."""
        return self._index.block(height).transactions

    def confirmation(self, txid: bytes) -> int | None:
        """See `Chain`."""
        return self._index.confirmation(txid)

    def spender(self, outpoint: COutPoint) -> tuple[CTransaction, int] | None:
        """See `Chain`."""
        return self._index.spender(outpoint)

    def submit(self, package: Sequence[CTransaction]) -> None:
        """See `Chain`; the package is judged at once and waits for the next block."""
        try:
            self._pool.submit(package)
        except ScriptRejected as rejected:
            raise Rejected(rejected.txid, self._explain(rejected)) from rejected

    def mempool(self) -> Sequence[CTransaction]:
        """See `Chain`."""
        return self._pool.transactions()

    def mine(self, blocks: int = 1) -> None:
        """See `RegtestChain`; BlockRefusedError would mean that `submit` let something invalid through."""
        for _ in range(blocks):
            chosen = self._pool.select_for_block()
            self.mine_block([entry.tx for entry in chosen], fees=sum(entry.fee for entry in chosen))

    def mine_block(self, transactions: Sequence[CTransaction], *, fees: int = 0) -> None:
        """Mine a block of exactly `transactions`, whose coinbase takes `fees` too; or BlockRefusedError.

        This goes around the checks of `submit`: consensus alone decides.
        """
        tip = self._index.block(self._index.height)
        block = self._make_block(tip.block_hash, tip.time, self._index.height + 1, transactions, fees)
        self._process(block)
        self._require_tip(block)
        self._index.connect(block.block_hash, block.time, block.transactions)
        self._pool.follow()

    def faucet(self, script_pubkey: bytes, amount: int) -> tuple[COutPoint, CTxOut]:
        """See `RegtestChain`; the first call mines 100 blocks."""
        return self._faucet.pay(script_pubkey, amount)

    def reorganise(self, depth: int) -> None:
        """See `RegtestChain`; the new blocks are empty, and the kernel switches to them for their work."""
        fork = self._index.height - depth
        if depth < 1 or fork < 0:
            raise ChainError(f"cannot replace {depth} of {self._index.height} blocks")
        self._branches += 1
        branch: list[_Block] = []
        previous, time = self._index.block(fork).block_hash, self._index.block(fork).time
        for height in range(fork + 1, fork + depth + 2):
            block = self._make_block(previous, time, height, [], 0)
            self._process(block)
            branch.append(block)
            previous, time = block.block_hash, block.time
        self._require_tip(branch[-1])
        undone = [self._index.disconnect() for _ in range(depth)]
        for block in branch:
            self._index.connect(block.block_hash, block.time, block.transactions)
        self._pool.follow(tx for block in reversed(undone) for tx in block.transactions[1:])

    def close(self) -> None:
        """See `RegtestChain`; the temporary directory goes with the chain."""
        del self._manager
        self._log.close()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        """Return the chain itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the chain."""
        self.close()

    def _explain(self, rejected: ScriptRejected) -> str:
        """Let the kernel judge a block with the refused transaction, for the words it has and `verify` has not."""
        try:
            self.mine_block(rejected.chain)
        except BlockRefusedError as error:
            return error.reason
        return rejected.reason

    def _start_kernel(self, directory: Path) -> pbk.ChainstateManager:
        context = pbk.make_context(pbk.ChainType.REGTEST)
        options = pbk.ChainstateManagerOptions(context, str(directory), str(directory / "blocks"))
        options.update_block_tree_db_in_memory(True)
        options.update_chainstate_db_in_memory(True)
        options.set_worker_threads_num(0)
        return pbk.ChainstateManager(options)

    def _make_block(
        self, previous: bytes, previous_time: int, height: int, transactions: Sequence[CTransaction], fees: int
    ) -> "_Block":
        first = coinbase(
            height,
            subsidy(height) + fees,
            FAUCET_KEY.script_pubkey,
            witness_root(transactions),
            extra=self._branches,
        )
        complete = (first, *transactions)
        time = previous_time + BLOCK_INTERVAL
        block_hash, serialised = assemble(previous, time, complete)
        return _Block(height, block_hash, serialised, time, complete)

    def _process(self, block: "_Block") -> None:
        """Hand a block to the kernel, which checks it and, if it extends the most work, connects it."""
        handle = bindings.btck_block_create(block.serialised, len(block.serialised))
        if not handle:
            raise BlockRefusedError(block.height, "undecodable")
        try:
            self._manager.process_block(pbk.Block._from_handle(handle))
        except pbk.ProcessBlockException as error:
            raise BlockRefusedError(block.height, self._log.reason(block.block_hash) or str(error)) from error
        block_id = BlockId(block.height, block.block_hash)
        self._processed[block.block_hash] = BlockExtract(block_id, block.serialised[4:36], block.transactions)

    def _require_tip(self, block: "_Block") -> None:
        """Raise BlockRefusedError unless the kernel made `block` its tip."""
        active = self._manager.get_active_chain()
        if bytes(active.block_tree_entries[active.height].block_hash) != block.block_hash:
            raise BlockRefusedError(block.height, self._log.reason(block.block_hash) or "not the best chain")


class _KernelLog:
    """The kernel's words about blocks that it refused; the log is all that tells them."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self._connection = pbk.LoggingConnection(self._read)

    def reason(self, block_hash: bytes) -> str | None:
        """Why the block was refused, if it was."""
        return self._reasons.get(block_hash[::-1].hex())

    def close(self) -> None:
        """Stop listening."""
        del self._connection

    def _read(self, message: str) -> None:
        found = _CONNECT_FAILURE.search(message)
        if found:
            self._reasons[found["block"]] = found["reason"]


@dataclass(frozen=True, slots=True)
class _Block:
    height: int
    block_hash: bytes
    serialised: bytes
    time: int
    transactions: tuple[CTransaction, ...]
