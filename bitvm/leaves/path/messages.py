"""The proof of one statement of Step, asked for by the challenger: its six messages and what Script checks in each.

After Step the challenger may ask for the proof of one statement (`Kind`). A statement tells of one place in a tree: a
leaf of the state, an entry of a list, or the node that Boot replaces. The prover signs the nodes on the way from the
root to the place, but few of them; the challenger says between which two it wants to see more, twice, until everything
that it needs to compress once in Script, and win if the prover lied, is signed.

==========  ====================  =============  ==================================================================
message     leaf                  for kind       the mover signs
==========  ====================  =============  ==================================================================
Ask      C  ask                                  ``kind``
Path     P  path.read             reads          ``where``, ``top``, ``before_0..2``
            path.write            writes         likewise, and ``top_after``, ``after_0..2``
            path.left_r           LEFT           ``where``, ``top``, ``before_0..H-1``: lists have k = 2^H intervals
            path.right_r          RIGHT          likewise
            path.start            START          ``where``, ``top``, ``top_after``, ``input``, ``before_0..3``,
                                                 ``after_0..3``
Descend  C  descend                              ``gap``
Inside   P  inside.read           reads          ``gap``, ``before_1..3``
            inside.write          writes         likewise, and ``after_1..3``
            inside.read_words     reads          ``gap`` = 3, ``words_0..3``
            inside.write_words    writes         likewise, and ``after_words_0..3``
            inside.entry          LEFT, RIGHT    ``gap``, ``sibling_0``
            inside.start          START          ``gap``, ``before_1``, ``after_1``, ``sibling_0``, ``sibling_1``
Narrow   C  narrow                               ``gap``
Close    P  close.read            reads          ``where``, ``before``, ``sibling_0``, ``sibling_1``
            close.write           writes         likewise, and ``after``
==========  ====================  =============  ==================================================================

Nodes. ``before`` is the path as it was; ``after`` the one over the same siblings once the statement's word is written.

* State tree (reads: root A; writes: A and M, or M and B). Node ``i`` of Path lies at height 8 i, the hash of the leaf
  being height 0; ``top`` and ``top_after`` are the roots, height 24. Gap g < 3 is between the heights 8 g and 8 g + 8,
  gap 3 is the leaf: its words, four a key. Node ``j`` of Inside lies at height 8 g + 2 j. Gap n of Narrow is between
  the heights l = 8 g + 2 n and l + 2; Close signs the node at l + 1 and the siblings of the path's nodes at l and
  l + 1.
* List r (LEFT: A is its entry d_r - 1; RIGHT: B is its entry d_r). Node ``h`` of Path lies at height h, the entry
  being height 0; ``top`` is R_r, height H. Gap h is between h and h + 1, and Inside signs the sibling at h.
* START. Boot replaces the node at height 17: it was ``before_0`` and is ``after_0``, over ``input`` and the initial
  CPU. Node ``i`` of Path lies at height 17 + 2 i, ``top`` (the root before the claim) and ``top_after`` (A) at 24. Gap
  g is between 17 + 2 g and the next node; Inside signs the node at 18 + 2 g and the siblings at 17 + 2 g and
  18 + 2 g. In gap 3, of a single level, the node and the second sibling mean nothing.

Checks. The prover's leaf is open only to the question that it answers, and the prover says the question again:

=========  ========================================================  =============================================
leaf       opens, of the challenger's                                fails unless
=========  ========================================================  =============================================
path.*     ``Ask/kind``                                              it is the leaf's, and ``where`` names it
path.*_r   and ``Choice_r`` … ``Choice_m``                           ``where`` names level r, and r is the last level
                                                                     with d_r != 0 (LEFT) or d_r != k - 1 (RIGHT)
inside.*   ``Ask/kind``, ``Descend/gap``                             the kind is the leaf's; the gap is one of its
                                                                     path's, and ``gap`` names it
close.*    ``Ask/kind``, ``Descend/gap``, ``Narrow/gap``             likewise, and ``where`` names both gaps
=========  ========================================================  =============================================

To every question exactly one leaf is open, or else one of `bitvm.leaves.path.dismiss`. (Both are for START at a later
step than the first: within 1,000 stack items, path.start has no room for the choices of more than five levels. An
honest prover dismisses.)

Why nothing more is checked. All that decides which leaf is open, and what the prover has to say again, was signed by
the challenger; a challenger that signs two questions lets the prover choose, and harms itself alone. What the prover
signed in one message is not checked against what it signed in another: it could sign again. That the place, the turns,
the words and the nodes are right is not checked either. Where they are wrong, the challenger has a proof of it over
the prover's signatures found on the chain; and since the prover said the questions again, such a proof needs none of
the challenger's signatures, with which a challenger could cheat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitcoin.core import script as op

from bitvm.leaves.fields import ENTRIES, READS, START_GAPS, TREE_GAPS, WORD_GROUPS, WRITES, Kind
from bitvm.leaves.message import Message
from bitvm.script.builder import ScriptBuilder
from bitvm.script.u4 import less_than, require_number

ASK = "Ask/kind"
DESCEND = "Descend/gap"
NARROW = "Narrow/gap"
"""Keys of the challenger's questions, and the names of the numbers that they leave:"""
KIND_ASKED, GAP_ASKED, NARROW_ASKED = "ask.kind.0", "descend.gap.0", "narrow.gap.0"

