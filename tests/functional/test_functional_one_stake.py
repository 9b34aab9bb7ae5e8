"""A prover with a challenger of its own: that must neither send an honest stake home nor slow its Challenge down."""

from contextlib import ExitStack

import pytest
from company import LIE, Company, give_inputs, new_stage
from tiny import INPUT, LIE_STEP, OTHER_INPUT

from bitvm.daemon.engagement import LEAVE
from bitvm.game.moves import Move, SayChoice, Wait
from bitvm.graph.model import PROVER
from bitvm.prover.role import ProverRole
from challenger.role import ChallengerRole
from regtest.hostile_roles import lying

pytestmark = pytest.mark.bitcoind

DELTA_CLAIM = 20
SOON = 14
"""A shorter one, for a Challenge that has to hurry."""
ENDS = ("1/Slash", "Payout", "LatePayout")
DEMANDED = "-blockmintxfee=0.00004"
"""Four satoshi a virtual byte: more than an estimate of quiet times says."""


class Quiet(ProverRole):
    """Answers the honest challenger alone."""

    def decide(self, position):
        decisions = super().decide(position)
        return {key: Wait("silent") if is_move(each, "2/") else each for key, each in decisions.items()}


def is_move(decision, prefix):
    return isinstance(decision, Move) and decision.template.startswith(prefix)


def sybil(slot, *script):
    """The role of challenger 2, which makes these moves of its game as soon as they are possible, and no other."""

    class Sybil(ChallengerRole):
        def decide(self, position):
            at = position.at_claim(slot)
            left = [(name, say) for name, say in script if at.has("Claim") and not at.has(f"2/{name}")]
            if not left or not at.unlocked(at.template(f"2/{left[0][0]}")):
                return {}
            name, say = left[0]
            return {f"{slot}:2": Move(at.template(f"2/{name}").name, "a comrade of the prover's", say)}

    return Sybil


@pytest.fixture
def companies(tmp_path):
    with ExitStack() as stack:

        def company(role, **options):
            stage = new_stage(tmp_path, challengers=2, **options)
            made = Company(stage, runs={PROVER: lying(LIE, LIE_STEP)}, roles={PROVER: Quiet, "challenger2": role})
            stack.callback(made.close)
            return made

        yield company


def test_a_sybils_slash_of_a_later_claim_does_not_send_the_stake_home(companies):
    """Claim 1's input is withheld until claim 2's Slash is buried; then claim 1 is disputed all the same."""
    script = (("Challenge", None), ("Choice_1", SayChoice(0)), ("Slash_after_Choice_1", None))
    company = companies(sybil(2, *script), claims=2, delta_claim=DELTA_CLAIM)
    stage = company.stage
    stage.queue_claim("alpha", INPUT)
    stage.queue_claim("alpha", OTHER_INPUT, slot=2)
    company.start()
    company.mine_until("alpha", "2/Slash_after_Choice_1#2", most=40)
    company.mine(stage.parameters.confirmations + 2)
    position = stage.position("alpha")
    assert position.at_claim(2).buried("2/Slash_after_Choice_1")
    assert position.height < position.height_of("Claim") + DELTA_CLAIM - 3
    kept = company.daemons["challenger1"].place.store.signed("alpha")
    assert LEAVE not in [each.template for each in kept]
    stage.give_input("challenger1", "alpha", INPUT)
    assert company.mine_until("alpha", *ENDS) == "1/Slash"
    assert not company.signed_twice("alpha", ["challenger1"])


def favour(stage, favoured):
    """Have the miners take what the thief sends, whatever it pays; of others they take what pays enough."""
    graph, waiting = stage.archives["alpha"].graph, stage.remote.call("getrawmempool", True)
    for name in ("Fund", "Claim", "2/Challenge", "2/TakeStake_after_Challenge"):
        transaction = graph[name].txid[::-1].hex()
        entry = waiting.get(transaction, {"spentby": []})
        payers = entry["spentby"] or ([transaction] if transaction in waiting else [])
        for payer in set(payers) - favoured:
            stage.remote.call("prioritisetransaction", payer, 0, 1_000_000)
            favoured.add(payer)


def test_a_sybils_challenge_does_not_slow_down_the_honest_one(companies):
    """With it Payout is impossible; the honest bid rises in time as if it were not."""
    company = companies(sybil(1, ("Challenge", None)), delta_claim=SOON)
    stage, favoured = company.stage, set()
    give_inputs(stage)
    stage.stop_node()
    stage.start_node(DEMANDED)
    company.start()
    for _ in range(40):
        company.tick()
        favour(stage, favoured)
        stage.chain.mine(1)
        position = stage.position("alpha")
        until = position.height_of("Claim") + SOON if position.has("Claim") else None
        if position.has("1/Challenge") or (until is not None and position.height > until):
            break
    assert position.has("2/Challenge")
    assert position.has("1/Challenge")
    assert position.height_of("2/Challenge") < position.height_of("1/Challenge") < until
    company.tick()
    fee = company.daemons["challenger1"].place.store.fees("alpha")["1/Challenge"]
    assert fee <= stage.parameters.stake // 2
