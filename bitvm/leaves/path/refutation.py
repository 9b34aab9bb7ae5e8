"""The proofs that hash: nodes which the prover signed, and whose parent is not their BLAKE3.

Each leaf presumes what other proofs see to: that ``path.place`` is the statement's place, ``close.turns`` are its bits,
and that the restated nodes are those of Step. It checks for itself what decides which heights its keys mean: the kind,
since the fields of Path serve all kinds, the gaps, and on which side of its sibling the child is. Left and right child
have leaves of their own, for then the order of 96 nibbles costs nothing.

At the output of Inside, with h the height of a child, H that of a list's tree, ``sibling_n`` Inside's, side before or
after:

============================  =======================================  ================================================
leaf                          checks                                   refutes
============================  =======================================  ================================================
leaf_hash.side                a kind of the state tree                 side_0 = leaf_hash(words), of that side
entry.h.turn                  LEFT or RIGHT, gap h, bit h of place     H(before_h, sibling_0) = before_{h+1}, or top
start.side.17, 19, 21         START, gap (h - 17) / 2                  H(sibling_0, Path's node) = Inside's side_1
start.side.18, 20, 22         START, gap (h - 18) / 2                  H(sibling_1, side_1) = Path's next node
start.side.23                 START, gap 3                             H(sibling_0, side_3) = top, or top_after
start.base                    START                                    after_0 = H(input, root of the CPU's state)
============================  =======================================  ================================================

At the output of Close (``Close/side`` and ``sibling_n`` are its own), ``source`` being the node that Path or Inside
signed at one end of the narrow gap:

============================  =======================================  ================================================
compress.side.0.source.turn   tree kind, narrow, bit 0 of turns;       H(source, sibling_0) = Close/side
                              gap too if the source is Path's
compress.side.1.source.turn   the same with bit 1                      H(Close/side, sibling_1) = source
============================  =======================================  ================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from bitcoin.core import script as op

from bitvm.leaves.fields import ENTRIES, START_GAPS, TREE_GAPS, WORD_GROUPS, Kind, numbers
from bitvm.leaves.path.location import PLACE, WHERE
from bitvm.leaves.proof import Hints, Proof, Said, won
from bitvm.script import u4
from bitvm.script.blake3 import leaf_hash_differs, nibbles, node_hash_differs
from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime import NODE_USED
from lvm.hashing import leaf_hash, node_hash

SIDES = ("before", "after")
TURNS = ("left", "right")
"""Which child the lower node is, by the bit of its place."""

START_HEIGHT = 17
"""Height of the lowest node of a path for `Kind.START`: the input and the CPU's state are its children."""

_TOP = {"before": "Path/top", "after": "Path/top_after"}
_TREE_KINDS = {"before": range(Kind.STATE + 1), "after": range(Kind.DATA, Kind.STATE + 1)}
_NODE_NIBBLES = NODE_USED.numbers
_LEAF_NIBBLES = 128
_NIBBLE_BITS = 4


# ---- what a leaf checks before it hashes


@dataclass(frozen=True, slots=True)
class _OneOf:
    """A number that must be one of a range. word: its name in `Said`; number: on the stack."""

    word: str
    number: str
    values: range

    def holds(self, said: Said) -> bool:
        return said.words[self.word] in self.values

    def require(self, b: ScriptBuilder) -> None:
        """``… x … -> … …``; fails unless the condition holds."""
        b.roll(self.number)
        if len(self.values) == 1:
            b.equals_number(self.values.start)
        else:
            b.within(self.values.start, self.values.stop)
        b.verify()


@dataclass(frozen=True, slots=True)
class _Bit:
    """A bit that must have a value. word: its name in `Said`; nibbles: on the stack, the lowest first."""

    word: str
    nibbles: Sequence[str]
    bit: int
    value: int

    def holds(self, said: Said) -> bool:
        return said.words[self.word] >> self.bit & 1 == self.value

    def require(self, b: ScriptBuilder) -> None:
        """``… x … -> … …``; fails unless the condition holds."""
        place, bit = divmod(self.bit, _NIBBLE_BITS)
        b.roll(self.nibbles[place])
        u4.reduce(b, *(1 << higher for higher in range(_NIBBLE_BITS - 1, bit, -1)))
        b.number(1 << bit)
        b.binary(op.OP_GREATERTHANOREQUAL if self.value else op.OP_LESSTHAN)
        b.verify()


