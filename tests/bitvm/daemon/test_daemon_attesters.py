"""How the prover asks its attesters when some refuse, are silent, slow or not ready; time is made up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio
from test_daemon_asking import ROOTS, TICK, at_once

from bitvm.daemon.home import HomeError
from bitvm.prover import correspondence as attesting
from bitvm.setup.attestation import NoTryLeftError
from bitvm.setup.channel import ChannelError, Reason
from bitvm.setup.identity import IdentityError
from bitvm.setup.peers import LATER


class Round:
    """A round of some attesters, of which a quorum must sign."""

    def __init__(self, prover, tries):
        self._prover, self._tries = prover, tries
        self.attempt = prover.attempts[-1] if prover.attempts else None

    @property
    def signed(self):
        return self._prover.signed.setdefault(self.attempt, set())

    def accept(self, data):
        self.signed.add(data)

    def attested(self):
        return self.signed if len(self.signed) >= self._prover.parameters.quorum else None

    def request(self):
        return b"request"

    def next_try(self):
        if (self.attempt or 0) + 1 >= self._tries and self.attempt is not None:
            raise NoTryLeftError("all tries have been asked for")
        self.attempt = 0 if self.attempt is None else self.attempt + 1
        return b"request"

    def missing(self):
        everybody = [f"challenger{number}" for number in range(1, self._prover.parameters.attesters + 1)]
        return tuple(party for party in everybody if party not in self.signed)


class Prover:
    """A prover's daemon with one queued claim; ``answer`` says what an attester does when it is asked."""

    def __init__(self, clock, monkeypatch, answer, *, tries=2, attesters=2, quorum=2):
        self.clock = at_once(clock, monkeypatch)
        self.attempts, self.asked, self.going, self._answer = [], [], {}, answer
        self.signed, self.silent, self.woken = {}, set(), 0
        store = SimpleNamespace(
            queued=lambda _: {1: ROOTS[0]},
            keep_attempt=lambda _name, _slot, attempt: self.attempts.append(attempt),
            keep_attestation=lambda *_: None,
        )
        self.parameters = SimpleNamespace(attesters=attesters, quorum=quorum)
        archive = SimpleNamespace(setup_id=bytes(32))
        bench = SimpleNamespace(name="alpha", party="prover", archive=archive, store=store, parameters=self.parameters)
        position = SimpleNamespace(at_claim=lambda _: SimpleNamespace(has=lambda _: False))
        self.engagements = {"alpha": SimpleNamespace(bench=bench, position=position)}
        plan = SimpleNamespace(address_of=lambda party: party, identity_of=lambda party: party)
        self.place = SimpleNamespace(plan=lambda _: plan, home=SimpleNamespace(identity=None))
        self.writer, self.board = trio.CapacityLimiter(1), self
        monkeypatch.setattr(attesting, "attestation_round", lambda *_: Round(self, tries))
        monkeypatch.setattr(attesting, "ask", self.ask)

    async def newer_than(self, _):
        await trio.sleep(TICK)
        return SimpleNamespace(recovering=bool(self.silent))

    def is_silent(self, name):
        return name in self.silent

    def wake(self):
        self.woken += 1

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


@pytest.mark.parametrize("says", [ChannelError(Reason.REFUSED, f"{LATER}ask again"), ChannelError(Reason.TIMEOUT, "")])
@pytest.mark.parametrize("refusing", [True, False])
async def test_who_never_says_anything_but_not_now_keeps_nobody_in_a_try_that_another_one_has_refused(
    autojump_clock, monkeypatch, says, refusing
):
    """Three of four must sign, and one refuses in the first try: the next one has its quorum; without it, none."""
    monkeypatch.setattr(attesting, "LONGEST_WAIT_SECONDS", 3_600)

    async def answer(party):
        if party == "challenger1":
            raise says
        if party == "challenger2" and not (prover.attempts[-1] and refusing):
            said = "another root is signed" if refusing else f"{LATER}nothing is signed yet"
            raise ChannelError(Reason.REFUSED, said)
        return party

    prover = Prover(autojump_clock, monkeypatch, answer, attesters=4, quorum=3)
    await prover.run(5_000)
    assert prover.signed[0] == {"challenger3", "challenger4"}
    if not refusing:
        assert set(prover.attempts) == {0}, "another try would win nothing"
        return
    assert 3_600 <= prover.attempts.index(1) * TICK <= 3_600 + 3 * TICK
    assert prover.signed[1] == {"challenger2", "challenger3", "challenger4"}


async def test_one_set_up_that_is_silent_or_fails_keeps_no_other_one_from_being_attested(autojump_clock, monkeypatch):
    async def answer(party):
        return party

    prover = Prover(autojump_clock, monkeypatch, answer)
    good, failing = prover.engagements["alpha"], SimpleNamespace(bench=SimpleNamespace(name="beta", parameters=None))
    prover.engagements, prover.silent = {"beta": failing, "alpha": good}, {"alpha", "gamma"}
    await prover.run(60)
    assert not prover.asked
    prover.silent.remove("alpha")
    await prover.run(60)
    assert prover.signed[0] == {"challenger1", "challenger2"}


@pytest.mark.parametrize("error", [IdentityError("cannot be used"), RuntimeError("a bug"), HomeError("no such plan")])
async def test_an_error_of_ours_is_no_refusal_and_the_attester_is_asked_again(autojump_clock, monkeypatch, error):
    errors = [error, error]

    async def answer(party):
        if errors:
            raise errors.pop()
        return party

    prover = Prover(autojump_clock, monkeypatch, answer)
    if isinstance(error, HomeError):
        plan = prover.place.plan
        prover.place.plan = lambda name: (_ for _ in ()).throw(errors.pop()) if errors else plan(name)
    await prover.run(60)
    assert prover.signed[0] == {"challenger1", "challenger2"}
    assert prover.woken == 2
