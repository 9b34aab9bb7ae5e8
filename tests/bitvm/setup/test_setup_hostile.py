"""What strangers, and challengers that one has agreed to talk to, can do to a set-up: nothing that lasts."""

import hashlib
import json
from contextlib import asynccontextmanager, suppress

import pytest
import trio
from networked import HOST, LIMITS, Party, listen, new_identity, parties
from test_setup_network import NAMES, PARAMETERS, assert_same_graph_and_valid_fund, whole_setup

from bitvm.graph.parameters import Parameters
from bitvm.setup.channel import ChannelError, Kind, Limits, Reason, connect
from bitvm.setup.coordinator import Coordinator
from bitvm.setup.messages import MAX_MESSAGE_BYTES
from bitvm.setup.progress import Hello
from bitvm.setup.session import SetupError
from bitvm.setup.store import StoreConflictError


@asynccontextmanager
async def coordinated(prover, challengers, ended, limits=LIMITS):
    """Run the prover in the background; its end, good or bad, goes to ``ended``."""
    listeners, port = await listen()

    async def run():
        try:
            ended["prover"] = await prover.coordinate(listeners, challengers, limits=limits)
        except SetupError as error:
            ended["prover"] = str(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield port
        nursery.cancel_scope.cancel()


async def join_all(prover, challengers, port, ended):
    async def run(challenger):
        try:
            ended[challenger.name] = await challenger.join(port, prover.identity.public)
        except (SetupError, ChannelError) as error:
            ended[challenger.name] = str(error)

    async with trio.open_nursery() as nursery:
        for challenger in challengers:
            nursery.start_soon(run, challenger)
    while "prover" not in ended:
        await trio.sleep(0.01)


def hello_of(party, **fields):
    hello = Hello(party.name, hashlib.sha256(party.parameters.canonical()).digest(), ()).encode()
    return json.dumps({**json.loads(hello), **fields}).encode()


async def offer_of(party):
    with party.open_store() as store:
        return (await party.progress(store)).own(0)


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
    cases = {
        "does not begin with a hello": [(Kind.MESSAGE, offer)],
        "done out of turn": [(Kind.HELLO, hello), (Kind.DONE, b"")],
        "hello out of turn": [(Kind.HELLO, hello), (Kind.HELLO, hello)],
        "not of its form": [(Kind.HELLO, b"[" * 4_000)],
        "at most 4096 are read": [(Kind.HELLO, b"[" * 5_000)],
        "unknown fields": [(Kind.HELLO, hello_of(bad, more=1))],
        "version 2": [(Kind.HELLO, hello_of(bad, version=2))],
        "calls itself 'challenger2'": [(Kind.HELLO, hello_of(other))],
        "other parameters": [(Kind.HELLO, hello_of(bad, parameters="00" * 32))],
        "another set-up": [(Kind.HELLO, hello_of(bad, held=["00" * 32]))],
        "not a JSON": [(Kind.HELLO, hello), (Kind.MESSAGE, bytes(MAX_MESSAGE_BYTES))],
        "challenger1: sends a message of 'challenger2'": [(Kind.HELLO, hello), (Kind.MESSAGE, others_offer)],
        "offer needed, got fund": [
            (Kind.HELLO, hello),
            (Kind.MESSAGE, b'{"kind":"fund","party":"challenger1","body":{"witnesses":{}}}'),
        ],
    }
    ended = {}
    async with coordinated(prover, challengers, ended) as port:
        for expected, frames in cases.items():
            assert expected in await said_to(prover, bad, port, frames)
        assert "message out of turn" in await said_to(
            prover, bad, port, [(Kind.HELLO, hello), (Kind.MESSAGE, offer), (Kind.MESSAGE, offer)]
        )
        await join_all(prover, challengers, port, ended)
    assert_same_graph_and_valid_fund(ended, NAMES)


async def test_a_challenger_with_other_parameters_is_told(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    other = Parameters(bytes(24), levels=2, width=4, challengers=2)
    stray = Party("challenger1", other, tmp_path / "challenger1", salt="other")
    async with coordinated(prover, challengers, {}) as port:
        with pytest.raises(ChannelError, match="refused: challenger1: other parameters than ours"):
            await stray.join(port, prover.identity.public)


async def test_a_prover_or_a_challenger_with_another_identity_is_not_talked_to(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    stranger = new_identity(tmp_path, "stranger")
    async with coordinated(prover, challengers, {}) as port:
        with pytest.raises(ChannelError) as caught:
            await challengers[0].join(port, stranger.public, patience=0)
        assert caught.value.reason is Reason.WRONG_PEER
        challengers[0].identity = stranger
        with pytest.raises(ChannelError) as caught:
            await challengers[0].join(port, prover.identity.public, patience=0)
        assert caught.value.reason is Reason.WRONG_PEER


async def test_one_identity_has_one_connection_the_newest(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    ended = {}
    refused = []

    async def first(port):
        try:
            await challengers[0].join(port, prover.identity.public)
        except ChannelError as error:
            refused.append(str(error))

    async with coordinated(prover, challengers, ended) as port, trio.open_nursery() as nursery:
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
    offer = json.loads(await offer_of(bad))
    offer["body"]["coins"][0]["script"] = "76a914" + "00" * 20 + "88ac"
    frames = [(Kind.HELLO, hello_of(bad)), (Kind.MESSAGE, json.dumps(offer).encode())]
    ended, heard = {}, []
    async with coordinated(prover, challengers, ended) as port, trio.open_nursery() as nursery:

        async def say():
            heard.append(await said_to(prover, bad, port, frames))

        nursery.start_soon(say)
        await join_all(prover, [other], port, ended)
    reason = "challenger1: a coin of Fund that is not Taproot would make its id malleable"
    assert ended == {"prover": reason, "challenger2": f"refused: {reason}"}
    assert heard == [f"refused: {reason}"]
    assert_same_graph_and_valid_fund(await whole_setup(prover, challengers), NAMES)


async def test_messages_of_another_set_up_are_found_before_fund_is_signed(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    bad, other = challengers
    await whole_setup(prover, challengers)
    with bad.open_store() as store:
        old = [store.messages(number)[bad.name] for number in range(4)]
    for party in (prover, *challengers):
        party.salt = "again"
    frames = [(Kind.HELLO, hello_of(bad)), (Kind.MESSAGE, await offer_of(bad))]
    ended, heard = {}, []
    async with coordinated(prover, challengers, ended) as port, trio.open_nursery() as nursery:

        async def replay():
            async with connect(HOST, port, bad.identity, prover.identity.public, LIMITS) as channel:
                for kind, payload in frames:
                    await channel.send(kind, payload)
                await channel.receive()
                for message in old[1:]:
                    await channel.receive()
                    await channel.receive()
                    await channel.send(Kind.MESSAGE, message)

        async def hear():
            with pytest.raises(ChannelError) as caught:
                await replay()
            heard.append(str(caught.value))

        nursery.start_soon(hear)
        await join_all(prover, [other], port, ended)
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
    async with coordinated(prover, challengers, ended) as port:
        with trio.move_on_after(30) as scope:
            async with trio.open_nursery() as nursery:
                for challenger in challengers:
                    nursery.start_soon(challenger.join, port, prover.identity.public)
                while True:
                    await trio.sleep(0.05)
                    with challengers[0].open_store() as store:
                        if store.complete():
                            nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught
    prover.store_path.unlink()
    async with coordinated(prover, challengers, ended) as port:
        with pytest.raises(ChannelError, match="refused: challenger1: is in another set-up"):
            await challengers[0].join(port, prover.identity.public)


async def test_a_store_with_another_seed_is_refused(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    with prover.open_store() as store:
        progress = await prover.progress(store)
        await progress.advance({prover.name: progress.own(0), **{c.name: await offer_of(c) for c in challengers}})
    prover.seed_salt = "another"
    with prover.open_store() as store, pytest.raises(StoreConflictError, match="another message of prover in round 1"):
        await prover.progress(store)


@pytest.mark.parametrize("change", ["missing", "shared", "too many", "not the prover"])
async def test_a_coordinator_needs_one_identity_of_each_challenger(tmp_path, change):
    prover, challengers = parties(tmp_path, PARAMETERS)
    peers = {party.name: party.identity.public for party in challengers}
    if change == "missing":
        del peers["challenger1"]
    elif change == "shared":
        peers["challenger1"] = peers["challenger2"]
    elif change == "too many":
        peers["challenger3"] = bytes(32)
    party = challengers[0] if change == "not the prover" else prover
    with party.open_store() as store:
        progress = await party.progress(store)
        with pytest.raises(SetupError, match="one identity of each"):
            Coordinator(progress, party.identity, peers)


async def test_a_thousand_connections_that_do_nothing_do_not_keep_a_set_up_from_its_end(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    ended, idle = {}, []
    limits = Limits(handshake_seconds=60, farewell_seconds=1, strangers=100)
    async with coordinated(prover, challengers, ended, limits) as port:
        for number in range(1_000):
            idle.append(await trio.open_tcp_stream(HOST, port))
            if number % 2:
                with suppress(trio.BrokenResourceError):
                    await idle[-1].send_all(b"\x16\x03\x01\x02")  # a handshake that never goes on
        await join_all(prover, challengers, port, ended)
        for stream in idle:
            await stream.aclose()
    assert_same_graph_and_valid_fund(ended, NAMES)
