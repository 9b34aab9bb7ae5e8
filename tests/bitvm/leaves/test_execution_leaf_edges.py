"""The leaves about rules and control words against their twins, in Script, over grids of what each of them reads.

Every value of the small fields (outcome, mode, halted), sensible or not, with words at the edges of what each leaf asks
for: thresholds from both sides, each nibble alone, words that are illegal only in one mode. Where the twin wins the
script accepts its hints; where it does not, the script accepts no index, in range or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from random import Random

import pytest
from leafbench import LEAVES, body_accepts, hint_values, step_of
from steps import ILLEGAL_WORDS, random_illegal, random_instruction

from bitvm.leaves.statement import Mode
from lvm import isa
from lvm.layout import CPU_BASE, CPU_END, INPUT_BASE, TRAP_VECTOR, USER_BYTES, WINDOW_MASK, WORD_MASK
from lvm.outcome import CAUSE, Outcome

KEPT = {"epc": 0x8765_4321, "cause": 0x1357_9BDF, "exit_code": 0xFEDC_BA98}
TRUTH = (
    step_of(isa.addi(5, 6, 7), rs1=0x1234_5678, rs2=0x89AB_CDEF, window=USER_BYTES)
    | KEPT
    | {f"after_{name}": word for name, word in KEPT.items()}
)
"""What the fields have that a grid leaves alone."""

ANY = range(16)
OUTCOMES = (*ANY, *[int(Outcome.RETIRE)] * 6)
"""Most leaves ask whether the step retires."""
MODES = (*Mode, 4, 15, *[int(Mode.KERNEL)] * 3)
NIBBLES = (*(digit << 4 * index for index in range(8) for digit in (1, 8, 15)), 0x1111_1111, WORD_MASK)
WINDOW_ENDS = (0, USER_BYTES, INPUT_BASE, CPU_BASE, CPU_END, 1 << 31)
WINDOWS = sorted({(end + step) & 0xFFF0_0000 for end in WINDOW_ENDS for step in (-USER_BYTES, 0, USER_BYTES)})
PLACES = sorted({(end + step) & WORD_MASK for end in WINDOW_ENDS for step in (-4, -1, 0, 1, 2, 3, 4)})
IMMEDIATES = (0, 1, 2, 3, -1, -2, 2047, -2048)
CSR_WORDS = tuple(
    word
    for csr in isa.CSR_NAMES
    for word in (isa.csrrw(csr, 8), isa.csrrw(csr, 31), isa.csrrs(0, csr), isa.csrrs(1, csr), isa.csrrs(16, csr))
)
JUMPS = (isa.jal(0, 4), isa.jal(1, -2), isa.jalr(1, 2, 3), isa.beq(1, 2, 6), isa.bgeu(17, 2, -4))
OTHERS = (
    isa.addi(1, 1, 1),
    isa.add(31, 1, 1),
    isa.lui(1, 7),
    isa.auipc(1, 8),
    isa.fence(),
    isa.INSTRUCTIONS["fence"].match | 0xF80,
)
ACCESSES = (isa.lw(1, 2, 3), isa.lb(0, 2, 3), isa.sw(1, 2, 3), isa.sb(1, 2, 0))
PRIVILEGED = (isa.ecall(), isa.mret(), *CSR_WORDS)
INSTRUCTIONS = (*PRIVILEGED, *JUMPS, *OTHERS, *ACCESSES, *ILLEGAL_WORDS)

Grid = dict[str, Sequence[int]]


def _words(rng: Random) -> list[int]:
    legal = [random_instruction(rng, name) for name in isa.INSTRUCTIONS for _ in range(3)]
    return [*INSTRUCTIONS, *legal, *(random_illegal(rng) for _ in range(120))]


def _accesses(names: Sequence[str]) -> list[int]:
    return [isa.encode(name, rd=1, rs1=2, rs2=1, imm=imm) for name, imm in product(names, IMMEDIATES)]


_CAUSES = (*range(10), *CAUSE.values(), 0x108, 0x1000_0000, TRUTH["cause"], TRUTH["rs1"], *NIBBLES)
_CONTROL: Grid = {"outcome": OUTCOMES, "mode": MODES, "instr": INSTRUCTIONS}
_RULE: Grid = {"outcome": OUTCOMES, "mode": MODES}
_LOADED: Grid = {
    "outcome": range(5, 14),
    "mode": MODES,
    "rs1": (*PLACES, *(place - 2047 & WORD_MASK for place in PLACES)),
}

GRIDS: Mapping[str, Grid] = {
    "outcome.mode": {"mode": ANY, "window": WINDOWS},
    "outcome.halted": {"outcome": ANY, "halted": ANY},
    "outcome.fuel": _RULE | {"fuel": (0, *NIBBLES)},
    "outcome.fetch": _RULE | {"pc": PLACES},
    "outcome.decode": _RULE | {"instr": _words(Random(1))},
    "outcome.jump": {"outcome": OUTCOMES, "instr": (*INSTRUCTIONS, *(isa.jalr(1, 2, i) for i in ANY)), "rs1": ANY},
    "outcome.branch": {
        "outcome": OUTCOMES,
        "instr": [
            isa.encode(name, rs1=1, rs2=2, imm=imm)
            for name in ("beq", "bne", "blt", "bge", "bltu", "bgeu")
            for imm in (2, 4, -2)
        ],
        "rs1": (0, 1, 1 << 31, WORD_MASK),
        "rs2": (0, 1, 1 << 31, WORD_MASK),
    },
    "outcome.other": {"outcome": OUTCOMES, "instr": _words(Random(2))},
    "outcome.load": _LOADED | {"instr": _accesses(("lb", "lh", "lw", "lbu", "lhu"))},
    "outcome.store": _LOADED | {"instr": _accesses(("sb", "sh", "sw"))},
    "address.zero": {"outcome": OUTCOMES, "instr": _words(Random(3)), "address": (0, *NIBBLES)},
    "written.zero": {"outcome": OUTCOMES, "instr": _words(Random(4)), "written": (0, *NIBBLES)},
    "next_pc.sequential": _CONTROL | {"pc": (0x1000, WORD_MASK - 3), "next_pc": (0x1000, 0x1004, 0, WORD_MASK - 3)},
    "next_pc.trap": _RULE | {"next_pc": (TRAP_VECTOR, 0, *(TRAP_VECTOR ^ word for word in NIBBLES))},
    "next_pc.mret": {"outcome": OUTCOMES, "instr": PRIVILEGED, "epc": (0, *NIBBLES), "next_pc": (0, 1, 8 << 28)},
    "control.window": _CONTROL
    | {"window": (0, USER_BYTES), "uwin": (0, 0x2AA0_0000), "after_window": (0, USER_BYTES, 0x2AA0_0000, 8 << 28)},
    "control.unchanged": {"halted": ANY, "after_halted": ANY, "after_exit_code": (KEPT["exit_code"], *NIBBLES)},
    "control.halted": _RULE | {"after_halted": (0, 1, 2, *ANY)},
    "control.exit_code": _RULE | {"after_exit_code": _CAUSES},
    "control.fuel": _CONTROL
    | {"fuel": (0, 1, 16, 1 << 31, WORD_MASK), "after_fuel": (0, 1, 15, (1 << 31) - 1, WORD_MASK, WORD_MASK - 1)},
    "control.fuel_written": {"outcome": OUTCOMES, "instr": PRIVILEGED, "rs1": (0, *NIBBLES), "after_fuel": (0, 1)},
    "control.epc": _CONTROL | {"after_epc": (TRUTH["epc"], TRUTH["rs1"], TRUTH["pc"], 0)},
    "control.epc_trap": {"window": WINDOWS, "after_window": WINDOWS, "after_epc": (TRUTH["pc"], 0, 8 << 28 | 0x1000)},
    "control.cause": _CONTROL | {"after_cause": _CAUSES},
    "control.uwin": {
        "outcome": (10, 11, 12),
        "instr": PRIVILEGED,
        "rs1": (0, WORD_MASK, 0x5555_5555, *NIBBLES),
        "after_uwin": (TRUTH["uwin"], 0, WINDOW_MASK, 0xFFF0_0000, 0x1550_0000, 0x5550_0000),
    },
    **{
        f"written.csr_{name}": {
            "outcome": (10, 11, 12),
            "instr": PRIVILEGED,
            "written": (TRUTH[name], 0, 1 << 28, *NIBBLES),
        }
        for name in isa.CSR_NAMES.values()
    },
}


def _points(name: str, rng: Random, count: int) -> Iterator[dict[str, int]]:
    """Some points of the leaf's grid, about half of them such that it does not win, by the field that stands last."""
    grid, claim = GRIDS[name], [*GRIDS[name]][-1]
    for _ in range(count):
        words = TRUTH | {field: rng.choice(values) for field, values in grid.items()}
        claims = rng.sample(grid[claim], len(grid[claim])) if rng.random() < 0.5 else ()
        yield next((lie for value in claims if LEAVES[name].wins(lie := words | {claim: value}) is None), words)


