"""Parties enrol from their homes: everybody ends with the same set-up, whatever dies on the way."""

import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import enrolling
import pytest
import trio
from bitcoin.core import CTxOut
from bitcoin.core.script import CScript
from enrolling import all_enrolled, enrolled, fund, homes, open_purse, parameters, plan_of

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.fees import key_path_vsize
from bitvm.daemon.enrol import AffordError, EnrolError, fee_share, fund_purpose
from bitvm.daemon.home import Home
from bitvm.daemon.store import DaemonStore
from bitvm.graph.costs import defence
from bitvm.graph.fund import contribution
from bitvm.script.weight import vsize
from bitvm.setup.archive import Archive
from bitvm.setup.plan import Address, PlannedParty
from bitvm.setup.store import SetupStore, SetupStoreError

pytestmark = pytest.mark.bitcoind

PARAMETERS = parameters(challengers=2)


@pytest.fixture(scope="module")
def node():
    with BitcoindNode() as running:
        yield running


@pytest.fixture(scope="module")
def chain(node):
    with BitcoindChain(node) as chain:
        yield chain


def fee_of(archive):
    spent = sum(output.nValue for output in archive.graph["Fund"].spent)
    return spent - sum(output.nValue for output in archive.fund.vout)


@pytest.mark.parametrize("coins", [1, 3])
async def test_everybody_ends_with_one_set_up_and_a_fund_that_the_node_takes(tmp_path, chain, node, coins):
    found = homes(tmp_path, PARAMETERS)
    fund(chain, found, PARAMETERS, coins)
    plan = plan_of(found, PARAMETERS)
    ended = await all_enrolled(found, plan, node.url)
    assert len({archive.graph.hash() for archive in ended.values()}) == 1
    assert len({archive.fund.serialize() for archive in ended.values()}) == 1
    fundamental = ended["prover"].fund
    rate = fee_of(ended["prover"]) / vsize(fundamental)
    assert PARAMETERS.fee_ceiling <= rate < PARAMETERS.fee_ceiling + 0.5
    for party, home in found.items():
        folder = home.setup(plan.name)
        assert ended[party].party == party
        assert home.setups() == (plan.name,)
        assert folder.plan() == plan
        assert folder.program_path.read_bytes() == enrolling.PROGRAM.read_bytes()
        assert Archive.load(folder.exchange_path, PARAMETERS, verify=True).setup_id == ended[party].setup_id
        with open_purse(home) as purse:
            promised = [item for item in purse.reserved() if item.purpose == fund_purpose(plan.name)]
            assert {item.coin.outpoint for item in promised} < {txin.prevout for txin in fundamental.vin}
    chain.submit([fundamental])
    chain.mine(2)
    again = await all_enrolled(found, plan, node.url, linger=0.5)
    assert again["prover"].fund.serialize() == fundamental.serialize(), "a set-up that has ended is read, not run"
    with open_purse(found["prover"]) as purse:
        assert len(purse.reserved()) == len(promised) or coins > 1


def test_the_shares_are_the_whole_fee():
    """Every party of each set-up gives one coin and gets change back."""
    for agreed in (parameters(), PARAMETERS, parameters(challengers=3, claims=4)):
        parties = agreed.challengers + 1
        output = CTxOut(330, CScript(b"\x51\x20" + bytes(32)))
        whole = agreed.fee_ceiling * key_path_vsize(parties, [output] * (parties + agreed.claims + agreed.challengers))
        assert whole <= parties * fee_share(agreed, 1) < whole + 3 * parties * agreed.fee_ceiling


async def test_a_wallet_that_cannot_pay_says_how_much_and_where(tmp_path, chain, node):
    found = homes(tmp_path, PARAMETERS)
    plan, home = plan_of(found, PARAMETERS), found["challenger1"]
    needed = defence(PARAMETERS, "challenger1").total + fee_share(PARAMETERS, 1)
    with open_purse(home) as purse:
        address = purse.address("regtest")
    with pytest.raises(AffordError, match=rf"{needed} sat needed: .* 0 sat are there; pay {needed} sat to {address}"):
        await enrolled(home, plan, node.url)
    chain.faucet(home.wallet_key().script_pubkey, needed - 1)
    with pytest.raises(AffordError, match=f"; pay 1 sat to {address}"):
        await enrolled(home, plan, node.url)
    chain.faucet(home.wallet_key().script_pubkey, 1_000)
    with pytest.raises(AffordError, match=f"and 5000 sat for other set-ups; .* pay 4001 sat to {address}"):
        await enrolled(home, plan, node.url, kept=5_000)
    with open_purse(home) as purse:
        assert not purse.reserved(), "nothing is promised before all is there"
    with pytest.raises(EnrolError, match="first: unreachable"):
        await enrolled(home, plan, node.url, patience=0)
    with open_purse(home) as purse:
        assert sum(item.coin.output.nValue for item in purse.reserved()) >= contribution(PARAMETERS, "challenger1")


