"""Lies about what the roots of a step hold, and how the prover goes on when it is asked to prove them.

*True*: the path as the prover's computation finds it, with the roots of Step at its top, where the hash breaks.
*Shown*: the leaf and nodes after an update as they are in the prover's false state.
*Broken at h*: a path that is made to fit its leaf up to one height and its root from the next one on.
*Flipped*: one field of Path, Inside or Close is another one. *Misplaced*: the path of another place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bitvm.leaves.fields import Kind
from lvm.control import CONTROL_FIELDS
from lvm.layout import CONTROL_BASE, LEAF_WORDS, TREE_HEIGHT, WORD_BYTES, register_address
from regtest.cases import Case, flipping
from regtest.lies.play import AFTER_CLOSE, AFTER_INSIDE, AFTER_PATH, REFUTED_CLOSE, REFUTED_INSIDE, Told, caught
from regtest.lies.telling import (
    UNUSED,
    Forge,
    Story,
    Tell,
    address_read,
    afterwards,
    and_then,
    beside,
    false_above,
    false_below,
    misread,
    stored,
)
from regtest.worlds import DATA, LAST, World, records

UNUSED_CONTROL = CONTROL_BASE + WORD_BYTES * 9
"""A word of the control leaf that has no meaning."""

_NEIGHBOUR = register_address(3)
"""A register in the leaf of x15 that the program never writes."""

Find = Callable[[World], int]


@dataclass(frozen=True, slots=True)
class Base:
    """A lie that makes the challenger ask for a kind of statement.

    find: the step. tell: the lie. read: for a read, what is misread, and flip: its false bits. place: leaf at which the
    path ends.
    """

    kind: Kind
    find: Find
    tell: Tell
    read: str = ""
    flip: int = 1

    def told(self, forge: Forge | None = None, *, shown: bool = False) -> Told:
        """Return the story of this lie with its path forged, or shown as the prover's state has it."""

        def told(world: World) -> Story:
            kinds = frozenset({self.kind}) if shown else frozenset[Kind]()
            return Story({self.find(world): self.tell}, forged={self.kind: forge} if forge else None, shown=kinds)

        return told

    def broken_below(self, height: int) -> Told:
        """Return the story in which the leaf is false, and all nodes below ``height`` fit it."""

        def told(world: World) -> Story:
            step = self.find(world)
            word = address_read(records(world)[step], self.read) // WORD_BYTES % LEAF_WORDS
            return self.told(false_below(height, word, self.flip))(world)

        return told


def _reads(name: str, kind: Kind, read: str, flip: int = 1, number: int = 0) -> Base:
    """Misread a word; as false control words may heal, the state after is then another one too."""
    tell = misread(read, flip)
    tell = and_then(tell, UNUSED) if kind is Kind.CONTROL else tell
    return Base(kind, lambda world: world.executes(name, number), tell, read, flip)


READS = {
    "instr": _reads("mul", Kind.INSTR, "instr", 1 << 21),
    "rs1": _reads("mul", Kind.RS1, "rs1"),
    "rs2": _reads("mul", Kind.RS2, "rs2"),
    "mem": _reads("lw", Kind.MEM, "mem", 1, 1),
    "control": _reads("mul", Kind.CONTROL, "fuel"),
}
"""Misread words that are asked for by a kind of their own, ``control`` for all control words."""

_HIGH_REGISTER = Base(Kind.RS1, lambda world: world.executes("add", 2), misread("rs1"), "rs1")
"""A misread x16, whose leaf is a right child."""


def _writes(name: str, number: int = 0, kind: Kind = Kind.DATA, tell: Tell | None = None) -> Base:
    return Base(kind, lambda world: world.executes(name, number), tell or beside(UNUSED))


WRITES = {
    "register": _writes("mul"),
    "store": _writes("sw", 1),
    "state": _writes("mul", kind=Kind.STATE, tell=afterwards(UNUSED)),
}
"""Updates beside which another word changes."""

_HIGH_WRITE = _writes("add", 2)
"""x16 is written."""

