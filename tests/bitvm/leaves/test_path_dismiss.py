"""To every question the prover has an answer or a dismissal, and never a dismissal of a question that makes sense."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from random import Random

import pytest
from proofbench import Bench
from questionbench import Question, Questions, close_leaf, inside_leaf, path_leaf

from bitvm.game.opening import QuestionError, check_question
from bitvm.leaves.message import Message
from bitvm.leaves.proof import Proof
from bitvm.script.onetime import Signature, Slot

KINDS, GAPS, NARROWS = range(16), range(8), range(4)
SIZES = ((1, 4), (3, 4), (2, 16), (5, 64))


@cache
def bench(levels: int, width: int) -> Questions:
    return Questions(levels, width)


def choices_of(levels: int, width: int) -> list[tuple[int, ...]]:
    """All choices of a small game; of a larger one all patterns of ends and inner intervals."""
    values = range(width) if width**levels <= 64 else (0, 1, width - 2, width - 1)
    return list(product(values, repeat=levels))


def holding(proofs: Iterable[Proof], question: Question) -> set[str]:
    return {proof.name for proof in proofs if proof.wins(question.said()) is not None}


# ---- completeness, in Python


@pytest.mark.parametrize(("levels", "width"), SIZES)
def test_every_ask_has_an_answer_or_a_dismissal(levels: int, width: int) -> None:
    game = bench(levels, width)
    names = {message.name for message in game.path}
    for choices, kind in product(choices_of(levels, width), KINDS):
        question = Question(choices, kind)
        leaf, dismissals = path_leaf(question, width), holding(game.after_ask, question)
        assert leaf is None or leaf in names
        assert len(dismissals) == (leaf is None), question


@pytest.mark.parametrize(("levels", "width"), SIZES)
def test_every_descent_has_an_answer_or_a_dismissal(levels: int, width: int) -> None:
    game = bench(levels, width)
    names = {message.name for message in game.inside}
    for kind, gap in product(range(10), GAPS):
        question = Question((0,) * levels, kind, gap)
        leaf, dismissals = inside_leaf(question, width), holding(game.after_descend, question)
        assert leaf is None or leaf in names
        assert len(dismissals) == (leaf is None), question


@pytest.mark.parametrize(("levels", "width"), SIZES)
def test_every_narrowing_of_what_was_answered_has_an_answer_or_a_dismissal(levels: int, width: int) -> None:
    game = bench(levels, width)
    names = {message.name for message in game.close}
    for kind, gap, narrow in product(range(10), GAPS, NARROWS):
        question = Question((0,) * levels, kind, gap, narrow)
        if inside_leaf(question, width) is not None:
            leaf, dismissals = close_leaf(question), holding(game.after_narrow, question)
            assert leaf is None or leaf in names
            assert bool(dismissals) == (leaf is None), question


@pytest.mark.parametrize(("levels", "width"), SIZES)
def test_the_game_dismisses_the_same_questions(levels: int, width: int) -> None:
    for choices, kind in product(choices_of(levels, width), KINDS):
        try:
            check_question(kind, choices, width)
            expected = set()
        except QuestionError as error:
            expected = {error.dismissal}
        assert holding(bench(levels, width).after_ask, Question(choices, kind)) == expected


# ---- the same on the engine: which whole leaves are open


def open_leaves(game: Questions, messages: Iterable[Message], proofs: Iterable[Proof], question: Question) -> set[str]:
    answers = {message.name for message in messages if game.answers(message, question)}
    return answers | {proof.name for proof in proofs if game.dismisses(proof, question)}


def expected_leaves(leaf: str | None, proofs: Iterable[Proof], question: Question) -> set[str]:
    return {*([] if leaf is None else [leaf]), *holding(proofs, question)}


def asks(levels: int, width: int, count: int) -> Iterator[Question]:
    """Every kind at both ends and at ``count`` other places."""
    inner = choices_of(levels, width)[1:-1]
    for kind in (0, 4, 5, 6, 7, 8, 9, 10, 15):
        for choices in ((0,) * levels, (width - 1,) * levels, *Random(kind).sample(inner, count)):
            yield Question(choices, kind)


@pytest.mark.parametrize(("levels", "width", "count"), [(1, 4, 2), (3, 4, 10), (2, 16, 6)])
def test_just_the_right_leaves_are_open_after_ask(levels: int, width: int, count: int) -> None:
    game = bench(levels, width)
    for question in asks(levels, width, count):
        expected = expected_leaves(path_leaf(question, width), game.after_ask, question)
        if question.kind == 9:
            expected.add("path.start")  # it cannot see the choices; see bitvm.leaves.path.messages
        assert open_leaves(game, game.path, game.after_ask, question) == expected, question


@pytest.mark.parametrize("width", [4, 16, 64])
def test_just_the_right_leaves_are_open_after_descend(width: int) -> None:
    game = bench(1, width)
    for kind, gap in product(range(10), GAPS):
        question = Question((1,), kind, gap)
        expected = expected_leaves(inside_leaf(question, width), game.after_descend, question)
        assert open_leaves(game, game.inside, game.after_descend, question) == expected, question


def test_just_the_right_leaves_are_open_after_narrow() -> None:
    game = bench(1, 64)
    for kind, gap in product(range(10), GAPS):
        question = Question((1,), kind, gap, narrow=(kind + gap) % 4)
        expected = expected_leaves(close_leaf(question), game.after_narrow, question)
        assert open_leaves(game, game.close, game.after_narrow, question) == expected, question


# ---- whose signatures count

DISMISSED = {
    "dismiss.kind": Question((1, 1), 10),
    "dismiss.left": Question((0, 0), 7),
    "dismiss.right": Question((15, 15), 8),
    "dismiss.start": Question((0, 1), 9),
    "dismiss.gap_tree": Question((1, 1), 6, gap=4),
    "dismiss.gap_entry": Question((1, 1), 8, gap=4),
    "dismiss.gap_start": Question((0, 0), 9, gap=4),
    "dismiss.narrow_kind": Question((1, 1), 7, gap=1),
    "dismiss.narrow_words": Question((1, 1), 0, gap=3),
}


def dismissals(game: Questions) -> dict[str, Proof]:
    return {proof.name: proof for proof in (*game.after_ask, *game.after_descend, *game.after_narrow)}


def signatures_of(game: Bench, proof: Proof, question: Question) -> dict[str, Signature]:
    said = question.messages(game.width)
    return game.signatures({path: said[path] for path in proof.keys})


def test_every_dismissal_is_tried() -> None:
    assert DISMISSED.keys() == dismissals(bench(2, 16)).keys()


@pytest.mark.parametrize("name", DISMISSED)
def test_only_the_prover_dismisses_and_only_what_this_challenger_signed(name: str) -> None:
    game, stranger = bench(2, 16), Questions(2, 16, seed=2)
    proof, question = dismissals(game)[name], DISMISSED[name]
    right = signatures_of(game, proof, question)
    assert game.proof_accepts(proof, right, (), mover="prover")
    foreign = signatures_of(stranger, proof, question)
    for path in proof.keys:
        assert not game.proof_accepts(proof, {**right, path: foreign[path]}, (), mover="prover")
        assert not game.proof_accepts(proof, {**right, path: shifted(right[path])}, (), mover="prover")
    spender = game._proof_spender(proof, "prover")
    forged = [game.challenger.sign(spender.sighash())]
    assert not spender.accepts(game.proof_leaf(proof, "prover").witness(forged, right, ()))


def shifted(signature: Signature) -> Signature:
    """The same secrets, said to sign a first symbol that is one more."""
    first, *rest = signature.slots
    return Signature((Slot(first.index + 1, first.secret), *rest))


@pytest.mark.parametrize("name", DISMISSED)
def test_symbols_in_longer_encodings_are_the_same_numbers(name: str) -> None:
    game = bench(2, 16)
    proof = dismissals(game)[name]
    spender = game._proof_spender(proof, "prover")
    schnorr = [game.prover.sign(spender.sighash())]
    symbols = sum(game.public[path].scheme.slots for path in proof.keys)
    for question in DISMISSED.values():
        items = game.proof_leaf(proof, "prover").witness(schnorr, signatures_of(game, proof, question), ())
        longer = [item + b"\x00" if item else b"\x80" for item in items[:symbols]] + items[symbols:]
        holds = proof.wins(question.said()) is not None
        assert spender.accepts(items) == spender.accepts(longer) == holds, question


@pytest.mark.parametrize("name", DISMISSED)
def test_a_dismissal_is_small(name: str) -> None:
    game = bench(5, 64)
    proof = dismissals(game)[name]
    leaf = game.proof_leaf(proof, "prover")
    assert not proof.large
    assert sum(leaf.item_sizes()) + len(leaf.script) < 2_000
