"""Opponents who keep to Script and to nothing else: on all that they can confirm, an honest strategy decides."""

from dataclasses import replace
from random import Random

import pytest
from bitcoin.core import CTransaction, CTxInWitness, CTxWitness
from bitcoin.core.script import CScriptWitness
from forging import HostileSigner, said
from offline import OfflineGame
from small_run import INPUT, honest, image, lying, parameters

from bitvm.game import challenger, prover
from bitvm.game.computation import Execution, ForeignImageError
from bitvm.game.moves import Move, SayChoice, SayStep, Wait
from bitvm.game.position import Confirmed
from bitvm.keys.journal import AlreadySigned
from bitvm.leaves.fields import Kind
from bitvm.leaves.statement import FIELDS, GROUPS, nibbles_of, words_of
from bitvm.leaves.step import ROOTS, index_symbols
from bitvm.script.engine import failing_input
from bitvm.script.sighash import HASH_TYPES, taproot_sighash

DISPUTE = ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step", "1/Slash")
SAID = ("Claim", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step")


@pytest.fixture
def game(tmp_path):
    return OfflineGame(parameters(), tmp_path)


def computations():
    return {"prover": lying("written"), "challenger1": honest()}


def play_to(game, last):
    """Confirm the dispute up to ``last``, which is included."""
    for name in DISPUTE[: DISPUTE.index(last) + 1]:
        if not game.position.has(name):
            game.confirm(name, game.play(computations(), name))


def witness_of(transaction):
    return [bytes(item) for item in transaction.wit.vtxinwit[0].scriptWitness.stack]


def with_witness(transaction, items):
    stacks = [items, *(list(w.scriptWitness.stack) for w in transaction.wit.vtxinwit[1:])]
    wit = CTxWitness([CTxInWitness(CScriptWitness(stack)) for stack in stacks])
    return CTransaction(transaction.vin, transaction.vout, transaction.nLockTime, transaction.nVersion, wit)


def decide_everybody(game):
    """Every honest decision on the position; none of them may raise, whichever side the hostile party is on."""
    decisions = list(prover.decide(game.position, honest()).values())
    decisions += [challenger.decide(game.position, known, 1)["1"] for known in (honest(), None)]
    assert all(isinstance(decision, Move | Wait) for decision in decisions)
    return decisions


# ---- the mover's own Schnorr signature


def resigned(game, name, transaction, hash_type):
    """The same move, its mover naming a sighash type in a 65th byte: Script accepts that (BIP341)."""
    template = game.graph[name]
    spent = template.inputs[0]
    leaf = spent.leaf(spent.leaves[0])
    leaf_hash = spent.source.output(spent.output).tree.leaf_hash(leaf.name)
    message = taproot_sighash(template.unsigned, template.spent, 0, leaf_hash=leaf_hash, hash_type=hash_type)
    signature = game.secrets[template.mover].sign_schnorr(message) + bytes([hash_type])
    items = witness_of(transaction)
    items[-3 - leaf.signers.index(template.mover)] = signature
    return with_witness(transaction, items)


@pytest.mark.parametrize("hash_type", sorted(HASH_TYPES - {0}))
def test_a_mover_that_names_its_sighash_type_is_read_and_answered(game, hash_type):
    for name in DISPUTE:
        transaction = game.play(computations(), name)
        if name in SAID:
            transaction = resigned(game, name, transaction, hash_type)
        game.confirm(name, transaction)
        decide_everybody(game)
    assert game.position.spent_by("Claim", "bond") == "1/Slash"


# ---- numbers that are not minimal


def test_digits_in_any_encoding_of_a_miner_are_read_and_repeated_in_minimal_form(game):
    play_to(game, "1/Challenge")
    for level, answer in ((1, "1/Reveal_2"), (2, "1/Step")):
        transaction = game.play(computations(), f"1/Choice_{level}")
        long = [item.ljust(4, b"\0") if len(item) < 2 else item for item in witness_of(transaction)]
        game.confirm(f"1/Choice_{level}", with_witness(transaction, long))
        decide_everybody(game)
        game.confirm(answer, game.play(computations(), answer))
    assert all(len(item) < 2 or len(item) >= 20 for item in witness_of(game.confirmed["1/Step"].transaction)[:-2])


# ---- labels that are no nodes, words that no machine has


@pytest.mark.parametrize("field", ["input_root", "trace_root", "final_root"])
def test_a_claim_of_no_node_is_judged(game, field):
    signer, liar = HostileSigner(game, "prover"), lying("written")
    nodes = prover.claim_statement(liar).nodes
    scheme = game.graph.setting.public["Claim/final_root"].scheme
    signatures = {name: signer.open(f"Claim/{name}", scheme.encode(node)) for name, node in nodes.items()}
    signatures[field] = signer.no_node(f"Claim/{field}")
    game.confirm("Claim", said(game, "Claim", signatures, liar.points(1, 0)))
    assert game.position.claim().nodes[field] is None
    decision = decide_everybody(game)[-2]
    assert isinstance(decision, Move)
    assert decision.template == "1/Challenge"


def test_a_list_under_a_root_that_is_no_node_is_demanded(game):
    play_to(game, "1/Choice_1")
    signer = HostileSigner(game, "prover")
    signature = {"trace_root": signer.no_node("1/Reveal_2/trace_root")}
    game.confirm("1/Reveal_2", said(game, "1/Reveal_2", signature, honest().points(1, 0)))
    decision = decide_everybody(game)[-2]
    assert isinstance(decision, Move)
    assert decision.template == "1/Demand_2"


@pytest.mark.parametrize("seed", range(3))
def test_any_list_under_any_root_is_decided_on(game, seed):
    play_to(game, "1/Choice_1")
    rng = Random(seed)
    signer = HostileSigner(game, "prover")
    scheme = game.graph.setting.public["1/Reveal_2/trace_root"].scheme
    indices = [rng.randrange(scheme.list_size(slot)) for slot in range(scheme.slots)]
    listed = [rng.randbytes(24) for _ in range(63)]
    signature = {"trace_root": signer.open("1/Reveal_2/trace_root", indices)}
    game.confirm("1/Reveal_2", said(game, "1/Reveal_2", signature, listed))
    decide_everybody(game)


def hostile_words(true, rng):
    """Words that the prover's keys can sign: the true ones with a few fields changed, or all at random."""
    wide = rng.random() < 0.2
    words = dict(true)
    for name in FIELDS if wide else rng.sample(sorted(FIELDS), rng.randint(1, 4)):
        field = FIELDS[name]
        edge = rng.choice((0, 1, 16**field.nibbles - 1, 16**field.nibbles >> 1))
        value = edge if rng.random() < 0.5 else rng.randrange(16**field.nibbles)
        words[name] = value << field.shift
    return words


def test_any_words_in_step_are_slashed_or_asked_for(game):
    play_to(game, "1/Choice_2")
    rng, signer, public = Random(11), HostileSigner(game, "prover"), game.graph.setting.public
    choices = tuple(game.position.choice(1, level) for level in (1, 2))
    index = choices[0].choice * 64 + choices[1].choice
    true = words_of(honest().step(index).record)
    fixed = {root: signer.no_node(f"1/Step/{root}") for root in ROOTS}
    fixed["index"] = signer.open("1/Step/index", index_symbols([c.choice for c in choices], 64))
    outcomes = {"1/Slash": 0, "1/Ask": 0}
    for _ in range(40):
        words = hostile_words(true, rng)
        signatures = fixed | {
            group: signer.open(f"1/Step/{group}", public[f"1/Step/{group}"].scheme.encode(nibbles_of(group, words)))
            for group in GROUPS
        }
        step = said(game, "1/Step", signatures, [choice.signature for choice in choices])
        assert failing_input(step, game.graph["1/Step"].spent) is None
        game.confirmed["1/Step"] = Confirmed(step, game.height)
        assert game.position.step(1).words == words
        game.height += game.parameters.confirmations
        decision = decide_everybody(game)[-2]
        outcomes[decision.template] += 1
        if decision.template == "1/Slash":
            slash = game.signed_move("challenger1", decision)
            assert failing_input(slash, game.graph["1/Slash"].spent) is None
        else:
            assert decision.statement.messages == {"Ask/kind": (Kind.LEFT,)}  # no state has a root that is no node
    assert min(outcomes.values()) > 0


# ---- witnesses that cannot be read (Script admits none; should one come, it must not take the rest down)


@pytest.mark.parametrize("name", SAID)
def test_an_unreadable_witness_is_an_alarm(game, name):
    play_to(game, name)
    seen = game.confirmed[name]
    game.confirmed[name] = Confirmed(with_witness(seen.transaction, witness_of(seen.transaction)[1:]), seen.height)
    assert any(isinstance(decision, Wait) and decision.alarm for decision in decide_everybody(game))


def test_an_unreadable_game_leaves_the_bond_and_the_other_game_alone(tmp_path):
    game = OfflineGame(parameters(challengers=2), tmp_path)
    true = honest(challengers=2)
    game.confirm("Claim", game.play({"prover": true}, "Claim"))
    for number in (1, 2):
        party = f"challenger{number}"
        for move in (Move(f"{number}/Challenge", ""), Move(f"{number}/Choice_1", "", SayChoice(7))):
            game.confirm(move.template, game.signed_move(party, move))
    seen = game.confirmed["1/Choice_1"]
    game.confirmed["1/Choice_1"] = Confirmed(with_witness(seen.transaction, [b"", b""]), seen.height)
    decisions = prover.decide(game.position, true)
    assert isinstance(decisions["1"], Wait)
    assert decisions["1"].alarm
    assert isinstance(decisions["2"], Move)
    game.height = game.confirmed["Claim"].height + game.parameters.delta_long - 1
    assert prover.decide(game.position, true)["bond"].template == "LatePayout"


# ---- reorgs


def test_a_choice_that_a_reorg_of_confirmations_can_replace_is_not_answered(game):
    play_to(game, "1/Challenge")
    one = game.play(computations(), "1/Choice_1")
    scheme = game.graph.setting.public["1/Choice_1/digit"].scheme
    signer = HostileSigner(game, "challenger1")
    other = said(game, "1/Choice_1", signer.open("1/Choice_1/digit", scheme.encode((7, 7))))
    assert one.GetTxid() == other.GetTxid()
    game.confirm("1/Choice_1", one)
    included = game.confirmed["1/Choice_1"].height
    game.play(computations(), "1/Reveal_2")
    assert game.height - included == game.parameters.confirmations  # one block more than a reorg replaces
    game.confirm("1/Choice_1", other)
    with pytest.raises(AlreadySigned):
        game.play(computations(), "1/Reveal_2")


@pytest.mark.parametrize("name", ["Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2"])
def test_the_answer_waits_for_one_block_more_than_a_reorg_replaces(game, name):
    play_to(game, name)
    height = game.confirmed[name].height
    signs = {"Claim": "1", "1/Challenge": "1", "1/Reveal_2": "1"}
    for depth, moves in ((0, False), (game.parameters.confirmations - 1, False), (game.parameters.confirmations, True)):
        game.height = height + depth
        if name in signs:
            decision = challenger.decide(game.position, honest(), 1)["1"]
        else:
            decision = prover.decide(game.position, computations()["prover"])["1"]
        assert isinstance(decision, Move) is moves, depth


# ---- what needs no computation, and what needs the right one


def test_a_challenger_that_is_still_computing_slashes_all_the_same(game):
    play_to(game, "1/Choice_1")
    assert isinstance(challenger.decide(game.position, None, 1)["1"], Wait)
    game.height = game.confirmed["1/Choice_1"].height + game.parameters.delta - 2
    assert isinstance(challenger.decide(game.position, None, 1)["1"], Wait)
    game.height += 1
    assert challenger.decide(game.position, None, 1)["1"].template == "1/Slash_after_Choice_1"
    game.height = game.confirmed["1/Choice_1"].height + game.parameters.confirmations
    play_to(game, "1/Step")
    assert challenger.decide(game.position, None, 1)["1"].template == "1/Slash"


def test_a_program_that_the_set_up_is_not_about_is_refused():
    with pytest.raises(ForeignImageError):
        Execution(replace(parameters(), image_root=b"\1" * 24), image(), INPUT)


# ---- the last block of every deadline


def test_a_challenge_is_made_in_the_last_block_before_payout_and_not_in_its_own(game):
    game.confirm("Claim", game.play({"prover": computations()["prover"]}, "Claim"))
    payout = game.confirmed["Claim"].height + game.parameters.delta_claim
    game.height = payout - 2
    assert challenger.decide(game.position, honest(), 1)["1"].template == "1/Challenge"
    assert not game.position.unlocked(game.graph["Payout"])
    game.height = payout - 1
    assert isinstance(challenger.decide(game.position, honest(), 1)["1"], Wait)
    assert game.position.unlocked(game.graph["Payout"])
    assert game.position.unlock_height(game.graph["Payout"]) == payout


def test_a_late_answer_is_still_made_while_nobody_slashed(game):
    play_to(game, "1/Choice_2")
    game.height = game.confirmed["1/Choice_2"].height + 3 * game.parameters.delta
    decision = prover.decide(game.position, computations()["prover"])["1"]
    assert isinstance(decision.statement, SayStep)
