"""The game tree: which transactions could follow which, one game of it, with what was played in colour.

The trunk is the longest way through the graph; every transaction beside it is what happens when a party does nothing.
Drawn in one column of trunk and one of branches, so that it can be read on a phone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bitvm.graph.graph import Graph
from bitvm.graph.model import Input, Template
from bitvm.pages.markup import Markup, element
from bitvm.pages.picture import BOX_HEIGHT, BOX_WIDTH, box, edge, text
from bitvm.pages.style import party_class
from regtest.match import Confirmation

BRANCH_X = 296
ROW = 72
WIDTH = BRANCH_X + BOX_WIDTH
RELATIVE_LOCK_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Row:
    """A transaction of the trunk and the branches that leave it."""

    trunk: Template
    branches: tuple[Template, ...]


def rows_of(graph: Graph, number: int, played: Collection[str] = ()) -> list[Row]:
    """Return the trunk of challenger ``number``'s game from Fund on, each with the branches that could follow.

    The trunk is what was played, and goes on to the judgement of the step where nothing was.
    """
    games = ("", str(number))
    own = [template for template in graph.templates.values() if template.name.rpartition("/")[0] in games]
    children: dict[str, list[Template]] = {template.name: [] for template in own}
    for template in own:
        spent = template.inputs[0]
        if isinstance(spent, Input):
            children[spent.source.name].append(template)

    def depth(template: Template) -> tuple[int, bool]:
        """How many transactions can follow; of two that end the game, the one that need not wait counts as longer."""
        return 1 + max((depth(child)[0] for child in children[template.name]), default=0), lock_blocks(template) == 0

    def was_played(template: Template) -> int:
        """How many played transactions lie on the best way from here."""
        return (template.name in played) + max(map(was_played, children[template.name]), default=0)

    def weight(template: Template) -> tuple[int, bool, int, bool]:
        return was_played(template), short(template.name) == "Slash", *depth(template)

    rows: list[Row] = []
    following = own[:1]
    while following:
        trunk = max(following, key=weight)
        following = children[trunk.name]
        longest = max(following, key=weight, default=None)
        rows.append(Row(trunk, tuple(template for template in following if template is not longest)))
    return rows


def short(name: str) -> str:
    """Return a transaction's name without the number of its game."""
    return name.rpartition("/")[2]


def lock_blocks(template: Template) -> int:
    """Return the relative lock of a transaction in blocks, 0 for none."""
    return max(spent.sequence if spent.sequence < RELATIVE_LOCK_LIMIT else 0 for spent in template.inputs)


def draw(graph: Graph, number: int, confirmations: Sequence[Confirmation]) -> Markup:
    """Return the picture; what lies two or more moves beyond the end of the play is only counted."""
    played = {confirmation.name: confirmation for confirmation in confirmations}
    rows = rows_of(graph, number, played)
    last = max(i for i, row in enumerate(rows) if row.trunk.name in played)
    shown, hidden = rows[: last + 2], rows[last + 2 :]
    parts: list[Markup] = []
    y = 4
    for index, row in enumerate(shown):
        height = ROW * max(1, len(row.branches))
        following = shown[index + 1].trunk if index + 1 < len(shown) else None
        if following is not None:
            parts += _trunk_edge(y, height, following, following.name in played)
        elif hidden:
            parts.append(_line(f"M{BOX_WIDTH // 2} {y + BOX_HEIGHT} V{y + height}", played=False))
        for i, branch in enumerate(row.branches):
            parts += _branch(y, ROW * i, branch, played.get(branch.name))
        parts.append(_box(0, y, row.trunk, played.get(row.trunk.name)))
        y += height
    if hidden:
        parts.append(_rest(y, hidden))
        y += ROW
    view = f"-4 0 {WIDTH + 8} {y - ROW + BOX_HEIGHT + 8}"
    label = "Transactions of the game from Fund downwards; those played are filled with their party's colour"
    return element("svg", parts, viewBox=view, class_="tree", role="img", aria_label=label)


def _line(path: str, *, played: bool) -> Markup:
    return edge(path, "played" if played else "")


def _trunk_edge(y: int, height: int, following: Template, played: bool) -> list[Markup]:
    """Draw the line down to the next transaction of the trunk, with the output that it spends."""
    spent = following.inputs[0]
    output = spent.output if isinstance(spent, Input) else ""
    middle = BOX_WIDTH // 2
    line = _line(f"M{middle} {y + BOX_HEIGHT} V{y + height}", played=played)
    return [line, text(middle + 8, y + height - (ROW - BOX_HEIGHT) / 2 + 4, output, "output")]


def _branch(y: int, offset: int, template: Template, played: Confirmation | None) -> list[Markup]:
    """Draw a branch beside the trunk box at ``y``, ``offset`` below it."""
    middle = y + BOX_HEIGHT // 2
    turn = (BOX_WIDTH + BRANCH_X) // 2
    path = f"M{BOX_WIDTH} {middle} H{BRANCH_X}"
    if offset:
        path = f"M{BOX_WIDTH} {middle} H{turn} V{middle + offset} H{BRANCH_X}"
    return [_line(path, played=played is not None), _box(BRANCH_X, y + offset, template, played)]


def _box(x: int, y: int, template: Template, played: Confirmation | None) -> Markup:
    """Draw a transaction with what is known of it: block and size, or from when on it could have followed."""
    lock = lock_blocks(template)
    if played is not None:
        note = f"block {played.height} · {played.vsize:,} vB"
    else:
        note = f"{template.mover}, after {lock} blocks" if lock else f"{template.mover}"
    class_ = party_class(template.mover) + (" played" if played else "")
    return box(x, y, short(template.name), note, class_)


def _rest(y: int, hidden: Sequence[Row]) -> Markup:
    """Draw what stands for the rest of the trunk."""
    first, last = short(hidden[0].trunk.name), short(hidden[-1].trunk.name)
    count = f"{len(hidden)} more moves" if len(hidden) > 1 else "1 more move"
    return box(0, y, count, f"{first} … {last}" if len(hidden) > 1 else first, "rest")