async def test_what_does_not_fit_together_is_refused_before_anything_is_promised(tmp_path, node):
    found = homes(tmp_path, PARAMETERS)
    plan, home = plan_of(found, PARAMETERS), found["challenger1"]
    other = replace(PARAMETERS, image_root=bytes(24))
    stranger = Home.create(tmp_path / "stranger", "challenger")
    cases = [
        (home, replace(plan, network="main"), "the plan is for main, the node is on regtest"),
        (home, replace(plan, program=bytes(32)), "the program has SHA256"),
        (home, replace(plan, parameters=other), "parameters.image_root is 0000"),
        (home, replace(plan, parameters=replace(PARAMETERS, entry=4)), "parameters.entry is 4"),
        (stranger, plan, "takes no part in this plan"),
        (home, replace(plan, prover=plan.challengers[0], challengers=(plan.prover, plan.challengers[1])), "as prover"),
    ]
    for who, wrong, expected in cases:
        with pytest.raises(EnrolError, match=expected):
            await enrolled(who, wrong, node.url)
        assert not who.setups()
        with open_purse(who) as purse:
            assert not purse.reserved()


async def test_another_plan_under_the_name_is_refused(tmp_path, node):
    found = homes(tmp_path, PARAMETERS)
    plan, home = plan_of(found, PARAMETERS), found["challenger2"]
    with pytest.raises(AffordError):
        await enrolled(home, plan, node.url)
    moved = replace(plan, prover=PlannedParty(plan.prover.identity, plan.setup_address))
    with pytest.raises(EnrolError, match="another plan with this name"):
        await enrolled(home, moved, node.url)


async def test_a_set_up_that_was_given_up_is_not_run_again(tmp_path, node):
    """Its daemon would never send Fund, and nobody would know why."""
    found = homes(tmp_path, PARAMETERS)
    plan, home = plan_of(found, PARAMETERS), found["challenger2"]
    with DaemonStore.create(home.daemon_path) as store:
        store.give_up(plan.name)
        with pytest.raises(EnrolError, match=r"given up, its coins were taken back; plan another"):
            await enrolled(home, plan, node.url)
        assert not home.setups()
        store.give_up(plan.name, given_up=False)
        with pytest.raises(AffordError):
            await enrolled(home, plan, node.url)


async def test_a_port_that_is_taken_and_a_program_that_is_not_there_are_named(tmp_path, chain, node):
    found = homes(tmp_path, PARAMETERS)
    plan, home = plan_of(found, PARAMETERS), found["prover"]
    chain.faucet(home.wallet_key().script_pubkey, 2 * defence(PARAMETERS, "prover").total)
    listeners = await trio.open_tcp_listeners(plan.setup_address.port, host="127.0.0.1")
    with pytest.raises(EnrolError, match=f"setup_address .*cannot listen on {plan.setup_address}: .*stop the program"):
        await enrolled(home, plan, node.url)
    for listener in listeners:
        await listener.aclose()


async def test_standing_is_told_as_it_changes(tmp_path, chain, node):
    agreed = parameters()
    found = homes(tmp_path, agreed)
    fund(chain, found, agreed)
    plan = plan_of(found, agreed)
    told = {party: [] for party in found}
    async with trio.open_nursery() as nursery:
        for party, home in found.items():

            async def run(home=home, heard=told[party]):
                await enrolled(home, plan, node.url, tell=lambda standing: heard.append(str(standing)))

            nursery.start_soon(run)
    assert told["prover"][0] == "0 of 4 rounds are complete; waiting for challenger1"
    assert told["challenger1"][0] == "0 of 4 rounds are complete; waiting for prover"
    assert {lines[-1] for lines in told.values()} == {"4 of 4 rounds are complete"}


