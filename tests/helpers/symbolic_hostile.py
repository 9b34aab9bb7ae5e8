"""What a hostile party may say in a symbolic game: statements that the leaves' own checks let pass.

A hostile prover says for nothing what any of its computations, the true one among them, would say, and mixes them as it
likes; a field that is false by itself, or a label without a node, costs one of its budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from symbolic_game import Option
from symbolic_position import NO_NODE, SymbolicPosition

from bitvm.game import side
from bitvm.game.computation import Computation
from bitvm.game.moves import Say, SayChoice, SayCommitment, SayStep
from bitvm.game.opening import (
    PathOpening,
    QuestionError,
    close_fields,
    entry_of,
    inside_fields,
    message_name,
    path_fields,
)
from bitvm.game.proofs import find_proof
from bitvm.game.prover import claim_statement
from bitvm.game.trace_list import interval_start, trace_root
from bitvm.graph.model import COVENANT, PROVER, Input, Template
from bitvm.leaves.fields import ENTRIES, READS, Kind
from bitvm.leaves.proof import Said
from bitvm.leaves.statement import FIELDS, words_of
from bitvm.leaves.step import ROOTS, step_index
from lvm.machine import StepRoots

GARBAGE = bytes([0xA5]) * 24


class Remembered:
    """A computation that computes everything once."""

    def __init__(self, computation: Computation) -> None:
        self.input_root, self.final_root = computation.input_root, computation.final_root
        self.accepted, self.start_root = computation.accepted, computation.start_root
        self.points: Callable[[int, int], tuple[bytes, ...]] = cache(computation.points)
        self.step: Callable[[int], StepRoots] = cache(computation.step)
        self._opening: Callable[[Kind, int], PathOpening] = cache(computation.opening)

    def opening(self, kind: Kind, index: int) -> PathOpening:
        return self._opening(kind, index)


def bare(template: Template) -> tuple[int, str, int]:
    """Return game, move and level of a template's name, 0 where there is none."""
    game, _, name = template.plain.rpartition("/")
    move, _, level = name.partition("_")
    return int(game or 0), move, int(level) if level.isdecimal() else 0


def wins(position: SymbolicPosition, template: Template) -> Iterator[Option] | None:
    """Return how a template is moved that says nothing: by a proof, if it holds, or a covenant; None for a message."""
    spent = template.inputs[0]
    assert isinstance(spent, Input)
    if COVENANT in spent.leaves or not spent.leaves:
        return iter([(0, None, None)])
    _, move, _ = bare(template)
    if move in ("Slash", "Reclaim", "Refute", "Dismiss"):
        number, _, _ = bare(template)
        found = find_proof(template, position.said(number))
        return iter([] if found is None else [(0, found.leaf, None)])
    return None


# ---- challenger


@dataclass(frozen=True)
class HostileChallenger:
    """Everything that a challenger can say; few: only a part of it, for games in which time is what counts."""

    few: bool = False

    def __call__(self, position: SymbolicPosition, template: Template) -> Iterable[Option]:
        silent = wins(position, template)
        if silent is not None:
            return silent
        width = position.graph.setting.parameters.width
        _, move, level = bare(template)
        if move == "Choice":
            return [(0, None, SayChoice(choice)) for choice in self._some(range(width))]
        root = int(width**0.5)
        values = {"Pick": range(root), "Ask": range(16), "Descend": range(8), "Narrow": range(4)}[move]
        path = {"Pick": f"Pick_{level}/group", "Ask": "Ask/kind", "Descend": "Descend/gap", "Narrow": "Narrow/gap"}
        return [(0, None, Say({path[move]: (value,)})) for value in self._some(values)]

    def _some(self, values: Sequence[int]) -> Sequence[int]:
        return (values[0], values[-1]) if self.few else values


# ---- prover


def flips(messages: Mapping[str, Any], no_node: object = None) -> Iterator[dict[str, Any]]:
    """Yield the messages with one of them changed: a bit of a node, the last symbol, or no node at all."""
    for path, message in messages.items():
        if isinstance(message, bytes):
            yield {**messages, path: bytes([message[0] ^ 1]) + message[1:]}
            if no_node is not None:
                yield {**messages, path: no_node}


def fitted(messages: Mapping[str, Any], said: Said, kind: Kind, image_root: bytes) -> dict[str, Any] | None:
    """Return the messages of Path with the nodes that were said before as they were said, None if one is no node."""
    a, m, b = (said.nodes[f"Step/{root}"] for root in ROOTS)
    level = messages["Path/where"][1]
    listed = said.nodes["Claim/trace_root"] if level < 2 else said.nodes[f"Reveal_{level}/trace_root"]
    top: dict[str, Any] = {"Path/top": a}
    if kind not in READS:
        top = {
            Kind.DATA: {"Path/top": a, "Path/top_after": m},
            Kind.STATE: {"Path/top": m, "Path/top_after": b},
            Kind.LEFT: {"Path/before_0": a, "Path/top": listed},
            Kind.RIGHT: {"Path/before_0": b, "Path/top": listed},
            Kind.START: {"Path/top": image_root, "Path/top_after": a, "Path/input": said.nodes["Claim/input_root"]},
        }[kind]
    return None if None in top.values() else {**messages, **top}


