"""The command `lvm`: run a program, trace it, or compute a state root of its run.

Results go to stdout, everything else to stderr. Exit code 0: the command did what it was asked, whatever the program
did; 2: it could not, and the last line of stderr says why.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lvm import boot as booting
from lvm.elf import ElfError, load_elf
from lvm.layout import INPUT_MAX_BYTES
from lvm.machine import Engine, EngineUnavailableError, Machine, boot
from lvm.trace import to_json_line, to_line, trace

DEFAULT_MAX_STEPS = 1 << 40
CHUNK_SECONDS = 0.25
"""How long the machine runs between two looks at the clock."""
FIRST_CHUNK = 1 << 16
MAX_STEPS = 1 << 62
OUTCOMES = {0: "still running", 1: "halted by ECALL", 2: "halted by a fault"}

_Formatter = argparse.RawDescriptionHelpFormatter


class HelpText(NamedTuple):
    """What `--help` says of one command."""

    summary: str
    description: str
    notes: str


_DESCRIPTION = """\
LVM is a RISC-V RV32IM machine whose whole state is one Merkle tree: a 24-byte root is enough to resume a run, to
compare two runs, and to prove any word of memory."""

_RUN = HelpText(
    "run a program to its end",
    """\
Load PROG.elf, boot it on the input, run it until it halts, and show where it ended.

A program halts by ECALL (halted = 1, its exit code is a0) or by a fault (halted = 2, the exit code is the cause:
0 misaligned jump, 1 fetch, 2 illegal instruction, 4/5 load, 6/7 store misaligned/out of range). In user mode neither
halts: both trap to the program's kernel at 0x100. A program that still runs after --max-steps is shown as it stands
(halted = 0).""",
    """\
examples:
  lvm run sieve.elf
  lvm run sha256.elf --input photo.jpg --json | jq -r .root

keys of --json:
  steps       steps executed, the halting one included
  halted      0 still running, 1 halted by ECALL, 2 halted by a fault
  exit_code   a0 at the ECALL, or the cause of the fault
  root        state root at the end (hex, 24 bytes)
  prev_root   state root before boot: the program's image
  input_root  root of the input's subtree
  mips        million steps a second, without loading and hashing""",
)

_TRACE = HelpText(
    "show the steps of a run",
    """\
Run PROG.elf to step A, then show the record of every step A <= t < B: what it fetched, read, computed and wrote.
The trace ends early after the step that halts. Steps count from 0, the first one after boot.""",
    """\
examples:
  lvm trace sieve.elf --from 0 --to 20
  lvm trace sieve.elf --from 1000000 --to 1000100 --json | jq -c 'select(.name == "sw")'""",
)

_ROOT = HelpText(
    "compute the state root at a step",
    """\
Show the state root after N steps of PROG.elf: step 0 is the state right after boot. A machine that has halted stays as
it is, so any larger N gives its final root.""",
    """\
