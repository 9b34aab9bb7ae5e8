"""Leaves about a written remainder: rem, remu (RISC-V manual, "M", "Division Operations").

n is the dividend rs1, d the divisor rs2, w the written word. "Away" means: for n < 0 all signs are changed.

By zero, w is right exactly if it is n: the challenger points at a nibble in which they differ. Another leaf is about
other divisors. There, w is right exactly if d divides n - w, and w lies in ``0 .. |d| - 1`` (away). The challenger
supplies q, and Script sums ``t = q d + w - n`` (away). It reads t - 2^31 as a number, so ``1 <= t < 2^32``. The
challenger wins if

    t < |d|:  d does not divide n - w; or
    t <= w (away, as an unsigned word):  w - t = n - q d is closer to 0 than w, or w has the wrong sign.

q may be any number: neither conclusion needs it to be the quotient. That leaf is sound by zero, too: no t is below 0,
and as any t is w - n (away), t >= 1 shows that w is not n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bitcoin.core import script as op

from bitvm.leaves.execution.base import ExecutionLeaf, Words, differing_nibble
from bitvm.leaves.execution.div import less_dividend
from bitvm.leaves.execution.muldecode import executed_muldiv, require_muldiv, signed
from bitvm.leaves.statement import OPERATION
from bitvm.script.builder import ScriptBuilder
from bitvm.script.multiply import LOW_BITS, Column, column_sum, drop_table, multiples, product_columns
from bitvm.script.u4 import choose, choose_number, greater_than, pick_indexed, require_index, times_power_of_two


@dataclass(frozen=True)
class _Remainder:
    name: str
    funct3: int
    signed: bool


_REMAINDERS = (_Remainder("rem", 6, signed=True), _Remainder("remu", 7, signed=False))

# ---- by zero


def _by_zero_body(kind: _Remainder) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff d is zero and w differs from n in the hinted nibble."""
        require_muldiv(b, kind.funct3)
        with b.part("by zero"):
            b.roll("rs2.7")
            for place in reversed(range(7)):
                b.roll(f"rs2.{place}")
                b.add()
            b.unary(op.OP_NOT)
            b.verify()
        b.from_alt()
        require_index(b, 8, "index")
        b.pick("index")
        pick_indexed(b, [f"rs1.{place}" for place in range(8)], "remainder")
        b.roll("index")
        pick_indexed(b, [f"written.{place}" for place in range(8)], "claimed")
        b.binary(op.OP_NUMNOTEQUAL)
        b.verify()

    return body


def _by_zero_wins(kind: _Remainder) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        if not executed_muldiv(words, kind.funct3) or words["rs2"] != 0:
            return None
        index = differing_nibble(words["written"], words["rs1"])
        return None if index is None else (index,)

    return wins


# ---- by other divisors


def _remainder_body(kind: _Remainder) -> Callable[[ScriptBuilder], None]:
    def body(b: ScriptBuilder) -> None:
        """Win iff ``1 <= t < 2^32`` and t is in the bound that the challenger chose."""
        require_muldiv(b, kind.funct3)
        if kind.signed:
            with b.part("signs"):
                _remainder_signs(b)
        for part in ("low", "high"):
            b.from_alt()
            multiples(b, part)
        column_sum(b, _remainder_columns(kind))
        drop_table(b, "low")
        with b.part("bound"):
            _require_bound(b, kind)

    return body


def _remainder_signs(b: ScriptBuilder) -> None:
    """``… -> … divisor_sign sign signs``: d < 0; n < 0; what the signs of n and w add to the sum by weight 2^32.

    Away, the sum is to be 2^31 less t, not t less 2^31: one more 2^32.
    """
    b.pick("rs2.7")
    greater_than(b, 7, "divisor_sign")
    b.pick("rs1.7")
    greater_than(b, 7, "sign")
    b.pick_at(0)
    times_power_of_two(b, 1)
    b.pick("written.7")
    greater_than(b, 7)
    b.sub("signs")


def _remainder_columns(kind: _Remainder) -> list[Column]:
    """Return the columns of ``q d + w - n``, less 2^31 (away: plus 2^31); w and d are kept for the bound."""
    columns = product_columns("rs2", keep=True, sign="divisor_sign" if kind.signed else None)
    columns = less_dividend(columns)
    written = tuple(f"written.{place}" for place in range(8))
    for place in range(8):
        columns[place] = replace(columns[place], plus=(*columns[place].plus, written[place]), kept=written)
    if kind.signed:
        columns[8] = replace(columns[8], plus=(*columns[8].plus, "signs"))
    columns[7] = replace(columns[7], constant=-8)
    columns[0] = replace(columns[0], wide=True)
    return columns