@pytest.mark.parametrize("whose", ["prover", "challenger"])
async def test_plans_that_name_different_identities_are_told_to_both_sides(tmp_path, chain, node, whose):
    agreed = parameters()
    found = homes(tmp_path, agreed)
    fund(chain, found, agreed)
    prover, challenger = (home.identity.public.hex() for home in found.values())
    stranger = Home.create(tmp_path / "stranger", "challenger").identity.public
    plans = dict.fromkeys(found, plan_of(found, agreed))
    if whose == "prover":  # the challenger has another identity of the prover
        plans["challenger1"] = replace(plans["prover"], prover=PlannedParty(stranger))
        expected = f"the identity {stranger.hex()} was expected, the identity {prover} is there"
    else:
        plans["prover"] = replace(plans["prover"], challengers=(PlannedParty(stranger),))
        expected = f"the identity {prover} is there, as expected, but seems not to know ours, {challenger}"
    told = {party: [] for party in found}

    def run(party, **options):
        def tell(standing):
            told[party].append(str(standing))

        return enrolled(found[party], plans[party], node.url, tell=tell, **options)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "prover")
            while not told["prover"]:  # it listens now; or the first trouble would be that nobody is there
                await trio.sleep(0.05)
            with pytest.raises(EnrolError, match=f"first: wrong peer: .*{expected}"):
                await run("challenger1", patience=3)
            nursery.cancel_scope.cancel()
    assert told["challenger1"][1].startswith("0 of 4 rounds are complete; waiting for prover; last connection: ")
    assert any(
        f"wrong peer: 127.0.0.1, port {plans['prover'].setup_address.port}: {expected}" in line
        for line in told["challenger1"]
    )
    assert any(
        "waiting for challenger1; last connection: a caller from 127.0.0.1: wrong peer: " in line
        and line.endswith(f"; we are {prover}")
        for line in told["prover"]
    )


async def test_the_plan_of_another_content_is_told_to_both_sides(tmp_path, chain, node):
    agreed = parameters()
    found = homes(tmp_path, agreed)
    fund(chain, found, agreed)
    plan = plan_of(found, agreed)
    other = replace(plan, challengers=(replace(plan.challengers[0], address=Address("::1", 1)),))
    told = []
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(enrolled, found["prover"], plan, node.url, tell=told.append))
            with pytest.raises(EnrolError, match="refused: challenger1: another plan than ours"):
                await enrolled(found["challenger1"], other, node.url)
            while len(told) < 2:
                await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert f"last connection: challenger1: another plan than ours: its digest is {other.digest().hex()}" in str(
        told[-1]
    )


def messages_of(home, plan):
    path = home.setup(plan.name).exchange_path
    try:
        with SetupStore.open(path, plan.party_of(home.identity.public), plan.parameters) as store:
            return [store.messages(number) for number in range(4)]
    except SetupStoreError:
        return []


@pytest.mark.soak
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_killed_at_every_change_of_its_databases_goes_on(tmp_path, chain, node, when):
    """Killed once before, or after, each change: of the messages, of the promised coins, of the wallet."""
    agreed = parameters()
    found = homes(tmp_path, agreed)
    fund(chain, found, agreed, parts=2)
    plan = plan_of(found, agreed)
    plan_path = tmp_path / "plan.yaml"
    plan.save(plan_path)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    ended, said = {}, {}

    def note(home):
        for number, messages in enumerate(messages_of(home, plan)):
            for party, data in messages.items():
                said.setdefault((number, party), set()).add(data)

    async def live(party):
        """Start a party until it lives to the end; the prover until nobody lacks anything."""
        command = [sys.executable, enrolling.__file__, found[party].path, plan_path, node.url, when]
        while party not in ended or (party == "prover" and len(ended) < len(found)):
            done = await trio.run_process(command, env=environment, capture_stdout=True, check=False)
            if done.returncode == 0:
                ended[party] = done.stdout
            else:
                assert done.returncode == -signal.SIGKILL, done
            await trio.to_thread.run_sync(note, found[party])

    with trio.fail_after(400):
        async with trio.open_nursery() as nursery:
            for party in found:
                nursery.start_soon(live, party)
    assert len(set(ended.values())) == 1
    for home in found.values():
        points = set(Path(f"{home.path}.points").read_text().splitlines())
        assert {f"exchange.sqlite messages={stored} setup=1" for stored in range(1, 9)} < points
        assert any(point.startswith("wallet.sqlite") and "reservations=2" in point for point in points)
    assert len(said) == 4 * len(found)
    assert all(len(messages) == 1 for messages in said.values()), "somebody said two things"
    for home in found.values():
        with open_purse(home) as purse:
            assert len({item.coin.outpoint for item in purse.reserved()}) == len(purse.reserved()) <= 2
    chain.submit([Archive.load(found["prover"].setup(plan.name).exchange_path, agreed).fund])
