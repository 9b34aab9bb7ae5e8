"""A Bitcoin node over JSON-RPC, on any network, pruned or not: blocks, mempool, coins, feerates, packages.

`RemoteNode` keeps no index and remembers nothing: every answer is the node's, as it is now. It needs no `txindex` and
no wallet, and reads blocks only by name, so a pruned node serves as long as it keeps the blocks that are asked for. It
is used by one thread at a time. The node is version 29 or later (packages with ephemeral dust).

Every error is a ChainError. NodeUnreachableError means that there is no answer in time: the node is off, still
starting, overloaded, or refuses the credentials; BadAnswerError, that the answer makes no sense. A node that restarts
writes a new cookie; the file is read again when the old one is refused. What the node says about a transaction is
raised as `Rejected`, in the node's own words.

Amounts are satoshi, feerates satoshi per virtual byte; hashes and ids are 32 bytes in internal order.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

from bitcoin.core import COutPoint, CTransaction, CTxOut
from bitcoin.core.script import CScript

from bitvm.chain.answers import NO_PARENT, Answer
from bitvm.chain.blocks import BLOCK_WEIGHT_LIMIT
from bitvm.chain.interface import (
    BlockExtract,
    BlockId,
    PrunedBlockError,
    Rejected,
    UnknownBlockError,
)
from bitvm.chain.rpc import ANSWER_LIMIT, CALL_TIMEOUT, BadAnswerError, Cookie, Rpc, RpcError
from bitvm.chain.scan import scan
from bitvm.script.weight import txid

RPC_NOT_FOUND = -5
RPC_INVALID_PARAMETER = -8

NO_FEERATE_LIMIT = 0
"""The game decides what it pays; the node's guard against high fees stays out of it."""
NO_BURN_LIMIT = 21_000_000
"""In bitcoins: a slash burns most of a bond on purpose."""
CONSEQUENCES = ("min relay fee not met", "package-not-validated")
"""Reasons for one transaction of a package that may only follow from what is wrong with another."""

RECENT_BLOCKS = 6
"""Newest blocks that are searched for a refused transaction whose outputs are all spent."""
PRICED_BLOCKS = 3
"""Newest blocks that are looked at for what they took."""
NEARLY_FULL = 0.9
LONGEST_TARGET = 1_008
"""Blocks ahead for which a node estimates at most."""


