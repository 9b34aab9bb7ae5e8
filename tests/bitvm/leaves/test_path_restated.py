"""Restated nodes: whole leaves under Core's engine accept every node that differs, and none that does not."""

from __future__ import annotations

from collections.abc import Sequence
from math import perm
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leafbench import Spender
from proofbench import Bench

from bitvm.leaves.fields import Kind, numbers
from bitvm.leaves.path.restated import restated_proofs
from bitvm.leaves.proof import Proof, Said, proof_builder
from bitvm.script.builder import ScriptBuilder, encode_number
from bitvm.script.onetime import NODE, NODE_USED, MessageError, Signature
from bitvm.script.onetime.scheme import Slot
from bitvm.script.weight import witness_weight

LEVELS = 3
BENCH = Bench(LEVELS)
PREVIOUS = bytes(range(24))
LATER = {proof.name: proof for proof in restated_proofs(LEVELS, None)}
FIRST = {proof.name: proof for proof in restated_proofs(LEVELS, PREVIOUS)}
TOP_A = LATER["restated.top.A"]
NODES = 1 << 192
LABELS = perm(54, 38)
CARRIES = 24
LARGEST = 2**31 - 1

CASES: dict[str, tuple[str, str, set[Kind], int | None]] = {
    "top.A": ("Step/root_before", "Path/top", set(Kind) - {Kind.STATE, Kind.LEFT, Kind.RIGHT, Kind.START}, None),
    "top.M": ("Step/root_written", "Path/top", {Kind.STATE}, None),
    "top.R_1": ("Claim/trace_root", "Path/top", {Kind.LEFT, Kind.RIGHT}, 1),
    "top.R_2": ("Reveal_2/trace_root", "Path/top", {Kind.LEFT, Kind.RIGHT}, 2),
    "top.R_3": ("Reveal_3/trace_root", "Path/top", {Kind.LEFT, Kind.RIGHT}, 3),
    "top.prev": ("Before/final_root", "Path/top", {Kind.START}, None),
    "top_after.M": ("Step/root_written", "Path/top_after", {Kind.DATA}, None),
    "top_after.B": ("Step/root_after", "Path/top_after", {Kind.STATE}, None),
    "top_after.A": ("Step/root_before", "Path/top_after", {Kind.START}, None),
    "before_0.A": ("Step/root_before", "Path/before_0", {Kind.LEFT}, None),
    "before_0.B": ("Step/root_after", "Path/before_0", {Kind.RIGHT}, None),
    "input": ("Claim/input_root", "Path/input", {Kind.START}, None),
}


def label_of(value: int) -> tuple[int, ...]:
    """The label of a value in 0 … 54!/16! - 1."""
    indices = []
    for slot in range(NODE.slots):
        value, index = divmod(value, NODE.list_size(slot))
        indices.append(index)
    assert value == 0
    return tuple(indices)


def value_of(label: Sequence[int]) -> int:
    return sum(index * perm(54, slot) for slot, index in enumerate(label))


def sign(proof: Proof, value: int, node: bytes, kind: int | None = None, level: int | None = None) -> Said:
    """A label of this value, restated as `node`, in answer to a question to which it is restated."""
    exact, restated, kinds, only_level = CASES[proof.name.removeprefix("restated.")]
    kind = min(kinds) if kind is None else kind
    level = (only_level or 0) if level is None else level
    where = (kind, level, *[3] * 6)
    signatures = BENCH.signatures({"Path/where": where, restated: node})
    signatures[exact] = BENCH.secret(exact).open(label_of(value))
    words = {"path.kind": kind, "path.level": level, "path.place": 0x333333}
    return Said(words, {restated: node, exact: number_node(value)}, (), signatures)


def number_node(value: int) -> bytes | None:
    return value.to_bytes(24, "little") if value < NODES else None


def accepts(proof: Proof, said: Said, hints: Sequence[int]) -> bool:
    return BENCH.proof_accepts(proof, said.signatures, hints)


def assert_refuted(proof: Proof, value: int, node: bytes) -> None:
    said = sign(proof, value, node)
    hints = proof.wins(said)
    assert hints is not None
    assert accepts(proof, said, hints)


def division(value: int) -> list[int]:
    """The true carries where a number is restated as itself, and `wins` gives none; they are not all 0.

    They are those of a number that differs in bit 191 alone, but for the last one.
    """
    said = sign(TOP_A, value, (value ^ 1 << 191).to_bytes(24, "little"))
    hints = TOP_A.wins(said)
    assert hints is not None
    return [*hints[:-1], 0]


