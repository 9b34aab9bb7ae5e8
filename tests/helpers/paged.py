"""A page as tests read it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

VOID = {"meta", "br", "hr"}
LOADING = {"src", "href", "srcset", "action", "style", "data", "poster", "background"}
"""Attributes by which a page could fetch something, or look otherwise than its style sheet says."""


class Page(HTMLParser):
    """Text by element, attributes, and whether every element is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))

    def classes(self, tag: str) -> list[str]:
        return [values.get("class") or "" for name, values in self.attributes if name == tag]

    def svgs(self, class_: str) -> list[ET.Element]:
        """Return the pictures of a class, read as XML."""
        found = map(ET.fromstring, re.findall(r"<svg .*?</svg>", self.html, re.DOTALL))
        return [svg for svg in found if svg.get("class") == class_]

    def boxes(self) -> list[tuple[str | None, ...]]:
        """Return the boxes of the tree: name, note, and class."""
        (tree,) = self.svgs("tree")
        return [(*(text.text for text in group.iter("text")), group.get("class")) for group in tree.iter("g")]

    def assert_alone(self) -> None:
        """Check that the page runs nothing and needs nothing from outside."""
        assert not {name for _, values in self.attributes for name in values} & LOADING
        assert not [name for _, values in self.attributes for name in values if name.startswith("on")]
        assert not {"script", "link", "iframe", "img", "object", "base"} & set(self.tags)
        assert not re.search(r"url\(|@import|https?:", self.html)
        policies = [values["content"] for _, values in self.attributes if "http-equiv" in values]
        assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
