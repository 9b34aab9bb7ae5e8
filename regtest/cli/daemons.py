"""``regtest daemons``: the whole as processes on a real node; ``regtest hostile``: a daemon that does not play fair."""

from __future__ import annotations

import argparse
import json
import signal
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from bitvm.game.ending import ending
from bitvm.game.position import Position
from bitvm.graph.claim import BOND
from bitvm.graph.model import PROVER, challenger
from bitvm.graph.parameters import Parameters
from bitvm.script.weight import vsize
from lvm.elf import load_elf
from lvm.guest import elf_path
from regtest.cli.nodes import Commands, provide
from regtest.hostile import LIES
from regtest.hostile_daemons import run_accuser, run_liar
from regtest.narrate import new_console, new_table, styled
from regtest.scenario import SIEVE_INPUTS, ScenarioError
from regtest.stage import Stage

SETUP = "sieve-1"
HONEST, ASLEEP, HOSTILE = "honest", "asleep", "hostile"

DESCRIPTION = """\
Play whole disputes with the real daemons: a node under its default policy, a home and a process for every party, the
set-up over TLS between them, and kill -9 in the middle of the game.

scenes:
  liar      a lying prover against three challengers: one honest, one asleep, one hostile. The bond is slashed; the
            others are compensated and take their stakes home
  accused   an honest prover against two hostile challengers that accuse it without cause. It is paid, and has their
            stakes

examples:
  regtest daemons                       both scenes, one after the other
  regtest daemons --scene liar --levels 3
  regtest daemons --scene accused --json | jq .outcome
"""

HOSTILE_DESCRIPTION = """\
Run the daemon of a home as it would be run by somebody dishonest: a prover that tells a lie about what it ran, or a
challenger that accuses a true claim. On a private chain only; whoever does this with money loses it.
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Who plays: whether the prover lies, and what each challenger is."""

    title: str
    liar: bool
    challengers: tuple[str, ...]


SCENES = {
    "liar": Scene("A lying prover, and three challengers", True, (HONEST, ASLEEP, HOSTILE)),
    "accused": Scene("An honest prover, and two challengers that accuse it falsely", False, (HOSTILE, HOSTILE)),
}


