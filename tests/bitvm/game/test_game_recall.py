"""What keys have signed, recalled from real matches: it is what the journals hold, no less and no more."""

import random
from dataclasses import dataclass

import pytest
from bitcoin.core import CTransaction, CTxInWitness, CTxWitness
from bitcoin.core.script import CScriptWitness
from offline import OfflineGame

from bitvm.chain.embedded import EmbeddedChain
from bitvm.game import prover
from bitvm.game.moves import Move
from bitvm.game.recall import Label, Recalled, double_signed, recall, restore_journal
from bitvm.graph.graph import Graph
from bitvm.graph.model import PROVER, all_parties, challenger
from bitvm.graph.setting import KeySpec, attest_field, key_plan
from bitvm.keys.journal import Entry, Journal
from bitvm.keys.secrets import Secrets
from bitvm.keys.seed import Purpose
from bitvm.script.onetime import NODE, NODE_USED, Signature
from bitvm.setup.attestation import AttestationRound, Attester
from bitvm.setup.input_store import InputStore
from regtest.accusations import scene
from regtest.lies.ends import LABEL
from regtest.match import Match, Narrator
from regtest.matrix import find_case

SEED = 5


@dataclass
class Recorded:
    """A match that was played: all transactions of the graph that were sent, and every party's journal and secrets."""

    graph: Graph
    transactions: list[CTransaction]
    entries: dict[str, dict[str, Entry]]  # of a prover that lied with a label, none: its journal does not open
    secrets: dict[str, Secrets]

    def recall(self, party: str, transactions=None) -> Recalled:
        return recall(self.graph, party, self.transactions if transactions is None else transactions)


class Listener(Narrator):
    def __init__(self) -> None:
        self.sent = []

    def played(self, played) -> None:
        self.sent.append(played.transaction)


def canonical(secrets: Secrets, spec: KeySpec, message) -> tuple[str, Entry]:
    """Return the journal's entry for a message, made from nothing but the key's place."""
    path = secrets._one_time_path(spec)
    return str(path), Entry(path, spec.scheme.name, bytes(message))


def as_entries(secrets: Secrets, recalled: Recalled) -> dict[str, Entry]:
    assert not double_signed(recalled)
    return dict(canonical(secrets, recalled.keys[path], signed) for path, (signed,) in recalled.messages.items())


def play(name: str) -> Recorded:
    """Play a case of the matrix on a chain of its own."""
    case = find_case(name)
    assert case is not None
    seats, listener = case.seats(), Listener()
    with EmbeddedChain() as chain, Match(chain, seats.parameters, SEED, listener) as match:
        for party, strategy in seats.strategies.items():
            match.seat(party, strategy)
        match.play()
        secrets = {party: player.secrets for party, player in match.players.items()}
        readable = {party: owned for party, owned in secrets.items() if "/label/" not in name}
        entries = {
            party: {str(entry.path): entry for entry in owned._journal.entries()} for party, owned in readable.items()
        }
        return Recorded(match.signed.graph, listener.sent, entries, secrets)


@pytest.fixture(scope="module")
def played():
    """Plays a case once."""
    kept: dict[str, Recorded] = {}

    def once(name: str) -> Recorded:
        if name not in kept:
            kept[name] = play(name)
        return kept[name]

    return once


CASES = [
    "accuse/demand/1/2/inside",
    "accuse/question/STATE/1.2",
    "accuse/question/CONTROL/3",
    "accuse/compare/Compare_left/signed/3-2",
    "both/accusers/three",
    "claims/lie/second_of_three",
    "lie/broken/before/0/left",
    "lie/entry/left/5/0",
]


@pytest.mark.parametrize("name", CASES)
def test_recalled_is_what_the_journals_hold(played, name):
    match = played(name)
    for party, entries in match.entries.items():
        recalled = match.recall(party)
        assert not recalled.unreadable
        assert as_entries(match.secrets[party], recalled) == entries
    assert match.entries[PROVER]


def test_what_others_repeat_is_enough(played):
    """A challenger's choices and questions stand in the prover's transactions too, and the prover's words in proofs."""
    match = played("lie/broken/before/0/left")
    templates = match.graph.by_txid()
    for party in (challenger(1), PROVER):
        of_others = [tx for tx in match.transactions if templates[tx.GetTxid()].mover != party]
        entries = as_entries(match.secrets[party], match.recall(party, of_others))
        assert len(entries) >= 5
        assert entries.items() <= match.entries[party].items()


def test_order_repetition_and_strangers_change_nothing(played):
    match = played("accuse/question/STATE/1.2")
    shuffled = match.transactions * 2
    random.Random(1).shuffle(shuffled)
    others = played("both/accusers/three")
    again = match.recall(PROVER, [*others.transactions, *shuffled])
    assert again.messages == match.recall(PROVER).messages
    assert not again.unreadable
    assert match.recall(PROVER, []).messages == {}


# ---- forged, strange, unreadable


