"""A real `bitcoind` on regtest: its mempool, its relay policy, its packages.

`BitcoindNode` starts a private node: loopback only, no peers, no DNS, default relay policy of Bitcoin Core, with
non-standard transactions refused. `BitcoindChain` speaks to a node over RPC and keeps its own index of the active
chain, so that no `txindex` is needed. What the node refuses is raised with the node's own words.

Knots is stricter than Core even with Core's policy: since 29.3.knots20260508 it relays no tapscript that executes
OP_IF or OP_NOTIF or pushes more than 256 bytes, and no control block of more than 257 bytes (seven levels).
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitcoin.core import CBlock, COutPoint, CTransaction, CTxOut

from bitvm.chain.faucet import FAUCET_KEY, Faucet
from bitvm.chain.index import BlockIndex
from bitvm.chain.interface import (
    BlockExtract,
    BlockId,
    ChainError,
    PrunedBlockError,
    Rejected,
    UnknownBlockError,
)
from bitvm.chain.keys import TaprootKey, address
from bitvm.chain.node import Bitcoind, provide_bitcoind
from bitvm.chain.rpc import NodeUnreachableError, Rpc, RpcError, cookie_url
from bitvm.script.weight import txid

START_TIMEOUT = 120
"""Seconds until a node that does not answer counts as failed."""
STOP_TIMEOUT = 60
POLL_INTERVAL = 0.05
LOG_TAIL_LINES = 15
BLOCKS_PER_CALL = 200
RPC_IN_WARMUP = -28
RPC_NOT_FOUND = -5
RPC_INVALID_PARAMETER = -8
NO_FEERATE_LIMIT = 0
"""The game decides what it pays; the node's guard against high fees stays out of it."""
NO_BURN_LIMIT = 21_000_000
"""In bitcoins: a slash burns most of a bond on purpose."""
CONSEQUENCES = ("min relay fee not met", "package-not-validated")
"""Reasons for one transaction of a package that may only follow from what is wrong with another."""


class NodeStartError(ChainError):
    """The node did not start; the message holds the end of its log and where the rest is."""


