"""Matches on a chain that tries to break them: what it attempted, and how the chain refused it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path

from bitcoin.core import CTransaction, CTxOut, CTxWitness
from bitcoin.core.script import CScript

from bitvm.chain.interface import RegtestChain, Rejected
from bitvm.game.moves import Move
from bitvm.game.position import Position
from bitvm.game.responder import Responder
from bitvm.graph.graph import Graph
from bitvm.graph.model import ANCHOR, NO_LOCK, Input, Template
from regtest.follower import observe
from regtest.match import Match, Narrator
from regtest.players import Strategy
from regtest.scenario import Prepared, Scenario, prepare
from regtest.simulate import Result, new_match, result_of

SMALL_INPUT = Path(__file__).parent / "thirty.txt"
"""Limit of the sieve that runs in 663 steps."""

THIEF = b"\x51\x20" + bytes([7]) * 32
THEFT_FEE = 300_000
"""Far more than what it would have to replace."""


@cache
def prepared(scenario: Scenario) -> Prepared:
    """Run the program; where the game allows it, with a shorter ``delta_long`` than usual, to mine less."""
    found = prepare(scenario)
    longest = found.parameters.delta_claim + found.parameters.longest_game
    return replace(found, parameters=replace(found.parameters, delta_long=longest))


def is_timeout(template: Template) -> bool:
    return any(spent.sequence != NO_LOCK for spent in template.inputs)


def owed(graph: Graph) -> dict[str, tuple[str, str]]:
    """Return, by timeout, who owes which move: what the other party could have spent the same output with."""
    found = {}
    for timeout in filter(is_timeout, graph.templates.values()):
        outpoints = [spent.outpoint for spent in timeout.inputs]
        rivals = [
            rival
            for rival in graph.templates.values()
            if rival.mover != timeout.mover and rival.inputs[0].outpoint in outpoints
        ]
        if rivals:
            rival = min(rivals, key=lambda rival: outpoints.index(rival.inputs[0].outpoint))
            found[timeout.name] = (rival.mover, rival.name.rpartition("/")[2])
    return found


@dataclass
class HostileChain:
    """A chain between the players and the real one, whose every step is first attacked.

    A parent is offered without its child; a timeout that is due is offered one block early; whatever waits is copied,
    witness and all, into transactions that pay a thief. refusals: reasons by kind of attack and transaction.
    """

    chain: RegtestChain
    match: Match | None = None
    alone: dict[bytes, str] = field(default_factory=dict)
    early: dict[str, str] = field(default_factory=dict)
    stolen: dict[bytes, list[str]] = field(default_factory=dict)

    def __getattr__(self, name: str) -> object:
        return getattr(self.chain, name)

    def submit(self, package: Sequence[CTransaction]) -> None:
        if len(package) > 1:
            self.alone[package[0].GetTxid()] = self.refusal(package[:1])
        self.chain.submit(package)

    def mine(self, blocks: int = 1) -> None:
        """Mine; the attacks come before the last block, because the players wait for what is due after it."""
        if self.match is not None:
            self.chain.mine(blocks - 1)
            self.offer_early_timeouts(self.match)
            self.steal()
            blocks = 1
        self.chain.mine(blocks)

    def refusal(self, package: Sequence[CTransaction]) -> str:
        """Return why a package is refused, which it has to be."""
        try:
            self.chain.submit(package)
        except Rejected as rejected:
            return rejected.reason
        raise AssertionError(f"accepted: {package[0].GetTxid()[::-1].hex()}")

    def offer_early_timeouts(self, match: Match) -> None:
        position = observe(self.chain, match.signed.graph)
        waiting = {txin.prevout for tx in self.chain.mempool() for txin in tx.vin}
        for template in filter(is_timeout, match.signed.graph.templates.values()):
            unspent = all(
                isinstance(i, Input) and position.spent_by(i.source.name, i.output) is None for i in template.inputs
            )
            contested = any(i.outpoint in waiting for i in template.inputs)
            if position.unlock_height(template) == position.height + 2 and unspent and not contested:
                self.early[template.name] = self.refusal(self.package(match, template, position))

    @staticmethod
    def package(match: Match, template: Template, position: Position) -> list[CTransaction]:
        """Return a timeout as its mover would send it, child and all."""
        player = match.players[template.mover]
        parent = Responder(player.signed, player.secrets).transaction(Move(template.name, "now"), position)
        anchor, key = template.index(ANCHOR), player.secrets.anchor
        coin = player.wallet.reserve(10_000)
        child = player.wallet.fee_child(parent, anchor, player.feerate, anchor_key=key, coin=coin)
        player.wallet.release(coin)
        return [parent, child]

    def steal(self) -> None:
        """Offer copies of every waiting transaction of the game: all of its inputs, and the first alone."""
        assert self.match is not None
        templates = self.match.signed.graph.by_txid()
        for tx in self.chain.mempool():
            template = templates.get(tx.GetTxid())
            if template is None:
                continue
            for inputs in {1, len(tx.vin)}:
                value = sum(output.nValue for output in template.spent[:inputs])
                if value > THEFT_FEE:
                    copy = CTransaction(
                        tx.vin[:inputs],
                        [CTxOut(value - THEFT_FEE, CScript(THIEF))],
                        0,
                        2,
                        CTxWitness(tx.wit.vtxinwit[:inputs]),
                    )
                    self.stolen.setdefault(tx.GetTxid(), []).append(self.refusal([copy]))


@dataclass(frozen=True)
class Fought:
    """A finished match: its result, the graph it was played on, and the chain's attacks."""

    result: Result
    graph: Graph
    attacks: HostileChain

    @property
    def names(self) -> list[str]:
        return [confirmation.name for confirmation in self.result.confirmations]

    @property
    def heights(self) -> dict[str, int]:
        return {confirmation.name: confirmation.height for confirmation in self.result.confirmations}


@dataclass
class Arena:
    """Plays scenarios of the small sieve on one chain, each once; every match has a seed of its own."""

    chain: RegtestChain
    seeds: count[int] = field(default_factory=lambda: count(1))
    fought: dict[Scenario, Fought] = field(default_factory=dict)

    def play(self, **options: object) -> Fought:
        scenario = Scenario(**{"levels": 2, "input_file": SMALL_INPUT, **options})  # type: ignore[arg-type]
        if scenario not in self.fought:
            self.fought[scenario] = self.fight(scenario)
        return self.fought[scenario]

    def play_with(self, strategies: Mapping[str, Strategy]) -> Fought:
        """Play the honest scenario with other strategies for some parties; never the same match twice."""
        return self.fight(Scenario(levels=2, input_file=SMALL_INPUT), strategies)

    def fight(self, scenario: Scenario, strategies: Mapping[str, Strategy] | None = None) -> Fought:
        game = prepared(replace(scenario, silence=None))
        seeded = replace(scenario, seed=next(self.seeds))
        hostile = HostileChain(self.chain)
        with new_match(seeded, game, hostile, Narrator()) as match:
            hostile.match = match
            for party, strategy in (strategies or {}).items():
                match.seat(party, strategy)
            return Fought(result_of(seeded, game, match, match.play()), match.signed.graph, hostile)
