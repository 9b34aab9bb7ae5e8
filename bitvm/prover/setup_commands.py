"""``bitvm setup COMMAND``: write the plan of a set-up, see what it means, and run it as its prover."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from bitvm.chain.remote import RemoteNode
from bitvm.daemon.commands.catalogue import FAILURES
from bitvm.daemon.commands.desk import Side, open_desk
from bitvm.daemon.commands.framework import (
    FINE,
    Command,
    CommandError,
    HelpText,
    answer,
    new_console,
    run_commands,
    said,
    table_of,
)
from bitvm.daemon.commands.snapshots import from_home
from bitvm.daemon.enrol import Standing, check_program, enrol, fee_share
from bitvm.graph.costs import defence
from bitvm.graph.model import PROVER
from bitvm.graph.parameters import ParameterError, Parameters
from bitvm.prover.commands import SIDE
from bitvm.setup.identity import IdentityError, parse_key
from bitvm.setup.plan import NETWORKS, Address, PlanError, PlannedParty, SetupPlan
from bitvm.strictyaml import StrictYamlError, parse_yaml
from lvm.elf import ElfError, load_elf
from lvm.layout import HASH_BYTES

PROGRAM = "bitvm setup"

_DESCRIPTION = """\
A set-up is what a prover and its challengers agree on before anything is claimed: a plan that all of them have, then
keys and signatures, then money on the chain. Write the plan, give it to everybody, and when all have read it run it:
the prover with `bitvm setup run`, every challenger with `challenger join`."""

_NEW = HelpText(
    "write the plan of a set-up",
    """\
Write a plan: the parameters of --parameters (the defaults without it) with the program's image root and entry point,
and who takes part. An identity is what `init` prints. The prover's HOST:PORT is where challengers find the set-up; a
challenger's is where it answers requests later (its `listen`), and can be left out.""",
    """\
examples:
  bitvm parameters > p.yaml
  bitvm setup new ledger-1 --program ledger.elf --parameters p.yaml \\
      --prover 1f…@prover.example:7420 --prover-address prover.example:7410 \\
      --challenger 2e…@tower.example:7410 --challenger 3d… -o plan.yaml""",
)
_SHOW = HelpText(
    "what a plan means, and what it costs whom",
    """\
Show a plan before you agree to it: what is guaranteed and on which conditions, how long everything takes, what each
party puts in and must be able to pay, and who takes part. With --program, check that the program is the plan's.""",
    """\
examples:
  bitvm setup show plan.yaml --program ledger.elf
  bitvm setup show plan.yaml --json | jq .money.challenger1.total""",
)
_RUN = HelpText(
    "run a set-up as its prover",
    """\
Coordinate the set-up of a plan: listen for the challengers (at `setup_listen`, or the plan's setup_address), exchange
keys and signatures, keep everything in the home, and promise coins of the wallet for Fund. The daemon then sends Fund.
Can be stopped at any moment and run again: it goes on. Writes to the home.""",
    """\
examples:
  bitvm setup show plan.yaml
  bitvm setup run plan.yaml --program ledger.elf""",
)


@dataclass(frozen=True, slots=True)
class Money:
    """What a party needs, in satoshi: its contribution to Fund, its share of Fund's fee, the worst case's fees."""

    contribution: int
    fund_fee: int
    fees: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.contribution + self.fund_fee + self.fees


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a plan means, in values."""

    plan: SetupPlan
    digest: bytes
    program_checked: bool
    guarantees: tuple[str, ...]
    money: dict[str, Money]


@dataclass(frozen=True, slots=True)
class Ended:
    """A set-up that has ended well, as ``party``."""

    setup: str
    party: str
    setup_id: str
    fund: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``bitvm setup``; returns the exit code."""
    return run_commands(PROGRAM, _DESCRIPTION, commands(), argv, FAILURES)


def commands() -> tuple[Command, ...]:
    """Return the three commands."""
    return (
        Command("new", _NEW, _new, _add_new, configured=False),
        Command("show", _SHOW, _show, _add_show, configured=False),
        Command("run", _RUN, _run, _add_run),
    )


# ---- new


def _add_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="1 to 40 of a-z, 0-9 and -")
    parser.add_argument("--program", type=Path, required=True, metavar="ELF", help="the program")
    parser.add_argument("--parameters", type=Path, metavar="P.yaml", help="as `bitvm parameters` prints them")
    parser.add_argument("--network", choices=NETWORKS, default="regtest", help="the chain (default regtest)")
    parser.add_argument("--prover", required=True, metavar="IDENTITY@HOST:PORT", help="the prover")
    parser.add_argument("--prover-address", metavar="HOST:PORT", help="where the prover answers requests later")
    parser.add_argument(
        "--challenger", action="append", default=[], metavar="IDENTITY[@HOST:PORT]", help="each challenger, in order"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="plan.yaml", help="a new file")


