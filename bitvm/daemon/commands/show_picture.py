"""The transactions of a set-up as a picture: the blocks go down, every game has a column beside that of the set-up.

Below what is confirmed stands what waits in the mempool, and below that what may come next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bitvm.daemon.commands.deadline import deadline_of
from bitvm.daemon.commands.outlook import short_name
from bitvm.daemon.commands.story import Next, Scope, Story, parent_of
from bitvm.graph.graph import Graph
from bitvm.graph.model import Template, full_name
from bitvm.graph.setting import game_name
from bitvm.pages.markup import Markup, element
from bitvm.pages.picture import BOX_HEIGHT, BOX_WIDTH, box, edge, text
from bitvm.pages.style import party_class

PLAYED, WAITING, COMING = "played", "waiting", "coming"
"""What has happened to a transaction of the picture; these are CSS classes too."""

Column = tuple[int, int]
"""Claim and challenger of a game; zeros for what belongs to no game."""

_SETUP_COLUMN: Column = (0, 0)
_ROW = 64
_TOP = 34
_MARGIN = 120
"""On the left, where the blocks stand."""
_STRIDE = BOX_WIDTH + 44
_BESIDE = 12
"""How far a line that leads around boxes stays away from them."""


@dataclass(frozen=True, slots=True)
class Node:
    """A transaction of the picture. parent: what it continues. height: its block; None where it is in none."""

    name: str
    state: str
    party: str
    parent: str | None
    column: Column
    height: int | None
    note: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node is. order: its place in its column, from above."""

    node: Node
    x: int
    y: int
    order: int


def nodes_of(story: Story, graph: Graph, scope: Scope) -> tuple[Node, ...]:
    """Return what the picture shows: the confirmed transactions, what waits, and what may come next."""
    times = {
        full_name(plain, game.slot): deadline.in_words()
        for game in story.games
        if (deadline := deadline_of(story, graph, game)) is not None
        for plain in _wanted(game)
    }
    nodes = {
        shown.name: _node(graph[shown.name], PLAYED, f"{shown.party}, block {shown.height:,}", shown.height)
        for shown in story.transactions
    }
    for name in story.waiting:
        if scope.holds(graph[name]):
            nodes[name] = _node(graph[name], WAITING, times.get(name, "in the mempool"))
    for name, left in times.items():
        nodes.setdefault(name, _node(graph[name], COMING, left))
    for game in story.games:
        if game.owed is not None:
            penalty = graph[full_name(game.owed.penalty, game.slot)]
            nodes.setdefault(penalty.name, _node(penalty, COMING, f"from block {game.owed.deadline:,}"))
    return tuple(nodes.values())


def _wanted(game: Next) -> tuple[str, ...]:
    """Return the plain names of the moves for which a time runs."""
    if game.owed is not None:
        return game.owed.answers
    return (game_name(game.challenger, "Challenge"),)


def _node(template: Template, state: str, note: str, height: int | None = None) -> Node:
    number = template.plain.rpartition("/")[0]
    column = (template.claim, int(number)) if number else _SETUP_COLUMN
    if state != PLAYED:
        note = f"{template.mover}, {note}"
    return Node(template.name, state, template.mover, parent_of(template), column, height, note)


# ---- drawing


def draw(nodes: Sequence[Node]) -> Markup:
    """Return the picture."""
    columns = sorted({node.column for node in nodes} | {_SETUP_COLUMN})
    width = _MARGIN + _STRIDE * len(columns) - (_STRIDE - BOX_WIDTH) + _BESIDE + 4
    places: dict[str, _Place] = {}
    parts = [_head(_left(i), column) for i, column in enumerate(columns)]
    y, counts = _TOP, dict.fromkeys(columns, 0)
    for label, row in _rows(nodes):
        parts += [element("path", d=f"M0 {y - 10} H{width}", class_="rule"), text(0, y + 27, label, "when")]
        stacked = dict.fromkeys(columns, 0)
        for node in row:
            column = node.column
            x = _left(columns.index(column))
            places[node.name] = _Place(node, x, y + _ROW * stacked[column], counts[column])
            stacked[column] += 1
            counts[column] += 1
        y += _ROW * max(stacked.values())
    for place in places.values():
        if place.node.parent in places:
            parts.append(_edge(places[place.node.parent], place))
    parts += map(_box, places.values())
    label = "The transactions by block, downwards; the tables on this page say the same in words"
    view = f"0 0 {width} {y}"
    return element("svg", parts, viewBox=view, width=width, height=y, class_="tree", role="img", aria_label=label)


def _rows(nodes: Iterable[Node]) -> Iterator[tuple[str, list[Node]]]:
    """Yield the rows from above, each with what stands on its left."""
    blocks: defaultdict[int, list[Node]] = defaultdict(list)
    others: dict[str, list[Node]] = {WAITING: [], COMING: []}
    for node in nodes:
        (others[node.state] if node.height is None else blocks[node.height]).append(node)
    for height in sorted(blocks):
        yield f"block {height:,}", blocks[height]
    for state, label in ((WAITING, "in the mempool"), (COMING, "may come next")):
        if others[state]:
            yield label, others[state]


def _left(index: int) -> int:
    return _MARGIN + _STRIDE * index


def _head(x: int, column: Column) -> Markup:
    claim, number = column
    return text(x, 14, f"claim {claim}, game of challenger{number}" if claim else "set-up", "head")


def _box(place: _Place) -> Markup:
    node = place.node
    name = node.name if node.column == _SETUP_COLUMN else short_name(node.name)
    return box(place.x, place.y, name, node.note, f"{party_class(node.party)} {node.state}")


def _edge(parent: _Place, child: _Place) -> Markup:
    """Return the line between two transactions: straight down, around the boxes between them, or to another column."""
    above, below = parent.y + BOX_HEIGHT // 2, child.y + BOX_HEIGHT // 2
    right = parent.x + BOX_WIDTH
    if parent.x != child.x:
        path = f"M{right} {above} H{child.x - _BESIDE} V{below} H{child.x}"
    elif child.order == parent.order + 1:
        path = f"M{parent.x + BOX_WIDTH // 2} {parent.y + BOX_HEIGHT} V{child.y}"
    elif child.node.column == _SETUP_COLUMN:  # on the right are the lines to the games
        path = f"M{parent.x} {above} H{parent.x - _BESIDE} V{below} H{child.x}"
    else:
        path = f"M{right} {above} H{right + _BESIDE} V{below} H{right}"
    return edge(path, child.node.state)
