import sqlite3
from contextlib import closing

import trio
from networked import listen, parties

from bitvm.graph.parameters import Parameters
from bitvm.script.engine import failing_input
from bitvm.setup.session import Session

PARAMETERS = Parameters(bytes(24), levels=1, width=4, challengers=2)


async def whole_setup(prover, challengers, **options):
    """Run everybody to the end; return what each ended with, by name."""
    listeners, port = await listen()
    ended = {}

    async def coordinate():
        ended[prover.name] = await prover.coordinate(listeners, **options)

    async def join(challenger):
        ended[challenger.name] = await challenger.join(port)

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(coordinate)
            for challenger in challengers:
                nursery.start_soon(join, challenger)
    return ended


def assert_same_graph_and_valid_fund(ended, names):
    assert sorted(ended) == sorted(names)
    assert len({finished.signed.graph.hash() for finished in ended.values()}) == 1
    assert len({finished.signed.setup_id for finished in ended.values()}) == 1
    assert len({finished.fund.serialize() for finished in ended.values()}) == 1
    for finished in ended.values():
        assert set(finished.signed.signatures) == set(finished.signed.graph.signature_slots())
        assert failing_input(finished.fund, finished.signed.graph["Fund"].spent) is None


NAMES = ("prover", "challenger1", "challenger2")


async def test_everybody_ends_with_the_same_graph_and_a_fund_that_core_accepts(tmp_path):
    prover, challengers = parties(tmp_path, PARAMETERS)
    ended = await whole_setup(prover, challengers)
    assert_same_graph_and_valid_fund(ended, NAMES)
    for party in (prover, *challengers):
        with party.open_store() as store:
            again = (await party.progress(store)).finished
        assert again.signed.graph.hash() == ended[party.name].signed.graph.hash()
        assert again.signed.signatures == ended[party.name].signed.signatures
        assert again.fund.serialize() == ended[party.name].fund.serialize()


async def test_fund_is_signed_when_all_signatures_are_on_disk_and_not_before(tmp_path, monkeypatch):
    prover, challengers = parties(tmp_path, PARAMETERS)
    paths = {party.name: party.store_path for party in (prover, *challengers)}
    stored, sign = {}, Session.fund_signatures

    def checked(session):
        with closing(sqlite3.connect(f"file:{paths[session.party]}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT round, count(*) FROM messages GROUP BY round").fetchall()
        stored[session.party] = rows
        return sign(session)

    monkeypatch.setattr(Session, "fund_signatures", checked)
    await whole_setup(prover, challengers)
    assert sorted(stored) == sorted(NAMES)
    assert all(rows == [(0, 3), (1, 3), (2, 3)] for rows in stored.values())
