"""The fast engine against the specification interpreter, in lockstep: records, control words, registers, roots.

The programs are hostile on purpose: random words (illegal ones among them), jumps into and out of everything,
loads and stores at the edges of each region, stores into their own code. A halted pair is set going again at a random
place by raw edits of the state, so one seed sees many thousands of steps and every outcome.
"""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

pytest.importorskip("numba")

from engine_pair import (
    CODE_BASE,
    CODE_WORDS,
    EDGE_ADDRESSES,
    EDGE_VALUES,
    NAMES,
    USER_WINDOWS,
    Pair,
    enter_user_mode,
    random_value,
    random_word,
    user_pair,
)
from steps import random_machine

from lvm import isa
from lvm.control import HALTED_ADDRESS, PC_ADDRESS, WINDOW_ADDRESS
from lvm.elf import Image
from lvm.fast import FastMachine
from lvm.layout import CPU_END, FETCH_END, INPUT_BASE, REGISTERS_BASE, STORE_END, register_address
from lvm.outcome import Outcome


def hostile_session(seed: int, rounds: int) -> Iterator[Outcome]:
    """Let a pair run a random program in bursts, some stepwise, some by `run`; yields each stepwise outcome."""
    rng = random.Random(seed)
    input_words = [random_word(rng) for _ in range(8)]
    pair = Pair(
        [random_word(rng) for _ in range(CODE_WORDS)], b"".join(word.to_bytes(4, "little") for word in input_words)
    )
    for _ in range(rounds):
        for index in rng.sample(range(1, 12), 3):
            pair.write(register_address(index), random_value(rng))
        if rng.random() < 0.3:
            pair.write(CODE_BASE + 4 * rng.randrange(CODE_WORDS), random_word(rng))
        if pair.spec.halted and rng.random() < 0.95:
            pair.revive(rng)
        if rng.random() < 0.5:
            pair.run(rng.randrange(60))
        else:
            yield from (pair.step() for _ in range(rng.randrange(12)))
        if rng.random() < 0.2:
            pair.compare_roots()
    pair.compare()
    pair.compare_roots()


def test_hostile_programs_agree_and_reach_every_outcome() -> None:
    seen: Counter[Outcome] = Counter()
    for seed in range(8):
        seen.update(hostile_session(seed, 400))
    assert set(seen) >= set(Outcome) - {Outcome.FUEL}
    assert seen[Outcome.RETIRE] > 2000


def user_session(seed: int, rounds: int) -> Iterator[tuple[bool, Outcome]]:
    """Random programs in two windows over a kernel that catches every trap; yields mode and outcome of each step."""
    rng = random.Random(seed)
    pair = user_pair(rng)
    for _ in range(rounds):
        for index in rng.sample(range(1, 12), 3):
            pair.write(register_address(index), random_value(rng))
        if rng.random() < 0.3:
            window = rng.choice((*USER_WINDOWS, 0))
            pair.write(window + CODE_BASE + 4 * rng.randrange(CODE_WORDS), random_word(rng))
        if pair.spec.halted or rng.random() < 0.3:
            enter_user_mode(pair, rng)
        if rng.random() < 0.1:  # the very words of a window, from kernel mode
            pair.write(WINDOW_ADDRESS, 0)
            pair.write(PC_ADDRESS, rng.choice(USER_WINDOWS) + CODE_BASE + 4 * rng.randrange(CODE_WORDS))
        if rng.random() < 0.5:
            pair.run(rng.randrange(60))
        else:
            for _ in range(rng.randrange(25)):
                user = pair.spec.control().window != 0
                yield user, pair.step()
        if rng.random() < 0.2:
            pair.compare_roots()
    pair.compare()
    pair.compare_roots()


def test_user_programs_agree_and_reach_every_outcome() -> None:
    seen: Counter[tuple[bool, Outcome]] = Counter()
    for seed in range(10):
        seen.update(user_session(seed, 400))
    assert {outcome for user, outcome in seen if user} == set(Outcome) - {Outcome.HALTED}
    assert min(seen[True, Outcome.RETIRE], seen[False, Outcome.RETIRE]) > 2000


def test_single_random_steps_and_what_follows_agree() -> None:
    """The steps that the judges are tested on: same record, and the same state some steps later."""
    rng = random.Random(12)
    fast = FastMachine(Image(0, ()))
    for _ in range(1500):
        spec = random_machine(rng)
        fast.restore(spec.snapshot())
        assert fast.step() == spec.step()
        steps = rng.randrange(20)
        assert fast.run(steps) == spec.run(steps)
        assert fast.control() == spec.control()
    assert fast.root() == spec.root()


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
def test_user_programs_agree_for_long(seed: int) -> None:
    for _ in user_session(seed, 3000):
        pass


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 200))
def test_hostile_programs_agree_for_long(seed: int) -> None:
    for _ in hostile_session(seed, 3000):
        pass


