"""HTML and SVG from Python values: text is escaped unless it is markup already.

``element("p", "a < b", element("b", "!"), class_="note")`` is ``<p class="note">a &lt; b<b>!</b></p>``. Nothing but
this module makes ``Markup``, so what a page shows cannot become what a page does.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is HTML: made by ``element`` and ``joined`` from escaped parts."""

    __slots__ = ()


Child = str | int | None | Iterable["Child"]
"""What an element may hold: markup, text or a number that will be escaped, nothing, or several of these."""

DOCTYPE = "<!doctype html>"
"""How every page begins."""

_VOID = frozenset({"meta", "br", "hr"})
"""Elements without an end tag."""


def element(tag: str, *children: Child, **attributes: str | float | None) -> Markup:
    """Return one element.

    Attributes that are None are left out. ``class_`` stands for ``class``, other underscores for hyphens.
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{joined(children)}</{tag}>")


def joined(children: Iterable[Child]) -> Markup:
    """Return children side by side."""
    return Markup("".join(map(_text, children)))


def stylesheet(css: str) -> Markup:
    """Return a style element; raises ValueError for text that would end it."""
    if "</" in css:
        raise ValueError("a style sheet must not contain an end tag")
    return Markup(f"<style>{css}</style>")


def document(language: str, head: Markup, body: Markup) -> str:
    """Return a whole page."""
    return f"{DOCTYPE}\n{element('html', element('head', head), element('body', body), lang=language)}\n"


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return str(child)
    if isinstance(child, str | int):
        return escape(str(child))
    return joined(child)


def _number(value: str | float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
