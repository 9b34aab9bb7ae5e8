"""The command ``regtest``: simulate disputes, what they cost, and the node they run on.

With ``--json`` standard output holds one JSON value and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.interface import ChainError, RegtestChain
from bitvm.chain.node import Bitcoind, find_bitcoind, install_bitcoind
from lvm.guest import EXAMPLES
from regtest.costs import costs
from regtest.hostile import LIES
from regtest.match import MatchError, Narrator
from regtest.narrate import ConsoleNarrator, conclude, introduce, new_console, print_costs, progress_bar
from regtest.report import write_report
from regtest.scenario import (
    Prepared,
    Scenario,
    ScenarioError,
    parse_lie,
    parse_silence,
    prepare,
    reference_parameters,
)
from regtest.simulate import simulate

FAILURE = 1
USAGE_ERROR = 2
INTERRUPTED = 130

SIMULATE = f"""\
Play one claim on a private chain, from set-up to verdict, and tell each move.

Without --lie the prover is honest and is paid. With --lie it claims a result that is false from one step on; an honest
challenger bisects down to that step, Bitcoin Script judges it, and the bond is slashed. Lies:
{chr(10).join(f"  {lie.name:<12} {lie.meaning}" for lie in LIES.values())}

examples:
  regtest simulate --lie written                     a false value, at a step that is searched for
  regtest simulate --lie halt@1000 --levels 3        the machine is said to halt at step 1000
  regtest simulate --lie written --silent prover@Reveal_3
  regtest simulate --accuse 500                      an honest claim, falsely accused
  regtest simulate --node bitcoind --report out.html
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    0; 2 where an option is impossible; 1 where a node, a match or a file failed. Messages go to standard error.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except ScenarioError as error:
        return _fail(error, USAGE_ERROR)
    except (ChainError, MatchError, OSError) as error:
        return _fail(error, FAILURE)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    return 0


def _fail(why: object, code: int) -> int:
    print(f"regtest: {why}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("regtest", description="Disputes on a private chain: play them, price them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_simulate(commands)
    _add_costs(commands)
    _add_node(commands)
    return parser


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    play = commands.add_parser(
        "simulate",
        help="play one claim from set-up to verdict",
        description=SIMULATE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    play.add_argument(
        "--program", default="sieve", metavar="P", help=f"an ELF file, or one of {', '.join(EXAMPLES)} (default sieve)"
    )
    play.add_argument("--input", type=Path, metavar="F", help="the program's input (default: a sample)")
    play.add_argument("--lie", metavar="KIND[@STEP]", help="what the prover claims falsely, and at which step")
    play.add_argument("--accuse", type=int, metavar="STEP", help="challenger 1 disputes an honest claim at STEP")
    play.add_argument("--silent", metavar="PARTY@MOVE", help="PARTY does nothing from MOVE on, Reveal_2 for instance")
    play.add_argument("--levels", type=int, default=5, metavar="M", help="bisection levels, 1 to 5 (default 5)")
    play.add_argument(
        "--challengers", type=int, default=1, metavar="N", help="registered challengers, 1 to 16 (default 1)"
    )
    play.add_argument("--seed", type=int, default=1, metavar="N", help="all keys derive from it (default 1)")
    play.add_argument(
        "--node",
        choices=("embedded", "bitcoind"),
        default="embedded",
        help="Core's consensus engine in this process, or a real node with its mempool policy (default embedded)",
    )
    play.add_argument("--json", action="store_true", help="print the result as JSON")
    play.add_argument("--report", type=Path, metavar="OUT.html", help="write a page with pictures of the game")
    play.set_defaults(run=_simulate)


def _add_costs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    price = commands.add_parser(
        "costs",
        help="exact weights without a run",
        description="The exact weight, at most, of every transaction and leaf, and of whole scenarios.",
    )
    price.add_argument("--levels", type=int, default=5, metavar="M", help="bisection levels, 1 to 5 (default 5)")
    price.add_argument("--json", action="store_true", help="print JSON")
    price.set_defaults(run=_costs)


def _add_node(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    provide = commands.add_parser(
        "node",
        help="find or install bitcoind",
        description="Find bitcoind: named by BITVM_BITCOIND, on PATH, installed earlier; or install it now.",
    )
    provide.add_argument("--json", action="store_true", help="print JSON")
    provide.set_defaults(run=_node)


def _simulate(options: argparse.Namespace) -> None:
    console = new_console(quiet=options.json)
    scenario = _scenario(options)
    if options.report is not None:
        _check_report(options.report)
    prepared = _prepare(scenario, console)
    with open_chain(options.node, console) as chain:
        introduce(console, scenario, prepared)
        narrator = Narrator() if options.json else ConsoleNarrator(console, scenario.challengers)
        result = simulate(scenario, prepared, chain, narrator)
    conclude(console, result)
    if options.report is not None:
        write_report(options.report, result)
        console.print(f"Report: {options.report}")
    if options.json:
        print(json.dumps(result.to_json(), indent=2))


def _scenario(options: argparse.Namespace) -> Scenario:
    """Read the options; raises ScenarioError."""
    reference_parameters(options.levels, options.challengers)
    lie, step = (None, None) if options.lie is None else parse_lie(options.lie)
    silence = options.silent
    return Scenario(
        program=options.program,
        input_file=options.input,
        levels=options.levels,
        challengers=options.challengers,
        lie=lie,
        lie_step=step,
        accuse=options.accuse,
        silence=None if silence is None else parse_silence(silence, options.levels, options.challengers),
        seed=options.seed,
    )


def _check_report(path: Path) -> None:
    """Raise ScenarioError where no report can be written, before anything is played."""
    if path.is_dir():
        raise ScenarioError(f"--report {path}: is a directory; give a file")
    if not path.parent.is_dir():
        raise ScenarioError(f"--report {path}: there is no directory {path.parent}; make it")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ScenarioError(f"--report {path}: no permission to write there; give another file")


def _prepare(scenario: Scenario, console: Console) -> Prepared:
    with progress_bar(console) as bar:
        task = bar.add_task("running the program", total=1)
        return prepare(scenario, lambda done, total: bar.update(task, completed=done, total=total))


@contextmanager
def open_chain(node: str, console: Console) -> Iterator[RegtestChain]:
    """Start a private chain: "embedded" or "bitcoind"; raises ChainError."""
    if node == "embedded":
        with EmbeddedChain() as embedded:
            yield embedded
        return
    with BitcoindNode(_provide(console)) as running, BitcoindChain(running) as chain:
        console.print(f"Node: {running.version}")
        yield chain


def _provide(console: Console) -> Bitcoind:
    found = find_bitcoind()
    if found is None:
        console.print("No bitcoind here yet; installing one ...")
    return found or install_bitcoind()


def _costs(options: argparse.Namespace) -> None:
    found = costs(reference_parameters(options.levels).levels)
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        print_costs(new_console(quiet=False), found)


def _node(options: argparse.Namespace) -> None:
    console = new_console(quiet=options.json)
    found = _provide(console)
    console.print(f"{found.version}\n{found.command[-1]}", soft_wrap=True)
    if options.json:
        print(json.dumps({"version": found.version, "path": found.command[-1], "command": list(found.command)}))
