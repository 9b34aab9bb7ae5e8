"""Compile guests: `python -m lvm.guest.build [--target lvm|linux] [--out DIR] [SOURCE.c ...]`.

Guarantee: a guest built for `lvm` is a static little-endian RV32IM executable without a libc, linked by
`sdk/lvm.ld`; a guest built for `linux` is the same C behind an entry that reads INPUT from the standard input and
writes OUTPUT to the standard output, for `qemu-riscv32`. Without sources the examples are built. The compiler is
the first one found of `riscv64-unknown-elf-gcc` and Zig's (`pip install ziglang`).
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Target = Literal["lvm", "linux"]

GUEST_DIRECTORY = Path(__file__).resolve().parent
SDK_DIRECTORY = GUEST_DIRECTORY / "sdk"
EXAMPLE_DIRECTORY = GUEST_DIRECTORY / "examples"
ELF_DIRECTORY = GUEST_DIRECTORY / "elf"

GCC = "riscv64-unknown-elf-gcc"
GCC_FLAGS = ("-march=rv32im", "-mabi=ilp32", "-mstrict-align")
ZIG_FLAGS = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m", "-fno-sanitize=all")
COMMON_FLAGS = (
    *("-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-ffunction-sections"),
    *("-ffreestanding", "-nostdlib", "-static", "-fno-pic", "-fno-asynchronous-unwind-tables"),
    *("-Wl,--gc-sections", "-Wl,--strip-debug", "-Wl,--build-id=none"),
)
LINKER_SCRIPT = SDK_DIRECTORY / "lvm.ld"
ENTRY = {"lvm": SDK_DIRECTORY / "crt0.S", "linux": SDK_DIRECTORY / "linux.S"}


class BuildError(Exception):
    """A guest could not be compiled; the message holds what the compiler said, or which compiler to install."""


def find_compiler() -> tuple[str, ...] | None:
    """The command with its target flags of a compiler for RV32IM that is installed here, or None."""
    if path := shutil.which(GCC):
        return (path, *GCC_FLAGS)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc", *ZIG_FLAGS)
    return None


def build(source: Path, elf: Path, target: Target = "lvm") -> None:
    """Compile one C file with the SDK into the executable `elf`. Raises BuildError."""
    compiler = find_compiler()
    if compiler is None:
        raise BuildError(
            f"no RISC-V compiler: install {GCC} (Debian: gcc-riscv64-unknown-elf) or run `pip install ziglang`"
        )
    command = [
        *compiler,
        *COMMON_FLAGS,
        f"-I{SDK_DIRECTORY}",
        f"-Wl,-T,{LINKER_SCRIPT}",
        str(ENTRY[target]),
        str(SDK_DIRECTORY / "runtime.c"),
        str(source),
        "-o",
        str(elf),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{source}: {' '.join(command)}\n{done.stderr}")


def main(argv: Sequence[str] | None = None) -> int:
    """Build the named sources, or every example; print a line for each executable."""
    parser = argparse.ArgumentParser(prog="python -m lvm.guest.build", description="Compile guests for LVM.")
    parser.add_argument("sources", nargs="*", type=Path, help="C files (default: the examples)")
    parser.add_argument("--out", type=Path, default=ELF_DIRECTORY, help="folder for the executables")
    parser.add_argument("--target", choices=("lvm", "linux"), default="lvm")
    arguments = parser.parse_args(argv)

    arguments.out.mkdir(parents=True, exist_ok=True)
    for source in arguments.sources or sorted(EXAMPLE_DIRECTORY.glob("*.c")):
        elf = arguments.out / f"{source.stem}.elf"
        try:
            build(source, elf, arguments.target)
        except BuildError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"{elf}  {elf.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
