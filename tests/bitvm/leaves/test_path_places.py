"""Where Path leads, against what Step says: true paths stand, and every single wrong bit of a place loses."""

from functools import cache
from random import Random

import pytest
from pathwords import (
    BENCH,
    LEAF_KINDS,
    LEVELS,
    WIDTH,
    accepts,
    assert_agree,
    assert_caught,
    assert_encodings_do_not_matter,
    assert_helpless,
    changed,
    flipped,
    honest,
    leaf_accepts,
    messages,
)
from proofbench import Bench
from steps import EDGE_WORDS, random_instruction, random_window

from bitvm.leaves.fields import ENTRIES, Kind
from bitvm.leaves.path.places import place_proofs
from bitvm.leaves.proof import Proof, Said
from lvm import isa
from lvm.layout import CONTROL_BASE, physical_word, register_address
from lvm.outcome import Outcome

PROOFS = {proof.name: proof for proof in place_proofs(LEVELS, WIDTH)}
LEAVES = [proof for proof in PROOFS.values() if "Step/index" not in proof.keys]
LISTS = [proof for proof in PROOFS.values() if "Step/index" in proof.keys]
OF_KIND = {
    Kind.CONTROL: ["place.control"],
    Kind.INSTR: ["place.instr"],
    Kind.RS1: ["place.rs1"],
    Kind.RS2: ["place.rs2"],
    Kind.MEM: ["place.mem"],
    Kind.DATA: ["place.register", "place.store"],
    Kind.STATE: ["place.control"],
}


def has_place(said: Said) -> bool:
    """Whether the path has a right place: there is none to a data word that is not written."""
    if said.words["path.kind"] != Kind.DATA:
        return True
    opcode, rd = said.words["instr"] & 0x7F, said.words["instr"] >> 7 & 31
    writes = opcode == isa.STORE or (rd and opcode not in isa.OPCODES_WITHOUT_RD)
    return said.words["outcome"] == Outcome.RETIRE and bool(writes)


def entry(kind: Kind, level: int, choices: tuple[int, ...], place: int) -> Said:
    words = {"path.kind": int(kind), "path.level": level, "path.place": place}
    return Said(words, choices=choices)


@cache
def winning(name: str) -> Said:
    """A lie against which the proof wins."""
    proof, rng = PROOFS[name], Random(name)
    while True:
        if proof in LISTS:
            side, level = name.removeprefix("place.").split("_")
            choices = tuple(rng.randrange(1, WIDTH) for _ in range(LEVELS))
            said = entry(Kind.LEFT if side == "left" else Kind.RIGHT, int(level), choices, rng.getrandbits(24))
        else:
            said = flipped(honest(rng, rng.choice(LEAF_KINDS)), "path.place", rng.randrange(24))
        if proof.wins(said) is not None:
            return said


def test_names() -> None:
    names = [proof.name for proof in place_proofs(2, 16)]
    assert names == [
        *(f"place.{name}" for name in ("control", "instr", "rs1", "rs2", "mem", "register", "store")),
        *("place.left_1", "place.right_1", "place.left_2", "place.right_2"),
    ]


@pytest.mark.parametrize("kind", LEAF_KINDS)
def test_true_paths_stand(kind: Kind) -> None:
    rng = Random(kind)
    for turn in range(40):
        said = honest(rng, kind, user=bool(turn % 2))
        assert_helpless(LEAVES, said, rng)


@pytest.mark.parametrize("kind", LEAF_KINDS)
def test_every_wrong_bit_of_a_place_loses(kind: Kind) -> None:
    rng = Random(kind)
    for turn in range(30):
        said = honest(rng, kind, user=bool(turn % 2))
        while not has_place(said):
            said = honest(rng, kind, user=bool(turn % 2))
        for lie in (
            *(flipped(said, "path.place", bit) for bit in range(24)),
            *(changed(said, path__place=said.words["path.place"] ^ rng.randrange(1, 1 << 24)) for _ in range(4)),
        ):
            proof, _ = assert_caught(LEAVES, lie)
            assert proof.name in OF_KIND[kind]


def test_a_data_word_that_is_not_written_may_lie_anywhere() -> None:
    rng = Random(3)
    seen: set[tuple[int, int]] = set()
    while len(seen) < 15:
        said = honest(rng, Kind.DATA)
        if not has_place(said):
            seen.add((said.words["outcome"], said.words["instr"] & 0x7F))
            assert_helpless(LEAVES, changed(said, path__place=rng.getrandbits(24)), rng)
    assert {(Outcome.RETIRE, opcode) for opcode in (isa.BRANCH, isa.MISC_MEM, isa.SYSTEM)} & seen


