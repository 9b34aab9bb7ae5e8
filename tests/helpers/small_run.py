"""A short real computation for games of two levels: the sieve up to 30, and its lies."""

from __future__ import annotations

from functools import cache

from bitvm.game.computation import Execution
from bitvm.graph.parameters import Parameters
from lvm.elf import Image, load_elf
from lvm.guest import elf_path
from regtest.hostile import LIES, LyingExecution, tell

INPUT = b"30\n"


@cache
def image() -> Image:
    return load_elf(elf_path("sieve"))


@cache
def parameters(levels: int = 2, challengers: int = 1) -> Parameters:
    return Parameters(image().root(), entry=image().entry, levels=levels, challengers=challengers)


@cache
def honest(levels: int = 2, challengers: int = 1) -> Execution:
    return Execution(parameters(levels, challengers), image(), INPUT)


def lying(name: str, step: int | None = None, levels: int = 2) -> LyingExecution:
    return tell(honest(levels), LIES[name], step)[0]
