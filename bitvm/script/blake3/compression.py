"""BLAKE3's compression of one block, written as nibble operations on the tables of `encoding`.

Source: the BLAKE3 specification (O'Connor, Aumasson, Neves, Wilcox-O'Hearn), sections 2.1 to 2.3. The block is a whole
message, so it is the only chunk and the root: flags CHUNK_START | CHUNK_END | ROOT, counter 0, chaining value IV, and
as block length that of the message, whole words. The words past it are zero padding and are never added.

The work is a list of *steps*, ``accumulator += addends; target = (target ^ accumulator) >>> rotation`` (see
`schedule`), and a step is written nibble by nibble, from the lowest, so that carries go upwards. Accumulators (words
a and c) are sums, targets (words b and d) are scaled nibbles, in the sense of `encoding`.

Rotations by 16, 12 and 8 bits move whole nibbles: they are new names for the same items and cost nothing.

**Carries are lazy.** An accumulator's nibbles may be kept *raw*: every digit is the plain sum of its addends, and the
carries, needed for the xor only, are worked out again from the raw digits at the next step. Raw digits grow; before
they would hold more than SUM_TERMS nibbles they are kept *carried* instead (with the carry from below, and their own
carry already given to the digit above), and the next step reduces them modulo 16, one look-up each.

One nibble of a step. ``p`` is a full sum, digit and carry, that waits to give its own carry to the nibble above; ``x``
is what the nibble below has left on top::

    … p x                    roll the accumulator's digit up, pick the addends, add
    … p x digit              roll p, read CARRY
    … x digit carry          raw: add to a copy of the digit; carried: add to the digit, copy
    … x digit p p            read ROW; roll the target's nibble up, add, read XOR
    … x digit p x'           one item of the accumulator and one of the target taken, one of each left

The rotation by 7 bits is one by 8 (names) and back by 1: every nibble goes through the rotor table, which shifts it
left, and gives the bit that falls out to the nibble above. Nibble 0 waits for the bit of nibble 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

from bitcoin.core import script as op

from bitvm.script.blake3 import encoding
from bitvm.script.blake3.encoding import (
    CARRY,
    REDUCED,
    ROW,
    SHIFTED,
    SHIFTED_OUT,
    XOR,
    TableBuilder,
)
from bitvm.script.blake3.schedule import QUARTER_ORDER, QUARTERS, Step, next_use, reduced_steps, schedule
from bitvm.script.builder import push_number

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_FLAGS = 0b1011  # CHUNK_START | CHUNK_END | ROOT

_UNUSED = (6, 7)
"""State words b that the 24 bytes of output do not need at the end."""


def message_name(word: int, nibble: int) -> str:
    """Name of a scaled message nibble on the stack."""
    return f"m{word}.{nibble}"


class _Operand(NamedTuple):
    """Something to fetch: rolled up when `move`, else copied; `kind` names it in the budget."""

    name: str
    kind: str
    move: bool


class Compression:
    """Writes the compression and knows under which name every nibble of the state lies on the stack."""

    def __init__(self, script: TableBuilder, message_words: int) -> None:
        """Write on `script`, whose stack ends with the tables and holds the scaled message words somewhere below."""
        self._script = script
        self._message_words = message_words
        self._version = [0] * 16

    def name(self, word: int, nibble: int, *, later: int = 0) -> str:
        """Name of a nibble of a state word, as it is now or as many rotations `later`."""
        return f"v{word}@{self._version[word] + later}.{nibble}"

    # ---- the whole

    def run(self) -> None:
        """``tables -> tables state`` after seven rounds.

        Words 0 to 3 and 8 to 11 are left as carried sums, the others scaled; words 6 and 7 lack their last xor, for
        the output does not need them.
        """
        self._push_initial_state()
        steps = schedule(self._message_words)
        reduced = reduced_steps(steps)
        for index, step in enumerate(steps):
            following = next_use(steps, index)
            if following is None and step.target in _UNUSED:
                self._add_only(step, reduce=index in reduced)
            else:
                carried = following is None or following in reduced
                self._step(step, reduce=index in reduced, keep_carried=carried)

    def _push_initial_state(self) -> None:
        """``tables -> tables state``: 128 constants, what is used first on top."""
        order: list[tuple[int, int]] = []
        for column in QUARTER_ORDER[0][:4]:
            a, b, c, d = QUARTERS[column]
            order += [(word, i) for i in range(8) for word in (a, d)]
            order += [(word, i) for i in range(8) for word in (c, b)]
        with self._script.part("initial state"):
            self._script.push_constants([(self._initial(word, i), self.name(word, i)) for word, i in reversed(order)])

    def _initial(self, word: int, i: int) -> int:
        """Return nibble i of an initial state word, in the encoding of that word."""
        block_length = 4 * self._message_words
        words = (*_IV, *_IV[:4], 0, 0, block_length, _FLAGS)
        nibble = words[word] >> 4 * i & 15
        if word < 4:
            return encoding.sum_of(nibble + (words[word + 4] >> 4 * i & 15))
        return encoding.sum_of(nibble) if 8 <= word < 12 else encoding.scaled(nibble)

    # ---- one step

    def _step(self, step: Step, *, reduce: bool, keep_carried: bool) -> None:
        """All eight nibbles of a step, from the lowest, so that carries go upwards."""
        script = self._script
        for i in range(8):
            self._sum_digit(step, i, reduce=reduce)
            self._carry_in(i, keep_carried=keep_carried)
            with script.part("rows"):
                script.look_up(ROW)
            with script.part("fetch xor operand"):
                script.roll(self.name(step.target, i), "")
            with script.part("xor"):
                script.add()
                script.look_up(XOR)
            if step.rotation == 7:
                self._shift_left(step.target, i)
            else:
                script.rename(self.name(step.target, (i - step.rotation // 4) % 8, later=1))
        with script.part("carries"):  # … digit p [nibbles] -> … digit [nibbles]
            if step.rotation == 7:
                script.roll("p")
                script.drop()
            else:
                script.apply(op.OP_NIP, 2, script.stack[-1])
        self._version[step.target] += 1

    def _add_only(self, step: Step, *, reduce: bool) -> None:
        """Add and carry, where nothing needs the xor; the target's nibbles stay as idle members of the frame."""
        script = self._script
        for i in range(8):
            self._sum_digit(step, i, reduce=reduce)
            if i:
                with script.part("carries"):  # below digit -> below digit+carry
                    script.pick_at(1)
                    script.look_up(CARRY)
                    script.add(self.name(step.accumulator, i))

    def _sum_digit(self, step: Step, i: int, *, reduce: bool) -> None:
        """``… -> … digit``: bring the accumulator's digit to the top and add everything to it."""
        script = self._script
        digit = _Operand(self.name(step.accumulator, i), "accumulator", move=True)
        addends = [_Operand(self.name(word, i), "addend", move=False) for word in step.addends]
        addends += [_Operand(message_name(word, i), "message", step.last_round) for word in step.message]
        if reduce:
            for operand in (*self._cheapest_order(addends), digit):
                self._fetch(operand)
            with script.part("reductions"):
                script.look_up(REDUCED)
            with script.part("additions"):
                for _ in addends:
                    script.add(digit.name)
            return
        for count, operand in enumerate(self._cheapest_order([digit, *addends])):
            self._fetch(operand)
            if count:
                with script.part("additions"):
                    script.add(digit.name)

    def _carry_in(self, i: int, *, keep_carried: bool) -> None:
        """``… p x digit -> … x digit p p``, the new p being digit plus carry; nibble 0 has none and needs no old p.

        Above nibble 7 nobody asks for a carry: there p is any item, to keep the height.
        """
        script = self._script
        digit = script.stack[-1]
        with script.part("carries"):
            if i == 0:
                script.duplicate("p")
                script.duplicate()
                return
            script.roll("p")
            script.look_up(CARRY, "p")
            if keep_carried:
                script.add(digit)
                script.duplicate("p")
                script.duplicate()
            elif i < 7:
                script.pick_at(1)
                script.add("p")
                script.duplicate()
            else:
                script.apply(op.OP_2DUP, 2, digit, "p", "", "")
                script.add()

    def _shift_left(self, word: int, i: int) -> None:
        """``… n -> … nibble``: nibble i of the word, rotated left by one bit, is nibble i - 2 of the rotation by 7.

        The alt stack holds the rotor of the nibble below, which gives the bit that comes in.
        """
        script = self._script
        with script.part("rotation by 7"):
            if i == 0:
                script.rename("nibble 0")
                script.duplicate()
                script.number(encoding.rotor(0, 0))
                script.add()
                script.to_alt()
                return
            script.from_alt()
            script.look_up(SHIFTED_OUT)
            script.add()  # rotor of nibble i
            script.duplicate()
            script.to_alt()
            script.look_up(SHIFTED, self.name(word, (i - 2) % 8, later=1))
            if i == 7:
                script.from_alt()
                script.look_up(SHIFTED_OUT)
                script.roll("nibble 0")
                script.add()
                script.look_up(SHIFTED, self.name(word, 6, later=1))

    # ---- fetching

    def _fetch(self, operand: _Operand) -> None:
        with self._script.part(f"fetch {operand.kind}"):
            if operand.move:
                self._script.roll(operand.name)
            else:
                self._script.pick(operand.name)

    def _cheapest_order(self, operands: Sequence[_Operand]) -> tuple[_Operand, ...]:
        """Order the operands of a sum so that fetching them, each added at once to those before, takes least bytes."""
        depths = {operand: self._script.depth(operand.name) for operand in operands}

        def cost(order: Sequence[_Operand]) -> int:
            total = 0
            for count, operand in enumerate(order):
                gone = sum(before.move and depths[before] < depths[operand] for before in order[:count])
                total += _fetch_bytes(depths[operand] - gone + min(count, 1), move=operand.move)
            return total

        return min(permutations(operands), key=cost)


def _fetch_bytes(depth: int, *, move: bool) -> int:
    """Bytes that ScriptBuilder.roll_at or pick_at writes."""
    if move and depth <= 2:
        return min(depth, 1)
    return 1 if depth <= 1 else len(push_number(depth)) + 1
