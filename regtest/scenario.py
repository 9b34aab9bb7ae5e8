"""What a simulation plays: program, input, lie, silence, and who accuses, checked before anything is mined."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bitvm.game.computation import Computation, Execution, Progress
from bitvm.graph.costs import reference_graph
from bitvm.graph.graph import Graph
from bitvm.graph.model import PROVER, all_parties, challenger
from bitvm.graph.parameters import ParameterError, Parameters
from lvm.boot import InputTooLargeError
from lvm.elf import ElfError, Image, load_elf
from lvm.guest import EXAMPLES, elf_path
from lvm.layout import HASH_BYTES
from lvm.machine import Engine
from regtest.hostile import LIES, Lie, LieError, tell
from regtest.players import Silence

SAMPLE_INPUTS = {
    "ledger": "open alice 1000\nopen bob 500\nopen carol 0\npay alice bob 120\npay bob carol 75\npay carol alice 5\n",
    "quicksort": "31 -4 159 26 -535 8979 323 84 626 -433 83 27 950 2884 -197 1693\n",
    "sha256": "a claim that nobody disputes costs one transaction and a payout\n",
}
"""Inputs of the examples where none is given; the sieve's grows with the levels."""

SIEVE_INPUTS = ((5, "1000000 50\n"), (4, "200000\n"), (3, "2000\n"), (1, "30\n"))
"""Limit and repetitions by the smallest number of levels that has room for them; the first is about 2^29 steps."""


MAX_LEVELS = 5
"""64^5 steps are the most below 2^32, where the step counter of a claim ends."""


class ScenarioError(ValueError):
    """A scenario that cannot be played; says which option to change, and to what."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One game to play.

    program: path of an ELF file or the name of an example. lie: name of a lie, None for an honest prover. lie_step:
    where it is told, None to find a place. accuse: the step at which challenger 1 falsely accuses an honest claim,
    None where it is honest too. silence: a party that stops at a move.
    """

    program: str = "sieve"
    input_file: Path | None = None
    levels: int = 5
    challengers: int = 1
    lie: str | None = None
    lie_step: int | None = None
    accuse: int | None = None
    silence: Silence | None = None
    seed: int = 1
    engine: Engine = "auto"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A scenario with its programs run: what each side computed.

    claimed: the prover's computation, honest or not. true: the challengers'. lie: what is false, and where.
    """

    parameters: Parameters
    image: Image
    claimed: Computation
    true: Execution
    lie: Lie | None
    lie_step: int | None


def parse_lie(text: str) -> tuple[str, int | None]:
    """Read ``KIND`` or ``KIND@STEP``; raises ScenarioError."""
    name, separator, step = text.partition("@")
    if name not in LIES:
        raise ScenarioError(f"--lie {text}: there is no lie {name!r}; take one of {', '.join(LIES)}")
    if separator and not step.isdecimal():
        raise ScenarioError(f"--lie {text}: STEP is a whole number from 0, not {step!r}")
    return name, int(step) if separator else None


def parse_silence(text: str, levels: int, challengers: int) -> Silence:
    """Read ``PARTY@MOVE``; raises ScenarioError where the party has no such move in a game of ``levels`` levels."""
    parties = all_parties(challengers)
    party, _, move = text.partition("@")
    party = challenger(1) if party == "challenger" else party
    if party not in parties:
        raise ScenarioError(f"--silent {text}: PARTY@MOVE needed, PARTY one of {', '.join(parties)}")
    moves = moves_of(reference_graph(reference_parameters(levels)), PROVER if party == PROVER else challenger(1))
    if move not in moves:
        raise ScenarioError(f"--silent {text}: MOVE of the {party} is one of {', '.join(moves)}")
    return Silence(party, move)


def moves_of(graph: Graph, party: str) -> tuple[str, ...]:
    """Return the transactions that a party moves in the game, without the game's number; Fund is the set-up's."""
    names = (template.name for template in graph.templates.values() if template.mover == party)
    return tuple(dict.fromkeys(name.rpartition("/")[2] for name in names if name != "Fund"))


def reference_parameters(levels: int, challengers: int = 1) -> Parameters:
    """Return the parameters of a simulation, for any program; raises ScenarioError."""
    if not 1 <= levels <= MAX_LEVELS:
        raise ScenarioError(f"--levels {levels}: a whole number from 1 to {MAX_LEVELS} needed")
    try:
        return Parameters(bytes(HASH_BYTES), levels=levels, challengers=challengers)
    except ParameterError as error:
        raise ScenarioError(f"--{error}") from error


def prepare(scenario: Scenario, progress: Progress | None = None) -> Prepared:
    """Check the scenario and run the program as both sides do; raises ScenarioError."""
    parameters = reference_parameters(scenario.levels, scenario.challengers)
    if scenario.accuse is not None and not 0 <= scenario.accuse < parameters.steps:
        raise ScenarioError(
            f"--accuse {scenario.accuse}: a claim of {scenario.levels} levels has the steps 0 to {parameters.steps - 1}"
        )
    if scenario.accuse is not None and scenario.lie is not None:
        raise ScenarioError("--accuse: falsely accuses an honest claim; leave --lie out")
    image, data = _program(scenario.program), _input(scenario)
    parameters = replace(parameters, image_root=image.root(), entry=image.entry)
    try:
        true = Execution(parameters, image, data, engine=scenario.engine, progress=progress)
    except InputTooLargeError as error:
        raise ScenarioError(f"--input: {error}") from error
    if not true.accepted:
        raise ScenarioError(_not_accepted(scenario, true, parameters.steps))
    if scenario.lie is None:
        return Prepared(parameters, image, true, true, None, None)
    lie = LIES[scenario.lie]
    try:
        claimed, step = tell(true, lie, scenario.lie_step)
    except LieError as error:
        raise ScenarioError(f"--lie {error}") from error
    return Prepared(parameters, image, claimed, true, lie, step)


def _not_accepted(scenario: Scenario, true: Execution, steps: int) -> str:
    if not true.halted:
        return (
            f"--levels {scenario.levels}: {scenario.program} does not halt within {steps:,} steps; take more levels, "
            f"or a smaller --input"
        )
    return (
        f"--program {scenario.program}: ends with halted {true.halted}, exit code {true.exit_code}, so there is no "
        f"accepted result to claim; give an --input that it accepts"
    )


def _program(name: str) -> Image:
    if name not in EXAMPLES and not Path(name).exists():
        raise ScenarioError(f"--program {name}: no such file; give an ELF file or one of {', '.join(EXAMPLES)}")
    try:
        return load_elf(elf_path(name) if name in EXAMPLES else Path(name))
    except ElfError as error:
        raise ScenarioError(f"--program {error}") from error


def _input(scenario: Scenario) -> bytes:
    if scenario.input_file is not None:
        try:
            return scenario.input_file.read_bytes()
        except OSError as error:
            raise ScenarioError(f"--input {scenario.input_file}: {error.strerror}; give a readable file") from error
    if scenario.program == "sieve":
        return next(text for levels, text in SIEVE_INPUTS if scenario.levels >= levels).encode()
    return SAMPLE_INPUTS.get(scenario.program, "").encode()
