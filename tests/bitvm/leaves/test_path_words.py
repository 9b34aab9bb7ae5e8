"""The words of a leaf that the prover shows, against those of Step: true leaves stand, every wrong nibble loses."""

from collections.abc import Iterator
from functools import cache
from random import Random

import pytest
from pathwords import (
    BENCH,
    LEAF_KINDS,
    accepts,
    assert_agree,
    assert_caught,
    assert_encodings_do_not_matter,
    assert_helpless,
    changed,
    control_words,
    flipped,
    honest,
    leaf_accepts,
    messages,
)
from proofbench import Bench
from steps import random_instruction

from bitvm.leaves.fields import READS, Kind
from bitvm.leaves.path.words import word_proofs
from bitvm.leaves.proof import Proof, Said
from bitvm.leaves.statement import FIELDS
from lvm import isa
from lvm.control import CONTROL_FIELDS
from lvm.outcome import Outcome

PROOFS = {proof.name: proof for proof in word_proofs()}
EVERY = list(PROOFS.values())
FAMILY = {
    Kind.CONTROL: ("word.control.",),
    Kind.INSTR: ("word.instr.",),
    Kind.RS1: ("word.rs1.",),
    Kind.RS2: ("word.rs2.",),
    Kind.MEM: ("word.mem.",),
    Kind.DATA: ("word.register.", "word.store.", "unchanged.register.", "unchanged.store."),
    Kind.STATE: ("word.state.", "unchanged.state."),
}
OF_KIND = {kind: [proof for proof in EVERY if proof.name.startswith(family)] for kind, family in FAMILY.items()}
WRITING = tuple(name for name, item in isa.INSTRUCTIONS.items() if item.format in {"R", "I", "S", "U", "J", "SHIFT"})


def read_field(kind: Kind) -> str:
    return kind.name.lower()


def index_read(said: Said, kind: Kind) -> int:
    """The only word of the leaf that is the one read, by the definition of the record."""
    words, instr = said.words, said.words["instr"]
    match kind:
        case Kind.INSTR:
            return words["pc"] >> 2 & 15
        case Kind.MEM:
            return words["address"] >> 2 & 15
        case Kind.RS1:
            return 10 if instr == 0x73 else instr >> 15 & 15
    return instr >> 20 & 15


def index_written(said: Said) -> int | None:
    words, instr = said.words, said.words["instr"]
    if words["outcome"] != Outcome.RETIRE:
        return None
    if instr & 0x7F == isa.STORE:
        return words["address"] >> 2 & 15
    rd = instr >> 7 & 31
    return None if rd == 0 or instr & 0x7F in isa.OPCODES_WITHOUT_RD else rd & 15


def lies(rng: Random, said: Said) -> Iterator[Said]:
    """Statements with one nibble wrong, each of which some proof has to win against."""
    kind = Kind(said.words["path.kind"])
    if kind in {Kind.CONTROL, Kind.STATE}:
        for field, word in control_words(kind):
            for nibble in range(8):
                yield flipped(said, word, 4 * nibble + rng.randrange(4))
            for nibble in range(FIELDS[field].nibbles):
                yield flipped(said, field, FIELDS[field].shift + 4 * nibble + rng.randrange(4))
    elif kind in READS:
        for nibble in range(8):
            yield flipped(said, f"word.{index_read(said, kind)}", 4 * nibble + rng.randrange(4))
            yield flipped(said, read_field(kind), 4 * nibble + rng.randrange(4))
    if kind == Kind.STATE:
        for index in range(8, 16):
            yield flipped(said, f"{rng.choice(('word', 'after'))}.{index}", rng.randrange(32))
    if kind == Kind.DATA and (written := index_written(said)) is not None:
        for index in range(16):
            for nibble in range(8):
                yield flipped(said, f"after.{index}", 4 * nibble + rng.randrange(4))
            if index != written:
                yield flipped(said, f"word.{index}", rng.randrange(32))
        yield flipped(said, "written", rng.randrange(32))


