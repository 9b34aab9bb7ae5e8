"""The loader: what it loads, and that whatever is wrong has its own name."""

import struct
from pathlib import Path

import pytest
from elf_files import (
    CODE_ADDRESS,
    EM_X86_64,
    ET_CORE,
    ET_DYN,
    ET_REL,
    PT_DYNAMIC,
    PT_INTERP,
    PT_NOTE,
    ElfFile,
    Program,
    code,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from lvm import elf, isa
from lvm.hashing import ZERO
from lvm.layout import INPUT_BASE
from lvm.machine import boot

GOOD = ElfFile().build()
CODE = code(isa.addi(10, 0, 7), isa.ecall())


def data(vaddr: int, **fields: int) -> Program:
    return Program(b"\x01\x02\x03\x04", vaddr, **fields)


def test_loads_segments_in_order_of_address_and_runs() -> None:
    programs = [data(0x2_0000, memsz=0x1000, flags=6), Program(CODE), data(0, type=PT_NOTE), data(4, memsz=0, filesz=0)]
    image = elf.load_elf(ElfFile(programs).build())
    assert image.entry == CODE_ADDRESS
    assert [(part.address, part.data) for part in image.segments] == [
        (CODE_ADDRESS, CODE),
        (0x2_0000, b"\x01\x02\x03\x04"),
    ]
    machine = boot(image, engine="spec")
    assert machine.read_word(0x2_0000) == 0x04030201
    assert machine.run(10) == 2
    assert (machine.halted, machine.exit_code) == (1, 7)


def test_root_of_the_image_is_the_state_before_boot() -> None:
    image = elf.load_elf(GOOD)
    assert image.root() != ZERO[24]
    assert elf.Image(0, ()).root() == ZERO[24]


def test_segments_may_touch_each_other_and_the_end_of_memory() -> None:
    programs = [Program(CODE), data(CODE_ADDRESS + 8), data(INPUT_BASE - 4)]
    assert len(elf.load_elf(ElfFile(programs).build()).segments) == 3


def test_broken_section_headers_do_not_matter() -> None:
    assert elf.load_elf(ElfFile(shoff=0xFFFF_FFF0).build()).segments == elf.load_elf(GOOD).segments


BROKEN: dict[str, tuple[ElfFile | bytes, type[elf.ElfError], str]] = {
    "empty": (b"", elf.ElfMagicError, "EI_MAG"),
    "text": (b"#!/bin/sh\n" * 9, elf.ElfMagicError, "EI_MAG"),
    "magic alone": (b"\x7fELF", elf.ElfTruncatedError, "ELF header"),
    "half a header": (GOOD[:51], elf.ElfTruncatedError, "ELF header"),
    "half a program header": (GOOD[:83], elf.ElfTruncatedError, "e_phoff"),
    "one byte short": (GOOD[:-1], elf.ElfTruncatedError, "p_filesz"),
    "64-bit": (ElfFile(ident=b"\x7fELF\x02\x01\x01" + bytes(9)), elf.ElfClassError, "64-bit"),
    "no class": (ElfFile(ident=b"\x7fELF\x00\x01\x01" + bytes(9)), elf.ElfClassError, "class 0"),
    "big-endian": (ElfFile(ident=b"\x7fELF\x01\x02\x01" + bytes(9)), elf.ElfByteOrderError, "big-endian"),
    "no byte order": (ElfFile(ident=b"\x7fELF\x01\x09\x01" + bytes(9)), elf.ElfByteOrderError, "byte order 9"),
    "ident version": (ElfFile(ident=b"\x7fELF\x01\x01\x07" + bytes(9)), elf.ElfHeaderError, "EI_VERSION"),
    "version": (ElfFile(version=2), elf.ElfHeaderError, "e_version"),
    "x86": (ElfFile(machine=EM_X86_64), elf.ElfMachineError, "EM_X86_64"),
    "unknown machine": (ElfFile(machine=0xFFFE), elf.ElfMachineError, "65534"),
    "relocatable": (ElfFile(type=ET_REL), elf.ElfTypeError, "ET_REL"),
    "core dump": (ElfFile(type=ET_CORE), elf.ElfTypeError, "ET_CORE"),
    "PIE": (ElfFile(type=ET_DYN), elf.ElfDynamicError, "-no-pie"),
    "dynamic": (ElfFile([Program(CODE), data(0x3_0000, type=PT_DYNAMIC)]), elf.ElfDynamicError, "PT_DYNAMIC"),
    "interpreter": (ElfFile([data(0, type=PT_INTERP), Program(CODE)]), elf.ElfDynamicError, "PT_INTERP"),
    "compressed": (ElfFile(flags=1), elf.ElfFlagsError, "RVC"),
    "float single": (ElfFile(flags=2), elf.ElfFlagsError, "floating-point"),
    "float double": (ElfFile(flags=4), elf.ElfFlagsError, "floating-point"),
    "RV32E": (ElfFile(flags=8), elf.ElfFlagsError, "RV32E"),
    "TSO": (ElfFile(flags=16), elf.ElfFlagsError, "0x10"),
    "no headers": (ElfFile(phnum=0), elf.ElfEmptyError, "e_phnum"),
    "too many headers": (ElfFile(phnum=0xFFFF), elf.ElfTruncatedError, "e_phoff"),
    "headers far away": (ElfFile(phoff=0xFFFF_FFFF), elf.ElfTruncatedError, "e_phoff"),
    "header size": (ElfFile(phentsize=56), elf.ElfHeaderError, "e_phentsize"),
    "nothing to load": (ElfFile([data(0, type=PT_NOTE)]), elf.ElfEmptyError, "PT_LOAD"),
    "segment far away": (ElfFile([Program(CODE, offset=0xFFFF_FFF0)]), elf.ElfTruncatedError, "p_filesz"),
    "file over memory": (ElfFile([Program(CODE, memsz=7)]), elf.ElfSegmentSizeError, "p_memsz"),
    "huge memsz": (ElfFile([Program(CODE, memsz=0xFFFF_FFFF)]), elf.ElfSegmentRangeError, "p_memsz"),
    "memsz into INPUT": (
        ElfFile([Program(CODE, memsz=INPUT_BASE - CODE_ADDRESS + 1)]),
        elf.ElfSegmentRangeError,
        "p_memsz",
    ),
    "over INPUT": (ElfFile([Program(CODE), data(INPUT_BASE)]), elf.ElfSegmentRangeError, "p_vaddr"),
    "over CPU": (ElfFile([Program(CODE), data(0x3FFF_FF00)]), elf.ElfSegmentRangeError, "p_vaddr"),
    "wraps around": (ElfFile([Program(CODE), data(0xFFFF_FFFC, memsz=8)]), elf.ElfSegmentRangeError, "p_vaddr"),
    "overlap": (ElfFile([data(CODE_ADDRESS + 4), Program(CODE)]), elf.ElfSegmentOverlapError, "overlap"),
    "overlap of zeros": (
        ElfFile([data(0, memsz=CODE_ADDRESS + 1), Program(CODE)]),
        elf.ElfSegmentOverlapError,
        "overlap",
    ),
    "twice": (ElfFile([Program(CODE), Program(CODE)]), elf.ElfSegmentOverlapError, "overlap"),
    "entry misaligned": (ElfFile(entry=CODE_ADDRESS + 2), elf.ElfEntryError, "multiple of 4"),
    "entry before": (ElfFile(entry=CODE_ADDRESS - 4), elf.ElfEntryError, "no segment of code"),
    "entry after": (ElfFile(entry=CODE_ADDRESS + 8), elf.ElfEntryError, "no segment of code"),
    "entry in zeros": (
        ElfFile([Program(CODE, memsz=64)], entry=CODE_ADDRESS + 8),
        elf.ElfEntryError,
        "no segment of code",
    ),
    "entry in data": (ElfFile([Program(CODE, flags=6)]), elf.ElfEntryError, "PF_X"),
    "entry in CPU": (ElfFile(entry=0x3FFF_FF80), elf.ElfEntryError, "0x3fffff80"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_has_its_named_error(case: str, tmp_path: Path) -> None:
    source, error, hint = BROKEN[case]
    path = tmp_path / "broken.elf"
    path.write_bytes(source.build() if isinstance(source, ElfFile) else source)
    with pytest.raises(elf.ElfError) as caught:
        elf.load_elf(path)
    assert type(caught.value) is error
    assert hint in str(caught.value)
    assert str(caught.value).startswith(f"{path}: {caught.value.field}: ")
    assert caught.value.fix


def test_unreadable_files(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, Path("/dev/zero"), tmp_path / "nul\0"):
        with pytest.raises(elf.ElfReadError):
            elf.load_elf(path)


def load_or_refuse(raw: bytes) -> None:
    try:
        image = elf.load_elf(raw)
    except elf.ElfError:
        return
    assert all(part.address + len(part.data) <= INPUT_BASE for part in image.segments)
    assert image.entry % 4 == 0


RICH = ElfFile(
    [Program(CODE), data(0x2_0000, memsz=64, flags=6), data(0x3_0000, type=PT_NOTE), Program(b"", 0x4_0000, memsz=4)],
    shoff=60,
).build()
EDGES = st.sampled_from((0, 1, 2, 3, 4, 31, 32, 52, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x6474_E551, INPUT_BASE))
MUTATIONS = st.lists(st.tuples(st.integers(0, len(RICH) - 1), st.one_of(EDGES, st.integers(0, 2**32 - 1))), max_size=6)


@settings(max_examples=1500)
@given(MUTATIONS, st.integers(0, len(RICH)), st.booleans())
def test_mutated_files_load_or_raise_an_elf_error(mutations: list[tuple[int, int]], cut: int, truncate: bool) -> None:
    raw = bytearray(RICH)
    for offset, value in mutations:
        aligned = min(offset & ~3, len(raw) - 4)
        struct.pack_into("<I", raw, aligned, value)
    load_or_refuse(bytes(raw[:cut] if truncate else raw))


@settings(max_examples=300)
@given(st.integers(0, len(RICH) - 1), st.integers(0, 255))
def test_single_bytes_changed(offset: int, value: int) -> None:
    load_or_refuse(RICH[:offset] + bytes([value]) + RICH[offset + 1 :])


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_after_a_good_start(tail: bytes) -> None:
    load_or_refuse(GOOD[:16] + tail)
    load_or_refuse(GOOD[:52] + tail)
