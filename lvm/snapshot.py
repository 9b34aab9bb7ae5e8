"""A machine's state at one moment, shared copy-on-write with the machine that made it.

A snapshot is portable: what one interpreter saved, the other can restore. Whoever holds its pages must not write to
them; a machine copies a page before its first write after a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lvm.tree import TreeSnapshot


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Everything a machine needs to resume."""

    t: int
    """Steps done since boot."""
    pages: Mapping[int, memoryview]
    """By page number (address // 4096): 1024 words, a read-only memoryview of format "I". Absent pages are zero."""
    tree: TreeSnapshot
    """The tree as last brought up to date."""
    dirty: frozenset[int]
    """Indices of the leaves that changed since."""