class BitcoindNode:
    """A private regtest node, running from construction until `close`."""

    def __init__(
        self, bitcoind: Bitcoind | None = None, datadir: Path | None = None, *, extra_arguments: Sequence[str] = ()
    ) -> None:
        """Start `bitcoind` (found or installed by default) and wait until it answers; or NodeStartError.

        Without `datadir` the node's files are temporary: removed when it stops, kept when something went wrong.
        """
        self._bitcoind = bitcoind or provide_bitcoind()
        self._temporary = datadir is None
        self.datadir = datadir or Path(tempfile.mkdtemp(prefix="bitvm-bitcoind-"))
        self.datadir.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        self._output = (self.datadir / "output.txt").open("ab")
        self._process = subprocess.Popen(
            [*self._bitcoind.command, *self._arguments(), *extra_arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self._end_process()
            raise

    @property
    def version(self) -> str:
        """The node's own name and version."""
        return self._bitcoind.version

    @property
    def pid(self) -> int:
        """Process id of the node."""
        return self._process.pid

    def close(self, *, keep_files: bool = False) -> None:
        """Stop the node and wait for it; temporary files go, unless they are to be kept or it ended badly."""
        status = self._end_process()
        if self._temporary and not keep_files and status == 0:
            shutil.rmtree(self.datadir)

    def __enter__(self) -> Self:
        """Return the running node."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the node; its files are kept if an exception is on its way."""
        self.close(keep_files=exc is not None)

    def _arguments(self) -> list[str]:
        arguments = [
            "-regtest",
            f"-datadir={self.datadir}",
            "-server=1",
            f"-rpcport={self._port}",
            "-rpcbind=127.0.0.1",
            "-rpcallowip=127.0.0.1",
            "-listen=0",
            "-connect=0",
            "-dnsseed=0",
            "-fixedseeds=0",
            "-discover=0",
            "-disablewallet=1",
            "-acceptnonstdtxn=0",
            "-printtoconsole=0",
            "-checkblockindex=0",  # self-checks that only regtest has on, and that cost more with every block
            "-checkmempool=0",
        ]
        return [*arguments, "-corepolicy=1"] if self._bitcoind.is_knots else arguments

    def _wait_until_ready(self) -> str:
        """Wait for the first answer; the cookie appears late, and the node refuses calls while it warms up."""
        deadline = time.monotonic() + START_TIMEOUT
        problem: Exception | None = None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise NodeStartError(f"the node ended with status {self._process.returncode}: {self._log_tail()}")
            try:
                url = cookie_url(self.datadir / "regtest" / ".cookie", self._port)
                rpc = Rpc(url)
                try:
                    rpc("getblockcount")
                finally:
                    rpc.close()
            except NodeUnreachableError as error:
                problem = error
            except RpcError as error:
                if error.code != RPC_IN_WARMUP:
                    raise
                problem = error
            else:
                return url
            time.sleep(POLL_INTERVAL)
        raise NodeStartError(f"no answer in {START_TIMEOUT} seconds ({problem}): {self._log_tail()}")

    def _end_process(self) -> int:
        """Wait for the process, killing it if need be; its exit status."""
        try:
            if self._process.poll() is None:
                self._process.terminate()
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
        finally:
            self._output.close()

    def _log_tail(self) -> str:
        lines: list[str] = []
        for path in (self.datadir / "output.txt", self.datadir / "regtest" / "debug.log"):
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return f"log in {self.datadir}\n" + "\n".join(lines)


class BitcoindChain:
    """A `RegtestChain` on a node; `url` as http://user:password@host:port, or a `BitcoindNode` of its own."""

    def __init__(self, node: BitcoindNode | str | None = None) -> None:
        """Connect to a node; without one, start a private node, which `close` stops."""
        self._owned = BitcoindNode() if node is None else None
        running = self._owned or node
        self._rpc = Rpc(running.url if isinstance(running, BitcoindNode) else str(running))
        self._index = BlockIndex()
        self._waiting: dict[str, CTransaction] = {}
        self._faucet = Faucet(self)
        self._branches = 0

    def height(self) -> int:
        """See `Chain`."""
        self._follow()
        return self._index.height

    def tip(self) -> BlockId:
        """See `BlockSource`; this and the next three keep no index and read no other block than the one named."""
        best = self._rpc("getbestblockhash")
        return BlockId(self._rpc("getblockheader", best)["height"], bytes.fromhex(best)[::-1])

    def block_hash(self, height: int) -> bytes:
        """See `BlockSource`."""
        try:
            return bytes.fromhex(self._rpc("getblockhash", height))[::-1]
        except RpcError as error:
            if error.code != RPC_INVALID_PARAMETER:
                raise
            raise UnknownBlockError(f"no block at height {height}: {error.message}") from error

    def extract(self, block_hash: bytes, txids: Collection[bytes]) -> BlockExtract:
        """See `BlockSource`."""
        name = block_hash[::-1].hex()
        try:
            block = self._rpc("getblock", name, 1)
            found = [tx_id for tx_id in block["tx"] if bytes.fromhex(tx_id)[::-1] in txids]
            raw = [self._rpc("getrawtransaction", tx_id, False, name) for tx_id in found]
        except RpcError as error:
            if "pruned" in error.message:
                raise PrunedBlockError(f"block {name}: {error.message}") from error
            if error.code != RPC_NOT_FOUND:
                raise
            raise UnknownBlockError(f"no block {name}: {error.message}") from error
        parent = bytes.fromhex(block.get("previousblockhash", "00" * 32))[::-1]
        transactions = tuple(CTransaction.deserialize(bytes.fromhex(each)) for each in raw)
        return BlockExtract(BlockId(block["height"], block_hash), parent, transactions)

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        """See `BlockSource`."""
        transactions = []
        for name in self._rpc("getrawmempool"):
            if bytes.fromhex(name)[::-1] in txids:
                try:
                    raw = self._rpc("getrawtransaction", name)
                except RpcError as error:
                    if error.code != RPC_NOT_FOUND:
                        raise
                    continue  # confirmed, replaced or evicted since the mempool was listed
                transactions.append(CTransaction.deserialize(bytes.fromhex(raw)))
        return transactions

    def block_transactions(self, height: int) -> Sequence[CTransaction]:
        """See `Chain`."""
        self._follow()
        return self._index.block(height).transactions

    def confirmation(self, txid: bytes) -> int | None:
        """See `Chain`."""
        self._follow()
        return self._index.confirmation(txid)

    def spender(self, outpoint: COutPoint) -> tuple[CTransaction, int] | None:
        """See `Chain`."""
        self._follow()
        return self._index.spender(outpoint)

    def submit(self, package: Sequence[CTransaction]) -> None:
        """See `Chain`; one transaction goes through `sendrawtransaction`, more through `submitpackage`."""
        self._follow()
        open_ones = [tx for tx in package if self._index.confirmation(txid(tx)) is None]
        raw = [tx.serialize().hex() for tx in open_ones]
        if len(raw) == 1:
            try:
                self._rpc("sendrawtransaction", raw[0], NO_FEERATE_LIMIT, NO_BURN_LIMIT)
            except RpcError as error:
                raise Rejected(txid(open_ones[0]), error.message) from error
        elif raw:
            self._submit_package(open_ones, raw)

    def mempool(self) -> Sequence[CTransaction]:
        """See `Chain`."""
        entries: dict[str, Any] = self._rpc("getrawmempool", True)
        self._waiting = {name: tx for name, tx in self._waiting.items() if name in entries}
        for name in entries:
            if name not in self._waiting:
                raw = bytes.fromhex(self._rpc("getrawtransaction", name))
                self._waiting[name] = CTransaction.deserialize(raw)
        by_ancestors = sorted(entries, key=lambda name: (entries[name]["ancestorcount"], entries[name]["time"]))
        return tuple(self._waiting[name] for name in by_ancestors)

    def mine(self, blocks: int = 1) -> None:
        """See `RegtestChain`."""
        for done in range(0, blocks, BLOCKS_PER_CALL):
            count = min(BLOCKS_PER_CALL, blocks - done)
            self._rpc("generatetoaddress", count, address(FAUCET_KEY.script_pubkey))
        self._follow()

    def faucet(self, script_pubkey: bytes, amount: int) -> tuple[COutPoint, CTxOut]:
        """See `RegtestChain`; the first call mines 100 blocks."""
        return self._faucet.pay(script_pubkey, amount)

    def reorganise(self, depth: int) -> None:
        """See `RegtestChain`; the new blocks are empty and pay a key that no other block pays."""
        fork = self.height() - depth
        if depth < 1 or fork < 0:
            raise ChainError(f"cannot replace {depth} of {self.height()} blocks")
        self._branches += 1
        branch_key = TaprootKey.from_seed(b"regtest", f"branch {self._branches}")
        self._rpc("invalidateblock", self._index.block(fork + 1).block_hash[::-1].hex())
        for _ in range(depth + 1):
            self._rpc("generateblock", address(branch_key.script_pubkey), [])
        self._follow()

    def close(self) -> None:
        """See `RegtestChain`; stops the node if this object started it."""
        self._rpc.close()
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> Self:
        """Return the chain itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the chain; the files of its own node are kept if an exception is on its way."""
        self._rpc.close()
        if self._owned is not None:
            self._owned.close(keep_files=exc is not None)

    def _submit_package(self, package: Sequence[CTransaction], raw: Sequence[str]) -> None:
        try:
            answer = self._rpc("submitpackage", list(raw), NO_FEERATE_LIMIT, NO_BURN_LIMIT)
        except RpcError as error:
            raise Rejected(txid(package[-1]), error.message) from error
        if answer["package_msg"] == "success":
            return
        errors = [
            (bytes.fromhex(result["txid"])[::-1], str(result["error"]))
            for result in answer["tx-results"].values()
            if "error" in result
        ]
        # A fee-less parent is always short of fees when its child fails: the child's own reason comes first.
        errors.sort(key=lambda error: error[1].startswith(CONSEQUENCES))
        refused, reason = errors[0] if errors else (txid(package[-1]), answer["package_msg"])
        raise Rejected(refused, reason)

    def _follow(self) -> None:
        """Bring the index to the node's active chain: back to the fork, then forward."""
        best = self._rpc("getbestblockhash")
        if self._index.height >= 0 and self._hash_at(self._index.height) == best:
            return
        height = self._rpc("getblockheader", best)["height"]
        while self._index.height > height or (
            self._index.height >= 0
            and self._rpc("getblockhash", self._index.height) != self._hash_at(self._index.height)
        ):
            self._index.disconnect()
        for next_height in range(self._index.height + 1, height + 1):
            block_hash = self._rpc("getblockhash", next_height)
            block = CBlock.deserialize(bytes.fromhex(self._rpc("getblock", block_hash, 0)))
            self._index.connect(bytes.fromhex(block_hash)[::-1], block.nTime, block.vtx)

    def _hash_at(self, height: int) -> str:
        return self._index.block(height).block_hash[::-1].hex()


def _free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