@cache
def winning(name: str) -> Said:
    """A lie against which the proof wins."""
    proof, rng = PROOFS[name], Random(name)
    kind = next(kind for kind, proofs in OF_KIND.items() if proof in proofs)
    while True:
        said = honest(rng, kind, rng.choice((*WRITING, "sw", "sb", None)))
        for lie in lies(rng, said):
            if proof.wins(lie) is not None:
                return lie


def test_names() -> None:
    groups = range(4)
    fields = ("pc", "window", "fuel", "epc", "cause", "uwin", "halted", "exit_code")
    expected = {
        *(f"word.{word}.{group}" for word in ("instr", "rs1", "rs2", "mem", "register", "store") for group in groups),
        *(f"word.{kind}.{field}" for kind in ("control", "state") for field in fields),
        *(f"unchanged.{word}.{group}" for word in ("register", "store") for group in groups),
        *("unchanged.state.2", "unchanged.state.3"),
    }
    assert sorted(PROOFS) == sorted(expected)
    assert len(EVERY) == 50
    assert sum(map(len, OF_KIND.values())) == 50


@pytest.mark.parametrize("kind", LEAF_KINDS)
def test_true_leaves_stand(kind: Kind) -> None:
    rng = Random(kind)
    for turn in range(10):
        said = honest(rng, kind, rng.choice(WRITING) if turn % 3 == 0 else None, user=bool(turn % 2))
        assert_helpless(OF_KIND[kind], said, rng)
        for proof in EVERY:
            assert proof.wins(said) is None
            if proof not in OF_KIND[kind]:
                assert not accepts(proof, said, tuple(rng.randrange(4) for _ in proof.hints))


@pytest.mark.parametrize("kind", LEAF_KINDS)
def test_every_wrong_nibble_loses(kind: Kind) -> None:
    rng = Random(kind)
    for turn in range(12):
        said = honest(rng, kind, rng.choice(WRITING) if kind == Kind.DATA else None, user=bool(turn % 2))
        for lie in lies(rng, said):
            proof, _ = assert_caught(EVERY, lie)
            assert proof in OF_KIND[kind]


@pytest.mark.parametrize("kind", [Kind.INSTR, Kind.RS1, Kind.RS2, Kind.MEM])
def test_only_the_word_read_is_judged(kind: Kind) -> None:
    """The others are not said in Step; that they are the leaf's is for its hash."""
    rng = Random(kind)
    for _ in range(6):
        said = honest(rng, kind)
        for index in range(16):
            lie = flipped(said, f"word.{index}", rng.randrange(32))
            assert any(proof.wins(lie) is not None for proof in EVERY) == (index == index_read(said, kind))
            for proof in OF_KIND[kind]:
                assert_agree(proof, lie, rng)


@pytest.mark.parametrize(("kind", "shift"), [(Kind.RS1, 15), (Kind.RS2, 20), (Kind.DATA, 7)])
def test_every_register_has_its_word(kind: Kind, shift: int) -> None:
    rng = Random(shift)
    base = honest(rng, kind, "add")
    leaf = {f"{name}.{index}": rng.getrandbits(32) for name in ("word", "after") for index in range(16)}
    for register in range(kind == Kind.DATA, 32):
        instr = isa.encode("sub", rd=9, rs1=21, rs2=30) & ~(31 << shift) | register << shift
        said = Said({**base.words, **leaf, "instr": instr, "outcome": int(Outcome.RETIRE)})
        name, field, prefix = (
            ("register", "written", "after") if kind == Kind.DATA else (read_field(kind), read_field(kind), "word")
        )
        for group in range(4):
            proof = PROOFS[f"word.{name}.{group}"]
            in_group = register % 16 // 4 == group
            assert assert_agree(proof, said, rng) == in_group
            right = Said({**said.words, field: leaf[f"{prefix}.{register % 16}"]})
            assert not assert_agree(proof, right, rng)


