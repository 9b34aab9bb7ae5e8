"""All commands of a watchtower: the shared ones, `input`, `join` and `monitor`."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from bitvm.daemon.commands.catalogue import shared_commands
from bitvm.daemon.commands.desk import Side, open_desk, tell_unread
from bitvm.daemon.commands.framework import (
    FINE,
    Command,
    CommandError,
    HelpText,
    add_common,
    answer,
    table_of,
)
from bitvm.daemon.commands.inputs import HeldInput, held_inputs, keep_input
from bitvm.daemon.commands.judging import read_input
from bitvm.daemon.commands.show import check_range
from bitvm.daemon.config import Config
from bitvm.daemon.role import claimed_input
from bitvm.prover.setup_commands import take_part
from challenger import monitor
from challenger.role import ChallengerRole
from lvm.boot import input_root


def _run(config: Config) -> None:
    from bitvm.daemon.launch import run_daemon  # all that a daemon needs, and no other command

    run_daemon(config, "challenger", ChallengerRole)


SIDE = Side("challenger", "challenger", ChallengerRole, _run)

_INPUT = HelpText(
    "give the watchtower an input, or list what it holds",
    """\
A watchtower can only judge what it can run. It asks the other parties for the input of a claim by its root; where
nobody answers, `input add` gives it the bytes by hand. They are kept for the claim whose root they have, or, before it
is made, for the slot that --slot names. `input list` shows what is held, and what claims state that is not.""",
    """\
examples:
  challenger input add ledger-1 transfers.txt
  challenger input add ledger-1 next.txt --slot 2
  challenger input list --json | jq '.[] | select(.size == null)'""",
)
_JOIN = HelpText(
    "take part in a set-up as a challenger",
    """\
Join the set-up of a plan: call the prover at its setup_address, exchange keys and signatures, keep everything in the
home, and promise coins of the wallet for the stake. Can be stopped at any moment and run again: it goes on. Read the
plan first, with `bitvm setup show`. Writes to the home.""",
    """\
examples:
  bitvm setup show plan.yaml
  challenger join plan.yaml --program ledger.elf""",
)


def commands() -> tuple[Command, ...]:
    """Return all commands of a watchtower."""
    return (
        *shared_commands(SIDE),
        Command("input", _INPUT, _input, _add_input),
        Command("join", _JOIN, _join, _add_join),
        *monitor.commands(),
    )


# ---- input


def _add_input(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    add = actions.add_parser("add", help="keep an input", description="Keep the bytes of FILE in the home.")
    add.add_argument("setup", metavar="SETUP", help="the name of a finished set-up")
    add.add_argument("file", type=Path, metavar="FILE", help="the input's bytes")
    add.add_argument("--slot", type=int, metavar="N", help="the claim slot (default: the one whose claim states it)")
    add.set_defaults(act=_input_add)
    listed = actions.add_parser("list", help="list inputs", description="List the inputs that are held or missing.")
    listed.add_argument("setup", nargs="?", metavar="SETUP", help="of this set-up alone")
    listed.set_defaults(act=_input_list)
    for inner in (add, listed):
        add_common(inner, inherited=True)


def _input(arguments: argparse.Namespace) -> int:
    code: int = arguments.act(arguments)
    return code


def _input_add(arguments: argparse.Namespace) -> int:
    data = read_input(arguments.file)
    root = input_root(data)
    with open_desk(arguments, SIDE) as desk:
        (view,) = desk.views(arguments.setup)
        check_range(view, "--slot", arguments.slot, view.plan.parameters.claims)
        stated = {slot: claimed_input(view.look.position, slot) for slot in range(1, view.plan.parameters.claims + 1)}
        slot = arguments.slot or next((slot for slot, claimed in stated.items() if claimed == root), None)
        if slot is None:
            raise CommandError(
                f"{arguments.file}: no claim of {view.name} states its root {root.hex()}; "
                "name the slot that it is for with --slot"
            )
        keep_input(desk, view.archive.setup_id, slot, data)
    kept = HeldInput(view.name, slot, root.hex(), len(data), stated[slot] == root)
    answer(arguments, kept, _show_kept)
    return FINE


def _show_kept(console: Console, kept: HeldInput) -> None:
    console.print(f"kept for claim {kept.slot} of {kept.setup}: {kept.size:,} bytes, root {kept.root}")
    if not kept.claimed:
        console.print("that claim does not state it (yet)")


def _input_list(arguments: argparse.Namespace) -> int:
    with open_desk(arguments, SIDE) as desk:
        found = [held for view in desk.views(arguments.setup) for held in held_inputs(desk, view)]
        unread = dict(desk.unread)
    answer(arguments, found, _show_inputs)
    return tell_unread(arguments, unread)


def _show_inputs(console: Console, found: list[HeldInput]) -> None:
    rows = [
        (held.setup, held.slot, held.root, "missing" if held.size is None else held.size, held.claimed)
        for held in found
    ]
    console.print(table_of(("set-up", "claim", "root", "bytes", "claimed"), rows))


# ---- join


def _add_join(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the plan of the set-up")
    parser.add_argument("--program", type=Path, required=True, metavar="ELF", help="the program that the plan is about")


def _join(arguments: argparse.Namespace) -> int:
    return take_part(SIDE, arguments)
