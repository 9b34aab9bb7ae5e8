"""``regtest costs``, ``guarantees``, ``chart`` and ``node``: figures without a match."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bitvm.graph.parameters import MAX_SEQUENCE_BLOCKS, ParameterError, Parameters
from lvm.layout import HASH_BYTES
from regtest.chart import points, svg, to_json
from regtest.cli.nodes import Commands, provide
from regtest.costs import costs
from regtest.guarantees import guarantees, with_room
from regtest.narrate import new_console
from regtest.scenario import ScenarioError, reference_parameters
from regtest.tables import print_costs, print_guarantees

GUARANTEES = """\
Print what a set-up guarantees, computed from its parameters: who must do what within how many blocks and with how many
satoshi, for safety and for availability; what games take at most; and whether honesty pays. Each line names the cases
of `regtest matrix` that show it.

examples:
  regtest guarantees
  regtest guarantees --challengers 4 --attesters 3 --quorum 2 --feerate 50
  regtest guarantees --parameters setup.yaml --json
"""

OPTIONS = {
    "levels": "M",
    "width": "K",
    "challengers": "N",
    "claims": "K",
    "attesters": "A",
    "quorum": "Q",
    "tries": "J",
    "confirmations": "C",
    "delta": "BLOCKS",
    "delta_claim": "BLOCKS",
    "bond": "SAT",
    "stake": "SAT",
}
"""Parameters that options change, and what their values are."""


def add(commands: Commands) -> None:
    """Add the commands."""
    _add_costs(commands)
    _add_guarantees(commands)
    _add_chart(commands)
    _add_node(commands)


def _add_costs(commands: Commands) -> None:
    price = commands.add_parser(
        "costs",
        help="exact weights without a run",
        description="The exact weight, at most, of every transaction and leaf, and of whole scenarios.",
    )
    price.add_argument("--levels", type=int, default=5, metavar="M", help="bisection levels, 1 to 5 (default 5)")
    price.add_argument("--all", action="store_true", help="a line for each, not one for all of a kind")
    price.add_argument("--json", action="store_true", help="print JSON")
    price.set_defaults(run=_costs)


def _costs(options: argparse.Namespace) -> None:
    found = costs(reference_parameters(options.levels).levels)
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print_costs(new_console(quiet=False), found, options.levels, everything=options.all)


def _add_guarantees(commands: Commands) -> None:
    parser = commands.add_parser(
        "guarantees",
        help="who must do what, when and with how much money",
        description=GUARANTEES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--parameters", type=Path, metavar="F", help="start from a file (`bitvm parameters` writes one)"
    )
    for name, value in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar=value)
    parser.add_argument("--feerate", type=float, metavar="F", help="sat/vB (default: the parameters' fee_ceiling)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_guarantees)


def _guarantees(options: argparse.Namespace) -> None:
    if options.feerate is not None and not 0 < options.feerate <= 1_000_000:
        raise ScenarioError(f"--feerate {options.feerate:g}: a number of sat/vB above 0 needed")
    found = guarantees(_parameters(options), options.feerate)
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print_guarantees(new_console(quiet=False), found)


def _parameters(options: argparse.Namespace) -> Parameters:
    """Read file and options; without a file ``delta_long`` follows from them. Raises ScenarioError."""
    changed: dict[str, Any] = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    if changed.get("attesters") and "quorum" not in changed:
        changed["quorum"] = changed["attesters"]
    try:
        if options.parameters is not None:
            return replace(Parameters.load(options.parameters), **changed)
        return with_room(Parameters(bytes(HASH_BYTES), delta_long=MAX_SEQUENCE_BLOCKS, **changed))
    except ParameterError as error:
        raise ScenarioError(f"--{error}" if options.parameters is None else str(error)) from error


def _add_chart(commands: Commands) -> None:
    parser = commands.add_parser(
        "chart",
        help="virtual bytes of a dispute against its rounds, as a picture",
        description="Virtual bytes of a dispute about an execution against its rounds, for lists of 4 to 256 intervals "
        "and 1 to 8 rounds, from exact weights.",
    )
    parser.add_argument("out", type=Path, nargs="?", metavar="OUT.svg", help="where the picture goes")
    parser.add_argument("--json", action="store_true", help="print the points as JSON")
    parser.set_defaults(run=_chart)


def _chart(options: argparse.Namespace) -> None:
    if options.out is None and not options.json:
        raise ScenarioError("chart: OUT.svg needed, or --json")
    found = points()
    if options.out is not None:
        options.out.write_text(svg(found))
    if options.json:
        print(to_json(found))
    else:
        new_console(quiet=False).print(f"Chart: {options.out}", soft_wrap=True)


def _add_node(commands: Commands) -> None:
    parser = commands.add_parser(
        "node",
        help="find or install bitcoind",
        description="Find bitcoind: named by BITVM_BITCOIND, on PATH, installed earlier; or install it now.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_node)


def _node(options: argparse.Namespace) -> None:
    console = new_console(quiet=options.json)
    found = provide(console)
    console.print(f"{found.version}\n{found.command[-1]}", soft_wrap=True)
    if options.json:
        print(json.dumps({"version": found.version, "path": found.command[-1], "command": list(found.command)}))
