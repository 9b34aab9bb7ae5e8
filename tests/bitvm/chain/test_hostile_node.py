"""Nodes that answer with nonsense, too slowly, too much or not at all: each is an error of the chain, and in time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
from bitcoin.core import COutPoint, CTransaction
from follower_bench import scripted_transaction
from hostile_node import HostileNode, drip, flood, once, raw, read_request, reply, response, results, silence

from bitvm.chain.interface import BlockId, ChainError, Rejected
from bitvm.chain.remote import RemoteNode
from bitvm.chain.rpc import BadAnswerError, NodeUnreachableError
from bitvm.script.weight import txid

TIMEOUT = 0.5
"""Seconds; an answer that is not there by then is none."""
LATE = 2.0
"""Seconds after which a call is late on the busiest machine."""


@pytest.fixture
def hostile() -> Iterator[HostileNode]:
    with HostileNode() as hostile:
        yield hostile


@pytest.fixture
def remote(hostile: HostileNode) -> Iterator[RemoteNode]:
    with RemoteNode(hostile.url, timeout=TIMEOUT) as remote:
        yield remote


def error_of(call: Callable[[], object]) -> ChainError:
    """Return the error of a call, which is not late."""
    begun = time.monotonic()
    with pytest.raises(ChainError) as raised:
        call()
    assert time.monotonic() - begun < LATE
    return raised.value


# ---- HTTP


NO_ANSWERS = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "a text": b'"hello"',
    "no JSON": b"nonsense",
    "no UTF-8": b"\xff\xfe\xfd",
    "no result": b'{"error": null}',
    "an error that is a number": b'{"result": null, "error": 5}',
    "an error without parts": b'{"result": null, "error": {}}',
    "an error whose code is a text": b'{"result": null, "error": {"code": "1", "message": "m"}}',
    "an error whose message is a list": b'{"result": null, "error": {"code": 1, "message": []}}',
    "half an answer": b'{"result": "00',
    "too deep": b"[" * 100_000,
    "a number without end": b'{"result": ' + b"9" * 10_000 + b', "error": null}',
    "no number": b'{"result": NaN, "error": null}',
}


@pytest.mark.parametrize("body", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_what_is_no_answer_is_an_error_that_names_the_method(
    hostile: HostileNode, remote: RemoteNode, body: bytes
) -> None:
    hostile.talk = raw(response(body))
    assert "getbestblockhash: " in str(error_of(remote.tip))


@pytest.mark.parametrize("status", ["302 Found", "503 Service Unavailable", "204 No Content", "999 Strange"])
def test_other_statuses_are_no_answers(hostile: HostileNode, remote: RemoteNode, status: str) -> None:
    good = {"result": "00" * 32, "error": None}
    with HostileNode(results({"getbestblockhash": "00" * 32})) as elsewhere:
        hostile.talk = raw(response(json.dumps(good).encode(), status, f"Location: {elsewhere.url}"))
        assert isinstance(error_of(remote.tip), NodeUnreachableError)
        assert elsewhere.calls == 0


BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {
    "a body": drip(BEGUN, b" "),
    "chunks": drip(CHUNKED, b"1\r\n \r\n"),
    "a chunk's size": drip(CHUNKED, b"0"),
    "a status": drip(b"HTTP/1.1 200 ", b"O"),
    "headers": drip(b"HTTP/1.1 200 OK\r\nX-Slow: ", b"O"),
    "promises": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": silence,
}


@pytest.mark.parametrize("talk", SLOW.values(), ids=SLOW.keys())
def test_one_deadline_holds_for_the_whole_call(hostile: HostileNode, remote: RemoteNode, talk: Any) -> None:
    hostile.talk = talk
    error = error_of(remote.tip)
    assert isinstance(error, NodeUnreachableError)
    assert "timed out" in str(error)


CUT = {
    "at once": lambda connection: None,  # noqa: ARG005
    "after the call": once(b""),
    "within the status": once(b"HTTP/1.1 2"),
    "within the headers": once(b"HTTP/1.1 200 OK\r\nContent-Len"),
    "within the body": once(BEGUN + b'{"result": "'),
    "within a chunk": once(CHUNKED + b"50\r\nabc"),
    "other protocol": once(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
    "endless status": once(b"HTTP/1.1 200 " + b"a" * 100_000),
}


@pytest.mark.parametrize("talk", CUT.values(), ids=CUT.keys())
def test_connection_that_ends_is_no_answer(hostile: HostileNode, remote: RemoteNode, talk: Any) -> None:
    hostile.talk = talk
    said = str(error_of(remote.tip))
    assert "getbestblockhash: " in said
    assert len(said) < 1_500
    hostile.talk = results({"getbestblockhash": "01" * 32, "getblockheader": {"height": 7}})
    assert remote.tip() == BlockId(7, b"\x01" * 32)


def test_close_ends_a_call_that_waits(hostile: HostileNode) -> None:
    asked = threading.Event()

    def wait(connection: socket.socket) -> None:
        read_request(connection)
        asked.set()
        silence(connection)

    hostile.talk = wait
    remote, raised = RemoteNode(hostile.url, timeout=30), list[ChainError]()
    caller = threading.Thread(target=lambda: raised.append(error_of(remote.tip)))
    caller.start()
    assert asked.wait(LATE)
    remote.close()
    caller.join(LATE)
    assert not caller.is_alive()
    assert isinstance(raised[0], NodeUnreachableError)


LARGE = {
    "a length": flood(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n", b" "),
    "no length": flood(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    "chunks": flood(CHUNKED, b"5\r\n     \r\n"),
}


@pytest.mark.parametrize("talk", LARGE.values(), ids=LARGE.keys())
def test_answers_have_a_largest_size(hostile: HostileNode, talk: Any) -> None:
    hostile.talk = talk
    with RemoteNode(hostile.url, timeout=30, limit=1_000_000) as remote:
        assert "getbestblockhash: " in str(error := error_of(remote.tip))
        assert "1000000 bytes" in str(error)


def test_words_of_an_error_are_one_short_line(hostile: HostileNode, remote: RemoteNode) -> None:
    error = {"code": -5, "message": "\x1b[31mred\n" + "x" * 100_000}
    hostile.talk = raw(response(json.dumps({"result": None, "error": error}).encode(), "500 Internal Server Error"))
    said = str(error_of(lambda: remote.block_hash(1)))
    assert said.isprintable()
    assert "[31mred\\nx" in said
    assert len(said) < 1_500


# ---- results

MOVE = scripted_transaction(5)
NAME = txid(MOVE)[::-1].hex()
BLOCK = "ab" * 32
GOOD: dict[str, Any] = {
    "getbestblockhash": BLOCK,
    "getblockhash": BLOCK,
    "getblockheader": {"height": 7, "previousblockhash": BLOCK},
    "getblock": {"height": 7, "previousblockhash": BLOCK, "tx": [NAME]},
    "getrawtransaction": MOVE.serialize().hex(),
    "getrawmempool": [NAME],
    "getmempoolentry": {"vsize": 100, "descendantsize": 200, "fees": {"base": 0.001, "descendant": 0.002}},
    "gettxspendingprevout": [{"txid": NAME, "vout": 0, "spendingtxid": NAME}],
    "gettxout": {"value": 0.5, "confirmations": 3, "coinbase": False, "scriptPubKey": {"hex": "51"}},
    "scantxoutset": {
        "height": 7,
        "unspents": [{"txid": NAME, "vout": 1, "amount": 0.5, "height": 6, "coinbase": False}],
    },
    "getblockchaininfo": {
        "chain": "regtest",
        "blocks": 7,
        "headers": 7,
        "initialblockdownload": False,
        "pruned": True,
        "pruneheight": 1,
        "mediantime": 1_700_000_000,
        "warnings": ["careful"],
    },
    "getnetworkinfo": {"subversion": "/Satoshi:29.0.0/", "connections": 8},
    "getmempoolinfo": {"mempoolminfee": 0.00001, "minrelaytxfee": 0.00001},
    "estimatesmartfee": {"feerate": 0.0001},
    "getblockstats": {"total_weight": 3_999_000, "feerate_percentiles": [5, 6, 7, 8, 9]},
    "sendrawtransaction": NAME,
    "submitpackage": {"package_msg": "failed", "tx-results": {BLOCK: {"txid": NAME, "error": "missingorspent"}}},
}


def verdict_on(node: RemoteNode, package: Sequence[CTransaction]) -> bytes | None:
    """Return which transaction of a package is refused."""
    try:
        node.submit(package)
    except Rejected as refusal:
        return refusal.txid
    return None


CALLS: dict[str, Callable[[RemoteNode], object]] = {
    "tip": lambda node: node.tip(),
    "tip_if_not": lambda node: node.tip_if_not(BlockId(1, bytes(32))),
    "header": lambda node: node.header(bytes(32)),
    "block_hash": lambda node: node.block_hash(7),
    "listing": lambda node: node.listing(bytes(32)),
    "extract": lambda node: node.extract(bytes(32), {txid(MOVE)}),
    "mempool_txids": lambda node: node.mempool_txids(),
    "waiting": lambda node: node.waiting({txid(MOVE)}),
    "waiting_transaction": lambda node: node.waiting_transaction(txid(MOVE)),
    "mempool_entry": lambda node: node.mempool_entry(txid(MOVE)),
    "mempool_spenders": lambda node: node.mempool_spenders([COutPoint(txid(MOVE), 0)]),
    "coin": lambda node: node.coin(COutPoint(txid(MOVE), 0)),
    "coins_of": lambda node: node.coins_of(b"\x51"),
    "info": lambda node: node.info(),
    "minimum_feerate": lambda node: node.minimum_feerate(),
    "market_feerate": lambda node: node.market_feerate(6),
    "send": lambda node: node.submit([MOVE]),
    "send a package": lambda node: verdict_on(node, [MOVE, MOVE]),
}
JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    2**40,
    10**30,
    1e300,
    "",
    "zz",
    "ab",
    "ab " * 32,
    "5",
    [],
    [None],
    ["zz"],
    {},
    {"height": "7"},
)


def broken(whole: Any) -> Iterator[Any]:
    """Yield the value with each of its parts replaced by each sort of junk, or left out."""
    yield from JUNK
    for key, part in whole.items() if isinstance(whole, dict) else enumerate(whole) if isinstance(whole, list) else ():
        for junk in broken(part):
            if isinstance(whole, dict):
                yield {**whole, key: junk}
            else:
                yield [*whole[:key], junk, *whole[key + 1 :]]
        if isinstance(whole, dict):
            yield {name: value for name, value in whole.items() if name != key}


def types_of(value: Any) -> Any:
    """Return the types that a result is made of; those of sequences and tables as sets."""
    if is_dataclass(value):
        return [types_of(getattr(value, each.name)) for each in fields(value)]
    if isinstance(value, dict):
        return {str(types_of(each)) for each in value.items()}
    if isinstance(value, tuple) and type(value) is not tuple:
        return [types_of(each) for each in value]
    if isinstance(value, (list, tuple)):
        return {str(types_of(each)) for each in value}
    return type(value)


def is_good(found: Any, good: Any) -> bool:
    """Whether the types are those of a good result, or of one in which something is missing that may be."""
    if isinstance(good, list) and isinstance(found, list):
        return len(good) == len(found) and all(map(is_good, found, good))
    return found in (good, type(None), set())


@pytest.mark.parametrize("name", CALLS)
def test_results_of_any_shape_are_results_or_errors(hostile: HostileNode, name: str) -> None:
    """Every part of every answer that a call needs is replaced by every sort of junk."""
    call, answers, asked = CALLS[name], dict(GOOD), set[str]()

    def remember(connection: socket.socket) -> None:
        while True:
            reply(connection, answers, asked)

    hostile.talk = remember
    with RemoteNode(hostile.url, timeout=30) as remote:
        good = types_of(call(remote))
        refused = []
        for method in sorted(asked):
            for junk in broken(GOOD[method]):
                answers[method] = junk
                try:
                    found = types_of(call(remote))
                except BadAnswerError as error:
                    refused.append((method, error.method))
                else:
                    assert is_good(found, good), (method, junk)
            answers[method] = GOOD[method]
    assert all(wrong == named for wrong, named in refused)
    assert bool(refused) == (name != "send")  # what is said about a transaction that was taken does not matter


def test_transaction_that_was_not_asked_for_is_an_error(hostile: HostileNode, remote: RemoteNode) -> None:
    hostile.talk = results({"getrawtransaction": scripted_transaction(6).serialize().hex()})
    assert "getrawtransaction: " in str(error_of(lambda: remote.waiting_transaction(txid(MOVE))))
