"""Leaves about the CSRs: what csrrs reads from one, and fuel, epc, cause and uwin after the step.

A CSR is a control word. It keeps its value unless csrrw writes rs1 to it (of uwin only the bits that a window can
have) or user mode changes it: every step that finds fuel takes one from it, a trap sets epc and cause. The challenger
points at a wrong nibble, and only that is looked at; fuel, which is counted down, is a sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble, won
from bitvm.leaves.execution.causes import cause_digit, cause_of
from bitvm.leaves.statement import ALLOWANCE, FIELDS, FLOW, OPERATION, RETURN_PC, TRAP_CAUSE, WINDOWS
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, greater_than, pick_indexed, reduce, require_index
from bitvm.script.u32 import digits_of, weighted_sum
from lvm import isa
from lvm.layout import WINDOW_MASK, WORD_MASK
from lvm.outcome import Outcome

_CSRS = {
    "uwin": (isa.UWIN, WINDOWS),
    "fuel": (isa.FUEL, ALLOWANCE),
    "epc": (isa.EPC, RETURN_PC),
    "cause": (isa.CAUSE, TRAP_CAUSE),
}
"""Number and group of each CSR."""


def _hint(index: int | None) -> tuple[int, ...] | None:
    return None if index is None else (index,)


def _nibbles(word: str) -> list[str]:
    return list(FIELDS[word].nibble_names)


def _require_differ(b: ScriptBuilder, claimed: str) -> None:
    """``… index … true -> …``; fails unless the nibble of `claimed` that index points at is another one."""
    b.roll("index")
    pick_indexed(b, _nibbles(claimed), "claimed")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


# ---- csrrs


def _read_body(name: str) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff csrrs read this CSR, and the hinted nibble of written is not the CSR's."""
        decode.require_csr_read(b, _CSRS[name][0])
        b.from_alt()
        require_index(b, 8, "index")
        digits = _nibbles(name)
        if len(digits) < 8:  # the low bits of uwin, all zero, are not signed: build the word
            low = [f"zero.{index}" for index in range(8 - len(digits))]
            for zero in low:
                b.number(0, zero)
            for digit in digits:
                b.roll(digit)
            digits = low + digits
        b.pick("index")
        pick_indexed(b, digits, "true")
        _require_differ(b, "written")

    return body


def _read_wins(name: str) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        if not decode.read_csr(words, _CSRS[name][0]):
            return None
        return _hint(differing_nibble(words["written"], words[name]))

    return wins


# ---- after the step


def _kept_or_written(b: ScriptBuilder, name: str) -> None:
    """``… index … -> … index … true``: the nibble of rs1 if csrrw writes it to this CSR, else the CSR's own."""
    b.pick("index")
    pick_indexed(b, [f"rs1.{index}" for index in range(8)], "written")
    b.pick("index")
    pick_indexed(b, _nibbles(name), "kept")
    decode.is_csr_write(b, _CSRS[name][0])
    choose(b, "true")


def _kept_or_written_word(words: Words, name: str) -> int:
    return words["rs1"] if decode.wrote_csr(words, _CSRS[name][0]) else words[name]


def _epc_body(b: ScriptBuilder) -> None:
    """Win iff there is no trap, and the hinted nibble of epc is neither kept nor written."""
    decode.is_trap(b)
    b.unary(op.OP_NOT)
    b.verify()
    b.from_alt()
    require_index(b, 8, "index")
    _kept_or_written(b, "epc")
    _require_differ(b, "after_epc")


def _epc_wins(words: Words) -> tuple[int, ...] | None:
    if decode.trapped(words):
        return None
    return _hint(differing_nibble(words["after_epc"], _kept_or_written_word(words, "epc")))


def _epc_trap_body(b: ScriptBuilder) -> None:
    """Win iff window becomes 0, which is a trap, and the hinted nibble of epc is not that of pc."""
    for name in ("window", "after_window"):
        first, *others = _nibbles(name)[::-1]
        b.roll(first)
        for other in others:
            b.roll(other)
            b.add()
        b.rename(name)
    b.unary(op.OP_NOT)
    b.binary(op.OP_BOOLAND)
    b.verify()
    b.from_alt()
    require_index(b, 8, "index")
    b.pick_at(0)
    pick_indexed(b, _nibbles("pc"), "true")
    _require_differ(b, "after_epc")


def _epc_trap_wins(words: Words) -> tuple[int, ...] | None:
    if words["window"] == 0 or words["after_window"] != 0:
        return None
    return _hint(differing_nibble(words["after_epc"], words["pc"]))


def _cause_body(b: ScriptBuilder) -> None:
    """Win iff the hinted nibble of cause is not the trap's, or, if there is no trap, neither kept nor written."""
    b.from_alt()
    require_index(b, 8, "index")
    cause_digit(b)
    _kept_or_written(b, "cause")
    decode.is_trap(b)
    choose(b, "true")
    _require_differ(b, "after_cause")