_WHERE = "Path/where"
_GAP = "Inside/gap"
_CLOSE = "Close/where"

Body = Callable[[ScriptBuilder], None]


# ---- the challenger's messages


def ask() -> Message:
    """Return Ask: the challenger signs the kind of the statement to be proved, 0..15."""
    return Message("ask", shown=(ASK,))


def descend() -> Message:
    """Return Descend: the challenger signs a gap of Path, 0..7."""
    return Message("descend", shown=(DESCEND,))


def narrow() -> Message:
    """Return Narrow: the challenger signs a gap of Inside, 0..3."""
    return Message("narrow", shown=(NARROW,))


# ---- the prover's messages


def path_messages(levels: int, width: int) -> tuple[Message, ...]:
    """Return the forms of Path in a game of ``levels`` levels with ``width`` intervals each (4, 16 or 64)."""
    tree = ("top", *_numbered("before", 0, TREE_GAPS - 1))
    tree_after = ("top_after", *_numbered("after", 0, TREE_GAPS - 1))
    start = (*_numbered("before", 0, START_GAPS - 1), *_numbered("after", 0, START_GAPS - 1))
    entries = (
        _entry(name, kind, level, levels, width)
        for level in range(1, levels + 1)
        for name, kind in (("left", Kind.LEFT), ("right", Kind.RIGHT))
    )
    return (
        _path("path.read", READS, tree),
        _path("path.write", WRITES, (*tree, *tree_after)),
        *entries,
        _path("path.start", (Kind.START,), ("top", "top_after", "input", *start)),
    )


def inside_messages(width: int) -> tuple[Message, ...]:
    """Return the forms of Inside, for lists of ``width`` intervals."""
    before, after = _numbered("before", 1, 3), _numbered("after", 1, 3)
    words, after_words = (_numbered(name, 0, WORD_GROUPS - 1) for name in ("words", "after_words"))
    return (
        _inside("inside.read", READS, before, _gap_below(TREE_GAPS)),
        _inside("inside.write", WRITES, (*before, *after), _gap_below(TREE_GAPS)),
        _inside("inside.read_words", READS, words, _leaf_gap),
        _inside("inside.write_words", WRITES, (*words, *after_words), _leaf_gap),
        _inside("inside.entry", ENTRIES, ("sibling_0",), _gap_below(list_height(width))),
        _inside("inside.start", (Kind.START,), ("before_1", "after_1", *_siblings()), _gap_below(START_GAPS)),
    )


def close_messages() -> tuple[Message, ...]:
    """Return the forms of Close."""
    return (
        _close("close.read", READS, ("before", *_siblings())),
        _close("close.write", WRITES, ("before", "after", *_siblings())),
    )


def _path(name: str, kinds: Sequence[Kind], nodes: Sequence[str]) -> Message:
    def body(b: ScriptBuilder) -> None:
        """``path.kind … ask.kind -> …``; fails unless both are one of ``kinds``."""
        _require_restated_kind(b, kinds)

    return Message(name, shown=_paths("Path", nodes), used=(_WHERE, ASK), repeats=(ASK,), body=body)


def _entry(name: str, kind: Kind, level: int, levels: int, width: int) -> Message:
    """Return the form of Path for an entry of list ``level``, which the choices of this and all later levels select."""
    outermost = width - 1 if kind is Kind.RIGHT else 0
    own, later = choice_keys(level, level), choice_keys(level + 1, levels)

    def body(b: ScriptBuilder) -> None:
        """``path.kind path.level … ask.kind choices -> …``; the choice of ``level`` is the last one to turn inwards."""
        _require_restated_kind(b, (kind,))
        b.roll("path.level")
        require_number(b, level)
        all_are(b, own, outermost, width)
        b.unary(op.OP_NOT)
        b.verify()
        if later:
            all_are(b, later, outermost, width)
            b.verify()

    nodes = ("top", *_numbered("before", 0, list_height(width) - 1))
    asked = (ASK, *own, *later)
    return Message(f"path.{name}_{level}", shown=_paths("Path", nodes), used=(_WHERE, *asked), repeats=asked, body=body)