def add(commands: Commands) -> None:
    """Add the commands."""
    play = commands.add_parser(
        "daemons",
        help="play disputes with real processes on a real node",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    play.add_argument("--scene", choices=tuple(SCENES), help="one scene alone (default: all)")
    play.add_argument("--levels", type=int, default=2, metavar="M", help="bisection levels of 64 (default 2)")
    play.add_argument("--json", action="store_true", help="write JSON instead of a story")
    play.set_defaults(run=_play)
    hostile = commands.add_parser(
        "hostile",
        help="run a daemon that does not play fair",
        description=HOSTILE_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hostile.add_argument("--config", type=Path, required=True, metavar="FILE", help="the daemon's configuration")
    kind = hostile.add_mutually_exclusive_group(required=True)
    kind.add_argument("--lie", choices=tuple(LIES), help="the prover tells this lie")
    kind.add_argument("--accuse", type=int, metavar="STEP", help="the challenger disputes this step of a true claim")
    hostile.add_argument("--step", type=int, metavar="STEP", help="where the lie is told (default: it is searched for)")
    hostile.set_defaults(run=_hostile)


def _hostile(options: argparse.Namespace) -> None:
    if options.lie is not None:
        run_liar(options.config, options.lie, options.step)
    else:
        run_accuser(options.config, options.accuse)


def _play(options: argparse.Namespace) -> None:
    if not 1 <= options.levels <= max(levels for levels, _ in SIEVE_INPUTS):
        raise ScenarioError(f"--levels {options.levels}: 1 to 5 needed")
    console = new_console(quiet=options.json)
    provide(console)
    scenes = [options.scene] if options.scene else list(SCENES)
    results = [_play_scene(name, SCENES[name], options.levels, console) for name in scenes]
    if options.json:
        print(json.dumps(results if len(results) > 1 else results[0], indent=2))


def _play_scene(name: str, scene: Scene, levels: int, console: Console) -> dict[str, Any]:
    console.rule(f"[bold]{scene.title}")
    program = elf_path("sieve")
    with (
        tempfile.TemporaryDirectory(prefix="daemons-", ignore_cleanup_errors=True) as folder,
        Stage(Path(folder), _parameters(program, scene, levels), program) as stage,
    ):
        return _Director(stage, name, scene, console).run(_input(levels))


def _parameters(program: Path, scene: Scene, levels: int) -> Parameters:
    image = load_elf(program)
    number = len(scene.challengers)
    base = Parameters(image.root(), entry=image.entry, levels=levels, challengers=number, confirmations=1, delta=6)
    return replace(base, delta_claim=10, delta_long=10 + base.longest_game)


def _input(levels: int) -> bytes:
    return next(text for least, text in SIEVE_INPUTS if levels >= least).encode()


class _Director:
    """Plays one scene and tells it."""

    def __init__(self, stage: Stage, name: str, scene: Scene, console: Console) -> None:
        self._stage, self._name, self._scene, self._console = stage, name, scene, console
        self._told: set[str] = set()
        self._lines: list[dict[str, Any]] = []
        self._killed: list[str] = []

    def run(self, data: bytes) -> dict[str, Any]:
        """Play to the end; return everything that was told as JSON values."""
        stage, console = self._stage, self._console
        console.print(f"Node: {stage.node.version}, default policy, process {stage.node.pid}")
        stage.fund()
        stage.set_up(SETUP)
        console.print(
            f"Set-up of {len(stage.actors)} parties over TLS: graph {stage.archives[SETUP].graph.hash().hex()}"
        )
        self._cast()
        stage.queue_claim(SETUP, data)
        for name in stage.actors:
            if name != PROVER:
                stage.give_input(name, SETUP, data)
        stage.start(*(name for name in stage.actors if self._part(name) != ASLEEP))
        self._play_to_the_end()
        stage.settle()
        return self._conclude()

    def _part(self, name: str) -> str:
        if name == PROVER:
            return HOSTILE if self._scene.liar else HONEST
        return self._scene.challengers[int(name.removeprefix(challenger(0)[:-1])) - 1]

    def _cast(self) -> None:
        for name, actor in self._stage.actors.items():
            part = self._part(name)
            if part == HOSTILE:
                crime = ["--lie", "written"] if name == PROVER else ["--accuse", "500"]
                actor.command = ["regtest", "hostile", *crime]
            self._console.print(f"  {styled(name)} is {part}")
        self._console.print()

    def _play_to_the_end(self) -> None:
        """Mine until every stake and the bond are where they belong; kill a daemon on the way."""
        parameters = self._stage.parameters
        for _ in range(parameters.delta_claim + parameters.delta_long + 60):
            self._tell()
            position = self._stage.position(SETUP)
            if self._is_over(position):
                return
            self._kill_once(position)
            self._stage.mine()
        raise ScenarioError("the scene has not ended; this is a bug")

    def _is_over(self, position: Position) -> bool:
        """Whether bond and games are decided, that is buried, and no stake of a daemon that runs is left behind."""
        spender = position.spent_by("Claim", BOND) if position.has("Claim") else None
        if spender is None or not position.buried(spender):
            return False
        games = range(1, self._stage.parameters.challengers + 1)
        ended = all(ending(position, n) is not None for n in games if position.has(f"{n}/Challenge"))
        return ended and not any(self._stake_left(number) for number in games)

    def _stake_left(self, number: int) -> bool:
        fund = self._stage.archives[SETUP].graph["Fund"]
        if self._part(challenger(number)) == ASLEEP:
            return False
        return self._stage.chain.spender(fund.outpoint(f"stake_{number}")) is None

    def _kill_once(self, position: Position) -> None:
        """Kill each honest daemon once, with its game in full swing, and start it again."""
        for name, moment in ((PROVER, "1/Choice_1"), (challenger(1), "1/Reveal_2")):
            if position.has(moment) and name not in self._killed and self._part(name) == HONEST:
                self._stage.actors[name].end(signal.SIGKILL)
                self._stage.actors[name].start()
                self._killed.append(name)
                self._console.print(f"         {styled(name)} [yellow]kill -9, started again[/]")

    def _tell(self) -> None:
        position = self._stage.position(SETUP)
        fresh = [(seen.height, name) for name, seen in position.confirmed.items() if name not in self._told]
        for height, name in sorted(fresh):
            self._told.add(name)
            template = position.graph[name]
            size = vsize(position.confirmed[name].transaction)
            self._lines.append({"height": height, "party": template.mover, "name": name, "vsize": size})
            self._console.print(f"{height:>7}  {styled(template.mover):<32} [bold]{name:<34}[/] {size:>7,} vB")

    def _conclude(self) -> dict[str, Any]:
        position = self._stage.position(SETUP)
        spender = position.spent_by("Claim", BOND)
        table = new_table("party", "part", "satoshi in its wallet")
        balances = dict(self._balances())
        for name, balance in balances.items():
            table.add_row(styled(name), self._part(name), f"{balance:,}")
        self._console.print(table)
        outcome = "slashed" if spender is not None and "Slash" in spender else "paid"
        words = f"The bond was {outcome}, by {spender}. "
        games = range(1, self._stage.parameters.challengers + 1)
        endings = {challenger(n): ending(position, n) for n in games}
        words += "; ".join(f"{name}: {how or 'played no game'}" for name, how in endings.items())
        self._console.print(textwrap.fill(escape(words), 110))
        return {
            "scene": self._name,
            "outcome": outcome,
            "spender": spender,
            "games": endings,
            "killed": self._killed,
            "balances": balances,
            "transactions": self._lines,
        }

    def _balances(self) -> Iterator[tuple[str, int]]:
        for name, actor in self._stage.actors.items():
            script = actor.home().wallet_key().script_pubkey
            coins = self._stage.remote.coins_of(script)
            yield name, sum(coin.output.nValue for coin in coins.values())
