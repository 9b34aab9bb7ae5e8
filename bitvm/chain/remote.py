"""A Bitcoin node over JSON-RPC, on any network, pruned or not: blocks, mempool, coins, feerates, packages.

`RemoteNode` keeps no index and remembers nothing: every answer is the node's, as it is now. It needs no `txindex` and
no wallet, and reads blocks only by name, so a pruned node serves as long as it keeps the blocks that are asked for. It
is used by one thread at a time. The node is version 28 or later (TRUC packages, spends in the mempool).

Every error is a ChainError. NodeUnreachableError means that there is no usable answer: the node is off, still starting,
overloaded, or refuses the credentials. A node that restarts writes a new cookie; the file is read again when the old
one is refused. What the node says about a transaction is raised as `Rejected`, in the node's own words.

Amounts are satoshi, feerates satoshi per virtual byte; hashes and ids are 32 bytes in internal order.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self

from bitcoin.core import COutPoint, CTransaction, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.blocks import BLOCK_WEIGHT_LIMIT
from bitvm.chain.interface import (
    BlockExtract,
    BlockId,
    ChainError,
    PrunedBlockError,
    Rejected,
    UnknownBlockError,
)
from bitvm.chain.rpc import CALL_TIMEOUT, Cookie, Rpc, RpcError
from bitvm.script.weight import txid

RPC_NOT_FOUND = -5
RPC_INVALID_PARAMETER = -8

NO_FEERATE_LIMIT = 0
"""The game decides what it pays; the node's guard against high fees stays out of it."""
NO_BURN_LIMIT = 21_000_000
"""In bitcoins: a slash burns most of a bond on purpose."""
CONSEQUENCES = ("min relay fee not met", "package-not-validated")
"""Reasons for one transaction of a package that may only follow from what is wrong with another."""

SCAN_TIMEOUT = 3_600
"""Seconds for a scan of all coins; minutes on the main network."""
SCAN_PATIENCE = 30.0
"""Seconds to wait for somebody else's scan to end, and between two questions whether it has."""
SCAN_PAUSE = 0.05
RECENT_BLOCKS = 6
"""Newest blocks that are searched for a refused transaction whose outputs are all spent."""
PRICED_BLOCKS = 3
"""Newest blocks that are looked at for what they took."""
NEARLY_FULL = 0.9
LONGEST_TARGET = 1_008
"""Blocks ahead for which a node estimates at most."""

_COIN = 100_000_000
_PER_KILOBYTE = 1_000
_NO_PARENT = "00" * 32


class ScanBusyError(ChainError):
    """The node scans its coins for somebody else; it does one scan at a time."""


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """What a node says of itself.

    network: main, test, testnet4, signet or regtest. blocks: height of its tip; headers: of the best chain of headers
    it knows. initial_download: whether it still catches up. prune_height: lowest block it keeps, None if it keeps all.
    version: its own name. peers: connections. median_time: of the newest blocks, in seconds since 1970.
    """

    network: str
    blocks: int
    headers: int
    initial_download: bool
    pruned: bool
    prune_height: int | None
    version: str
    peers: int
    median_time: int
    warnings: tuple[str, ...]


class Unspent(NamedTuple):
    """An unspent output; `confirmations` is 0 in the mempool, `coinbase` says whether it has to mature."""

    output: CTxOut
    confirmations: int
    coinbase: bool


@dataclass(frozen=True, slots=True)
class BlockListing:
    """A block without its transactions; `parent` is the hash of the block before (zeros at genesis)."""

    block: BlockId
    parent: bytes
    txids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class MempoolEntry:
    """A waiting transaction: its size and fee, and those of it together with everything that spends from it."""

    vsize: int
    fee: int
    descendants_vsize: int
    descendants_fee: int


