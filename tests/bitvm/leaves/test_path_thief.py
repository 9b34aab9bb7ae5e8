"""A challenger that asks whatever it likes of an honest prover finds no proof, in any output of the graph.

Each output offers some proofs only. Here every proof there is gets all that the prover has signed in a whole game: what
another transaction signed must not help either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product
from random import Random

import pytest
from proofbench import Bench, list_height
from small_run import honest, image

from bitvm.game import side
from bitvm.game.hearing import said_of
from bitvm.game.opening import QuestionError, choices_of, close_fields, inside_fields, path_fields
from bitvm.game.trace_list import interval_start, trace_root
from bitvm.leaves.fields import ENTRIES, READS, WRITES, Kind
from bitvm.leaves.path.places import place_proofs
from bitvm.leaves.path.refutation import close_refutations, inside_refutations
from bitvm.leaves.path.restated import restated_proofs
from bitvm.leaves.path.turns import turn_proofs
from bitvm.leaves.path.words import word_proofs
from bitvm.leaves.proof import Proof, Said
from bitvm.leaves.side import comparisons
from bitvm.leaves.statement import GROUPS, nibbles_of, words_of
from bitvm.leaves.step import index_symbols
from bitvm.leaves.verdict import verdict_proofs
from lvm.boot import cpu_root

LEVELS, WIDTH = 2, 64
HALT = 662
STEPS = (0, 64, HALT, WIDTH**LEVELS - 1)
"""At both ends of the run, where A lies in list 1, and at the halt."""


@cache
def bench() -> Bench:
    return Bench(LEVELS, WIDTH)


@cache
def every_proof() -> tuple[Proof, ...]:
    return (
        *verdict_proofs(LEVELS, WIDTH),
        *place_proofs(LEVELS, WIDTH),
        *restated_proofs(LEVELS, image().root()),
        restated_proofs(LEVELS, None)[-1],
        *word_proofs(),
        *inside_refutations(WIDTH, cpu_root(image().entry)),
        *turn_proofs(),
        *close_refutations(),
        *comparisons("left", LEVELS, WIDTH),
        *comparisons("right", LEVELS, WIDTH),
    )


@cache
def before_ask(index: int) -> Said:
    """What the honest prover signs up to Step, after demands at both levels."""
    run, choices = honest(), choices_of(index, WIDTH, LEVELS)
    step = run.step(index)
    lists = {level: run.points(level, interval_start(choices[: level - 1], WIDTH, LEVELS)) for level in (1, 2)}
    messages: dict[str, object] = {
        "Claim/input_root": run.input_root,
        "Claim/trace_root": trace_root(lists[1]),
        "Claim/final_root": run.final_root,
        "Before/final_root": image().root(),
        "Reveal_2/trace_root": trace_root(lists[2]),
        "Step/root_before": step.a,
        "Step/root_written": step.m,
        "Step/root_after": step.b,
        "Step/index": index_symbols(choices, WIDTH),
        **{f"Step/{group}": nibbles_of(group, words_of(step.record)) for group in GROUPS},
    }
    for level, points in lists.items():
        messages |= side.outline_messages(points, level, WIDTH)
        messages |= side.detail_messages(points, level, WIDTH, choices[level - 1] // 8)
    return signed(messages)


def questions(kind: Kind) -> Iterator[tuple[int, int | None]]:
    """Every gap of Path with every gap of Inside."""
    if kind in (*READS, *WRITES):
        yield from product(range(3), range(4))
        yield 3, None
    else:
        yield from product(range(list_height(WIDTH) if kind in ENTRIES else 4), (None,))


def games(index: int, kind: Kind) -> Iterator[Said]:
    """All that the prover has said at the end of every game about one statement."""
    try:
        opening = honest().opening(kind, index)
    except QuestionError:
        return
    path = signed(path_fields(opening))
    for gap, narrow in questions(kind):
        close = {} if narrow is None else close_fields(opening, gap, narrow)
        yield together(before_ask(index), path, signed({**inside_fields(opening, gap), **close}))


def signed(messages: Mapping[str, object]) -> Said:
    return said_of(bench().signatures(messages), bench().public, WIDTH)


def together(*parts: Said) -> Said:
    words = {name: word for part in parts for name, word in part.words.items()}
    nodes = {path: node for part in parts for path, node in part.nodes.items()}
    signatures = {path: signature for part in parts for path, signature in part.signatures.items()}
    return Said(words, nodes, parts[0].choices, signatures)


def usable(said: Said) -> list[Proof]:
    return [proof for proof in every_proof() if said.signatures.keys() >= set(proof.keys)]


def holding(said: Said) -> list[str]:
    return [proof.name for proof in usable(said) if proof.wins(said) is not None]


@pytest.mark.parametrize("index", STEPS)
def test_nothing_that_an_honest_prover_signs_proves_anything(index: int) -> None:
    tried = set()
    for kind in Kind:
        for said in games(index, kind):
            assert not holding(said), kind.name
            tried |= {proof.name for proof in usable(said)}
    assert len(tried) > len(every_proof()) / 2


def test_no_hint_makes_script_accept_it() -> None:
    rng = Random(5)
    said = together(*games(HALT, Kind.MEM), *games(HALT, Kind.STATE))
    proofs = [proof for proof in usable(said) if not proof.large and 0 < len(proof.hints) < 3]
    assert {proof.name.partition(".")[0] for proof in proofs} >= {"place", "word", "unchanged", "compare", "final_root"}
    for proof in rng.sample(proofs, 25):
        for _ in range(3):
            hints = [rng.choice((rng.randrange(-1, 9), rng.randrange(40))) for _ in proof.hints]
            assert not bench().proof_accepts(proof, said.signatures, hints), (proof.name, hints)


def test_one_false_node_is_seen() -> None:
    """What holds above is no accident: with one other node in Path, some question leads to a proof."""
    for kind, path in ((Kind.STATE, "Path/after_1"), (Kind.LEFT, "Path/before_3"), (Kind.MEM, "Path/top")):
        wrong = signed({path: b"no node of the state tree"[:24]})
        assert any(holding(together(said, wrong)) for said in games(HALT, kind)), path
