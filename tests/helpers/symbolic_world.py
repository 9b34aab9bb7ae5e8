"""A program of few steps, its true run and its false ones, and the real graphs of games about it."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache

from symbolic_hostile import Remembered
from symbolic_position import real_graph

from bitvm.game.computation import Execution
from bitvm.graph.graph import Graph
from bitvm.graph.parameters import Parameters
from lvm.elf import Image, Segment
from lvm.isa import add, addi, ecall, lw, sw
from regtest.lies.telling import Lying, Story, Tell

ENTRY, DATA = 0x1000, 0x400
SHORT = (addi(5, 0, 7), sw(5, 0, DATA), addi(10, 0, 0), ecall())
"""As long as a claim of one level: four steps."""
LONGER = (addi(5, 0, 7), sw(5, 0, DATA), lw(6, 0, DATA), add(7, 5, 6), sw(7, 0, DATA + 8), addi(10, 0, 0), ecall())
"""In a claim of two levels, sixteen steps, with the machine halted from the eighth on."""


@cache
def image(levels: int) -> Image:
    words = SHORT if levels == 1 else LONGER
    return Image(ENTRY, (Segment(ENTRY, struct.pack(f"<{len(words)}I", *words)),), "tiny")


@cache
def parameters(levels: int = 1, challengers: int = 1, confirmations: int = 1, delta: int = 4) -> Parameters:
    longest = Parameters(
        image(levels).root(),
        entry=ENTRY,
        levels=levels,
        width=4,
        challengers=challengers,
        confirmations=confirmations,
        delta=delta,
        delta_claim=2 * confirmations + 3,
        delta_long=0xFFFF,
    )
    return replace(longest, delta_long=longest.delta_claim + longest.longest_game)


@cache
def graph(levels: int = 1, challengers: int = 1, confirmations: int = 1, delta: int = 4) -> Graph:
    return real_graph(parameters(levels, challengers, confirmations, delta))


@cache
def run(levels: int = 1) -> Execution:
    return Execution(parameters(levels), image(levels), b"", engine="spec")


@cache
def true(levels: int = 1) -> Remembered:
    assert run(levels).accepted
    return Remembered(run(levels))


def false(tell: Tell, step: int, levels: int = 1) -> Remembered:
    lying = Lying(run(levels), Story({step: tell}))
    assert lying.final_root != run(levels).final_root
    return Remembered(lying)
