"""One set-up that a daemon serves: follow the chain, decide, sign, hand over to be sent and paid for.

    a tick    1  the follower reads the chain and records every witness it sees
              2  the position is folded from what the chain shows, and from nothing else
              3  the role decides; each decision that is a move is signed: first the one-time journal, then the bytes
                 are kept, then the payer sends them with a child, again and dearer as the deadline nears
              4  what is settled frees its coins

A move is wanted for as long as the strategy returns it, so nothing has to be remembered of it: after a crash, a reorg
or a node that lost its mempool the next tick does what is missing. What goes wrong with one move is a notice, and the
other moves are made. While the daemon recovers from a restore it is `silent`: it follows, and signs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitcoin.core import COutPoint, CTransaction, CTxOut

from bitvm.chain.follower import Alarm, AlarmKind, Follower, Update
from bitvm.chain.interface import BlockId, ChainError
from bitvm.chain.payer import Delivery, DeliveryState, Order, Payer
from bitvm.chain.remote import RemoteNode
from bitvm.chain.sightings import Sightings
from bitvm.daemon.concerns import Concerns
from bitvm.daemon.enrol import fund_purpose
from bitvm.daemon.leaving import Stake, returned_stake
from bitvm.daemon.logs import get_logger
from bitvm.daemon.memory import Memory
from bitvm.daemon.reports import setup_status
from bitvm.daemon.role import Bench, Judged, Role, claimed_input
from bitvm.daemon.status import Notice, NoticeKind, SetupStatus, Severity
from bitvm.daemon.store import KeptVerdict
from bitvm.game.finality import Verdict
from bitvm.game.leaving import is_settled, may_leave
from bitvm.game.moves import Move
from bitvm.game.position import Position
from bitvm.game.responder import Responder
from bitvm.game.urgency import Rivals, budget, since
from bitvm.graph.fund import slot_output, stake_output
from bitvm.graph.graph import FUND
from bitvm.graph.model import ANCHOR, PROVER, challenger_number
from bitvm.keys.journal import AlreadySigned

_log = get_logger(__name__)

LEAVE = "leave"
"""What the stake's way home is called among the transactions that we signed."""

RISKY_BLOCKS = 3
"""A move that is not confirmed so few blocks before its deadline is critical."""

SPARE_BLOCKS = 1
"""A Slash gives way to a comrade's that pays as much, but not in the last block that leaves time to Reclaim."""

_ALARMS = {
    AlarmKind.STALLED: NoticeKind.NODE_STALLED,
    AlarmKind.BEHIND: NoticeKind.NODE_BEHIND,
    AlarmKind.DISAGREES: NoticeKind.NODES_DISAGREE,
    AlarmKind.SECOND_BEHIND: NoticeKind.NODES_DISAGREE,
    AlarmKind.SECOND_UNREACHABLE: NoticeKind.NODES_DISAGREE,
}
_QUIET = (DeliveryState.WAITING, DeliveryState.CONFIRMED)
_UNDELIVERED = (DeliveryState.REFUSED, DeliveryState.UNPAID, DeliveryState.OVER_BUDGET)


@dataclass(frozen=True, slots=True)
class Report:
    """What a tick of one set-up found. node_notices: about the node, the same for every set-up."""

    status: SetupStatus
    notices: tuple[Notice, ...]
    node_notices: tuple[Notice, ...]


