"""The build of the guests: the committed executables are what their sources say, and so is a Linux build."""

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lvm.elf import load_elf
from lvm.guest import EXAMPLES, OUTPUT_BASE, OUTPUT_MAX_BYTES, build, elf_path, read_output
from lvm.layout import INPUT_BASE, INPUT_MAX_BYTES
from lvm.machine import boot

needs_compiler = pytest.mark.skipif(build.find_compiler() is None, reason="no compiler for RV32IM is installed")
QEMU = shutil.which("qemu-riscv32")

INPUTS = {
    "sha256": [b"", b"abc", random.Random(1).randbytes(3000)],
    "sieve": [b"2000", b"2000 3", b"nonsense"],
    "quicksort": [" ".join(str(random.Random(2).randrange(-999, 999)) for _ in range(300)).encode(), b"1 2 three"],
    "ledger": [b"open a 7\nopen b 1\npay a b 7\n", b"open a 7\nopen b 1\npay b a 2\n"],
}


def result(elf: Path, data: bytes) -> tuple[int, int, bytes]:
    machine = boot(load_elf(elf), data)
    machine.run(1 << 30)
    return machine.halted, machine.exit_code, read_output(machine)


def test_every_example_is_committed_with_its_source() -> None:
    assert tuple(sorted(path.stem for path in build.EXAMPLE_DIRECTORY.glob("*.c"))) == EXAMPLES
    for name in EXAMPLES:
        assert elf_path(name).stat().st_size < 16_384
        load_elf(elf_path(name))


def test_addresses_agree_with_the_kit() -> None:
    """The linker script and the header repeat what `lvm.layout` and `lvm.guest` define."""
    script = build.LINKER_SCRIPT.read_text()
    assert int(re.search(r"lvm_input = (\w+)", script)[1], 16) == INPUT_BASE  # type: ignore[index]
    assert int(re.search(r"lvm_output = (\w+)", script)[1], 16) == OUTPUT_BASE  # type: ignore[index]
    header = (build.SDK_DIRECTORY / "lvm.h").read_text()
    size = int(re.search(r"LVM_AREA_BYTES (\w+)u", header)[1], 16)  # type: ignore[index]
    assert size - 4 == INPUT_MAX_BYTES == OUTPUT_MAX_BYTES


@needs_compiler
@pytest.mark.parametrize("name", EXAMPLES)
def test_rebuilt_examples_behave_alike(name: str, tmp_path: Path) -> None:
    rebuilt = tmp_path / f"{name}.elf"
    build.build(build.EXAMPLE_DIRECTORY / f"{name}.c", rebuilt)
    for data in INPUTS[name]:
        assert result(rebuilt, data) == result(elf_path(name), data)


@needs_compiler
@pytest.mark.skipif(QEMU is None, reason="qemu-riscv32 is not installed")
@pytest.mark.parametrize("name", EXAMPLES)
def test_linux_builds_behave_alike_under_qemu(name: str, tmp_path: Path) -> None:
    """A third implementation of RV32IM runs the same C; its exit codes have 8 bits."""
    elf = tmp_path / name
    build.build(build.EXAMPLE_DIRECTORY / f"{name}.c", elf, "linux")
    for data in INPUTS[name]:
        done = subprocess.run([str(QEMU), str(elf)], input=data, capture_output=True, check=False, timeout=60)
        _, exit_code, output = result(elf_path(name), data)
        assert (done.returncode, done.stdout) == (exit_code & 0xFF, output)


PERSISTENCE = """
#include "lvm.h"
static uint32_t cleared;
static uint32_t initialised = 5;
static LVM_PERSISTENT uint32_t kept;
int main(void)
{
    cleared++, initialised++, kept++;
    lvm_write_decimal(cleared);
    lvm_write_decimal(initialised);
    lvm_write_decimal(kept);
    if (lvm_input.length == 1)
        lvm_exit(lvm_input.bytes[0]);
    return 300;
}
"""


@needs_compiler
def test_what_a_guest_keeps_between_runs(tmp_path: Path) -> None:
    source, elf = tmp_path / "keep.c", tmp_path / "keep.elf"
    source.write_text(PERSISTENCE)
    assert build.main([str(source), "--out", str(tmp_path)]) == 0
    image = load_elf(elf)
    machine = boot(image)
    for data, exit_code, output in ((b"", 300, b"161"), (b"A", 65, b"172"), (b"", 300, b"183")):
        machine.boot(image.entry, data)
        machine.run(10_000)
        assert (machine.halted, machine.exit_code, read_output(machine)) == (1, exit_code, output)


MEMORY_FUNCTIONS = """
#include "lvm.h"
static uint8_t a[64], b[64];
int main(void)
{
    for (uint32_t to = 0; to < 8; to++)
        for (uint32_t from = 0; from < 8; from++)
            for (uint32_t length = 0; length < 20; length++) {
                for (uint32_t i = 0; i < 64; i++)
                    a[i] = (uint8_t)(i + 1), b[i] = 0xEE;
                memcpy(b + to, a + from, length);
                for (uint32_t i = 0; i < 64; i++)
                    if (b[i] != (i - to < length ? (uint8_t)(i - to + from + 1) : 0xEE))
                        return 1;
                if (memcmp(b + to, a + from, length) != 0 || (length != 0 && memcmp(b + to, b + to + 1, length) >= 0))
                    return 2;
                memset(b + to, 0x1A5, length);
                for (uint32_t i = to; i < to + length; i++)
                    if (b[i] != 0xA5)
                        return 3;
                if (b[to + length] != 0xEE)
                    return 4;
            }
    uint32_t chunk = 65536;
    while (LVM_AREA_MAX - lvm_output.length >= chunk)
        if (lvm_write((void *)0x100000, chunk) != 0)
            return 5;
    if (lvm_write((void *)0x100000, chunk) != -1 || lvm_output.length != LVM_AREA_MAX / chunk * chunk)
        return 6;
    return lvm_write((void *)0x100000, LVM_AREA_MAX - lvm_output.length) == 0 ? 0 : 7;
}
"""


@needs_compiler
def test_runtime_functions(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    source, elf = tmp_path / "memory.c", tmp_path / "memory.elf"
    source.write_text(MEMORY_FUNCTIONS)
    build.build(source, elf)
    machine = boot(load_elf(elf))
    machine.run(1 << 30)
    assert (machine.halted, machine.exit_code) == (1, 0)


@needs_compiler
def test_a_compiler_error_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return undeclared_thing; }")
    with pytest.raises(build.BuildError, match="undeclared_thing"):
        build.build(source, tmp_path / "wrong.elf")
    assert build.main([str(source), "--out", str(tmp_path)]) == 1
    assert "undeclared_thing" in capsys.readouterr().err


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "find_compiler", lambda: None)
    with pytest.raises(build.BuildError, match="gcc-riscv64-unknown-elf"):
        build.build(build.EXAMPLE_DIRECTORY / "sieve.c", tmp_path / "sieve.elf")
