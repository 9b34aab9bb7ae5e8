"""Leaves about loads and stores: their outcome, judged on rs1 + imm, and the signed effective address.

Whether an address faults is a question about its value as a *signed* word: rs1 read as signed, plus imm, lies in
``0 <= sum < end`` exactly if the address, mod 2^32, is below `end` (a sum that leaves the signed words is far from that
interval, before and after it wraps). So one sum over rs1's digits and the immediate decides, with the top digit cut to
where it still matters. In user mode the address is virtual: it has to lie in the window, and the window where the
access is allowed, so that `end` follows from the signed mode.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bitcoin.core import script as op

from bitvm.leaves.execution import decode
from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble, won
from bitvm.leaves.statement import ACCESS, OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import (
    choose,
    choose_number,
    fold,
    greater_than,
    look_up,
    pick_indexed,
    reduce,
    require_index,
    times_power_of_two,
)
from bitvm.script.u32 import digits_of, weighted_sum
from lvm import isa
from lvm.layout import LOAD_END, STORE_END, USER_BYTES, WORD_MASK
from lvm.outcome import Outcome


class _Access(NamedTuple):
    """What differs between loads and stores."""

    name: str
    opcode: int
    ends: tuple[int, int, int, int]
    """By mode, the first address that faults."""
    misaligned: Outcome
    fault: Outcome
    immediate: Callable[[ScriptBuilder], None]
    imm: Callable[[Words], int]


_LOAD = _Access(
    *("load", isa.LOAD, (LOAD_END, USER_BYTES, USER_BYTES, 0), Outcome.LOAD_MISALIGNED, Outcome.LOAD_FAULT),
    *(decode.immediate_i, decode.imm_i),
)
_STORE = _Access(
    *("store", isa.STORE, (STORE_END, USER_BYTES, 0, 0), Outcome.STORE_MISALIGNED, Outcome.STORE_FAULT),
    *(decode.immediate_s, decode.imm_s),
)


# ---- outcome


def _low_bits(b: ScriptBuilder, access: _Access) -> None:
    """``… -> … class`` of address mod 4, from rs1.0 and the lowest digit of imm: 2 for 0, 0 for 2, 1 if odd."""
    if access is _LOAD:
        b.pick("instr.5")
    else:
        b.pick("instr.2")
        times_power_of_two(b, 1)
        b.pick("instr.1")
        greater_than(b, 7)
        b.add()
    b.pick("rs1.0")
    b.add()
    fold(b, *((16, 8, 4, 2) if access is _LOAD else (32, 16, 8, 4, 2)))


def _is_misaligned(b: ScriptBuilder) -> None:
    """``… instr.3 … class -> … … misaligned``: the size, log2 of its bytes, is at least 1 for odd, 2 for class 0."""
    for least in (4, 1, 2):
        b.number(least)
    b.roll_at(3)
    b.apply(op.OP_PICK, 1, "least")
    for _ in range(3):
        b.apply(op.OP_NIP, 2, "least")
    b.roll("instr.3", "size")
    reduce(b, 8, 4)
    b.binary(op.OP_LESSTHANOREQUAL, "misaligned")


def _signed_top(b: ScriptBuilder) -> None:
    """``rs1.7 -> -1 if 15, else at most 5``: 4 and more is a fault whatever follows, 15 may come up to 0 by a carry."""
    b.pick_at(0)
    b.number(5)
    b.binary(op.OP_MIN)
    b.number(-1)
    b.roll_at(2)
    b.number(15)
    b.binary(op.OP_NUMNOTEQUAL)
    choose(b, "rs1.7")


def _outcome_body(access: _Access) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff the outcome is at least LOAD_MISALIGNED and not what address, size and mode say."""
        b.roll("outcome.0")
        b.pick_at(0)
        greater_than(b, Outcome.TARGET_MISALIGNED)
        b.verify()
        b.to_alt()
        with b.part("alignment"):
            _low_bits(b, access)
            _is_misaligned(b)
            b.to_alt()
        b.roll("mode.0")
        b.to_alt()
        decode.require_opcode(b, access.opcode)
        access.immediate(b)
        b.drop(b.depth("written.7"))  # what is left of instr
        b.roll("rs1.7")
        _signed_top(b)
        digits = decode.with_immediate(digits_of(plus=["rs1"], discard=["written", "rs2"]))
        weighted_sum(b, digits, modulo=False, ranges=decode.IMMEDIATE_RANGES | {"rs1.7": (-1, 5)})
        b.from_alt()
        look_up(b, access.ends, "end")
        b.number(access.misaligned)
        b.roll("sum")
        b.number(0)
        b.roll("end")
        b.apply(op.OP_WITHIN, 3, "allowed")
        choose_number(b, Outcome.RETIRE, access.fault)
        b.from_alt()
        choose(b, "expected")
        b.from_alt()
        b.binary(op.OP_NUMNOTEQUAL)
        b.verify()

    return body


