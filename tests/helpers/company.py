"""Daemons in this process, on a real node: ticked by hand, so that a test decides what happens between two ticks."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bitcoin.core import CTransaction
from tiny import INPUT, LIE_STEP, tiny_parameters, write_program

from bitvm.chain.purse import PAYMENT
from bitvm.daemon.computations import Run, execute
from bitvm.daemon.config import Config
from bitvm.daemon.correspondence import DaemonDesk
from bitvm.daemon.daemon import Daemon
from bitvm.daemon.engagement import LEAVE
from bitvm.daemon.role import RoleMaker
from bitvm.daemon.status import Snapshot
from bitvm.daemon.workplace import open_workplace
from bitvm.game.recall import double_signed, recall
from bitvm.graph.fund import contribution
from bitvm.graph.model import PROVER
from bitvm.prover.attesting import attestation_round
from bitvm.prover.role import ProverRole
from challenger.role import ChallengerRole
from regtest.hostile_roles import lying
from regtest.stage import Stage

LIE = "written"


@dataclass
class Company:
    """The daemons of a stage. runs, roles: what is not honest, by party."""

    stage: Stage
    runs: dict[str, Run] = field(default_factory=dict)
    roles: dict[str, RoleMaker] = field(default_factory=dict)
    daemons: dict[str, Daemon] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    histories: dict[str, dict[bytes, CTransaction]] = field(default_factory=dict)
    _stacks: dict[str, ExitStack] = field(default_factory=dict)
    _now: float = field(default_factory=time.time)

    def start(self, *names: str) -> None:
        for name in names or self.stage.actors:
            actor = self.stage.actors[name]
            stack = self._stacks[name] = ExitStack()
            place = stack.enter_context(open_workplace(Config.load(actor.config_path, actor.role), actor.role))
            maker = self.roles.get(name, ProverRole if name == PROVER else ChallengerRole)
            self.daemons[name] = Daemon(place, maker, run=self.runs.get(name, execute))
            stack.callback(self.daemons[name].close)

    def stop(self, *names: str) -> None:
        for name in names or tuple(self.daemons):
            self._stacks.pop(name).close()
            del self.daemons[name]

    def close(self) -> None:
        """End the daemons and their stage."""
        self.stop()
        self.stage.__exit__(None, None, None)

    def tick(self, *names: str) -> None:
        """Let daemons act until none of them has a run to make any more."""
        for name in names or tuple(self.daemons):
            daemon = self.daemons[name]
            while True:
                self._now += 1
                if daemon.second is not None:
                    daemon.second.look()
                self.snapshots[name] = daemon.tick(self._now)
                self._remember(daemon)
                loaded = self.snapshots[name].acted is not None or self.snapshots[name].tip is None
                if not daemon.computations.make_wanted() and loaded:
                    break

    def wait(self, seconds: float) -> None:
        """Let time pass in which nobody acts."""
        self._now += seconds

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.tick()
            self.stage.chain.mine(1)
        self.tick()

    def mine_until(self, setup: str, *wanted: str, most: int = 150) -> str:
        for _ in range(most):
            confirmed = self.stage.position(setup).confirmed
            found = next((name for name in wanted if name in confirmed), None)
            if found is not None:
                return found
            self.mine()
        raise AssertionError(
            f"none of {wanted} after {most} blocks; there is {list(self.stage.position(setup).confirmed)}"
        )

    def notices(self, name: str) -> list[str]:
        return [f"{notice.kind.value}: {notice.text}" for notice in self.snapshots[name].notices]

    # ---- money

    def holdings(self, name: str) -> int:
        """Return the sum of a party's confirmed coins."""
        script = self.stage.actors[name].home().wallet_key().script_pubkey
        return sum(coin.output.nValue for coin in self.stage.remote.coins_of(script).values())

    def fees(self, name: str, setup: str) -> int:
        """Return what a party's children paid for its confirmed moves of a set-up, and what cutting coins cost."""
        place = self.daemons[name].place
        confirmed = self.stage.position(setup).confirmed
        moves = sum(fee for template, fee in place.store.fees(setup).items() if template in confirmed)
        payments = map(place.purse.recorded, place.purse.purposes(PAYMENT))
        return moves + sum(payment.fee for payment in payments if payment is not None)

    def earned(self, name: str, setup: str, before: int) -> int:
        """Return what a party has more than ``before``, had it paid no fee: what the game itself brought it."""
        given = self.stage.archives[setup].graph.setting.participants[name]
        to_fund = sum(coin.spent.nValue for coin in given.coins) - given.change
        fund_fee = to_fund - contribution(self.stage.parameters, name)
        return self.holdings(name) + self.fees(name, setup) + fund_fee + self._leaving_fee(name, setup) - before

    def _leaving_fee(self, name: str, setup: str) -> int:
        kept = self.daemons[name].place.store.signed(setup, LEAVE)
        fees = [self.stage.parameters.stake - each.transaction.vout[0].nValue for each in kept]
        confirmed = [self.stage.chain.confirmation(each.transaction.GetTxid()) is not None for each in kept]
        return sum(fee for fee, there in zip(fees, confirmed, strict=True) if there)

    # ---- what was ever signed

    def _remember(self, daemon: Daemon) -> None:
        """Keep every witness that anybody has ever seen, in blocks that are gone and mempools too."""
        for name, engagement in daemon.engagements.items():
            history = self.histories.setdefault(name, {})
            for transaction in engagement.waiting:
                history[transaction.GetHash()] = transaction
            for seen in engagement.sightings.confirmed():
                history[seen.wtxid] = seen.transaction

    def signed_twice(self, setup: str, parties: Iterable[str] | None = None) -> dict[str, object]:
        """Return the keys that signed two messages in all histories, by key path, of all parties or of some."""
        graph = self.stage.archives[setup].graph
        found: dict[str, object] = {}
        for party in parties or self.stage.actors:
            found |= double_signed(recall(graph, party, self.histories.get(setup, {}).values()))
        return found


