"""Guests: the C software development kit (`sdk/`), the examples and their compiled executables (`elf/`).

What a guest prints is in its OUTPUT: a word with the length, then the bytes, 4 MiB in all, just below INPUT. Like
INPUT it is one height-16 subtree of the state tree. See `sdk/lvm.h` for the guest's side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lvm.layout import INPUT_BASE, INPUT_END, WORD_BYTES
from lvm.machine import Machine

OUTPUT_BASE: Final = 2 * INPUT_BASE - INPUT_END
OUTPUT_MAX_BYTES: Final = INPUT_BASE - OUTPUT_BASE - WORD_BYTES

EXAMPLES: Final = ("ledger", "quicksort", "sha256", "sieve")
"""Names of the examples; each has its documentation at the head of `examples/<name>.c`."""


class OutputError(ValueError):
    """OUTPUT does not hold what a guest of this kit writes."""


def elf_path(name: str) -> Path:
    """Return the path of an example's committed executable. Raises KeyError for an unknown name."""
    if name not in EXAMPLES:
        raise KeyError(f"no example {name!r}; there are {', '.join(EXAMPLES)}")
    return Path(__file__).resolve().parent / "elf" / f"{name}.elf"


def read_output(machine: Machine) -> bytes:
    """Return the bytes that the guest wrote to OUTPUT. Raises OutputError if the length is impossible."""
    length = machine.read_word(OUTPUT_BASE)
    if length > OUTPUT_MAX_BYTES:
        raise OutputError(f"OUTPUT claims {length} bytes; it holds at most {OUTPUT_MAX_BYTES}")
    first = OUTPUT_BASE + WORD_BYTES
    words = (machine.read_word(address) for address in range(first, first + length, WORD_BYTES))
    return b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)[:length]
