"""The proofs against Step that need no path: whole leaves under Core's engine, both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import perm
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from leafbench import Spender, step_of
from proofbench import Bench
from steps import random_step

from bitvm.leaves.proof import Proof, Said
from bitvm.leaves.statement import OPERATION, STATUS, nibbles_of, words_of
from bitvm.leaves.step import index_symbols
from bitvm.leaves.verdict import verdict_proofs
from bitvm.script.builder import encode_number
from bitvm.script.onetime import NODE
from bitvm.script.weight import witness_weight
from lvm import isa
from lvm.outcome import HALTED_BY_ECALL, HALTED_BY_FAULT, Outcome

LEVELS, WIDTH = 3, 64
BENCH = Bench(LEVELS, WIDTH)
PROOFS = {proof.name: proof for proof in verdict_proofs(LEVELS, WIDTH)}
NO_WRITE = tuple(proof for name, proof in PROOFS.items() if name.startswith("no_write."))
FINAL_ROOT, ACCEPTED = PROOFS["final_root"], PROOFS["accepted"]
LAST = (WIDTH - 1,) * LEVELS
LABELS = perm(54, 38)
STRANGE_SLOTS = (-1, -2, 38, 39, 40, 75, 76, 100, 127, -(2**31) + 1, 2**31 - 1)

Label = tuple[int, ...]


def random_label(rng: Random) -> Label:
    """Any label; every second one or so encodes no node."""
    return tuple(rng.randrange(NODE.list_size(slot)) for slot in range(NODE.slots))


def changed(label: Label, slot: int, rng: Random) -> Label:
    """The label with another index in one slot."""
    size = NODE.list_size(slot)
    return (*label[:slot], (label[slot] + rng.randrange(1, size)) % size, *label[slot + 1 :])


def say(
    words: Mapping[str, int] | None = None,
    labels: Mapping[str, Label] | None = None,
    choices: Sequence[int] | None = None,
) -> Said:
    """What the prover says: Step's words, labels by path, the index."""
    signatures = {path: BENCH.secret(path).open(label) for path, label in (labels or {}).items()}
    if words is not None:
        groups = {f"Step/{group}": nibbles_of(group, words) for group in (OPERATION, STATUS)}
        signatures |= BENCH.signatures(groups)
    if choices is not None:
        signatures |= BENCH.signatures({"Step/index": index_symbols(choices, WIDTH)})
    return Said(words or {}, {}, tuple(choices or ()), signatures)


def accepts(proof: Proof, said: Said, hints: Sequence[int]) -> bool:
    return BENCH.proof_accepts(proof, said.signatures, hints)


def a_and_m(words: Mapping[str, int], before: Label, written: Label) -> Said:
    return say(words, {"Step/root_before": before, "Step/root_written": written})


# ---- M is A where nothing is written


def reasons(words: Mapping[str, int]) -> set[str]:
    """Why a step writes no data word, said in the words of the manual rather than in those of the module."""
    opcode, register = words["instr"] % 128, words["instr"] // 128 % 32
    found = set()
    if words["outcome"] != Outcome.RETIRE:
        found.add("no_write.outcome")
    if opcode in (0b1100011, 0b0001111):
        found.add("no_write.no_rd")
    if register == 0 and opcode != 0b0100011:
        found.add("no_write.x0")
    return found


def assert_judged(words: Mapping[str, int], rng: Random) -> None:
    """Each no_write proof accepts another M if its reason applies, at the slots that differ; it never accepts M = A."""
    before = random_label(rng)
    slot = rng.randrange(NODE.slots)
    lie = a_and_m(words, before, changed(before, slot, rng))
    true = a_and_m(words, before, before)
    for proof in NO_WRITE:
        due = proof.name in reasons(words)
        assert proof.wins(lie) == ((slot,) if due else None), proof.name
        assert accepts(proof, lie, (slot,)) == due, proof.name
        assert not accepts(proof, lie, ((slot + 1) % NODE.slots,))
        assert proof.wins(true) is None
        assert not accepts(proof, true, (slot,))


@pytest.mark.parametrize("user", [False, True])
def test_the_reasons_are_those_of_the_machine(user: bool) -> None:
    """Every record without a write address has a reason, and none with one has."""
    rng = Random(5)
    seen = set()
    for name in isa.INSTRUCTIONS:
        for _ in range(12):
            record = random_step(rng, name, user=user)
            words = words_of(record)
            assert bool(reasons(words)) == (record.write_address is None), record
            seen |= reasons(words)
            said = a_and_m(words, *[random_label(rng) for _ in range(2)])
            assert {proof.name for proof in NO_WRITE if proof.wins(said) is not None} == reasons(words)
    assert seen == {proof.name for proof in NO_WRITE}


