"""``regtest simulate``: one claim from set-up to verdict, of a program or of the matrix."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from lvm.guest import EXAMPLES
from regtest.cases import Case
from regtest.cli.nodes import Commands, add_node_option, open_chain
from regtest.hostile import LIES
from regtest.match import Narrator
from regtest.matrix import find_case, play_case
from regtest.narrate import (
    ConsoleNarrator,
    conclude,
    conclude_case,
    introduce,
    introduce_case,
    new_console,
    progress_bar,
)
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

DESCRIPTION = f"""\
Play one claim on a private chain, from set-up to verdict, and tell each move.

Without --lie the prover is honest and is paid. With --lie it claims a result that is false from one step on; an honest
challenger bisects down to that step, Bitcoin Script judges it, and the bond is slashed. Lies:
{chr(10).join(f"  {lie.name:<12} {lie.meaning}" for lie in LIES.values())}

With --case it plays a case of the matrix, which has a program and parties of its own (`regtest matrix --list`).

examples:
  regtest simulate --lie written                     a false value, at a step that is searched for
  regtest simulate --lie halt@1000 --levels 3        the machine is said to halt at step 1000
  regtest simulate --lie written --silent prover@Reveal_3
  regtest simulate --accuse 500                      an honest claim, falsely accused
  regtest simulate --node bitcoind --report out.html
"""


def add(commands: Commands) -> None:
    """Add the command."""
    play = commands.add_parser(
        "simulate",
        help="play one claim from set-up to verdict",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    play.add_argument(
        "--program", default="sieve", metavar="P", help=f"an ELF file, or one of {', '.join(EXAMPLES)} (default sieve)"
    )
    play.add_argument("--input", type=Path, metavar="F", help="the program's input (default: a sample)")
    play.add_argument(
        "--lie", metavar="KIND[@STEP]", help="what the prover claims falsely, and at which step; or a lie of the matrix"
    )
    play.add_argument("--case", metavar="NAME", help="a case of the matrix, in place of all options but --node, --json")
    play.add_argument("--accuse", type=int, metavar="STEP", help="challenger 1 disputes an honest claim at STEP")
    play.add_argument("--silent", metavar="PARTY@MOVE", help="PARTY does nothing from MOVE on, Reveal_2 for instance")
    play.add_argument("--levels", type=int, default=5, metavar="M", help="bisection levels, 1 to 5 (default 5)")
    play.add_argument(
        "--challengers", type=int, default=1, metavar="N", help="registered challengers, 1 to 16 (default 1)"
    )
    play.add_argument("--seed", type=int, default=1, metavar="N", help="all keys derive from it (default 1)")
    add_node_option(play)
    play.add_argument("--json", action="store_true", help="print the result as JSON")
    play.add_argument("--report", type=Path, metavar="OUT.html", help="write a page with pictures of the game")
    play.set_defaults(run=_simulate)


def _simulate(options: argparse.Namespace) -> int:
    case = _case(options)
    console = new_console(quiet=options.json)
    if case is not None:
        return _play_case(options, case, console)
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
    return 0


# ---- a case of the matrix


def _case(options: argparse.Namespace) -> Case | None:
    """Return the case that is asked for, if one is; raises ScenarioError.

    A lie of ``LIES`` goes before a case of the same name.
    """
    if options.case is not None:
        if options.lie is not None or options.accuse is not None or options.silent is not None:
            raise ScenarioError("--case: a case says who lies and who is silent; leave --lie, --accuse, --silent out")
        found = find_case(options.case)
        if found is None:
            raise ScenarioError(f"--case {options.case}: there is no such case; `regtest matrix --list` names them")
    else:
        lie = options.lie
        found = None if lie is None or lie.partition("@")[0] in (*LIES, "") else find_case(lie)
    if found is not None and options.report is not None:
        raise ScenarioError("--report: a page shows the run of a program, not a case of the matrix; leave it out")
    return found


def _play_case(options: argparse.Namespace, case: Case, console: Console) -> int:
    seats = case.seats()
    with open_chain(options.node, console) as chain:
        introduce_case(console, case, seats)
        narrator = Narrator() if options.json else ConsoleNarrator(console, seats.parameters.challengers)
        result = play_case(case, chain, narrator, seats=seats, seed=options.seed)
    conclude_case(console, result)
    if options.json:
        played = [asdict(transaction) for transaction in result.played]
        print(
            json.dumps({**result.to_json(), "story": case.story, "reason": result.reason, "played": played}, indent=2)
        )
    return 0 if result.ok else 1


# ---- a scenario


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
    with progress_bar(console, "steps") as bar:
        task = bar.add_task("running the program", total=1)
        return prepare(scenario, lambda done, total: bar.update(task, completed=done, total=total))
