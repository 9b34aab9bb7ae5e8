"""The command `bitvm`: look at what the game is built from, without a chain; and `bitvm setup`, `bitvm prover`.

Results go to stdout, everything else to stderr. Exit code 0: the command did what it was asked; 2: it could not, and
the last line of stderr says why.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bitvm.figures import WORDS_IN_GROUP, leaf_figures, scheme_figures
from bitvm.graph.documentation import parameter_meanings
from bitvm.graph.parameters import ParameterError, Parameters
from bitvm.leaves.execution.base import ExecutionLeaf
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.leaves.execution.frame import body_script
from bitvm.script.blake3 import budget, peak_stack_items
from bitvm.script.listing import listing, tokens
from lvm.layout import HASH_BYTES

_Formatter = argparse.RawDescriptionHelpFormatter


class HelpText(NamedTuple):
    """What `--help` says of one command."""

    summary: str
    description: str
    notes: str = ""


_DESCRIPTION = """\
The scripts, signatures and parameters of a dispute on Bitcoin, which need no chain; and with `setup` and `prover` the
prover's side of a real one (a watchtower's is `challenger`). To play a whole dispute, see `regtest simulate`, and for
what each transaction costs, `regtest costs`."""

_GROUPS = {
    "setup": ("bitvm.prover.setup_commands", "plan a set-up, see what it means, run it as its prover"),
    "prover": ("bitvm.prover.commands", "run a prover, and look after it"),
}
"""Groups of commands that need a daemon's parts: imported when they are asked for. Module and summary by name."""

_LEAVES = HelpText(
    "list the leaves that judge a machine step",
    """\
Show every execution leaf: a Script through which a challenger wins if the step that the prover signed is wrong.
Whatever a prover signs wrongly about an instruction, one of these leaves accepts it; no leaf accepts a true step.""",
    """\
columns:
  bytes     of the script without signatures and public values: the judging itself
  weight    of the whole witness of the input that opens the leaf, at most, in weight units
  BitVMX    bytes of BitVMX's leaf for the same instruction without signatures, where it is known

example:
  bitvm leaves --json | jq 'map(.body_bytes) | add'""",
)

_LEAF = HelpText(
    "show one leaf",
    """\
Show one execution leaf: what it accepts, what it opens, and with --asm its Script. The Script begins after the
signatures were checked: the nibbles of the words that the leaf opens lie on the stack, the first group's on top, and
the challenger's hints on the alt stack. It fails unless a signed result is wrong.""",
    """\
example:
  bitvm leaf written.addi --asm""",
)

_SIGNATURES = HelpText(
    "compare one-time signatures",
    """\
Show what it costs to sign one thing so that Script can check it: with the permutation and window schemes of this
project, and with list-pick Winternitz, which others use. Figures are weight units of script and witness together, at
most; "shown" checks the signature only, "used" leaves the message as numbers on the stack.""",
)

_PARAMETERS = HelpText(
    "print the parameters, or check a file",
    """\
Print the default parameters of a set-up as a YAML file with an explanation of each, ready to be edited; or, with
--file, check such a file and print what it says in full.""",
    """\
examples:
  bitvm parameters > dispute.yaml
  bitvm parameters --file dispute.yaml""",
)

_BLAKE3 = HelpText(
    "show where the bytes of the node hash go",
    """\
Show the bytes, part by part, of the Script that checks BLAKE3 of two nodes: a parent in the state tree. It is the
largest script of the protocol, and needed once disputes are about what the machine reads.""",
)


