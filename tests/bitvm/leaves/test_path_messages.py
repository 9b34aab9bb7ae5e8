"""Ask, Path, Descend, Inside, Narrow and Close as whole signed leaves on Core's engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest
from questionbench import Question, Questions

from bitvm.leaves import fields, message
from bitvm.leaves.authority import WitnessError
from bitvm.leaves.message import Message
from bitvm.leaves.path.messages import ask, close_messages, descend, inside_messages, narrow, path_messages
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import Signature, Slot
from bitvm.script.weight import compact_size_length

LEVELS, WIDTH = 3, 16

RIGHT = {
    "ask": Question((1, 2, 3), 12),
    "path.read": Question((1, 2, 3), 3),
    "path.write": Question((1, 2, 3), 5),
    "path.left_1": Question((1, 0, 0), 7),
    "path.left_2": Question((0, 4, 0), 7),
    "path.left_3": Question((9, 0, 15), 7),
    "path.right_1": Question((0, 15, 15), 8),
    "path.right_2": Question((15, 11, 15), 8),
    "path.right_3": Question((15, 15, 14), 8),
    "path.start": Question((0, 0, 0), 9),
    "descend": Question((1, 2, 3), 0, gap=6),
    "inside.read": Question((1, 2, 3), 4, gap=2),
    "inside.write": Question((1, 2, 3), 6, gap=0),
    "inside.read_words": Question((1, 2, 3), 0, gap=3),
    "inside.write_words": Question((1, 2, 3), 5, gap=3),
    "inside.entry": Question((1, 2, 3), 8, gap=3),
    "inside.start": Question((0, 0, 0), 9, gap=3),
    "narrow": Question((1, 2, 3), 0, narrow=3),
    "close.read": Question((1, 2, 3), 1, gap=2, narrow=3),
    "close.write": Question((1, 2, 3), 5, gap=0, narrow=1),
}
"""One question for every leaf that answers it, or by which it is asked."""

RESTATED = {"Path/where": 16, "Inside/gap": 16, "Close/where": 16}
"""Keys by which the prover says questions again, and their symbols' range."""

WEIGHTS = {
    "ask": 584,
    "path.read": 14_390,
    "path.write": 27_382,
    "path.left_1": 25_493,
    "path.right_1": 25_495,
    "path.left_5": 24_408,
    "path.right_5": 24_409,
    "path.start": 37_126,
    "descend": 412,
    "inside.read": 10_927,
    "inside.write": 20_671,
    "inside.read_words": 11_102,
    "inside.write_words": 21_022,
    "inside.entry": 4_429,
    "inside.start": 14_175,
    "narrow": 324,
    "close.read": 11_170,
    "close.write": 14_418,
}
"""Largest witness without the control block, in WU, for 5 levels of 64 intervals; levels 2 to 4 lie between."""


def all_messages(levels: int = LEVELS, width: int = WIDTH) -> dict[str, Message]:
    inside = inside_messages(width)
    found = (ask(), *path_messages(levels, width), descend(), *inside, narrow(), *close_messages())
    return {message.name: message for message in found}


MESSAGES = all_messages()
ANSWERS = {name: message for name, message in MESSAGES.items() if message.repeats}


@cache
def bench(seed: int = 1) -> Questions:
    return Questions(LEVELS, WIDTH, seed)


def test_every_leaf_has_its_question_here() -> None:
    assert RIGHT.keys() == MESSAGES.keys()
    assert set(MESSAGES) - set(ANSWERS) == {"ask", "descend", "narrow"}


# ---- what is signed


def test_all_fields_of_path_and_most_of_the_others_are_signed_in_some_leaf() -> None:
    signed = {path for message in all_messages(5, 64).values() for path in message.own}
    named = {"Ask": fields.ASK, "Path": fields.PATH, "Descend": fields.DESCEND, "Inside": fields.INSIDE}
    named |= {"Narrow": fields.NARROW, "Close": fields.CLOSE}
    assert signed == {f"{name}/{field}" for name, own in named.items() for field in own}


@pytest.mark.parametrize(("width", "nodes"), [(4, 2), (16, 4), (64, 6)])
def test_the_path_to_an_entry_signs_every_node_but_the_last_once(width: int, nodes: int) -> None:
    for name in ("path.left_1", "path.right_2"):
        shown = all_messages(2, width)[name].shown
        assert shown == ("Path/top", *(f"Path/before_{height}" for height in range(nodes)))


