"""What every page has around its content, and the parts that pages have in common."""

from __future__ import annotations

from bitvm.pages.markup import Child, Markup, document, element, joined, stylesheet
from bitvm.pages.style import BASE_CSS

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load or run for a page: nothing but the style sheet within it."""


def page(title: str, css: str, *body: Child) -> str:
    """Return a whole page; ``css`` comes behind what all pages share."""
    head = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("title", title),
            stylesheet(BASE_CSS + css),
        ]
    )
    return document("en", head, joined(body))


def section(title: str, text: Child, *content: Child) -> Markup:
    """Return a part of a page under its heading."""
    return element("section", element("h2", title), element("p", text) if text else None, *content)


def tiles(*figures: tuple[str, str]) -> Markup:
    """Return figures side by side, each above what it counts."""
    cells = [element("div", element("dt", name), element("dd", figure)) for figure, name in figures]
    return element("dl", cells, class_="tiles")


def legend(*entries: tuple[str, str]) -> Markup:
    """Return what the marks of a picture mean: pairs of CSS class and text."""
    spans = [element("span", element("i", class_=class_), name) for class_, name in entries]
    return element("p", spans, class_="legend")