def _outcome_wins(access: _Access) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        address = (words["rs1"] + access.imm(words)) & WORD_MASK
        size = min(1 << (decode.funct3(words) & 3), 4)
        expected = access.fault if address >= access.ends[min(words["mode"], 3)] else Outcome.RETIRE
        if address % size:
            expected = access.misaligned
        outcome = words["outcome"]
        executed = decode.opcode(words) == access.opcode and outcome >= Outcome.LOAD_MISALIGNED
        return won(executed and outcome != expected)

    return wins


# ---- address


def _address_body(access: _Access) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff a load or store was executed and ``rs1 + imm - address`` is not 0 mod 2^32."""
        b.roll("outcome.0")
        greater_than(b, Outcome.TARGET_MISALIGNED)
        b.verify()
        decode.require_opcode(b, access.opcode)
        access.immediate(b)
        b.drop(b.depth("written.7"))
        digits = digits_of(plus=["rs1"], minus=["address"], discard=["written", "rs2"])
        weighted_sum(b, decode.with_immediate(digits), modulo=True, ranges=decode.IMMEDIATE_RANGES)
        b.verify()

    return body


def _address_wins(access: _Access) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        address = (words["rs1"] + access.imm(words)) & WORD_MASK
        executed = decode.opcode(words) == access.opcode and words["outcome"] >= Outcome.LOAD_MISALIGNED
        return won(executed and address != words["address"])

    return wins


def _zero_body(b: ScriptBuilder) -> None:
    """Win iff no load or store was executed and the hinted nibble of address is not 0."""
    b.from_alt()
    require_index(b, 8, "index")
    pick_indexed(b, [f"address.{i}" for i in range(8)], "nibble")
    b.verify()
    b.roll("outcome.0")
    greater_than(b, Outcome.TARGET_MISALIGNED)
    with b.part("decode"):
        decode.is_load_or_store(b)
    b.binary(op.OP_BOOLAND)
    b.unary(op.OP_NOT)
    b.verify()


def _zero_wins(words: Words) -> tuple[int, ...] | None:
    executed = decode.opcode(words) in (isa.LOAD, isa.STORE) and words["outcome"] >= Outcome.LOAD_MISALIGNED
    index = None if executed else differing_nibble(words["address"], 0)
    return None if index is None else (index,)


def _leaves(access: _Access) -> tuple[ExecutionLeaf, ExecutionLeaf]:
    return (
        ExecutionLeaf(
            f"outcome.{access.name}",
            f"a {access.name}'s outcome is not what rs1 + imm says: misaligned, a fault, or done",
            (OPERATION,),
            (),
            _outcome_body(access),
            _outcome_wins(access),
        ),
        ExecutionLeaf(
            f"address.{access.name}",
            f"a {access.name} was executed and address is not rs1 + imm",
            (OPERATION, ACCESS),
            (),
            _address_body(access),
            _address_wins(access),
        ),
    )


ACCESS_LEAVES = (
    *_leaves(_LOAD),
    *_leaves(_STORE),
    ExecutionLeaf(
        "address.zero",
        "no load or store was executed, but address is not 0",
        (ACCESS, OPERATION),
        ("index",),
        _zero_body,
        _zero_wins,
    ),
)