# ---- the right answer


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_message_is_accepted_and_read_back(name: str) -> None:
    game, message, question = bench(), MESSAGES[name], RIGHT[name]
    signatures = game.signed(message, question)
    assert game.message_accepts(message, signatures)
    read = game.message_leaf(message).decode(game.message_witness(message, signatures))
    assert read == signatures
    said = {**question.messages(WIDTH), **game.answer(message, question)}
    assert {path: game.public[path].verify(signature) for path, signature in read.items()} == {
        path: said[path] for path in (*message.shown, *message.used)
    }


@pytest.mark.parametrize("name", ["path.read", "path.write", "path.start", "inside.read", "close.write"])
def test_what_is_free_is_free(name: str) -> None:
    """The level and place of a node of the tree, and the turns, are for the challenger's proofs."""
    game, message, question = bench(), MESSAGES[name], RIGHT[name]
    own = {
        "Path/where": (question.kind, 15, *[15] * fields.PLACE_NIBBLES),
        "Close/where": (question.gap, question.narrow, 15),
    }
    assert game.answers(message, question, {path: said for path, said in own.items() if path in message.own})


# ---- wrong answers


def wrong_restatements(name: str) -> list[tuple[str, tuple[int, ...]]]:
    """All ways to say one of the questions wrongly."""
    found = []
    for path in (path for path in MESSAGES[name].own if path in RESTATED):
        right = bench().answer(MESSAGES[name], RIGHT[name])[path]
        assert isinstance(right, tuple)
        checked = {"Path/where": 2 if "_" in name else 1, "Inside/gap": 1, "Close/where": 2}[path]
        for slot in range(checked):
            for symbol in set(range(RESTATED[path])) - {right[slot]}:
                found.append((path, (*right[:slot], symbol, *right[slot + 1 :])))
    return found


@pytest.mark.parametrize("name", ANSWERS)
def test_a_question_restated_wrongly_is_rejected(name: str) -> None:
    wrong = wrong_restatements(name)
    assert len(wrong) >= 15
    for path, said in wrong:
        assert not bench().answers(MESSAGES[name], RIGHT[name], {path: said}), said


@pytest.mark.parametrize("name", [name for name in ANSWERS if name[-1].isdigit()])
def test_an_entry_is_shown_in_the_list_that_the_choices_select(name: str) -> None:
    """One choice more, less or elsewhere, and the leaf of another level, or none, is open."""
    left, level = "left" in name, int(name[-1])
    outermost, kind = (0, 7) if left else (15, 8)
    choices = list(RIGHT[name].choices)
    for r in range(level, LEVELS + 1):
        # 1, 4 and 12 differ from 0 in the low symbol, the high one, and the high one; likewise 14, 11 and 3 from 15
        values = [outermost] if r == level else [abs(outermost - value) for value in (1, 4, 12, 15)]
        for value in values:
            wrong = Question((*choices[: r - 1], value, *choices[r:]), kind)
            assert not bench().answers(MESSAGES[name], wrong), wrong
    for value in (abs(outermost - other) for other in (1, 2, 4, 8, 15)):
        right = Question((*choices[: level - 1], value, *choices[level:]), kind)
        assert bench().answers(MESSAGES[name], right), right
    for earlier in range(16) if level > 1 else ():
        assert bench().answers(MESSAGES[name], Question((earlier, *choices[1:]), kind)), earlier


# ---- whose signatures count


@pytest.mark.parametrize("name", RIGHT)
def test_signatures_of_another_game_are_rejected(name: str) -> None:
    game, message, question = bench(), MESSAGES[name], RIGHT[name]
    right, foreign = game.signed(message, question), bench(seed=2).signed(message, question)
    for path in right:
        assert not game.message_accepts(message, {**right, path: foreign[path]}), path


@pytest.mark.parametrize("name", ANSWERS)
def test_a_question_that_was_not_asked_cannot_be_answered(name: str) -> None:
    """The challenger's secret is said to sign another symbol, and the prover answers that."""
    game, message, question = bench(), MESSAGES[name], RIGHT[name]
    for path in set(message.repeats) & {"Ask/kind", "Descend/gap", "Narrow/gap"}:
        asked = question.messages(WIDTH)[path]
        secret = game.signature(path, asked).slots[0].secret
        for symbol in range(game.public[path].scheme.width):
            answered = {
                "Ask/kind": replace(question, kind=symbol),
                "Descend/gap": replace(question, gap=symbol),
                "Narrow/gap": replace(question, narrow=symbol),
            }[path]
            signatures = {**game.signed(message, answered), path: Signature((Slot(symbol, secret),))}
            assert game.message_accepts(message, signatures) == ((symbol,) == asked), (path, symbol)


