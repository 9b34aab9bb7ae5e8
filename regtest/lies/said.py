"""Lies about what a step does: its reads are true, its results are not, and an execution leaf shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from bitvm.game.moves import Decision, Move, SayStep
from lvm.layout import TRAP_VECTOR
from lvm.outcome import CAUSE, Outcome
from lvm.record import StepRecord
from regtest.cases import Case, Deviation, on_moves, plain_name
from regtest.hostile import Lie
from regtest.lies.play import SLASHED_BY_LEAF, caught
from regtest.lies.telling import UNUSED, Story, and_then, replaced, says
from regtest.worlds import World, is_executed

Change = Callable[[StepRecord], StepRecord]
Find = Callable[[World], int]


@dataclass(frozen=True, slots=True)
class SaidLie:
    """A lie told once: name of the family of leaves that show it, meaning, where, and what.

    heals: whether the run would end in its true state all the same. Then, so that there is a dispute, the next state is
    another one than the step says.
    """

    family: str
    what: str
    find: Find
    change: Change
    heals: bool = False

    @property
    def lie(self) -> Lie:
        """The lie as it is told to the machine."""
        return Lie(self.family, self.what, self.change)


def at(name: str, number: int = 0, *, user: bool | None = None) -> Find:
    """Find a step that completes an instruction."""
    return lambda world: world.executes(name, number, user=user)


def where(wanted: Callable[[StepRecord], bool], number: int = 0) -> Find:
    """Find a step by its record."""
    return lambda world: world.find(wanted, number)


def comes_to(outcome: Outcome) -> Find:
    """Find a step in user mode that comes to an outcome."""
    return where(lambda record: record.before.window != 0 and record.outcome is outcome)


def _written(record: StepRecord) -> StepRecord:
    return replace(record, written=record.written ^ 2)


def _after(flip: int = 1) -> Callable[[str], Change]:
    return lambda word: lambda r: replace(r, after=replace(r.after, **{word: getattr(r.after, word) ^ flip}))


_flip, _flip_4, _flip_window = _after(), _after(4), _after(1 << 20)


def _address(record: StepRecord) -> StepRecord:
    return replace(record, address=record.address ^ 4)


def faulty(outcome: Outcome) -> Change:
    """Say that the step came to a fault: a trap in user mode, a halt in kernel mode."""

    def change(record: StepRecord) -> StepRecord:
        before, cause = record.before, CAUSE[outcome]
        if before.window:
            fuel = before.fuel - (outcome is not Outcome.FUEL)
            after = replace(before, pc=TRAP_VECTOR, window=0, epc=record.pc, cause=cause, fuel=fuel)
        else:
            after = replace(before, halted=2, exit_code=cause)
        address = record.address if outcome in (Outcome.LOAD_FAULT, Outcome.STORE_FAULT) else 0
        return replace(record, outcome=outcome, written=0, address=address, after=after)

    return change


def _accepted(record: StepRecord) -> StepRecord:
    return replace(record, after=replace(record.after, halted=1, exit_code=0))


def _asleep(record: StepRecord) -> StepRecord:
    return replace(record, outcome=Outcome.HALTED, written=0, address=0, after=record.before)


def _awake(record: StepRecord) -> StepRecord:
    return replace(record, outcome=Outcome.ECALL)


def _halting(record: StepRecord) -> bool:
    return record.before.halted == 0 and record.after.halted != 0


def _halted(record: StepRecord) -> bool:
    return record.before.halted != 0


_WRITTEN = {
    **{name: (name,) for name in ("add", "sub", "addi", "lui", "auipc", "slt", "slti")},
    **{name: (name,) for name in ("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu")},
    "link": ("jal", "jalr"),
    "logic": ("xor", "or", "and"),
    "logic_imm": ("xori", "ori", "andi"),
    "shift_left": ("sll", "slli"),
    "shift_right": ("srl", "sra", "srli", "srai"),
    "load": ("lb", "lh", "lw", "lbu", "lhu"),
    "store": ("sb", "sh", "sw"),
}
"""Instructions by what shows that they write another word."""

_SET = {"slt": ("sltu",), "slti": ("sltiu",)}

_CSRS = ("uwin", "fuel", "epc", "cause")


def _writes(name: str) -> Find:
    """Find a step whose result matters; the first load or store of a word sets the sum up."""
    return at(name, 1 if name in ("lw", "add", "addi", "sw") else 0)


def _csr(name: str, instruction: str = "csrrs") -> Find:
    number = {"uwin": 0x800, "fuel": 0x801, "epc": 0x802, "cause": 0x803}[name]
    return where(lambda r: is_executed(r, instruction) and r.instr >> 20 == number, -1)


def said_lies() -> Iterator[SaidLie]:
    """Yield one lie or more a family of execution leaves."""
    for family, names in _WRITTEN.items():
        for name in (*names, *_SET.get(family, ())):
            yield SaidLie(f"written.{family}", f"{name} is said to leave another word", _writes(name), _written)
    for name in ("rem", "remu"):
        what = f"{name} by zero is said to leave another word"
        yield SaidLie(f"written.{name}_by_zero", what, at(name, 1), _written)
    for name in _CSRS:
        yield SaidLie(f"written.csr_{name}", f"csrrs is said to read another {name}", _csr(name), _written)
    yield SaidLie("written.zero", "a branch is said to leave a word", at("bne"), _written, True)
    yield from _outcomes()
    yield from _addresses()
    yield from _targets()
    yield from _controls()


def _outcomes() -> Iterator[SaidLie]:
    add, load, store, user = at("add", 1), at("lw", 1), at("sw", 1), at("addi", user=True)
    yield SaidLie("outcome.halted", "a running machine is said to have halted", add, _asleep, True)
    yield SaidLie("outcome.halted", "a halted machine is said to make a call", where(_halted), _awake, True)
    yield SaidLie("outcome.fuel", "user mode is said to have no fuel left", user, faulty(Outcome.FUEL))
    yield SaidLie("outcome.fetch", "fetching is said to fail", add, faulty(Outcome.FETCH_FAULT))
    yield SaidLie("outcome.fetch", "fetching in user mode is said to fail", user, faulty(Outcome.PC_MISALIGNED))
    yield SaidLie("outcome.decode", "a legal instruction is said to be illegal", add, faulty(Outcome.ILLEGAL))
    yield SaidLie("outcome.decode", "in user mode it is said to be illegal", user, faulty(Outcome.ILLEGAL))
    yield SaidLie("outcome.decode", "it is said to be a call", user, faulty(Outcome.ECALL))
    yield SaidLie("outcome.jump", "a jump is said to be misaligned", at("jal"), faulty(Outcome.TARGET_MISALIGNED))
    yield SaidLie("outcome.branch", "a branch is said to be misaligned", at("bne"), faulty(Outcome.TARGET_MISALIGNED))
    yield SaidLie("outcome.other", "an addition is said to load and fail", add, faulty(Outcome.LOAD_FAULT))
    yield SaidLie("outcome.load", "a load is said to fail", load, faulty(Outcome.LOAD_FAULT))
    yield SaidLie("outcome.store", "a store is said to fail", store, faulty(Outcome.STORE_FAULT))


def _addresses() -> Iterator[SaidLie]:
    yield SaidLie("address.load", "a load is said to read elsewhere", at("lw", 1), _address, True)
    yield SaidLie("address.store", "a store is said to write elsewhere", at("sw", 1), _address)
    yield SaidLie("address.zero", "an addition is said to have an address", at("add", 1), _address, True)


def _targets() -> Iterator[SaidLie]:
    pc = _flip_4("pc")
    for family, find in (("sequential", at("add")), ("mret", at("mret")), ("jal", at("jal"))):
        yield SaidLie(f"next_pc.{family}", "execution is said to go on elsewhere", find, pc)
    yield SaidLie("next_pc.branch", "a branch is said to go elsewhere", at("bne"), pc, True)
    yield SaidLie("next_pc.branch", "a branch not taken is said to go elsewhere", at("bne", -1), pc, True)
    yield SaidLie("next_pc.jalr", "an indirect jump is said to go elsewhere", at("jalr"), pc)
    yield SaidLie("next_pc.trap", "a trap is said to go elsewhere", comes_to(Outcome.FUEL), pc)


def _controls() -> Iterator[SaidLie]:
    user, trap = at("addi", -1, user=True), comes_to(Outcome.FUEL)
    yield SaidLie("control.window", "kernel mode is said to become user mode", at("add"), _flip_window("window"))
    yield SaidLie("control.window", "a trap is said to leave a window", trap, _flip_window("window"))
    yield SaidLie("control.window", "user mode is said to move its window", user, _flip_window("window"))
    yield SaidLie("control.window", "MRET is said to enter another window", at("mret"), _flip_window("window"))
    yield SaidLie("control.halted", "a running machine is said to halt, accepted", at("add"), _accepted)
    yield SaidLie("control.unchanged", "exit_code is said to change", at("add"), _flip("exit_code"), True)
    yield SaidLie("control.halted", "the last call is said to halt by a fault", where(_halting), _after(3)("halted"))
    yield SaidLie("control.exit_code", "the last call is said to fail", where(_halting), _flip("exit_code"))
    yield SaidLie("control.fuel", "kernel mode is said to use fuel", at("add"), _flip("fuel"), True)
    yield SaidLie("control.fuel", "user mode is said to use no fuel", user, _flip("fuel"))
    yield SaidLie("control.fuel_written", "csrrw is said to write more fuel", _csr("fuel", "csrrw"), _flip_4("fuel"))
    yield SaidLie("control.epc", "epc is said to change", user, _flip_4("epc"), True)
    yield SaidLie("control.epc_trap", "a trap is said to come from elsewhere", trap, _flip_4("epc"))
    yield SaidLie("control.cause", "a trap is said to have another cause", trap, _flip("cause"))
    yield SaidLie("control.cause", "cause is said to change", user, _flip("cause"), True)
    yield SaidLie("control.uwin", "uwin is said to change", user, _flip_window("uwin"))
    yield SaidLie("control.uwin", "csrrw is said to write another uwin", _csr("uwin", "csrrw"), _flip_window("uwin"))


def _mode(mode: int) -> Deviation:
    """Sign another mode in Step than the one that the window has."""

    def change(_: object, move: Move) -> Decision:
        say = move.statement
        if plain_name(move) != "Step" or not isinstance(say, SayStep):
            return move
        return replace(move, statement=replace(say, words={**say.words, "mode": mode}))

    return on_moves(change)


def said_cases() -> Iterator[Case]:
    """Yield the case of each lie, and those of the mode, which no record has."""
    counted: dict[str, int] = {}
    for lie in said_lies():
        counted[lie.family] = number = counted.get(lie.family, 0) + 1
        name = f"says/{lie.family}" + (f"/{number}" if number > 1 else "")
        yield caught(name, lie.what, _told(lie), SLASHED_BY_LEAF, leaves=(lie.family,))
    for mode in (1, 3):
        story = f"the step is said to be of mode {mode}"
        deviations, leaves = (_mode(mode),), ("outcome.mode",)
        yield caught(
            f"says/outcome.mode/{mode}", story, _only_mode, SLASHED_BY_LEAF, deviations=deviations, leaves=leaves
        )


def _only_mode(world: World) -> Story:
    """Have a step disputed of which nothing else is false."""
    return Story({world.executes("add"): replaced(UNUSED)})


def _told(lie: SaidLie) -> Callable[[World], Story]:
    tell = says(lie.lie)
    return lambda world: Story({lie.find(world): and_then(tell, UNUSED) if lie.heals else tell})
