"""A match told to people while it happens: who does what, in which transaction, of what size, in which block."""

from __future__ import annotations

import os
import sys

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bitvm.game.moves import Move
from regtest.cases import Case, Seats
from regtest.match import Confirmation, Narrator
from regtest.matrix import CaseResult
from regtest.players import Played
from regtest.scenario import Prepared, Scenario
from regtest.simulate import Result

STYLES = {"prover": "cyan", "challenger": "magenta"}

PIPED_WIDTH = 120
"""Columns where standard output is no terminal, and the variable COLUMNS does not tell them."""

NAME_WIDTH = len("TakeStake_after_Challenge")
"""Columns for the name of a transaction, without its game's number; longer ones are broken before ``_after_``."""


def new_console(*, quiet: bool) -> Console:
    """Return a console on standard output; ``quiet`` for one that prints nothing."""
    knows_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(quiet=quiet, highlight=False, width=None if knows_width else PIPED_WIDTH)


def styled(party: str) -> str:
    """Return a party's name with its colour."""
    return f"[{STYLES[party.rstrip('0123456789')]}]{party}[/]"


class ConsoleNarrator(Narrator):
    """Prints one line a confirmed transaction; what does not fit into the last column goes on below itself."""

    def __init__(self, console: Console, challengers: int) -> None:
        """Print to ``console``; with one challenger the game's number is left out of names."""
        self._console = console
        self._challengers = challengers
        self._name_width = NAME_WIDTH + (len(f"{challengers}/") if challengers > 1 else 0)
        self._line("[dim]block", "[dim]party", "[dim]transaction", "[dim]vB", "[dim]what")

    def played(self, played: Played) -> None:
        """Say nothing: the confirmation tells more."""

    def silent(self, party: str, move: Move) -> None:
        """Say that a party lets a move pass."""
        name = self._broken(short_name(move.template, self._challengers))
        self._line("", styled(party), name, "", "[yellow]stays silent[/]")

    def confirmed(self, confirmation: Confirmation) -> None:
        """Tell one transaction."""
        name = self._broken(short_name(confirmation.name, self._challengers))
        size = f"{confirmation.vsize:,}"
        party = styled(confirmation.party)
        self._line(str(confirmation.height), party, f"[bold]{name}[/]", size, escape(confirmation.why))

    def _broken(self, name: str) -> str:
        """Return a name in two lines where one has no room for it."""
        if len(name) <= self._name_width:
            return name
        before, separator, after = name.rpartition("_after_")
        return f"{before}\n{separator}{after}"

    def _line(self, block: str, party: str, name: str, size: str, what: str) -> None:
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_column(justify="right", width=7)
        line.add_column(width=len(f"challenger{self._challengers}"), no_wrap=True)
        line.add_column(width=self._name_width, no_wrap=True)
        line.add_column(justify="right", width=len("12,345"))
        line.add_column()
        line.add_row(block, party, name, size, what)
        self._console.print(line)


def short_name(name: str, challengers: int) -> str:
    """Return a transaction's name, without the game's number where there is one game only."""
    return name.rpartition("/")[2] if challengers == 1 else name


def introduce(console: Console, scenario: Scenario, prepared: Prepared) -> None:
    """Say what is about to be played."""
    true, parameters = prepared.true, prepared.parameters
    console.rule(f"[bold]{_title(scenario)}")
    console.print(
        f"Program [bold]{scenario.program}[/] runs {true.executed:,} steps of RV32IM and exits with 0. "
        f"A claim covers {parameters.width}^{parameters.levels} = {parameters.steps:,} steps."
    )
    console.print(f"  state before   {parameters.image_root.hex()}")
    console.print(f"  state after    {true.final_root.hex()}")
    if prepared.lie is not None:
        console.print(f"  the prover's   {prepared.claimed.final_root.hex()}")
        console.print(f"The prover lies at step {prepared.lie_step:,}: {prepared.lie.meaning}.")
    if scenario.accuse is not None:
        console.print(f"A challenger accuses the prover falsely, pointing at step {scenario.accuse:,}.")
    console.print()


def _title(scenario: Scenario) -> str:
    if scenario.lie is not None:
        return "A false claim"
    return "An honest claim" if scenario.accuse is None else "An honest claim, falsely accused"


def conclude(console: Console, result: Result) -> None:
    """Print the table of costs and the verdict."""
    totals = result.totals()
    table = new_table("party", "transactions", "vbytes")
    for party, vsize in totals["vsize"].items():
        count = sum(confirmation.party == party for confirmation in result.confirmations)
        table.add_row(styled(party), str(count), f"{vsize:,}")
    table.add_section()
    table.add_row("after the claim", str(totals["dispute_transactions"]), f"{totals['dispute']:,}")
    table.add_row("all", str(len(result.confirmations)), f"{totals['all']:,}")
    console.print("\nCost in virtual bytes, fee children apart")
    console.print(table)
    silence = result.scenario.silence
    if silence is not None and not result.fell_silent:
        console.print(f"[yellow]The {silence.party} never came to {silence.template}, so it never fell silent.[/]")
    console.print(f"Set-up: {result.setup.seconds:.2f} s, {result.setup.exchanged:,} bytes exchanged by all parties.")
    colour = STYLES.get(result.outcome.winner.rstrip("0123456789"), "white")
    console.print(f"[bold {colour}]{result.outcome.winner} wins:[/] {result.outcome.reason}.")


def introduce_case(console: Console, case: Case, seats: Seats) -> None:
    """Say which case of the matrix is about to be played."""
    parameters = seats.parameters
    console.rule(f"[bold]{case.name}")
    console.print(case.story, markup=False)
    console.print(
        f"A claim covers {parameters.width}^{parameters.levels} = {parameters.steps:,} steps. "
        f"{styled(case.winner)} must win.\n"
    )


def conclude_case(console: Console, result: CaseResult) -> None:
    """Print what a case cost, and whether it came out as it must."""
    table = new_table("party", "transactions", "vbytes")
    for role, vbytes in result.vbytes.items():
        count = sum(t.party.startswith(role) and t.name != "Fund" for t in result.played)
        table.add_row(styled(role), str(count), f"{vbytes:,}")
    table.add_section()
    table.add_row("all", str(result.transactions), f"{sum(result.vbytes.values()):,}")
    console.print("\nCost in virtual bytes, Fund and fee children apart")
    console.print(table)
    colour = STYLES.get(result.winner.rstrip("0123456789"), "white")
    console.print(f"[bold {colour}]{result.winner} wins[/] after {result.blocks} blocks.")
    if result.ok:
        console.print("[green]ok:[/] that is what must happen.")
    else:
        console.print(f"[bold red]WRONG:[/] {escape(result.why_not)}.")


def new_table(name: str, *figures: str) -> Table:
    """Return an empty table: one column of names, and columns of figures."""
    table = Table()
    table.add_column(name)
    for heading in figures:
        table.add_column(heading, justify="right")
    return table


def progress_bar(console: Console, unit: str) -> Progress:
    """Return a bar that counts in ``unit`` (a plural), and shows on a terminal only."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} " + unit),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=console.quiet or not console.is_terminal,
    )
