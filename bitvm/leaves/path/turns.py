"""The proof that Close says wrongly which way the path turns at the two levels that it shows.

Bit l of a leaf's index says whether the path's node at height l is a right child. Close shows the levels l and l + 1
with ``l = 8 * gap + 2 * narrow``, so their bits are one half of nibble ``2 * gap + narrow div 2`` of the place: the
high one if narrow is odd. The large proofs at Close presume that the turns are these bits.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.fields import NARROW_GAPS, TREE_GAPS, Kind
from bitvm.leaves.path.location import PLACE, WHERE
from bitvm.leaves.proof import Hints, Proof, Said, won
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import choose, less_than, pick_indexed, require_index, split_bit, split_digits, times_power_of_two

_CLOSE = "Close/where"


def turn_proofs() -> tuple[Proof, ...]:
    """Return the one proof."""
    return (_TURNS,)


def _body(b: ScriptBuilder) -> None:
    """Win iff the turns are not the two bits of the place, so always if they are more than 3."""
    b.roll("path.kind")
    less_than(b, Kind.LEFT)
    b.verify()
    b.roll("close.narrow")
    require_index(b, NARROW_GAPS, "narrow")
    split_bit(b, 2, "second", "odd")
    b.to_alt()
    b.roll("close.gap")
    require_index(b, TREE_GAPS, "gap")
    times_power_of_two(b, 1)
    b.add("nibble")
    pick_indexed(b, PLACE, "digits")
    split_digits(b, "high", "low")
    b.from_alt()
    choose(b, "true")
    b.roll("close.turns")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def _wins(said: Said) -> Hints | None:
    words = said.words
    gap, narrow = words["close.gap"], words["close.narrow"]
    if words["path.kind"] >= Kind.LEFT or gap >= TREE_GAPS or narrow >= NARROW_GAPS:
        return None
    return won(words["close.turns"] != words["path.place"] >> 8 * gap + 2 * narrow & 3)


_TURNS = Proof(
    "turns",
    "the turns are not the bits of the place at the two levels shown",
    (_CLOSE, WHERE),
    (),
    _body,
    _wins,
)
