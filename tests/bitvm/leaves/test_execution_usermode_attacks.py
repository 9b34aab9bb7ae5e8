"""A thief against the execution leaves, in user mode above all: every encoding under every window, at every edge.

States are listed, not drawn: each instruction, and words that miss one by a bit, under each kind of window; loads and
stores of each size at each edge address; jumps and branches from and to each edge; each CSR with each edge word; and
what comes before an instruction is looked at (halt, fuel, pc) in all combinations. The truth is the specification
interpreter's. Against it no leaf wins; against every other outcome and mode an outcome leaf wins, and against a single
wrong nibble of any other result, whatever else is wrong beside it, a leaf about that result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import cycle, product
from random import Random

import pytest
from leafbench import LEAVES, RESULTS, body_accepts, body_accepts_items, body_items, hint_values, some_hints
from steps import EDGE_WORDS, ILLEGAL_WORDS

from bitvm.leaves.execution.base import ExecutionLeaf
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES, find_winning, winning_leaves
from bitvm.leaves.statement import FIELDS, Mode, words_of
from bitvm.script.builder import encode_number
from lvm import isa
from lvm.elf import Image
from lvm.layout import (
    CONTROL_BASE,
    CPU_BASE,
    CPU_END,
    INPUT_BASE,
    REGISTERS_BASE,
    USER_BYTES,
    WINDOW_MASK,
    WORD_MASK,
    physical_word,
    register_address,
)
from lvm.machine import new_machine
from lvm.outcome import Outcome
from lvm.spec.interpreter import SpecMachine

Statement = dict[str, int]
State = Callable[[], SpecMachine]
"""A machine about to step."""

WINDOWS = (
    *(0, USER_BYTES, 0x2AA0_0000, INPUT_BASE - USER_BYTES, INPUT_BASE, CPU_BASE - USER_BYTES),
    *(CPU_BASE, CPU_END - USER_BYTES),
)
EXECUTABLE = WINDOWS[:-2]
"""Those from which something can be fetched."""
UNREACHABLE_WINDOWS = (CPU_END, 0x8000_0000, 0xBFF0_0000, 0xFFF0_0000)
"""No program can make them; the rules, and the leaves, have an answer all the same."""
FUELS = (0, 1, 2, 0x10, 0x100, 0x1000_0000, 0x8000_0000, WORD_MASK)
PCS = (
    *(0, 1, 2, 3, 4, 0x100, 0x1000, USER_BYTES - 4, USER_BYTES - 2, USER_BYTES - 1, USER_BYTES, USER_BYTES + 4),
    *(INPUT_BASE - 4, INPUT_BASE, CPU_BASE - 4, CPU_BASE, CPU_BASE + 2, REGISTERS_BASE & 0xF_FFFC, CONTROL_BASE),
    *(CONTROL_BASE & 0xF_FFFC, CPU_END - 4, CPU_END, CPU_END + 0x1000, 0x7FFF_FFFC, 0x8000_0000, 0xBFF0_0000),
    *(0xFFFF_FFFC, 0xFFFF_FFFE, WORD_MASK),
)
ADDRESSES = (
    *(0, 4, 0x1000, 0x3_FFFC, USER_BYTES - 4, USER_BYTES, USER_BYTES + 4, 2 * USER_BYTES - 4, 0x1000_0000),
    *(INPUT_BASE - 4, INPUT_BASE, CPU_BASE - 4, CPU_BASE, REGISTERS_BASE, CONTROL_BASE, CPU_END - 4, CPU_END),
    *(0x4FFF_FFFC, 0x5000_0000, 0x7FFF_FFFC, 0x8000_0000, 0xBFF0_0000, 0xEFFF_FFFC, 0xF000_0000, 0xFFFF_FFFC),
)
WORDS = (0, 1, 2, 3, 4, 0x7F, 0x80, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0x89AB_CDEF, 0xFFFF_FFFE, WORD_MASK)
LOADS, STORES = ("lb", "lh", "lw", "lbu", "lhu"), ("sb", "sh", "sw")
BRANCHES = ("beq", "bne", "blt", "bge", "bltu", "bgeu")
FINAL_RULES = ("outcome", "mode")


def machine_at(
    instr: int,
    rs1: int = 0x1234,
    rs2: int = 0x89AB_CDEF,
    *,
    window: int = USER_BYTES,
    pc: int = 0x1000,
    control: Mapping[str, int] | None = None,
    memory: tuple[int, int] | None = None,
) -> SpecMachine:
    """A machine about to step; where pc leads to a word of CPU, the instruction is whatever stands there.

    `memory` is a word as the program sees it, (address, value).
    """
    said = {"fuel": 7, "epc": 0x0765_4320, "cause": 0x8642_1357, "uwin": 0x2550_0000, "halted": 0, "exit_code": 0x1B}
    said |= control or {}
    machine = SpecMachine(Image(0, ()))
    for address, value in (*([memory] if memory else []), (pc, instr)):
        if (place := physical_word(window, address)) < CPU_BASE:
            machine.write_state_word(place, value)
    for index in range(1, 32):
        machine.write_state_word(register_address(index), 0x0101_0101 * index)
    for field, value in ((instr >> 20 & 31, rs2), (instr >> 15 & 31, rs1)):
        if field:
            machine.write_state_word(register_address(field), value)
    order = (pc, window, *(said[name] for name in ("fuel", "epc", "cause", "uwin", "halted", "exit_code")))
    for index, value in enumerate(order):
        machine.write_state_word(CONTROL_BASE + 4 * index, value)
    return machine


# ---- the states


def encodings() -> Iterator[int]:
    """Every instruction with x0 and other registers, and every word one bit of opcode or function away from it."""
    for name, entry in isa.INSTRUCTIONS.items():
        deciding = [bit for bit in range(32) if entry.mask >> bit & 1]
        csrs = tuple(isa.CSR_NAMES) if entry.format in ("CSRW", "CSRR") else (0,)
        for rd, csr in product((0, 1, 2, 31), csrs):
            word = isa.encode(name, rd=rd, rs1=17, rs2=8, imm=csr)
            yield word
            if rd in (0, 31):
                yield from (word ^ 1 << bit for bit in deciding)
    yield from ILLEGAL_WORDS
    for csr in (0x800, 0x803, 0x804, 0x7FF, 0xC00, 0x300):
        yield from (isa.SYSTEM | csr << 20 | f3 << 12 | rd << 7 | rs1 << 15 for f3, rd, rs1 in _SYSTEM_FIELDS)


_SYSTEM_FIELDS = tuple(product(range(8), (0, 1, 2), (0, 1, 2)))


def executed() -> Iterator[State]:
    """Each encoding under each window; operands go through the edges in turn."""
    operands = product(EDGE_WORDS, WORDS)
    for number, (word, window) in enumerate(product(dict.fromkeys(encodings()), EXECUTABLE)):
        rs1, rs2 = next(operands, (number, WORD_MASK - number))
        yield partial(machine_at, word, rs1, rs2, window=window, control={"fuel": FUELS[1 + number % 7]})


def computed() -> Iterator[State]:
    """What writes a register from its operands: each instruction with all pairs of edge words, rd mostly not x0."""
    formats = ("R", "I", "SHIFT", "U")
    names = [name for name, entry in isa.INSTRUCTIONS.items() if entry.format in formats and name not in LOADS]
    immediates = {"I": (0, 1, -1, 2047, -2048), "SHIFT": (0, 1, 4, 7, 16, 31), "U": (0, 1, 0x7FFFF, 0x80000, 0xFFFFF)}
    windows, registers = cycle(EXECUTABLE), cycle((1, 16, 31, 2, 30, 0, 8))
    for name in names:
        layout = isa.INSTRUCTIONS[name].format
        for imm, rs1, rs2 in product(immediates.get(layout, (0,)), WORDS, WORDS if layout == "R" else (5,)):
            word = isa.encode(name, rd=next(registers), rs1=17, rs2=8, imm=imm)
            yield partial(machine_at, word, rs1, rs2, window=next(windows))


def accessed() -> Iterator[State]:
    """Loads and stores of each size, at and beside each edge address, with immediates that carry and borrow."""
    for name, window, base, imm in product(LOADS + STORES, EXECUTABLE, ADDRESSES, (0, -1, 2047, -2048)):
        for low in range(4):
            address = base + low
            word = isa.encode(name, rd=(0, 5, 5, 5)[low], rs1=6, rs2=7, imm=imm)
            yield partial(
                machine_at,
                *(word, (address - imm) & WORD_MASK, 0x8F7E_6D5C),
                window=window,
                memory=(address, 0xF0E1_82C3),
            )


def jumped() -> Iterator[State]:
    """Jumps and branches, taken and not, from each edge of what may be fetched and to each residue."""
    for window, pc in product(EXECUTABLE, (0, USER_BYTES - 4, INPUT_BASE - 4, CPU_BASE - 4)):
        for target, imm, rd in product((*ADDRESSES, 1, 2, 3, 5, 6, 7, 13, 15), (0, 1, 2, 3, -1, -2048), (0, 1)):
            yield partial(machine_at, isa.jalr(rd, 9, imm), (target - imm) & WORD_MASK, window=window, pc=pc)
        for offset, rd in product((0, 2, 4, 6, -2, -4, 0x800, 0x802, 1 << 19, (1 << 20) - 2, -(1 << 20)), (0, 31)):
            yield partial(machine_at, isa.jal(rd, offset), window=window, pc=pc)
        for name, offset in product(BRANCHES, (0, 2, 4, -2, -4, 0x800, 0x802, 4092, 4094, -4096)):
            for rs1, rs2 in ((0, 0), (1, 2), (2, 1), (WORD_MASK, 1), (1, WORD_MASK), (1 << 31, (1 << 31) - 1)):
                yield partial(machine_at, isa.encode(name, rs1=3, rs2=4, imm=offset), rs1, rs2, window=window, pc=pc)


def before_execution() -> Iterator[State]:
    """Halted or not, fuel or not, every pc, every window: what decides before or by the fetch, and on instructions."""
    words = (0, isa.ecall(), isa.mret(), isa.addi(0, 0, 1), isa.csrrw(isa.FUEL, 1), isa.lw(1, 2, 1), isa.jal(0, 2))
    instructions = cycle(words)
    for window, pc, fuel in product((*WINDOWS, *UNREACHABLE_WINDOWS), PCS, FUELS[:3]):
        for halted in (0, 0, 0, 1, 2, 3, 8, 15):
            yield partial(
                machine_at, next(instructions), window=window, pc=pc, control={"fuel": fuel, "halted": halted}
            )


def control_words() -> Iterator[State]:
    """CSRs and MRET, traps and what is kept, with every edge word in each control word."""
    instructions = (isa.mret(), isa.ecall(), isa.addi(1, 1, 1), isa.jal(1, 2), 0, isa.lh(1, 1, 1), isa.sw(1, 0, -4))
    csr = [word for csr in isa.CSR_NAMES for word in (isa.csrrw(csr, 8), isa.csrrs(3, csr), isa.csrrs(0, csr))]
    for word, window, edge in product((*instructions, *csr), (0, USER_BYTES, CPU_BASE), EDGE_WORDS):
        other = EDGE_WORDS[-1 - EDGE_WORDS.index(edge)]
        control = {"fuel": edge, "epc": edge ^ other, "cause": other, "uwin": edge & WINDOW_MASK, "exit_code": edge}
        yield partial(machine_at, word, edge, other, window=window, control=control)


FAMILIES = {
    function.__name__: function for function in (executed, computed, accessed, jumped, before_execution, control_words)
}


@cache
def listed(family: str) -> Sequence[State]:
    return tuple(FAMILIES[family]())


def truths(family: str, rng: Random, count: int) -> Iterator[Statement]:
    """The true statements of some steps of a family."""
    states = listed(family)
    return (words_of(state().step()) for state in rng.sample(states, min(count, len(states))))


# ---- lies


def result_of(leaf: ExecutionLeaf) -> str:
    """The result that a leaf judges, by its family; `status` for halted and exit_code together."""
    family, member = leaf.name.split(".")
    if family != "control":
        return "outcome" if family == "outcome" else family
    parts = {"epc_trap": "after_epc", "fuel_written": "after_fuel", "unchanged": "status"}
    return parts.get(member, f"after_{member}")


RULES = tuple(leaf for leaf in EXECUTION_LEAVES if result_of(leaf) == "outcome")
JUDGES = {
    field: tuple(
        leaf
        for leaf in EXECUTION_LEAVES
        if result_of(leaf) == field or (result_of(leaf) == "status" and field in ("after_halted", "after_exit_code"))
    )
    for field in RESULTS
    if field not in FINAL_RULES
}


def wrong_rules(words: Statement) -> Iterator[Statement]:
    """Every other pair of outcome and mode."""
    for outcome, mode in product(range(16), range(16)):
        if (outcome, mode) != (words["outcome"], words["mode"]):
            yield words | {"outcome": outcome, "mode": mode}


def wrong_nibbles(words: Statement, rng: Random, each: int) -> Iterator[tuple[str, Statement]]:
    """Every nibble of every other result wrong alone, in `each` ways; and every word replaced as a whole."""
    for field in JUDGES:
        part = FIELDS[field]
        for index in range(part.nibbles):
            for difference in rng.sample(range(1, 16), each):
                yield field, words | {field: words[field] ^ difference << part.shift + 4 * index}
        for value in (0, 1, 24, 0x100, 0x3FF0_0000, words["pc"], words["rs1"], words["mem"], WORD_MASK):
            lie = value & RESULTS[field]
            if lie != words[field]:
                yield field, words | {field: lie}


def caught(words: Statement, rng: Random, each: int) -> set[str]:
    """No leaf wins against the truth; every lie is caught by a leaf about the result that is wrong.

    Returns the names of leaves that alone caught a lie.
    """
    assert not list(winning_leaves(words)), words
    lies = [(RULES, lie) for lie in wrong_rules(words)]
    lies += [(JUDGES[field], lie) for field, lie in wrong_nibbles(words, rng, each)]
    alone: set[str] = set()
    for judges, lie in lies:
        won = [leaf.name for leaf in judges if leaf.wins(lie) is not None]
        assert won, (judges[0].name, lie)
        alone.update(won if len(won) == 1 else ())
    return alone


# ---- soundness


def test_every_lie_about_every_kind_of_step_is_caught_and_leaves_are_needed() -> None:
    rng = Random(1)
    alone: set[str] = set()
    for family in FAMILIES:
        for words in truths(family, rng, 90):
            alone |= caught(words, rng, 1)
    assert len(alone) > 0.8 * len(LEAVES)


@pytest.mark.soak
@pytest.mark.parametrize("family", FAMILIES)
def test_every_lie_about_every_listed_step_is_caught(family: str) -> None:
    rng = Random(family)
    for words in truths(family, rng, 10**6):
        caught(words, rng, 2)


def test_every_outcome_is_judged_in_every_mode_that_has_it() -> None:
    """The lists reach what they are for."""
    rng = Random(2)
    seen = {(words["outcome"], words["mode"]) for family in FAMILIES for words in truths(family, rng, 1_500)}
    of_nothing = {Outcome.HALTED, Outcome.FUEL, Outcome.PC_MISALIGNED, Outcome.FETCH_FAULT}
    expected = set(product(Outcome, Mode)) - {(Outcome.FUEL, Mode.KERNEL)}
    assert seen == expected - set(product(set(Outcome) - of_nothing, [Mode.USER_OF_NOTHING]))


def test_lies_do_not_hide_each_other() -> None:
    """Under the true outcome and mode one wrong result is enough, and all others may be garbage.

    Only the address stays true where a loaded or stored word is wrong: that word depends on it.
    """
    rng = Random(3)
    for family in FAMILIES:
        for words in truths(family, rng, 20):
            for field, lie in wrong_nibbles(words, rng, 1):
                garbage = {other: rng.getrandbits(32) & RESULTS[other] for other in JUDGES}
                if field == "written":
                    garbage["address"] = words["address"]
                mixed = lie | garbage | {field: lie[field]}
                assert find_winning(mixed) is not None, (field, mixed)


# ---- the scripts


@pytest.mark.parametrize("family", FAMILIES)
def test_no_script_accepts_a_true_statement(family: str) -> None:
    """Whatever the hints, in range or not."""
    rng = Random(family)
    for words in truths(family, rng, 6):
        for leaf in EXECUTION_LEAVES:
            for hints in some_hints(leaf, rng, 4):
                assert not body_accepts(leaf, words, hints), (leaf.name, hints, words)


def attack(family: str, rng: Random, steps: int) -> set[str]:
    """Lies about some steps of a family: each leaf that wins wins in Script, too, and not against the truth.

    With its hints, and with each of them replaced by every value that might point, in odd encodings. Returns the names
    of the leaves.
    """
    won = set()
    for words in truths(family, rng, steps):
        lies = [lie for _, lie in wrong_nibbles(words, rng, 1)]
        rules = rng.sample(list(wrong_rules(words)), 3)
        for lie in (*rng.sample(lies, 6), *rules):
            for leaf, hints in winning_leaves(lie):
                won.add(leaf.name)
                assert body_accepts(leaf, lie, hints), (leaf.name, hints, lie)
                assert not body_accepts(leaf, words, hints), (leaf.name, hints, words)
                _attack_by_hints(leaf, words, hints, rng)
    return won


def _attack_by_hints(leaf: ExecutionLeaf, words: Statement, hints: tuple[int, ...], rng: Random) -> None:
    items = body_items(leaf, words)
    for place, name in enumerate(leaf.hints):
        values = [encode_number(value) for value in rng.sample(list(hint_values(leaf, name)), 2)]
        for value in (*values, rng.choice(ODD_ITEMS)):
            changed = [encode_number(hint) for hint in hints]
            changed[place] = value
            assert not body_accepts_items(leaf, [*items, *changed]), (leaf.name, changed, words)


ODD_ITEMS = (
    *(b"\x80", b"\x00", b"\x00\x80", bytes(4), b"\x00\x00\x00\x80", b"\x01\x00", b"\x07\x00\x00\x00", b"\x81"),
    *(b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", bytes(5), b"\x01" + bytes(4), bytes(4) + b"\x80"),
)
"""Hints in encodings that are not minimal: zeros of either sign, padded indices, the extremes, and five bytes."""


@pytest.mark.parametrize("family", FAMILIES)
def test_scripts_agree_with_their_twins_at_the_edges(family: str) -> None:
    assert attack(family, Random(family), 12)


@pytest.mark.soak
@pytest.mark.parametrize("family", FAMILIES)
def test_scripts_agree_with_their_twins_at_the_edges_for_long(family: str) -> None:
    assert attack(family, Random(family + "soak"), 1_000)


# ---- the engines


def states_in_reach(family: str, rng: Random, count: int) -> Iterator[SpecMachine]:
    """Machines about to step, with windows that a program can make: the engine presumes that."""
    for state in rng.sample(listed(family), count):
        machine = state()
        if machine.control().window in WINDOWS:
            yield machine


def lockstep(family: str, rng: Random, count: int) -> int:
    """The fast engine does the same steps, from listed states: one by `step`, some by `run`. Returns how many."""
    pytest.importorskip("numba")
    fast, steps = new_machine(Image(0, ()), engine="fast"), 0
    for spec in states_in_reach(family, rng, count):
        start, length = spec.snapshot(), rng.choice((1, 2, 3, 9, 40))
        fast.restore(start)
        assert fast.step() == spec.step()
        assert fast.root() == spec.root()
        for machine in (fast, spec):
            machine.restore(start)
        assert fast.run(length) == spec.run(length)
        assert (fast.t, fast.control(), fast.root()) == (spec.t, spec.control(), spec.root())
        steps += 1 + length
    return steps


@pytest.mark.parametrize("family", FAMILIES)
def test_the_fast_engine_agrees_at_the_edges(family: str) -> None:
    assert lockstep(family, Random(family), 120) > 500


@pytest.mark.soak
@pytest.mark.parametrize("family", FAMILIES)
def test_the_fast_engine_agrees_at_all_edges(family: str) -> None:
    assert lockstep(family, Random(family), len(listed(family))) > 10_000