class RemoteNode:
    """A node; `access` is http://user:password@host:port, or the `Cookie` of a node."""

    def __init__(
        self, access: str | Cookie, *, block_weight: int = BLOCK_WEIGHT_LIMIT, timeout: float = CALL_TIMEOUT
    ) -> None:
        """Ask nothing yet; ChainError if `access` is no such URL.

        block_weight: where miners of this network call a block full. timeout: seconds until a call counts as failed.
        """
        self._access = access
        self._block_weight = block_weight
        self._rpc = Rpc(access, timeout=timeout)

    # ---- calls

    def call(self, method: str, *arguments: object) -> Any:
        """Call the node; fractions come back as Decimal. RpcError is the node's own, else NodeUnreachableError."""
        return self._rpc(method, *arguments)

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self._rpc.close()

    def __enter__(self) -> Self:
        """Return the node itself."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    # ---- blocks

    def tip(self) -> BlockId:
        """See `BlockSource`."""
        return self._block_id(_internal(self.call("getbestblockhash")))

    def tip_if_not(self, known: BlockId | None) -> BlockId | None:
        """The tip, or None if it still is `known`, in one question."""
        best = _internal(self.call("getbestblockhash"))
        return None if known is not None and best == known.hash else self._block_id(best)

    def block_hash(self, height: int) -> bytes:
        """See `BlockSource`."""
        try:
            return _internal(self.call("getblockhash", height))
        except RpcError as error:
            if error.code != RPC_INVALID_PARAMETER:
                raise
            raise UnknownBlockError(f"no block at height {height}: {error.message}") from error

    def extract(self, block_hash: bytes, txids: Collection[bytes]) -> BlockExtract:
        """See `BlockSource`."""
        listing = self.listing(block_hash)
        transactions = (self.confirmed_transaction(each, block_hash) for each in listing.txids if each in txids)
        return BlockExtract(listing.block, listing.parent, tuple(transactions))

    def listing(self, block_hash: bytes) -> BlockListing:
        """The ids of the transactions in a block, active or stale; UnknownBlockError, PrunedBlockError."""
        block = self._of_block(block_hash, "getblock", block_hash[::-1].hex(), 1)
        parent = _internal(block.get("previousblockhash", _NO_PARENT))
        return BlockListing(BlockId(block["height"], block_hash), parent, tuple(map(_internal, block["tx"])))

    def confirmed_transaction(self, tx_id: bytes, block_hash: bytes) -> CTransaction:
        """The transaction `tx_id` of a block that holds it; UnknownBlockError, PrunedBlockError."""
        return _decoded(
            self._of_block(block_hash, "getrawtransaction", tx_id[::-1].hex(), False, block_hash[::-1].hex())
        )

    # ---- mempool

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        """See `BlockSource`."""
        found = (self.waiting_transaction(each) for each in self.mempool_txids() if each in txids)
        return [transaction for transaction in found if transaction is not None]

    def mempool_txids(self) -> tuple[bytes, ...]:
        """Ids of everything in the mempool."""
        return tuple(map(_internal, self.call("getrawmempool")))

    def waiting_transaction(self, tx_id: bytes) -> CTransaction | None:
        """The transaction in the mempool, or None if it is not there (any more)."""
        raw = self._or_none("getrawtransaction", tx_id[::-1].hex())
        return None if raw is None else _decoded(raw)

    def mempool_entry(self, tx_id: bytes) -> MempoolEntry | None:
        """Size and fees of a waiting transaction, or None if it does not wait."""
        entry = self._or_none("getmempoolentry", tx_id[::-1].hex())
        if entry is None:
            return None
        fees = entry["fees"]
        return MempoolEntry(entry["vsize"], satoshi(fees["base"]), entry["descendantsize"], satoshi(fees["descendant"]))

    def mempool_spenders(self, outpoints: Sequence[COutPoint]) -> Mapping[COutPoint, bytes]:
        """Which of `outpoints` are spent in the mempool, and by the transactions of which ids."""
        asked = [{"txid": outpoint.hash[::-1].hex(), "vout": outpoint.n} for outpoint in outpoints]
        answers = self.call("gettxspendingprevout", asked) if asked else []
        return {
            outpoint: _internal(answer["spendingtxid"])
            for outpoint, answer in zip(outpoints, answers, strict=True)
            if "spendingtxid" in answer
        }

    # ---- coins

    def coin(self, outpoint: COutPoint, *, include_mempool: bool = True) -> Unspent | None:
        """The unspent output, or None if it does not exist or is spent.

        With `include_mempool`, outputs of waiting transactions exist, and what these spend is spent.
        """
        found = self.call("gettxout", outpoint.hash[::-1].hex(), outpoint.n, include_mempool)
        if found is None:
            return None
        script = CScript(bytes.fromhex(found["scriptPubKey"]["hex"]))
        return Unspent(CTxOut(satoshi(found["value"]), script), found["confirmations"], found["coinbase"])

    def coins_of(self, script_pubkey: bytes) -> Mapping[COutPoint, Unspent]:
        """All confirmed coins on a script, whatever waits in the mempool; minutes on a large chain.

        ScanBusyError when the node scans for somebody else for longer than `SCAN_PATIENCE` seconds.
        """
        patient = Rpc(self._access, timeout=SCAN_TIMEOUT)
        try:
            answer = self._scan(patient, script_pubkey)
        finally:
            patient.close()
        script = CScript(script_pubkey)
        return {
            COutPoint(_internal(each["txid"]), each["vout"]): Unspent(
                CTxOut(satoshi(each["amount"]), script), answer["height"] - each["height"] + 1, each["coinbase"]
            )
            for each in answer["unspents"]
        }

    @staticmethod
    def _scan(rpc: Rpc, script_pubkey: bytes) -> Any:
        """Let the node scan as soon as it is free for that."""
        deadline = time.monotonic() + SCAN_PATIENCE
        while True:
            try:
                return rpc("scantxoutset", "start", [{"desc": f"raw({script_pubkey.hex()})"}])
            except RpcError as error:
                if "already in progress" not in error.message:
                    raise
                if time.monotonic() > deadline:
                    text = "the node scans its coins for somebody else; ask again when it is done"
                    raise ScanBusyError(text) from error
            time.sleep(SCAN_PAUSE)

    # ---- the node and its market

    def info(self) -> NodeInfo:
        """What the node says of itself."""
        chain, network = self.call("getblockchaininfo"), self.call("getnetworkinfo")
        warnings = chain["warnings"]
        return NodeInfo(
            network=chain["chain"],
            blocks=chain["blocks"],
            headers=chain["headers"],
            initial_download=chain["initialblockdownload"],
            pruned=chain["pruned"],
            prune_height=chain.get("pruneheight"),
            version=network["subversion"],
            peers=network["connections"],
            median_time=chain["mediantime"],
            warnings=tuple(warnings) if isinstance(warnings, list) else (warnings,) if warnings else (),
        )

    def minimum_feerate(self) -> float:
        """What a transaction must pay to be relayed by this node now; rises when its mempool is full."""
        pool = self.call("getmempoolinfo")
        return max(_feerate(pool["mempoolminfee"]), _feerate(pool["minrelaytxfee"]))

    def market_feerate(self, blocks: int) -> float:
        """What confirms within about `blocks` blocks: the node's estimate, the minimum, and what full blocks took.

        A node without an estimate (young, restarted) still sees what the newest blocks that had no room left took,
        and in a sudden rush these are ahead of the estimate.
        """
        answer = self.call("estimatesmartfee", min(max(blocks, 1), LONGEST_TARGET), "economical")
        estimate = _feerate(answer["feerate"]) if "feerate" in answer else 0.0
        return max(estimate, self.minimum_feerate(), self._price_of_full_blocks())

    def _price_of_full_blocks(self) -> float:
        """What the cheapest tenth of the newest full block paid; 0 where none of the newest blocks is full."""
        height = self.tip().height
        for number in range(height, max(height - PRICED_BLOCKS, 0), -1):
            try:
                stats = self.call("getblockstats", number, ["total_weight", "feerate_percentiles"])
            except RpcError as error:
                if error.code != RPC_INVALID_PARAMETER and "pruned" not in error.message:
                    raise
                return 0.0  # replaced by a shorter chain since, or deleted: there is no price to learn
            if stats["total_weight"] >= NEARLY_FULL * self._block_weight:
                return float(stats["feerate_percentiles"][0] + 1)  # the node rounds down
        return 0.0

    # ---- packages

    def submit(self, package: Sequence[CTransaction]) -> None:
        """Offer a transaction, or a parent and its fee child in that order; Rejected if any is refused.

        What waits or is confirmed already may be submitted again and is passed over in silence. A confirmed
        transaction is recognised by an output that is unspent, or else in the newest `RECENT_BLOCKS` blocks.
        """
        try:
            self._offer(package)
        except Rejected:
            open_ones = self._not_confirmed(package)
            if len(open_ones) == len(package):
                raise
            self._offer(open_ones)

    def _offer(self, package: Sequence[CTransaction]) -> None:
        raw = [transaction.serialize().hex() for transaction in package]
        if len(raw) == 1:
            try:
                self.call("sendrawtransaction", raw[0], NO_FEERATE_LIMIT, NO_BURN_LIMIT)
            except RpcError as error:
                raise Rejected(txid(package[0]), error.message) from error
        elif raw:
            self._offer_together(package, raw)

    def _offer_together(self, package: Sequence[CTransaction], raw: Sequence[str]) -> None:
        try:
            answer = self.call("submitpackage", list(raw), NO_FEERATE_LIMIT, NO_BURN_LIMIT)
        except RpcError as error:
            raise Rejected(txid(package[-1]), error.message) from error
        if answer["package_msg"] == "success":
            return
        errors = [
            (_internal(result["txid"]), str(result["error"]))
            for result in answer["tx-results"].values()
            if "error" in result
        ]
        # A fee-less parent is always short of fees when its child fails: the child's own reason comes first.
        errors.sort(key=lambda error: error[1].startswith(CONSEQUENCES))
        refused, reason = errors[0] if errors else (txid(package[-1]), answer["package_msg"])
        raise Rejected(refused, reason)

    def _not_confirmed(self, package: Sequence[CTransaction]) -> list[CTransaction]:
        """Return those of `package` that are not known to be confirmed."""
        spent = []
        for transaction in package:
            outpoints = (COutPoint(txid(transaction), n) for n in range(len(transaction.vout)))
            if all(self.coin(outpoint, include_mempool=False) is None for outpoint in outpoints):
                spent.append(transaction)
        block = self.tip().hash
        for _ in range(RECENT_BLOCKS if spent else 0):
            try:
                listing = self.listing(block)
            except (UnknownBlockError, PrunedBlockError):
                break
            spent = [transaction for transaction in spent if txid(transaction) not in listing.txids]
            block = listing.parent
        return spent

    # ---- answers

    def _block_id(self, block_hash: bytes) -> BlockId:
        return BlockId(self.call("getblockheader", block_hash[::-1].hex())["height"], block_hash)

    def _of_block(self, block_hash: bytes, method: str, *arguments: object) -> Any:
        """Call about a block."""
        name = block_hash[::-1].hex()
        try:
            return self.call(method, *arguments)
        except RpcError as error:
            if "pruned" in error.message:
                raise PrunedBlockError(f"block {name}: {error.message}") from error
            if error.code != RPC_NOT_FOUND:
                raise
            raise UnknownBlockError(f"no block {name}: {error.message}") from error

    def _or_none(self, method: str, *arguments: object) -> Any:
        """Call about something that may have left the mempool since it was listed."""
        try:
            return self.call(method, *arguments)
        except RpcError as error:
            if error.code != RPC_NOT_FOUND:
                raise
            return None


def satoshi(amount: Decimal | int) -> int:
    """Bitcoins, as a node writes them, in satoshi."""
    return int(amount * _COIN)


def _internal(name: str) -> bytes:
    """A hash as explorers show it, in internal order."""
    return bytes.fromhex(name)[::-1]


def _decoded(raw: str) -> CTransaction:
    return CTransaction.deserialize(bytes.fromhex(raw))


def _feerate(per_kilobyte: Decimal | int) -> float:
    """A node's feerate, in bitcoins a thousand virtual bytes, in satoshi a virtual byte."""
    return float(per_kilobyte * _COIN / _PER_KILOBYTE)