def _new(arguments: argparse.Namespace) -> int:
    content = _read(arguments.program)
    prover = _party("--prover", arguments.prover)
    if prover.address is None:
        raise CommandError("--prover: IDENTITY@HOST:PORT needed: challengers call the prover there")
    later = arguments.prover_address
    challengers = tuple(_party("--challenger", text) for text in arguments.challenger)
    if not challengers:
        raise CommandError("--challenger: at least one is needed; its identity is what `challenger init` prints")
    plan = SetupPlan(
        arguments.name,
        arguments.network,
        _parameters(arguments, content, len(challengers)),
        hashlib.sha256(content).digest(),
        prover.address,
        PlannedParty(prover.identity, None if later is None else _address("--prover-address", later)),
        challengers,
    )
    plan.save(arguments.output)
    written = {"file": str(arguments.output), "digest": plan.digest().hex()}
    answer(arguments, written, lambda console, _: console.print(_written(arguments.output, plan), soft_wrap=True))
    return FINE


def _written(path: Path, plan: SetupPlan) -> str:
    found = f"{path}: plan of {plan.name}, digest {plan.digest().hex()}"
    return f"{found}\nGive it to everybody; read it with `bitvm setup show`."


def _party(option: str, text: str) -> PlannedParty:
    identity, at, address = text.partition("@")
    try:
        return PlannedParty(parse_key(identity), _address(option, address) if at else None)
    except IdentityError as error:
        raise CommandError(f"{option} {text!r:.100}: {error}; `init` prints it") from error


def _address(option: str, text: str) -> Address:
    try:
        return Address.parse(text)
    except PlanError as error:
        raise CommandError(f"{option}: {error}") from error


def _parameters(arguments: argparse.Namespace, program: bytes, challengers: int) -> Parameters:
    """Return the parameters of the file, or the defaults, for this program; raises CommandError, ParameterError."""
    try:
        image = load_elf(program)
    except ElfError as error:
        raise CommandError(f"{arguments.program}: {error}") from error
    of_program = {"image_root": image.root().hex(), "entry": image.entry}
    if arguments.parameters is None:
        return Parameters.from_mapping({"challengers": challengers, **of_program})
    given = _mapping(arguments.parameters)
    unset = {"image_root": bytes(HASH_BYTES).hex(), "entry": 0}
    for field, value in of_program.items():
        if given.get(field, unset[field]) not in (unset[field], value):
            text = f"{arguments.parameters}: {field}: {given[field]}, but {arguments.program} has {value}"
            raise CommandError(f"{text}; take the line out, it comes from the program")
    try:
        return Parameters.from_mapping({"challengers": challengers, **given, **of_program})
    except ParameterError as error:
        raise CommandError(f"{arguments.parameters}: {error}") from error


