"""Leaves about shifts: with the amount 4 q + r, a nibble of the result comes from two neighbouring nibbles of rs1.

The challenger points at a wrong nibble j. To the left the two are x_{j-q} and x_{j-q-1}: the result's nibble is bits
4..7 of z = (16 x_{j-q} + x_{j-q-1}) << r. To the right they are x_{j+q+1} and x_{j+q}, and z is shifted by 4 - r, to
have the nibble in the same place. Nibbles that do not exist are zero, or copies of the sign for sra and srai.

The second hint cuts off what is above bit 7: ``0 <= z - 256 above < 256`` holds for one value of it only. What is left
is in ``[16 w, 16 w + 16)`` exactly if the nibble is w.
"""

from __future__ import annotations

from collections.abc import Callable

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble
from bitvm.leaves.statement import OPERATION, nibble
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    choose,
    choose_number,
    greater_than,
    is_even,
    is_value_or_plus_8,
    less_than,
    pick_indexed,
    require_index,
    split_digits,
    times_power_of_two,
)
from lvm import isa
from lvm.layout import WORD_MASK

_RS1 = [f"rs1.{i}" for i in range(8)]


def _amount(b: ScriptBuilder) -> None:
    """``… -> … q r``: the amount's high and low part, from rs2 for OP and from instr for OP-IMM."""
    b.pick("instr.1")
    is_value_or_plus_8(b, isa.OP >> 4, "register")
    b.pick("rs2.1")
    b.pick("instr.6")
    b.pick("register")
    choose(b, "")
    is_even(b)
    b.unary(op.OP_NOT)
    times_power_of_two(b, 2)
    b.roll("register")
    b.pick("rs2.0")
    b.pick("instr.5")
    b.roll("register")
    choose(b, "")
    split_digits(b, "q", "r")
    b.to_alt()
    b.add("q")
    b.from_alt()


def _digit(b: ScriptBuilder, *, left: bool, name: str) -> None:
    """``… fill … i -> … fill … x_i``, or 0 below (left), or `fill` above (right)."""
    b.pick_at(0)
    b.number(0 if left else 7)
    b.binary(op.OP_MAX if left else op.OP_MIN)
    pick_indexed(b, _RS1, name)
    if left:
        b.number(0)
    else:
        b.pick("fill")
    b.roll_at(2)
    if left:
        greater_than(b, -1)
    else:
        less_than(b, 8)
    choose(b, name)


def _sign_fill(b: ScriptBuilder) -> None:
    """``… -> … fill``: 15 if instr asks for an arithmetic shift (funct7 0x20) and rs1 is negative, else 0."""
    b.pick("rs1.7")
    greater_than(b, 7)
    b.pick("instr.7")
    b.binary(op.OP_BOOLAND)
    choose_number(b, 15, 0, "fill")


def _two_digits(b: ScriptBuilder, *, left: bool) -> None:
    """``… index q -> … z``: z before it is shifted."""
    b.pick("index")
    b.roll("q")
    if left:
        b.sub("high")
        b.pick_at(0, "low")
        b.unary(op.OP_1SUB, "low")
    else:
        b.add("low")
        b.pick_at(0, "high")
        b.unary(op.OP_1ADD, "high")
    b.roll("high")
    _digit(b, left=left, name="z")
    times_power_of_two(b, 4)
    b.roll("low")
    _digit(b, left=left, name="low")
    b.add("z")


def _shift_z(b: ScriptBuilder, *, left: bool) -> None:
    """``… z r -> … z << r`` or ``… z << 4 - r``: picked from the list of z, 2z, 4z, …, which stays."""
    b.to_alt()
    for _ in range(3 if left else 4):
        b.pick_at(0)
        b.pick_at(0)
        b.add()
    if left:
        b.number(3)
        b.from_alt()
        b.sub()
    else:
        b.from_alt()
    b.apply(op.OP_PICK, 1, "z")


def _body(*, left: bool) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff the hinted nibble of written is not that of the shift."""
        decode.require_op_or_op_imm(b)
        decode.require_funct3(b, 1 if left else 5)
        decode.require_base_funct7(b)
        b.from_alt()
        require_index(b, 8, "index")
        if not left:
            _sign_fill(b)
        with b.part("amount"):
            _amount(b)
            b.to_alt()
        with b.part("digits"):
            _two_digits(b, left=left)
        b.from_alt()
        b.rename("r")
        with b.part("shift"):
            _shift_z(b, left=left)
            b.from_alt()
            times_power_of_two(b, 8)
            b.sub("z")
            b.pick_at(0)
            b.within(0, 256)
            b.verify()
        b.roll("index")
        pick_indexed(b, [f"written.{i}" for i in range(8)], "claimed")
        times_power_of_two(b, 4)
        b.sub()
        b.within(0, 16)
        b.unary(op.OP_NOT)
        b.verify()

    return body


def _amount_of(words: Words) -> int:
    amount = words["rs2"] if decode.opcode(words) == isa.OP else words["instr"] >> 20
    return amount & 31


def _left_wins(words: Words) -> tuple[int, ...] | None:
    if not decode.executed_op_or_op_imm(words, 1) or not decode.is_base(words):
        return None
    amount, rs1 = _amount_of(words), words["rs1"]
    index = differing_nibble(words["written"], rs1 << amount & WORD_MASK)
    if index is None:
        return None
    low = 4 * (index - amount // 4) - 4  # z is the eight bits from here, zero below bit 0
    z = rs1 >> low if low >= 0 else rs1 << -low
    return index, (z & 0xFF) << amount % 4 >> 8


def _right_wins(words: Words) -> tuple[int, ...] | None:
    if not decode.executed_op_or_op_imm(words, 5) or not decode.is_base(words):
        return None
    amount, rs1 = _amount_of(words), words["rs1"]
    arithmetic = nibble(words["instr"], 7) != 0
    extended = rs1 - (1 << 32) if arithmetic and rs1 >> 31 else rs1
    index = differing_nibble(words["written"], extended >> amount & WORD_MASK)
    if index is None:
        return None
    z = extended >> 4 * (index + amount // 4) & 0xFF
    return index, z << 4 - amount % 4 >> 8


SHIFT_LEAVES = (
    ExecutionLeaf(
        "written.shift_left",
        "written is not rs1 << amount (sll, slli)",
        (OPERATION,),
        ("index", "above"),
        _body(left=True),
        _left_wins,
    ),
    ExecutionLeaf(
        "written.shift_right",
        "written is not rs1 >> amount (srl, srli, sra, srai)",
        (OPERATION,),
        ("index", "above"),
        _body(left=False),
        _right_wins,
    ),
)
