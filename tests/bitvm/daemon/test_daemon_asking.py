"""Whom a daemon asks, how often and for how long, when others are silent, slow or not ready; time is made up."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import trio
from bitcoin.core import CTransaction, CTxIn, CTxOut

from bitvm.daemon import correspondence
from bitvm.daemon.correspondence import ASKED_AT_ONCE, PATIENCE, ask_for_inputs, ask_what_was_seen
from bitvm.prover import correspondence as attesting
from bitvm.setup.attestation import NoTryLeftError
from bitvm.setup.channel import ChannelError, Reason
from bitvm.setup.peers import LATER, PATIENCE_SECONDS, SeenPage, SeenRequest

PARTIES = ("prover", *(f"challenger{number}" for number in range(1, 17)))
OWN = "challenger1"
ROOTS = (b"r" * 24, b"s" * 24)
TICK = 5.0


def at_once(clock, monkeypatch):
    """Have what is done in threads done at once: the clock would not wait for it."""

    async def run_sync(function, *arguments, **_):
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    return clock


class House:
    """A daemon with one set-up, of which every other party is as ``answers`` says; a party without one is silent."""

    def __init__(self, clock, monkeypatch, answers, missing=()):
        self.clock = at_once(clock, monkeypatch)
        self.answers, self.kept, self.learned = answers, [], []
        self.asked, self.going, self.most, self.now = {}, {}, 0, {}
        graph = SimpleNamespace(setting=SimpleNamespace(parties=PARTIES), by_txid=dict)
        archive = SimpleNamespace(party=OWN, setup_id=bytes(32), graph=graph)
        inputs = SimpleNamespace(keep=lambda _setup, _slot, data: self.kept.append(data))
        bench = SimpleNamespace(
            name="alpha", party=OWN, archive=archive, inputs=inputs, missing=dict.fromkeys(missing, 1)
        )
        self.engagement = SimpleNamespace(bench=bench, learn=self.learned.extend)
        self.engagements = {"alpha": self.engagement}
        self.writer, self.board, self.is_recovering, self.woken = trio.CapacityLimiter(1), self, True, 0
        monkeypatch.setattr(correspondence, "ask_peer", self.ask_peer)

    async def newer_than(self, _):
        await trio.sleep(TICK)
        return SimpleNamespace(setups=(), recovering=False)

    def wake(self):
        self.woken += 1

    async def ask_peer(self, _daemon, _engagement, party, request):
        key = (party, getattr(request, "root", b""))
        self.asked.setdefault(key, []).append(self.clock.current_time() - self.begun)
        self.going[key] = self.going.get(key, 0) + 1
        self.most = max(self.most, sum(self.going.values()))
        assert self.going[key] == 1, "a party is asked once at a time"
        try:
            if party not in self.answers:
                await trio.sleep(PATIENCE_SECONDS)
                return None
            return await self.answers[party](request)
        finally:
            self.going[key] -= 1

    async def run(self, task, seconds):
        self.begun = self.clock.current_time()
        with trio.move_on_after(seconds):
            await task(self)


async def late_answer(data, seconds, _request):
    await trio.sleep(seconds)
    return data


async def test_sixteen_silent_parties_do_not_keep_us_from_the_one_that_answers(autojump_clock, monkeypatch):
    house = House(autojump_clock, monkeypatch, {PARTIES[-1]: partial(late_answer, b"input", 1)}, ROOTS[:1])
    await house.run(ask_for_inputs, 2 * PATIENCE + 2 * TICK)
    assert house.kept == [b"input"]
    assert house.woken == 1
    assert house.asked[PARTIES[-1], ROOTS[0]][0] <= PATIENCE + TICK
    assert sum(house.going.values()) == 0, "nobody is asked any more"


async def test_nobody_is_asked_twice_at_once_nor_too_many_together(autojump_clock, monkeypatch):
    house = House(autojump_clock, monkeypatch, {}, ROOTS)
    await house.run(ask_for_inputs, 3_600)
    assert house.most == ASKED_AT_ONCE
    assert {party for party, _ in house.asked} == set(PARTIES) - {OWN}
    assert max(map(len, house.asked.values())) < 15
    assert max(times[0] for times in house.asked.values()) <= 4 * PATIENCE + TICK


async def test_a_slow_line_gets_its_time(autojump_clock, monkeypatch):
    house = House(autojump_clock, monkeypatch, {"prover": partial(late_answer, b"input", 7 * PATIENCE)}, ROOTS[:1])
    await house.run(ask_for_inputs, 1_800)
    assert house.kept == [b"input"]


async def test_who_does_not_hold_it_yet_is_asked_again_soon(autojump_clock, monkeypatch):
    held = []

    async def answer(_request):
        return held[0] if held else None

    async def run(house, nursery):
        nursery.start_soon(house.run, ask_for_inputs, 100)
        await trio.sleep(60)
        held.append(b"input")

    house = House(autojump_clock, monkeypatch, {"prover": answer}, ROOTS[:1])
    async with trio.open_nursery() as nursery:
        await run(house, nursery)
    assert house.kept == [b"input"]
    assert 5 <= len(house.asked["prover", ROOTS[0]]) <= 15


async def test_what_is_not_lacking_any_more_is_not_asked_for(autojump_clock, monkeypatch):
    house = House(autojump_clock, monkeypatch, {}, ROOTS[:1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.run, ask_for_inputs, 100)
        await trio.sleep(20)
        house.engagement.bench.missing.clear()
        await trio.sleep(2 * TICK)
        assert sum(house.going.values()) == 0
        assert not house.kept


async def test_after_a_restore_all_are_asked_although_most_are_silent(autojump_clock, monkeypatch):
    """The last one tells in two pages; the recovery ends two minutes after it began."""
    pages = [CTransaction([CTxIn()], [CTxOut(number)]) for number in range(2)]

    async def answer(request):
        assert isinstance(request, SeenRequest)
        first = request.after == bytes(32)
        return SeenPage((pages[0 if first else 1],), 60, b"\1" * 32 if first else None)

    house = House(autojump_clock, monkeypatch, {PARTIES[-1]: answer})
    await house.run(ask_what_was_seen, 120)
    assert house.learned == pages
    assert {party for party, _ in house.asked} == set(PARTIES) - {OWN}
    assert len(house.asked[PARTIES[-1], b""]) == 2


async def test_who_tells_without_end_is_not_listened_to_for_ever(autojump_clock, monkeypatch):
    async def answer(request):
        return SeenPage((), correspondence.MOST_SEEN_BYTES // 10, (request.after[0] + 1).to_bytes(32, "little"))

    house = House(autojump_clock, monkeypatch, {"prover": answer})
    await house.run(ask_what_was_seen, 120)
    assert len(house.asked["prover", b""]) == 11


# ---- attesters


class Round:
    """A round of two attesters, of which both must sign."""

    def __init__(self, attempts, tries):
        self._attempts, self._tries = attempts, tries
        self.attempt = attempts[-1] if attempts else None
        self.signed = set()

    def attested(self):
        return self.signed if len(self.signed) == 2 else None

    def request(self):
        return b"request"

    def next_try(self):
        if (self.attempt or 0) + 1 >= self._tries and self.attempt is not None:
            raise NoTryLeftError("all tries have been asked for")
        self.attempt = 0 if self.attempt is None else self.attempt + 1
        return b"request"

    def missing(self):
        return ("challenger1", "challenger2")


class Prover:
    """A prover's daemon with one queued claim; ``answer`` says what an attester does when it is asked."""

    def __init__(self, clock, monkeypatch, answer, tries=2):
        self.clock = at_once(clock, monkeypatch)
        self.attempts, self.asked, self.going, self._answer = [], [], {}, answer
        store = SimpleNamespace(
            queued=lambda _: {1: ROOTS[0]}, keep_attempt=lambda _name, _slot, attempt: self.attempts.append(attempt)
        )
        parameters = SimpleNamespace(attesters=2, quorum=2)
        archive = SimpleNamespace(setup_id=bytes(32))
        bench = SimpleNamespace(name="alpha", party="prover", archive=archive, store=store, parameters=parameters)
        position = SimpleNamespace(at_claim=lambda _: SimpleNamespace(has=lambda _: False))
        self.engagements = {"alpha": SimpleNamespace(bench=bench, position=position)}
        plan = SimpleNamespace(address_of=lambda party: party, identity_of=lambda party: party)
        self.place = SimpleNamespace(plan=lambda _: plan, home=SimpleNamespace(identity=None))
        self.writer, self.board = trio.CapacityLimiter(1), self
        monkeypatch.setattr(attesting, "attestation_round", lambda *_: Round(self.attempts, tries))
        monkeypatch.setattr(attesting, "ask", self.ask)

    async def newer_than(self, _):
        await trio.sleep(TICK)
        return SimpleNamespace(recovering=False)

    async def ask(self, party, *_):
        self.asked.append(party)
        self.going[party] = self.going.get(party, 0) + 1
        assert self.going[party] == 1, "one question at a time"
        try:
            return await self._answer(party)
        finally:
            self.going[party] -= 1

    async def run(self, seconds):
        with trio.move_on_after(seconds):
            await attesting.ask_attesters(self)