def new_stage(folder: Path, setup: str = "alpha", **options: object) -> Stage:
    """Return a stage with one set-up of the tiny program, funded and agreed on; Fund is not sent yet."""
    changes = {name: options.pop(name) for name in tuple(options) if name in _PARAMETERS}
    program = write_program(folder)
    stage = Stage(folder / "stage", tiny_parameters(program, **changes), program, **options)  # type: ignore[arg-type]
    try:
        stage.fund()
        stage.set_up(setup)
    except BaseException:
        stage.__exit__(None, None, None)
        raise
    return stage


def attest(company: Company, setup: str, *attesters: str) -> None:
    """Have attesters sign the input that the prover has queued for claim 1, in another try than before."""
    bench = company.daemons[PROVER].engagements[setup].bench
    found = attestation_round(bench, 1, bench.store.queued(setup)[1])
    request = found.next_try()
    bench.store.keep_attempt(setup, 1, found.attempt)
    for attester in attesters:
        signed = DaemonDesk(company.daemons[attester]).attest(bench.archive.setup_id, PROVER, request)
        bench.store.keep_attestation(setup, 1, found.attempt, attester, signed)


_PARAMETERS = {
    "challengers",
    "confirmations",
    "delta",
    "delta_claim",
    "delta_long",
    "claims",
    "attesters",
    "quorum",
    "tries",
    "levels",
    "width",
    "fee_ceiling",
}


def liar(stage: Stage) -> Company:
    """Return a company whose prover lies about its first claim."""
    return Company(stage, runs={PROVER: lying(LIE, LIE_STEP)})


def give_inputs(stage: Stage, setup: str = "alpha", data: bytes = INPUT) -> None:
    """Have the prover claim, and every challenger know the input."""
    stage.queue_claim(setup, data)
    for name in stage.actors:
        if name != PROVER:
            stage.give_input(name, setup, data)
