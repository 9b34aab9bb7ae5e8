"""The tables that ``regtest`` prints: costs, the matrix with its coverage and control, guarantees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bitvm.graph.costs import kind_of
from regtest.control import Control
from regtest.costs import PRE_SIGNED_LIMIT, TARGETS, Costs, LeafCost, family_of
from regtest.coverage import Coverage
from regtest.guarantees import Guarantee, Guarantees
from regtest.matrix import CaseResult
from regtest.narrate import new_table, styled

TARGET_LEVELS = 5
"""The targets of scenarios are those of a game of so many levels."""

FIGURE_WIDTH = 50
"""Columns for the name of a figure."""

GUARANTEE_COLUMNS = {"who": 16, "does what": 34, "blocks": 6, "sat": 10, "or else": 18, "shown by": 20}

# ---- costs


def print_costs(console: Console, found: Costs, levels: int, *, everything: bool) -> None:
    """Print the tables of ``regtest costs``; without ``everything`` one line a kind of transaction or family of leaves.

    A line that stands for several has their number, and the figures of the largest.
    """
    console.print("Transactions, at most")
    console.print(_transactions(found, everything=everything))
    console.print("\nLeaves: bytes of script, and weight of the whole witness at most")
    console.print(_leaves(found.leaves, everything=everything))
    console.print("\nScenarios; a dispute without its claim, fee children apart")
    console.print(_scenarios(found, levels))
    if not everything:
        console.print("A line with a number stands for so many, by the largest; --all prints each.")


def _transactions(found: Costs, *, everything: bool) -> Table:
    table = new_table("transaction", "vbytes", "weight")
    for name, members in _grouped(found.transactions, kind_of, apart=everything).items():
        vsize, weight = max(found.transactions[member] for member in members)
        large = "  [dim]pays for itself[/]" if vsize >= PRE_SIGNED_LIMIT else ""
        table.add_row(_counted(name, members) + large, f"{vsize:,}", f"{weight:,}")
    return table


def _leaves(leaves: Mapping[str, LeafCost], *, everything: bool) -> Table:
    table = new_table("leaf", "script bytes", "weight")
    for name, members in _grouped(leaves, family_of, apart=everything).items():
        largest = max((leaves[member] for member in members), key=lambda leaf: leaf.weight)
        table.add_row(_counted(name, members), f"{largest.script_bytes:,}", f"{largest.weight:,}")
    return table


def _scenarios(found: Costs, levels: int) -> Table:
    table = new_table("scenario", "transactions", "prover", "challenger", "vbytes", "at most")
    for name, cost in found.scenarios.items():
        target = TARGETS.get(name) if levels == TARGET_LEVELS else None
        colour = "green" if target is not None and cost.vsize <= target else "red"
        by_party = [f"{vbytes:,}" for vbytes in cost.vbytes.values()]
        limit = "" if target is None else f"[{colour}]{target:,}[/]"
        table.add_row(name, str(cost.transactions), *by_party, f"{cost.vsize:,}", limit)
    return table


def _grouped(names: Iterable[str], group: Callable[[str], str], *, apart: bool) -> dict[str, list[str]]:
    """Return names by their group, in order; each by itself if they are to stay ``apart``."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name if apart else group(name), []).append(name)
    return found


def _counted(name: str, members: Sequence[str]) -> str:
    return name if len(members) == 1 else f"{name} [dim]x {len(members)}[/]"


# ---- the matrix


class CaseLines:
    """Prints one line a case, in columns that fit all of them."""

    def __init__(self, console: Console, names: Sequence[str]) -> None:
        """Print to ``console``; ``names`` are those of all cases."""
        self._console = console
        self._width = max(map(len, names))
        header = f"{'case':<{self._width}}  {'winner':<12}{'tx':>4}{'prover':>9}{'challenger':>12}{'blocks':>8}"
        console.print(f"[dim]       {header}[/]")

    def print(self, result: CaseResult) -> None:
        """Print one case: transactions, vbytes a party, blocks; below it what is wrong, if it is."""
        verdict = "[green]ok   [/]" if result.ok else "[bold red]WRONG[/]"
        prover, theirs = result.vbytes["prover"], result.vbytes["challenger"]
        figures = f"{result.transactions:>4}{prover:>9,}{theirs:>12,}{result.blocks:>8,}"
        pad = " " * (12 - len(result.winner))
        winner = styled(result.winner) if result.winner != "nobody" else "nobody"
        line = f"{verdict}  {result.name:<{self._width}}  {winner}{pad}{figures}"
        self._console.print(line, soft_wrap=True)
        if not result.ok:
            self._console.print(f"       [red]{escape(result.why_not)}[/]", soft_wrap=True)