LEAST_VERSION = 29
"""Of a node, Core or Knots: packages with ephemeral dust, which our anchors are."""


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

    @property
    def outdated(self) -> bool:
        """Whether it says that its version is below `LEAST_VERSION`."""
        major = self.version.partition(":")[2].partition(".")[0]
        return major.isdecimal() and int(major) < LEAST_VERSION


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
        self,
        access: str | Cookie,
        *,
        block_weight: int = BLOCK_WEIGHT_LIMIT,
        timeout: float = CALL_TIMEOUT,
        limit: int = ANSWER_LIMIT,
    ) -> None:
        """Ask nothing yet; ChainError if `access` is no such URL.

        block_weight: where miners of this network call a block full. timeout: seconds for a whole call. limit: bytes
        of an answer.
        """
        self._access = access
        self._block_weight = block_weight
        self._rpc = Rpc(access, timeout=timeout, limit=limit)

    # ---- calls

    def call(self, method: str, *arguments: object) -> Any:
        """Call the node; fractions come back as Decimal. Raises the errors of an `Rpc`."""
        return self._rpc(method, *arguments)

    def ask(self, method: str, *arguments: object) -> Answer:
        """Call the node, and read what it answers strictly; BadAnswerError is raised by what is read."""
        return Answer(method, self.call(method, *arguments))

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
        return self.header(self.ask("getbestblockhash").hash())[0]

    def tip_if_not(self, known: BlockId | None) -> BlockId | None:
        """The tip, or None if it still is `known`, in one question."""
        best = self.ask("getbestblockhash").hash()
        return None if known is not None and best == known.hash else self.header(best)[0]

    def header(self, block_hash: bytes) -> tuple[BlockId, bytes]:
        """A block and the hash of the one before (zeros at genesis), active or stale; UnknownBlockError."""
        header = self._of_block(block_hash, "getblockheader", block_hash[::-1].hex())
        return BlockId(header["height"].whole(), block_hash), _parent(header)

    def block_hash(self, height: int) -> bytes:
        """See `BlockSource`."""
        try:
            return self.ask("getblockhash", height).hash()
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
        return BlockListing(BlockId(block["height"].whole(), block_hash), _parent(block), block["tx"].hashes())

    def confirmed_transaction(self, tx_id: bytes, block_hash: bytes) -> CTransaction:
        """The transaction `tx_id` of a block that holds it; UnknownBlockError, PrunedBlockError."""
        raw = self._of_block(block_hash, "getrawtransaction", tx_id[::-1].hex(), False, block_hash[::-1].hex())
        return raw.transaction(tx_id)

    # ---- mempool

    def waiting(self, txids: Collection[bytes]) -> Sequence[CTransaction]:
        """See `BlockSource`."""
        found = (self.waiting_transaction(each) for each in self.mempool_txids() if each in txids)
        return [transaction for transaction in found if transaction is not None]

    def mempool_txids(self) -> tuple[bytes, ...]:
        """Ids of everything in the mempool."""
        return self.ask("getrawmempool").hashes()

    def waiting_transaction(self, tx_id: bytes) -> CTransaction | None:
        """The transaction in the mempool, or None if it is not there (any more)."""
        raw = self._or_none("getrawtransaction", tx_id[::-1].hex())
        return None if raw is None else raw.transaction(tx_id)

    def mempool_entry(self, tx_id: bytes) -> MempoolEntry | None:
        """Size and fees of a waiting transaction, or None if it does not wait."""
        entry = self._or_none("getmempoolentry", tx_id[::-1].hex())
        if entry is None:
            return None
        fees = entry["fees"]
        return MempoolEntry(
            vsize=entry["vsize"].whole(),
            fee=fees["base"].satoshi(),
            descendants_vsize=entry["descendantsize"].whole(),
            descendants_fee=fees["descendant"].valued(),
        )

    def mempool_spenders(self, outpoints: Sequence[COutPoint]) -> Mapping[COutPoint, bytes]:
        """Which of `outpoints` are spent in the mempool, and by the transactions of which ids."""
        asked = [{"txid": outpoint.hash[::-1].hex(), "vout": outpoint.n} for outpoint in outpoints]
        answers = list(self.ask("gettxspendingprevout", asked).items()) if asked else []
        if len(answers) != len(asked):
            raise BadAnswerError("gettxspendingprevout", f"{len(answers)} outputs, {len(asked)} were asked for")
        spenders = zip(outpoints, (answer.get("spendingtxid") for answer in answers), strict=True)
        return {outpoint: spender.hash() for outpoint, spender in spenders if spender is not None}

    # ---- coins

    def coin(self, outpoint: COutPoint, *, include_mempool: bool = True) -> Unspent | None:
        """The unspent output, or None if it does not exist or is spent.

        With `include_mempool`, outputs of waiting transactions exist, and what these spend is spent.
        """
        found = self.ask("gettxout", outpoint.hash[::-1].hex(), outpoint.n, include_mempool)
        if found.missing:
            return None
        output = CTxOut(found["value"].satoshi(), CScript(found["scriptPubKey"]["hex"].raw()))
        return Unspent(output, found["confirmations"].whole(), found["coinbase"].flag())

    def coins_of(self, script_pubkey: bytes) -> Mapping[COutPoint, Unspent]:
        """All confirmed coins on a script, whatever waits in the mempool; minutes on a large chain.

        ScanBusyError when the node scans for somebody else all the time.
        """
        answer, script = scan(self._access, script_pubkey), CScript(script_pubkey)
        height = answer["height"].whole()
        return {
            COutPoint(each["txid"].hash(), each["vout"].whole()): Unspent(
                CTxOut(each["amount"].satoshi(), script), height - each["height"].whole() + 1, each["coinbase"].flag()
            )
            for each in answer["unspents"].items()
        }

    # ---- the node and its market

    def info(self) -> NodeInfo:
        """What the node says of itself."""
        chain, network = self.ask("getblockchaininfo"), self.ask("getnetworkinfo")
        prune_height = chain.get("pruneheight")
        return NodeInfo(
            network=chain["chain"].text(),
            blocks=chain["blocks"].whole(),
            headers=chain["headers"].whole(),
            initial_download=chain["initialblockdownload"].flag(),
            pruned=chain["pruned"].flag(),
            prune_height=None if prune_height is None else prune_height.whole(),
            version=network["subversion"].text(),
            peers=network["connections"].whole(),
            median_time=chain["mediantime"].whole(),
            warnings=chain["warnings"].texts(),
        )

    def minimum_feerate(self) -> float:
        """What a transaction must pay to be relayed by this node now; rises when its mempool is full."""
        pool = self.ask("getmempoolinfo")
        return max(pool["mempoolminfee"].feerate(), pool["minrelaytxfee"].feerate())

    def market_feerate(self, blocks: int) -> float:
        """What confirms within about `blocks` blocks: the node's estimate, the minimum, and what full blocks took.

        A node without an estimate (young, restarted) still sees what the newest blocks that had no room left took,
        and in a sudden rush these are ahead of the estimate.
        """
        found = self.ask("estimatesmartfee", min(max(blocks, 1), LONGEST_TARGET), "economical").get("feerate")
        return max(0.0 if found is None else found.feerate(), self.minimum_feerate(), self._price_of_full_blocks())

    def _price_of_full_blocks(self) -> float:
        """What the cheapest tenth of the newest full block paid; 0 where none of the newest blocks is full."""
        height = self.tip().height
        for number in range(height, max(height - PRICED_BLOCKS, 0), -1):
            try:
                stats = self.ask("getblockstats", number, ["total_weight", "feerate_percentiles"])
            except RpcError as error:
                if error.code != RPC_INVALID_PARAMETER and "pruned" not in error.message:
                    raise
                return 0.0  # replaced by a shorter chain since, or deleted: there is no price to learn
            if stats["total_weight"].whole() >= NEARLY_FULL * self._block_weight:
                cheapest = next(stats["feerate_percentiles"].items(), None)
                if cheapest is None:
                    raise BadAnswerError("getblockstats", "a full block without feerates")
                return float(cheapest.whole() + 1)  # the node rounds down
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
            answer = self.ask("submitpackage", list(raw), NO_FEERATE_LIMIT, NO_BURN_LIMIT)
        except RpcError as error:
            raise Rejected(txid(package[-1]), error.message) from error
        verdict = answer["package_msg"].text()
        if verdict == "success":
            return
        results = [(result["txid"].hash(), result.get("error")) for result in answer["tx-results"].values()]
        errors = [(tx_id, error.text()) for tx_id, error in results if error is not None]
        # A fee-less parent is always short of fees when its child fails: the child's own reason comes first.
        errors.sort(key=lambda error: error[1].startswith(CONSEQUENCES))
        refused, reason = errors[0] if errors else (txid(package[-1]), verdict)
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

    def _of_block(self, block_hash: bytes, method: str, *arguments: object) -> Answer:
        """Call about a block."""
        name = block_hash[::-1].hex()
        try:
            return self.ask(method, *arguments)
        except RpcError as error:
            if "pruned" in error.message:
                raise PrunedBlockError(f"block {name}: {error.message}") from error
            if error.code != RPC_NOT_FOUND:
                raise
            raise UnknownBlockError(f"no block {name}: {error.message}") from error

    def _or_none(self, method: str, *arguments: object) -> Answer | None:
        """Call about something that may have left the mempool since it was listed."""
        try:
            return self.ask(method, *arguments)
        except RpcError as error:
            if error.code != RPC_NOT_FOUND:
                raise
            return None


def _parent(block: Answer) -> bytes:
    """The hash of the block before, which genesis does not have."""
    parent = block.get("previousblockhash")
    return NO_PARENT if parent is None else parent.hash()