class Engagement:
    """One set-up; used by one thread at a time."""

    def __init__(
        self,
        bench: Bench,
        role: Role,
        sightings: Sightings,
        *,
        follower: Follower,
        node: RemoteNode,
        payer: Payer,
        unknown_blocks: int,
    ) -> None:
        """Take its parts; nothing is asked yet. unknown_blocks: see the field of the configuration."""
        self.bench, self.role, self.sightings = bench, role, sightings
        self._follower, self._node, self._payer = follower, node, payer
        self._graph = bench.archive.graph
        self._responder = Responder(bench.archive.signed, bench.secrets)
        self._rivals = Rivals(self._graph)
        self._concerns = Concerns(bench.name, bench.party, self._rivals, unknown_blocks)
        self._memory = Memory(bench, sightings)
        self._told: dict[str, tuple[DeliveryState, str]] = {}
        self._checked: BlockId | None = None
        self._spent: tuple[Notice, ...] = ()
        self._looked: BlockId | None = None
        self.followed: BlockId | None = None
        """The block up to which everything is read, and what we signed in it recorded."""
        self.position: Position | None = None
        """Where the set-up stood at the newest tick."""
        self.waiting: tuple[CTransaction, ...] = ()
        """The set-up's transactions in the mempool at the newest tick."""

    def follow(self, now: float) -> Update:
        """Read the chain, record what we signed in it, fold the position; raises ChainError, SightingsError."""
        update = self._follower.tick(now)
        self._memory.learn([*(transaction for transaction, _ in update.confirmed), *update.waiting])
        self.followed = update.tip
        self.position = Position.fold(self._graph, update.tip.height, update.confirmed, self.position)
        self.waiting = update.waiting
        if update.reorg_depth:
            _log.warning("reorganisation", setup=self.bench.name, depth=update.reorg_depth, tip=update.tip.height)
        return update

    def tick(self, now: float, *, silent: bool = False) -> Report:
        """Follow, decide and act; raises ChainError, SightingsError and other errors of the stores."""
        update = self.follow(now)
        position = self._position()
        decisions = self.role.decide(position)
        self._keep_verdicts(position)

        def judge(slot: int) -> Judged:
            return self.role.judged(position, slot)

        notices = [*self._memory.notices(), *self._spends(update.tip, position)]
        notices += self._concerns.find(position, decisions, judge)
        notices += self._failed_runs(position)
        if not silent:
            wanted = [decision for decision in decisions.values() if isinstance(decision, Move)]
            for move in wanted:
                notices += self._make(move, position)
            notices += self._extras(position)
            self._settle(position, {move.template for move in wanted})
        status = setup_status(
            self.bench.name,
            self.bench.party,
            self.bench.archive.setup_id,
            position,
            self._rivals,
            judge=judge,
            decisions=decisions,
            fees=self.bench.store.fees(self.bench.name),
            taken_back=self.bench.store.taken_back_at(self.bench.name),
        )
        return Report(status, tuple(notices), tuple(map(_of_node, update.alarms)))

    def learn(self, transactions: Sequence[CTransaction]) -> None:
        """Record what we are seen to have signed in what somebody else has seen; what is not ours is not kept."""
        self._memory.learn(transactions)

    def close(self) -> None:
        """Close what belongs to this set-up alone."""
        self.sightings.close()

    def _position(self) -> Position:
        if self.position is None:
            raise RuntimeError("the set-up was not followed yet")
        return self.position

    # ---- moves

    def prepare(self, move: Move, position: Position) -> CTransaction:
        """Sign a move and keep it, ready to be sent; raises AlreadySigned where a key holds another message."""
        signed = self._responder.transaction(move, position)
        self.bench.store.keep_signed(self.bench.name, move.template, signed, position.height)
        return signed

    def _signed_before(self, move: Move) -> CTransaction | None:
        """Return what we signed for the transaction before, if it was kept.

        After a reorganisation deeper than `confirmations` it answers what the opponent does not say any more; it is
        still the only thing that our key can say, and silence loses for sure.
        """
        kept = self.bench.store.signed(self.bench.name, move.template)
        return kept[-1].transaction if kept else None

    def order(self, move: Move, position: Position, signed: CTransaction) -> Order:
        """Return what the payer needs to know of a signed move."""
        template = self._graph[move.template]
        deadline = self._rivals.deadline(position, template)
        return Order(
            purpose=self._purpose(template.name),
            transaction=signed,
            anchor_index=template.index(ANCHOR),
            anchor_key=self.bench.secrets.anchor,
            spent=template.spent,
            since=since(position, template),
            deadline=deadline,
            budget=budget(position, template, deadline),
            comrades=frozenset(comrade.txid for comrade in self._rivals.comrades(template)),
            yields_below=math.inf if deadline is None else deadline - SPARE_BLOCKS,
        )

    def _make(self, move: Move, position: Position) -> Iterator[Notice]:
        try:
            signed: CTransaction | None
            try:
                signed = self.prepare(move, position)
            except AlreadySigned as error:
                signed = self._signed_before(move)
                then = "nothing is sent" if signed is None else "what it signed is sent"
                text = f"{move.template}: {error}; {then}"
                yield self._notice(NoticeKind.CANNOT_SIGN, Severity.CRITICAL, text)
                if signed is None:
                    return
            order = self.order(move, position, signed)
            delivery = self._payer.deliver(order, position.height)
        except ChainError as error:
            yield self._notice(NoticeKind.MOVE_AT_RISK, Severity.WARNING, f"{move.template}: {error}")
        except Exception as error:  # one move that fails, whatever the reason, keeps no other from being made
            _log.exception("move failed", **self._about(move))
            yield self._notice(NoticeKind.GAME_ALARM, Severity.CRITICAL, f"{move.template}: {error!r}")
        else:
            self._tell(move, delivery)
            self.bench.store.keep_fee(self.bench.name, move.template, delivery.fee)
            yield from self._risk(order, delivery, position.height)

    def _risk(self, order: Order, delivery: Delivery, height: int) -> Iterator[Notice]:
        """Notice a move that cannot be sent as it should, or that is not confirmed when its deadline is near."""
        left = None if order.deadline is None else order.deadline - height
        near = left is not None and left <= RISKY_BLOCKS and delivery.state is not DeliveryState.CONFIRMED
        if delivery.state in _UNDELIVERED or near:
            ends = f"; {left} blocks are left" if near else ""
            name = order.purpose.partition(":")[2]
            severity = Severity.CRITICAL if near else Severity.WARNING
            yield self._notice(NoticeKind.MOVE_AT_RISK, severity, f"{name}: {delivery.text}{ends}")

    def _tell(self, move: Move, delivery: Delivery) -> None:
        news = (delivery.state, delivery.text)
        if delivery.state not in _QUIET and self._told.get(move.template) != news:
            self._told[move.template] = news
            paid = {"feerate": round(delivery.feerate, 2), "fee": delivery.fee}
            _log.info("move", state=delivery.state.value, why=move.why, text=delivery.text, **paid, **self._about(move))

    def _about(self, move: Move) -> dict[str, str]:
        return {"setup": self.bench.name, "template": move.template}

    def _extras(self, position: Position) -> Iterator[Notice]:
        """Send what no strategy decides: Fund while it is not confirmed, and the stake's way home at the end."""
        fund = self.bench.archive.fund
        if not position.has(FUND) and self.bench.store.is_given_up(self.bench.name):
            self._look_for_coins(position)
        elif not position.has(FUND) and fund is not None:
            yield from self._deliver_plain(FUND, fund, self._graph[FUND].spent, position)
        elif self.bench.party != PROVER and may_leave(position, self._number()):
            yield from self._leave(position)

    def _look_for_coins(self, position: Position) -> None:
        """Note whether a coin that we gave to Fund is spent otherwise, so that Fund cannot come; asked once a block."""
        if self.followed == self._looked or position.height < self.sightings.start():
            return  # a node that reads the chain anew has not got the coins yet
        self._looked = self.followed
        coins = self._graph.setting.participants[self.bench.party].coins
        gone = any(self._node.coin(coin.outpoint, include_mempool=False) is None for coin in coins)
        self.bench.store.keep_taken_back(self.bench.name, position.height if gone else None)

    def _leave(self, position: Position) -> Iterator[Notice]:
        fund = self._graph[FUND]
        outpoint = fund.outpoint(stake_output(self._number()))
        if self._node.coin(outpoint, include_mempool=False) is None:
            return
        kept = self.bench.store.signed(self.bench.name, LEAVE)
        script = self._graph.setting.participants[self.bench.party].payout_script
        stake = Stake(self.bench.secrets.stake, outpoint, fund.output(stake_output(self._number())).txout, script)
        home = returned_stake(stake, kept[-1] if kept else None, position.height, self._node)
        self.bench.store.keep_signed(self.bench.name, LEAVE, home, position.height)
        yield from self._deliver_plain(LEAVE, home, (stake.output,), position)

    def _deliver_plain(
        self, name: str, transaction: CTransaction, spent: Sequence[CTxOut], position: Position
    ) -> Iterator[Notice]:
        """Send a transaction that pays for itself."""
        order = Order(self._purpose(name), transaction, None, None, spent, position.height, None, 0)
        delivery = self._payer.deliver(order, position.height)
        if delivery.state in _UNDELIVERED:
            yield self._notice(NoticeKind.MOVE_AT_RISK, Severity.WARNING, f"{name}: {delivery.text}")

    def _settle(self, position: Position, wanted: set[str]) -> None:
        """Free the coins of what is buried, or can never be confirmed any more."""
        funded = fund_purpose(self.bench.name)
        if position.buried(FUND) and funded in self._payer.purposes(funded):
            self._payer.settle(funded)
        prefix = self._purpose("")
        for purpose in self._payer.purposes(prefix):
            name = purpose.removeprefix(prefix)
            if name in wanted or name not in self._graph.templates:
                continue
            template = self._graph[name]
            at = position.at_claim(template.claim)
            if at.buried(template.plain) or self._rivals.is_void(position, template):
                self._payer.settle(purpose)

    def _purpose(self, template: str) -> str:
        return f"{self.bench.name}:{template}"

    def _number(self) -> int:
        return challenger_number(self.bench.party)

    # ---- what somebody should look at

    def _keep_verdicts(self, position: Position) -> None:
        for slot in self.bench.slots:
            if not position.at_claim(slot).has("Claim"):
                continue
            found = self.role.judged(position, slot)
            if found.verdict is not Verdict.UNKNOWN:
                root = claimed_input(position, slot) or b""
                kept = KeptVerdict(slot, root, found.verdict.value, found.why, found.seconds or 0.0)
                self.bench.store.keep_verdict(self.bench.name, kept)

    def _spends(self, tip: BlockId, position: Position) -> tuple[Notice, ...]:
        """Notice that something of ours is gone which no transaction of the set-up has spent; asked once a block."""
        if tip != self._checked:
            self._spent = tuple(self._strange_spends(position))
            self._checked = tip
        return self._spent

    def _strange_spends(self, position: Position) -> Iterator[Notice]:
        if not position.has(FUND) or not position.buried(FUND):
            return
        fund = self._graph[FUND]
        if self.bench.party == PROVER:
            outputs = [slot_output(slot) for slot in self.bench.slots]
        else:
            outputs = [stake_output(self._number())]
        left = bool(self.bench.store.signed(self.bench.name, LEAVE)) or self._may_have_left(position)
        for output in outputs:
            outpoint: COutPoint = fund.outpoint(output)
            known = any(outpoint == spent.outpoint for name in position.confirmed for spent in self._graph[name].inputs)
            if not known and not left and self._node.coin(outpoint, include_mempool=False) is None:
                text = f"{output}: spent by a transaction that is not of the set-up"
                yield self._notice(NoticeKind.UNEXPECTED_SPEND, Severity.CRITICAL, text)

    def _failed_runs(self, position: Position) -> Iterator[Notice]:
        for slot, why in self.bench.failures.items():
            severity = Severity.CRITICAL if position.at_claim(slot).has("Claim") else Severity.WARNING
            yield self._notice(NoticeKind.RUN_FAILED, severity, f"the run of claim {slot} failed: {why}")

    def _may_have_left(self, position: Position) -> bool:
        """Whether our stake may have gone home by our own hand, which a restored home has forgotten."""
        restored = self.bench.store.recovered_at(self.bench.name) is not None
        return restored and self.bench.party != PROVER and is_settled(position)

    def _notice(self, kind: NoticeKind, severity: Severity, text: str) -> Notice:
        return Notice(kind, severity, text, self.bench.name)


def _of_node(alarm: Alarm) -> Notice:
    serious = alarm.kind in (AlarmKind.DISAGREES, AlarmKind.STALLED)
    severity = Severity.CRITICAL if serious else Severity.WARNING
    return Notice(_ALARMS[alarm.kind], severity, f"{alarm.kind.value}: {alarm.text}")
