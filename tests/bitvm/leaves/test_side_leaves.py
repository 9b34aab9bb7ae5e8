"""The side path's messages, and the proofs that a root of Step is not the point that was answered.

What the proofs must say is derived here from the number of the state, t on the left and t + 1 on the right. Of a run
of k^m steps, state s is an interior point of the list whose points lie k^(m-r) steps apart and not k^(m-r+1), and it is
point s / k^(m-r) mod k of it.
"""

import hashlib
import random
from functools import cache
from itertools import product
from math import isqrt

import pytest
from leafbench import Spender
from proofbench import Bench

from bitvm.leaves.authority import WitnessError
from bitvm.leaves.proof import Said
from bitvm.leaves.side import comparisons, detail_message, outline_message, pick_message
from bitvm.leaves.step import index_symbols
from bitvm.script.builder import encode_number
from bitvm.script.onetime import NODE, NotANodeError

SIDES = ("left", "right")
ROOTS = {"left": "Step/root_before", "right": "Step/root_after"}
GAMES = [(1, 4), (3, 4), (5, 4), (2, 16), (5, 16), (1, 64), (5, 64)]

every_game = pytest.mark.parametrize(("levels", "width"), GAMES)
every_side = pytest.mark.parametrize("side", SIDES)


@cache
def bench(levels, width):
    return Bench(levels, width)


def state(number):
    return hashlib.sha256(b"state %d" % number).digest()[:24]


def step_number(choices, width):
    number = 0
    for choice in choices:
        number = width * number + choice
    return number


def selected(side, choices, width):
    """Level and point that the choices select, None at an end of the run."""
    number = step_number(choices, width) + (side == "right")
    for level in range(len(choices), 0, -1):
        number, point = divmod(number, width)
        if point:
            return level, point
    return None


def leaf_of(level, point, width, side):
    """Name of the leaf for a point."""
    group, inside = divmod(point, isqrt(width))
    return f"compare.{side}.outline_{level}_{group}" if not inside else f"compare.{side}.detail_{level}_{inside}"


def some_choices(levels, width, rng):
    """Choices with many zeros and largest ones, at the end above all."""
    edge = isqrt(width)
    values = [0, width - 1, edge, edge - 1, rng.randrange(width), rng.randrange(width)]
    choices = [rng.choice(values) for _ in range(levels)]
    tail = rng.randrange(levels + 1)
    return tuple(choices[: levels - tail] + [rng.choice([0, width - 1])] * tail)


