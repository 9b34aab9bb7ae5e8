"""``init``, ``run``, ``backup``, ``restore``: the life of a home."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from bitvm.chain.keys import address
from bitvm.chain.purse import PREFIXES
from bitvm.daemon.backup import backup, restore
from bitvm.daemon.commands.desk import Side
from bitvm.daemon.commands.framework import FINE, Command, CommandError, HelpText, answer, config_path
from bitvm.daemon.config import Config
from bitvm.daemon.example import example
from bitvm.daemon.home import Home


@dataclass(frozen=True, slots=True)
class Made:
    """A home: identity (64 hex digits, for the other parties) and the address that takes money for fees."""

    home: Path
    role: str
    identity: str
    address: str


def commands(side: Side) -> tuple[Command, ...]:
    """Return the four commands."""
    program = side.program
    init = HelpText(
        "make the home of the configuration",
        """\
Make the data folder that the configuration names: a new seed, a new identity, an empty journal. Prints the identity,
which goes into the plans of set-ups, and the wallet's address, which takes the money for set-ups and fees. With
--example, prints a configuration to start from, and makes nothing.""",
        f"""\
examples:
  {program} init --example > {side.role}.yaml
  {program} init --config {side.role}.yaml""",
    )
    run = HelpText(
        "run the daemon",
        f"""\
Run the {side.role}'s daemon until SIGTERM or Ctrl-C. It can be killed at any point and goes on where it was. One daemon
a home; the log goes to standard error.""",
        f"""\
examples:
  {program} run --config {side.role}.yaml
  BITVM_LOG_FORMAT=json {program} run --config {side.role}.yaml 2>> {side.role}.log""",
    )
    back = HelpText(
        "write a backup, running daemon or not",
        """\
Write one file with everything but the seed: journal, set-ups, wallet, inputs. Keep the seed apart, or put it in with
--with-seed and guard the file like money. Make a backup after every set-up.""",
        f"""\
examples:
  {program} backup /backups/{side.role}-$(date +%F).tar
  {program} backup everything.tar --with-seed""",
    )
    bring = HelpText(
        "make the home from a backup",
        """\
Make the data folder that the configuration names from a backup. It must not exist, or be empty. The daemon then signs
nothing until it knows again what was signed since the backup. Never run a restored home beside the one that it came
from.""",
        f"""\
examples:
  {program} restore {side.role}-2026-01-31.tar --seed /safe/seed
  {program} restore everything.tar""",
    )
    return (
        Command("init", init, partial(_init, side), _add_init),
        Command("run", run, partial(_run, side)),
        Command("backup", back, partial(_backup, side), _add_backup),
        Command("restore", bring, partial(_restore, side), _add_restore),
    )


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--example", action="store_true", help="print a configuration with every field explained")


def _add_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file")
    parser.add_argument("--with-seed", action="store_true", help="put the seed in, too")


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="a backup")
    parser.add_argument("--seed", type=Path, metavar="FILE", help="the seed, where the backup does not hold it")


def _init(side: Side, arguments: argparse.Namespace) -> int:
    if arguments.example:
        if arguments.json:
            raise CommandError("--json: the example is YAML, with comments; leave --json out")
        print(example(side.role), end="")
        return FINE
    config = Config.load(config_path(arguments), side.role)
    answer(arguments, made_of(Home.create(config.data_dir, side.role), config), _show_made)
    return FINE


def made_of(home: Home, config: Config) -> Made:
    """Return what the others and the operator need to know of a home."""
    script = home.wallet_key().script_pubkey
    return Made(home.path, home.role, home.identity.public.hex(), address(script, PREFIXES[config.network]))


def _show_made(console: Console, made: Made) -> None:
    console.print(f"home      {made.home}", soft_wrap=True)
    console.print(f"role      {made.role}")
    console.print(f"identity  {made.identity}", soft_wrap=True)
    console.print(f"address   {made.address}", soft_wrap=True)


def _run(side: Side, arguments: argparse.Namespace) -> int:
    if arguments.json:
        raise CommandError("--json: the daemon answers nothing; set log.format to json for a log in JSON")
    side.run(Config.load(config_path(arguments), side.role))
    return FINE


def _backup(side: Side, arguments: argparse.Namespace) -> int:
    home = Home.open(Config.load(config_path(arguments), side.role).data_dir, side.role)
    backup(home.path, arguments.file, with_seed=arguments.with_seed)
    written = {
        "file": str(arguments.file.absolute()),
        "bytes": arguments.file.stat().st_size,
        "with_seed": arguments.with_seed,
    }
    answer(arguments, written, _show_backup)
    return FINE


def _show_backup(console: Console, written: dict[str, object]) -> None:
    seed = "with the seed: guard it like money" if written["with_seed"] else "without the seed"
    console.print(f"{written['file']}: {written['bytes']:,} bytes, {seed}", soft_wrap=True)


def _restore(side: Side, arguments: argparse.Namespace) -> int:
    config = Config.load(config_path(arguments), side.role)
    restore(arguments.file, config.data_dir, seed_file=arguments.seed, role=side.role)
    answer(arguments, made_of(Home.open(config.data_dir, side.role), config), _show_restored)
    return FINE


def _show_restored(console: Console, made: Made) -> None:
    _show_made(console, made)
    console.print("The daemon will sign nothing until it knows again what was signed since the backup.")
