"""What the game cost: a chart of virtual bytes by transaction, a comparison with others, and the table."""

from __future__ import annotations

from collections.abc import Sequence

from bitvm.pages.markup import Markup, element
from bitvm.pages.style import party_class
from regtest.match import Confirmation
from regtest.report.story import power
from regtest.report.tree import short

OTHERS = (("BitVMX, 500 M steps", 105_000), ("BitVM2, 128-bit truncated", 331_000))
"""Virtual bytes of one dispute about an execution in other systems, from their published code and constants."""


def chart(confirmations: Sequence[Confirmation]) -> Markup:
    """Draw a bar a transaction in the colour of its party; the child that pays its fee is the paler end."""
    largest = max((c.vsize + c.child_vsize for c in confirmations), default=1)
    rows = []
    for c in confirmations:
        bars = [element("rect", x=0, y=0, width=c.vsize, height=1)]
        if c.child_vsize:
            bars.append(element("rect", x=c.vsize, y=0, width=c.child_vsize, height=1, class_="child"))
        rows.append(_bar_row(short(c.name), bars, largest, f"{c.vsize:,}", party_class(c.party)))
    return element("div", rows, class_="chart", role="img", aria_label="Virtual bytes by transaction")


def comparison(vsize: int, levels: int, width: int) -> Markup:
    """Draw this dispute's virtual bytes beside those of other systems."""
    lines = [
        (f"this dispute, {power(width, levels)} steps", vsize, "mover-challenger"),
        *((*o, "other") for o in OTHERS),
    ]
    largest = max(size for _, size, _ in lines)
    rows = [
        _bar_row(name, [element("rect", x=0, y=0, width=size, height=1)], largest, f"{size:,}", class_)
        for name, size, class_ in lines
    ]
    return element("div", rows, class_="chart compare", role="img", aria_label="Virtual bytes of one dispute")


def _bar_row(name: str, bars: Sequence[Markup], largest: int, figure: str, class_: str) -> Markup:
    drawing = element("svg", bars, viewBox=f"0 0 {largest} 1", preserveAspectRatio="none")
    cells = (element("span", name, class_="name"), drawing, element("span", figure, class_="number"))
    return element("div", cells, class_=f"row {class_}")


def table(confirmations: Sequence[Confirmation]) -> Markup:
    """Return the transactions in the order of the chain."""
    names = ("block", "transaction", "party", "vbytes", "weight", "child", "fee (sat)", "transaction id")
    figures = {"block", "vbytes", "weight", "child", "fee (sat)"}
    classes = {name: "number" if name in figures else None for name in names}
    head = element("tr", [element("th", name, scope="col", class_=class_) for name, class_ in classes.items()])
    rows = []
    for c in confirmations:
        row = (f"{c.vsize:,}", f"{c.weight:,}", f"{c.child_vsize:,}" if c.child_vsize else "0", f"{c.fee:,}")
        rows.append(
            element(
                "tr",
                element("td", str(c.height), class_="number"),
                element("td", element("b", c.name)),
                element("td", c.party if c.name != "Fund" else "everybody", class_=f"party {party_class(c.party)}"),
                [element("td", figure, class_="number") for figure in row],
                element("td", element("code", c.txid, class_="txid")),
            )
        )
    return element("div", element("table", element("thead", head), element("tbody", rows)), class_="scroll")