def test_ecall_reads_a0_and_only_ecall_does() -> None:
    rng = Random(8)
    said = honest(rng, Kind.RS1, "ecall")
    leaf = {f"word.{index}": rng.getrandbits(32) for index in range(16)}
    for instr in (0x73, *(0x73 ^ 1 << bit for bit in range(32)), 0x3020_0073, 0x0000_0064, 0x0000_0037):
        true = index_read(changed(said, instr=instr), Kind.RS1)
        for index in {0, 10, true}:
            words = {**said.words, **leaf, "instr": instr, "rs1": leaf[f"word.{index}"]}
            verdicts = [assert_agree(PROOFS[f"word.rs1.{group}"], Said(words), rng) for group in range(4)]
            assert any(verdicts) == (index != true), (hex(instr), index)


def test_nothing_is_judged_where_no_data_word_is_written() -> None:
    rng = Random(3)
    seen: set[tuple[int, int]] = set()
    while len(seen) < 10:
        said = honest(rng, Kind.DATA)
        if index_written(said) is None:
            seen.add((said.words["outcome"], said.words["instr"] & 0x7F))
            odd = {f"after.{index}": rng.getrandbits(32) for index in range(16)}
            assert_helpless(OF_KIND[Kind.DATA], Said({**said.words, **odd}), rng)


def test_the_word_before_that_is_overwritten_is_free() -> None:
    rng = Random(5)
    for _ in range(4):
        said = honest(rng, Kind.DATA, rng.choice(WRITING))
        written = index_written(said)
        if written is not None:
            assert_helpless(OF_KIND[Kind.DATA], flipped(said, f"word.{written}", rng.randrange(32)), rng)


@pytest.mark.parametrize("proof", EVERY, ids=lambda proof: proof.name)
def test_agrees_with_the_twin_on_anything(proof: Proof) -> None:
    rng, verdicts = Random(proof.name), set()
    for _ in range(25):
        said = winning(proof.name) if rng.random() < 0.6 else honest(rng, rng.choice(LEAF_KINDS))
        for word, bits in (("instr", 32), ("outcome", 4), ("address", 32), ("pc", 32), ("written", 32)):
            if rng.random() < 0.15:
                said = flipped(said, word, rng.randrange(bits))
        if rng.random() < 0.2:
            said = changed(said, instr=random_instruction(rng, rng.choice(sorted(isa.INSTRUCTIONS))))
        if rng.random() < 0.1:
            said = changed(said, path__kind=rng.randrange(16))
        verdicts.add(assert_agree(proof, said, rng))
    assert verdicts == {False, True}


@pytest.mark.parametrize("proof", EVERY, ids=lambda proof: proof.name)
def test_encodings_do_not_matter(proof: Proof) -> None:
    rng, lie = Random(proof.name), winning(proof.name)
    for _ in range(4):
        assert_encodings_do_not_matter(proof, lie, changed(lie, path__kind=int(Kind.START)), rng)


@pytest.mark.parametrize("proof", EVERY, ids=lambda proof: proof.name)
def test_whole_leaf(proof: Proof) -> None:
    lie = winning(proof.name)
    hints = proof.wins(lie)
    assert hints is not None
    assert leaf_accepts(proof, lie, hints)
    assert not leaf_accepts(proof, changed(lie, path__kind=int(Kind.START)), hints)
    signatures = BENCH.signatures(messages(proof, lie))
    exchanged = signatures | {proof.keys[1]: Bench(seed=2).signatures(messages(proof, lie))[proof.keys[1]]}
    assert not BENCH.proof_accepts(proof, exchanged, hints)


def test_control_fields_are_those_of_the_leaf() -> None:
    assert [name.removeprefix("word.control.") for name in PROOFS if name.startswith("word.control.")] == list(
        CONTROL_FIELDS
    )