EDGES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 23)
"""Heights of children such that every refutation of a hash in the state tree is used, for both turns."""


def path_cases() -> Iterator[Case]:
    """Yield all of them."""
    yield from _misreads()
    yield from _updates()
    yield from _broken()
    yield from _flipped()
    yield from _misplaced()


def _misreads() -> Iterator[Case]:
    for name, base in READS.items():
        if name != "control":
            story = f"{name} is misread; the path leads to the true leaf"
            yield caught(f"misread/{name}/true", story, base.told(), AFTER_INSIDE, leaves=(f"word.{name}",))
    for word in CONTROL_FIELDS:
        flip = {"pc": 4, "window": 1 << 20, "uwin": 1 << 20}.get(word, 1)
        base = _reads("mul", Kind.CONTROL, word, flip)
        story = f"the control word {word} is misread; the path leads to the true leaf"
        yield caught(f"misread/{word}/true", story, base.told(), AFTER_INSIDE, leaves=(f"word.control.{word}",))
    for name, base in READS.items():
        story = f"{name} is misread; the leaf is false, the nodes are true"
        yield caught(f"misread/{name}/leaf", story, base.broken_below(0), REFUTED_INSIDE, leaves=("leaf_hash.before",))


def _updates() -> Iterator[Case]:
    for name, base in WRITES.items():
        story = f"a word elsewhere changes with the update ({name})"
        yield caught(f"changes/{name}/true", f"{story}; the path is true", base.told(), REFUTED_CLOSE)
        yield caught(
            f"changes/{name}/shown", f"{story}; the path is of the false state", base.told(shown=True), REFUTED_CLOSE
        )
        told = base.told(false_above(-1))
        yield caught(
            f"changes/{name}/leaf", f"{story}; no node is true", told, REFUTED_INSIDE, leaves=("leaf_hash.after",)
        )
    neighbours = {"register": (("mul", 0), _NEIGHBOUR), "store": (("sw", 1), DATA + 12)}
    for name, (step, neighbour) in neighbours.items():
        base = _writes(*step, tell=beside(neighbour))
        story = f"the word beside the one written changes too ({name}), and is shown"
        told = base.told(shown=True)
        yield caught(f"changes/{name}/neighbour", story, told, AFTER_INSIDE, leaves=(f"unchanged.{name}",))
        story = f"another word is written than Step says ({name}), and is shown"
        told = _writes(*step, tell=stored).told(shown=True)
        yield caught(f"changes/{name}/other", story, told, AFTER_INSIDE, leaves=(f"word.{name}",))
    for index, word in enumerate(CONTROL_FIELDS):
        flip = {"pc": 4, "window": 1 << 20, "uwin": 1 << 20}.get(word, 1)
        tell = afterwards(CONTROL_BASE + WORD_BYTES * index, flip)
        told = Base(Kind.STATE, lambda _: LAST, tell).told(shown=True)
        story = f"in the last step, {word} becomes another word than Step says, and is shown"
        yield caught(f"changes/state/{word}", story, told, AFTER_INSIDE, leaves=(f"word.state.{word}",))
    told = _writes("mul", kind=Kind.STATE, tell=afterwards(UNUSED_CONTROL)).told(shown=True)
    story = "a word of the control leaf without meaning changes, and is shown"
    yield caught("changes/state/unused", story, told, AFTER_INSIDE, leaves=("unchanged.state",))


def _broken() -> Iterator[Case]:
    """Break a path at every height that a refutation of its own is for, as left and as right child."""
    for height in EDGES:
        turns = {"left": READS["mem"], "right": READS["control"] if height else _HIGH_REGISTER}
        for turn, base in turns.items():
            story = f"a misread word's path is false up to height {height}, where it is a {turn} child"
            told, leaf = base.broken_below(height + 1), _compress("before", height, turn)
            yield caught(f"broken/before/{height}/{turn}", story, told, REFUTED_CLOSE, leaves=(leaf,))
        writes = {"left": WRITES["store"], "right": WRITES["state"] if height else _HIGH_WRITE}
        for turn, base in writes.items():
            story = f"an update's path is false above height {height}, where it is a {turn} child"
            told, leaf = base.told(false_above(height)), _compress("after", height, turn)
            yield caught(f"broken/after/{height}/{turn}", story, told, REFUTED_CLOSE, leaves=(leaf,))


