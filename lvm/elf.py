"""Loading a program: a statically linked RV32IM executable in ELF form, or a named error.

Source: System V ABI, "ELF Header" and "Program Header"; RISC-V ELF psABI, "File Header" (e_flags). Only what a loader
needs is read: the file header and the program headers. Section headers (debug information, symbols) are no part of
what runs and are not looked at. Whatever the bytes, `load_elf` returns an image or raises an ElfError; every message
names the file, the field and what to do.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from elftools.common.exceptions import ELFError as MalformedError
from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile

from lvm.layout import INPUT_BASE, WORD_BYTES
from lvm.memory import Memory
from lvm.tree import BatchHasher, StateTree

ELF_MAX_BYTES: Final = 1 << 28
"""Largest file that is read; a program's code and data are far smaller."""

_HEADER_BYTES = 52
_PROGRAM_HEADER_BYTES = 32
_FLAG_RVC, _FLAG_FLOAT, _FLAG_RVE = 0x1, 0x6, 0x8
_EXECUTABLE = 0x1
_COMPILE = "compile with -march=rv32im -mabi=ilp32 -static"


class ElfError(ValueError):
    """The file is no program of this machine."""

    def __init__(self, file: str, field: str, problem: str, fix: str) -> None:
        """Say in which file which field has what problem, and what to do about it."""
        super().__init__(f"{file}: {field}: {problem}; {fix}")
        self.file, self.field, self.problem, self.fix = file, field, problem, fix


class ElfReadError(ElfError):
    """The file cannot be read."""


class ElfMagicError(ElfError):
    """The file is not an ELF file."""


class ElfTruncatedError(ElfError):
    """A header or a segment reaches beyond the end of the file."""


class ElfClassError(ElfError):
    """The file is not 32-bit."""


class ElfByteOrderError(ElfError):
    """The file is not little-endian."""


class ElfMachineError(ElfError):
    """The file is not for RISC-V."""


class ElfTypeError(ElfError):
    """The file is not an executable."""


class ElfDynamicError(ElfError):
    """The file is position-independent or dynamically linked."""


class ElfFlagsError(ElfError):
    """The file uses an extension or calling convention that the machine does not have."""


class ElfHeaderError(ElfError):
    """A header field has a value that no ELF file has."""


class ElfEmptyError(ElfError):
    """The file has nothing to load."""


class ElfSegmentSizeError(ElfError):
    """A segment has more bytes in the file than in memory."""


class ElfSegmentRangeError(ElfError):
    """A segment reaches beyond the memory that programs have."""


class ElfSegmentOverlapError(ElfError):
    """Two segments claim the same memory."""


class ElfEntryError(ElfError):
    """The entry point is misaligned or not in a segment of code."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes at an address; memory around them is zero."""

    address: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Image:
    """A program as it stands in memory before its first run: INPUT and CPU are zero."""

    entry: int
    """Address of the first instruction."""
    segments: tuple[Segment, ...]
    name: str = "image"
    """What messages call it."""

    def memory(self) -> Memory:
        """Return a new memory that holds the segments."""
        memory = Memory()
        for segment in self.segments:
            memory.load(segment.address, segment.data)
        return memory

    def root(self, hasher: BatchHasher | None = None) -> bytes:
        """Return the state root (24 bytes) of the image: the first run's `prev_root`."""
        memory = self.memory()
        tree = StateTree(hasher)
        dirty = sorted(memory.dirty)
        tree.update(dirty, b"".join(map(memory.read_leaf, dirty)))
        return tree.root