def _inside(name: str, kinds: Sequence[Kind], fields: Sequence[str], require_gap: Body) -> Message:
    def body(b: ScriptBuilder) -> None:
        """``inside.gap ask.kind descend.gap -> ``; fails unless the kind and the gap are this leaf's."""
        require_kind(b, kinds)
        require_gap(b)
        _require_equal(b, GAP_ASKED, "inside.gap.0")

    asked = (ASK, DESCEND)
    return Message(name, shown=_paths("Inside", fields), used=(_GAP, *asked), repeats=asked, body=body)


def _close(name: str, kinds: Sequence[Kind], nodes: Sequence[str]) -> Message:
    require_gap = _gap_below(TREE_GAPS)

    def body(b: ScriptBuilder) -> None:
        """``close.gap close.narrow … ask.kind descend.gap narrow.gap -> …``; fails unless they fit."""
        require_kind(b, kinds)
        require_gap(b)
        _require_equal(b, GAP_ASKED, "close.gap")
        _require_equal(b, NARROW_ASKED, "close.narrow")

    asked = (ASK, DESCEND, NARROW)
    return Message(name, shown=_paths("Close", nodes), used=(_CLOSE, *asked), repeats=asked, body=body)


# ---- conditions on questions


def list_height(width: int) -> int:
    """Return H, the height of the tree over a list of ``width`` = 2^H intervals."""
    return width.bit_length() - 1


def choice_keys(first: int, last: int) -> tuple[str, ...]:
    """Return the keys of the choices of levels ``first`` … ``last``."""
    return tuple(f"Choice_{level}/digit" for level in range(first, last + 1))


def require_kind(b: ScriptBuilder, kinds: Sequence[Kind]) -> None:
    """``… ask.kind … -> …``; fails unless it is one of ``kinds``, which follow on one another."""
    b.roll(KIND_ASKED)
    b.within(kinds[0], kinds[-1] + 1)
    b.verify()


def all_are(b: ScriptBuilder, keys: Sequence[str], choice: int, width: int) -> None:
    """``… symbols of the choices … -> … (all choices are choice)``, which is 0 or width - 1.

    Their symbols, of base sqrt(width), are then all at one end of their range, and so is their sum.
    """
    symbols = [f"{key.replace('/', '.').lower()}.{number}" for key in keys for number in range(2)]
    b.roll(symbols[0])
    for symbol in symbols[1:]:
        b.roll(symbol)
        b.add()
    largest_symbol = (1 << list_height(width) // 2) - 1
    b.equals_number(len(symbols) * largest_symbol if choice else 0)


def _require_restated_kind(b: ScriptBuilder, kinds: Sequence[Kind]) -> None:
    """``… path.kind … ask.kind … -> …``; fails unless they are the same, one of ``kinds``."""
    b.pick(KIND_ASKED)
    b.roll("path.kind")
    b.binary(op.OP_NUMEQUAL)
    b.verify()
    require_kind(b, kinds)


def _require_equal(b: ScriptBuilder, asked: str, restated: str) -> None:
    """``… asked … restated … -> …``; fails unless they are the same."""
    b.roll(asked)
    b.roll(restated)
    b.binary(op.OP_NUMEQUAL)
    b.verify()


def _gap_below(count: int) -> Body:
    def body(b: ScriptBuilder) -> None:
        """``… descend.gap … -> … descend.gap … ``; fails unless it is less than ``count``."""
        b.pick(GAP_ASKED)
        less_than(b, count)
        b.verify()

    return body


def _leaf_gap(b: ScriptBuilder) -> None:
    """``… descend.gap … -> … descend.gap …``; fails unless it is the one below all nodes of the state tree."""
    b.pick(GAP_ASKED)
    require_number(b, TREE_GAPS)


# ---- key paths


def _paths(transaction: str, fields: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{transaction}/{field}" for field in fields)


def _numbered(name: str, first: int, last: int) -> tuple[str, ...]:
    return tuple(f"{name}_{number}" for number in range(first, last + 1))


def _siblings() -> tuple[str, ...]:
    return _numbered("sibling", 0, 1)
