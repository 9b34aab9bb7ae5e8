"""Two labels differ: the gadget of the proofs that compare nodes which are signed and not hashed.

Both are labels of `NODE`, whose radices are exact: a node has one label, so that two labels are equal exactly if all
their indices are, whether they encode a node or not. The challenger's hint points at a slot whose indices differ; it is
in range, so both indices are signed.
"""

from __future__ import annotations

from bitcoin.core import script as op

from bitvm.leaves.fields import numbers
from bitvm.leaves.proof import Hints, Said
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import NODE
from bitvm.script.u4 import pick_indexed, require_index

SLOT = "slot"
"""The hint: a slot in which the labels differ."""


def require_other_label(b: ScriptBuilder, left: str, right: str) -> None:
    """``… left … right … | slot … -> … left … right … | …``; fails unless the labels differ in the slot, in 0..37.

    left, right: key paths of labels anywhere on the stack.
    """
    b.from_alt()
    require_index(b, NODE.slots, SLOT)
    b.pick(SLOT)
    pick_indexed(b, numbers(left, NODE), "left")
    b.roll(SLOT)
    pick_indexed(b, numbers(right, NODE), "right")
    b.binary(op.OP_NUMNOTEQUAL)
    b.verify()


def differing_slot(said: Said, left: str, right: str) -> Hints | None:
    """Return the first slot in which the labels differ, None if they are equal: twin of `require_other_label`."""
    pairs = zip(said.signatures[left].indices, said.signatures[right].indices, strict=True)
    slot = next((slot for slot, (one, other) in enumerate(pairs) if one != other), None)
    return None if slot is None else (slot,)
