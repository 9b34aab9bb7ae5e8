import json
from dataclasses import replace
from math import comb

import pytest
from offline import new_session, parties_of

from bitvm.graph.parameters import Parameters
from bitvm.script.engine import failing_input
from bitvm.setup.exchange import exchange
from bitvm.setup.session import SetupError

PARAMETERS = Parameters(bytes(24), levels=2, challengers=2)


def sessions(folder, parameters=PARAMETERS, salt=""):
    return [new_session(party, parameters, folder, salt) for party in parties_of(parameters)]


def change(message, **body):
    decoded = json.loads(message)
    decoded["body"].update(body)
    return json.dumps(decoded).encode()


def test_every_party_ends_with_the_same_graph_and_a_fund_that_core_accepts(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    agreements = [party.agreement(keys) for party in parties]
    signed = [party.accept(agreements) for party in parties]
    assert len({s.graph.hash() for s in signed}) == 1
    assert len({s.setup_id for s in signed}) == 1
    slots = list(signed[0].graph.signature_slots())
    assert set(signed[0].signatures) == set(slots)
    assert len(slots) == expected_signatures(PARAMETERS)
    witnesses = [party.fund_signatures() for party in parties]
    fund = parties[0].fund(witnesses)
    assert failing_input(fund, signed[0].graph["Fund"].spent) is None
    exchanged = sum(map(len, [*offers, *keys, *agreements, *witnesses]))
    assert exchanged < 4_000_000


@pytest.mark.parametrize(
    "change", [{}, {"claims": 3}, {"attesters": 2, "quorum": 1, "tries": 3}, {"width": 4, "levels": 3}]
)
def test_parties_sign_what_the_parameters_say_and_nothing_else(tmp_path, change):
    parameters = replace(PARAMETERS, **{"levels": 1, **change})
    done = exchange(sessions(tmp_path, parameters))
    assert len(list(done.signed[0].graph.signature_slots())) == expected_signatures(parameters)
    assert done.sent < 1_000_000 * (parameters.claims + 1)


def expected_signatures(p):
    n, m = p.challengers, p.levels
    claim = n * (p.tries * comb(p.attesters, p.quorum) if p.attesters else 1)
    shared = n + claim + (n + n) + n  # Withdraw, Claim, Payout (bond and connectors), LatePayout
    # one each: Challenge, m Choices, m - 1 Reveals, Step; side paths of four moves and five Sweeps; one a leaf of Ask,
    # Path, Descend, Inside, Narrow, Close; Compare_left, Compare_right
    moves = 1 + m + (m - 1) + 1 + m * (4 + 5) + 1 + (3 + 2 * m) + 1 + 6 + 1 + 2 + 2
    take_stakes = 2 * 3 * m + 6  # two inputs each on side paths
    covenants = m + 2 * 2 * m + 3 + 2  # won by a timeout at Choice, on a side path, after Step, or by Refute
    slashes = 11 + 3 * m
    game = moves + take_stakes + 2 * covenants + slashes * n  # Slash and Reclaim, the bond of Slash
    return p.claims * (shared + n * game)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda m: change(m, parameters="00" * 32), "other parameters"),
        (lambda m: change(m, nonce=12), "hexadecimal"),
        (lambda m: change(m, change=-1), "satoshi"),
        (lambda m: change(m, extra=1), "unknown fields"),
        (lambda _: b"{", "not a JSON"),
        (lambda _: b"[" * 100_000, "not a JSON"),
        (lambda m: m.replace(b'"offer"', b'"gift"'), "one of"),
        (lambda m: m.replace(b"challenger1", b"challenger9"), "one offer message of each"),
    ],
)
def test_a_bad_offer_is_refused(tmp_path, edit, message):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    offers[1] = edit(offers[1])
    with pytest.raises(SetupError, match=message):
        parties[0].keys(offers)


def test_a_coin_whose_spending_is_malleable_is_refused(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    coins = json.loads(offers[1])["body"]["coins"]
    coins[0]["script"] = "76a914" + "00" * 20 + "88ac"
    offers[1] = change(offers[1], coins=coins)
    with pytest.raises(SetupError, match="malleable"):
        parties[0].keys(offers)


def test_a_nonce_sent_twice_is_refused(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    nonce = json.loads(offers[1])["body"]["nonce"]
    offers[2] = change(offers[2], nonce=nonce)
    with pytest.raises(SetupError, match="one nonce"):
        parties[0].keys(offers)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda own: own[:40] + own[:40] + own[80:], "twice|again"),
        (lambda own: own[:-2], "bytes of one-time keys"),
        (lambda own: own + own[:40], "bytes of one-time keys"),
    ],
)
def test_bad_one_time_keys_are_refused(tmp_path, edit, message):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    keys[1] = change(keys[1], one_time=edit(json.loads(keys[1])["body"]["one_time"]))
    with pytest.raises((SetupError, ValueError), match=message):
        parties[0].agreement(keys)


def test_a_value_of_another_party_is_refused(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    first, second = (json.loads(keys[i])["body"]["one_time"] for i in (1, 2))
    keys[2] = change(keys[2], one_time=first[:40] + second[40:])
    with pytest.raises(ValueError, match="occurs again"):
        parties[0].agreement(keys)


def test_a_key_that_is_no_point_is_refused(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    keys[1] = change(keys[1], key="ff" * 32)
    with pytest.raises(SetupError, match="no x-only"):
        parties[0].agreement(keys)


def test_one_wrong_signature_among_all_is_found(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    agreements = [party.agreement(keys) for party in parties]
    signatures = bytearray.fromhex(json.loads(agreements[1])["body"]["signatures"])
    for position in range(0, len(signatures), 64 * 7):
        broken = bytearray(signatures)
        broken[position + 40] ^= 1
        bad = [agreements[0], change(agreements[1], signatures=broken.hex()), agreements[2]]
        with pytest.raises(SetupError, match="wrong signature"):
            parties[0].accept(bad)
    with pytest.raises(SetupError, match="another graph"):
        parties[0].accept([agreements[0], change(agreements[1], graph="00" * 32), agreements[2]])
    with pytest.raises(SetupError, match="missing"):
        parties[0].accept(agreements[:2])


def test_fund_is_not_signed_before_everything_is_verified(tmp_path):
    parties = sessions(tmp_path)
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    with pytest.raises(SetupError, match="only after"):
        parties[0].fund_signatures()
    agreements = [party.agreement(keys) for party in parties]
    with pytest.raises(SetupError, match="missing"):
        parties[0].accept(agreements[1:])
    with pytest.raises(SetupError, match="only after"):
        parties[0].fund_signatures()


def test_messages_out_of_order_are_refused(tmp_path):
    first = sessions(tmp_path)[0]
    with pytest.raises(SetupError, match="offers come first"):
        first.agreement([])
    with pytest.raises(SetupError, match="keys come first"):
        first.accept([])
