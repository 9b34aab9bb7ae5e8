"""Small ELF files, made field by field, so that a test can break any one field."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from lvm import isa

PT_NULL, PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 0, 1, 2, 3, 4
ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_X86_64, EM_RISCV = 62, 243
CODE_ADDRESS = 0x1_0000


def code(*words: int) -> bytes:
    """Instructions as bytes."""
    return b"".join(word.to_bytes(4, "little") for word in words)


@dataclass
class Program:
    """One program header and its bytes; None means: the value that is right."""

    data: bytes = b""
    vaddr: int = CODE_ADDRESS
    memsz: int | None = None
    filesz: int | None = None
    offset: int | None = None
    type: int = PT_LOAD
    flags: int = 5


@dataclass
class ElfFile:
    """An executable; `build` gives its bytes."""

    programs: Sequence[Program] = field(default_factory=lambda: [Program(code(isa.addi(10, 0, 7), isa.ecall()))])
    entry: int = CODE_ADDRESS
    type: int = ET_EXEC
    machine: int = EM_RISCV
    flags: int = 0
    version: int = 1
    phoff: int = 52
    phentsize: int = 32
    phnum: int | None = None
    shoff: int = 0
    ident: bytes = b"\x7fELF\x01\x01\x01" + bytes(9)

    def build(self) -> bytes:
        """Header, program headers, then the segments one after another."""
        number = len(self.programs) if self.phnum is None else self.phnum
        header = struct.pack(
            "<16sHHIIIIIHHHHHH",
            *(self.ident, self.type, self.machine, self.version, self.entry, self.phoff, self.shoff, self.flags),
            *(52, self.phentsize, number, 40, 3 if self.shoff else 0, 2),
        )
        headers, body = b"", b""
        for program in self.programs:
            offset = 52 + 32 * len(self.programs) + len(body) if program.offset is None else program.offset
            filesz = len(program.data) if program.filesz is None else program.filesz
            memsz = filesz if program.memsz is None else program.memsz
            headers += struct.pack(
                "<8I", program.type, offset, program.vaddr, program.vaddr, filesz, memsz, program.flags, 4
            )
            body += program.data
        return header + headers + body
