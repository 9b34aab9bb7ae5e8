"""Text that others wrote, made safe for a terminal and no longer than one wants to read."""

from __future__ import annotations


def printable(text: str, most: int) -> str:
    """Return ``text`` as one line: what is not printable written as in Python, cut after ``most`` characters.

    Not printable are control characters, line ends, marks that change the direction of writing, lone surrogates.
    """
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