def test_random_steps_are_judged() -> None:
    rng = Random(6)
    for name in isa.INSTRUCTIONS:
        assert_judged(words_of(random_step(rng, name)), rng)


@pytest.mark.parametrize("low", range(16))
def test_every_opcode_and_register(low: int) -> None:
    """All 128 opcodes, legal or not, with x0, registers with one bit set, and retired."""
    rng = Random(low)
    base = step_of(isa.addi(1, 0, 5))
    for high in range(8):
        for rd in {0, 1, 2, 16, rng.randrange(32)}:
            instr = rng.getrandbits(20) << 12 | rd << 7 | high << 4 | low
            words = {**base, "instr": instr, "outcome": int(Outcome.RETIRE)}
            said = a_and_m(words, (0,) * 38, (*[0] * 37, 1))
            for proof in NO_WRITE:
                due = proof.name in reasons(words)
                assert proof.wins(said) == ((37,) if due else None)
                assert accepts(proof, said, (37,)) == due, (proof.name, instr)


@pytest.mark.parametrize("outcome", range(16))
def test_every_outcome(outcome: int) -> None:
    rng = Random(outcome)
    for instr in (isa.addi(1, 0, 5), isa.sw(1, 0, 64), isa.beq(1, 1, 8), isa.fence(), isa.addi(0, 1, 1), isa.ecall()):
        assert_judged({**step_of(instr), "outcome": outcome}, rng)


def test_stores_write_whatever_their_rd_field_is() -> None:
    """Bits 11:7 of a store belong to its offset."""
    for offset in range(32):
        words = step_of(isa.sw(2, 1, offset & ~3), rs1=0x1000, rs2=7)
        words = {**words, "instr": words["instr"] & ~(31 << 7) | offset << 7}
        said = a_and_m(words, (0,) * 38, (1, *[0] * 37))
        assert words["outcome"] == Outcome.RETIRE
        for proof in NO_WRITE:
            assert proof.wins(said) is None
            assert not accepts(proof, said, (0,))


# ---- labels


COMPARED = (
    (PROOFS["no_write.outcome"], "Step/root_before", "Step/root_written"),
    (PROOFS["no_write.no_rd"], "Step/root_before", "Step/root_written"),
    (PROOFS["no_write.x0"], "Step/root_before", "Step/root_written"),
    (FINAL_ROOT, "Step/root_after", "Claim/final_root"),
)
FENCE_THAT_FAILED = {**step_of(isa.fence()), "outcome": int(Outcome.ILLEGAL)}
FENCE_THAT_FAILED["instr"] &= ~(31 << 7)


def compared(left_path: str, right_path: str, left: Label, right: Label) -> Said:
    return say(FENCE_THAT_FAILED, {left_path: left, right_path: right}, LAST)


@pytest.mark.parametrize(("proof", "left", "right"), COMPARED, ids=lambda value: getattr(value, "name", ""))
def test_every_slot_is_compared_and_nothing_else(proof: Proof, left: str, right: str) -> None:
    rng = Random(proof.name)
    label = random_label(rng)
    same = compared(left, right, label, label)
    assert proof.wins(same) is None
    for hint in (*range(NODE.slots), *STRANGE_SLOTS):
        assert not accepts(proof, same, (hint,)), hint
    for slot in range(NODE.slots):
        other = compared(left, right, label, changed(label, slot, rng))
        assert proof.wins(other) == (slot,)
        assert accepts(proof, other, (slot,))
        assert not accepts(proof, other, (rng.choice([*range(slot), *range(slot + 1, 38)]),))
        assert not accepts(proof, other, (rng.choice(STRANGE_SLOTS),))


@settings(max_examples=25)
@given(st.integers(0, LABELS - 1), st.integers(0, LABELS - 1), st.booleans())
def test_labels_that_encode_no_node_are_compared_too(one: int, other: int, equal: bool) -> None:
    def label(value: int) -> Label:
        indices = []
        for slot in range(NODE.slots):
            value, index = divmod(value, NODE.list_size(slot))
            indices.append(index)
        return tuple(indices)

    left, right = label(one), label(one if equal else other)
    for proof, left_path, right_path in COMPARED:
        said = compared(left_path, right_path, left, right)
        hints = proof.wins(said)
        assert (hints is None) == (left == right)
        if hints is not None:
            assert accepts(proof, said, hints)
        else:
            assert not any(accepts(proof, said, (slot,)) for slot in range(0, 38, 7))


