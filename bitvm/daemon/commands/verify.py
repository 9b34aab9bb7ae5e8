"""``verify``: run a claim's input again, and say whether the claim is true."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from bitvm.daemon.commands.desk import Side, open_desk
from bitvm.daemon.commands.framework import FAILED, FINE, WRONG, Command, HelpText, answer, fail, said
from bitvm.daemon.commands.judging import Verified, inputs_of, verify_claim
from bitvm.daemon.commands.show import check_range
from bitvm.game.finality import Verdict
from lvm.elf import load_elf

_STYLES = {Verdict.VALID: "bold green", Verdict.INVALID: "bold red", Verdict.UNKNOWN: "bold yellow"}
_CODES = {Verdict.VALID: FINE, Verdict.INVALID: WRONG, Verdict.UNKNOWN: FAILED}


def commands(side: Side) -> tuple[Command, ...]:
    """Return the command."""
    text = HelpText(
        "run a claim again and judge it",
        """\
Run the program on the input of a claim, and on the inputs of the claims before it, whose memory it inherits, and
compare the state in which it ends with the claimed one. Inputs are taken from the home; --input gives those that are
not there.
Exit code 0: VALID; 1: INVALID; 2: UNKNOWN, an input is missing.""",
        f"""\
examples:
  {side.program} verify ledger-1 1
  {side.program} verify ledger-1 2 --input first.txt --input second.txt
  {side.program} verify ledger-1 1 --json | jq -r .verdict""",
    )
    return (Command("verify", text, partial(_verify, side), _add),)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("setup", metavar="SETUP", help="the name of a finished set-up")
    parser.add_argument("claim", metavar="CLAIM", type=int, help="the number of the claim, from 1")
    parser.add_argument(
        "--input", type=Path, action="append", default=[], metavar="FILE", help="an input; may be given several times"
    )


def _verify(side: Side, arguments: argparse.Namespace) -> int:
    with open_desk(arguments, side) as desk:
        (view,) = desk.views(arguments.setup)
        check_range(view, "CLAIM", arguments.claim, view.plan.parameters.claims)
        position = view.look.position.at_claim(arguments.claim)
        find = inputs_of(arguments.input, position, desk.inputs)
        image = load_elf(desk.home.setup(view.name).program_path)
        found = verify_claim(view.name, position, image, find, desk.config.engine)
    answer(arguments, found, show_verified)
    if found.verdict is Verdict.UNKNOWN:
        sys.stdout.flush()
        fail(arguments.called, found.why, FAILED)
    return _CODES[found.verdict]


def show_verified(console: Console, found: Verified) -> None:
    """Print a verdict with both roots."""
    console.print(
        said(found.verdict.value, _STYLES[found.verdict]), said(f"claim {found.slot} of {found.setup}: {found.why}")
    )
    console.print(f"  input    {found.input_root or 'none that can be read'}")
    console.print(f"  claimed  {found.claimed_root or 'no state at all'}")
    console.print(f"  our run  {found.our_root or 'not made'}")
    console.print(f"  seconds  {found.seconds:.2f}")
