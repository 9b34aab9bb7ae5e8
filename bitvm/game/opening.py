"""The proof of one statement of Step, asked for by the challenger: what is signed, and where a false one is attacked.

Every statement that has a `Kind` is proved by a path of nodes, or by two over the same siblings (``before`` and
``after``) where it tells of an update. The prover signs few nodes of it and the challenger descends:

==========  ========================  =================  ===============================  =========================
kind        heights signed in Path    gaps               Inside                           Close
==========  ========================  =================  ===============================  =========================
reads       0, 8, 16, 24              3, and the leaf    every second node of the gap,    the node and the siblings
writes      likewise, both sides      likewise           or the leaf's words              of two levels
entries     all, 0..H (k = 2^H)       H                  the sibling                      nothing
START       17, 19, 21, 23, 24; both  4                  the node between, the siblings   nothing
==========  ========================  =================  ===============================  =========================

The challenger's descent. A node is right if it is the truth's. It looks for the topmost gap with a right upper and a
wrong lower node before; since the upper node fixes both children, no siblings make that good. If there is none, all
that was signed before is right and fixes the siblings; so a gap with a right lower and a wrong upper node after
cannot be made good either. If there is none of these, the fault is at the bottom: in the leaf's words, or in START's
node over INPUT and CPU. This presumes that the roots at the top of ``before`` and the place are right: whatever else
the prover could have signed there loses to a small proof.

Nodes have 24 bytes. Nothing here knows of keys or transactions; messages are by key path (``Path/before_1``): 24 bytes
for a node, a tuple of symbols for windows (see `bitvm.leaves.fields`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bitvm.leaves.fields import (
    ENTRIES,
    NARROW_GAPS,
    PLACE_NIBBLES,
    READS,
    START_GAPS,
    TREE_GAPS,
    WORD_GROUPS,
    WORDS_A_GROUP,
    WRITES,
    Kind,
)
from bitvm.leaves.proof import Said
from bitvm.leaves.statement import nibble, words_of
from lvm.boot import BOOT_HEIGHT, BOOT_NODE
from lvm.control import CONTROL_FIELDS
from lvm.layout import HASH_BYTES, TREE_HEIGHT
from lvm.machine import StepRoots
from lvm.opening import BootOpening, Opening, StepOpenings, folded

Messages = dict[str, bytes | tuple[int, ...]]

TREE_HEIGHTS = (0, 8, 16)
START_HEIGHTS = (17, 19, 21, 23)
LEAF_GAP = TREE_GAPS
"""The gap below all others in the state tree: the leaf and its words."""


class QuestionError(ValueError):
    """A question that makes no sense.

    dismissal: the name of the leaf by which the prover dismisses it.
    """

    def __init__(self, dismissal: str, message: str) -> None:
        """Name the leaf."""
        super().__init__(message)
        self.dismissal = dismissal


@dataclass(frozen=True)
class PathOpening:
    """What proves one statement.

    place: index of the lowest node at its height: a leaf of the state, an entry of a list, `lvm.boot.BOOT_NODE`.
    lowest: that height. before: the nodes from there to the top. siblings: one less. after: as before, empty if the
    statement tells of no update. level: of the list, 0 for other kinds. words, after_words: the leaf's 16 words, empty
    where there is no leaf. input_root: START's.
    """

    kind: Kind
    place: int
    before: tuple[bytes, ...]
    siblings: tuple[bytes, ...]
    after: tuple[bytes, ...] = ()
    lowest: int = 0
    level: int = 0
    words: tuple[int, ...] = ()
    after_words: tuple[int, ...] = ()
    input_root: bytes | None = None

    @property
    def height(self) -> int:
        """Height of the top."""
        return self.lowest + len(self.siblings)

    @property
    def signed_heights(self) -> tuple[int, ...]:
        """Heights of the nodes signed in Path, lowest first, the top last."""
        if self.kind in ENTRIES:
            return tuple(range(self.height + 1))
        return (*(START_HEIGHTS if self.kind is Kind.START else TREE_HEIGHTS), TREE_HEIGHT)

    @property
    def sides(self) -> Mapping[str, tuple[bytes, ...]]:
        """The nodes by side: ``before``, and ``after`` if the statement tells of an update."""
        return {"before": self.before, **({"after": self.after} if self.after else {})}

    def node(self, height: int, side: str = "before") -> bytes:
        """Return the node at a height; side ``before`` or ``after``."""
        return self.sides[side][height - self.lowest]

    def sibling(self, height: int) -> bytes:
        """Return the sibling of the path's node at a height; a zero node above all of them."""
        above = height >= self.height
        return bytes(HASH_BYTES) if above else self.siblings[height - self.lowest]