def test_other_encodings_change_nothing() -> None:
    """Consensus reads a number of up to four bytes: padded digits are the same label, padded hints the same slot."""
    label = random_label(Random(8))
    leaf = BENCH.proof_leaf(FINAL_ROOT)
    spender = Spender(leaf.script)
    schnorr = [BENCH.challenger.sign(spender.sighash())]
    digits = sum(BENCH.public[path].scheme.slots for path in FINAL_ROOT.keys)
    left, right = "Step/root_after", "Claim/final_root"
    for other, due in ((label, False), (changed(label, 20, Random(9)), True)):
        said = compared(left, right, label, other)
        for size in (1, 2, 4):
            for hint in (encode_number(20), b"\x14\x00", b"\x14\x00\x00\x00"):
                items = leaf.witness(schnorr, said.signatures, (20,))
                items[:digits:2] = [item.ljust(size, b"\x00") for item in items[:digits:2]]
                items[-2] = hint
                assert spender.accepts(items) == due
            items[-2] = bytes([20, 0, 0, 0, 0])
            assert not spender.accepts(items)


# ---- the last step


def almost_last() -> list[tuple[int, ...]]:
    """Indices that are not the last one: one choice less by one, by eight, all zero, and anything."""
    rng = Random(11)
    found = [tuple(WIDTH - 1 - by * (place == level) for place in range(LEVELS)) for level in range(3) for by in (1, 8)]
    return [
        *found,
        (0,) * LEVELS,
        (WIDTH - 1, 0, 0),
        *(tuple(rng.randrange(WIDTH) for _ in range(3)) for _ in range(5)),
    ]


def test_the_final_root_is_that_of_the_last_step_only() -> None:
    rng = Random(12)
    after = random_label(rng)
    labels = {"Step/root_after": after, "Claim/final_root": changed(after, 3, rng)}
    assert accepts(FINAL_ROOT, say(None, labels, LAST), (3,))
    for choices in almost_last():
        said = say(None, labels, choices)
        assert FINAL_ROOT.wins(said) is None
        assert not accepts(FINAL_ROOT, said, (3,)), choices


def status(halted: int, exit_code: int) -> dict[str, int]:
    """The machine was halted by ECALL with code 0 before the step, and is so after it."""
    return {**step_of(isa.ecall(), halted=1), "exit_code": 0, "after_halted": halted, "after_exit_code": exit_code}


ACCEPTING = status(HALTED_BY_ECALL, 0)
NOT_ACCEPTING = (
    *(status(halted, 0) for halted in (0, HALTED_BY_FAULT, 3, 9, 15)),
    *(status(HALTED_BY_ECALL, code << shift) for shift in range(0, 32, 4) for code in (1, 8, 15)),
    *(status(halted, code) for halted in (0, 2) for code in (1, 2, 0xFFFF_FFFF)),
)


def test_only_a_halt_by_ecall_with_code_0_accepts() -> None:
    for words in NOT_ACCEPTING:
        said = say(words, choices=LAST)
        assert ACCEPTED.wins(said) == ()
        assert accepts(ACCEPTED, said, ())
    for before in (0, 1, 2):
        said = say({**ACCEPTING, "halted": before, "exit_code": 0x1234_5678}, choices=LAST)
        assert ACCEPTED.wins(said) is None
        assert not accepts(ACCEPTED, said, ())


def test_a_machine_may_run_until_the_last_step() -> None:
    for choices in almost_last():
        for words in (ACCEPTING, *NOT_ACCEPTING[:6]):
            said = say(words, choices=choices)
            assert ACCEPTED.wins(said) is None
            assert not accepts(ACCEPTED, said, ()), choices


@pytest.mark.parametrize(("levels", "width"), [(1, 16), (2, 16), (5, 64), (4, 64)])
def test_other_numbers_of_levels(levels: int, width: int) -> None:
    bench = Bench(levels, width)
    proof = {proof.name: proof for proof in verdict_proofs(levels, width)}["accepted"]
    last = (width - 1,) * levels
    for choices in (last, (*last[:-1], width - 2), (width // 2, *last[1:])):
        index = index_symbols(choices, width)
        signatures = bench.signatures({"Step/index": index, "Step/status": nibbles_of(STATUS, NOT_ACCEPTING[0])})
        said = Said(NOT_ACCEPTING[0], {}, choices, signatures)
        assert proof.wins(said) == (() if choices == last else None)
        assert bench.proof_accepts(proof, signatures, ()) == (choices == last)


# ---- sizes


def test_names_and_weights() -> None:
    assert set(PROOFS) == {"no_write.outcome", "no_write.no_rd", "no_write.x0", "final_root", "accepted"}
    bench = Bench(5, 64)
    for proof in verdict_proofs(5, 64):
        leaf = bench.proof_leaf(proof)
        items = [bytes(size) for size in leaf.item_sizes()]
        assert witness_weight([*items, leaf.script, bytes(33 + 32 * 8)]) < 9_500
        assert not proof.large