class CommandError(Exception):
    """The command cannot be carried out; the message says why and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in _GROUPS:
        group: Callable[[Sequence[str]], int] = import_module(_GROUPS[words[0]][0]).main
        return group(words[1:])
    arguments = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], None] = arguments.command
    try:
        command(arguments)
        sys.stdout.flush()
    except (CommandError, ParameterError) as error:
        print(f"bitvm: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails again
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bitvm", description=_DESCRIPTION, formatter_class=_Formatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_command(commands, "leaves", _LEAVES, _leaves)
    leaf = _add_command(commands, "leaf", _LEAF, _leaf)
    leaf.add_argument("name", metavar="NAME", help="a name that `bitvm leaves` shows")
    leaf.add_argument("--asm", action="store_true", help="show its Script as well")
    _add_command(commands, "signatures", _SIGNATURES, _signatures)
    parameters = _add_command(commands, "parameters", _PARAMETERS, _parameters)
    parameters.add_argument("--file", type=Path, metavar="P.yaml", help="check this file")
    _add_command(commands, "blake3", _BLAKE3, _blake3)
    for name, (_, summary) in _GROUPS.items():
        commands.add_parser(name, help=summary)
    return parser


def _add_command(
    commands: Any, name: str, text: HelpText, run: Callable[[argparse.Namespace], None]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text.summary, description=text.description, epilog=text.notes, formatter_class=_Formatter
    )
    parser.set_defaults(command=run)
    parser.add_argument("--json", action="store_true", help="write JSON instead of text")
    return parser


def _print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | int | None]]) -> None:
    """Print rows: texts to the left, numbers to the right, nothing for None."""
    console, table = Console(highlight=False), Table(box=SIMPLE_HEAD)
    numeric = {i for row in rows for i, cell in enumerate(row) if isinstance(cell, int)}
    for i, heading in enumerate(columns):
        table.add_column(heading, justify="right" if i in numeric else "left", no_wrap=i in numeric or i == 0)
    for row in rows:
        table.add_row(*("" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell for cell in row))
    console.print(f"[bold]{title}[/]", soft_wrap=True)
    console.print(table)


def _leaves(arguments: argparse.Namespace) -> None:
    figures = leaf_figures()
    if arguments.json:
        print(json.dumps([asdict(leaf) for leaf in figures], indent=2))
        return
    rows = [(leaf.name, leaf.body_bytes, leaf.weight, leaf.bitvmx_bytes, leaf.statement) for leaf in figures]
    total = sum(leaf.body_bytes for leaf in figures)
    title = f"{len(figures)} execution leaves, {total:,} bytes without signatures"
    _print_table(title, ("leaf", "bytes", "weight", "BitVMX", "accepts if"), rows)


def _find_leaf(name: str) -> ExecutionLeaf:
    for leaf in EXECUTION_LEAVES:
        if leaf.name == name:
            return leaf
    alike = [leaf.name for leaf in EXECUTION_LEAVES if name and name in leaf.name]
    hint = f"names with it: {', '.join(alike)}" if alike else "`bitvm leaves` lists all"
    raise CommandError(f"no leaf {name!r}; {hint}")


def _leaf(arguments: argparse.Namespace) -> None:
    leaf = _find_leaf(arguments.name)
    script = body_script(leaf)
    if arguments.json:
        found: dict[str, Any] = {
            "name": leaf.name,
            "statement": leaf.statement,
            "groups": leaf.groups,
            "hints": leaf.hints,
            "body_bytes": len(script),
        }
        if arguments.asm:
            found["asm"] = list(tokens(script))
        print(json.dumps(found, indent=2))
        return
    print(f"{leaf.name}: accepts if {leaf.statement}")
    print(f"  opens  {', '.join(leaf.groups)}")
    print(f"  hints  {', '.join(leaf.hints) or 'none'}")
    print(f"  bytes  {len(script):,} without signatures")
    if arguments.asm:
        print()
        print("\n".join(listing(script)))


def _signatures(arguments: argparse.Namespace) -> None:
    figures = scheme_figures()
    if arguments.json:
        print(json.dumps([asdict(scheme) for scheme in figures], indent=2))
        return
    rows = [(s.signs, s.scheme, s.shown, s.used, s.winternitz, s.items) for s in figures]
    _print_table(
        "Weight units to sign one thing, at most", ("what", "scheme", "shown", "used", "Winternitz", "items"), rows
    )
    words = next(scheme for scheme in figures if scheme.signs == f"{WORDS_IN_GROUP} words")
    if words.used is not None:
        ours, theirs = words.used / WORDS_IN_GROUP, words.winternitz / WORDS_IN_GROUP
        print(f"A 32-bit word of a group: {ours:,.0f}, under Winternitz {theirs:,.0f}.")


def _parameters(arguments: argparse.Namespace) -> None:
    if arguments.file is not None:
        parameters = Parameters.load(arguments.file)
        print(f"bitvm: {arguments.file} is valid", file=sys.stderr)
    else:
        parameters = Parameters(bytes(HASH_BYTES))
    print(json.dumps(parameters.to_json(), indent=2) if arguments.json else as_yaml(parameters))


def as_yaml(parameters: Parameters) -> str:
    """Return the parameters as YAML with what each means, and what follows from them."""
    meanings = parameter_meanings()
    lines = ["# Parameters of a set-up. Amounts are in satoshi, times in blocks.", ""]
    for name, value in parameters.to_json().items():
        written = f'"{value}"' if isinstance(value, str) else str(value)
        lines += [f"# {meanings[name].replace('``', '')}", f"{name}: {written}", ""]
    lines += [
        f"# What follows: a claim covers {parameters.steps:,} steps; the longest game takes {parameters.longest_game}",
        f"# blocks; {parameters.burn:,} sat of a slashed bond are burnt.",
    ]
    return "\n".join(lines)


def _blake3(arguments: argparse.Namespace) -> None:
    parts = budget()
    if arguments.json:
        print(json.dumps({"parts": dict(parts), "bytes": sum(parts.values()), "stack_items": peak_stack_items()}))
        return
    total = sum(parts.values())
    rows = [(name, size, f"{size / total:.1%}") for name, size in parts.items()]
    title = f"BLAKE3 of two nodes: {total:,} bytes, at most {peak_stack_items()} stack items"
    _print_table(title, ("part", "bytes", "share"), rows)