values = st.one_of(
    st.integers(0, LABELS - 1),
    st.integers(NODES, LABELS - 1),
    st.sampled_from([0, 1, NODES - 1, NODES, LABELS - 1]),
)
equal_values = st.one_of(st.integers(0, NODES - 1), st.sampled_from([0, 1, 255, 256, NODES - 1]))


def test_the_label_is_read_as_the_scheme_reads_it() -> None:
    node = Random(1).randbytes(24)
    assert NODE.encode(node) == label_of(int.from_bytes(node, "little"))
    assert NODE.decode(label_of(NODES - 1)) == b"\xff" * 24
    assert value_of(label_of(LABELS - 1)) == LABELS - 1


# ---- another node is refuted


@settings(max_examples=60)
@given(values, st.binary(min_size=24, max_size=24))
def test_any_other_node_is_refuted(value: int, node: bytes) -> None:
    if value != int.from_bytes(node, "little"):
        assert_refuted(TOP_A, value, node)


def near(value: int, rng: Random) -> set[int]:
    """Numbers that differ from `value` little, or by what a sloppy comparison overlooks."""
    places = [perm(54, slot) for slot in range(39)]
    steps = [1, 255, 256, LABELS, NODES, LABELS - NODES, *places, *(1 << 4 * k for k in range(49)), 997, 1_048_573]
    others = {value + sign * step for step in steps for sign in (1, -1)}
    others |= {value ^ rng.randrange(1, 256) << 8 * place for place in range(24)}
    return {other for other in others if 0 <= other < NODES and other != value}


@pytest.mark.parametrize("seed", range(2))
def test_nodes_that_differ_by_one_place_are_refuted(seed: int) -> None:
    rng = Random(seed)
    value = rng.randrange(NODES)
    for other in sorted(near(value, rng)):
        assert_refuted(TOP_A, value, other.to_bytes(24, "little"))


def test_labels_that_encode_no_node_are_refuted_whatever_they_are_restated_as() -> None:
    rng = Random(3)
    for value in (NODES, NODES + 1, LABELS - 1, *(rng.randrange(NODES, LABELS) for _ in range(10))):
        for number in {value - NODES, NODES - 1, 0, rng.randrange(NODES)}:
            assert_refuted(TOP_A, value, number.to_bytes(24, "little"))


def test_a_last_carry_that_cancels_the_remainders_is_seen() -> None:
    """With V - N = 256^l - 256^24 the last carry is -1 and the only remainder 1."""
    for place in range(24):
        for value in (0, 256**place - 1):
            assert_refuted(TOP_A, value, (NODES + value - 256**place).to_bytes(24, "little"))


def extreme_labels() -> list[tuple[tuple[int, ...], bytes]]:
    """For each byte of the sum the label and node that make it largest, and smallest."""
    largest = [NODE.list_size(slot) - 1 for slot in range(NODE.slots)]
    found = []
    for byte in range(24):
        for wanted in (1, -1):
            label = [0] * NODE.slots
            for first in range(0, NODE.slots, 3):
                weight, total = perm(54, first), 0
                for bit in range(200):
                    digit = 2 - weight % 4 if weight % 2 else 0
                    weight = (weight - digit) // 2
                    if bit // 8 == byte:
                        total += digit << bit % 8
                if total * wanted > 0:
                    label[first : first + 3] = largest[first : first + 3]
            if any(label):
                found.append((tuple(label), bytes(24) if wanted > 0 else b"\xff" * 24))
    return found


def test_no_intermediate_sum_is_too_large_for_script() -> None:
    extremes = extreme_labels()
    assert len(extremes) > 40
    for label, node in extremes:
        assert_refuted(TOP_A, value_of(label), node)


# ---- the same node is not


@settings(max_examples=40)
@given(equal_values, st.data())
def test_the_same_node_is_never_refuted(value: int, data: st.DataObject) -> None:
    said = sign(TOP_A, value, value.to_bytes(24, "little"))
    assert TOP_A.wins(said) is None
    true = division(value)
    assert not accepts(TOP_A, said, true)
    wrong = data.draw(st.lists(st.tuples(st.integers(0, CARRIES - 1), st.integers(-2, 2)), max_size=6))
    hints = list(true)
    for place, step in wrong:
        hints[place] += step
    assert not accepts(TOP_A, said, hints)
    anything = data.draw(st.lists(st.integers(-LARGEST, LARGEST), min_size=CARRIES, max_size=CARRIES))
    assert not accepts(TOP_A, said, anything)