def summary(console: Console, results: Sequence[CaseResult]) -> None:
    """Print how many cases are right, and repeat the names of those that are not."""
    wrong = [result for result in results if not result.ok]
    played = sum(result.transactions for result in results)
    vbytes = sum(sum(result.vbytes.values()) for result in results)
    console.print(f"\n{len(results)} cases, {played:,} transactions, {vbytes:,} vB.")
    if not wrong:
        console.print("[bold green]All of them came out as they must.[/]")
        return
    console.print(f"[bold red]{len(wrong)} came out wrong:[/]")
    for result in wrong:
        console.print(f"  {result.name}: {escape(result.why_not)}", soft_wrap=True)


def print_coverage(console: Console, covered: Coverage) -> None:
    """Print what the cases have not used."""
    kinds, families = covered.unused_kinds, covered.unused_families
    console.print(
        f"\nUsed: {len(covered.kinds) - len(kinds)} of {len(covered.kinds)} kinds of transactions, "
        f"{len(covered.families) - len(families)} of {len(covered.families)} families of leaves."
    )
    for what, unused in (("transactions", kinds), ("leaves", families)):
        if unused:
            console.print(f"[yellow]No case uses these {what}:[/] {', '.join(unused)}")


def print_control(console: Console, found: Sequence[Control]) -> None:
    """Print what goes wrong without each family of leaves."""
    table = Table()
    table.add_column("hidden", no_wrap=True)
    table.add_column("then goes wrong")
    for item in found:
        if item.goes_wrong:
            wrong = [*item.lost, *(f"{name} [dim](won otherwise)[/]" for name in item.otherwise)]
            table.add_row(item.family, ", ".join(wrong))
        else:
            table.add_row(item.family, "[red]nothing[/]" if item.unmoved else "[yellow]no case uses it[/]")
    console.print("\nControl experiment: with these leaves hidden, what goes wrong")
    console.print(table)
    vacuous = [item.family for item in found if item.unmoved and not item.goes_wrong]
    if vacuous:
        console.print(f"[bold red]Cases that cannot fail rest on:[/] {', '.join(vacuous)}")


# ---- guarantees


def print_guarantees(console: Console, found: Guarantees) -> None:
    """Print the tables of ``regtest guarantees``."""
    for purpose, lines in groupby(found.lines, lambda line: line.purpose):
        console.print(f"[bold]{purpose}[/]")
        table = Table(box=SIMPLE, pad_edge=False)
        for heading, width in GUARANTEE_COLUMNS.items():
            table.add_column(heading, width=width, justify="right" if heading in ("blocks", "sat") else "left")
        for line in lines:
            table.add_row(_who(line.who), line.must, *_optional(line.blocks, line.sats), line.otherwise, _listed(line))
        console.print(table)
    moves = new_table("move", "by", "vbytes", "sat", "within blocks")
    for move in found.moves:
        blocks, sats = _optional(move.blocks, move.sats)
        moves.add_row(move.name, styled(move.party), f"{move.vbytes:,}", sats, blocks or "any time")
    console.print(f"What moves take at most, children included, at {found.feerate:g} sat/vB")
    console.print(moves)
    for group, figures in groupby(found.figures, lambda figure: figure.group):
        console.print(f"\n[bold]{group}[/]")
        grid = Table.grid(padding=(0, 2, 0, 2))
        grid.add_column(width=FIGURE_WIDTH)
        grid.add_column(justify="right", width=len("123,456,789"))
        grid.add_column()
        for figure in figures:
            whole = figure.value == int(figure.value)
            grid.add_row(figure.name, f"{figure.value:,.0f}" if whole else f"{figure.value:,.1f}", figure.unit)
        console.print(grid)
    console.print("\n[bold]Checks[/]")
    for check in found.checks:
        verdict = "[green]holds   [/]" if check.holds else "[bold red]VIOLATED[/]"
        console.print(f"  {verdict}  {check.what}")


def _optional(*values: int | None) -> tuple[str, ...]:
    return tuple("" if value is None else f"{value:,}" for value in values)


def _listed(line: Guarantee) -> str:
    return "\n".join(line.cases)


def _who(who: str) -> str:
    return styled(who) if who == "prover" else who
