"""Proofs that a node is not the one that it restates.

A node that is compared is signed as a label of `NODE`, a node that is hashed as nibbles of `NODE_USED`. Path says some
nodes of the first kind again as nodes of the second; these proofs win where it says another one. A label has a value V
in 0 … 54!/16! - 1 (mixed radix, `Permutation`), nibbles a number N below 2^192, and both are one node exactly if V = N:
a label with V >= 2^192 encodes no node and is refuted whatever it is restated as.

Construction: long division of V - N by 256, byte by byte, as by hand. Both numbers are sums of terms on the stack::

    V - N = sum over g of label.g * w_g  -  sum over k of nibble.k * 16^k

    label.g  three indices of the label in one number (the last: two), below 54 * 53 * 52 = 148,824
    w_g      54!/(54 - 3 g)!, the place value of index 3 g

Each weight is written in non-adjacent form, digits -1, 0, 1 for every bit, of which a third are not 0. Byte l of the
sum, s_l, takes the digits of the bits 8 l … 8 l + 7, so that V - N = sum of s_l * 256^l. The challenger gives the
carries c_1 … c_24, and with c_0 = 0 Script computes all

    r_l = s_l + c_l - 256 c_(l+1)        and fails unless 0 <= r_l < 256

by Horner's rule from bit 7 to bit 0, starting with -c_(l+1). It accepts if an r_l or c_24 is not 0.

Whatever the carries are, ``V - N = sum of r_l * 256^l + c_24 * 256^24``, since they cancel; and the first sum lies in
0 … 256^24 - 1. So V = N makes c_24 and then every r_l zero: the proof accepts no true restatement. If V != N, floor
division gives carries with which it accepts. Script's numbers are exact or the script fails: it reads 4 bytes.

True carries never make it fail. A digit string of 8 bits in this form is at most 170 (10101010) in absolute value, so
``|s_l| <= 13 * 148,823 * 170 + 255 < 2^28.3`` and ``|c_l| < 2^20.4``. After the column of bit b the sum is
``(r_l - c_l - what the lower columns add) / 2^b``, and inside of the next column at most ``13 * 148,823 + 15 < 2^21``
away from twice that; so it stays below 2^31.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import perm
from types import MappingProxyType

from bitcoin.core import script as op

from bitvm.leaves.fields import ENTRIES, Kind, numbers
from bitvm.leaves.proof import Hints, Proof, Said, won
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import NODE, NODE_USED
from bitvm.script.u4 import require_number, times_power_of_two

_WHERE = "Path/where"
_BYTES = 24
_CARRIES = tuple(f"carry_{number}" for number in range(1, _BYTES + 1))
_GROUPS = tuple(range(first, min(first + 3, NODE.slots)) for first in range(0, NODE.slots, 3))
"""The slots of the indices that make one term of V."""


@dataclass(frozen=True, slots=True)
class _Restatement:
    """What a field of Path says again.

    kinds: first and last question in answer to which Path says it again. level: of which list, where that matters.
    exact: path of the label's key. restated: path of the nibbles' key.
    """

    name: str
    kinds: tuple[Kind, Kind]
    exact: str
    restated: str
    level: int | None = None

    def applies(self, said: Said) -> bool:
        """Twin of `_require_case`."""
        level = self.level is None or said.words["path.level"] == self.level
        return level and self.kinds[0] <= said.words["path.kind"] <= self.kinds[1]


def restated_proofs(levels: int, previous: bytes | None) -> tuple[Proof, ...]:
    """Return the proofs that Path says another node than the one it has to say again, in a game of ``levels`` lists.

    previous: the node that prev_root has to be, 24 bytes, for the first claim; None where it is the final root of the
    claim before, whose label was signed under ``Before/final_root``. Raises MessageError for another number of bytes.
    """
    proofs = [_proof(restatement) for restatement in _restatements(levels)]
    prev_root = _Restatement("top.prev", (Kind.START, Kind.START), "Before/final_root", "Path/top")
    return (*proofs, _proof(prev_root) if previous is None else _constant_proof(prev_root, previous))


def _restatements(levels: int) -> Iterator[_Restatement]:
    before, written, after = (f"Step/root_{name}" for name in ("before", "written", "after"))
    yield _Restatement("top.A", (Kind.CONTROL, Kind.DATA), before, "Path/top")
    yield _Restatement("top.M", (Kind.STATE, Kind.STATE), written, "Path/top")
    for level in range(1, levels + 1):
        root = "Claim/trace_root" if level == 1 else f"Reveal_{level}/trace_root"
        yield _Restatement(f"top.R_{level}", ENTRIES, root, "Path/top", level)
    yield _Restatement("top_after.M", (Kind.DATA, Kind.DATA), written, "Path/top_after")
    yield _Restatement("top_after.B", (Kind.STATE, Kind.STATE), after, "Path/top_after")
    yield _Restatement("top_after.A", (Kind.START, Kind.START), before, "Path/top_after")
    yield _Restatement("before_0.A", (Kind.LEFT, Kind.LEFT), before, "Path/before_0")
    yield _Restatement("before_0.B", (Kind.RIGHT, Kind.RIGHT), after, "Path/before_0")
    yield _Restatement("input", (Kind.START, Kind.START), "Claim/input_root", "Path/input")


# ---- proofs


def _proof(restatement: _Restatement) -> Proof:
    exact, restated = restatement.exact, restatement.restated

    def body(b: ScriptBuilder) -> None:
        """Win iff Path restates this node, and V is not N."""
        _require_case(b, restatement)
        _gather(b, numbers(exact, NODE))
        _require_difference(b, numbers(restated, NODE_USED))

    def wins(said: Said) -> Hints | None:
        if not restatement.applies(said):
            return None
        indices, digits = said.signatures[exact].indices, said.signatures[restated].indices
        return _carries(indices, NODE_USED.layout.nibbles(digits))

    return Proof(
        f"restated.{restatement.name}",
        f"{restated} is not the node of {exact}",
        (_WHERE, exact, restated),
        _CARRIES,
        body,
        wins,
    )


def _constant_proof(restatement: _Restatement, node: bytes) -> Proof:
    restated = restatement.restated
    true = NODE_USED.layout.nibbles(NODE_USED.encode(node))

    def body(b: ScriptBuilder) -> None:
        """Win iff Path restates this node, and a nibble is another one."""
        _require_case(b, restatement)
        for place, name in enumerate(numbers(restated, NODE_USED)):
            b.roll(name)
            b.number(true[place])
            b.binary(op.OP_NUMNOTEQUAL)
            if place:
                b.binary(op.OP_BOOLOR)
        b.verify()

    def wins(said: Said) -> Hints | None:
        nibbles = NODE_USED.layout.nibbles(said.signatures[restated].indices)
        return won(restatement.applies(said) and nibbles != true)

    return Proof(
        f"restated.{restatement.name}", f"{restated} is not the first image's root", (_WHERE, restated), (), body, wins
    )


# ---- in Script


def _require_case(b: ScriptBuilder, restatement: _Restatement) -> None:
    """``… where -> …``; fails unless Path answers a question to which it restates this node."""
    first, last = restatement.kinds
    b.roll("path.kind")
    if first == last:
        require_number(b, first)
    else:
        b.within(first, last + 1)
        b.verify()
    if restatement.level is not None:
        b.roll("path.level")
        require_number(b, restatement.level)
    b.drop(sum(name.startswith(("path.level", "path.place.")) for name in b.stack))


def _gather(b: ScriptBuilder, indices: Sequence[str]) -> None:
    """``… index_37 … index_0 -> … label.12 … label.0``: three indices in one number each, the last two."""
    for number, slots in enumerate(_GROUPS):
        b.roll(indices[slots[-1]])
        for slot in reversed(slots[:-1]):
            _times(b, NODE.list_size(slot))
            b.roll(indices[slot])
            b.add()
        b.rename(f"label.{number}")
        b.to_alt()
    b.from_alt(len(_GROUPS))


def _times(b: ScriptBuilder, factor: int) -> None:
    """``… x -> … factor * x`` for a factor of at least 2, by doubling and adding."""
    b.pick_at(0)
    for bit in bin(factor)[3:]:
        times_power_of_two(b, 1)
        if bit == "1":
            b.pick_at(1)
            b.add()
    b.apply(op.OP_NIP, 2, "")


def _require_difference(b: ScriptBuilder, nibbles: Sequence[str]) -> None:
    """``… nibble_47 … nibble_0 label.12 … label.0 | carry_24 … carry_1 -> …``; fails if V = N (see the module)."""
    columns = _columns(nibbles)
    uses = Counter(name for column in columns.values() for name, _ in column)
    b.number(0, "remainders")
    b.number(0, "carry")
    for byte in range(_BYTES):
        b.from_alt()
        b.rename("next carry")
        b.pick_at(0)
        b.unary(op.OP_NEGATE, "sum")
        for bit in reversed(range(8 * byte, 8 * byte + 8)):
            times_power_of_two(b, 1)
            for name, sign in columns.get(bit, ()):
                uses[name] -= 1
                if uses[name]:
                    b.pick(name)
                else:
                    b.roll(name)
                b.binary(op.OP_ADD if sign > 0 else op.OP_SUB, "sum")
        b.roll("carry")
        b.add("sum")
        b.pick_at(0)
        b.within(0, 256)
        b.verify()
        b.roll("remainders")
        b.add("remainders")
        b.roll("next carry", "carry")
    b.unary(op.OP_0NOTEQUAL)
    b.add()
    b.verify()


# ---- the sum


def _signed_bits(weight: int) -> Iterator[tuple[int, int]]:
    """Yield the places and signs of the digits that are not 0 in the non-adjacent form of a positive number."""
    place = 0
    while weight:
        if weight & 1:
            sign = 2 - (weight & 3)
            yield place, sign
            weight -= sign
        weight >>= 1
        place += 1


def _columns(nibbles: Sequence[str]) -> Mapping[int, Sequence[tuple[str, int]]]:
    """Return the terms of V - N and their signs by bit; the nibbles are called as given, the lowest first."""
    columns: dict[int, list[tuple[str, int]]] = {}
    for number, slots in enumerate(_GROUPS):
        for bit, sign in _signed_bits(perm(NODE.chains, slots[0])):
            columns.setdefault(bit, []).append((f"label.{number}", sign))
    for number, name in enumerate(nibbles):
        columns.setdefault(4 * number, []).append((name, -1))
    return MappingProxyType(columns)


def _carries(indices: Sequence[int], nibbles: Sequence[int]) -> Hints | None:
    """Return the carries of the division of V - N by 256, byte by byte; None if V = N."""
    names = tuple(f"nibble.{number}" for number in range(len(nibbles)))
    values = dict(zip(names, nibbles, strict=True))
    for number, slots in enumerate(_GROUPS):
        value = 0
        for slot in reversed(slots):
            value = value * NODE.list_size(slot) + indices[slot]
        values[f"label.{number}"] = value
    columns = _columns(names)
    carry, carries, different = 0, [], False
    for byte in range(_BYTES):
        terms = ((bit, term) for bit in range(8) for term in columns.get(8 * byte + bit, ()))
        carry, remainder = divmod(carry + sum(sign * values[name] << bit for bit, (name, sign) in terms), 256)
        carries.append(carry)
        different |= remainder != 0
    return tuple(carries) if different or carry else None
