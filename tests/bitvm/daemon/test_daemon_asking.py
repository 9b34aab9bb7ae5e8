"""Whom a daemon asks, how often and for how long, when others are silent, slow or not ready; time is made up."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import trio
from bitcoin.core import CTransaction, CTxIn, CTxOut

from bitvm.daemon import correspondence
from bitvm.daemon.correspondence import (
    ASKED_AT_ONCE,
    FAILED_SECONDS,
    LEFT_OUT_SECONDS,
    PATIENCE,
    DaemonDesk,
    ask_for_inputs,
    ask_peer,
    ask_what_was_seen,
    serve_parties,
)
from bitvm.daemon.home import HomeError
from bitvm.setup.identity import IdentityError
from bitvm.setup.input_store import InputStoreError
from bitvm.setup.peers import PATIENCE_SECONDS, NotNowError, RefusalError, SeenPage, SeenRequest

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


# ---- what goes wrong


@pytest.mark.parametrize("task", [ask_for_inputs, ask_what_was_seen])
async def test_what_cannot_be_kept_is_asked_for_again(autojump_clock, monkeypatch, task):
    answer = SeenPage((), 60, None) if task is ask_what_was_seen else b"input"
    house = House(autojump_clock, monkeypatch, {"prover": partial(late_answer, answer, 1)}, ROOTS[:1])
    full, kept = [True, True], []

    def keep(*_):
        if full:
            full.pop()
            raise InputStoreError("database or disk is full")
        kept.append(house.clock.current_time())

    house.engagement.bench.inputs.keep = house.engagement.learn = keep
    await house.run(task, 20 * FAILED_SECONDS)
    assert len(kept) == 1
    assert kept[0] - house.begun >= 2 * FAILED_SECONDS


@pytest.mark.parametrize(
    "error", [HomeError("setup.yaml: no such plan"), IdentityError("cannot be used"), RuntimeError("a bug")]
)
@pytest.mark.parametrize("where", ["plan", "ask"])
async def test_a_question_that_cannot_be_asked_is_as_good_as_not_answered(monkeypatch, error, where):
    def fail_in(place):
        if where == place:
            raise error

    async def ask(*_):
        fail_in("ask")
        return b"input"

    def plan(_):
        fail_in("plan")
        return SimpleNamespace(address_of=lambda party: party, identity_of=lambda party: party)

    monkeypatch.setattr(correspondence, "ask", ask)
    daemon = SimpleNamespace(place=SimpleNamespace(plan=plan, home=SimpleNamespace(identity=None)))
    engagement = SimpleNamespace(bench=SimpleNamespace(name="alpha"))
    assert await ask_peer(daemon, engagement, "prover", SeenRequest(None, ())) is None
    where = "nowhere"
    assert await ask_peer(daemon, engagement, "prover", SeenRequest(None, ())) == b"input"


async def test_parties_are_served_again_after_an_error_and_a_set_up_without_its_plan_is_left_out(
    autojump_clock, monkeypatch
):
    served, away, errors = [], {"beta"}, [OSError("address in use"), ExceptionGroup("two", [OSError("accept")])]

    async def serve_requests(_listeners, _identity, setups, _desk, **_):
        if errors:
            raise errors.pop()
        served.append((autojump_clock.current_time(), sorted(setups)))
        await trio.sleep_forever()

    async def newer_than(_):
        await trio.sleep(TICK)

    async def open_listeners(*_, **__):
        return []

    def plan(name):
        if name in away:
            raise HomeError(f"{name}: no such plan")
        return SimpleNamespace(identities={})

    def engagement(name):
        archive = SimpleNamespace(setup_id=name.encode())
        return SimpleNamespace(bench=SimpleNamespace(name=name, party=OWN, archive=archive))

    monkeypatch.setattr(correspondence, "serve_requests", serve_requests)
    monkeypatch.setattr(trio, "open_tcp_listeners", open_listeners)
    config = SimpleNamespace(listen=SimpleNamespace(host="127.0.0.1", port=1))
    daemon = SimpleNamespace(
        place=SimpleNamespace(config=config, plan=plan, home=SimpleNamespace(identity=None)),
        engagements={name: engagement(name) for name in ("alpha", "beta")},
        board=SimpleNamespace(newer_than=newer_than),
        writer=None,
    )
    with trio.move_on_after(60):
        await serve_parties(daemon)
    assert [setups for _, setups in served] == [[b"alpha"]]
    served.clear()
    with trio.move_on_after(LEFT_OUT_SECONDS + 60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_parties, daemon)
            await trio.sleep(60)
            away.clear()
    assert [setups for _, setups in served] == [[b"alpha"], [b"alpha", b"beta"]]


def test_an_attester_is_silent_in_a_set_up_that_has_not_recovered_and_in_no_other_one():
    benches = {name: SimpleNamespace(name=name, archive=SimpleNamespace(setup_id=name.encode())) for name in "ab"}
    for bench in benches.values():
        bench.parameters, bench.party = SimpleNamespace(attesters=0), OWN
    engagements = {name: SimpleNamespace(bench=bench) for name, bench in benches.items()}
    desk = DaemonDesk(SimpleNamespace(engagements=engagements, is_recovering=True, is_silent=lambda name: name == "a"))
    with pytest.raises(NotNowError, match="restored"):
        desk.attest(b"a", "prover", b"")
    with pytest.raises(RefusalError, match="no attester"):
        desk.attest(b"b", "prover", b"")
