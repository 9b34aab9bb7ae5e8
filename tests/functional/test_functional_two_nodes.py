"""Prover and challenger each with a node of its own, as on separate machines: every move goes from node to node.

A move pays nothing and its child pays for both, so the nodes have to relay them as a package, by themselves and with
their default policy. Blocks are mined at the liar's node, or at the other one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import yaml
from company import Company, give_inputs, liar, new_stage
from tiny import LIE_STEP

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from regtest.hostile_roles import Accuser
from regtest.stage import HOST, Stage, free_port

pytestmark = pytest.mark.bitcoind

AT_ONCE = f"-whitelist=noban@{HOST}"
"""Announces transactions to these peers without the random delay; nothing else of the policy changes."""
RELAY_SECONDS = 60.0
SLASH, STAKE_TAKEN = "1/Slash", "1/TakeStake_after_Step"


class Peers:
    """The stage's node, and another one that knows of the world through it alone."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.node = BitcoindNode(datadir=stage.folder / "node of challenger1", extra_arguments=(AT_ONCE,))
        self.here, self.there = stage.chain, BitcoindChain(self.node)
        self.there.call("addnode", f"{HOST}:{port}", "onetry")
        self.agree()

    def move_in(self, stage: Stage, name: str) -> None:
        """Have a party use the other node."""
        path = stage.actors[name].config_path
        content = yaml.safe_load(path.read_text())
        content["node"] |= {"cookie": str(self.node.cookie.path), "port": self.node.cookie.port}
        path.write_text(yaml.safe_dump(content))

    def agree(self) -> None:
        """Wait until both nodes have the same chain and the same mempool."""
        deadline = time.monotonic() + RELAY_SECONDS
        while (here := _view(self.here)) != (there := _view(self.there)):
            assert time.monotonic() < deadline, f"one node has {here}, the other {there}"
            time.sleep(0.05)

    def close(self) -> None:
        self.there.close()
        self.node.close()


def _view(chain: BitcoindChain) -> tuple[object, object]:
    return chain.tip(), set(chain.mempool_txids())


def play(company: Company, peers: Peers, miner: BitcoindChain, *ends: str) -> str:
    """Play until the dispute has ended; return how."""
    for _ in range(100):
        company.tick()
        peers.agree()
        miner.mine(1)
        peers.agree()
        confirmed = company.stage.position("alpha").confirmed
        if found := [name for name in ends if name in confirmed]:
            return found[0]
    raise AssertionError(f"no end: {list(company.stage.position('alpha').confirmed)}")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def stage(tmp_path, port: int) -> Iterator[Stage]:
    listening = (AT_ONCE, "-listen=1", f"-bind={HOST}:{port}")
    with new_stage(tmp_path, challengers=1, node_arguments=listening) as stage:
        give_inputs(stage)
        yield stage


@pytest.fixture
def peers(stage: Stage, port: int) -> Iterator[Peers]:
    peers = Peers(stage, port)
    peers.move_in(stage, "challenger1")
    yield peers
    peers.close()


@pytest.mark.parametrize("mined_at", [pytest.param("the liar's node", marks=pytest.mark.soak), "the other node"])
def test_a_liar_with_a_node_of_its_own_is_slashed(stage: Stage, peers: Peers, mined_at: str) -> None:
    company = liar(stage)
    company.start()
    try:
        miner = peers.here if mined_at == "the liar's node" else peers.there
        assert play(company, peers, miner, SLASH, "Payout", "LatePayout") == SLASH
        assert not company.signed_twice("alpha")
    finally:
        company.stop()


@pytest.mark.soak
def test_a_false_accuser_with_a_node_of_its_own_loses_its_stake(stage: Stage, peers: Peers) -> None:
    company = Company(stage, roles={"challenger1": lambda bench: Accuser(bench, LIE_STEP)})
    company.start()
    try:
        assert play(company, peers, peers.there, STAKE_TAKEN, SLASH) == STAKE_TAKEN
        assert not company.signed_twice("alpha")
    finally:
        company.stop()