def test_places_of_memory_are_those_of_the_window_and_the_address() -> None:
    """Any two words: pc and address above the window's 1 MiB, and above the state, are OR-ed and cut."""
    rng = Random(4)
    base = honest(rng, Kind.INSTR)
    cases = ((Kind.INSTR, "pc", "place.instr"), (Kind.MEM, "address", "place.mem"))
    for _ in range(150):
        kind, field, name = rng.choice(cases)
        window = rng.choice((0, random_window(rng), rng.getrandbits(12) << 20, rng.getrandbits(12) << 20))
        address = rng.choice((rng.choice(EDGE_WORDS), rng.getrandbits(32), rng.getrandbits(20)))
        place = physical_word(window, address) >> 6
        said = changed(base, path__kind=int(kind), window=window, path__place=place, **{field: address})
        assert_helpless([PROOFS[name]], said, rng)
        bit = rng.randrange(24)
        hints = PROOFS[name].wins(flipped(said, "path.place", bit))
        assert hints == (bit // 4,)
        assert accepts(PROOFS[name], flipped(said, "path.place", bit), hints)


@pytest.mark.parametrize(("kind", "shift"), [(Kind.RS1, 15), (Kind.RS2, 20), (Kind.DATA, 7)])
def test_places_of_every_register(kind: Kind, shift: int) -> None:
    rng = Random(shift)
    base = honest(rng, kind, "add")
    (name, *_) = OF_KIND[kind]
    for register in range(kind == Kind.DATA, 32):
        instr = isa.encode("sub", rd=9, rs1=21, rs2=30) & ~(31 << shift) | register << shift
        for place in (register_address(0) >> 6, register_address(16) >> 6, CONTROL_BASE >> 6):
            said = changed(base, instr=instr, outcome=int(Outcome.RETIRE), path__place=place)
            wrong = place != register_address(register) >> 6
            assert (PROOFS[name].wins(said) is not None) == wrong == accepts(PROOFS[name], said, ())


def test_ecall_reads_a0_which_lies_in_the_leaf_of_x0() -> None:
    said = honest(Random(5), Kind.RS1, "ecall")
    assert not accepts(PROOFS["place.rs1"], changed(said, instr=0x73, path__place=register_address(10) >> 6), ())
    assert accepts(PROOFS["place.rs1"], changed(said, instr=0x73, path__place=register_address(16) >> 6), ())


@pytest.mark.parametrize("proof", LEAVES, ids=lambda proof: proof.name)
def test_agrees_with_the_twin_on_anything(proof: Proof) -> None:
    rng, verdicts = Random(proof.name), set()
    for _ in range(150):
        said = winning(proof.name) if rng.random() < 0.5 else honest(rng, rng.choice(LEAF_KINDS))
        for word, bits in (("path.place", 24), ("instr", 32), ("outcome", 4), ("address", 32), ("pc", 32)):
            if rng.random() < 0.15:
                said = flipped(said, word, rng.randrange(bits))
        if rng.random() < 0.2:
            said = changed(said, instr=random_instruction(rng, rng.choice(sorted(isa.INSTRUCTIONS))))
        if rng.random() < 0.1:
            said = changed(said, path__kind=rng.randrange(16))
        verdicts.add(assert_agree(proof, said, rng))
    assert verdicts == {False, True}


# ---- entries


@pytest.mark.parametrize("kind", ENTRIES)
@pytest.mark.parametrize(("levels", "width"), [(5, 64), (3, 16), (4, 256), (2, 4)])
def test_only_the_entry_beside_the_step_stands(kind: Kind, levels: int, width: int) -> None:
    bench = Bench(levels, width)
    rng, side = Random(width), kind.name.lower()
    proofs = {proof.name: proof for proof in place_proofs(levels, width)}
    for level in range(1, levels + 1):
        proof = proofs[f"place.{side}_{level}"]
        for choice in {0, 1, width // 2, width - 1, rng.randrange(width)}:
            choices = tuple(choice if r == level else rng.randrange(width) for r in range(1, levels + 1))
            true = choice - (kind == Kind.LEFT)
            for place in {max(true, 0), true + 1, max(true - 1, 0), choice, width, 1 << 23 | max(true, 0)}:
                said = entry(kind, level, choices, place)
                assert (proof.wins(said) is not None) == (place != true)
                assert accepts(proof, said, (), bench) == (place != true), (said, place)
            for other in proofs.values():
                if other is not proof and "Step/index" in other.keys:
                    assert other.wins(entry(kind, level, choices, true ^ 1)) is None
                    assert not accepts(other, entry(kind, level, choices, max(true, 0) ^ 1), (), bench)


def test_every_wrong_bit_of_an_entry_loses() -> None:
    rng = Random(6)
    for _ in range(20):
        kind, level = rng.choice(ENTRIES), rng.randint(1, LEVELS)
        choices = tuple(rng.randrange(1, WIDTH) for _ in range(LEVELS))
        true = choices[level - 1] - (kind == Kind.LEFT)
        assert_helpless(LISTS, entry(kind, level, choices, true), rng)
        for bit in range(24):
            assert_caught(LISTS, entry(kind, level, choices, true ^ 1 << bit))


# ---- encodings, whole leaves


@pytest.mark.parametrize("proof", PROOFS.values(), ids=lambda proof: proof.name)
def test_encodings_do_not_matter(proof: Proof) -> None:
    rng, lie = Random(proof.name), winning(proof.name)
    for _ in range(8):
        other_kind = changed(lie, path__kind=int(Kind.START))
        assert_encodings_do_not_matter(proof, lie, other_kind, rng)


@pytest.mark.parametrize("proof", PROOFS.values(), ids=lambda proof: proof.name)
def test_whole_leaf(proof: Proof) -> None:
    lie = winning(proof.name)
    hints = proof.wins(lie)
    assert hints is not None
    assert leaf_accepts(proof, lie, hints)
    assert not leaf_accepts(proof, changed(lie, path__kind=int(Kind.START)), hints)
    signatures = BENCH.signatures(messages(proof, lie))
    exchanged = signatures | {proof.keys[0]: Bench(seed=2).signatures(messages(proof, lie))[proof.keys[0]]}
    assert not BENCH.proof_accepts(proof, exchanged, hints)