def _cause_wins(words: Words) -> tuple[int, ...] | None:
    true = cause_of(words) if decode.trapped(words) else _kept_or_written_word(words, "cause")
    return _hint(differing_nibble(words["after_cause"], true))


def _fuel_body(b: ScriptBuilder) -> None:
    """Win iff csrrw does not write fuel, and ``fuel - spent - after_fuel`` is not 0."""
    decode.is_csr_write(b, isa.FUEL)
    b.unary(op.OP_NOT)
    b.verify()
    with b.part("decode"):
        b.roll("outcome.0")
        greater_than(b, Outcome.FUEL)
        b.roll("mode.0")
        b.binary(op.OP_BOOLAND, "spent")
        b.to_alt()
    lowest, *others = digits_of(plus=["fuel"], minus=["after_fuel"])
    digits = [replace(lowest, minus=("after_fuel.0", "spent")), *others]
    weighted_sum(b, digits, modulo=True, ranges={"spent": (0, 1)})
    b.verify()


def _fuel_wins(words: Words) -> tuple[int, ...] | None:
    spent = words["mode"] != 0 and words["outcome"] > Outcome.FUEL
    wrong = words["after_fuel"] != words["fuel"] - spent & WORD_MASK
    return won(wrong and not decode.wrote_csr(words, isa.FUEL))


def _fuel_written_body(b: ScriptBuilder) -> None:
    """Win iff csrrw writes fuel, and the hinted nibble of fuel is not that of rs1."""
    decode.is_csr_write(b, isa.FUEL)
    b.verify()
    b.from_alt()
    require_index(b, 8, "index")
    b.pick_at(0)
    pick_indexed(b, _nibbles("rs1"), "true")
    _require_differ(b, "after_fuel")


def _fuel_written_wins(words: Words) -> tuple[int, ...] | None:
    if not decode.wrote_csr(words, isa.FUEL):
        return None
    return _hint(differing_nibble(words["after_fuel"], words["rs1"]))


def _uwin_body(b: ScriptBuilder) -> None:
    """Win iff the hinted nibble of uwin is neither kept nor written; of rs1's highest nibble two bits are."""
    b.from_alt()
    require_index(b, 3, "index")
    b.pick("index")
    pick_indexed(b, _nibbles("rs1")[5:], "digit")
    b.pick_at(0)
    reduce(b, 8, 4)
    b.pick("index")
    b.equals_number(2)
    b.unary(op.OP_NOT)
    choose(b, "written")
    b.pick("index")
    pick_indexed(b, _nibbles("uwin"), "kept")
    decode.is_csr_write(b, isa.UWIN)
    choose(b, "true")
    _require_differ(b, "after_uwin")


def _uwin_wins(words: Words) -> tuple[int, ...] | None:
    true = words["rs1"] & WINDOW_MASK if decode.wrote_csr(words, isa.UWIN) else words["uwin"]
    return _hint(differing_nibble(words["after_uwin"] >> 20, true >> 20))


CSR_LEAVES = (
    *(
        ExecutionLeaf(
            f"written.csr_{name}",
            f"csrrs read {name}, and written is not what it was",
            (OPERATION, group),
            ("index",),
            _read_body(name),
            _read_wins(name),
        )
        for name, (_, group) in _CSRS.items()
    ),
    ExecutionLeaf(
        "control.fuel",
        "fuel is not what it was, less 1 in user mode",
        (ALLOWANCE, OPERATION),
        (),
        _fuel_body,
        _fuel_wins,
    ),
    ExecutionLeaf(
        "control.fuel_written",
        "fuel is not what csrrw wrote to it",
        (OPERATION, ALLOWANCE),
        ("index",),
        _fuel_written_body,
        _fuel_written_wins,
    ),
    ExecutionLeaf(
        "control.epc",
        "epc is neither what it was nor what csrrw wrote to it, and there was no trap",
        (OPERATION, RETURN_PC),
        ("index",),
        _epc_body,
        _epc_wins,
    ),
    ExecutionLeaf(
        "control.epc_trap",
        "epc after a trap is not pc",
        (WINDOWS, FLOW, RETURN_PC),
        ("index",),
        _epc_trap_body,
        _epc_trap_wins,
    ),
    ExecutionLeaf(
        "control.cause",
        "cause is not the trap's, or without one neither what it was nor what csrrw wrote to it",
        (OPERATION, TRAP_CAUSE),
        ("index",),
        _cause_body,
        _cause_wins,
    ),
    ExecutionLeaf(
        "control.uwin",
        "uwin is neither what it was nor what csrrw wrote to it",
        (OPERATION, WINDOWS),
        ("index",),
        _uwin_body,
        _uwin_wins,
    ),
)
