"""A program of thirteen steps, as an ELF file, and the parameters of a set-up about it with short times."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from elf_files import CODE_ADDRESS, ElfFile, Program, code

from bitvm.graph.parameters import Parameters
from lvm import isa
from lvm.elf import load_elf
from lvm.layout import INPUT_BASE

DATA = 0x2_0000
STEPS = 13
LIE_STEP = 3
"""An add, whose false result reaches memory."""

INPUT = (7).to_bytes(4, "little")
OTHER_INPUT = (9).to_bytes(4, "little")

_LOOP = (isa.add(6, 6, 7), isa.addi(7, 7, -1), isa.bne(7, 0, -8))
PROGRAM = code(
    isa.lui(5, INPUT_BASE >> 12),
    isa.lw(6, 5, 4),
    isa.addi(7, 0, 2),
    *_LOOP,
    isa.lui(8, DATA >> 12),
    isa.sw(6, 8, 0),
    isa.addi(10, 0, 0),
    isa.ecall(),
)


def write_program(folder: Path) -> Path:
    """Write the ELF file into ``folder`` and return its path."""
    path = folder / "tiny.elf"
    path.write_bytes(ElfFile(programs=[Program(PROGRAM)], entry=CODE_ADDRESS).build())
    return path


def tiny_parameters(program: Path, **changes: object) -> Parameters:
    """Return parameters for the program: two levels of four, one block to bury, five to answer."""
    image = load_elf(program)
    wide = Parameters(
        image.root(), entry=image.entry, levels=2, width=4, confirmations=1, delta=5, delta_claim=7, delta_long=5_000
    )
    found = replace(wide, **changes)  # type: ignore[arg-type]
    return found if "delta_long" in changes else replace(found, delta_long=found.delta_claim + found.longest_game + 10)