def _mapping(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(_read(path))
    except StrictYamlError as error:
        raise CommandError(f"{path}: {error}") from error
    if not isinstance(values, dict):
        raise CommandError(f"{path}: a mapping of fields needed; `bitvm parameters` prints one")
    return values


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from error


# ---- show


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the plan")
    parser.add_argument("--program", type=Path, metavar="ELF", help="check that this is its program")


def _show(arguments: argparse.Namespace) -> int:
    plan = SetupPlan.load(arguments.plan)
    if arguments.program is not None:
        check_program(plan, _read(arguments.program))
    meaning = meaning_of(plan, program_checked=arguments.program is not None)
    if arguments.json:
        money = {party: {**_plain_money(each)} for party, each in meaning.money.items()}
        values = {
            "plan": plan.to_json(),
            "digest": meaning.digest.hex(),
            "program_checked": meaning.program_checked,
            "guarantees": meaning.guarantees,
            "money": money,
        }
        answer(arguments, values, lambda _, __: None)
    else:
        _print_meaning(new_console(), meaning)
    return FINE


def _plain_money(money: Money) -> dict[str, int]:
    return {
        "contribution": money.contribution,
        "fund_fee": money.fund_fee,
        "fees": money.fees,
        "total": money.total,
    }


def meaning_of(plan: SetupPlan, *, program_checked: bool) -> Meaning:
    """Return what a plan means."""
    parameters = plan.parameters
    money = {}
    for party in plan.parties:
        needed = defence(parameters, party)
        money[party] = Money(needed.contribution, fee_share(parameters, 1), needed.fees)
    return Meaning(plan, plan.digest(), program_checked, tuple(_guarantees(parameters)), money)


def _guarantees(parameters: Parameters) -> Sequence[str]:
    found = [
        f"A false claim is slashed if one challenger is honest, has the input, confirms a Challenge within "
        f"{parameters.delta_claim} blocks and every move within {parameters.delta}.",
        f"An honest prover loses nothing if it confirms every move within {parameters.delta} blocks; it must stay "
        f"online until its bonds are spent.",
        f"An undisputed claim is paid {parameters.delta_claim} blocks after it is made; a disputed one after "
        f"{parameters.delta_long} at most. The longest game takes {parameters.longest_game}.",
        f"Moves are answered {parameters.confirmations} blocks deep; a deeper reorganisation is outside the "
        f"guarantees, and so are feerates above {parameters.fee_ceiling} sat/vB.",
        f"A claim covers {parameters.steps:,} steps; {parameters.claims} can be made. Of a slashed bond of "
        f"{parameters.bond:,} sat the challenger gets {parameters.reward:,} and {parameters.burn:,} are burnt.",
    ]
    if parameters.attesters:
        found.append(
            f"{parameters.quorum} of {parameters.attesters} attesters must hold the input before it is claimed: the "
            f"bytes are there as long as fewer than {parameters.quorum} of them are hostile."
        )
    else:
        found.append("Nobody attests that the input's bytes are there: a challenger that cannot get them cannot judge.")
    return found


def _print_meaning(console: Console, meaning: Meaning) -> None:
    plan = meaning.plan
    console.print(said(f"{plan.name} on {plan.network}", "bold"))
    console.print(f"plan     digest {meaning.digest.hex()}", soft_wrap=True)
    checked = "checked" if meaning.program_checked else "not checked: give --program"
    console.print(f"program  SHA256 {plan.program.hex()}, {checked}", soft_wrap=True)
    console.print("\nWhat is guaranteed")
    for guarantee in meaning.guarantees:
        console.print(said(f"  - {guarantee}"))
    rows = [(party, each.contribution, each.fund_fee, each.fees, each.total) for party, each in meaning.money.items()]
    columns = ("party", "into Fund", "fee of Fund", "worst case's fees", "needed in all")
    console.print()
    console.print(table_of(columns, rows, "Money, in satoshi"))
    people = [(party, planned.identity.hex(), planned.address or "") for party, planned in plan.parties.items()]
    console.print(table_of(("party", "identity", "answers at"), people, "Who takes part"))
    console.print(f"Challengers join at {plan.setup_address}.")


# ---- run


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, metavar="PLAN", help="the plan")
    parser.add_argument("--program", type=Path, required=True, metavar="ELF", help="the program that the plan is about")


def _run(arguments: argparse.Namespace) -> int:
    return take_part(SIDE, arguments)


def take_part(side: Side, arguments: argparse.Namespace) -> int:
    """Take part in the set-up of a plan, as its prover or one of its challengers; tells the progress."""
    plan = SetupPlan.load(arguments.plan)
    told = new_console(error=True)

    def tell(standing: Standing) -> None:
        told.print(said(f"{plan.name}: {standing}"))

    with (
        open_desk(arguments, side) as desk,
        RemoteNode(desk.config.node.access) as node,
        desk.own_purse(node) as purse,
    ):
        snapshot = from_home(desk)
        kept = 0 if snapshot.wallet is None else snapshot.wallet.reserve
        listen = desk.config.setup_listen if side.role == PROVER else None

        async def run() -> Ended:
            archive = await enrol(
                desk.home,
                plan,
                arguments.program,
                node,
                purse,
                kept=kept,
                tell=tell,
                listen=None if listen is None else Address(listen.host, listen.port),
            )
            fund = archive.graph["Fund"].txid[::-1].hex()
            return Ended(plan.name, archive.party, archive.setup_id.hex(), fund)

        ended = trio.run(run)
    answer(arguments, ended, _show_ended)
    return FINE


def _show_ended(console: Console, ended: Ended) -> None:
    console.print(f"{ended.setup}: the set-up has ended; we are {ended.party}", soft_wrap=True)
    console.print(f"Fund  {ended.fund}; the prover's daemon sends it", soft_wrap=True)
    console.print("Make a backup now.")