@pytest.mark.parametrize(
    "said", [f"{LATER}restored from a backup", f"{LATER}4 connections of this identity are open already"]
)
async def test_an_attester_that_is_not_ready_burns_no_try(autojump_clock, monkeypatch, said):
    async def answer(_party):
        raise ChannelError(Reason.REFUSED, said)

    prover = Prover(autojump_clock, monkeypatch, answer)
    await prover.run(100)
    assert set(prover.attempts) == {0}
    assert prover.asked.count("challenger2") > 5


async def test_an_attester_that_refuses_burns_a_try_and_the_last_one_stays_open(autojump_clock, monkeypatch):
    async def answer(party):
        if party == "challenger2":
            raise ChannelError(Reason.REFUSED, "another root is signed")
        await trio.sleep(1)
        raise ChannelError(Reason.TIMEOUT, "no answer")

    prover = Prover(autojump_clock, monkeypatch, answer)
    await prover.run(60)
    assert sorted(set(prover.attempts)) == [0, 1]
    asked = len(prover.asked)
    assert asked > 5
    await prover.run(60)
    assert len(prover.asked) > asked, "an operator may have mended what was wrong"


async def test_a_slow_attester_is_asked_one_question_at_a_time(autojump_clock, monkeypatch):
    async def answer(_party):
        await trio.sleep(200)
        raise ChannelError(Reason.TIMEOUT, "no answer")

    prover = Prover(autojump_clock, monkeypatch, answer)
    await prover.run(1_000)
    assert set(prover.attempts) == {0}
    assert prover.asked.count("challenger1") == prover.asked.count("challenger2") == 5