@pytest.mark.parametrize("name", RIGHT)
def test_both_parties_must_have_signed_the_transaction(name: str) -> None:
    game, message = bench(), MESSAGES[name]
    leaf, spender = game.message_leaf(message), game._message_spender(message)
    signatures, digest = game.signed(message, RIGHT[name]), spender.sighash()
    prover, challenger = game.prover.sign(digest), game.challenger.sign(digest)
    assert spender.accepts(leaf.witness([prover, challenger], signatures))
    for schnorr in ([prover, prover], [challenger, challenger], [challenger, prover], [b"", challenger], [prover, b""]):
        assert not spender.accepts(leaf.witness(schnorr, signatures))


@pytest.mark.parametrize("name", RIGHT)
def test_a_broken_secret_is_neither_accepted_nor_read(name: str) -> None:
    game, message = bench(), MESSAGES[name]
    signatures = game.signed(message, RIGHT[name])
    for path in (message.own[0], message.own[-1]):
        first, *rest = signatures[path].slots
        secret = bytes([first.secret[0] ^ 1]) + first.secret[1:]
        broken = {**signatures, path: Signature((Slot(first.index, secret), *rest))}
        assert not game.message_accepts(message, broken)
        with pytest.raises(WitnessError):
            game.message_leaf(message).decode(game.message_witness(message, broken))


# ---- encodings


@pytest.mark.parametrize("name", ANSWERS)
def test_symbols_in_longer_encodings_are_the_same_numbers(name: str) -> None:
    game, message = bench(), MESSAGES[name]
    symbols = sum(game.public[path].scheme.slots for path in message.used)
    for other in RIGHT.values():
        items = game.message_witness(message, game.signed(message, other))
        longer = [item + b"\x00" if item else b"\x80" for item in items[:symbols]] + items[symbols:]
        spender = game._message_spender(message)
        assert spender.accepts(items) == spender.accepts(longer)
        if spender.accepts(items):
            leaf = game.message_leaf(message)
            assert leaf.decode(longer) == leaf.decode(items)


# ---- size


@cache
def measured(levels: int, width: int) -> Mapping[str, tuple[int, int]]:
    """Largest witness in WU without the control block, and most items on the stacks, by leaf."""
    builders: list[ScriptBuilder] = []

    class Watched(ScriptBuilder):
        def __init__(self, witness: list[str]) -> None:
            super().__init__(witness)
            builders.append(self)

    game = Questions(levels, width)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message, "ScriptBuilder", Watched)
        for name, said in all_messages(levels, width).items():
            leaf = game.message_leaf(said)
            sizes = [*leaf.item_sizes(), len(leaf.script)]
            weight = compact_size_length(len(sizes) + 1) + sum(compact_size_length(size) + size for size in sizes)
            found[name] = (weight, builders[-1].peak)
    return found


def test_largest_weights() -> None:
    weights = {name: weight for name, (weight, _) in measured(5, 64).items()}
    assert {name: weights[name] for name in WEIGHTS} == WEIGHTS
    for side in ("left", "right"):
        lists = [weights[f"path.{side}_{level}"] for level in range(1, 6)]
        assert lists == sorted(lists, reverse=True)


@pytest.mark.parametrize(("levels", "width"), [(5, 64), (8, 16), (8, 4), (1, 64)])
def test_every_message_can_be_relayed_and_run(levels: int, width: int) -> None:
    control_block, rest_of_transaction = 33 + 32 * 8, 4 * 200
    for name, (weight, peak) in measured(levels, width).items():
        assert weight + control_block + rest_of_transaction < 40_000, name
        assert peak <= 1_000, name
    assert measured(levels, width)["path.start"][1] == 990


@pytest.mark.parametrize("name", RIGHT)
def test_the_largest_weight_is_one(name: str) -> None:
    game = bench()
    leaf = game.message_leaf(MESSAGES[name])
    items = game.message_witness(MESSAGES[name], game.signed(MESSAGES[name], RIGHT[name]))
    assert len(items) == len(leaf.item_sizes())
    assert all(len(item) <= size for item, size in zip(items, leaf.item_sizes(), strict=True))
