"""What the challenger picks and chooses after a demand: the first false interval, agreed on its left and answered."""

import random
from math import isqrt

import pytest

from bitvm.game.side_list import answered_points, choice_of_answers, pick_of_outline
from bitvm.game.trace_list import first_disagreement
from bitvm.leaves.proof import Said

LEVEL = 3
every_width = pytest.mark.parametrize("width", [4, 16, 64])


def truth(width):
    return [bytes([point]) * 24 for point in range(1, width)]


def said(answers, group=None):
    """What is known of a prover that would answer ``answers``: Outline, and Detail of a group."""
    width = len(answers) + 1
    step = isqrt(width)
    nodes = {f"Outline_{LEVEL}/point_{i}": answers[step * i - 1] for i in range(1, step)}
    words = {}
    if group is not None:
        words[f"detail_{LEVEL}.group"] = group
        nodes |= {f"Detail_{LEVEL}/point_{j}": answers[step * group + j - 1] for j in range(1, step)}
    elsewhere = {f"Detail_{LEVEL - 1}/point_1": bytes(24), f"Outline_{LEVEL + 1}/point_1": bytes(24)}
    return Said(words | {f"detail_{LEVEL - 1}.group": 0}, nodes | elsewhere)


def play(answers, true_points):
    group = pick_of_outline(said(answers), LEVEL, true_points)
    return group, choice_of_answers(said(answers, group), LEVEL, true_points)


@every_width
def test_all_answers_true_leaves_the_last_interval(width):
    assert play(truth(width), truth(width)) == (isqrt(width) - 1, width - 1)


@every_width
def test_one_false_point_is_found_and_so_is_everything_false_from_a_point_on(width):
    for first in range(1, width):
        after = [None if point >= first else node for point, node in enumerate(truth(width), start=1)]
        group, choice = play(after, truth(width))
        assert (group, choice) == ((first - 1) // isqrt(width), first - 1)
        alone = truth(width)
        alone[first - 1] = bytes(24)
        group, choice = play(alone, truth(width))
        if first % isqrt(width) == 0 or first > width - isqrt(width):
            assert choice == first - 1 == first_disagreement(alone, truth(width))
        else:
            assert choice == width - 1, "a false point in a group that is not picked is never said"


@every_width
def test_the_choice_is_agreed_on_its_left_and_answered_on_both_sides(width):
    rng = random.Random(width)
    for _ in range(300):
        true_points = truth(width)
        share = rng.choice([0.02, 0.2, 0.9])
        wrong = [None, bytes(24), true_points[rng.randrange(width - 1)]]
        answers = [rng.choice(wrong) if rng.random() < share else node for node in true_points]
        group, choice = play(answers, true_points)
        assert choice // isqrt(width) == group
        known = answered_points(said(answers, group), LEVEL, width)
        assert known == {point: answers[point - 1] for point in known}
        assert {choice, choice + 1} - {0, width} <= set(known)
        assert choice == 0 or known[choice] == true_points[choice - 1]
        assert choice == width - 1 or known[choice + 1] != true_points[choice]


@every_width
def test_known_points_grow_with_the_answers(width):
    answers, step = truth(width), isqrt(width)
    assert answered_points(Said(), LEVEL, width) == {}
    outlined = answered_points(said(answers), LEVEL, width)
    assert outlined == {point: answers[point - 1] for point in range(step, width, step)}
    for group in range(step):
        known = answered_points(said(answers, group), LEVEL, width)
        inside = range(step * group + 1, step * group + step)
        assert known == {point: answers[point - 1] for point in sorted({*outlined, *inside})}


@every_width
def test_what_was_not_heard_is_an_error(width):
    for unheard in (Said(), said(truth(width))):
        with pytest.raises(KeyError):
            choice_of_answers(unheard, LEVEL, truth(width))
    with pytest.raises(KeyError):
        pick_of_outline(Said(), LEVEL, truth(width))
