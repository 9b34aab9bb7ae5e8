"""Each message of a set-up is the last that a process sends, hears or stores: it ends as if nothing had been."""

import hashlib
import os
import signal
import sqlite3
import sys
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path

import networked
import pytest
import trio
from networked import HOST, listen, parties

from bitvm.graph.parameters import Parameters
from bitvm.script.engine import failing_input
from bitvm.setup.channel import Channel, Kind
from bitvm.setup.messages import decode
from bitvm.setup.seal import content_of
from bitvm.setup.store import SetupStore

PARAMETERS = Parameters(bytes(24), levels=1, width=4, challengers=2)
NAMES = ("prover", "challenger1", "challenger2")

running: ContextVar[str] = ContextVar("running")


class Cut(Exception):  # noqa: N818 - no error: the end of a process
    """The process is gone, and with it everything that was not on disk."""


def of_kind(error):
    return all(map(of_kind, error.exceptions)) if isinstance(error, BaseExceptionGroup) else isinstance(error, Cut)


class Cutter:
    """Ends a party's process after each thing that it sends, hears ("receive") or stores ("keep"), once each."""

    def __init__(self, monkeypatch, names, side):
        self.cuts = set()
        self.said = {}
        self._names = names
        send, receive, keep = Channel.send, Channel._receive_any, SetupStore.keep

        async def cutting_send(channel, kind, payload=b""):
            await send(channel, kind, payload)
            self.note(running.get(), kind, payload)
            if side == "send":
                await self.cut(channel, running.get(), self._names[channel.peer], kind, payload)

        async def cutting_receive(channel):
            frame = await receive(channel)
            if side == "receive":
                await self.cut(channel, self._names[channel.peer], running.get(), *frame)
            return frame

        def cutting_keep(store, number, messages):
            keep(store, number, messages)
            point = (store.party, number, *sorted(messages))
            if side == "keep" and point not in self.cuts:
                self.cuts.add(point)
                raise Cut(point)

        monkeypatch.setattr(SetupStore, "keep", cutting_keep)
        monkeypatch.setattr(Channel, "send", cutting_send)
        monkeypatch.setattr(Channel, "_receive_any", cutting_receive)

    def note(self, sender, kind, payload):
        if kind is Kind.MESSAGE:
            party, body = decode(content_of(payload))
            if sender in (party, "prover"):
                self.said.setdefault((party, body.KIND), set()).add(payload)

    async def cut(self, channel, sender, receiver, kind, payload):
        what = hashlib.sha256(payload).hexdigest() if kind is Kind.MESSAGE else ""
        point = (sender, receiver, kind, what)
        if kind in (Kind.HELLO, Kind.MESSAGE, Kind.DONE) and point not in self.cuts:
            self.cuts.add(point)
            await trio.aclose_forcefully(channel._stream)
            raise Cut(point)


async def living(party, run):
    """Run a process of ``party`` again and again, until one lives to the end."""
    running.set(party.name)
    while True:
        try:
            return await run()
        except (Cut, BaseExceptionGroup) as error:
            if not of_kind(error):
                raise


def assert_every_cut_was_made(cuts, side):
    if side == "keep":  # every party: its own four messages, each as soon as it is made, and four whole rounds
        assert len(cuts) == len(NAMES) * (4 + 4)
        return
    # a challenger: hello, four messages; to each: hello, and four rounds of what the two others said
    messages = {point for point in cuts if point[2] is not Kind.DONE}
    assert len(messages) == 2 * (1 + 4 + 1 + 4 * 2)
    done = len(cuts) - len(messages)
    assert done == 2 if side == "send" else done  # the prover may be away when a challenger says that it is done


@pytest.mark.parametrize("side", ["send", "receive", "keep"])
async def test_a_cut_after_every_message_of_every_party_changes_nothing(tmp_path, monkeypatch, side):
    prover, challengers = parties(tmp_path, PARAMETERS)
    everybody = [prover, *challengers]
    cutter = Cutter(monkeypatch, {party.identity.public: party.name for party in everybody}, side)
    _, port = first = await listen()
    listeners = [first[0]]
    ended = {}

    async def coordinate():
        bound = listeners.pop() if listeners else await trio.open_tcp_listeners(port, host=HOST)
        return await prover.coordinate(bound, linger=2)

    async def run_prover():
        while len(ended) < len(NAMES) - 1:
            finished = await living(prover, coordinate)
        ended[prover.name] = finished

    async def run_challenger(challenger):
        ended[challenger.name] = await living(challenger, lambda: challenger.join(port))

    with trio.fail_after(240):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_prover)
            for challenger in challengers:
                nursery.start_soon(run_challenger, challenger)

    assert_every_cut_was_made(cutter.cuts, side)
    assert len({finished.signed.graph.hash() for finished in ended.values()}) == 1
    assert len({finished.fund.serialize() for finished in ended.values()}) == 1
    assert failing_input(ended["prover"].fund, ended["prover"].signed.graph["Fund"].spent) is None
    assert len(cutter.said) == len(NAMES) * 4
    assert all(len(messages) == 1 for messages in cutter.said.values()), "somebody said two things"


def stored(path):
    """Return how many messages the store of another process holds."""
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as database:
        return database.execute("SELECT count(*) FROM messages").fetchone()[0]


async def test_killed_processes_go_on_where_they_were(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    listeners, port = await listen()
    for listener in listeners:
        await listener.aclose()
    ended = {}

    async def run(party, kill_at):
        command = [sys.executable, networked.__file__, party.name, str(tmp_path), str(port)]
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        for messages in kill_at:
            process = await trio.lowlevel.open_process(command, env=environment)
            while stored(party.store_path) < messages:
                assert process.poll() is None
                await trio.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        done = await trio.run_process(command, env=environment, capture_stdout=True)
        ended[party.name] = done.stdout

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, prover, (4,))  # everybody's offers, and its own keys
            nursery.start_soon(run, challengers[0], (7,))  # everybody's keys as well, and its own signatures
            nursery.start_soon(run, challengers[1], ())
    assert len(ended) == len(NAMES)
    assert len(set(ended.values())) == 1