@dataclass
class HostileProver:
    """A prover that knows several computations. claims: which of them it claims."""

    computations: Sequence[Computation]
    claims: Sequence[Computation]
    _options: dict[object, tuple[Option, ...]] = field(default_factory=dict)

    def __call__(self, position: SymbolicPosition, template: Template) -> Iterable[Option]:
        silent = wins(position, template)
        if silent is not None:
            return silent
        known = (template.name, *((name, id(seen.transaction)) for name, seen in sorted(position.confirmed.items())))
        if known not in self._options:
            found: dict[str, Option] = {}
            for option in self._messages(position, template):
                found.setdefault(repr(option[1:]), option)
            self._options[known] = tuple(found.values())
        return self._options[known]

    def _messages(self, position: SymbolicPosition, template: Template) -> Iterator[Option]:
        number, move, level = bare(template)
        if move == "Claim":
            for computation in self.claims:
                yield from self._lists(claim_statement(computation))
            return
        if move == "Reveal":
            for points in self._points(position, number, level):
                yield from self._lists(SayCommitment({"trace_root": trace_root(points)}, points))
            return
        if move == "Step":
            yield from self._steps(position, number)
            return
        width = position.graph.setting.parameters.width
        if move in ("Outline", "Detail"):
            for points in self._points(position, number, level):
                if move == "Outline":
                    messages: Mapping[str, Any] = side.outline_messages(points, level, width)
                else:
                    group = position.said(number).words[f"pick_{level}.group"]
                    messages = side.detail_messages(points, level, width, group)
                yield from _said(None, messages, NO_NODE)
            return
        yield from self._answers(position, number, move)

    @staticmethod
    def _lists(honest: SayCommitment) -> Iterator[Option]:
        yield 0, None, honest
        yield 1, None, SayCommitment(honest.nodes, (GARBAGE, *honest.listed[1:]))
        for name in ("trace_root", "final_root"):
            if name in honest.nodes:
                yield 1, None, SayCommitment({**honest.nodes, name: NO_NODE}, honest.listed)  # type: ignore[dict-item]
                yield 1, None, SayCommitment({**honest.nodes, name: GARBAGE}, honest.listed)

    def _points(self, position: SymbolicPosition, number: int, level: int) -> Iterator[tuple[bytes, ...]]:
        parameters = position.graph.setting.parameters
        choices = [position.choice(number, r).choice for r in range(1, level)]
        start = interval_start(choices, parameters.width, parameters.levels)
        for computation in self.computations:
            yield computation.points(level, start)

    def _steps(self, position: SymbolicPosition, number: int) -> Iterator[Option]:
        parameters = position.graph.setting.parameters
        choices = tuple(position.choice(number, r).choice for r in range(1, parameters.levels + 1))
        index = step_index(choices, parameters.width)
        steps = [computation.step(index) for computation in self.computations]
        for step in steps:
            roots: dict[str, Any] = dict(zip(ROOTS, (step.a, step.m, step.b), strict=True))
            words = words_of(step.record)
            yield 0, None, SayStep(choices, roots, words)
            for other in steps:  # a step of one run between the roots of others
                for name, node in zip(ROOTS, (other.a, other.m, other.b), strict=True):
                    yield 1, None, SayStep(choices, {**roots, name: node}, words)
            for changed in flips(roots, NO_NODE):
                yield 1, None, SayStep(choices, changed, words)
            for name, word_field in FIELDS.items():
                flip = 1 << word_field.shift
                yield 1, None, SayStep(choices, roots, {**words, name: words[name] ^ flip})

    def _answers(self, position: SymbolicPosition, number: int, answer: str) -> Iterator[Option]:
        said = position.said(number)
        parameters = position.graph.setting.parameters
        gap, narrow = said.words.get("descend.gap", 0), said.words.get("narrow.gap", 0)
        if said.words["ask.kind"] > max(Kind):
            return
        kind = Kind(said.words["ask.kind"])
        index = step_index(said.choices, parameters.width)
        for computation in self.computations:
            try:
                if kind in ENTRIES:
                    entry_of(kind, said.choices, parameters.width)
                opening = computation.opening(kind, index)
                if answer == "Path":
                    messages: dict[str, Any] = path_fields(opening)
                else:
                    messages = inside_fields(opening, gap) if answer == "Inside" else close_fields(opening, gap, narrow)
            except QuestionError:
                continue
            leaf = message_name(answer, opening, gap)
            if answer != "Path":
                yield from _said(leaf, messages, None)
                continue
            yield 0, leaf, Say(messages)
            fits = fitted(messages, said, kind, parameters.image_root)
            if fits is not None:
                yield from _said(leaf, fits, None)
                where = messages["Path/where"]
                yield 1, leaf, Say({**fits, "Path/where": (*where[:2], where[2] ^ 1, *where[3:])})


def _said(leaf: str | None, messages: Mapping[str, Any], no_node: object) -> Iterator[Option]:
    yield 0, leaf, Say(messages)
    for changed in flips(messages, no_node):
        yield 1, leaf, Say(changed)
    for path, message in messages.items():
        if isinstance(message, tuple) and len(message) > 8:  # words of a leaf
            yield 1, leaf, Say({**messages, path: (message[0] ^ 1, *message[1:])})
        elif path == "Close/where":
            yield 1, leaf, Say({**messages, path: (*message[:2], message[2] ^ 1)})


def by_mover(
    prover: Callable[[SymbolicPosition, Template], Iterable[Option]], challenger: HostileChallenger
) -> Callable[[SymbolicPosition, Template], Iterable[Option]]:
    """Return the alphabet of a hostile prover with challengers of its own."""
    return lambda position, template: (prover if template.mover == PROVER else challenger)(position, template)
