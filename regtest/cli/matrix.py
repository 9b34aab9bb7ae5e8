"""``regtest matrix``: play every lie and every false accusation that is known."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from regtest.cases import Case
from regtest.cli.nodes import BITCOIND, EMBEDDED, Commands, add_node_option, open_chain
from regtest.control import Control, control
from regtest.coverage import coverage
from regtest.matrix import CaseResult, Task, all_cases, play_tasks
from regtest.narrate import new_console, progress_bar
from regtest.scenario import ScenarioError
from regtest.tables import CaseLines, print_control, print_coverage, summary

DESCRIPTION = """\
Play every lie that a prover can tell, every false accusation of a challenger, and both at once; each case says who must
win and by what. Exit code 1 if one comes out otherwise.

examples:
  regtest matrix                                     all of them, on Core's consensus engine in this process
  regtest matrix --only lie/ --jobs 4
  regtest matrix --node bitcoind                     on a node under its default mempool policy, one after the other
  regtest matrix --only accuse/ --list
  regtest matrix --coverage                          also: which transactions and leaves no case uses
  regtest matrix --control                           also: hide each family of leaves, and see cases go wrong
"""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "matrix",
        help="play every lie and every false accusation",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="PREFIX", help="only cases whose names begin like this")
    add_node_option(parser)
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one a CPU; on bitcoind 1)")
    parser.add_argument("--list", action="store_true", help="print names and stories, and play nothing")
    parser.add_argument("--coverage", action="store_true", help="tell which transactions and leaves were not used")
    parser.add_argument("--control", action="store_true", help="play cases again without the leaves they rest on")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_matrix)


def _matrix(options: argparse.Namespace) -> int:
    jobs = _jobs(options)
    cases = [case for case in all_cases() if case.name.startswith(options.only)]
    if not cases:
        raise ScenarioError(f"--only {options.only}: no case begins like this; `regtest matrix --list` names them")
    console = new_console(quiet=options.json)
    if options.list:
        return _list(cases, console, as_json=options.json)
    results = _play(cases, options.node, jobs, console)
    summary(console, results)
    printed: dict[str, Any] = {
        "cases": [result.to_json() for result in results],
        "failed": sum(not result.ok for result in results),
    }
    if options.coverage:
        covered = coverage(results)
        print_coverage(console, covered)
        printed["coverage"] = covered.to_json()
    vacuous = False
    if options.control:
        found = _control(results, jobs, console)
        print_control(console, found)
        printed["control"] = {c.family: {"lost": c.lost, "otherwise": c.otherwise} for c in found}
        vacuous = any(c.unmoved and not c.goes_wrong for c in found)
    if options.json:
        print(json.dumps(printed, indent=2))
    return int(vacuous or printed["failed"] > 0)


def _jobs(options: argparse.Namespace) -> int:
    """Read ``--jobs``; raises ScenarioError."""
    jobs = options.jobs
    if jobs is not None and jobs < 1:
        raise ScenarioError(f"--jobs {jobs}: a whole number from 1 needed")
    if options.node != EMBEDDED and (jobs or 1) > 1:
        raise ScenarioError(f"--jobs {jobs}: all cases share one {BITCOIND}, one after the other; leave it out")
    return int(jobs or (os.cpu_count() or 1 if options.node == EMBEDDED else 1))


def _list(cases: list[Case], console: Console, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([{"name": c.name, "expected": c.winner, "story": c.story} for c in cases], indent=2))
    for case in cases:
        console.print(f"[bold]{case.name}[/]  [dim]{case.winner} wins[/]")
        console.print(f"    {case.story}", markup=False)
    console.print(f"{len(cases)} cases")
    return 0


def _play(cases: list[Case], node: str, jobs: int, console: Console) -> list[CaseResult]:
    """Play and print a line a case; return the results in the order of the catalogue."""
    found: dict[int, CaseResult] = {}
    with ExitStack() as stack:
        chain = None if node == EMBEDDED else stack.enter_context(open_chain(node, console))
        tasks = [Task(case.name) for case in cases]
        lines = CaseLines(console, [case.name for case in cases])
        bar = stack.enter_context(progress_bar(console, "cases"))
        task = bar.add_task("playing", total=len(cases))
        for place, result in play_tasks(tasks, catalogue=all_cases, chain=chain, jobs=jobs):
            found[place] = result
            lines.print(result)
            bar.advance(task)
    return [found[place] for place in sorted(found)]


def _control(results: list[CaseResult], jobs: int, console: Console) -> list[Control]:
    with progress_bar(console, "matches") as bar:
        task = bar.add_task("hiding leaves", total=1)
        return control(
            results,
            catalogue=all_cases,
            jobs=jobs,
            heard=lambda done, total: bar.update(task, completed=done, total=total),
        )
