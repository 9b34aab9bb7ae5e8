"""The sliding window: every slot chooses from a list of exactly `width` chains, so its index *is* the digit.

After each slot a new chain enters at index 0; values leave the list only by being opened. There are exactly
width^slots messages, each with one index vector, and nothing is clamped. Made for digits that scripts use: groups of
32-bit words as nibbles (width 16), a choice d_r of k = width^2 values (two symbols), the step index t (m such digits).
"""

from collections.abc import Sequence
from fractions import Fraction

from bitvm.script.onetime.errors import MessageError
from bitvm.script.onetime.scheme import Scheme


class Window(Scheme[tuple[int, ...]]):
    """Messages of `slots` digits below `width`."""

    def __init__(self, width: int, slots: int) -> None:
        """Raise SchemeError for less than one slot or a list that is too long."""
        super().__init__(f"window-{width}-{slots}", width + slots - 1, slots, width)

    def encode(self, message: Sequence[int]) -> tuple[int, ...]:
        """Return the digits themselves; raises MessageError on another count or a digit out of range."""
        if len(message) != self.slots or not all(0 <= digit < self.width for digit in message):
            raise MessageError(f"{self.name} signs {self.slots} digits below {self.width}, not {tuple(message)}")
        return tuple(message)

    def decode(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return the indices themselves; raises ItemCountError and IndexRangeError."""
        self.chains_of(indices)
        return tuple(indices)

    def zero_probability(self, slot: int) -> Fraction:
        """Every digit value is equally frequent."""
        del slot
        return Fraction(1, self.width)

    def digits_of(self, value: int) -> tuple[int, ...]:
        """Write a number below width^slots as digits, high first (a choice, a step index); raises MessageError."""
        if not 0 <= value < self.width**self.slots:
            raise MessageError(f"{self.name} signs numbers below {self.width}^{self.slots}, not {value}")
        return tuple(value // self.width**place % self.width for place in reversed(range(self.slots)))

    def value_of(self, digits: Sequence[int]) -> int:
        """Invert `digits_of`."""
        value = 0
        for digit in digits:
            value = value * self.width + digit
        return value