def _require_bound(b: ScriptBuilder, kind: _Remainder) -> None:
    """``d.0 w.0 … d.7 w.7 [divisor_sign sign] sum | by_divisor -> ``; fails unless t is in its bound.

    The bound is w (away), or if `by_divisor` is not 0, |d| for t + 1. Signed, it is 2^32 less the word if n < 0, or by
    the divisor if d < 0; from a word of 0 that cannot be read, nor need it be: the true bound is 0 then.
    """
    if kind.signed:
        _negate_if(b, "sign")
    b.from_alt()
    b.unary(op.OP_0NOTEQUAL, "by_divisor")
    b.apply(op.OP_TUCK, 2, "by_divisor", "sum", "by_divisor")
    b.add("sum")
    b.to_alt()
    if kind.signed:
        b.pick_at(0)
        b.to_alt()
        choose(b, "negative")
        b.from_alt()
        b.rename("by_divisor")
        b.roll("negative")
        b.to_alt()
    _choose_digits(b)
    _bound_from_digits(b)
    if kind.signed:
        _negate_if(b, "negative")
    b.from_alt()
    b.binary(op.OP_GREATERTHANOREQUAL)
    b.verify()


def _negate_if(b: ScriptBuilder, condition: str) -> None:
    """``… condition … x -> … (-x if condition else x)``; the condition is consumed if it is on top of the alt stack."""
    name = b.stack[-1]
    b.pick_at(0)
    b.unary(op.OP_NEGATE, "negated")
    b.apply(op.OP_SWAP, 2, "negated", name)
    if b.alt[-1] == condition:
        b.from_alt()
    else:
        b.pick(condition)
    choose(b, name)


def _choose_digits(b: ScriptBuilder) -> None:
    """``d.0 w.0 … d.7 w.7 by_divisor -> 15 digits``: those of d or w are every other one, from the top.

    Dropping the top, or the bottom, makes it so.
    """
    choose_number(b, 0, 15)
    b.apply(op.OP_ROLL, 17, *[""] * 16)
    b.drop()


def _bound_from_digits(b: ScriptBuilder) -> None:
    """``x.0 y.1 x.1 … y.7 x.7 -> x - 2^31``; the last digit is added to one half, since -2^31 cannot be read."""
    b.number(8)
    b.sub()
    for place in reversed(range(7)):
        b.binary(op.OP_NIP)
        times_power_of_two(b, 3)
        b.pick_at(0)
        if place == 0:
            b.roll_at(2)
        b.add()
        b.add()


def _remainder_wins(kind: _Remainder) -> Callable[[Words], tuple[int, ...] | None]:
    def wins(words: Words) -> tuple[int, ...] | None:
        if not executed_muldiv(words, kind.funct3) or words["rs2"] == 0:
            return None
        n, d, w = (signed(words[name]) if kind.signed else words[name] for name in ("rs1", "rs2", "written"))
        away = -1 if n < 0 else 1
        t = away * (w - n) % abs(d)
        by_divisor = t != 0
        if not by_divisor:
            if abs(w) < abs(d) and away * w >= 0:
                return None
            t = abs(d)
        quotient = (away * t - (w - n)) // d
        high = quotient >> LOW_BITS if abs(quotient) >> LOW_BITS else 0
        return quotient - (high << LOW_BITS), high, int(by_divisor)

    return wins


REM_LEAVES: tuple[ExecutionLeaf, ...] = (
    *(
        ExecutionLeaf(
            f"written.{kind.name}",
            f"{kind.name} retired, rd is not x0, rs2 is not 0, and written is not the remainder",
            (OPERATION,),
            ("quotient_low", "quotient_high", "by_divisor"),
            _remainder_body(kind),
            _remainder_wins(kind),
        )
        for kind in _REMAINDERS
    ),
    *(
        ExecutionLeaf(
            f"written.{kind.name}_by_zero",
            f"{kind.name} retired, rd is not x0, rs2 is 0, and written is not rs1",
            (OPERATION,),
            ("index",),
            _by_zero_body(kind),
            _by_zero_wins(kind),
        )
        for kind in _REMAINDERS
    ),
)