def sent(match: Recorded, name: str) -> CTransaction:
    """The transaction of the graph that is called so."""
    (found,) = [tx for tx in match.transactions if match.graph.by_txid()[tx.GetTxid()].name == name]
    return found


def with_stack(transaction: CTransaction, stack: list[bytes]) -> CTransaction:
    """The same transaction with another witness of its first input."""
    stacks = [CTxInWitness(CScriptWitness(stack)), *transaction.wit.vtxinwit[1:]]
    tx = transaction
    return CTransaction(tx.vin, tx.vout, tx.nLockTime, tx.nVersion, CTxWitness(stacks))


def first_stack(transaction: CTransaction) -> list[bytes]:
    return [bytes(item) for item in transaction.wit.vtxinwit[0].scriptWitness.stack]


def key_of(match: Recorded, path: str) -> KeySpec:
    (spec,) = [spec for spec in key_plan(match.graph.setting.parameters) if spec.path == path]
    return spec


def forged(match: Recorded, path: str, indices: tuple[int, ...]) -> CTransaction:
    """The message that signs ``path``, as somebody with its owner's seed can make it again: with other indices."""
    name, _, field = path.rpartition("/")
    transaction, template, spec = sent(match, name), match.graph[name], key_of(match, path)
    tree = template.inputs[0].source.output(template.inputs[0].output).tree
    found, items = tree.read_witness(first_stack(transaction))
    leaf = template.inputs[0].leaf(found.name)
    secrets = match.secrets[spec.owner]
    secret = spec.scheme.secret_key(
        secrets._seed.prf(Purpose.ONE_TIME, bytes(secrets._one_time_path(spec)), spec.scheme.name.encode())
    )
    signature: Signature = secret.open(indices)
    schnorr = [*reversed(items[-2:])]
    if field == "digit":
        again = leaf.witness(schnorr, signature)
    else:
        signatures = leaf.decode(items)
        again = leaf.witness(schnorr, {**signatures, f"{name.rpartition('/')[2]}/{field}": signature})
    return with_stack(transaction, template.input_witness(0, found.name, again))


def test_a_forged_second_witness_is_found(played):
    """Somebody with the challenger's seed chooses again: its key has signed two choices."""
    match = played("accuse/demand/1/2/inside")
    path = "1/Choice_1/digit"
    (said,) = match.recall(challenger(1)).messages[path]
    assert forged(match, path, said).serialize() == sent(match, "1/Choice_1").serialize()
    other = tuple((symbol + 1) % 4 for symbol in said)
    transactions = [*match.transactions, forged(match, path, other)]
    assert double_signed(match.recall(challenger(1), transactions)) == {path: (said, other)}
    assert not double_signed(match.recall(PROVER, transactions))


def test_two_histories_of_one_seed_are_found(played):
    """A copy of a party that plays on from the same set-up, and hears another question, signs again."""
    one, other = played("accuse/question/STATE/1.2"), played("accuse/question/CONTROL/3")
    assert one.graph.hash() == other.graph.hash()
    both = [*one.transactions, *other.transactions]
    assert {"1/Ask/kind", "1/Descend/gap"} == set(double_signed(one.recall(challenger(1), both)))
    assert {"1/Path/where", "1/Path/top"} < set(double_signed(one.recall(PROVER, both)))


def test_a_second_vector_of_one_node_is_no_message(played):
    """The used form clamps, so two vectors are one node; only one of them is what a message signs."""
    match = played("accuse/question/STATE/1.2")
    path, node = "1/Path/top", b"\xff" * 24
    indices = NODE_USED.encode(node)
    others = [(*indices[:slot], index + 1, *indices[slot + 1 :]) for slot, index in enumerate(indices)]
    second = next(v for v in others if within(v) and NODE_USED.decode(v) == node)
    recalled = match.recall(PROVER, [forged(match, path, indices), forged(match, path, second)])
    assert recalled.messages[path] == (node, Label(second))
    assert set(double_signed(recalled)) == {path}


def within(indices: tuple[int, ...]) -> bool:
    return all(index < NODE_USED.list_size(slot) for slot, index in enumerate(indices))


def test_a_label_without_a_node(played):
    """A lying prover signs a label that encodes no node; who reads its transactions gets the label."""
    match = played("lie/label/final_root")
    recalled = match.recall(PROVER)
    assert recalled.messages["Claim/final_root"] == (Label(NODE.encode(LABEL)),)
    assert not recalled.unreadable


