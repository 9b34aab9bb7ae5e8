"""What a peer of the set-up can send that is well-formed and harmful: refused before a signature, or before money."""

import json

import pytest
from offline import new_session, parties_of

from bitvm.graph.parameters import Parameters
from bitvm.setup.session import SetupError

PARAMETERS = Parameters(bytes(24), levels=1, challengers=2)
KEY = "33" * 32


@pytest.fixture
def parties(tmp_path):
    return [new_session(party, PARAMETERS, tmp_path) for party in parties_of(PARAMETERS)]


def change(message, **body):
    decoded = json.loads(message)
    decoded["body"].update(body)
    return json.dumps(decoded).encode()


def body(message):
    return json.loads(message)["body"]


def agree(parties, edit_offer=None, edit_keys=None):
    """Go on to the agreements, with the last challenger's offer or keys changed by an edit."""
    offers = [party.offer() for party in parties]
    if edit_offer is not None:
        offers[-1] = edit_offer(offers)
    honest = parties[:-1] if edit_offer is not None else parties
    keys = [party.keys(offers) for party in honest]
    if edit_offer is not None:
        stranger = new_session("challenger2", PARAMETERS, parties[0]._journal.path.parent, "stranger")
        keys.append(stranger.keys([*offers[:-1], stranger.offer()]))
    if edit_keys is not None:
        keys[-1] = edit_keys(keys)
    return [party.agreement(keys) for party in parties[:-1]]


NOT_PAYABLE = {
    "empty": "",
    "burnt": "6a",
    "10 kB": "51" * 10_000,
    "P2PKH, dust at 546 sat": "76a914" + "00" * 20 + "88ac",
    "anyone's": "51024e73",
    "unknown witness version": "5220" + "00" * 32,
    "witness program of a wrong size": "0015" + "00" * 21,
    "a byte too many": "5120" + "00" * 33,
}


@pytest.mark.parametrize("script", NOT_PAYABLE.values(), ids=NOT_PAYABLE)
def test_a_payout_that_would_keep_the_slash_of_others_from_relay_is_refused(parties, script):
    with pytest.raises(SetupError, match="challenger2: payout_script"):
        agree(parties, lambda offers: change(offers[-1], payout_script=script))


@pytest.mark.parametrize("script", ["0014" + "00" * 20, "0020" + "00" * 32, "5120" + KEY])
def test_every_witness_program_that_is_standard_is_accepted(parties, script):
    assert len(agree(parties, lambda offers: change(offers[-1], payout_script=script))) == 2


@pytest.mark.parametrize(("amount", "script"), [(1, "5120" + KEY), (329, "5120" + KEY), (900, "6a"), (900, "")])
def test_change_that_would_keep_fund_from_relay_is_refused(parties, amount, script):
    with pytest.raises(SetupError, match="change"):
        agree(parties, lambda offers: change(offers[-1], change=amount, change_script=script))


def test_a_coin_of_another_party_is_refused(parties):
    with pytest.raises(SetupError, match="given twice"):
        agree(parties, lambda offers: change(offers[-1], coins=body(offers[1])["coins"]))


def test_coins_that_make_fund_too_large_to_relay_are_refused(parties):
    def edit(offers):
        (coin,) = body(offers[-1])["coins"]
        return change(offers[-1], coins=[{**coin, "vout": vout} for vout in range(2_000)])

    with pytest.raises(SetupError, match="relayed"):
        agree(parties, edit)


def test_a_contribution_that_is_not_covered_is_refused(parties):
    with pytest.raises(SetupError, match="has to contribute"):
        agree(parties, lambda offers: change(offers[-1], coins=[]))


@pytest.mark.parametrize("name", ["key", "stake_key", "anchor_key"])
@pytest.mark.parametrize("owner", [0, 1])
def test_a_key_of_another_party_is_refused(parties, name, owner):
    with pytest.raises(SetupError, match="occurs again"):
        agree(parties, edit_keys=lambda keys: change(keys[-1], **{name: body(keys[owner])["key"]}))


def test_a_one_time_key_of_another_party_is_refused_by_name(parties):
    def edit(keys):
        theirs, own = body(keys[1])["one_time"], body(keys[-1])["one_time"]
        return change(keys[-1], one_time=theirs[:40] + own[40:])

    with pytest.raises(SetupError, match="occurs again"):
        agree(parties, edit_keys=edit)


def test_only_one_graph_is_signed(parties):
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    victim = parties[1]
    first = victim.agreement(keys)
    assert victim.agreement(keys) == first
    with pytest.raises(SetupError, match="other keys"):
        victim.agreement([change(keys[0], anchor_key=KEY), *keys[1:]])
    assert victim.agreement(keys) == first


def test_only_one_set_of_offers_is_taken(parties):
    offers = [party.offer() for party in parties]
    victim = parties[1]
    first = victim.keys(offers)
    assert victim.keys(offers) == first
    with pytest.raises(SetupError, match="other offers"):
        victim.keys([change(offers[0], nonce=KEY), *offers[1:]])
    assert victim.keys(offers) == first


@pytest.mark.parametrize("edit", [lambda w: w[:-2] + "00", lambda w: w + "01", lambda _: "", lambda w: w * 999])
def test_a_wrong_witness_on_fund_is_refused_by_name(parties, edit):
    offers = [party.offer() for party in parties]
    keys = [party.keys(offers) for party in parties]
    agreements = [party.agreement(keys) for party in parties]
    for party in parties:
        party.accept(agreements)
    messages = [party.fund_signatures() for party in parties]
    ((index, witness),) = body(messages[-1])["witnesses"].items()
    messages[-1] = change(messages[-1], witnesses={index: edit(witness)})
    with pytest.raises(SetupError, match=f"challenger2: wrong signature on Fund, input {index}"):
        parties[0].fund(messages)