class Story:
    """What an honest prover signs when every list is demanded, and lies put into it."""

    def __init__(self, game, choices, groups):
        self.game, self.choices, self.groups = game, choices, groups
        width, step = game.width, isqrt(game.width)
        self.messages = {"Step/index": index_symbols(choices, width)}
        number = step_number(choices, width)
        self.messages |= {"Step/root_before": state(number), "Step/root_after": state(number + 1)}
        for level, group in enumerate(groups, start=1):
            apart = width ** (game.levels - level)
            start = step_number(choices[: level - 1], width) * width * apart
            self.messages[f"Detail_{level}/group"] = (group,)
            for i in range(1, step):
                self.messages[f"Outline_{level}/point_{i}"] = state(start + step * i * apart)
                self.messages[f"Detail_{level}/point_{i}"] = state(start + (step * group + i) * apart)
        self.labels = {}

    @classmethod
    def some(cls, game, rng):
        """Lists are demanded with the groups of the points that count, or with others."""
        choices = some_choices(game.levels, game.width, rng)
        step = isqrt(game.width)
        groups = [rng.choice([choice // step, min(choice + 1, game.width - 1) // step]) for choice in choices]
        if rng.random() < 0.2:
            groups[rng.randrange(game.levels)] = rng.randrange(step)
        return cls(game, choices, groups)

    def signature(self, path):
        secret = self.game.secret(path)
        return secret.open(self.labels[path]) if path in self.labels else secret.sign(self.messages[path])

    def said(self):
        """With a scheme's message to every key, signed where it is looked at."""
        words = {f"detail_{level}.group": group for level, group in enumerate(self.groups, start=1)}
        return Said(words, {}, self.choices, _Lazy(self.signature))

    def accepts(self, proof, hint):
        return self.game.proof_accepts(proof, {path: self.signature(path) for path in proof.keys}, (hint,))

    def wins(self, proofs):
        said = self.said()
        return {proof.name: hints for proof in proofs if (hints := proof.wins(said)) is not None}


class _Lazy(dict):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, path):
        self[path] = self.make(path)
        return self[path]


# ---- catalogue


@every_side
@every_game
def test_there_is_one_leaf_a_point(side, levels, width):
    proofs = comparisons(side, levels, width)
    names = {leaf_of(level, point, width, side) for level in range(1, levels + 1) for point in range(1, width)}
    assert sorted(names) == sorted(proof.name for proof in proofs)
    assert all(set(proof.keys) <= set(bench(levels, width).public) for proof in proofs)


# ---- proofs


@every_side
@every_game
def test_a_root_that_contradicts_an_answer_loses(side, levels, width):
    rng = random.Random(f"contradiction {side} {levels} {width}")
    game, proofs = bench(levels, width), comparisons(side, levels, width)
    by_name = {proof.name: proof for proof in proofs}
    caught = 0
    while caught < 6:
        story = Story.some(game, rng)
        true_label = story.signature(ROOTS[side]).indices
        node = story.messages[ROOTS[side]]
        story.messages[ROOTS[side]] = _lie(node, rng)
        won = story.wins(proofs)
        place = selected(side, story.choices, width)
        if place is None or _group_hides(place, story):
            assert not won
            continue
        caught += 1
        name = leaf_of(*place, width, side)
        assert list(won) == [name]
        label = story.signature(ROOTS[side]).indices
        differing = [slot for slot in range(NODE.slots) if label[slot] != true_label[slot]]
        assert won[name] == (differing[0],)
        hints = {differing[0], differing[-1], *rng.sample(range(NODE.slots), 3), -1, 38, 39, 76, 2**31 - 1, -38}
        for hint in hints:
            assert story.accepts(by_name[name], hint) == (hint in differing), (name, hint)
        for other in rng.sample(proofs, min(3, len(proofs))):
            assert story.accepts(other, differing[0]) == (other.name == name), (name, other.name)


def _lie(node, rng):
    """Another node that differs in the lowest bit, the highest bit, or everywhere."""
    masks = [b"\x01" + bytes(23), bytes(23) + b"\x80", rng.randbytes(24)]
    return bytes(one ^ other for one, other in zip(node, rng.choice(masks), strict=True))


def _group_hides(place, story):
    """Whether the selected point lies in a group that was not picked."""
    level, point = place
    group, inside = divmod(point, isqrt(story.game.width))
    return bool(inside) and story.groups[level - 1] != group


@every_side
@every_game
def test_the_truth_never_loses_whatever_the_hint(side, levels, width):
    rng = random.Random(f"truth {side} {levels} {width}")
    game, proofs = bench(levels, width), comparisons(side, levels, width)
    by_name = {proof.name: proof for proof in proofs}
    for _ in range(6):
        story = Story.some(game, rng)
        assert not story.wins(proofs)
        place = selected(side, story.choices, width)
        if place is not None and not _group_hides(place, story):
            proof = by_name[leaf_of(*place, width, side)]
            assert not any(story.accepts(proof, hint) for hint in (*range(-2, NODE.slots + 3), 76, 77, -77))
        for proof in rng.sample(proofs, min(4, len(proofs))):
            assert not story.accepts(proof, rng.randrange(NODE.slots)), proof.name


@every_side
@pytest.mark.parametrize(("levels", "width"), [(2, 4), (2, 16)])
def test_every_leaf_serves_its_point_and_no_other(side, levels, width):
    """All labels differ from each other, so a leaf accepts if and only if the index selects its point."""
    game, proofs = bench(levels, width), comparisons(side, levels, width)
    step = isqrt(width)
    rng = random.Random(f"selection {side} {width}")
    everything = list(product(range(width), repeat=levels))
    for proof in proofs:
        for choices in rng.sample(everything, min(len(everything), 40)) + _around(proof, side, levels, width):
            groups = [rng.choice([choice // step, (choice + 1) % width // step]) for choice in choices]
            story = Story(game, choices, groups)
            for path in proof.keys[-2:]:
                story.messages[path] = hashlib.sha256(path.encode()).digest()[:24]
            place = selected(side, choices, width)
            right = place is not None and leaf_of(*place, width, side) == proof.name and not _group_hides(place, story)
            hints = proof.wins(story.said())
            assert (hints is not None) == right
            assert story.accepts(proof, 0 if hints is None else hints[0]) == right, (proof.name, choices)


def _around(proof, side, levels, width):
    """Choices that select the leaf's points, and those that miss by one in a choice."""
    end = 0 if side == "left" else width - 1
    found = [
        choices
        for choices in product(range(width), repeat=levels)
        if (place := selected(side, choices, width)) and leaf_of(*place, width, side) == proof.name
    ]
    near = {(*found[0][:-1], choice) for choice in (end, 1, width - 2, (found[0][-1] + 1) % width)}
    return found[:4] + sorted(near)


@every_side
def test_a_label_that_is_no_node_loses(side):
    """The root's label encodes no node, or the point's does: they differ, and one of them is the prover's lie."""
    levels, width = 2, 16
    game = bench(levels, width)
    label = tuple(NODE.list_size(slot) - 1 for slot in range(NODE.slots))
    with pytest.raises(NotANodeError):
        NODE.decode(label)
    choices = (6, 5)
    level, point = selected(side, choices, width)
    proof = {each.name: each for each in comparisons(side, levels, width)}[leaf_of(level, point, width, side)]
    for path in proof.keys[-2:]:
        story = Story(game, choices, [1, 1])
        story.labels[path] = label
        (slot,) = proof.wins(story.said())
        assert story.accepts(proof, slot)
    story.labels = dict.fromkeys(proof.keys[-2:], label)
    assert proof.wins(story.said()) is None
    assert not any(story.accepts(proof, slot) for slot in range(NODE.slots))


@every_side
def test_the_encoding_of_symbols_indices_and_hint_does_not_matter(side):
    levels, width = 3, 16
    game = bench(levels, width)
    rng = random.Random(f"encodings {side}")
    choices = (3, 5, 0) if side == "left" else (3, 5, 15)
    level, point = selected(side, choices, width)
    assert level == 2
    proof = {each.name: each for each in comparisons(side, levels, width)}[leaf_of(level, point, width, side)]
    leaf = game.proof_leaf(proof)
    spender = Spender(leaf.script)
    schnorr = [game.challenger.sign(spender.sighash())]
    digits = sum(game.public[path].scheme.slots for path in proof.keys)
    story = Story(game, choices, [1, 1, 1])
    for lying in (False, True):
        if lying:
            story.messages[ROOTS[side]] = _lie(story.messages[ROOTS[side]], rng)
        hint = (proof.wins(story.said()) or (0,))[0]
        items = leaf.witness(schnorr, {path: story.signature(path) for path in proof.keys}, (hint,))
        for _ in range(10):
            strange = [_padded(item, rng) for item in items[:digits]] + items[digits:-2] + [_padded(items[-2], rng)]
            assert spender.accepts([*strange, items[-1]]) == lying
        for unreadable in (bytes(5), encode_number(hint).ljust(5, b"\0"), rng.randbytes(20)):
            assert not spender.accepts([*items[:-2], unreadable, items[-1]])


def _padded(item, rng):
    body = item.ljust(rng.randint(len(item), 4), b"\0")
    return body[:-1] + b"\x80" if body and not any(body) and rng.random() < 0.5 else body


# ---- messages


@pytest.mark.parametrize("width", [4, 16, 64])
@pytest.mark.parametrize("level", [1, 4])
def test_outline_signs_all_points(level, width):
    game, message = bench(5, width), outline_message(level, width)
    assert message.own == tuple(f"Outline_{level}/point_{i}" for i in range(1, isqrt(width)))
    signatures = game.signatures({path: state(number) for number, path in enumerate(message.own)})
    assert game.message_accepts(message, signatures)
    leaf = game.message_leaf(message)
    assert leaf.decode(game.message_witness(message, signatures)) == signatures
    stranger = Bench(5, width, seed=2).signatures({message.own[-1]: state(0)})
    assert not game.message_accepts(message, {**signatures, **stranger})


@pytest.mark.parametrize("width", [4, 16, 64])
def test_pick_signs_a_group_in_range(width):
    game, message = bench(5, width), pick_message(3, width)
    leaf, spender = game.message_leaf(message), Spender(game.message_leaf(message).script)
    schnorr = [key.sign(spender.sighash()) for key in (game.prover, game.challenger)]
    for group in range(isqrt(width)):
        signatures = game.signatures({"Pick_3/group": (group,)})
        items = leaf.witness(schnorr, signatures)
        assert spender.accepts(items)
        assert leaf.decode(items)["Pick_3/group"].indices == (group,)
        for other in {*range(-2, isqrt(width) + 3), 127} - {group}:
            forged = [encode_number(other), *items[1:]]
            assert not spender.accepts(forged)
            with pytest.raises(WitnessError):
                leaf.decode(forged)


@pytest.mark.parametrize("width", [4, 16, 64])
def test_detail_answers_the_group_that_was_picked(width):
    game, message, step = bench(5, width), detail_message(2, width), isqrt(width)
    assert "Pick_2/group" not in message.own
    shown = game.signatures({path: state(number) for number, path in enumerate(message.shown)})
    assert message.own == (*shown, "Detail_2/group")
    rng = random.Random(f"detail {width}")
    pairs = list(product(range(step), repeat=2))
    for own, picked in rng.sample(pairs, min(len(pairs), 16)) + [(group, group) for group in range(step)]:
        groups = game.signatures({"Detail_2/group": (own,), "Pick_2/group": (picked,)})
        assert game.message_accepts(message, shown | groups) == (own == picked)


def test_detail_takes_the_picked_group_from_pick_2_only():
    """The challenger's signature of another level's pick, or the prover's own, does not pass for it."""
    game, message = bench(5, 16), detail_message(2, 16)
    signatures = game.signatures({path: state(1) for path in message.shown} | {"Detail_2/group": (1,)})
    for path in ("Pick_1/group", "Pick_3/group", "Detail_2/group", "Detail_1/group"):
        foreign = game.secret(path).sign((1,))
        assert not game.message_accepts(message, signatures | {"Pick_2/group": foreign})
    assert game.message_accepts(message, signatures | game.signatures({"Pick_2/group": (1,)}))
