"""Running the machine for a command: a bar on standard error, and a verdict from the inputs that are at hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bitvm.daemon.commands.framework import CommandError, new_console
from bitvm.daemon.role import claimed_input
from bitvm.game.challenger import judge
from bitvm.game.computation import Execution
from bitvm.game.computation import Progress as Report
from bitvm.game.finality import Verdict
from bitvm.game.position import Position
from bitvm.leaves.authority import WitnessError
from bitvm.setup.input_store import InputMissingError, InputStore
from lvm.boot import input_root
from lvm.elf import Image
from lvm.layout import INPUT_MAX_BYTES
from lvm.machine import Engine

FindInput = Callable[[bytes], bytes | None]
"""Returns the input of a root, None where it is not at hand."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What a run of one's own says of a claim; roots in hexadecimal. seconds: how long the runs took."""

    setup: str
    slot: int
    verdict: Verdict
    why: str
    input_root: str | None
    claimed_root: str | None
    our_root: str | None
    seconds: float


@contextmanager
def steps_bar() -> Iterator[Callable[[str], Report]]:
    """Give a function that adds a bar of a name and returns what moves it; seen on a terminal only."""
    console = new_console(error=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} steps"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:

        def add(name: str) -> Report:
            task = bar.add_task(name, total=1)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield add


def verify_claim(setup: str, position: Position, image: Image, find: FindInput, engine: Engine) -> Verified:
    """Judge the position's claim by a run; raises CommandError where there is no claim, and ForeignImageError."""
    slot = position.slot
    if not position.has("Claim"):
        raise CommandError(
            f"{setup}: claim {slot} is not made at block {position.height}; `claims` lists those that are"
        )
    begun = time.monotonic()
    run, missing = run_up_to(position, image, find, engine)
    found = judge(position, run)
    why = missing if run is None and missing and found.verdict is Verdict.UNKNOWN else found.why
    nodes = _said(position)
    return Verified(
        setup,
        slot,
        found.verdict,
        why,
        _hex(nodes.get("input_root")),
        _hex(nodes.get("final_root")),
        None if run is None else run.final_root.hex(),
        time.monotonic() - begun,
    )


def run_up_to(position: Position, image: Image, find: FindInput, engine: Engine) -> tuple[Execution | None, str]:
    """Run the claims up to the position's, one after the other; or return why that cannot be done."""
    run: Execution | None = None
    with steps_bar() as add:
        for slot in range(1, position.slot + 1):
            root = claimed_input(position, slot)
            if root is None:
                return None, f"claim {slot} states no input that can be read"
            data = find(root)
            if data is None:
                return None, f"the input {root.hex()} of claim {slot} is not held; give it with --input FILE"
            parameters = position.graph.setting.parameters
            progress = add(f"claim {slot}")
            run = Execution(parameters, image, data, previous=run, engine=engine, progress=progress)
    return run, ""


def inputs_of(files: Sequence[Path], position: Position, store: InputStore | None) -> FindInput:
    """Return how inputs are found: in the files, which must be those of claims, then in the store.

    Raises CommandError for a file whose root no claim up to the position's states.
    """
    roots = {slot: claimed_input(position, slot) for slot in range(1, position.slot + 1)}
    given: dict[bytes, bytes] = {}
    for file in files:
        data = read_input(file)
        root = input_root(data)
        if root not in roots.values():
            stated = ", ".join(f"claim {slot}: {_hex(found) or 'none'}" for slot, found in roots.items())
            raise CommandError(f"{file}: its root is {root.hex()}; {stated}")
        given[root] = data

    def find(root: bytes) -> bytes | None:
        if root in given or store is None:
            return given.get(root)
        try:
            return store.read(root)
        except InputMissingError:
            return None

    return find


def read_input(path: Path) -> bytes:
    """Read a file that is an input; raises CommandError."""
    try:
        with path.open("rb") as file:
            data = file.read(INPUT_MAX_BYTES + 1)
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > INPUT_MAX_BYTES:
        raise CommandError(f"{path}: more than {INPUT_MAX_BYTES:,} bytes; no input is larger")
    return data


def _said(position: Position) -> dict[str, bytes | None]:
    try:
        return dict(position.claim().nodes)
    except WitnessError:
        return {}


def _hex(node: bytes | None) -> str | None:
    return None if node is None else node.hex()
