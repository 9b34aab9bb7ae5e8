"""Nobody but the identities of the plan can take part: a prover that plays the other challengers is found out."""

from dataclasses import fields, replace

import pytest
import trio
from networked import Party, listen, new_identity, parties, plan_of

from bitvm.graph.parameters import Parameters
from bitvm.setup.channel import ChannelError, Reason
from bitvm.setup.plan import Address, PlannedParty, SetupPlan
from bitvm.setup.seal import SEAL_BYTES, content_of, seal, unseal
from bitvm.setup.session import SetupError

PARAMETERS = Parameters(bytes(24), levels=1, width=4, challengers=3, attesters=3, quorum=2)
FORGED = "challenger2"
UNSIGNED = r"challenger2: its message of round . is not signed for this set-up"


class Pretending(SetupPlan):
    """A plan that gives itself out as another one."""

    real: SetupPlan

    def digest(self):
        return self.real.digest()


def pretending(plan, real):
    found = Pretending(*(getattr(plan, field.name) for field in fields(SetupPlan)))
    object.__setattr__(found, "real", real)
    return found


async def test_a_prover_that_plays_the_other_challengers_gets_nothing_signed(tmp_path):
    prover, (victim, *others) = parties(tmp_path, PARAMETERS)
    fakes = [Party(other.name, PARAMETERS, tmp_path / f"fake{other.name}", seed_salt="fake") for other in others]
    for party in (prover, *fakes):
        party.plan = pretending(plan_of(PARAMETERS, prover, victim, *fakes), victim.plan)
    with pytest.raises(SetupError) as caught, trio.fail_after(60):
        await run_until_refused(prover, victim, fakes)
    identity = others[0].identity.public.hex()
    reason = "challenger2: its message of round 1 is not signed for this set-up by the identity"
    assert str(caught.value).startswith(f"{reason} {identity} that the plan names")
    with victim.open_store() as store:
        assert (store.complete(), store.messages(1)) == (0, {}), "not even keys were given"
    assert not others[0].store_path.exists()


async def run_until_refused(prover, victim, fakes):
    listeners, port = await listen()
    refused = []

    async def run_victim():
        try:
            await victim.join(port)
        except SetupError as error:
            refused.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(prover.coordinate, listeners)
        nursery.start_soon(run_victim)
        for fake in fakes:
            nursery.start_soon(fake.join, port)
    raise refused[0]


async def rounds_of(everybody, number):
    """Run so many rounds; return the messages of each."""
    stores = [party.open_store() for party in everybody]
    progress = [await party.progress(store) for party, store in zip(everybody, stores, strict=True)]
    found = []
    for round_ in range(number + 1):
        found.append({one.party: one.own(round_) for one in progress})
        if round_ < number:
            for one in progress:
                await one.advance(found[-1])
    for store in stores:
        store.close()
    return found


def fake_of(victim, folder):
    """Return an identity that is challenger2 in a plan that gives itself out as the victim's."""
    identity = new_identity(folder, "fake")
    challengers = list(victim.plan.challengers)
    challengers[1] = PlannedParty(identity.public)
    return identity, pretending(replace(victim.plan, challengers=tuple(challengers)), victim.plan)


async def test_what_another_party_said_elsewhere_is_refused_in_every_round(tmp_path):
    """The victim gets, in the place of one message: forged, replayed, misplaced and damaged ones; then the real one."""
    small = Parameters(bytes(24), levels=1, width=4, challengers=2)
    prover, challengers = parties(tmp_path, small)
    everybody = [prover, *challengers]
    old = await rounds_of(everybody, 3)
    for party in everybody:
        party.salt = "again"
    new = await rounds_of(everybody, 3)
    victim, forged = challengers
    fake, fake_plan = fake_of(victim, tmp_path)
    with victim.open_store() as store:
        nonce = store.nonce
    victim.salt = "once more"  # the same offer, in a store that has heard nothing yet
    with victim.open_store() as store:
        store.nonce = nonce
        progress = await victim.progress(store)
        for number in range(4):
            digests, message = progress.digests(), new[number][FORGED]
            content = content_of(message)
            bad = {
                "forged by another identity": seal(fake_plan, fake, number, digests, content),
                "by the prover in its name": seal(prover.plan, prover.identity, number, digests, content),
                "not sealed": bytes(SEAL_BYTES) + content,
                "without its seal": content,
                "cut": message[:40],
                "another content": message[:-1] + b" ",
                "of another round": seal(forged.plan, forged.identity, (number + 1) % 4, digests, content),
                "for another plan": seal(replace(forged.plan, name="x"), forged.identity, number, digests, content),
            }
            if number:
                bad["of another set-up"] = old[number][FORGED]
                bad["of the round before"] = new[number - 1][FORGED]
            for what, data in bad.items():
                with pytest.raises(SetupError, match=UNSIGNED):
                    progress.check(FORGED, data)
                with pytest.raises(SetupError, match=UNSIGNED):
                    await progress.advance({**new[number], FORGED: data})
                assert store.complete() == number, what
                assert not store.messages(number + 1), what
            progress.check(FORGED, message)
            await progress.advance(new[number])
        assert progress.finished is not None


