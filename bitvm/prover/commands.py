"""``bitvm prover COMMAND``: what a prover's operator does: the shared commands, and `claim`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bitvm.daemon.commands.catalogue import FAILURES, shared_commands
from bitvm.daemon.commands.desk import Desk, SetupView, Side, open_desk
from bitvm.daemon.commands.framework import FINE, Command, CommandError, HelpText, answer, run_commands
from bitvm.daemon.commands.inputs import keep_input
from bitvm.daemon.commands.judging import read_input, steps_bar
from bitvm.daemon.commands.show import check_range
from bitvm.daemon.config import Config
from bitvm.daemon.recovery import doubted
from bitvm.daemon.role import claimed_input
from bitvm.game.computation import Execution
from bitvm.prover.role import ProverRole
from bitvm.setup.input_store import InputMissingError
from lvm.boot import input_root
from lvm.elf import load_elf


def _run(config: Config) -> None:
    from bitvm.prover.launch import run_prover  # all that a daemon needs, and no other command

    run_prover(config)


SIDE = Side("prover", "bitvm prover", ProverRole, _run)

_DESCRIPTION = """\
Run a prover, and look after it. Every command takes the configuration with --config FILE, or from the environment
variable BITVM_CONFIG; `bitvm prover init --example` prints one to start from. To agree on a set-up with challengers,
see `bitvm setup`."""

_CLAIM = HelpText(
    "queue an input to be claimed",
    """\
Run the program on the bytes of FILE and, if the run is accepted, keep them in the home and queue them for a claim slot,
by default the next free one. The daemon makes the claim. A slot is queued once: the claim may have been signed, and a
one-time key signs one claim. With --unchecked nothing is run here: the daemon runs it in any case and claims nothing
that is not accepted, but the slot is used up then. In a home that was restored, the next claim may have been signed
since the backup; then it has to be of the same input.""",
    """\
examples:
  bitvm prover claim ledger-1 --input transfers.txt
  bitvm prover claim ledger-1 --input transfers.txt --unchecked
  bitvm prover claim ledger-1 --input transfers.txt --slot 2 --json | jq -r .input_root""",
)


_DOUBTED = (
    "{setup}: this home was restored from a backup. Claim {slot} may have been signed after that was made, and nobody "
    "remembers it. If an input was queued for it then, queue that very one: signing another one loses the bond. Say "
    "--after-restore if this is it, or if you are sure that none was"
)

_SKIP = "queue that first, or say --unchecked"


@dataclass(frozen=True, slots=True)
class Queued:
    """An input that waits to be claimed. checked: whether its run was made here and accepted."""

    setup: str
    slot: int
    input_root: str
    size: int
    checked: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``bitvm prover``; returns the exit code."""
    return run_commands(SIDE.program, _DESCRIPTION, commands(), argv, FAILURES)


def commands() -> tuple[Command, ...]:
    """Return all commands of a prover."""
    return (*shared_commands(SIDE), Command("claim", _CLAIM, _claim, _add_claim))


def _add_claim(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("setup", metavar="SETUP", help="the name of a finished set-up")
    parser.add_argument("--input", type=Path, required=True, metavar="FILE", help="the input's bytes")
    parser.add_argument("--slot", type=int, metavar="N", help="the claim slot (default: the next free one)")
    parser.add_argument(
        "--after-restore",
        action="store_true",
        help="in a restored home: this is the input that was queued since the backup, if any was",
    )
    checked = parser.add_mutually_exclusive_group()
    checked.add_argument("--check", action="store_true", default=True, help="run it first (the default)")
    checked.add_argument(
        "--unchecked",
        dest="check",
        action="store_false",
        help="queue it without a run; an input that is not accepted uses the slot up",
    )


def _claim(arguments: argparse.Namespace) -> int:
    data = read_input(arguments.input)
    root = input_root(data)
    with open_desk(arguments, SIDE) as desk:
        (view,) = desk.views(arguments.setup)
        check_range(view, "--slot", arguments.slot, view.plan.parameters.claims)
        queued = desk.store.queued(view.name)
        slot = _free_slot(view, queued, root, arguments.slot)
        if slot not in queued and not arguments.after_restore and _is_doubted(desk, view, slot):
            raise CommandError(_DOUBTED.format(setup=view.name, slot=slot))
        if arguments.check:
            _check_accepted(desk, view, slot, data, queued)
        keep_input(desk, view.archive.setup_id, slot, data)
        with desk.own_store() as store:
            store.queue(view.name, slot, root)
    answer(arguments, Queued(view.name, slot, root.hex(), len(data), arguments.check), _show)
    return FINE


def _free_slot(view: SetupView, queued: Mapping[int, bytes], root: bytes, wanted: int | None) -> int:
    """Return the slot to queue for; raises CommandError where it is taken, or none is free."""
    position = view.look.position
    if wanted is None:
        for slot in range(1, view.plan.parameters.claims + 1):
            at = position.at_claim(slot)
            if slot not in queued and not at.has("Claim") and not at.has("Withdraw"):
                return slot
        raise CommandError(f"{view.name}: no claim slot is free; prepare the next set-up")
    at = position.at_claim(wanted)
    if at.has("Claim"):
        raise CommandError(f"--slot {wanted}: claimed in block {at.height_of('Claim'):,}; leave --slot out")
    if at.has("Withdraw"):
        raise CommandError(f"--slot {wanted}: withdrawn in block {at.height_of('Withdraw'):,}; leave --slot out")
    if queued.get(wanted, root) != root:
        raise CommandError(f"--slot {wanted}: queued for the input {queued[wanted].hex()}; leave --slot out")
    return wanted


def _is_doubted(desk: Desk, view: SetupView, slot: int) -> bool:
    return doubted(desk.home, desk.store, view.look.position, view.name, slot)


def _check_accepted(desk: Desk, view: SetupView, slot: int, data: bytes, queued: Mapping[int, bytes]) -> None:
    """Run the slots up to this one; raises CommandError where that cannot be done, or the run is not accepted."""
    image = load_elf(desk.home.setup(view.name).program_path)
    run: Execution | None = None
    with steps_bar() as add:
        for number in range(1, slot + 1):
            content = data if number == slot else _earlier(desk, view, number, queued)
            run = Execution(
                view.plan.parameters,
                image,
                content,
                previous=run,
                engine=desk.config.engine,
                progress=add(f"claim {number}"),
            )
    if run is not None and not run.accepted:
        outcome = "still runs at the end of the claim" if not run.halted else f"ends with exit code {run.exit_code}"
        raise CommandError(
            f"--input: the program {outcome} on the input {input_root(data).hex()}; nothing was queued, since it can "
            "never be claimed and would use the slot up"
        )


def _earlier(desk: Desk, view: SetupView, slot: int, queued: Mapping[int, bytes]) -> bytes:
    root = claimed_input(view.look.position, slot) or queued.get(slot)
    if root is None:
        raise CommandError(f"--slot: slot {slot} has no input yet, and this run begins where its run ends; {_SKIP}")
    try:
        return desk.inputs.read(root)
    except InputMissingError as error:
        raise CommandError(f"{view.name}: the input of slot {slot} is needed first: {error}; {_SKIP}") from error


def _show(console: Console, queued: Queued) -> None:
    console.print(f"queued for claim {queued.slot} of {queued.setup}: {queued.size:,} bytes, root {queued.input_root}")
    console.print(
        "accepted here" if queued.checked else "not run here: if the daemon's run is not accepted, the slot is lost"
    )
