"""Proofs against Step that need no path: M is not A, B is not the final root, and a final state that does not accept.

Step signs the state roots A (before), M (after the data word) and B (after), Claim the final root of the run. All of
them are labels of `NODE`, of which two are equal exactly if all their indices are, whether they encode a node or not;
the challenger points at a slot whose indices differ.

==================  ==========================================================================================
no_write.outcome    M is not A, though the instruction did not complete
no_write.no_rd      M is not A, though the opcode is BRANCH or MISC_MEM, whose instructions write no register
no_write.x0         M is not A, though the register to write is x0, and the opcode is not STORE
final_root          the step is the last one of the run, and B is not the final root that was claimed
accepted            the step is the last one of the run, and the machine has not halted by ECALL with exit code 0
==================  ==========================================================================================

The first three are the cases in which `lvm.record.StepRecord.write_address` is None. They presume that instr and
outcome are true; a false one is the win of another proof, which does not read M. The last step is the one whose choices
are all k - 1, so that all symbols of its index are at their largest: their sum is at its largest then only.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.labels import SLOT, differing_slot, require_other_label
from bitvm.leaves.proof import Hints, Proof, Said, won
from bitvm.leaves.statement import FIELDS, OPERATION, STATUS, Words
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import is_value_or_plus_8, less_than, require_number
from lvm import isa
from lvm.outcome import HALTED_BY_ECALL, Outcome

_INDEX = "Step/index"
_BEFORE, _WRITTEN, _AFTER = "Step/root_before", "Step/root_written", "Step/root_after"
_FINAL = "Claim/final_root"

_WITHOUT_RD = isa.OPCODES_WITHOUT_RD - {isa.STORE}


def verdict_proofs(levels: int, width: int) -> tuple[Proof, ...]:
    """Return the proofs for a game of ``levels`` choices among ``width`` intervals."""
    return (*_NO_WRITE, _final_root(levels, width), _accepted(levels, width))


# ---- no data word is written


def _not_retired_body(b: ScriptBuilder) -> None:
    """``… outcome … -> …``."""
    b.roll("outcome.0")
    b.number(Outcome.RETIRE)
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _without_rd_body(b: ScriptBuilder) -> None:
    """``… instr.0 … instr.1 … -> …``: some opcode has both its low four and its high three bits."""
    for place, opcode in enumerate(sorted(_WITHOUT_RD)):
        b.pick("instr.0")
        b.equals_number(opcode & 0xF)
        b.pick("instr.1")
        is_value_or_plus_8(b, opcode >> 4)
        b.binary(op.OP_BOOLAND)
        if place:
            b.binary(op.OP_BOOLOR)
    b.verify()


def _x0_body(b: ScriptBuilder) -> None:
    """``… instr.0 … instr.1 … instr.2 … -> …``: with rd's low bit 0, instr.1 is just the opcode's high bits."""
    b.roll("instr.2")
    require_number(b, 0)
    b.pick("instr.1")
    less_than(b, 8)
    b.verify()
    b.roll("instr.0")
    b.equals_number(isa.STORE & 0xF)
    b.roll("instr.1")
    b.equals_number(isa.STORE >> 4)
    b.binary(op.OP_BOOLAND)
    b.unary(op.OP_NOT)
    b.verify()


def _no_write(
    reason: str, statement: str, require: Callable[[ScriptBuilder], None], applies: Callable[[Words], bool]
) -> Proof:
    def body(b: ScriptBuilder) -> None:
        """Win iff the step writes no data word for this reason, and M is not A."""
        require(b)
        require_other_label(b, _BEFORE, _WRITTEN)

    def wins(said: Said) -> Hints | None:
        return differing_slot(said, _BEFORE, _WRITTEN) if applies(said.words) else None

    return Proof(f"no_write.{reason}", statement, (f"Step/{OPERATION}", _BEFORE, _WRITTEN), (SLOT,), body, wins)


_NO_WRITE = (
    _no_write(
        "outcome",
        "M is not A, though the instruction did not complete",
        _not_retired_body,
        lambda words: not decode.retired(words),
    ),
    _no_write(
        "no_rd",
        "M is not A, though the instruction is a branch or a fence",
        _without_rd_body,
        lambda words: decode.opcode(words) in _WITHOUT_RD,
    ),
    _no_write(
        "x0",
        "M is not A, though the register to write is x0",
        _x0_body,
        lambda words: decode.rd(words) == 0 and decode.opcode(words) != isa.STORE,
    ),
)


# ---- the last step


def _require_last_step(b: ScriptBuilder, levels: int, width: int) -> None:
    """``… t.2m-1 … t.0 -> …``; fails unless all choices are k - 1. The symbols lie on top."""
    symbols = 2 * levels
    for _ in range(symbols - 1):
        b.add()
    require_number(b, symbols * (isqrt(width) - 1))


def _is_last_step(said: Said, levels: int, width: int) -> bool:
    return tuple(said.choices) == (width - 1,) * levels


def _final_root(levels: int, width: int) -> Proof:
    def body(b: ScriptBuilder) -> None:
        """Win iff this is the last step, and the labels differ."""
        _require_last_step(b, levels, width)
        require_other_label(b, _AFTER, _FINAL)

    def wins(said: Said) -> Hints | None:
        return differing_slot(said, _AFTER, _FINAL) if _is_last_step(said, levels, width) else None

    statement = "the state after the last step does not have the final root of the claim"
    return Proof("final_root", statement, (_INDEX, _AFTER, _FINAL), (SLOT,), body, wins)


def _accepted(levels: int, width: int) -> Proof:
    def body(b: ScriptBuilder) -> None:
        """Win iff this is the last step, and halted is not 1 or the nibbles of exit_code do not add up to 0."""
        _require_last_step(b, levels, width)
        b.roll("after_halted.0")
        b.number(HALTED_BY_ECALL)
        b.binary(op.OP_NUMNOTEQUAL)
        for name in FIELDS["after_exit_code"].nibble_names:
            b.roll(name)
            b.add()
        b.verify()

    def wins(said: Said) -> Hints | None:
        status = said.words["after_halted"], said.words["after_exit_code"]
        return won(_is_last_step(said, levels, width) and status != (HALTED_BY_ECALL, 0))

    statement = "after the last step the machine has not halted by ECALL with exit code 0"
    return Proof("accepted", statement, (_INDEX, f"Step/{STATUS}"), (), body, wins)
