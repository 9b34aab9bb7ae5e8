"""The one interface of both interpreters, how to get a machine, and the three roots of a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from lvm.control import Control
from lvm.hashing import leaf_hash
from lvm.layout import CONTROL_BASE, LEAF_BYTES, WORD_BYTES
from lvm.record import StepRecord
from lvm.tree import fold

if TYPE_CHECKING:
    from lvm.elf import Image
    from lvm.snapshot import Snapshot

Engine = Literal["auto", "spec", "fast"]
"""`spec` is the specification interpreter, `fast` the compiled one, `auto` the fast one where Numba is installed."""


class EngineUnavailableError(RuntimeError):
    """The engine asked for cannot run here."""


class Machine(Protocol):
    """A machine and its state.

    Both interpreters are made from an image, `SpecMachine(image)`: memory holds the image's segments, INPUT and CPU
    are zero. That is the state whose root is the first `prev_root`; `boot` then begins a run.
    """

    t: int
    """Steps done since boot, those after the halt included."""

    @property
    def halted(self) -> int:
        """0 running, 1 halted by ECALL, 2 halted by a fault."""

    @property
    def exit_code(self) -> int:
        """a0 at the ECALL, or the cause of the fault."""

    def boot(self, entry: int, input_bytes: bytes) -> None:
        """Apply Boot() to the state as it stands and set t = 0. Raises InputTooLargeError."""

    def control(self) -> Control:
        """Return the control words."""

    def register(self, index: int) -> int:
        """Return register `x<index>`."""

    def read_word(self, address: int) -> int:
        """Return any word of the state, registers and control included. Raises AddressError."""

    def write_state_word(self, address: int, value: int) -> None:
        """Set any word of the state, past all rules: the means to build a dishonest trace. Raises AddressError."""

    def step(self) -> StepRecord:
        """Take one step and return its record."""

    def run(self, steps: int) -> int:
        """Advance t by exactly `steps`; return how many of them were executed, the halting one included.

        A halted machine stays as it is while t advances.
        """

    def root(self) -> bytes:
        """Return the state root, 24 bytes."""

    def siblings(self, address: int) -> tuple[bytes, ...]:
        """Return the Merkle path of the leaf that holds `address`: 24 siblings, heights 0..23. Raises AddressError."""

    def snapshot(self) -> Snapshot:
        """Save the state, copy-on-write."""

    def restore(self, snapshot: Snapshot) -> None:
        """Go back (or forward) to a snapshot, made by this machine or by any other."""


def new_machine(image: Image, *, engine: Engine = "auto") -> Machine:
    """Return a machine holding `image`, not yet booted. Raises EngineUnavailableError."""
    if engine != "spec":
        try:
            from lvm.fast import FastMachine
        except ImportError as error:
            if engine == "fast":
                hint = "it needs Numba: pip install 'bitvm[fast]'"
                raise EngineUnavailableError(f"the fast engine cannot run here ({error}); {hint}") from error
        else:
            return FastMachine(image)
    from lvm.spec.interpreter import SpecMachine

    return SpecMachine(image)


def boot(image: Image, input_bytes: bytes = b"", *, engine: Engine = "auto") -> Machine:
    """Return a machine at step 0 of a first run of `image` on `input_bytes`.

    Raises EngineUnavailableError and InputTooLargeError.
    """
    machine = new_machine(image, engine=engine)
    machine.boot(image.entry, input_bytes)
    return machine


@dataclass(frozen=True, slots=True)
class StepRoots:
    """A step and the roots around its two single-leaf updates, 24 bytes each."""

    record: StepRecord
    a: bytes
    """S_t, before the step."""
    m: bytes
    """After the data word is written, before the control leaf is."""
    b: bytes
    """S_{t+1}."""


def step_roots(machine: Machine) -> StepRoots:
    """Advance the machine by one step and return it with its roots.

    M is S_{t+1} with the old control leaf put back: a step's data word never lies in the control leaf.
    """
    a = machine.root()
    words = (machine.read_word(CONTROL_BASE + offset) for offset in range(0, LEAF_BYTES, WORD_BYTES))
    control_leaf = b"".join(word.to_bytes(WORD_BYTES, "little") for word in words)
    record = machine.step()
    b = machine.root()
    if record.before == record.after:
        return StepRoots(record, a, b, b)
    m = fold(leaf_hash(control_leaf), CONTROL_BASE // LEAF_BYTES, machine.siblings(CONTROL_BASE))
    return StepRoots(record, a, m, b)
