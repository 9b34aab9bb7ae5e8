"""The bisection as nested intervals: each level's bar of parts, and the funnel from the chosen part to the next bar."""

from __future__ import annotations

from collections.abc import Sequence

from bitvm.pages.markup import Markup, element
from regtest.report.facts import DisputedStep, Level, Point


def draw(levels: Sequence[Level], step: DisputedStep | None) -> Markup:
    """Return the whole section's picture, level by level, and all roots folded away."""
    parts: list[Markup | None] = [_heading(levels[0])]
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        parts += [_bar(level), _funnel(level, None if following is None else _heading(following))]
    if levels[-1].choice is not None:
        parts.append(_last(step))
    count = sum(level.parts - 1 for level in levels)
    folded = element("details", element("summary", f"All {count} roots that the prover showed"), map(_roots, levels))
    return element("div", parts, folded, class_="bisection")


def _heading(level: Level) -> Markup:
    first, last = level.points[0].step, level.points[-1].step
    name = element("b", f"Level {level.number}")
    text = f" steps {first:,} to {last:,}, {level.parts} parts of {_steps(level.part_steps)}"
    return element("p", name, text, class_="level")


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


def _bar(level: Level) -> Markup:
    """Draw the parts: agreed up to the chosen one, which is marked, and disputed after it."""
    gap = 0.12
    parts = []
    for i in range(level.parts):
        kind = "chosen" if i == level.choice else "agreed" if level.points[i + 1].agreed else "disputed"
        parts.append(element("rect", x=i + gap / 2, y=0, width=1 - gap, height=1, class_=kind))
    chosen = f"part {level.choice} is chosen" if level.choice is not None else "no part is chosen"
    return element(
        "svg",
        parts,
        viewBox=f"0 0 {level.parts} 1",
        preserveAspectRatio="none",
        class_="bar",
        role="img",
        aria_label=f"Level {level.number}: {chosen}",
    )


def _funnel(level: Level, below: Markup | None) -> Markup | None:
    """Draw the chosen part widening into what is below, with its two ends over it."""
    if level.choice is None:
        return None
    left, right = level.points[level.choice], level.points[level.choice + 1]
    shape = element(
        "svg",
        element("polygon", points=f"{level.choice},0 {level.choice + 1},0 {level.parts},1 0,1"),
        viewBox=f"0 0 {level.parts} 1",
        preserveAspectRatio="none",
        aria_hidden="true",
    )
    ends = element("div", _end(left, "left"), _end(right, "right"), class_="ends")
    return element("div", shape, ends, below, class_="funnel")


def _end(point: Point, side: str) -> Markup:
    """Return one end of the chosen part: its step and roots."""
    claimed = element("code", _root(point.claimed))
    if point.agreed:
        said: list[Markup | str] = ["both: ", claimed]
    else:
        said = ["claimed ", element("code", _root(point.claimed), class_="wrong"), element("br"), "true "]
        said.append(element("code", _root(point.true)))
    state = "agreed" if point.agreed else "disputed"
    head = element("span", f"step {point.step:,} ", element("b", state), class_=f"state {state}")
    return element("p", head, element("br"), said, class_=f"end {side}")


def _root(root: bytes | None) -> str:
    """Return the ends of a root, enough to tell roots apart by eye."""
    return "no node" if root is None else f"{root[:4].hex()}…{root[-2:].hex()}"


def _roots(level: Level) -> Markup:
    """Return the points inside a level's interval as a table."""
    rows = [
        element(
            "tr",
            element("td", f"{point.step:,}", class_="number"),
            element("td", element("code", point.claimed.hex() if point.claimed else "no node"), class_="said"),
            element("td", "the same" if point.agreed else element("code", point.true.hex())),
            class_=None if point.agreed else "wrong",
        )
        for point in level.points[1:-1]
    ]
    names = (f"level {level.number}: step", "root shown by the prover", "true root")
    head = element("tr", [element("th", name, scope="col") for name in names])
    return element("div", element("table", element("thead", head), element("tbody", rows)), class_="scroll")


def _last(step: DisputedStep | None) -> Markup:
    """Return what the last funnel ends in."""
    left = ["One step is left: step ", element("b", f"{step.index:,}")] if step else "The prover did not answer."
    return element("p", left, class_="last")