@pytest.mark.parametrize("value", [0, NODES - 1, Random(7).randrange(NODES)])
def test_no_single_hint_refutes_the_same_node(value: int) -> None:
    said = sign(TOP_A, value, value.to_bytes(24, "little"))
    true = division(value)
    extremes = (1, -1, 256, -256, 1 << 23, 1 << 24, -(1 << 24), 1 << 30, -(1 << 30), LARGEST, -LARGEST)
    for place in range(CARRIES):
        for step in (*extremes, LARGEST - true[place], -LARGEST - true[place]):
            hints = [*true[:place], true[place] + step, *true[place + 1 :]]
            assert not accepts(TOP_A, said, hints), (place, step)


def test_no_wrong_carry_refutes_even_another_node() -> None:
    """The carries are unique: a hint is no freedom."""
    value, other = 5 << 90, 6 << 90
    said = sign(TOP_A, value, other.to_bytes(24, "little"))
    true = TOP_A.wins(said)
    assert true is not None
    for place in range(CARRIES):
        for step in (1, -1):
            assert not accepts(TOP_A, said, [*true[:place], true[place] + step, *true[place + 1 :]])


def test_other_encodings_of_hints_change_nothing() -> None:
    value = Random(9).randrange(NODES)
    same = sign(TOP_A, value, value.to_bytes(24, "little"))
    other = sign(TOP_A, value, (value ^ 1 << 100).to_bytes(24, "little"))
    hints = TOP_A.wins(other)
    assert hints is not None
    assert spend_items(other, [padded(hint, 4) for hint in hints])
    assert spend_items(other, [encode_number(hint) for hint in hints])
    for strange in (b"\x80", b"\x00\x80", bytes(4), bytes(5), b"\xff" * 5, b"\x01" * 20, bytes(80)):
        for place in range(CARRIES):
            items = [encode_number(hint) for hint in division(value)]
            items[place] = strange
            assert not spend_items(same, items), (place, strange)


def padded(number: int, size: int) -> bytes:
    """The number in `size` bytes."""
    body = bytearray(abs(number).to_bytes(size, "little"))
    body[-1] |= 0x80 if number < 0 else 0
    return bytes(body)


def spend_items(said: Said, hint_items: Sequence[bytes], pad_digits: int = 0) -> bool:
    """Spend the leaf of top.A with these hint items, the digits of the signatures in so many bytes."""
    leaf = BENCH.proof_leaf(TOP_A)
    spender = Spender(leaf.script)
    items = leaf.witness([BENCH.challenger.sign(spender.sighash())], said.signatures, [0] * CARRIES)
    items[-1 - CARRIES : -1] = hint_items
    digits = sum(BENCH.public[path].scheme.slots for path in TOP_A.keys)
    if pad_digits:
        items[:digits] = [item.ljust(pad_digits, b"\x00") for item in items[:digits]]
    return spender.accepts(items)


def test_other_encodings_of_indices_change_nothing() -> None:
    value = Random(10).randrange(NODES)
    same = sign(TOP_A, value, value.to_bytes(24, "little"))
    other = sign(TOP_A, value, (value ^ 1 << 7).to_bytes(24, "little"))
    hints = TOP_A.wins(other)
    assert hints is not None
    for size in (1, 2, 4):
        assert spend_items(other, list(map(encode_number, hints)), size)
        assert not spend_items(same, list(map(encode_number, division(value))), size)


def test_every_index_vector_of_the_restated_node_counts_as_that_node() -> None:
    """`NODE_USED` clamps an index past the last value of its digit: several vectors are one node."""
    node = b"\xff" * 24
    indices = list(NODE_USED.encode(node))
    layout = NODE_USED.layout
    clamped = [slot for slot in range(NODE_USED.slots) if NODE_USED.list_size(slot) > 1 << layout.bits[slot]]
    for slot in clamped:
        indices[slot] = NODE_USED.list_size(slot) - 1
    assert tuple(indices) != NODE_USED.encode(node)
    assert NODE_USED.decode(indices) == node
    said = sign(TOP_A, NODES - 1, node)
    signatures: dict[str, Signature] = {**said.signatures, "Path/top": BENCH.secret("Path/top").open(indices)}
    alias = Said(said.words, said.nodes, (), signatures)
    assert TOP_A.wins(alias) is None
    assert not accepts(TOP_A, alias, division(NODES - 1))
    assert not accepts(TOP_A, alias, [0] * CARRIES)
    wrong = sign(TOP_A, NODES - 2, node)
    alias = Said(wrong.words, wrong.nodes, (), {**wrong.signatures, "Path/top": signatures["Path/top"]})
    hints = TOP_A.wins(alias)
    assert hints is not None
    assert accepts(TOP_A, alias, hints)


