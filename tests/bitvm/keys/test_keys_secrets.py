"""Which one-time key a party signs with: claims, tries and games have keys of their own, and each signs once."""

from dataclasses import replace

import pytest

from bitvm.graph.parameters import Parameters
from bitvm.graph.setting import attest_field, key_plan
from bitvm.keys.journal import AlreadySigned, Journal
from bitvm.keys.secrets import Secrets
from bitvm.keys.seed import Seed

SEED = Seed(bytes(range(32)))
SETUP = b"\x07" * 32
PARAMETERS = Parameters(bytes(24), claims=3, levels=2, width=4, challengers=2, attesters=2, quorum=1, tries=2)
PLAN = key_plan(PARAMETERS)
NODES = [bytes([n]) * 24 for n in range(8)]


@pytest.fixture
def journal(tmp_path):
    with Journal.create(tmp_path / "journal", SEED) as opened:
        yield opened


def secrets(journal, party="challenger1", setup=SETUP):
    return Secrets(SEED, journal, setup, party)


def attestations(party="challenger1"):
    fields = {attest_field(int(party[-1]), attempt) for attempt in range(PARAMETERS.tries)}
    return [spec for spec in PLAN if spec.owner == party and spec.field in fields]


def test_the_journal_tells_all_keys_of_the_plan_apart(journal):
    """Claims, tries, games, transactions and fields: one path a key, or two messages would meet in one."""
    parties = {party: secrets(journal, party) for party in {spec.owner for spec in PLAN}}
    paths = [parties[spec.owner]._one_time_path(spec) for spec in PLAN]
    assert len(set(map(str, paths))) == len(PLAN)
    assert {path.claim for path in paths} == set(range(1, PARAMETERS.claims + 1))
    assert {path.attempt for path in paths} == set(range(PARAMETERS.tries))
    assert not any("#" in str(path) for path in paths), "the claim has a part of its own"


def test_an_attester_has_one_key_a_claim_and_try(journal):
    attester = secrets(journal)
    specs = attestations()
    assert [(spec.claim, spec.attempt) for spec in specs] == [(c, a) for c in (1, 2, 3) for a in (0, 1)]
    signed = {}
    for spec, node in zip(specs, NODES, strict=False):
        (signature,) = attester.sign_once([(spec, node)]).values()
        assert attester.public_key(spec).verify(signature) == node
        signed[spec] = signature
    values = [value for spec in specs for value in attester.public_key(spec).values]
    assert len(set(values)) == len(values)
    for spec, node in zip(specs, NODES, strict=False):
        with pytest.raises(AlreadySigned):
            attester.sign_once([(spec, NODES[-1])])
        assert attester.sign_once([(spec, node)])[spec.field] == signed[spec]


@pytest.mark.parametrize("part", ["claim", "attempt"])
def test_claim_and_try_alone_tell_keys_apart(journal, part):
    """Even if two specs had one name, what is signed under one would not be signed under the other."""
    attester = secrets(journal)
    first = attestations()[0]
    other = replace(first, **{part: getattr(first, part) + 1})
    assert attester.public_key(first) != attester.public_key(other)
    attester.sign_once([(first, NODES[0])])
    attester.sign_once([(other, NODES[1])])


def test_a_batch_with_one_refused_key_signs_nothing(journal):
    attester = secrets(journal)
    first, second, *_ = attestations()
    attester.sign_once([(first, NODES[0])])
    with pytest.raises(AlreadySigned):
        attester.sign_once([(second, NODES[1]), (first, NODES[1])])
    attester.sign_once([(second, NODES[2])])


def test_parties_and_setups_have_keys_of_their_own(journal):
    spec = attestations()[0]
    others = [secrets(journal), secrets(journal, "challenger2"), secrets(journal, setup=b"\x08" * 32)]
    assert len({other.public_key(spec).values for other in others}) == 3
    for other, node in zip(others, NODES, strict=False):
        other.sign_once([(spec, node)])


def test_what_was_signed_for_a_try_survives_a_restart(journal):
    spec = attestations()[3]
    secrets(journal).sign_once([(spec, NODES[0])])
    with Journal.open(journal.path, SEED) as again:
        (entry,) = again.entries()
        assert (entry.path.claim, entry.path.attempt, entry.message) == (2, 1, NODES[0])
        with pytest.raises(AlreadySigned):
            secrets(again).sign_once([(spec, NODES[1])])
