"""Bad weather for a company: blocks that are replaced, a node that forgets, a signer that says something else.

A `Storm` is a `Company` whose every signature is remembered: what stands in blocks, in stale ones too, in mempools, and
what its daemons keep as signed and have not sent. It tells whether a key ever signed twice, whether a coin ever served
two purposes, and what its daemons complained about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from bitcoin.core import COutPoint, CTransaction
from company import Company, new_stage
from tiny import LIE_STEP

from bitvm.chain.keys import TaprootKey, address
from bitvm.daemon.computations import Run, execute
from bitvm.daemon.daemon import Daemon
from bitvm.daemon.role import Bench, Role, RoleMaker
from bitvm.daemon.status import Notice, NoticeKind
from bitvm.game.moves import Decision, Move, Say, SayChoice, SayCommitment, SayStep, Statement
from bitvm.game.position import Position
from bitvm.game.responder import Responder
from bitvm.game.trace_list import trace_root
from bitvm.graph.model import PROVER, Input
from bitvm.keys.journal import Journal
from bitvm.keys.secrets import Secrets
from bitvm.prover.role import ProverRole
from bitvm.script.weight import txid
from regtest.cases import Deviation
from regtest.hostile_roles import Accuser, lying
from regtest.stage import Stage

SETUP = "alpha"
CHALLENGER = "challenger1"

DEPTH = 6
"""The deepest reorganisation that the parameters of `stormy_stage` promise to bear."""

LOOK_BACK = 8
"""Blocks that are read when there is a new one: all that a reorganisation may have brought."""

_numbers = count()


def stormy_stage(folder: Path, **changes: object) -> Stage:
    """Return a stage with one set-up that bears reorganisations of `DEPTH` blocks; its node forgets its mempool."""
    options = {"confirmations": DEPTH, "delta": 15, "delta_claim": 20, "delta_long": 400, **changes}
    stage = new_stage(folder, SETUP, node_arguments=("-persistmempool=0",), **options)
    stage.chain.mine(DEPTH)  # the coins that the faucet gave may come from blocks that would be taken back
    return stage


# ---- who is not honest


class Hasty(Position):
    """A position in which whatever is confirmed counts as buried: who plays by it waits for nothing."""

    def buried(self, name: str) -> bool:
        return self.has(name)


@dataclass
class HastyRole:
    """A role that answers moves which may still disappear."""

    role: Role

    def decide(self, position: Position):  # type: ignore[no-untyped-def]
        return self.role.decide(_hasty(position))

    def judged(self, position: Position, slot: int):  # type: ignore[no-untyped-def]
        return self.role.judged(position, slot)


@dataclass
class Deviating:
    """A role whose decisions pass through a deviation."""

    role: Role
    deviation: Deviation

    def decide(self, position: Position):  # type: ignore[no-untyped-def]
        return self.deviation(position, self.role.decide(position))

    def judged(self, position: Position, slot: int):  # type: ignore[no-untyped-def]
        return self.role.judged(position, slot)


def lying_about(data: bytes) -> Run:
    """Return how a prover runs that lies about this input alone."""
    lie = lying("written", LIE_STEP)
    return lambda job, engine: (lie if job.data == data else execute)(job, engine)


def _hasty(position: Position) -> Position:
    return Hasty(position.graph, position.height, position.confirmed, position.slot)


def hasty(make: RoleMaker) -> RoleMaker:
    return lambda bench: HastyRole(make(bench))


def accuser(bench: Bench) -> Role:
    return Accuser(bench, LIE_STEP)


# ---- the company


@dataclass
class Storm(Company):
    """A company in bad weather."""

    told: dict[str, list[Notice]] = field(default_factory=dict)
    everything: dict[bytes, CTransaction] = field(default_factory=dict)
    """All transactions ever seen by anybody, by id with witness."""
    changed: list[str] = field(default_factory=list)
    """Transactions that were confirmed with another message than before."""
    reused_coins: dict[str, list[str]] = field(default_factory=dict)
    """Coins of a party that were promised twice at a time, by the purposes."""
    _promised: dict[str, dict[COutPoint, str]] = field(default_factory=dict)
    _stores: dict[str, int] = field(default_factory=dict)
    _tip: bytes = b""

    def tick(self, *names: str) -> None:
        self.look()
        super().tick(*names)
        self.look()

    def _remember(self, daemon: Daemon) -> None:
        """Keep what the daemon has signed, sent or not; `look` finds what is in blocks and mempool."""
        party = next(name for name, each in self.daemons.items() if each is daemon)
        self.told.setdefault(party, []).extend(self.snapshots[party].notices)
        self._follow_coins(party, daemon)
        changed = daemon.place.store.path.stat().st_mtime_ns
        if self._stores.get(party) == changed:
            return
        self._stores[party] = changed
        for name in daemon.engagements:
            history = self.histories.setdefault(name, {})
            for signed in daemon.place.store.signed(name):
                history.setdefault(signed.transaction.GetHash(), signed.transaction)

    def look(self) -> None:
        """Remember what is in blocks that are new, and in the mempool."""
        chain = self.stage.chain
        found = list(chain.mempool())
        tip = chain.tip()
        if tip.hash != self._tip:
            for number in range(max(tip.height - LOOK_BACK, 1), tip.height + 1):
                found += chain.block_transactions(number)[1:]
            self._tip = tip.hash
        for transaction in found:
            if transaction.GetHash() in self.everything:
                continue
            self.everything[transaction.GetHash()] = transaction
            for name, archive in self.stage.archives.items():
                if txid(transaction) in archive.graph.by_txid():
                    self.histories.setdefault(name, {})[transaction.GetHash()] = transaction

    def mine(self, blocks: int = 1) -> None:
        """Mine blocks, each after everybody has acted on the one before."""
        for _ in range(blocks):
            self.tick()
            self.stage.chain.mine(1)

    # ---- weather

    def mine_without(self, blocks: int = 1) -> None:
        """Mine blocks that leave out everything that waits."""
        for _ in range(blocks):
            self.tick()
            self._block([])

    def reorganise(self, depth: int, *instead: CTransaction) -> None:
        """Replace the newest blocks by one more; the first new one holds ``instead`` and what that spends.

        Everything else waits again.
        """
        self.look()
        chain = self.stage.chain
        fork = chain.height() - depth
        content = [*(self._taken_back_with(instead, fork) if instead else ()), *instead]
        chain.call("invalidateblock", chain.call("getblockhash", fork + 1))
        self._block([transaction.serialize().hex() for transaction in content])
        for _ in range(depth):
            self._block([])
        self.look()

    def _taken_back_with(self, instead: Sequence[CTransaction], fork: int) -> list[CTransaction]:
        """Return what lies above ``fork`` and has to be there before ``instead`` can be, parents first."""
        confirmed = self.stage.position(SETUP).confirmed
        graph = self.stage.archives[SETUP].graph
        needed = {txin.prevout.hash for transaction in instead for txin in transaction.vin}
        found = []
        for name, template in reversed(graph.templates.items()):
            if template.txid in needed and name in confirmed and confirmed[name].height > fork:
                found.append(confirmed[name].transaction)
                needed |= {txin.prevout.hash for txin in confirmed[name].transaction.vin}
        return found[::-1]

    def mine_block(self) -> None:
        """Mine a block that leaves out everything, and let nobody act before."""
        self._block([])

    def _block(self, content: Sequence[str]) -> None:
        key = TaprootKey.from_seed(b"storm", f"block {next(_numbers)}")
        self.stage.chain.call("generateblock", address(key.script_pubkey), list(content))

    def forget_mempool(self) -> None:
        """Start the node again: it has its blocks, and nothing else."""
        self.look()
        self.stage.stop_node()
        self.stage.start_node()
        assert not self.stage.chain.mempool()

    # ---- another message

    def forged(self, name: str) -> CTransaction | None:
        """Return a confirmed transaction as its mover can sign it with another message; None if it says nothing.

        The mover signs with a journal that knows nothing, as a party would that does not care for its keys.
        """
        graph = self.stage.archives[SETUP].graph
        mover = graph[name].mover
        daemon = self.daemons[mover]
        bench = daemon.engagements[SETUP].bench
        now = self.stage.position(SETUP)
        gone = {name}
        for each, template in graph.templates.items():  # parents before children
            if any(isinstance(spent, Input) and spent.source.name in gone for spent in template.inputs):
                gone.add(each)
        before = {each: seen for each, seen in now.confirmed.items() if each not in gone}
        position = Hasty(graph, now.height, before)
        move = next(
            (each for each in self._decisions(daemon, position) if isinstance(each, Move) and each.template == name),
            None,
        )
        if move is None or move.statement is None:
            return None
        other = another(move.statement, self.stage.parameters.width)
        if other is None:
            return None
        seed = daemon.place.home.seed
        with Journal.create(self.stage.folder / f"careless{next(_numbers)}.sqlite", seed) as journal:
            secrets = Secrets(seed, journal, bench.archive.setup_id, mover)
            return Responder(bench.archive.signed, secrets).transaction(replace(move, statement=other), position)

    @staticmethod
    def _decisions(daemon: Daemon, position: Position) -> Iterable[Decision]:
        return daemon.engagements[SETUP].role.decide(position).values()

    # ---- what happened

    def slashed(self) -> bool:
        return any("Slash" in name for name in self.stage.position(SETUP).confirmed)

    def _follow_coins(self, party: str, daemon: Daemon) -> None:
        """Notice a coin that goes to another purpose while the first one may still need it."""
        for held in daemon.place.purse.reserved():
            before = self._promised.setdefault(party, {}).get(held.coin.outpoint)
            if before not in (None, held.purpose) and not self._is_over(daemon, before):
                self.reused_coins.setdefault(party, []).append(f"{before}, then {held.purpose}")
            self._promised[party][held.coin.outpoint] = held.purpose

    @staticmethod
    def _is_over(daemon: Daemon, purpose: str) -> bool:
        name, _, template = purpose.partition(":")
        position = daemon.engagements[name].position
        assert position is not None
        spent = position.graph[template].inputs
        return position.buried(template) or any(map(position.is_spent, spent))

    def complaints(self, party: str) -> list[str]:
        """Return what a daemon complained about that no reorganisation within the guarantees may cause."""
        grave = (
            NoticeKind.SETUP_FAILED,
            NoticeKind.CANNOT_SIGN,
            NoticeKind.UNEXPECTED_SPEND,
            NoticeKind.GAME_ALARM,
        )
        found = {f"{each.kind.value}: {each.text}": None for each in self.told.get(party, ()) if each.kind in grave}
        return list(found)


def another(statement: Statement, width: int) -> Statement | None:
    """Return a statement of the same kind that says something else and that Script takes; None if there is none."""
    match statement:
        case SayChoice(choice):
            return SayChoice((choice + 1) % width)
        case SayCommitment(nodes, listed):
            listed = (hashlib.sha256(listed[0]).digest()[:24], *listed[1:])
            return replace(statement, nodes={**nodes, "trace_root": trace_root(listed)}, listed=listed)
        case SayStep(_, roots, _):
            return replace(statement, roots={**roots, "root_after": hashlib.sha256(roots["root_after"]).digest()[:24]})
        case Say(messages):
            return Say({path: _other(message) for path, message in messages.items()})
    return None


def _other(message):  # type: ignore[no-untyped-def]
    return hashlib.sha256(message).digest()[:24] if isinstance(message, bytes) else message


def liar_storm(stage: Stage, *, haste: bool = False) -> Storm:
    """Return a company whose prover lies about its first claim."""
    roles = {PROVER: hasty(ProverRole)} if haste else {}
    return Storm(stage, runs={PROVER: lying("written", LIE_STEP)}, roles=roles)


def accuser_storm(stage: Stage, *, haste: bool = False) -> Storm:
    """Return a company whose challenger accuses a true claim."""
    return Storm(stage, roles={CHALLENGER: hasty(accuser) if haste else accuser})