example:
  lvm root sieve.elf --at 0""",
)


class CommandError(Exception):
    """The command cannot be carried out; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
        sys.stdout.flush()
    except (ElfError, EngineUnavailableError, booting.InputTooLargeError, CommandError) as error:
        print(f"lvm: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails again
        return 0
    except KeyboardInterrupt:
        print("lvm: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lvm", description=_DESCRIPTION, formatter_class=_Formatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = _add_command(commands, "run", _RUN, _run)
    run.add_argument(
        "--max-steps", type=_count, default=DEFAULT_MAX_STEPS, metavar="N", help="stop after N steps (default: 2^40)"
    )
    tracer = _add_command(commands, "trace", _TRACE, _trace)
    tracer.add_argument("--from", dest="first", type=_count, required=True, metavar="A", help="first step shown")
    tracer.add_argument("--to", dest="last", type=_count, required=True, metavar="B", help="first step not shown")
    root = _add_command(commands, "root", _ROOT, _root)
    root.add_argument("--at", type=_count, required=True, metavar="N", help="number of steps after boot")
    return parser


def _add_command(
    commands: Any, name: str, text: HelpText, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    """Add a command with the options that all commands share."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text.summary, description=text.description, epilog=text.notes, formatter_class=_Formatter
    )
    parser.set_defaults(command=run)
    parser.add_argument("program", type=Path, metavar="PROG.elf", help="a static RV32IM executable")
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help=f"the program's input, at most {INPUT_MAX_BYTES} bytes (default: none)",
    )
    parser.add_argument(
        "--engine",
        choices=("auto", "spec", "fast"),
        default="auto",
        help="spec: the specification interpreter; fast: compiled, needs Numba; auto: fast where it can run",
    )
    parser.add_argument("--json", action="store_true", help="write JSON instead of text")
    return parser


def _count(text: str) -> int:
    """Read a number of steps: a non-negative integer, decimal, with underscores, or 0x, or a power like 2^30."""
    base, power, exponent = text.partition("^")
    try:
        value = int(base) ** int(exponent) if power and 0 <= int(exponent) <= 64 else int(text, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of steps (try 1000000 or 2^20)") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative; steps count from 0")
    if value > MAX_STEPS:
        raise argparse.ArgumentTypeError(f"{text} is more than 2^62 steps")
    return value


def _read_input(path: Path | None) -> bytes:
    if path is None:
        return b""
    try:
        with path.open("rb") as stream:
            return stream.read(INPUT_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CommandError(f"{path}: input cannot be read ({reason}); check path and permissions") from error


@contextmanager
def _progress(steps: int) -> Iterator[Callable[[int], None]]:
    """Offer a function that shows the number of steps done; it shows nothing where stderr is not a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[done]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        total = steps if steps < DEFAULT_MAX_STEPS else None
        task = progress.add_task("running", total=total, done="")
        yield lambda done: progress.update(task, completed=done, done=f"{done / 1e6:,.1f} M steps")


def _advance(machine: Machine, steps: int) -> int:
    """Run up to `steps` steps, in chunks of about CHUNK_SECONDS, until the machine halts; return those executed."""
    executed, chunk = 0, FIRST_CHUNK
    with _progress(steps) as show:
        while executed < steps and not machine.halted:
            started = time.perf_counter()
            executed += machine.run(min(chunk, steps - executed))
            took = time.perf_counter() - started
            chunk = max(FIRST_CHUNK, int(chunk * min(4.0, CHUNK_SECONDS / max(took, 1e-9))))
            show(executed)
    return executed


def _boot(arguments: argparse.Namespace) -> tuple[Machine, bytes, bytes]:
    """Return the machine at step 0, the image's root and the input."""
    image = load_elf(arguments.program)
    input_bytes = _read_input(arguments.input)
    engine: Engine = arguments.engine
    return boot(image, input_bytes, engine=engine), image.root(), input_bytes


def _run(arguments: argparse.Namespace) -> None:
    machine, prev_root, input_bytes = _boot(arguments)
    started = time.perf_counter()
    steps = _advance(machine, arguments.max_steps)
    seconds = time.perf_counter() - started
    result = {
        "steps": steps,
        "halted": machine.halted,
        "exit_code": machine.exit_code,
        "root": machine.root().hex(),
        "prev_root": prev_root.hex(),
        "input_root": booting.input_root(input_bytes).hex(),
        "mips": round(steps / seconds / 1e6, 3) if steps else 0.0,
    }
    if arguments.json:
        print(json.dumps(result))
        return
    print(f"{arguments.program.name}: {OUTCOMES[machine.halted]}, exit code {machine.exit_code}")
    print(f"  steps       {steps:,} ({result['mips']:,} million a second)")
    for key in ("root", "prev_root", "input_root"):
        print(f"  {key:<11} {result[key]}")


def _trace(arguments: argparse.Namespace) -> None:
    if arguments.first > arguments.last:
        raise CommandError(f"--from {arguments.first} is after --to {arguments.last}; give a range of steps")
    machine, _, _ = _boot(arguments)
    executed = _advance(machine, arguments.first)
    if machine.halted:
        print(f"lvm: nothing to show, the program halted after {executed} steps", file=sys.stderr)
        return
    render = to_json_line if arguments.json else to_line
    for record in trace(machine, arguments.first, arguments.last):
        print(render(record))


def _root(arguments: argparse.Namespace) -> None:
    machine, _, _ = _boot(arguments)
    _advance(machine, arguments.at)
    root = machine.root().hex()
    print(json.dumps({"at": arguments.at, "halted": machine.halted, "root": root}) if arguments.json else root)
