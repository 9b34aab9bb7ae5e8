"""Many disputes at once for one watchtower, and a long idle time: how long a tick takes, and what memory it needs."""

import gc
import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from company import Company, give_inputs, new_stage
from tiny import INPUT, LIE_STEP

from bitvm.graph.model import PROVER
from regtest.hostile_roles import lying

pytestmark = pytest.mark.bitcoind

WATCHTOWER = "challenger1"
ENDS = ("1/Slash", "Payout", "LatePayout")
PAGE = resource.getpagesize()


def resident():
    """Return the memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@dataclass
class Measured(Company):
    """A company that measures the ticks of its watchtower. seconds: of each, in processor time."""

    seconds: list[float] = field(default_factory=list)

    def tick(self, *names):
        for name in names or tuple(self.daemons):
            before = time.process_time()
            super().tick(name)
            if name == WATCHTOWER:
                self.seconds.append(time.process_time() - before)


def disputes(folder, count):
    """Return a company with so many set-ups, and a false claim in each."""
    stage = new_stage(folder, "setup1", delta=8, delta_claim=10)
    for _ in range(count - 1):
        stage.fund()
    for number in range(2, count + 1):
        stage.set_up(f"setup{number}")
    for name in stage.archives:
        give_inputs(stage, name)
    return Measured(stage, runs={PROVER: lying("written", LIE_STEP)})


def promised(company):
    """Return the coins that each wallet has promised, by purpose."""
    return {
        name: {(held.coin.outpoint, held.purpose) for held in daemon.place.purse.reserved()}
        for name, daemon in company.daemons.items()
    }


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_a_watchtower_answers_many_false_claims_at_once(tmp_path, count):
    """Every bond is slashed in time, from one wallet, and no coin serves two purposes."""
    company = disputes(tmp_path, count)
    stage = company.stage
    began, memory = time.process_time(), resident()
    company.start()
    company.tick()
    loaded, began_at = time.process_time() - began, stage.chain.height()
    company.seconds.clear()
    for _ in range(100):
        positions = {name: stage.position(name).confirmed for name in stage.archives}
        if all(any(end in confirmed for end in ENDS) for confirmed in positions.values()):
            break
        company.mine()
        assert not any(company.notices(name) for name in company.daemons)  # one is of two moves that want one coin
        for coins in promised(company).values():
            assert len({outpoint for outpoint, _ in coins}) == len(coins)
    assert all("1/Slash" in confirmed for confirmed in positions.values())
    ticks = sorted(company.seconds)
    print(
        f"{count} set-ups: loaded in {loaded:.1f} s, {stage.chain.height() - began_at} blocks, "
        f"tick {ticks[len(ticks) // 2]:.2f} s, at most {ticks[-1]:.2f} s, "
        f"{(resident() - memory) / 1e6:.0f} MB for both parties"
    )
    company.mine(3)
    assert all(not company.notices(name) for name in company.daemons)
    assert all(status.over for status in company.snapshots[WATCHTOWER].setups)
    assert not any(company.signed_twice(name) for name in stage.archives)
    company.close()


@pytest.mark.soak
def test_an_idle_watchtower_stays_as_it_is(tmp_path):
    """Two thousand blocks in which nothing happens: memory and time of a tick do not grow."""
    stage = new_stage(tmp_path)
    company = Measured(stage)
    company.start(WATCHTOWER)
    stage.give_input(WATCHTOWER, "alpha", INPUT)
    rounds = []
    for _ in range(20):
        began = time.process_time()
        for _ in range(100):
            stage.chain.call("generatetoaddress", 1, "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
            company.tick()
        seconds = time.process_time() - began
        gc.collect()
        rounds.append((seconds, len(gc.get_objects()), resident()))
    print([(round(seconds, 2), objects, f"{memory / 1e6:.1f} MB") for seconds, objects, memory in rounds])
    (_, objects, memory), (_, last_objects, last_memory) = rounds[4], rounds[-1]
    assert last_objects - objects < 1_000
    assert last_memory - memory < 4_000_000
    early, late = (sum(seconds for seconds, _, _ in part) for part in (rounds[4:12], rounds[12:]))
    assert late < 1.3 * early
    company.close()
