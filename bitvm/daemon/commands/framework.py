"""How a command is made: its help, its arguments, its answer as JSON or for people, and how it fails.

Results go to standard output, everything else to standard error. Exit code 0: all is well; 1: the command did its work
and found something wrong; 2: it could not, and the last line of standard error says why and what to do.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bitvm.printable import printable

FINE, WRONG, FAILED, INTERRUPTED = 0, 1, 2, 130
CONFIG_VARIABLE = "BITVM_CONFIG"
"""The environment variable that names the configuration."""
PIPED_WIDTH = 120
"""Columns where standard output is no terminal, and the variable COLUMNS does not tell them."""
MAX_FAILURE = 4_000
"""Characters of the line that says why a command fails."""

Value = TypeVar("Value")
_Formatter = argparse.RawDescriptionHelpFormatter


class CommandError(Exception):
    """The command cannot be carried out; the message says why and what to do."""


class HelpText(NamedTuple):
    """What `--help` says of one command; notes hold examples."""

    summary: str
    description: str
    notes: str


def _nothing(_: argparse.ArgumentParser) -> None:
    """Add no arguments."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: ``run`` returns the exit code. ``configured``: whether it takes --config."""

    name: str
    text: HelpText
    run: Callable[[argparse.Namespace], int]
    add: Callable[[argparse.ArgumentParser], None] = _nothing
    configured: bool = True


# ---- running


def run_commands(
    program: str, description: str, commands: Sequence[Command], argv: Sequence[str] | None, failures: tuple[type, ...]
) -> int:
    """Run the command line of ``program``; ``failures`` are the errors that are told in one line. Returns the code."""
    arguments = _parser(program, description, commands).parse_args(argv)
    try:
        code: int = arguments.command.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails again
        return FINE
    except BaseException as error:
        causes = list(_causes(error))
        if all(isinstance(cause, KeyboardInterrupt) for cause in causes):
            return fail(program, "interrupted", INTERRUPTED)
        if all(isinstance(cause, (CommandError, *failures)) for cause in causes):
            return fail(program, "; ".join(dict.fromkeys(map(str, causes))), FAILED)
        raise
    return code


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what went wrong: of a group, which is how things that run side by side fail, every member."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error


def fail(program: str, why: object, code: int) -> int:
    """Say in one line why a command fails; others may have written parts of it. Returns ``code``."""
    print(f"{program}: {printable(' '.join(str(why).split()), MAX_FAILURE)}", file=sys.stderr)
    return code


def _parser(program: str, description: str, commands: Sequence[Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=description, formatter_class=_Formatter)
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in commands:
        text = command.text
        inner = subparsers.add_parser(
            command.name,
            help=text.summary,
            description=text.description,
            epilog=text.notes,
            formatter_class=_Formatter,
        )
        inner.set_defaults(command=command, called=program)
        command.add(inner)
        add_common(inner, configured=command.configured)
    return parser


def add_common(parser: argparse.ArgumentParser, *, configured: bool = True, inherited: bool = False) -> None:
    """Add what every command takes; ``inherited``: the command above takes it too, and what it got stays."""
    default = argparse.SUPPRESS if inherited else None
    if configured:
        parser.add_argument(
            "--config",
            type=Path,
            metavar="FILE",
            default=default,
            help=f"the configuration (default: ${CONFIG_VARIABLE})",
        )
    parser.add_argument("--json", action="store_true", default=default or False, help="write JSON instead of text")


def config_path(arguments: argparse.Namespace) -> Path:
    """Return where the configuration is; raises CommandError where nobody says it."""
    if arguments.config is not None:
        return Path(arguments.config)
    named = os.environ.get(CONFIG_VARIABLE, "")
    if not named:
        raise CommandError(f"no configuration: give --config FILE, or set {CONFIG_VARIABLE}")
    return Path(named)


# ---- answers


def answer(arguments: argparse.Namespace, value: Value, show: Callable[[Console, Value], None]) -> None:
    """Write the answer of a command: as JSON, or as ``show`` prints it."""
    if arguments.json:
        print(json.dumps(plain(value), indent=2))
    else:
        show(new_console(), value)


def plain(value: object) -> Any:
    """Return JSON values: records as objects, bytes in hexadecimal, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value


def new_console(*, error: bool = False) -> Console:
    """Return a console on standard output, or on standard error."""
    stream = sys.stderr if error else sys.stdout
    knows_width = stream.isatty() or "COLUMNS" in os.environ
    return Console(stderr=error, highlight=False, width=None if knows_width else PIPED_WIDTH)


@contextmanager
def watching(console: Console) -> Iterator[Callable[[RenderableType], None]]:
    """Give what shows the newest picture: in the place of the last one on a terminal, below it elsewhere."""
    if not console.is_terminal:

        def show(picture: RenderableType) -> None:
            console.print(picture)
            console.file.flush()

        yield show
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield lambda picture: live.update(picture, refresh=True)


def table_of(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """Return a table: numbers to the right with separators, nothing for None, all else as it is."""
    cells = [list(row) for row in rows]
    numeric = {i for row in cells for i, cell in enumerate(row) if isinstance(cell, int)}
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    for i, heading in enumerate(columns):
        table.add_column(heading, justify="right" if i in numeric else "left", no_wrap=i in numeric or i == 0)
    for row in cells:
        table.add_row(*map(cell_of, row))
    return table


def cell_of(value: object) -> RenderableType:
    """Return a value as a table shows it; text is never read as markup."""
    if isinstance(value, Text | Table):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return Text(f"{value:,}" if isinstance(value, int) else str(value))


def said(text: object, style: str = "") -> Text:
    """Return text in a style, never read as markup."""
    return Text(str(text), style=style)