_Condition = _OneOf | _Bit


def _number(word: str, value: int, number: str | None = None) -> _OneOf:
    return _OneOf(word, number or word, range(value, value + 1))


def _kind(kinds: range) -> _OneOf:
    return _OneOf("path.kind", "path.kind", kinds)


def _inside_gap(gap: int) -> _OneOf:
    return _number("inside.gap", gap, "inside.gap.0")


# ---- proofs


def inside_refutations(width: int, cpu_root: bytes) -> tuple[Proof, ...]:
    """Return the proofs at the output of Inside.

    width: entries of a list, a power of two up to 64. cpu_root: 24 bytes, root of the CPU's state before step 0, a tree
    of height 16.
    """
    height = width.bit_length() - 1
    entries = (_entry(h, height, turn) for h in range(height) for turn in range(2))
    return (*map(_leaf_hash, SIDES), *entries, *(proof for side in SIDES for proof in _starts(side)), _base(cpu_root))


def close_refutations() -> tuple[Proof, ...]:
    """Return the proofs at the output of Close."""
    return tuple(
        _compress(side, level, source, turn)
        for side in SIDES
        for level in range(2)
        for source in _sources(side, level)
        for turn in range(2)
    )


def _leaf_hash(side: str) -> Proof:
    words, word = ("words", "word") if side == "before" else ("after_words", "after")

    def false(said: Said) -> bool:
        leaf = b"".join(said.words[f"{word}.{j}"].to_bytes(4, "little") for j in range(16))
        return leaf_hash(leaf) != said.nodes[claimed]

    def differs(b: ScriptBuilder) -> None:
        b.apply(leaf_hash_differs(falling=True), _LEAF_NIBBLES + _NODE_NIBBLES, "differs")

    claimed = f"Path/{side}_0"
    return _refutation(
        name=f"leaf_hash.{side}",
        statement=f"the lowest node {side} is not the hash of the leaf's words",
        where=(WHERE,),
        conditions=(_kind(_TREE_KINDS[side]),),
        claimed=claimed,
        message=tuple(f"Inside/{words}_{group}" for group in range(WORD_GROUPS)),
        differs=differs,
        false=false,
    )


def _entry(h: int, height: int, turn: int) -> Proof:
    return _edge(
        name=f"entry.{h}.{TURNS[turn]}",
        statement=f"the list's node at height {h + 1} is not the hash of its children",
        where=(WHERE, "Inside/gap"),
        conditions=(
            _kind(range(min(ENTRIES), max(ENTRIES) + 1)),
            _Bit("path.place", PLACE, h, turn),
            _inside_gap(h),
        ),
        child=f"Path/before_{h}",
        sibling="Inside/sibling_0",
        parent="Path/top" if h == height - 1 else f"Path/before_{h + 1}",
        turn=turn,
    )


def _starts(side: str) -> Iterator[Proof]:
    """Yield the proofs along the right edge of the state tree, from height 17 to the top."""
    for gap in range(START_GAPS):
        lower, middle, upper = f"Path/{side}_{gap}", f"Inside/{side}_1", f"Path/{side}_{gap + 1}"
        pairs = [(lower, middle), (middle, upper)] if gap < START_GAPS - 1 else [(lower, _TOP[side])]
        for level, (child, parent) in enumerate(pairs):
            child_height = START_HEIGHT + 2 * gap + level
            yield _edge(
                name=f"start.{side}.{child_height}",
                statement=f"the node at height {child_height + 1} {side} the start is not the hash of its children",
                where=(WHERE, "Inside/gap"),
                conditions=(_kind(range(Kind.START, Kind.START + 1)), _inside_gap(gap)),
                child=child,
                sibling=f"Inside/sibling_{level}",
                parent=parent,
                turn=1,
            )