def test_every_part_of_the_statement_counts(tmp_path):
    _, (party, _) = parties(tmp_path, Parameters(bytes(24), levels=1, width=4, challengers=2))
    plan, rounds = party.plan, [bytes(32), bytes([1]) * 32]
    message = seal(plan, party.identity, 2, rounds, b"content")
    assert unseal(plan, "challenger1", 2, rounds, message) == content_of(message) == b"content"
    assert seal(plan, party.identity, 2, rounds, b"content") == message, "the same every time"
    for arguments in (
        (plan, "challenger2", 2, rounds),
        (plan, "challenger1", 1, rounds),
        (plan, "challenger1", 2, rounds[:1]),
        (plan, "challenger1", 2, rounds[::-1]),
        (replace(plan, program=bytes([1]) * 32), "challenger1", 2, rounds),
        (replace(plan, challengers=plan.challengers[::-1]), "challenger1", 2, rounds),
    ):
        with pytest.raises(SetupError, match="not signed"):
            unseal(*arguments, message)
    with pytest.raises(SetupError, match="takes no part"):
        seal(plan, new_identity(tmp_path, "stranger"), 2, rounds, b"content")


def differing(plan, folder):
    first, second = plan.challengers
    stranger = new_identity(folder, "stranger").public
    return {
        "name": replace(plan, name="other"),
        "network": replace(plan, network="main"),
        "program": replace(plan, program=bytes([1]) * 32),
        "parameters": replace(plan, parameters=replace(plan.parameters, delta=plan.parameters.delta + 1)),
        "where the prover answers": replace(plan, prover=replace(plan.prover, address=Address("example", 1))),
        "where it coordinates": replace(plan, setup_address=Address("example", 1)),
        "where another answers": replace(plan, challengers=(first, replace(second, address=Address("::1", 1)))),
        "who another is": replace(plan, challengers=(first, PlannedParty(stranger))),
    }


async def test_plans_that_differ_in_anything_are_refused_at_hello(tmp_path):
    prover, (challenger, _) = parties(tmp_path, Parameters(bytes(24), levels=1, width=4, challengers=2))
    agreed = challenger.plan
    listeners, port = await listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prover.coordinate, listeners)
        for what, plan in differing(agreed, tmp_path).items():
            challenger.plan, challenger.parameters, challenger.salt = plan, plan.parameters, what
            with pytest.raises(ChannelError) as caught, trio.fail_after(20):
                await challenger.join(port)
            assert caught.value.reason is Reason.REFUSED, what
            digests = f"its digest is {plan.digest().hex()}, ours {agreed.digest().hex()}"
            assert f"challenger1: another plan than ours: {digests}" in str(caught.value), what
        nursery.cancel_scope.cancel()


class AnyPlan(bytes):
    """A digest that is equal to every other."""

    __hash__ = bytes.__hash__

    def __eq__(self, _):
        return True

    def __ne__(self, _):
        return False


async def test_a_challenger_refuses_a_prover_that_takes_any_plan_but_has_another(tmp_path):
    prover, (challenger, _) = parties(tmp_path, Parameters(bytes(24), levels=1, width=4, challengers=2))
    digest = AnyPlan(replace(prover.plan, name="other").digest())
    object.__setattr__(prover.plan, "digest", lambda: digest)
    challenger.plan = replace(challenger.plan)
    listeners, port = await listen()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prover.coordinate, listeners)
        with pytest.raises(SetupError, match="prover: another plan than ours"), trio.fail_after(20):
            await challenger.join(port)
        nursery.cancel_scope.cancel()
