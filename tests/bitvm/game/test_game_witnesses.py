"""What a thief can do to a transaction of the game before it confirms: nothing that Core's engine lets through."""

import pytest
from bitcoin.core import CMutableTransaction, CTransaction, CTxInWitness, CTxOut, CTxWitness
from bitcoin.core.script import CScript, CScriptWitness
from offline import OfflineGame
from small_run import honest, lying, parameters

from bitvm.game.moves import Move, SayChoice, SayCommitment, SayStep
from bitvm.game.responder import ResponderError
from bitvm.game.trace_list import trace_root
from bitvm.keys.journal import AlreadySigned
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.statement import words_of
from bitvm.script.engine import failing_input

MOVES = ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2", "1/Step", "1/Slash")
LIST_ITEM = 72


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A whole dispute about a false claim, and the same between other parties."""
    games = []
    for salt in ("", "other"):
        game = OfflineGame(parameters(), tmp_path_factory.mktemp("witness"), salt)
        computations = {"prover": lying("written"), "challenger1": honest()}
        transaction = game.play(computations, "1/Slash")
        game.confirm("1/Slash", transaction)
        games.append(game)
    return games


def witness_of(transaction, index=0):
    return [bytes(item) for item in transaction.wit.vtxinwit[index].scriptWitness.stack]


def with_witness(transaction, items, index=0):
    stacks = [list(w.scriptWitness.stack) for w in transaction.wit.vtxinwit]
    stacks[index] = items
    wit = CTxWitness([CTxInWitness(CScriptWitness(stack)) for stack in stacks])
    return CTransaction(transaction.vin, transaction.vout, transaction.nLockTime, transaction.nVersion, wit)


def accepted(game, name, transaction):
    return failing_input(transaction, game.graph[name].spent) is None


def variants(items):
    """Every way to hurt one item, with the position hurt; list items may change, their sizes may not."""
    *arguments, _script, _control = items
    for position, item in enumerate(arguments):
        if len(item) != LIST_ITEM:
            if item:
                yield position, item[:-1] + bytes([item[-1] ^ 1])
            yield position, bytes([1 + (item[0] if item else 0) % 60]) if len(item) < 2 else item[::-1]
        yield position, item + b"\0" * (21 - len(item) if len(item) <= 20 else 1)
        yield position, item.ljust(81, b"\1")
        yield position, b"\x81"
        if item:
            yield position, b""


@pytest.mark.parametrize("name", MOVES)
def test_no_item_can_be_changed(played, name):
    game = played[0]
    transaction = game.confirmed[name].transaction
    assert accepted(game, name, transaction)
    items = witness_of(transaction)
    tried = 0
    for position, item in variants(items):
        if item == items[position]:
            continue
        hurt = [*items[:position], item, *items[position + 1 :]]
        assert not accepted(game, name, with_witness(transaction, hurt)), (position, item.hex())
        tried += 1
    assert tried >= 5


@pytest.mark.parametrize("name", MOVES)
def test_no_item_can_be_added_removed_or_moved(played, name):
    game = played[0]
    transaction = game.confirmed[name].transaction
    items = witness_of(transaction)
    count = len(items) - 2
    for position in range(count):
        assert not accepted(game, name, with_witness(transaction, items[:position] + items[position + 1 :]))
    for position in range(count + 1):
        for extra in (b"", b"\1", bytes(20), bytes(64)):
            assert not accepted(game, name, with_witness(transaction, [*items[:position], extra, *items[position:]]))
    for position in range(count - 1):
        one, two = items[position : position + 2]
        if one != two and {len(one), len(two)} != {LIST_ITEM}:
            swapped = [*items[:position], two, one, *items[position + 2 :]]
            assert not accepted(game, name, with_witness(transaction, swapped))


@pytest.mark.parametrize("name", MOVES)
def test_a_copied_witness_serves_no_other_transaction(played, name):
    game = played[0]
    transaction = game.confirmed[name].transaction
    thief = CMutableTransaction.from_tx(transaction)
    thief.vout[0] = CTxOut(thief.vout[0].nValue, CScript(b"\x51\x20" + b"\7" * 32))
    assert not accepted(game, name, CTransaction.from_tx(thief))
    alone = CTransaction(
        transaction.vin[:1],
        [CTxOut(game.graph[name].spent[0].nValue, CScript(b"\x51"))],
        0,
        2,
        CTxWitness(transaction.wit.vtxinwit[:1]),
    )
    assert failing_input(alone, game.graph[name].spent[:1]) is not None


@pytest.mark.parametrize("name", MOVES)
def test_the_sequence_is_part_of_what_is_signed(played, name):
    game = played[0]
    changed = CMutableTransaction.from_tx(game.confirmed[name].transaction)
    changed.vin[0].nSequence ^= 1
    assert not accepted(game, name, CTransaction.from_tx(changed))


@pytest.mark.parametrize("name", MOVES)
def test_witness_items_of_another_set_up_are_refused(played, name):
    one, other = played
    mine, theirs = (game.confirmed[name].transaction for game in (one, other))
    *foreign, _, _ = witness_of(theirs)
    *own, script, control = witness_of(mine)
    assert not accepted(one, name, with_witness(mine, [*foreign, script, control]))
    assert not accepted(one, name, with_witness(mine, witness_of(theirs)))
    if name != "1/Challenge":
        assert not accepted(one, name, with_witness(mine, [*foreign[:-1], own[-1], script, control]))
        assert not accepted(one, name, with_witness(mine, [*own[:-1], foreign[-1], script, control]))


def test_a_leaf_of_another_output_is_refused(played):
    game = played[0]
    for name, donor in (("1/Choice_2", "1/Choice_1"), ("1/Reveal_2", "1/Step"), ("1/Step", "1/Reveal_2")):
        transaction = game.confirmed[name].transaction
        *items, script, control = witness_of(transaction)
        *foreign, foreign_script, foreign_control = witness_of(game.confirmed[donor].transaction)
        for stack in (
            [*items, foreign_script, control],
            [*items, script, foreign_control],
            [*items, foreign_script, foreign_control],
            [*foreign, foreign_script, foreign_control],
            [*foreign, script, control],
        ):
            if stack != witness_of(transaction):  # the siblings of two choice leaves are one and the same
                assert not accepted(game, name, with_witness(transaction, stack))


def test_shown_lists_may_change_but_not_grow(played):
    game = played[0]
    for name in ("Claim", "1/Reveal_2"):
        transaction = game.confirmed[name].transaction
        items = witness_of(transaction)
        position = next(i for i, item in enumerate(items[:-2]) if len(item) == LIST_ITEM)
        other = [*items[:position], bytes(LIST_ITEM), *items[position + 1 :]]
        assert accepted(game, name, with_witness(transaction, other))
        for size in (0, 71, 73, 80, 520):
            padded = [*items[:position], bytes(size), *items[position + 1 :]]
            assert not accepted(game, name, with_witness(transaction, padded))


def test_what_was_said_is_read_back(played):
    game = played[0]
    position = game.position
    liar, truth = lying("written"), honest()
    assert position.claim().nodes["final_root"] == liar.final_root != truth.final_root
    assert position.claim().listed == liar.points(1, 0)
    assert position.reveal(1, 1) == position.claim()
    choices = [position.choice(1, level).choice for level in (1, 2)]
    step = position.step(1)
    assert step.index == choices[0] * 64 + choices[1]
    assert step.roots["root_before"] == truth.step(step.index).a
    assert step.words["written"] != truth.step(step.index).record.written
    assert step.words["rs1"] == truth.step(step.index).record.rs1


def test_a_witness_cut_short_is_an_error_with_a_name(played):
    game = played[0]
    for name, read in (
        ("Claim", lambda p: p.claim()),
        ("1/Choice_1", lambda p: p.choice(1, 1)),
        ("1/Reveal_2", lambda p: p.reveal(1, 2)),
        ("1/Step", lambda p: p.step(1)),
    ):
        transaction = game.confirmed[name].transaction
        items = witness_of(transaction)
        for cut in (items[1:], items[-2:], [b"", *items], [b"\xff" * 70, *items[1:]]):
            position = game.position
            position.confirmed[name] = type(position.confirmed[name])(with_witness(transaction, cut), 1)
            with pytest.raises(WitnessError):
                read(position)


@pytest.mark.parametrize("twist", [lambda a, b: (a, b ^ 1), lambda a, b: (a ^ 8, b), lambda a, b: (b, a)])
def test_step_must_answer_the_choices_that_the_challenger_signed(tmp_path, twist):
    game = OfflineGame(parameters(), tmp_path)
    liar = lying("written")
    for name in ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2"):
        game.confirm(name, game.play({"prover": liar, "challenger1": honest()}, name))
    choices = tuple(game.position.choice(1, level).choice for level in (1, 2))
    other = twist(*choices)
    assert other != choices
    step = liar.step(other[0] * 64 + other[1])
    roots = {"root_before": step.a, "root_written": step.m, "root_after": step.b}
    say = SayStep(other, roots, words_of(step.record))
    assert not accepted(game, "1/Step", game.signed_move("prover", Move("1/Step", "", say)))


def test_a_party_does_not_sign_two_answers(tmp_path):
    game = OfflineGame(parameters(), tmp_path)
    computations = {"prover": lying("written"), "challenger1": honest()}
    for name in ("Claim", "1/Challenge", "1/Choice_1"):
        game.confirm(name, game.play(computations, name))
    transaction = game.play(computations, "1/Reveal_2")
    again = game.play(computations, "1/Reveal_2")
    assert transaction.serialize() == again.serialize()
    points = honest().points(1, 0)
    other = SayCommitment({"trace_root": trace_root(points)}, points)
    with pytest.raises(AlreadySigned):
        game.signed_move("prover", Move("1/Reveal_2", "", other))


def test_a_move_is_refused_to_whoever_does_not_make_it(played):
    game = played[0]
    with pytest.raises(ResponderError, match="is moved by challenger1"):
        game.signed_move("prover", Move("1/Choice_1", "", SayChoice(1)))
    with pytest.raises(ResponderError, match="cannot say"):
        game.signed_move("prover", Move("1/Reveal_2", "", SayChoice(1)))
    with pytest.raises(ResponderError, match="coins from outside"):
        game.signed_move("prover", Move("Fund", ""))
