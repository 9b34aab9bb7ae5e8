"""``show``: one set-up as a tree of its confirmed transactions, with what each said, and what comes next."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from bitvm.daemon.commands.desk import SetupView, Side, open_desk
from bitvm.daemon.commands.framework import FINE, Command, CommandError, HelpText, answer, said
from bitvm.daemon.commands.outlook import short_name
from bitvm.daemon.commands.show_page import render
from bitvm.daemon.commands.story import Scope, Shown, Story, story_of
from bitvm.files import write_over
from bitvm.pages.markup import DOCTYPE

_STYLES = {"prover": "cyan", "challenger": "magenta"}


def commands(side: Side) -> tuple[Command, ...]:
    """Return the command."""
    text = HelpText(
        "a set-up as a tree of its transactions",
        """\
Show what was played in a set-up: every confirmed transaction below the one that it continues, with its block, size, who
sent it, and what it said, read from its witness. Then, for every game that runs: whose move it is, how many blocks are
left for it, and what happens if it does not come. Fees are known of our own transactions; they are what our children
pay.

--html writes the same as a page too, with a picture: one file without scripts that needs no network. A page that is
there is replaced, a file of another kind is not. What is printed stays the same, also with --json.""",
        f"""\
examples:
  {side.program} show ledger-1
  {side.program} show ledger-1 --claim 2 --game 1
  {side.program} show ledger-1 --html ledger-1.html
  {side.program} show ledger-1 --json | jq '.games[] | select(.owed) | .text'""",
    )
    return (Command("show", text, partial(_show, side), _add),)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("setup", metavar="SETUP", help="the name of a finished set-up")
    parser.add_argument("--claim", type=int, metavar="N", help="this claim alone, from 1")
    parser.add_argument("--game", type=int, metavar="I", help="the game of challenger I alone, from 1")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page too; a page that is there is replaced")


def _show(side: Side, arguments: argparse.Namespace) -> int:
    with open_desk(arguments, side) as desk:
        (view,) = desk.views(arguments.setup)
        check_range(view, "--claim", arguments.claim, view.plan.parameters.claims)
        check_range(view, "--game", arguments.game, view.plan.parameters.challengers)
        scope = Scope(arguments.claim, arguments.game)
        story = story_of(desk, view, scope)
    if arguments.html is not None:
        write_page(arguments.html, render(story, view.archive.graph, scope, datetime.now(UTC)))
    answer(arguments, story, show_story)
    return FINE


def check_range(view: SetupView, option: str, value: int | None, highest: int) -> None:
    """Raise CommandError for a number that the set-up does not have."""
    if value is not None and not 1 <= value <= highest:
        raise CommandError(f"{option} {value}: {view.name} has 1 to {highest}")


def write_page(path: Path, page: str) -> None:
    """Write a page, readable by all, in the place of one that may be there; raises CommandError."""
    try:
        if not path.absolute().parent.is_dir():
            raise CommandError(f"--html {path}: there is no folder {path.parent}")
        if path.exists() and not _is_page(path):
            raise CommandError(f"--html {path}: exists and is no page; give another name")
        write_over(path, page.encode(), 0o644)
    except OSError as error:
        raise CommandError(f"--html {path}: cannot be written: {error.strerror}") from error


def _is_page(path: Path) -> bool:
    """Whether a file begins like a page: a slip of the hand must not replace a seed."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(DOCTYPE)) == DOCTYPE.encode()


# ---- what is printed


def show_story(console: Console, story: Story) -> None:
    """Print the tree, and what comes next."""
    console.print(said(f"{story.setup}, as {story.party}, block {story.height:,}", "bold"))
    if story.problem:
        console.print(said(f"{story.problem}; shown as of that block", "yellow"))
    branches: dict[str, Tree] = {}
    roots: list[Tree] = []
    for shown in story.transactions:
        above = branches.get(shown.parent or "")
        branch = Tree(_line(shown), guide_style="dim")
        (roots if above is None else above.children).append(branch)
        branches[shown.name] = branch
    for root in roots:
        console.print(root)
    if not story.transactions:
        console.print(said("Nothing is confirmed yet.", "dim"))
    if story.waiting:
        console.print(said(f"in the mempool: {', '.join(story.waiting)}"))
    for game in story.games:
        style = "bold" if game.owed is not None else "dim"
        console.print(said(f"claim {game.slot}, game of challenger{game.challenger}: {game.text}", style))
    console.print(said(f"our fees so far: {story.spent:,} sat"))


def _line(shown: Shown) -> Text:
    style = _STYLES[shown.party.rstrip("0123456789")]
    line = Text()
    line.append(short_name(shown.name), style=f"bold {style}")
    line.append(f"  {shown.party}, block {shown.height:,}, {shown.vsize:,} vB", style="dim")
    if shown.fee:
        line.append(f", {shown.fee:,} sat", style="dim")
    if shown.said:
        line.append(f"\n{shown.said}")
    return line
