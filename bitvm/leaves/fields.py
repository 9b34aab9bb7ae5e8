"""The one-time keys of a game after Challenge, Step's apart: which message signs which fields, by which scheme.

A field is called by its path ``Transaction/field``, the same in every game. Nodes that a refutation hashes are signed
so that Script can read their nibbles (`NODE_USED`); nodes that are only compared with a label are signed as `NODE`.

==========  ==========  =====================================================================================
Demand_r    challenger  nothing
Outline_r   prover      ``point_1`` … ``point_w-1``: points w, 2w … of list r, with k = w * w intervals
Pick_r      challenger  ``group``: which w points of list r are to be shown
Detail_r    prover      ``group`` again, ``point_1`` … ``point_w-1``: the points inside that group
Ask         challenger  ``kind``: which statement of Step is to be proved (`Kind`)
Path        prover      ``where``: kind again, level of the list (entries) and place (6 nibbles, lowest first): a leaf's
                        index in the state tree, or an entry's in its list; and nodes (see `bitvm.leaves.path`)
Descend     challenger  ``gap``: between which nodes of Path
Inside      prover      ``gap`` again, and nodes or the words of a leaf
Narrow      challenger  ``gap``: between which nodes of Inside
Close       prover      ``where``: both gaps again and the turns (bit j: whether the path at the gap's level j is a
                        right child), and nodes
==========  ==========  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from math import isqrt
from types import MappingProxyType

from bitvm.leaves.statement import GROUPS, nibble_names
from bitvm.script.onetime import NODE, NODE_USED, Window
from bitvm.script.onetime.scheme import AnyScheme

PLACE_NIBBLES = 6
WORD_GROUPS = 4
"""A leaf's 16 words are signed by four keys of four words each."""
WORDS_A_GROUP = 4


class Kind(IntEnum):
    """Statements of Step that are proved by a path when the challenger asks."""

    CONTROL = 0
    """The control words before are those of root A."""
    INSTR = 1
    RS1 = 2
    RS2 = 3
    MEM = 4
    """The word read is the one that root A holds at its address."""
    DATA = 5
    """M is A with the data word written."""
    STATE = 6
    """B is M with the control words after."""
    LEFT = 7
    """A is the list entry left of the step."""
    RIGHT = 8
    """B is the list entry right of the step."""
    START = 9
    """A is Boot(prev_root, input_root), at step 0."""


READS = (Kind.CONTROL, Kind.INSTR, Kind.RS1, Kind.RS2, Kind.MEM)
WRITES = (Kind.DATA, Kind.STATE)
ENTRIES = (Kind.LEFT, Kind.RIGHT)

SYMBOL = Window(width=16, slots=1)
GROUP_OF_WORDS = Window(width=16, slots=8 * WORDS_A_GROUP)

TREE_GAPS = 3
"""Gaps of Path in the state tree, 8 levels each; gap 3 is the leaf itself."""
START_GAPS = 4
"""Gaps of Path for `Kind.START`: heights 17, 19, 21, 23, 24."""
NARROW_GAPS = 4
"""Gaps of Inside, 2 levels each."""


def _fields(signed: Mapping[str, AnyScheme], *nodes: str) -> Mapping[str, AnyScheme]:
    return MappingProxyType({**signed, **dict.fromkeys(nodes, NODE_USED)})


def _numbered(name: str, first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{name}_{index}" for index in range(first, last + 1))


ASK: Mapping[str, AnyScheme] = MappingProxyType({"kind": SYMBOL})
PATH = _fields(
    {"where": Window(width=16, slots=2 + PLACE_NIBBLES)},
    "top",
    "top_after",
    "input",
    *_numbered("before", 0, 5),
    *_numbered("after", 0, 3),
)
DESCEND: Mapping[str, AnyScheme] = MappingProxyType({"gap": Window(width=8, slots=1)})
INSIDE = _fields(
    {
        "gap": SYMBOL,
        **dict.fromkeys(_numbered("words", 0, WORD_GROUPS - 1), GROUP_OF_WORDS),
        **dict.fromkeys(_numbered("after_words", 0, WORD_GROUPS - 1), GROUP_OF_WORDS),
    },
    *_numbered("before", 1, 3),
    *_numbered("after", 1, 3),
    *_numbered("sibling", 0, 1),
)
NARROW: Mapping[str, AnyScheme] = MappingProxyType({"gap": Window(width=NARROW_GAPS, slots=1)})
CLOSE = _fields({"where": Window(width=16, slots=3)}, "before", "after", "sibling_0", "sibling_1")


def points(width: int) -> tuple[str, ...]:
    """Return the point fields of Outline and Detail for lists of ``width`` intervals."""
    return _numbered("point", 1, isqrt(width) - 1)


def outline(width: int) -> Mapping[str, AnyScheme]:
    """Return the fields of Outline_r."""
    return MappingProxyType(dict.fromkeys(points(width), NODE))


def pick(width: int) -> Mapping[str, AnyScheme]:
    """Return the field of Pick_r."""
    return MappingProxyType({"group": Window(width=isqrt(width), slots=1)})


def detail(width: int) -> Mapping[str, AnyScheme]:
    """Return the fields of Detail_r."""
    return MappingProxyType({**pick(width), **outline(width)})


_PARTS = {
    "Path/where": ("path.kind", "path.level", *(f"path.place.{index}" for index in range(PLACE_NIBBLES))),
    "Close/where": ("close.gap", "close.narrow", "close.turns"),
}


def numbers(path: str, scheme: AnyScheme) -> tuple[str, ...]:
    """Return the names of the numbers that the used key ``path`` leaves on the stack, top first (slot 0 on top).

    The groups of Step keep the names of `bitvm.leaves.statement`; the symbols of ``Step/index`` are ``t.0`` …; those of
    ``Path/where`` and ``Close/where`` name their parts: ``path.kind``, ``path.level``, ``path.place.0`` …,
    ``close.gap``, ``close.narrow``, ``close.turns``; those of a leaf's words are ``word.j.i`` and ``after.j.i``, nibble
    i of word j (0..15). Any other number is ``transaction.field.i``, in lower case: 38 indices of a `NODE`, 48 nibbles
    of a `NODE_USED` (low half of a byte first), or one symbol ``transaction.field.0``.
    """
    transaction, field = path.split("/")
    if transaction == "Step" and field in GROUPS:
        return nibble_names(field)
    if path in _PARTS:
        return _PARTS[path]
    if scheme == GROUP_OF_WORDS:
        kind, _, group = field.rpartition("words_")
        name = "after" if kind else "word"
        first = WORDS_A_GROUP * int(group)
        return tuple(f"{name}.{first + j}.{i}" for j in range(WORDS_A_GROUP) for i in range(8))
    prefix = "t" if path == "Step/index" else f"{transaction.lower()}.{field}"
    return tuple(f"{prefix}.{index}" for index in range(scheme.numbers))