def _base(cpu_root: bytes) -> Proof:
    claimed, left = "Path/after_0", "Path/input"

    def false(said: Said) -> bool:
        node = said.nodes[left]
        return node is not None and node_hash(node, cpu_root) != said.nodes[claimed]

    def differs(b: ScriptBuilder) -> None:
        b.to_alt(2 * _NODE_NIBBLES)
        for nibble in reversed(nibbles(cpu_root)):
            b.number(nibble)
        b.from_alt(2 * _NODE_NIBBLES)
        _node_differs(b)

    return _refutation(
        name="start.base",
        statement=f"the node at height {START_HEIGHT} after the start is not the hash of the input and the CPU's state",
        where=(WHERE,),
        conditions=(_kind(range(Kind.START, Kind.START + 1)),),
        claimed=claimed,
        message=(left,),
        differs=differs,
        false=false,
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """A node of Path or Inside at an end of a narrow gap. gap: of Path, None where any will do; narrow: of Inside."""

    name: str
    path: str
    gap: int | None
    narrow: int


def _sources(side: str, level: int) -> Iterator[_Source]:
    """Yield the lower ends of the narrow gaps (level 0), or the upper ones (level 1)."""
    last = TREE_GAPS - 1
    for narrow in range(1, 4):
        yield _Source(f"inside_{narrow}", f"Inside/{side}_{narrow}", None, narrow - level)
    for gap in range(level, TREE_GAPS):
        yield _Source(f"path_{gap}", f"Path/{side}_{gap}", gap - level, 3 * level)
    if level:
        yield _Source("top", _TOP[side], last, 3)


def _compress(side: str, level: int, source: _Source, turn: int) -> Proof:
    gap = () if source.gap is None else (_number("close.gap", source.gap),)
    return _edge(
        name=f"compress.{side}.{level}.{source.name}.{TURNS[turn]}",
        statement=f"the {('middle', 'upper')[level]} node of the narrow gap {side} is not the hash of its children",
        where=(WHERE, "Close/where"),
        conditions=(
            _kind(_TREE_KINDS[side]),
            *gap,
            _number("close.narrow", source.narrow),
            _Bit("close.turns", ("close.turns",), level, turn),
        ),
        child=f"Close/{side}" if level else source.path,
        sibling=f"Close/sibling_{level}",
        parent=source.path if level else f"Close/{side}",
        turn=turn,
    )


# ---- their common form


def _edge(
    *,
    name: str,
    statement: str,
    where: tuple[str, ...],
    conditions: tuple[_Condition, ...],
    child: str,
    sibling: str,
    parent: str,
    turn: int,
) -> Proof:
    """Refute that `parent` is the hash of `child` and `sibling`, the child being the right one if `turn` is 1."""
    children = (sibling, child) if turn else (child, sibling)

    def false(said: Said) -> bool:
        left, right = (said.nodes[path] for path in children)
        return left is not None and right is not None and node_hash(left, right) != said.nodes[parent]

    return _refutation(
        name=name,
        statement=statement,
        where=where,
        conditions=conditions,
        claimed=parent,
        message=children,
        differs=_node_differs,
        false=false,
    )


def _node_differs(b: ScriptBuilder) -> None:
    """``… right left claimed -> … differs``."""
    b.apply(node_hash_differs(falling=True), 3 * _NODE_NIBBLES, "differs")


def _refutation(
    *,
    name: str,
    statement: str,
    where: tuple[str, ...],
    conditions: tuple[_Condition, ...],
    claimed: str,
    message: tuple[str, ...],
    differs: Callable[[ScriptBuilder], None],
    false: Callable[[Said], bool],
) -> Proof:
    """Prove that `message`, under the conditions on the numbers of `where`, does not hash to `claimed`."""

    def body(b: ScriptBuilder) -> None:
        """``message claimed where -> ``, nibble 0 of each on top; only inputs of the hash lie below its fragment."""
        for condition in conditions:
            condition.require(b)
        b.drop(b.depth(numbers(claimed, NODE_USED)[0]))
        differs(b)
        b.verify()

    def wins(said: Said) -> Hints | None:
        return won(all(condition.holds(said) for condition in conditions) and false(said))

    return Proof(name, statement, (*where, claimed, *message), (), body, wins, large=True)
