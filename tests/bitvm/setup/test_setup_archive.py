import hashlib
import json
import sqlite3
from contextlib import closing

import pytest
from networked import parties

from bitvm.graph.parameters import Parameters
from bitvm.script.engine import failing_input
from bitvm.setup.archive import Archive, ArchiveError, UnfinishedSetupError, has_fund
from bitvm.setup.messages import Agreement, encode
from bitvm.setup.seal import SEAL_BYTES, content_of
from bitvm.setup.session import sighash
from bitvm.setup.store import AnotherSetupError, SetupStoreCorruptError, SetupStoreMissingError, stored_party

PARAMETERS = Parameters(bytes(24), levels=1, width=4, challengers=2, claims=2, attesters=2, quorum=1)


async def stored(folder, rounds=4):
    """Run a set-up for so many rounds, each party with its own store; return the parties and the finished sessions."""
    prover, challengers = parties(folder, PARAMETERS)
    everybody = [prover, *challengers]
    stores = [party.open_store() for party in everybody]
    progress = [await party.progress(store) for party, store in zip(everybody, stores, strict=True)]
    for number in range(rounds):
        messages = {one.party: one.own(number) for one in progress}
        for one in progress:
            await one.advance(messages)
    for store in stores:
        store.close()
    return everybody, [one.finished for one in progress]


def change(path, *statements):
    with closing(sqlite3.connect(path)) as database:
        for statement, values in statements:
            database.execute(statement, values)
        database.commit()


async def test_an_archive_is_what_the_session_ended_with(tmp_path):
    everybody, finished = await stored(tmp_path)
    for party, end in zip(everybody, finished, strict=True):
        before = party.store_path.read_bytes()
        archive = Archive.load(party.store_path, PARAMETERS)
        assert archive.party == party.name == stored_party(party.store_path)
        assert archive.setup_id == end.signed.setup_id
        assert archive.graph.hash() == end.signed.graph.hash()
        assert archive.signed.signatures == end.signed.signatures
        assert list(archive.signed.signatures) == list(end.signed.signatures)
        assert archive.fund.serialize() == end.fund.serialize()
        assert failing_input(archive.fund, archive.graph["Fund"].spent) is None
        assert Archive.load(party.store_path, PARAMETERS, verify=True).signed == archive.signed
        assert party.store_path.read_bytes() == before


async def test_every_slot_of_an_archive_holds_its_own_signature(tmp_path):
    everybody, _ = await stored(tmp_path)
    archive = Archive.load(everybody[0].store_path, PARAMETERS)
    digests = {sighash(archive.graph, slot) for slot in archive.signed.signatures}
    assert len(digests) > 100
    assert set(archive.signed.signatures) == set(archive.graph.signature_slots())


@pytest.mark.parametrize(("rounds", "kind"), [(0, "offer"), (1, "keys"), (2, "agreement")])
async def test_an_unfinished_set_up_says_what_is_missing(tmp_path, rounds, kind):
    everybody, _ = await stored(tmp_path, rounds)
    missing = f"{rounds} of 4 rounds are complete, {kind} messages of prover, challenger1 are missing"
    with pytest.raises(UnfinishedSetupError, match=missing):
        Archive.load(everybody[2].store_path, PARAMETERS)


async def test_whoever_has_signed_fund_can_play_without_the_others_signatures_of_it(tmp_path):
    everybody, _ = await stored(tmp_path, 3)
    archive = Archive.load(everybody[2].store_path, PARAMETERS)
    assert archive.fund is None
    assert not has_fund(everybody[2].store_path, PARAMETERS)
    assert set(archive.signed.signatures) == set(archive.graph.signature_slots())


async def test_another_set_up_or_a_damaged_store_is_refused(tmp_path):
    everybody, _ = await stored(tmp_path)
    path = everybody[1].store_path
    with pytest.raises(AnotherSetupError, match="other parameters"):
        Archive.load(path, Parameters(bytes(24), levels=1, width=4, challengers=2))
    with pytest.raises(SetupStoreMissingError):
        Archive.load(tmp_path / "none", PARAMETERS)
    change(path, ("UPDATE messages SET data = x'00' WHERE round = 2 AND party = 'prover'", []))
    with pytest.raises(SetupStoreCorruptError, match="round 2, the message of prover"):
        Archive.load(path, PARAMETERS)
    change(path, ("DELETE FROM setup", []))
    with pytest.raises(SetupStoreCorruptError, match="whose it is"):
        Archive.load(path, PARAMETERS)


def put(path, number, party, data):
    """Replace a message, with no seal to speak of, as somebody who can compute a SHA256 does."""
    data = bytes(SEAL_BYTES) + data
    digest = hashlib.sha256(data).digest()
    change(
        path,
        ("UPDATE messages SET data = ?, sha256 = ? WHERE round = ? AND party = ?", [data, digest, number, party]),
    )


async def test_signatures_are_verified_when_asked_for_and_the_graph_always(tmp_path):
    everybody, finished = await stored(tmp_path)
    path = everybody[0].store_path
    with everybody[0].open_store() as store:
        agreement = json.loads(content_of(store.messages(2)["challenger1"]))["body"]
    graph, signatures = bytes.fromhex(agreement["graph"]), bytes.fromhex(agreement["signatures"])
    forged = signatures[:-64] + bytes(64)
    put(path, 2, "challenger1", encode("challenger1", Agreement(graph, forged)))
    assert Archive.load(path, PARAMETERS).graph.hash() == finished[0].signed.graph.hash()
    with pytest.raises(ArchiveError, match="challenger1: wrong signature on "):
        Archive.load(path, PARAMETERS, verify=True)
    put(path, 2, "challenger1", encode("challenger1", Agreement(graph, signatures[:-64])))
    with pytest.raises(ArchiveError, match="signatures needed"):
        Archive.load(path, PARAMETERS)
    put(path, 2, "challenger1", encode("challenger1", Agreement(bytes(32), signatures)))
    with pytest.raises(ArchiveError, match="another graph than ours"):
        Archive.load(path, PARAMETERS)