def test_single_steps_on_edge_operands_agree() -> None:
    """Every instruction, many operands: one step each from a state set up by raw edits."""
    rng = random.Random(7)
    pair = Pair([])
    operands = (*EDGE_VALUES, *EDGE_ADDRESSES, *(-value & 0xFFFFFFFF for value in EDGE_VALUES))
    outcomes: Counter[Outcome] = Counter()
    for name in NAMES:
        for _ in range(150):
            immediates = {"U": 0xFFFFF, "J": 0xFFFFE, "SHIFT": 31, "B": 4094}
            most = immediates.get(isa.INSTRUCTIONS[name].format, 2047)
            imm = rng.choice((0, most, most & ~3, rng.randrange(most + 1) & ~1, rng.randrange(most + 1) & ~3))
            if isa.INSTRUCTIONS[name].format in ("CSRW", "CSRR"):
                imm = rng.choice(tuple(isa.CSR_NAMES))
            word = isa.encode(name, rd=rng.choice((0, 1, 2, 3)), rs1=1, rs2=2, imm=imm)
            pc = rng.choice((CODE_BASE, 0, FETCH_END - 4, INPUT_BASE, STORE_END - 4))
            pair.write(pc, word)
            pair.write(PC_ADDRESS, pc)
            pair.write(WINDOW_ADDRESS, 0)
            pair.write(HALTED_ADDRESS, 0)
            pair.write(register_address(1), rng.choice(operands))
            pair.write(register_address(2), rng.choice(operands))
            outcomes[pair.step()] += 1
    assert outcomes[Outcome.RETIRE] > 3000
    pair.compare_roots()


def test_random_words_decode_alike() -> None:
    """Every opcode with every funct3, and funct7 at its few meaningful values and at random."""
    rng = random.Random(11)
    pair = Pair([])
    illegal = 0
    for opcode in range(128):
        for funct3 in range(8):
            for funct7 in (0, 1, 0x20, rng.randrange(128)):
                low = rng.getrandbits(32) & 0x01FF8F80 if rng.random() < 0.5 else 0
                pair.write(CODE_BASE, low | funct7 << 25 | funct3 << 12 | opcode)
                pair.write(PC_ADDRESS, CODE_BASE)
                pair.write(HALTED_ADDRESS, 0)
                illegal += pair.step() is Outcome.ILLEGAL
    assert 3000 < illegal < 4096


@pytest.mark.parametrize("pc", [2, FETCH_END, CPU_END, 0xFFFFFFFC, FETCH_END - 4])
def test_pc_anywhere(pc: int) -> None:
    """Also running off the end of what can be fetched: the last word is a `nop` here."""
    pair = Pair([])
    pair.write(FETCH_END - 4, isa.addi(0, 0, 0))
    pair.write(PC_ADDRESS, pc)
    pair.run(3)
    assert pair.fast.halted == 2
    pair.compare_roots()


def test_code_that_rewrites_the_next_instruction() -> None:
    """The store hits an instruction that was decoded before, with a word, a half and a byte."""
    program = [
        isa.addi(5, 0, 0),
        isa.addi(6, 6, 1),  # rewritten below: its immediate is bits 20..31
        isa.lw(7, 8, 0),
        isa.sw(7, 9, 4),
        isa.sh(10, 9, 6),
        isa.sb(11, 9, 7),
        isa.jal(0, -20),
    ]
    pair = Pair(program)
    for index, value in ((8, 0x5000), (9, CODE_BASE), (10, 0x0053), (11, 0x7F)):
        pair.write(register_address(index), value)
    pair.write(0x5000, isa.addi(6, 6, 100))
    for _ in range(30):
        pair.step()
    pair.compare_roots()
    assert pair.fast.register(6) not in (30, 0)


def test_x0_in_the_state_is_a_word_like_any_other() -> None:
    """Only a raw edit can set it; then both engines read it, and neither writes it."""
    pair = Pair([isa.add(1, 0, 0), isa.addi(0, 0, 5), isa.sw(0, 2, 0), isa.jal(0, 8), 0, isa.beq(0, 3, 8)])
    pair.write(REGISTERS_BASE, 0x1234)
    pair.write(register_address(2), 0x8000)
    for _ in range(6):
        pair.step()
    assert pair.fast.register(1) == 0x2468
    assert pair.fast.register(0) == 0x1234
    pair.compare_roots()