def _compress(side: str, height: int, turn: str) -> str:
    """Return the name of the refutation of the hash over the path's node at a height."""
    gap, level = height // 8, height % 2
    end = height + level
    inner = f"path_{end // 8}" if end % 8 == 0 else f"inside_{(end - 8 * gap) // 2}"
    source = "top" if end == TREE_HEIGHT else inner
    return f"compress.{side}.{level}.{source}.{turn}"


_READ_FIELDS = {
    "Path": ("top", "before_0", "before_1", "before_2"),
    "Inside": ("before_1", "before_2", "before_3"),
    "Close": ("before", "sibling_0", "sibling_1"),
}
_AFTER_FIELDS = {
    "Path": ("top_after", "after_0", "after_1", "after_2"),
    "Inside": ("after_1", "after_2", "after_3"),
    "Close": ("after",),
}


def _flipped() -> Iterator[Case]:
    """Flip every field of the answers, beside a lie that leads there: to nodes low or high, and to the leaf."""
    reads = {"low": READS["mem"].broken_below(3), "high": READS["mem"].broken_below(20)}
    for where, told in reads.items():
        yield from _flips(f"read_{where}", told, _READ_FIELDS)
    writes = {"low": WRITES["store"].told(false_above(2)), "high": WRITES["state"].told(false_above(20))}
    for where, told in writes.items():
        fields = {name: (*_READ_FIELDS[name], *_AFTER_FIELDS[name]) for name in _READ_FIELDS}
        yield from _flips(f"write_{where}", told, fields)
    for group in range(4):
        told = READS["rs1"].told()
        yield _flip("read_leaf", told, "Inside", f"words_{group}")
        told = _writes("mul", tell=beside(_NEIGHBOUR)).told(shown=True)
        yield _flip("write_leaf", told, "Inside", f"words_{group}")
        yield _flip("write_leaf", told, "Inside", f"after_words_{group}")
    for name, base in (("read", READS["mem"].broken_below(3)), ("write", WRITES["state"].told(false_above(2)))):
        story = "Close says other turns than the place has"
        deviation = flipping("Close", "Close/where", 2)
        yield caught(f"flipped/{name}/turns", story, base, AFTER_CLOSE, deviations=(deviation,), leaves=("turns",))


def _flips(name: str, told: Told, fields: dict[str, tuple[str, ...]]) -> Iterator[Case]:
    for answer, names in fields.items():
        for field in names:
            yield _flip(name, told, answer, field)


def _flip(name: str, told: Told, answer: str, field: str) -> Case:
    story, deviation = f"{answer} says another {field}", flipping(answer, f"{answer}/{field}")
    ends, leaves = REFUTED_CLOSE, tuple[str, ...]()
    if field in ("top", "top_after"):
        ends, leaves = AFTER_PATH, (f"restated.{field}",)
    elif "words" in field:  # another word of the leaf is false
        ends = AFTER_INSIDE
    elif (name, field) == ("write_low", "after_0"):  # then no node after is true
        ends, leaves = REFUTED_INSIDE, ("leaf_hash.after",)
    return caught(f"flipped/{name}/{answer}/{field}", story, told, ends, deviations=(deviation,), leaves=leaves)


def _misplaced() -> Iterator[Case]:
    bases = {**READS, **{name: base for name, base in WRITES.items() if name != "state"}}
    for name, base in (*bases.items(), ("control", WRITES["state"])):
        for nibble in (0, 5):
            deviation = flipping("Path", "Path/where", 2 + nibble)
            story = f"the path to {name} says another place, in nibble {nibble}"
            row = f"misplaced/{base.kind.name.lower()}/{name}/{nibble}"
            yield caught(row, story, base.told(), AFTER_PATH, deviations=(deviation,), leaves=(f"place.{name}",))
