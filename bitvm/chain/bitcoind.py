"""A real `bitcoind` on regtest: its mempool, its relay policy, its packages.

`BitcoindNode` starts a private node: loopback only, no peers, no DNS, default relay policy of Bitcoin Core, with
non-standard transactions refused. `BitcoindChain` is a `RemoteNode` that keeps its own index of the active chain, so
that no `txindex` is needed. What the node refuses is raised with the node's own words.

Knots is stricter than Core even with Core's policy: since 29.3.knots20260508 it relays no tapscript that executes
OP_IF or OP_NOTIF or pushes more than 256 bytes, and no control block of more than 257 bytes (seven levels).
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bitcoin.core import CBlock, COutPoint, CTransaction, CTxOut

from bitvm.chain.blocks import BLOCK_WEIGHT_LIMIT
from bitvm.chain.faucet import FAUCET_KEY, Faucet
from bitvm.chain.index import BlockIndex
from bitvm.chain.interface import ChainError
from bitvm.chain.keys import TaprootKey, address
from bitvm.chain.node import Bitcoind, provide_bitcoind
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import Cookie, NodeUnreachableError, Rpc
from bitvm.script.weight import txid

START_TIMEOUT = 120
"""Seconds until a node that does not answer counts as failed."""
STOP_TIMEOUT = 60
POLL_INTERVAL = 0.05
LOG_TAIL_LINES = 15
BLOCKS_PER_CALL = 200


class NodeStartError(ChainError):
    """The node did not start; the message holds the end of its log and where the rest is."""


class BitcoindNode:
    """A private regtest node, running from construction until `close`."""

    def __init__(
        self,
        bitcoind: Bitcoind | None = None,
        datadir: Path | None = None,
        *,
        port: int | None = None,
        extra_arguments: Sequence[str] = (),
    ) -> None:
        """Start `bitcoind` (found or installed by default) and wait until it answers; or NodeStartError.

        Without `datadir` the node's files are temporary: removed when it stops, kept when something went wrong. It
        answers at `port`, or any free one.
        """
        self._bitcoind = bitcoind or provide_bitcoind()
        self._temporary = datadir is None
        self.datadir = datadir or Path(tempfile.mkdtemp(prefix="bitvm-bitcoind-"))
        self.datadir.mkdir(parents=True, exist_ok=True)
        self._port = port or _free_port()
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

    @property
    def cookie(self) -> Cookie:
        """Where its credentials are, and where it answers."""
        return Cookie(self.datadir / "regtest" / ".cookie", port=self._port)

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
                url = self.cookie.url()
                rpc = Rpc(url)
                try:
                    rpc("getblockcount")
                finally:
                    rpc.close()
            except NodeUnreachableError as error:
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


class BitcoindChain(RemoteNode):
    """A `RegtestChain` on a node; `url` as http://user:password@host:port, or a `BitcoindNode` of its own."""

    def __init__(self, node: BitcoindNode | str | None = None, *, block_weight: int = BLOCK_WEIGHT_LIMIT) -> None:
        """Connect to a node; without one, start a private node, which `close` stops. See `RemoteNode`."""
        self._owned = BitcoindNode() if node is None else None
        running = self._owned or node
        url = running.url if isinstance(running, BitcoindNode) else str(running)
        super().__init__(url, block_weight=block_weight)
        self._index = BlockIndex()
        self._waiting: dict[str, CTransaction] = {}
        self._faucet = Faucet(self)
        self._branches = 0

    def height(self) -> int:
        """See `Chain`."""
        self._follow()
        return self._index.height

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
        super().submit([tx for tx in package if self._index.confirmation(txid(tx)) is None])

    def mempool(self) -> Sequence[CTransaction]:
        """See `Chain`."""
        entries: dict[str, Any] = self.call("getrawmempool", True)
        self._waiting = {name: tx for name, tx in self._waiting.items() if name in entries}
        for name in entries:
            if name not in self._waiting:
                raw = bytes.fromhex(self.call("getrawtransaction", name))
                self._waiting[name] = CTransaction.deserialize(raw)
        by_ancestors = sorted(entries, key=lambda name: (entries[name]["ancestorcount"], entries[name]["time"]))
        return tuple(self._waiting[name] for name in by_ancestors)

    def mine(self, blocks: int = 1) -> None:
        """See `RegtestChain`."""
        for done in range(0, blocks, BLOCKS_PER_CALL):
            count = min(BLOCKS_PER_CALL, blocks - done)
            self.call("generatetoaddress", count, address(FAUCET_KEY.script_pubkey))
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
        self.call("invalidateblock", self._index.block(fork + 1).block_hash[::-1].hex())
        for _ in range(depth + 1):
            self.call("generateblock", address(branch_key.script_pubkey), [])
        self._follow()

    def close(self) -> None:
        """See `RegtestChain`; stops the node if this object started it."""
        super().close()
        if self._owned is not None:
            self._owned.close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the chain; the files of its own node are kept if an exception is on its way."""
        super().close()
        if self._owned is not None:
            self._owned.close(keep_files=exc is not None)

    def _follow(self) -> None:
        """Bring the index to the node's active chain: back to the fork, then forward."""
        best = self.call("getbestblockhash")
        if self._index.height >= 0 and self._hash_at(self._index.height) == best:
            return
        height = self.call("getblockheader", best)["height"]
        while self._index.height > height or (
            self._index.height >= 0
            and self.call("getblockhash", self._index.height) != self._hash_at(self._index.height)
        ):
            self._index.disconnect()
        for next_height in range(self._index.height + 1, height + 1):
            block_hash = self.call("getblockhash", next_height)
            block = CBlock.deserialize(bytes.fromhex(self.call("getblock", block_hash, 0)))
            self._index.connect(bytes.fromhex(block_hash)[::-1], block.nTime, block.vtx)

    def _hash_at(self, height: int) -> str:
        return self._index.block(height).block_hash[::-1].hex()


def _free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