# ---- openings of the statements


def step_opening(kind: Kind, step: StepRoots, openings: StepOpenings) -> PathOpening:
    """Return the opening of a read or write. The nodes at the top are the step's roots, as Step says them."""
    if kind in READS:
        leaf: Opening = getattr(openings, kind.name.lower())
        return PathOpening(kind, leaf.place, (*leaf.nodes[:-1], step.a), leaf.siblings, words=leaf.words)
    update = openings.data if kind is Kind.DATA else openings.state
    top, top_after = (step.a, step.m) if kind is Kind.DATA else (step.m, step.b)
    return PathOpening(
        kind,
        update.before.place,
        (*update.before.nodes[:-1], top),
        update.before.siblings,
        after=(*update.after.nodes[:-1], top_after),
        words=update.before.words,
        after_words=update.after.words,
    )


def start_opening(boot: BootOpening, input_root: bytes, first_root: bytes) -> PathOpening:
    """Return the opening of START; ``first_root`` is the root of step 0 as Step says it."""
    after = (*boot.after[:-1], first_root)
    return PathOpening(
        Kind.START, BOOT_NODE, boot.before, boot.siblings, after=after, lowest=BOOT_HEIGHT, input_root=input_root
    )


def entry_opening(
    kind: Kind, level: int, place: int, points: Sequence[bytes], entry: bytes | None = None
) -> PathOpening:
    """Return the opening of LEFT or RIGHT in the list of ``level``, whose k-1 points are given.

    entry: what the prover's Step says that the entry is (A or B); the list's own if None.
    """
    nodes = [*points, bytes(HASH_BYTES)]
    siblings, index = [], place
    while len(nodes) > 1:
        siblings.append(nodes[index ^ 1])
        nodes = [folded(nodes[i], 0, (nodes[i + 1],))[1] for i in range(0, len(nodes), 2)]
        index >>= 1
    path = folded(points[place], place, siblings)
    return PathOpening(kind, place, (path[0] if entry is None else entry, *path[1:]), tuple(siblings), level=level)


def listed_opening(
    kind: Kind, choices: Sequence[int], width: int, listed: Mapping[int, Sequence[bytes]]
) -> PathOpening | None:
    """Return the true opening of LEFT or RIGHT: what the prover's list holds left or right of the step.

    listed: the prover's lists by level, those that hash to their signed roots. None if there is no such entry, at an
    end of the run, or its list is not among them.
    """
    try:
        level, place = entry_of(kind, choices, width)
    except QuestionError:
        return None
    return entry_opening(kind, level, place, listed[level]) if level in listed else None