def agree(name: str, rng: Random, count: int) -> tuple[int, int]:
    """Hold the script against the twin at some points of the leaf's grid; returns how many the leaf wins, and loses."""
    leaf, won, lost = LEAVES[name], 0, 0
    indices = list(product(*(hint_values(leaf, hint) for hint in leaf.hints)))
    for words in _points(name, rng, count):
        hints = leaf.wins(words)
        if hints is None:
            lost += 1
            for choice in rng.sample(indices, min(4, len(indices))):
                assert not body_accepts(leaf, words, choice), (choice, words)
            continue
        won += 1
        assert body_accepts(leaf, words, hints), (hints, words)
        if hints:
            assert not body_accepts(leaf, words, rng.choice(indices[-7:])), words  # the last are out of range
    return won, lost


@pytest.mark.parametrize("name", GRIDS)
def test_script_and_twin_agree_on_the_grid(name: str) -> None:
    assert min(agree(name, Random(name), 400)) > 0


@pytest.mark.parametrize("name", ["lb", "sb"])
def test_accesses_are_judged_to_the_byte(name: str) -> None:
    """Around each end of what may be accessed, in every mode, whatever part of the address is the immediate."""
    leaf = LEAVES["outcome.load" if name == "lb" else "outcome.store"]
    fault = Outcome.LOAD_FAULT if name == "lb" else Outcome.STORE_FAULT
    for mode, end, past, imm in product(Mode, WINDOW_ENDS, (-1, 0, 1), IMMEDIATES):
        words = TRUTH | {"mode": int(mode), "instr": isa.encode(name, rd=1, rs1=2, rs2=1, imm=imm)}
        words["rs1"] = end + past - imm & WORD_MASK
        for outcome in (Outcome.RETIRE, fault):
            claim = words | {"outcome": int(outcome)}
            assert body_accepts(leaf, claim, ()) == (leaf.wins(claim) is not None), claim


@pytest.mark.soak
@pytest.mark.parametrize("name", GRIDS)
def test_script_and_twin_agree_on_the_whole_grid(name: str) -> None:
    agree(name, Random(name + "soak"), 50_000)
