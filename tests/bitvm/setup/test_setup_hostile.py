"""What strangers, and challengers that one has agreed to talk to, can do to a set-up: nothing that lasts."""

import json
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import trio
from networked import HOST, LIMITS, Party, listen, new_identity, parties, plan_of, with_version
from test_setup_network import NAMES, PARAMETERS, assert_same_graph_and_valid_fund, whole_setup

from bitvm.graph.parameters import Parameters
from bitvm.setup.channel import ChannelError, Kind, Limits, Reason, connect
from bitvm.setup.coordinator import Coordinator
from bitvm.setup.identity import Identity
from bitvm.setup.messages import MAX_MESSAGE_BYTES
from bitvm.setup.plan import PlannedParty
from bitvm.setup.progress import Hello, round_digest
from bitvm.setup.seal import SEAL_BYTES, content_of, seal
from bitvm.setup.session import SetupError
from bitvm.setup.store import StoreConflictError


@asynccontextmanager
async def coordinated(prover, ended, limits=LIMITS):
    """Run the prover in the background; its end, good or bad, goes to ``ended``."""
    listeners, port = await listen()

    async def run():
        try:
            ended["prover"] = await prover.coordinate(listeners, limits=limits)
        except SetupError as error:
            ended["prover"] = str(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield port
        nursery.cancel_scope.cancel()


async def join_all(challengers, port, ended):
    async def run(challenger):
        try:
            ended[challenger.name] = await challenger.join(port)
        except (SetupError, ChannelError) as error:
            ended[challenger.name] = str(error)

    async with trio.open_nursery() as nursery:
        for challenger in challengers:
            nursery.start_soon(run, challenger)
    while "prover" not in ended:
        await trio.sleep(0.01)


def hello_of(party, **fields):
    hello = Hello(party.name, party.plan.digest(), ()).encode()
    return json.dumps({**json.loads(hello), **fields}).encode()


async def offer_of(party):
    with party.open_store() as store:
        return (await party.progress(store)).own(0)


def sealed(party, content, number=0, rounds=()):
    return seal(party.plan, party.identity, number, rounds, content)


def nested(depth):
    return b"[" * depth + b"]" * depth


def nested_change(offer, depth):
    return offer.replace(b'"change":0', b'"change":' + nested(depth))


async def said_to(prover, party, port, frames):
    """Say the frames to the prover; return what it refuses them with."""

    async def say():
        async with connect(HOST, port, party.identity, prover.identity.public, LIMITS) as channel:
            for kind, payload in frames:
                await channel.send(kind, payload)
            with trio.fail_after(20):
                while True:
                    await channel.receive()

    with pytest.raises(ChannelError) as caught:
        await say()
    assert caught.value.reason is Reason.REFUSED
    return str(caught.value)


async def test_a_challenger_that_says_what_it_must_not_ends_its_own_connection_alone(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    bad, other = challengers
    hello, offer, others_offer = hello_of(bad), await offer_of(bad), await offer_of(other)
    witnesses = b'{"kind":"fund","party":"challenger1","body":{"witnesses":{%s}}}'
    cases = {
        "does not begin with a hello": [(Kind.MESSAGE, offer)],
        "done out of turn": [(Kind.HELLO, hello), (Kind.DONE, b"")],
        "hello out of turn": [(Kind.HELLO, hello), (Kind.HELLO, hello)],
        "not of its form": [(Kind.HELLO, b"[" * 4_000)],
        "at most 4096 are read": [(Kind.HELLO, b"[" * 5_000)],
        "unknown fields": [(Kind.HELLO, hello_of(bad, more=1))],
        "version 1, not 2": [(Kind.HELLO, hello_of(bad, version=1))],
        "version None, not 2": [(Kind.HELLO, b"{}")],
        "version [[[": [(Kind.HELLO, hello_of(bad, version=None).replace(b"null", nested(300)))],
        "calls itself 'challenger2'": [(Kind.HELLO, hello_of(other))],
        f"another plan than ours: its digest is {'00' * 32}": [(Kind.HELLO, hello_of(bad, plan="00" * 32))],
        "another set-up": [(Kind.HELLO, hello_of(bad, held=["00" * 32]))],
    }
    unsigned = "challenger1: its message of round 1 is not signed for this set-up"
    messages = [
        (unsigned, b""),
        (unsigned, others_offer),
        (unsigned, bytes(MAX_MESSAGE_BYTES)),
        ("not a JSON", sealed(bad, bytes(MAX_MESSAGE_BYTES - SEAL_BYTES))),
        ("challenger1: sends a message of 'challenger2'", sealed(bad, content_of(others_offer))),
        ("offer needed, got fund", sealed(bad, witnesses % b"")),
        (r"witnesses.'\ud800': hexadecimal", sealed(bad, witnesses % rb'"\ud800":"zz"')),
        ("an amount in satoshi needed, got [[[", sealed(bad, nested_change(content_of(offer), 300))),
    ]
    ended = {}
    async with coordinated(prover, ended) as port:
        for expected, frames in cases.items():
            assert expected in await said_to(prover, bad, port, frames)
        for expected, message in messages:
            assert expected in await said_to(prover, bad, port, [(Kind.HELLO, hello), (Kind.MESSAGE, message)])
        for depth in range(860, 1_000, 10):  # from somewhere in here on it is too deep to be read at all
            hello_too = hello_of(bad, version=None).replace(b"null", nested(depth))
            assert "version" in (said := await said_to(prover, bad, port, [(Kind.HELLO, hello_too)])) or "form" in said
            message = sealed(bad, nested_change(content_of(offer), depth))
            said = await said_to(prover, bad, port, [(Kind.HELLO, hello), (Kind.MESSAGE, message)])
            assert "got [[[" in said or "not a JSON" in said
        assert "message out of turn" in await said_to(
            prover, bad, port, [(Kind.HELLO, hello), (Kind.MESSAGE, offer), (Kind.MESSAGE, offer)]
        )
        await join_all(challengers, port, ended)
    assert_same_graph_and_valid_fund(ended, NAMES)


async def test_a_challenger_with_other_parameters_is_told(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    other = Parameters(bytes(24), levels=2, width=4, challengers=2)
    stray = Party("challenger1", other, tmp_path / "challenger1", salt="other")
    stray.plan = plan_of(other, prover, *challengers)
    async with coordinated(prover, {}) as port:
        with pytest.raises(ChannelError, match="refused: challenger1: another plan than ours"):
            await stray.join(port)


async def test_a_prover_or_a_challenger_with_another_identity_is_not_talked_to(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    stranger = new_identity(tmp_path, "stranger")
    async with coordinated(prover, {}) as port:
        challenger = challengers[0]
        agreed, theirs = challenger.plan, prover.identity.public.hex()
        challenger.plan = replace(agreed, prover=PlannedParty(stranger.public))
        with pytest.raises(ChannelError) as caught:
            await challenger.join(port, patience=0)
        assert caught.value.reason is Reason.WRONG_PEER
        assert f"the identity {stranger.public.hex()} was expected, the identity {theirs} is there" in str(caught.value)
        challenger.identity, challenger.salt = stranger, "another"
        challenger.plan = replace(agreed, challengers=(PlannedParty(stranger.public), agreed.challengers[1]))
        with pytest.raises(ChannelError) as caught:
            await challenger.join(port, patience=0)
        assert caught.value.reason is Reason.WRONG_PEER
        assert f"the identity {theirs} is there, as expected, but seems not" in str(caught.value)
        assert f"know ours, {stranger.public.hex()}" in str(caught.value)
        challenger.plan = agreed
        with pytest.raises(SetupError, match=f"{stranger.public.hex()} takes no part in the plan of ledger-1"):
            await challenger.join(port, patience=0)


async def test_a_challenger_that_shows_a_certificate_which_no_parser_takes_does_not_end_the_set_up(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    copy = tmp_path / "copy"
    copy.write_bytes(challengers[0].identity.path.read_bytes())
    odd = with_version(Identity(copy, challengers[0].identity.public), 4)
    ended = {}
    async with coordinated(prover, ended) as port:
        with pytest.raises(ChannelError, match="wrong peer"):
            async with connect(HOST, port, odd, prover.identity.public, LIMITS):
                pass
        await join_all(challengers, port, ended)
    assert_same_graph_and_valid_fund(ended, NAMES)


async def test_one_identity_has_one_connection_the_newest(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    ended = {}
    refused = []

    async def first(port):
        try:
            await challengers[0].join(port)
        except ChannelError as error:
            refused.append(str(error))

    async with coordinated(prover, ended) as port, trio.open_nursery() as nursery:
        nursery.start_soon(first, port)
        await trio.sleep(0.5)
        async with connect(HOST, port, challengers[0].identity, prover.identity.public, LIMITS) as channel:
            with trio.fail_after(10):
                while not refused:
                    await trio.sleep(0.01)
            await channel.send(Kind.HELLO, hello_of(challengers[0]))
            assert (await channel.receive()).kind is Kind.HELLO
    assert refused == ["refused: another connection with this identity took its place"]


async def test_a_round_that_does_not_go_together_ends_the_set_up_for_all_and_can_be_run_again(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    bad, other = challengers
    offer = json.loads(content_of(await offer_of(bad)))
    offer["body"]["coins"][0]["script"] = "76a914" + "00" * 20 + "88ac"
    frames = [(Kind.HELLO, hello_of(bad)), (Kind.MESSAGE, sealed(bad, json.dumps(offer).encode()))]
    ended, heard = {}, []
    async with coordinated(prover, ended) as port, trio.open_nursery() as nursery:

        async def say():
            heard.append(await said_to(prover, bad, port, frames))

        nursery.start_soon(say)
        await join_all([other], port, ended)
    reason = "challenger1: a coin of Fund that is not Taproot would make its id malleable"
    assert ended == {"prover": reason, "challenger2": f"refused: {reason}"}
    assert heard == [f"refused: {reason}"]
    assert_same_graph_and_valid_fund(await whole_setup(prover, challengers), NAMES)


@pytest.mark.parametrize("anew", [True, False])
async def test_messages_of_another_set_up_are_found_before_fund_is_signed(tmp_path, anew):
    """As they were sealed then, or sealed anew."""
    prover, challengers = parties(tmp_path, PARAMETERS)
    bad, other = challengers
    await whole_setup(prover, challengers)
    with bad.open_store() as store:
        old = [store.messages(number)[bad.name] for number in range(4)]
    for party in (prover, *challengers):
        party.salt = "again"
    frames = [(Kind.HELLO, hello_of(bad)), (Kind.MESSAGE, await offer_of(bad))]
    ended, heard = {}, []
    async with coordinated(prover, ended) as port, trio.open_nursery() as nursery:

        async def replay():
            async with connect(HOST, port, bad.identity, prover.identity.public, LIMITS) as channel:
                for kind, payload in frames:
                    await channel.send(kind, payload)
                await channel.receive()
                said, rounds = frames[1][1], []
                for number, message in enumerate(old[1:], 1):
                    provers, others = [(await channel.receive()).payload for _ in range(2)]
                    rounds.append(round_digest({prover.name: provers, bad.name: said, other.name: others}))
                    said = sealed(bad, content_of(message), number, rounds) if anew else message
                    await channel.send(Kind.MESSAGE, said)

        async def hear():
            with pytest.raises(ChannelError) as caught:
                await replay()
            heard.append(str(caught.value))

        nursery.start_soon(hear)
        if not anew:
            nursery.start_soon(join_all, [other], port, ended)
            while not heard:
                await trio.sleep(0.01)
            await join_all([bad], port, ended)
        else:
            await join_all([other], port, ended)
    if not anew:
        assert heard[0].startswith("refused: challenger1: its message of round 2 is not signed for this set-up")
        assert_same_graph_and_valid_fund(ended, NAMES)
        return
    reason = "challenger1: another graph than ours"
    assert ended == {"prover": reason, "challenger2": f"refused: {reason}"}
    assert heard == [f"refused: {reason}"]
    for party in (prover, other):
        with party.open_store() as store:
            assert store.complete() == 2
            assert not store.messages(3), "Fund was signed"


async def test_a_prover_that_has_lost_its_store_is_told_so(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    ended = {}
    async with coordinated(prover, ended) as port:
        with trio.move_on_after(30) as scope:
            async with trio.open_nursery() as nursery:
                for challenger in challengers:
                    nursery.start_soon(challenger.join, port)
                while True:
                    await trio.sleep(0.05)
                    with challengers[0].open_store() as store:
                        if store.complete():
                            nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught
    prover.store_path.unlink()
    async with coordinated(prover, ended) as port:
        with pytest.raises(ChannelError, match="refused: challenger1: is in another set-up"):
            await challengers[0].join(port)


async def test_a_store_with_another_seed_is_refused(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    with prover.open_store() as store:
        progress = await prover.progress(store)
        await progress.advance({prover.name: progress.own(0), **{c.name: await offer_of(c) for c in challengers}})
    prover.seed_salt = "another"
    with prover.open_store() as store, pytest.raises(StoreConflictError, match="another message of prover in round 1"):
        await prover.progress(store)


async def test_a_store_with_another_plan_is_refused(tmp_path):
    prover, _ = parties(tmp_path, PARAMETERS)
    await offer_of(prover)
    prover.plan = replace(prover.plan, name="ledger-2")
    with pytest.raises(StoreConflictError, match="another message of prover in round 0"):
        await offer_of(prover)


async def test_only_the_prover_coordinates(tmp_path):
    party = parties(tmp_path, PARAMETERS)[1][0]
    with party.open_store() as store:
        progress = await party.progress(store)
        with pytest.raises(SetupError, match="the prover coordinates, not challenger1"):
            Coordinator(progress)


async def test_a_thousand_connections_that_do_nothing_do_not_keep_a_set_up_from_its_end(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    ended, idle = {}, []
    limits = Limits(handshake_seconds=60, farewell_seconds=1, strangers=100)
    async with coordinated(prover, ended, limits) as port:
        for number in range(1_000):
            idle.append(await trio.open_tcp_stream(HOST, port))
            if number % 2:
                with suppress(trio.BrokenResourceError):
                    await idle[-1].send_all(b"\x16\x03\x01\x02")  # a handshake that never goes on
        await join_all(challengers, port, ended)
        for stream in idle:
            await stream.aclose()
    assert_same_graph_and_valid_fund(ended, NAMES)
