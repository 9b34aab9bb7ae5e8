"""Leaves about the word that a load or a store writes: each nibble of it is one nibble of mem, of rs2, or the sign.

The challenger points at a wrong nibble. Offset and size are counted in nibbles: ``2 * (address mod 4)``, and 2, 4 or 8.
The address is the signed one, `address` leaves judge it; that it fits the size is for the outcome leaves.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words
from bitvm.leaves.statement import ACCESS, OPERATION, nibble
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    choose,
    choose_number,
    greater_than,
    pick_indexed,
    reduce,
    require_index,
    split_bit,
    times_power_of_two,
)
from lvm import isa

_WRITTEN = [f"written.{i}" for i in range(8)]
_MEM = [f"mem.{i}" for i in range(8)]
_RS2 = [f"rs2.{i}" for i in range(8)]


def _offset(b: ScriptBuilder) -> None:
    """``… -> … offset``."""
    b.pick("address.0", "offset")
    reduce(b, 8, 4)
    times_power_of_two(b, 1)


def _size(b: ScriptBuilder) -> None:
    """``… funct3 -> … size``: 0, 1, 2 to 2, 4, 8."""
    b.pick_at(0)
    greater_than(b, 1)
    b.add()
    b.unary(op.OP_1ADD, "size")
    times_power_of_two(b, 1)


def _size_of(funct3: int) -> int:
    return 2 * (funct3 + (funct3 > 1) + 1)


def _require_wrong(b: ScriptBuilder) -> None:
    """``… index … true -> …``; fails unless the hinted nibble of written differs."""
    b.roll("index")
    pick_indexed(b, _WRITTEN, "claimed")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _load_body(b: ScriptBuilder) -> None:
    """The nibble is mem's at offset + index; above the size it is 0, or the sign of the nibble at the size's end."""
    decode.require_retired(b)
    decode.require_opcode_and_rd(b, isa.LOAD)
    b.from_alt()
    require_index(b, 8, "index")
    with b.part("decode"):
        b.roll("instr.3", "funct3")
        reduce(b, 8)
        split_bit(b, 4, "unsigned", "funct3")
        _size(b)
    b.unary(op.OP_1SUB)
    b.pick("index")
    b.binary(op.OP_MIN, "place")
    b.pick_at(0)
    b.pick("index")
    b.binary(op.OP_NUMNOTEQUAL, "above")
    b.to_alt()
    _offset(b)
    b.add()
    b.number(7)
    b.binary(op.OP_MIN)
    pick_indexed(b, _MEM, "digit")
    b.pick_at(0)
    greater_than(b, 7)
    b.roll("unsigned")
    b.binary(op.OP_GREATERTHAN)
    choose_number(b, 15, 0, "extension")
    b.apply(op.OP_SWAP, 2, "extension", "digit")
    b.from_alt()
    choose(b, "true")
    _require_wrong(b)


def _load_true(words: Words, index: int) -> int:
    funct3 = decode.funct3(words)
    place = min(index, _size_of(funct3 & 3) - 1)
    digit = nibble(words["mem"], min(7, 2 * (words["address"] % 4) + place))
    if place == index:
        return digit
    return 15 if digit > 7 and funct3 < 4 else 0


def _load_wins(words: Words) -> tuple[int, ...] | None:
    executed = decode.retired(words) and decode.opcode(words) == isa.LOAD and decode.rd(words) != 0
    wrong = (i for i in range(8) if _load_true(words, i) != nibble(words["written"], i))
    index = next(wrong, None) if executed else None
    return None if index is None else (index,)


def _store_body(b: ScriptBuilder) -> None:
    """The nibble is rs2's at index - offset where that lies inside the size, else mem's."""
    decode.require_retired(b)
    decode.require_opcode(b, isa.STORE)
    b.from_alt()
    require_index(b, 8, "index")
    b.pick("index", "place")
    _offset(b)
    b.sub("place")
    b.pick_at(0)
    b.number(0)
    with b.part("decode"):
        b.roll("instr.3", "funct3")
        reduce(b, 8)
        _size(b)
    b.apply(op.OP_WITHIN, 3, "inside")
    b.to_alt()
    b.number(0)
    b.binary(op.OP_MAX)
    pick_indexed(b, _RS2, "stored")
    b.pick("index")
    pick_indexed(b, _MEM, "kept")
    b.from_alt()
    choose(b, "true")
    _require_wrong(b)


def _store_true(words: Words, index: int) -> int:
    place = index - 2 * (words["address"] % 4)
    if 0 <= place < _size_of(decode.funct3(words)):
        return nibble(words["rs2"], place)
    return nibble(words["mem"], index)


def _store_wins(words: Words) -> tuple[int, ...] | None:
    executed = decode.retired(words) and decode.opcode(words) == isa.STORE
    wrong = (i for i in range(8) if _store_true(words, i) != nibble(words["written"], i))
    index = next(wrong, None) if executed else None
    return None if index is None else (index,)


MEMORY_LEAVES = (
    ExecutionLeaf(
        "written.load",
        "written is not the loaded part of mem, extended (lb, lh, lw, lbu, lhu)",
        (OPERATION, ACCESS),
        ("index",),
        _load_body,
        _load_wins,
    ),
    ExecutionLeaf(
        "written.store",
        "written is not mem with the stored part of rs2 (sb, sh, sw)",
        (OPERATION, ACCESS),
        ("index",),
        _store_body,
        _store_wins,
    ),
)