def load_elf(source: str | Path | bytes) -> Image:
    """Load a program from a path or from the file's bytes. Raises ElfError, of the kind that names what is wrong."""
    if isinstance(source, bytes):
        return _parse("<bytes>", source)
    path = Path(source)
    return _parse(str(path), _read(path))


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ElfReadError(str(path), "file", "not a regular file", "give the path of an ELF file")
        with path.open("rb") as stream:
            data = stream.read(ELF_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ElfError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ElfReadError(str(path), "file", f"cannot be read ({reason})", "check path and permissions") from error
    if len(data) > ELF_MAX_BYTES:
        raise ElfReadError(str(path), "file", f"larger than {ELF_MAX_BYTES} bytes", "strip its debug information")
    return data


def _parse(name: str, data: bytes) -> Image:
    _check_identification(name, data)
    try:
        elf = ELFFile(io.BytesIO(_without_sections(data)))
        header = elf.header
        _check_header(name, header)
        table = _program_header_table(name, header, len(data))
        programs = [struct_parse(elf.structs.Elf_Phdr, elf.stream, stream_pos=offset) for offset in table]
    except MalformedError as error:
        raise ElfHeaderError(name, "ELF header", f"malformed ({error})", "build the program again") from error
    loads = _check_segments(name, programs, len(data))
    entry = _check_entry(name, header["e_entry"], loads)
    segments = tuple(
        Segment(load["p_vaddr"], data[load["p_offset"] : load["p_offset"] + load["p_filesz"]]) for load in loads
    )
    return Image(entry, segments, name)


def _check_identification(name: str, data: bytes) -> None:
    """Check e_ident and that the file header is all there."""
    if data[:4] != b"\x7fELF":
        raise ElfMagicError(name, "e_ident[EI_MAG]", "not an ELF file", "give a linked RISC-V executable")
    if len(data) < _HEADER_BYTES:
        problem = f"the file ends after {len(data)} bytes, its header has {_HEADER_BYTES}"
        raise ElfTruncatedError(name, "ELF header", problem, "copy or build the file again")
    if data[4] != 1:
        kind = "64-bit" if data[4] == 2 else f"class {data[4]}"
        raise ElfClassError(name, "e_ident[EI_CLASS]", f"{kind}, not 32-bit", _COMPILE)
    if data[5] != 1:
        kind = "big-endian" if data[5] == 2 else f"byte order {data[5]}"
        raise ElfByteOrderError(name, "e_ident[EI_DATA]", f"{kind}, not little-endian", _COMPILE)
    if data[6] != 1:
        raise ElfHeaderError(name, "e_ident[EI_VERSION]", f"version {data[6]}, not 1", "build the program again")


def _without_sections(data: bytes) -> bytes:
    """Blank e_shoff and e_shentsize, e_shnum, e_shstrndx: the parser is not to read what does not matter."""
    return data[:32] + bytes(4) + data[36:46] + bytes(6) + data[52:]


def _check_header(name: str, header: Any) -> None:
    if header["e_machine"] != "EM_RISCV":
        problem = f"machine is {header['e_machine']}, not EM_RISCV"
        raise ElfMachineError(name, "e_machine", problem, "use a compiler for riscv32")
    if header["e_type"] == "ET_DYN":
        problem = "position-independent (ET_DYN), not an executable at fixed addresses"
        raise ElfDynamicError(name, "e_type", problem, "link with -static -no-pie")
    if header["e_type"] != "ET_EXEC":
        problem = f"type is {header['e_type']}, not ET_EXEC"
        raise ElfTypeError(name, "e_type", problem, "link it into an executable")
    if header["e_version"] != "EV_CURRENT":
        raise ElfHeaderError(name, "e_version", "not version 1", "build the program again")
    _check_flags(name, header["e_flags"])


def _check_flags(name: str, flags: int) -> None:
    if flags & _FLAG_RVC:
        raise ElfFlagsError(name, "e_flags", "compressed instructions (RVC)", _COMPILE + ": no c in -march")
    if flags & _FLAG_FLOAT:
        raise ElfFlagsError(name, "e_flags", "a floating-point calling convention", _COMPILE)
    if flags & _FLAG_RVE:
        raise ElfFlagsError(name, "e_flags", "the reduced register set RV32E", _COMPILE)
    if flags:
        raise ElfFlagsError(name, "e_flags", f"unknown flags {flags:#x}", _COMPILE)


def _program_header_table(name: str, header: Any, size: int) -> range:
    """Return the file offsets of the program headers."""
    start, count, entry_size = header["e_phoff"], header["e_phnum"], header["e_phentsize"]
    if count == 0:
        raise ElfEmptyError(name, "e_phnum", "no program headers", "link it into an executable")
    if entry_size != _PROGRAM_HEADER_BYTES:
        problem = f"program headers of {entry_size} bytes, not {_PROGRAM_HEADER_BYTES}"
        raise ElfHeaderError(name, "e_phentsize", problem, "build the program again")
    if start + count * entry_size > size:
        problem = f"{count} program headers at offset {start:#x} reach beyond the file's {size} bytes"
        raise ElfTruncatedError(name, "e_phoff", problem, "copy or build the file again")
    return range(start, start + count * entry_size, entry_size)


def _check_segments(name: str, programs: list[Any], size: int) -> list[Any]:
    """Return the segments to load, in order of address."""
    for number, program in enumerate(programs):
        if program["p_type"] in ("PT_DYNAMIC", "PT_INTERP"):
            problem = f"{program['p_type']}: dynamically linked"
            raise ElfDynamicError(name, f"p_type of segment {number}", problem, "link with -static -no-pie")
    loads = []
    for number, program in enumerate(programs):
        if program["p_type"] == "PT_LOAD" and (program["p_memsz"] or program["p_filesz"]):
            _check_load(name, number, program, size)
            loads.append(program)
    if not loads:
        raise ElfEmptyError(name, "p_type", "no PT_LOAD segment with any bytes", "link it into an executable")
    loads.sort(key=lambda load: int(load["p_vaddr"]))
    for low, high in pairwise(loads):
        if low["p_vaddr"] + low["p_memsz"] > high["p_vaddr"]:
            raise ElfSegmentOverlapError(
                name,
                "p_vaddr",
                f"segments at {low['p_vaddr']:#x} ({low['p_memsz']:#x} bytes) and {high['p_vaddr']:#x} overlap",
                "place the segments apart in the linker script",
            )
    return loads


def _check_load(name: str, number: int, load: Any, size: int) -> None:
    where = f"segment {number}"
    if load["p_offset"] + load["p_filesz"] > size:
        problem = f"{load['p_filesz']:#x} bytes at offset {load['p_offset']:#x} reach beyond the file's {size} bytes"
        raise ElfTruncatedError(name, f"p_filesz of {where}", problem, "copy or build the file again")
    if load["p_filesz"] > load["p_memsz"]:
        problem = f"{load['p_filesz']:#x} bytes in the file, {load['p_memsz']:#x} in memory"
        raise ElfSegmentSizeError(name, f"p_memsz of {where}", problem, "build the program again")
    if load["p_vaddr"] + load["p_memsz"] > INPUT_BASE:
        raise ElfSegmentRangeError(
            name,
            f"p_memsz of {where}" if load["p_vaddr"] < INPUT_BASE else f"p_vaddr of {where}",
            f"{load['p_memsz']:#x} bytes at {load['p_vaddr']:#x} reach beyond {INPUT_BASE:#x}",
            "link below that address, or make the program's data smaller",
        )


def _check_entry(name: str, entry: int, loads: list[Any]) -> int:
    fix = "name the first instruction with ENTRY() in the linker script"
    if entry % WORD_BYTES:
        raise ElfEntryError(name, "e_entry", f"{entry:#x} is not a multiple of 4", fix)
    for load in loads:
        in_file = load["p_vaddr"] <= entry < load["p_vaddr"] + load["p_filesz"]
        if in_file and load["p_flags"] & _EXECUTABLE:
            return entry
    raise ElfEntryError(name, "e_entry", f"{entry:#x} lies in no segment of code (PT_LOAD with PF_X)", fix)
