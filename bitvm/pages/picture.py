"""Parts of an SVG picture of transactions: boxes, the lines between them, and words."""

from __future__ import annotations

from bitvm.pages.markup import Markup, element

BOX_WIDTH, BOX_HEIGHT = 226, 44
"""Of a transaction, in pixels."""


def box(x: int, y: int, name: str, note: str, class_: str) -> Markup:
    """Return a transaction of a picture: a rectangle with its name and a note."""
    return element(
        "g",
        element("rect", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=7),
        text(x + 12, y + 19, name, "name"),
        text(x + 12, y + 35, note, "note"),
        class_=f"box {class_}",
    )


def edge(path: str, class_: str = "") -> Markup:
    """Return a line between transactions, along an SVG path."""
    return element("path", d=path, class_=f"edge {class_}".rstrip())


def text(x: float, y: float, words: str, class_: str) -> Markup:
    """Return words in a picture."""
    return element("text", words, x=x, y=y, class_=class_)
