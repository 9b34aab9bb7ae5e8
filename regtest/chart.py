"""Virtual bytes of a dispute about an execution against its rounds, for lists of 4 to 256 intervals.

Every point is exact: only Choice, Reveal and Step depend on the width k and the rounds m, and each is one template of a
real graph, opened by a leaf that is built for k and m. So points are there too where parameters refuse a set-up (k =
256, or more than 2^32 steps); `Point.possible` tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import count
from math import isqrt, log2
from typing import Any

from bitvm.graph.costs import reference_graph
from bitvm.graph.graph import Graph
from bitvm.graph.model import Input, ScriptLeaf, Template
from bitvm.graph.parameters import WIDTHS, Parameters
from bitvm.graph.setting import step_schemes
from bitvm.leaves.choice import ChoiceLeaf
from bitvm.leaves.commitment import CommitmentLeaf
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.leaves.step import StepLeaf
from bitvm.pages.markup import Child, Markup, element
from bitvm.script.onetime import NODE, Window
from bitvm.script.onetime.chain import VALUE_BYTES
from bitvm.script.onetime.public import PublicKey
from bitvm.script.onetime.scheme import AnyScheme
from bitvm.script.weight import vsize
from lvm.layout import HASH_BYTES

CHARTED_WIDTHS = (4, 16, 64, 256)
CHARTED_ROUNDS = range(1, 9)
MOST_STEPS = 2**32
"""The step counter of a claim ends here."""

_KEYS = (bytes([1]) * 32, bytes([2]) * 32)
"""Made-up x-only keys of prover and challenger; only their size counts."""


@dataclass(frozen=True, slots=True)
class Point:
    """A dispute of ``rounds`` bisections into ``width`` intervals each: its virtual bytes and transactions."""

    width: int
    rounds: int
    vbytes: int
    transactions: int

    @property
    def steps(self) -> int:
        """Machine steps that it covers."""
        return int(self.width**self.rounds)

    @property
    def possible(self) -> bool:
        """Whether a set-up can have it."""
        return self.width in WIDTHS and self.steps <= MOST_STEPS

    def to_json(self) -> dict[str, Any]:
        """Return the point as JSON values."""
        return {
            "width": self.width,
            "rounds": self.rounds,
            "vbytes": self.vbytes,
            "transactions": self.transactions,
            "steps_log2": log2(self.width) * self.rounds,
            "possible": self.possible,
        }


def points() -> tuple[Point, ...]:
    """Return the points of the chart, width by width."""
    return tuple(point(width, rounds) for width in CHARTED_WIDTHS for rounds in CHARTED_ROUNDS)


def point(width: int, rounds: int) -> Point:
    """Return the cost, at most, of a dispute about an execution: Challenge to Slash, without its claim and children."""
    base = _base()
    fixed = base["1/Challenge"].vsize() + _execution_slash()
    choice = _opened(base["1/Choice_1"], _choice_leaf(width))
    reveal = _opened(base["1/Reveal_2"], _reveal_leaf(width))
    step = _opened(base["1/Step"], _step_leaf(width, rounds))
    return Point(width, rounds, fixed + rounds * choice + (rounds - 1) * reveal + step, 2 * rounds + 2)


@cache
def _base() -> Graph:
    return reference_graph(Parameters(bytes(HASH_BYTES), levels=2, width=4))


@cache
def _execution_slash() -> int:
    """Return the largest Slash by an execution leaf: those are the same whatever width and rounds are."""
    slash = _base()["1/Slash"]
    return max(slash.vsize({0: leaf.name}) for leaf in EXECUTION_LEAVES)


def _opened(template: Template, leaf: ScriptLeaf) -> int:
    """Return the virtual size of a template whose first input is opened by another leaf of the same place."""
    spent = template.inputs[0]
    if not isinstance(spent, Input):
        raise TypeError(f"{template.name} is not opened by a leaf")
    (name,) = spent.leaves
    control_block = template.input_witness(0, name, [])[-1]
    return vsize(template.with_witness([[*(bytes(size) for size in leaf.item_sizes()), leaf.script, control_block]]))


# ---- leaves

_serial = count()


def _key(scheme: AnyScheme) -> PublicKey:
    """Return a made-up public key: its chain values differ, and nothing else matters to sizes."""
    values = (next(_serial).to_bytes(VALUE_BYTES) for _ in range(scheme.chains))
    return PublicKey(scheme, tuple(values))


def _choice_scheme(width: int) -> Window:
    return Window(width=isqrt(width), slots=2)


@cache
def _choice_leaf(width: int) -> ChoiceLeaf:
    return ChoiceLeaf("choice", _PARTIES, _KEYS, _key(_choice_scheme(width)), width)


@cache
def _reveal_leaf(width: int) -> CommitmentLeaf:
    return CommitmentLeaf("reveal", _PARTIES, _KEYS, {"trace_root": _key(NODE)}, width - 1)


@cache
def _step_leaf(width: int, rounds: int) -> StepLeaf:
    schemes = step_schemes(Parameters(bytes(HASH_BYTES), levels=1))
    schemes["index"] = Window(width=isqrt(width), slots=2 * rounds)
    fields = {name: _key(scheme) for name, scheme in schemes.items()}
    choices = tuple(_key(_choice_scheme(width)) for _ in range(rounds))
    return StepLeaf("step", _PARTIES, _KEYS, fields, choices, width)


_PARTIES = ("prover", "challenger1")

# ---- the picture

COLOURS: Mapping[int, str] = {4: "#8a63d2", 16: "#1f77b4", 64: "#d1495b", 256: "#2a9d6f"}
FRAME_WIDTH, FRAME_HEIGHT = 900, 640
LEFT, RIGHT, TOP, BOTTOM = 80, 130, 80, 160
"""Margins around the plot, in pixels."""

NAME_HEIGHT = 17
"""Pixels between the names of two lines."""

TICK = 5_000
"""Virtual bytes between two lines of the grid."""


def svg(found: tuple[Point, ...]) -> str:
    """Return the chart as an SVG document: rounds to the right, virtual bytes upwards, one line a width.

    Points of set-ups that parameters refuse are hollow; each point says how many steps it covers.
    """
    plot = _Plot(found)
    title = "Virtual bytes of a dispute about an execution, against its rounds"
    drawn = [
        element("title", title),
        element("rect", width=FRAME_WIDTH, height=FRAME_HEIGHT, fill="#ffffff"),
        _text(LEFT, 30, title, size=18, weight="bold"),
        _text(
            LEFT,
            52,
            "Challenge to Slash at most, children apart. Below: steps that a claim covers. Hollow: cannot be set up.",
            12,
        ),
        *plot.grid(),
        *(part for width in COLOURS for part in plot.line(width)),
    ]
    picture = element(
        "svg",
        drawn,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {FRAME_WIDTH} {FRAME_HEIGHT}",
        font_family="system-ui, sans-serif",
    )
    return f"{picture}\n"


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where points lie in the picture."""

    points: tuple[Point, ...]

    def grid(self) -> Iterator[Markup]:
        """Yield the lines behind the points, with their numbers."""
        right = FRAME_WIDTH - RIGHT
        for vbytes in range(self._least(), self._most() + 1, TICK):
            y = self._y(vbytes)
            yield element("line", x1=LEFT, x2=right, y1=y, y2=y, stroke="#dddddd")
            yield _text(LEFT - 8, y + 4, f"{vbytes // 1_000}", 12, anchor="end")
        for rounds in CHARTED_ROUNDS:
            x = self._x(rounds)
            yield _text(x, FRAME_HEIGHT - BOTTOM + 20, rounds, 12, anchor="middle")
            yield _text(x, FRAME_HEIGHT - BOTTOM + 36, f"{2 * rounds + 2} tx", 10, anchor="middle", fill="#777777")
        yield _text(right + 16, FRAME_HEIGHT - BOTTOM + 20, "rounds m", 12)
        yield _text(right + 16, FRAME_HEIGHT - BOTTOM + 36, "transactions", 10, fill="#777777")
        yield _text(LEFT - 8, TOP - 16, "kvB", 12, anchor="end")

    def line(self, width: int) -> Iterator[Markup]:
        """Yield one width's line, points and labels."""
        mine = [point for point in self.points if point.width == width]
        colour = COLOURS[width]
        path = " ".join(f"{self._x(p.rounds):g},{self._y(p.vbytes):g}" for p in mine)
        yield element("polyline", points=path, fill="none", stroke=colour, stroke_width=2)
        for p in mine:
            x, y = self._x(p.rounds), self._y(p.vbytes)
            label = f"k = {width}, m = {p.rounds}: {p.vbytes:,} vB in {p.transactions} transactions, {p.steps:,} steps"
            yield element(
                "circle",
                element("title", label),
                cx=x,
                cy=y,
                r=4.5,
                fill=colour if p.possible else "#ffffff",
                stroke=colour,
                stroke_width=1.5,
            )
        yield _text(self._x(mine[-1].rounds) + 26, self._name_y(width), f"k = {width}", 14, fill=colour, weight="bold")
        yield from self._steps(mine, FRAME_HEIGHT - BOTTOM + 66 + 20 * list(COLOURS).index(width))

    def _steps(self, mine: list[Point], y: float) -> Iterator[Markup]:
        """Yield the line below the plot that says how many steps each point covers."""
        colour = COLOURS[mine[0].width]
        yield _text(LEFT - 8, y, f"k = {mine[0].width}", 12, anchor="end", fill=colour, weight="bold")
        for p in mine:
            exponent = element("tspan", f"{log2(p.steps):g}", dy=-4, font_size=9)
            yield _text(self._x(p.rounds), y, ["2", exponent], 12, anchor="middle", fill=colour)

    def _name_y(self, width: int) -> float:
        """Return where a line's name stands: at its end, but clear of the names below."""
        ends = {point.width: self._y(point.vbytes) + 5 for point in self.points if point.rounds == CHARTED_ROUNDS[-1]}
        y = float(FRAME_HEIGHT)
        for lower in sorted(ends, key=lambda other: -ends[other]):
            y = min(ends[lower], y - NAME_HEIGHT)
            if lower == width:
                break
        return y

    def _most(self) -> int:
        return -(-max(point.vbytes for point in self.points) // TICK) * TICK

    def _least(self) -> int:
        return min(point.vbytes for point in self.points) // TICK * TICK

    def _x(self, rounds: int) -> float:
        first, last = CHARTED_ROUNDS[0], CHARTED_ROUNDS[-1]
        return LEFT + 30 + (FRAME_WIDTH - LEFT - RIGHT - 60) * (rounds - first) / (last - first)

    def _y(self, vbytes: int) -> float:
        share = (vbytes - self._least()) / (self._most() - self._least())
        return FRAME_HEIGHT - BOTTOM - (FRAME_HEIGHT - TOP - BOTTOM) * share


def _text(
    x: float,
    y: float,
    text: Child,
    size: int,
    *,
    anchor: str | None = None,
    fill: str = "#333333",
    weight: str | None = None,
) -> Markup:
    return element("text", text, x=x, y=y, font_size=size, text_anchor=anchor, fill=fill, font_weight=weight)


def to_json(found: tuple[Point, ...]) -> str:
    """Return the points as a JSON list."""
    return json.dumps([point.to_json() for point in found], indent=2)
