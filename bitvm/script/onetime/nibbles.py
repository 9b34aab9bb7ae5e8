"""How digits of power-of-two radices become nibbles: one rule, followed by the decoder and by the script.

The slots' digits come one after another. Of a digit with more than four bits the high ones are peeled off by
comparison and join an *accumulator*, high bit first; what is left in the end is a nibble. A digit of less than four
bits joins the accumulator whole, or bit by bit where it does not fit. Whenever the accumulator holds four bits it is a
nibble. So the nibbles come in a fixed order.

A digit is *folded* where a bit is peeled off: what is left of d in 0 .. 2^(w+1) - 1 is d - 2^w where d reaches 2^w,
and 2^w - 1 - d below, as in a reflected Gray code. That is ``|d - bit - (2^w - 1)|``, which takes no branch, and no
multiple of the bit. Bit b of the folded digit of slot j has one place among the nibbles.

A list may be longer than its digit has values. The script clamps with OP_MIN, and the clamp *defines* the value: an
index past 2^bits - 1 counts as 2^bits - 1, here as there. Clamping what a fold left comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder
from bitvm.script.onetime.errors import SchemeError

NIBBLE_BITS = 4


@dataclass(frozen=True, slots=True)
class _Peel:
    """The digit's highest bit, of weight 2^weight, joins the accumulator, which held `pending` bits.

    With `emits`, the four bits that are left are the next nibble; otherwise the work on the digit goes on.
    """

    weight: int
    pending: int
    emits: bool


@dataclass(frozen=True, slots=True)
class _Emit:
    """The digit, four bits, is the next nibble."""


@dataclass(frozen=True, slots=True)
class _Absorb:
    """What is left of the digit, `width` < 4 bits, joins the accumulator, which held `pending` bits."""

    width: int
    pending: int


@dataclass(frozen=True, slots=True)
class _Flush:
    """The accumulator, four bits, is the next nibble; `below` tells whether it lies under a digit still in work."""

    below: bool


_Action = _Peel | _Emit | _Absorb | _Flush


@dataclass(frozen=True, slots=True)
class NibbleLayout:
    """The rule for one scheme: bits a slot, its list's length, and where each nibble's bits come from."""

    bits: tuple[int, ...]
    list_sizes: tuple[int, ...]
    sources: tuple[tuple[tuple[int, int], ...], ...]
    """For each nibble four pairs (slot, bit of the folded digit), high bit first."""

    @classmethod
    def fit(cls, list_sizes: Sequence[int], nibbles: int) -> NibbleLayout:
        """Give every slot as many whole bits as its list allows, the last ones fewer if there are too many.

        Raises SchemeError when the slots cannot hold `nibbles`.
        """
        bits = [size.bit_length() - 1 for size in list_sizes]
        surplus = sum(bits) - NIBBLE_BITS * nibbles
        if surplus < 0:
            raise SchemeError(f"{len(bits)} slots hold {sum(bits)} bits, {NIBBLE_BITS * nibbles} are needed")
        for slot in reversed(range(len(bits))):
            taken = min(surplus, bits[slot])
            bits[slot] -= taken
            surplus -= taken
        return cls(tuple(bits), tuple(list_sizes), tuple(_sources(bits)))

    def nibbles(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return the nibbles of an index vector, clamped as the script clamps."""
        digits = [min(index, (1 << width) - 1) for index, width in zip(indices, self.bits, strict=True)]
        for slot, weights in enumerate(self._peeled()):
            digits[slot] = _fold(digits[slot], weights)
        return tuple(
            sum((digits[slot] >> bit & 1) << NIBBLE_BITS - 1 - place for place, (slot, bit) in enumerate(source))
            for source in self.sources
        )

    def digits(self, nibbles: Sequence[int]) -> tuple[int, ...]:
        """Return the digits, one a slot, of nibbles in 0..15."""
        digits = [0] * len(self.bits)
        for nibble, source in zip(nibbles, self.sources, strict=True):
            for place, (slot, bit) in enumerate(source):
                digits[slot] |= (nibble >> NIBBLE_BITS - 1 - place & 1) << bit
        return tuple(_fold(digit, weights[::-1]) for digit, weights in zip(digits, self._peeled(), strict=True))

    def write(self, b: ScriptBuilder, names: Sequence[str]) -> None:
        """``… digit_n-1 … digit_0 | … -> … | … nibble_0 nibble_1 …``, minimal and in 0..15, called `names`."""
        code, rise = _written(self)
        b.fragment(code, len(self.bits), to_alt=names, rise=rise)

    def write_once(self, b: ScriptBuilder) -> None:
        """Do what `write` does, opcode by opcode; the nibbles have no names."""
        emitted = repeat("")
        pending = 0
        for slot, width in enumerate(self.bits):
            if not width:
                b.drop()  # a surplus slot; it was consumed as a number by its own OP_ROLL
                continue
            if pending:
                b.apply(op.OP_SWAP, 2, "accumulator", "digit")
            clamped = self.list_sizes[slot] > 1 << width
            for number, action in enumerate(_actions(width, pending)):
                if number == 0 and not isinstance(action, _Peel):
                    _write_normal(b, width, clamped=clamped)
                _write_action(b, action, emitted, clamped=clamped and number == 0)
            pending = (pending + width) % NIBBLE_BITS

    def _peeled(self) -> Iterator[tuple[int, ...]]:
        """Yield for each slot the weights of the bits that are peeled off, falling."""
        pending = 0
        for width in self.bits:
            actions = _actions(width, pending) if width else ()
            yield tuple(action.weight for action in actions if isinstance(action, _Peel))
            pending = (pending + width) % NIBBLE_BITS


