"""What is added and xored when: the compression as a list of steps, and where sums are reduced.

The quarter-round G(a, b, c, d, x, y) of BLAKE3 is four *steps* of one shape, ``accumulator += addends``, then
``target = (target ^ accumulator) >>> rotation``::

    a += b + x;  d = (d ^ a) >>> 16        c += d;  b = (b ^ c) >>> 12
    a += b + y;  d = (d ^ a) >>>  8        c += d;  b = (b ^ c) >>>  7

Message words past the message are the zero padding of the block and are never added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from bitvm.script.blake3.encoding import SUM_TERMS

OUTPUT_WORDS = 6
ROUNDS = 7

_MESSAGE_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)

QUARTERS = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
"""The state words (a, b, c, d) of the eight quarter-rounds of a round: four columns, then four diagonals."""

QUARTER_ORDER = (
    (2, 0, 3, 1, 4, 6, 7, 5),
    (2, 0, 1, 3, 6, 4, 7, 5),
    (2, 0, 1, 3, 6, 4, 5, 7),
    (0, 3, 2, 1, 4, 6, 5, 7),
    (0, 2, 3, 1, 4, 6, 5, 7),
    (0, 2, 3, 1, 4, 6, 5, 7),
    (0, 1, 3, 2, 5, 7, 4, 6),
)
"""The order in which each round's quarter-rounds are written.

Columns commute, and so do diagonals; an order that soon uses again what was left on top is shorter, for what lies
deeper costs more bytes to fetch. Found by local search on the length of the script for 12 message words.
"""


@dataclass(frozen=True, slots=True)
class Step:
    """``accumulator += addends + message words; target = (target ^ accumulator) >>> rotation``."""

    accumulator: int
    addends: tuple[int, ...]
    message: tuple[int, ...]
    target: int
    rotation: int
    last_round: bool

    @property
    def terms(self) -> int:
        """How many nibbles the step adds to every digit of the accumulator."""
        return len(self.addends) + len(self.message)


def schedule(message_words: int) -> list[Step]:
    """Return all steps of the compression of so many message words, in the order in which they are written."""
    steps: list[Step] = []
    message = tuple(range(16))
    for round_number, order in enumerate(QUARTER_ORDER):
        last = round_number == ROUNDS - 1
        for position, quarter in enumerate(order):
            a, b, c, d = QUARTERS[quarter]
            x, y = ((w,) if w < message_words else () for w in message[2 * quarter : 2 * quarter + 2])
            # The first columns add two constants, a + b; their sum is in the initial state already.
            b_or_nothing = () if round_number == 0 and position < 4 else (b,)
            steps += [
                Step(a, b_or_nothing, x, d, 16, last),
                Step(c, (d,), (), b, 12, last),
                Step(a, (b,), y, d, 8, last),
                Step(c, (d,), (), b, 7, last),
            ]
        message = tuple(message[i] for i in _MESSAGE_PERMUTATION)
    return steps


def reduced_steps(steps: Sequence[Step]) -> frozenset[int]:
    """Return the indices of the steps that reduce their accumulator first: the cheapest that SUM_TERMS allows."""
    chosen: set[int] = set()
    for accumulator in {step.accumulator for step in steps}:
        uses = [index for index, step in enumerate(steps) if step.accumulator == accumulator]
        terms = [steps[index].terms for index in uses]
        initial = 2 if accumulator < 4 else 1  # a starts as the sum of two constants
        chosen |= {uses[k] for k in _cheapest_reductions(terms, initial)}
    return frozenset(chosen)


def _cheapest_reductions(terms: Sequence[int], initial: int) -> tuple[int, ...]:
    """Choose before which additions a sum that starts with `initial` nibbles is reduced to one; each adds `terms`."""

    @cache
    def cheapest(position: int, held: int) -> tuple[int, tuple[int, ...]]:
        if position == len(terms):
            return 0, ()
        added = terms[position]
        cost, later = cheapest(position + 1, 1 + added)
        choices = [(cost + _reduction_bytes(added), (position, *later))]
        if held + added <= SUM_TERMS:
            choices.append(cheapest(position + 1, held + added))
        return min(choices)

    return cheapest(0, initial)[1]


def _reduction_bytes(addends: int) -> int:
    """Bytes by which a step is longer when it reduces: a look-up a nibble, corrected unless two addends wait below it.

    Nibble 0 has one item less on the stack (no p); to keep nibble 7 carried in the step before costs one byte.
    """
    return 1 + sum(1 + min(abs(addends - 2 - (i == 0)), 2) for i in range(8))


def next_use(steps: Sequence[Step], index: int) -> int | None:
    """Return the index of the next step with the same accumulator."""
    word = steps[index].accumulator
    return next((later for later in range(index + 1, len(steps)) if steps[later].accumulator == word), None)