def test_what_cannot_be_read_is_reported(played):
    match = played("lie/broken/before/0/left")
    dice = random.Random(3)
    messages = {party: match.recall(party).messages for party in match.secrets}
    for transaction in match.transactions:
        name = match.graph.by_txid()[transaction.GetTxid()].name
        stack = first_stack(transaction)
        small = [i for i, item in enumerate(stack[:-2]) if len(item) == 20]
        damaged = [
            stack[:-1],
            stack[1:],
            [],
            [b"", *stack],
            [b"\xff" * 81, *stack[1:]],
            [*stack[:-2], b"\x51", stack[-1]],
        ]
        damaged += [[*stack[:i], dice.randbytes(20), *stack[i + 1 :]] for i in dice.sample(small, min(len(small), 5))]
        for other in damaged:
            for party, known in messages.items():
                recalled = match.recall(party, [with_stack(transaction, other)])
                assert {report.transaction for report in recalled.unreadable} <= {name}
                for path, signed in recalled.messages.items():
                    assert signed == known[path]
    claim = sent(match, "Claim")
    tx = CTransaction(claim.vin, claim.vout, claim.nLockTime, claim.nVersion)
    (report,) = match.recall(PROVER, [tx]).unreadable
    assert (report.transaction, report.index) == ("Claim", 0)
    assert match.recall(PROVER, [with_stack(claim, [*first_stack(claim)[:-2], b"", b""])]).unreadable


# ---- the journal


def reborn(match: Recorded, party: str, journal: Journal) -> Secrets:
    """The same party with another journal."""
    before = match.secrets[party]
    return Secrets(before._seed, journal, before._setup, party)


def test_a_journal_is_restored(played, tmp_path):
    match = played("accuse/question/STATE/1.2")
    for party, secrets in match.secrets.items():
        path = tmp_path / f"{party}.sqlite"
        with Journal.create(path, secrets._seed) as journal:
            for _ in range(2):
                assert restore_journal(reborn(match, party, journal), match.recall(party)) == ()
        with Journal.open(path, secrets._seed) as journal:
            assert {str(entry.path): entry for entry in journal.entries()} == match.entries[party]


def test_conflicts_are_collected_and_the_rest_is_recorded(played, tmp_path):
    match = played("accuse/demand/1/2/inside")
    party, path = challenger(1), "1/Choice_1/digit"
    (said,) = match.recall(party).messages[path]
    other = tuple((symbol + 1) % 4 for symbol in said)
    both = match.recall(party, [*match.transactions, forged(match, path, other)])
    with Journal.create(tmp_path / "a.sqlite", match.secrets[party]._seed) as journal:
        conflicts = restore_journal(reborn(match, party, journal), both)
        assert [(bytes(said), bytes(other))] == [(c.recorded.message, c.refused.message) for c in conflicts]
        assert {str(entry.path): entry for entry in journal.entries()} == match.entries[party]
    with Journal.create(tmp_path / "b.sqlite", match.secrets[party]._seed) as journal:
        again = reborn(match, party, journal)
        again.record_once([(key_of(match, path), other)])
        conflicts = restore_journal(again, match.recall(party))
        assert [conflict.refused.message for conflict in conflicts] == [bytes(said)]
        assert len(list(journal.entries())) == len(match.entries[party])
        assert journal.recorded(again._one_time_path(key_of(match, path))).message == bytes(other)


def test_labels_are_named_and_other_parties_refused(played, tmp_path):
    match = played("lie/label/final_root")
    recalled = match.recall(PROVER)
    with Journal.create(tmp_path / "a.sqlite", match.secrets[PROVER]._seed) as journal:
        assert restore_journal(reborn(match, PROVER, journal), recalled) == ()
        assert recalled.labels == ("Claim/final_root",)
        assert len(recalled.messages) - 1 == len(list(journal.entries()))
        with pytest.raises(ValueError, match="what challenger1 signed"):
            restore_journal(reborn(match, PROVER, journal), match.recall(challenger(1)))


# ---- attesters


def test_attestations_are_the_attesters(tmp_path):
    """Claim holds the signatures of two attesters, of their second try; each recalls its own, and the prover none."""
    game = OfflineGame(scene.parameters(challengers=2, attesters=2, tries=2), tmp_path)
    setup, public = game.signed[PROVER].setup_id, game.graph.setting.public
    names = [challenger(1), challenger(2)]
    keys = {
        attempt: {name: public[f"Claim/{attest_field(number, attempt)}"] for number, name in enumerate(names, 1)}
        for attempt in range(2)
    }
    asked = AttestationRound(game.secrets[PROVER], setup, 1, b"\1", keys, 2)
    asked.next_try()
    request = asked.next_try()
    for name in names:
        plan = key_plan(game.parameters)
        specs = {(s.claim, s.attempt): s for s in plan if s.owner == name and s.field.startswith("attest_")}
        key = game.secrets[PROVER].covenant.public_key
        with InputStore(tmp_path / f"{name}-inputs.sqlite") as store:
            asked.accept(Attester(game.secrets[name], store, setup, PROVER, key, specs).attest(request, ()))
    move = prover.decide(game.position, scene.run(b"\1"), asked.attested())[prover.BOND_DECISION]
    assert isinstance(move, Move)
    claim = game.signed_move(PROVER, move)
    for party in all_parties(2):
        secrets = game.secrets[party]
        recalled = recall(game.graph, party, [claim])
        assert as_entries(secrets, recalled) == {str(entry.path): entry for entry in secrets._journal.entries()}
    assert list(recalled.messages) == ["Claim/attest_2_1"]