@lru_cache(maxsize=1 << 6)
def _written(layout: NibbleLayout) -> tuple[bytes, int]:
    """Return the script of a layout, and how many items the stacks hold at most more than before."""
    b = ScriptBuilder([""] * len(layout.bits))
    layout.write_once(b)
    return b.script(), b.peak - len(layout.bits)


def _fold(digit: int, weights: Sequence[int]) -> int:
    """Complement all bits below each of the weights whose bit is not set, one weight after the other.

    Each of these changes undoes itself, so the weights the other way round undo the whole.
    """
    for weight in weights:
        if not digit >> weight & 1:
            digit ^= (1 << weight) - 1
    return digit


def _actions(width: int, pending: int) -> Iterator[_Action]:
    """Yield what happens to a digit of `width` bits when the accumulator holds `pending`."""
    rest = width
    while rest > NIBBLE_BITS or (rest < NIBBLE_BITS and pending + rest > NIBBLE_BITS):
        rest -= 1
        emits = rest == NIBBLE_BITS
        yield _Peel(rest, pending, emits)
        pending += 1
        if pending == NIBBLE_BITS:
            yield _Flush(below=not emits)
            pending = 0
        if emits:
            return
    if rest == NIBBLE_BITS:
        yield _Emit()
        return
    yield _Absorb(rest, pending)
    if pending + rest == NIBBLE_BITS:
        yield _Flush(below=False)


def _sources(bits: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Follow each bit of each digit to its nibble."""
    accumulator: list[tuple[int, int]] = []
    for slot, width in enumerate(bits):
        low_nibble = tuple((slot, bit) for bit in reversed(range(NIBBLE_BITS)))
        for action in _actions(width, len(accumulator)) if width else ():
            match action:
                case _Peel(weight, _, emits):
                    accumulator.append((slot, weight))
                    if emits:
                        yield low_nibble
                case _Emit():
                    yield low_nibble
                case _Absorb(rest):
                    accumulator += [(slot, bit) for bit in reversed(range(rest))]
                case _Flush():
                    yield tuple(accumulator)
                    accumulator = []


def _write_normal(b: ScriptBuilder, width: int, *, clamped: bool) -> None:
    """``… digit -> … digit``, minimal and below 2^width."""
    if clamped:
        b.number((1 << width) - 1)
        b.binary(op.OP_MIN, "digit")
    else:
        b.unary(op.OP_ABS, "digit")  # already in range; only its encoding may be strange


def _write_action(b: ScriptBuilder, action: _Action, names: Iterator[str], *, clamped: bool) -> None:
    """Write one action; the stack is ``… [accumulator] digit`` before it, and nibbles go to the alt stack."""
    match action:
        case _Peel(weight, pending, emits):
            _write_peel(b, weight)  # … [accumulator] bit rest
            if clamped:
                _write_normal(b, weight, clamped=True)
            if emits:
                b.rename(next(names))
            b.to_alt()
            if pending:
                b.apply(bytes([op.OP_OVER, op.OP_ADD, op.OP_ADD]), 2, "accumulator")  # 2 * accumulator + bit
            if not emits:
                b.from_alt()
        case _Emit():
            b.rename(next(names))
            b.to_alt()
        case _Absorb(width, pending):
            _write_absorb(b, width, pending)
        case _Flush(below):
            if below:
                b.apply(op.OP_SWAP, 2, "digit", "accumulator")
            b.rename(next(names))
            b.to_alt()


def _write_peel(b: ScriptBuilder, weight: int) -> None:
    """``… digit -> … bit rest``: whether the digit reaches 2^weight, and the folded rest."""
    mask = (1 << weight) - 1
    b.pick_at(0)
    b.number(mask)
    b.binary(op.OP_GREATERTHAN, "bit")
    b.apply(op.OP_TUCK, 2, "bit", "digit", "bit")
    b.sub()
    b.number(mask)
    b.sub()
    b.unary(op.OP_ABS, "digit")


def _write_absorb(b: ScriptBuilder, width: int, pending: int) -> None:
    """``… [accumulator] digit -> … accumulator * 2^width + digit``."""
    if pending:
        b.apply(op.OP_SWAP, 2, "digit", "accumulator")
        for _ in range(width):
            b.apply(bytes([op.OP_DUP, op.OP_ADD]), 1, "accumulator")
        b.add()
    b.rename("accumulator")