def choices_of(index: int, width: int, levels: int) -> tuple[int, ...]:
    """Return the choices that select step ``index``."""
    return tuple(index // width ** (levels - level) % width for level in range(1, levels + 1))


def entry_of(kind: Kind, choices: Sequence[int], width: int) -> tuple[int, int]:
    """Return level and place of the list entry left or right of the step that the choices select.

    LEFT is entry d - 1 of the last level with d != 0, RIGHT is entry d of the last level with d != k - 1. Raises
    QuestionError where the point is no entry of a list, but an end of the run.
    """
    outermost = 0 if kind is Kind.LEFT else width - 1
    for level in range(len(choices), 0, -1):
        choice = choices[level - 1]
        if choice != outermost:
            return level, choice - 1 if kind is Kind.LEFT else choice
    side = kind.name.lower()
    raise QuestionError(f"dismiss.{side}", f"no list has an entry {side} of this step: it lies at an end of the run")


def check_question(number: int, choices: Sequence[int], width: int) -> Kind:
    """Return the kind that Ask/kind (0..15) names; raises QuestionError where it names none, or none of this step."""
    if number > max(Kind):
        raise QuestionError("dismiss.kind", f"{number} is no kind")
    kind = Kind(number)
    if kind in ENTRIES:
        entry_of(kind, choices, width)
    if kind is Kind.START and any(choices):
        raise QuestionError("dismiss.start", "only step 0 follows from Boot")
    return kind


# ---- what the prover signs


def message_name(answer: str, opening: PathOpening, gap: int = 0) -> str:
    """Return the name of the leaf of Path, Inside or Close; ``gap`` is that of Descend."""
    transaction, kind = answer.lower(), opening.kind
    if answer == "Inside":
        return f"inside.{'entry' if kind in ENTRIES else _family(kind)}" + ("_words" if _is_leaf(opening, gap) else "")
    return f"{transaction}.{f'{kind.name.lower()}_{opening.level}' if kind in ENTRIES else _family(kind)}"


def path_fields(opening: PathOpening) -> Messages:
    """Return what Path signs, by key path."""
    messages: Messages = {
        "Path/where": (opening.kind, opening.level, *(nibble(opening.place, i) for i in range(PLACE_NIBBLES)))
    }
    for side in opening.sides:
        for name, height in zip(_path_names(opening, side), opening.signed_heights, strict=True):
            messages[name] = opening.node(height, side)
    if opening.input_root is not None:
        messages["Path/input"] = opening.input_root
    return messages


def inside_fields(opening: PathOpening, gap: int) -> Messages:
    """Return what Inside signs in a gap, by key path; raises QuestionError where there is no such gap."""
    _check_gap(opening, gap)
    messages: Messages = {"Inside/gap": (gap,)}
    if opening.kind in ENTRIES:
        return {**messages, "Inside/sibling_0": opening.sibling(gap)}
    if _is_leaf(opening, gap):
        messages |= _groups_of_words("words", opening.words)
        return messages | _groups_of_words("after_words", opening.after_words)
    low = opening.signed_heights[gap]
    for side in opening.sides:
        for number in range(1, _inside_nodes(opening) + 1):
            messages[f"Inside/{side}_{number}"] = opening.node(low + _inside_step(opening) * number, side)
    if opening.kind is Kind.START:
        messages |= {f"Inside/sibling_{j}": opening.sibling(low + j) for j in range(2)}
    return messages


def close_fields(opening: PathOpening, gap: int, narrow: int) -> Messages:
    """Return what Close signs, by key path; raises QuestionError where Inside leaves nothing to narrow."""
    _check_narrow(opening, gap)
    low = TREE_HEIGHTS[gap] + 2 * narrow
    messages: Messages = {"Close/where": (gap, narrow, opening.place >> low & 3)}
    messages |= {f"Close/{side}": opening.node(low + 1, side) for side in opening.sides}
    return messages | {f"Close/sibling_{j}": opening.sibling(low + j) for j in range(2)}


# ---- what the challenger asks


def first_false_kind(truth: StepRoots, said: Said, right: PathOpening | None) -> Kind | None:
    """Return the first statement of the prover's Step to ask for, None if all are true.

    truth: the step by the challenger's own computation. right: what the prover listed right of the step, if anything
    (`listed_opening`). What it listed on the left is true: an honest challenger has agreed to it.

    Says which statement is false if no execution leaf and no small proof wins; a statement is only judged where those
    before it are true.
    """
    words, nodes = words_of(truth.record), said.nodes

    def true(*names: str) -> bool:
        return all(said.words[name] == words[name] for name in names)

    after = nodes["Step/root_after"]
    statements = {
        Kind.LEFT if any(said.choices) else Kind.START: nodes["Step/root_before"] == truth.a,
        Kind.CONTROL: true(*CONTROL_FIELDS),
        Kind.INSTR: true("instr"),
        Kind.RS1: true("rs1"),
        Kind.RS2: true("rs2"),
        Kind.MEM: true("mem"),
        Kind.DATA: nodes["Step/root_written"] == truth.m,
        Kind.STATE: after == truth.b,
        Kind.RIGHT: right is None or after == right.before[0],
    }
    return next((kind for kind, is_true in statements.items() if not is_true), None)


def descend(truth: PathOpening, said: Said) -> int | None:
    """Return the gap of Path in which the prover is to be refuted.

    The leaf, if no node is wrong that is not made good above it; None if there is no leaf and nothing is wrong.
    """
    heights = truth.signed_heights
    rights = {side: _rights(truth, said, side, _path_names(truth, side), heights) for side in truth.sides}
    gap = _broken(rights)
    if gap is None and truth.kind not in (*ENTRIES, Kind.START):
        return LEAF_GAP
    if gap is None and truth.kind is Kind.START and not rights["after"][0]:
        return 0  # in any gap, the node over INPUT and CPU is judged too
    return gap


def narrow(truth: PathOpening, said: Said, gap: int) -> int | None:
    """Return the gap of Inside, two levels, in which the prover is to be refuted; None if nothing is wrong.

    gap: of the state tree, not its leaf, as `descend` gave it. Raises QuestionError for another one.
    """
    _check_narrow(truth, gap)
    low = TREE_HEIGHTS[gap]
    heights = range(low, low + 2 * NARROW_GAPS + 1, 2)
    rights = {}
    for side in truth.sides:
        bottom, top = _path_names(truth, side)[gap : gap + 2]
        inside = (f"Inside/{side}_{number}" for number in range(1, NARROW_GAPS))
        rights[side] = _rights(truth, said, side, (bottom, *inside, top), heights)
    return _broken(rights)


def _rights(
    truth: PathOpening, said: Said, side: str, names: Iterable[str], heights: Iterable[int]
) -> tuple[bool, ...]:
    """Whether each of these nodes is the truth's, lowest first."""
    pairs = zip(names, heights, strict=True)
    return tuple(said.nodes[name] == truth.node(height, side) for name, height in pairs)


def _broken(rights: Mapping[str, Sequence[bool]]) -> int | None:
    """Return the topmost gap that no siblings make good: before, going down, a right node fixes the one below it;
    after, going up, a right node and the siblings fix the one above. None if there is none."""
    before, after = rights["before"], rights.get("after", ())
    wrong = [gap for gap in range(len(before) - 1) if before[gap + 1] and not before[gap]]
    wrong = wrong or [gap for gap in range(len(after) - 1) if after[gap] and not after[gap + 1]]
    return wrong[-1] if wrong else None


# ---- shapes


def _family(kind: Kind) -> str:
    return "read" if kind in READS else "write" if kind in WRITES else "start"


def _path_names(opening: PathOpening, side: str) -> tuple[str, ...]:
    """Key paths of the nodes of a side in Path, lowest first."""
    below = range(len(opening.signed_heights) - 1)
    return (*(f"Path/{side}_{number}" for number in below), "Path/top" if side == "before" else "Path/top_after")


def _is_leaf(opening: PathOpening, gap: int) -> bool:
    return opening.kind in (*READS, *WRITES) and gap == LEAF_GAP


def _inside_nodes(opening: PathOpening) -> int:
    return 1 if opening.kind is Kind.START else NARROW_GAPS - 1


def _inside_step(opening: PathOpening) -> int:
    return 1 if opening.kind is Kind.START else 2


def _groups_of_words(name: str, words: Sequence[int]) -> Messages:
    """Return the groups of four words as 32 nibbles each, the lowest nibble of a word first; nothing for no words."""
    groups = range(WORD_GROUPS) if words else ()
    cuts = ((group, words[WORDS_A_GROUP * group : WORDS_A_GROUP * (group + 1)]) for group in groups)
    return {f"Inside/{name}_{group}": tuple(nibble(word, i) for word in cut for i in range(8)) for group, cut in cuts}


def _check_gap(opening: PathOpening, gap: int) -> None:
    if opening.kind in ENTRIES:
        family, gaps = "entry", opening.height
    elif opening.kind is Kind.START:
        family, gaps = "start", START_GAPS
    else:
        family, gaps = "tree", TREE_GAPS + 1
    if gap >= gaps:
        raise QuestionError(f"dismiss.gap_{family}", f"{opening.kind.name} has the gaps 0 to {gaps - 1}, not {gap}")


def _check_narrow(opening: PathOpening, gap: int) -> None:
    if opening.kind not in (*READS, *WRITES):
        raise QuestionError("dismiss.narrow_kind", f"{opening.kind.name} has nothing inside Inside")
    if gap >= LEAF_GAP:
        raise QuestionError("dismiss.narrow_words", "a leaf has nothing inside its words")