# ---- every pair


def test_names_and_keys() -> None:
    assert set(LATER) == {f"restated.{name}" for name in CASES} == set(FIRST)
    for name, (exact, restated, _, _) in CASES.items():
        assert LATER[f"restated.{name}"].keys == ("Path/where", exact, restated)
    assert FIRST["restated.top.prev"].keys == ("Path/where", "Path/top")
    assert len(restated_proofs(5, None)) == 14


@pytest.mark.parametrize("name", CASES)
def test_each_pair_is_judged_for_its_questions_only(name: str) -> None:
    proof, rng = LATER[f"restated.{name}"], Random(name)
    value = rng.randrange(NODES)
    node = (value ^ 1 << rng.randrange(192)).to_bytes(24, "little")
    _, _, kinds, only_level = CASES[name]
    hints = proof.wins(sign(proof, value, node))
    assert hints is not None
    for kind in range(16):
        for level in (0, 1, 2, 3, 15) if only_level else (0, 2):
            said = sign(proof, value, node, kind, level)
            due = kind in kinds and only_level in (None, level)
            assert proof.wins(said) == (hints if due else None)
            assert accepts(proof, said, hints) == due, (kind, level)
            same = sign(proof, value, value.to_bytes(24, "little"), kind, level)
            assert proof.wins(same) is None
            assert not accepts(proof, same, hints)


def test_a_signature_of_another_key_does_not_serve() -> None:
    value = 1 << 70
    said = sign(TOP_A, value, bytes(24))
    hints = TOP_A.wins(said)
    assert hints is not None
    forged = {**said.signatures, "Step/root_before": BENCH.secret("Step/root_after").open(label_of(value))}
    assert not accepts(TOP_A, Said(said.words, {}, (), forged), hints)
    slots = said.signatures["Step/root_before"].slots
    other = Signature((Slot(slots[0].index ^ 1, slots[0].secret), *slots[1:]))
    assert not accepts(TOP_A, Said(said.words, {}, (), {**said.signatures, "Step/root_before": other}), hints)


# ---- the root of the image


@settings(max_examples=30)
@given(st.one_of(st.binary(min_size=24, max_size=24), st.integers(0, 191).map(lambda bit: flipped(PREVIOUS, bit))))
def test_the_first_root_is_compared_with_a_constant(node: bytes) -> None:
    proof = FIRST["restated.top.prev"]
    for kind in (Kind.START, Kind.RIGHT, Kind.CONTROL, 10):
        words = {"path.kind": int(kind), "path.level": 0}
        said = Said(words, {}, (), BENCH.signatures({"Path/where": (kind, *[0] * 7), "Path/top": node}))
        due = kind == Kind.START and node != PREVIOUS
        assert proof.wins(said) == (() if due else None)
        assert accepts(proof, said, ()) == due


def flipped(node: bytes, bit: int) -> bytes:
    return (int.from_bytes(node, "little") ^ 1 << bit).to_bytes(24, "little")


def test_the_first_root_itself_is_not_refuted() -> None:
    proof = FIRST["restated.top.prev"]
    signatures = BENCH.signatures({"Path/where": (Kind.START, *[0] * 7), "Path/top": PREVIOUS})
    said = Said({"path.kind": Kind.START, "path.level": 0}, {}, (), signatures)
    assert proof.wins(said) is None
    assert not accepts(proof, said, ())


@pytest.mark.parametrize("size", [0, 20, 23, 25, 32])
def test_the_first_root_has_24_bytes(size: int) -> None:
    with pytest.raises(MessageError):
        restated_proofs(LEVELS, bytes(size))


# ---- sizes


def test_weights_and_stacks() -> None:
    for proof in (*LATER.values(), *FIRST.values()):
        leaf = BENCH.proof_leaf(proof)
        items = [bytes(size) for size in leaf.item_sizes()]
        control_block = bytes(33 + 32 * 8)
        assert witness_weight([*items, leaf.script, control_block]) < 11_000
        body = proof_builder(proof, BENCH.public)
        proof.body(body)
        assert body.peak < 200
        assert not body.alt


def test_the_numbers_are_called_as_the_body_expects() -> None:
    body: ScriptBuilder = proof_builder(TOP_A, BENCH.public)
    top_first = body.stack[::-1]
    assert top_first[:2] == ["path.kind", "path.level"]
    assert tuple(top_first[8:46]) == numbers("Step/root_before", NODE)
    assert tuple(top_first[46:]) == numbers("Path/top", NODE_USED)
