"""How BLAKE3's nibbles are written as numbers, and the look-up tables that these numbers address.

A 32-bit word is eight nibbles, *nibble i* being bits 4i to 4i+3. Bytes become words little-endian, as in BLAKE3, so
byte k of a string is nibbles 2k (low half) and 2k+1 (high half).

Constant height
---------------

The tables lie on the main stack; the working state of the compression, exactly `FRAME` = 128 items (16 words), lies on
top of them. Every step of the compression takes as many state items as it leaves, so at each look-up of a given kind
the same number of items, its *height*, lies between the table and the index. A look-up at height h of table position p
is OP_PICK with the index h + p, and because h is known, it is built into every stored number: a value that will be
looked up is kept *as the index it will need*. A look-up is then the single byte OP_PICK, with no address arithmetic.

Four encodings of a nibble (or of a sum of nibbles) follow:

=========  ==============================  =====================================================================
encoding   number                          used for
=========  ==============================  =====================================================================
scaled     3n                              message words, and state words b and d: they are added and xored
sum        3s + SUM_BASE                   state words a and c: sums of nibbles, 0 <= s < 80, not reduced mod 16
row        row(n)                          left operand of a xor; row(m) + 3n is the index of 3(m ^ n)
rotor      ROTOR_BASE + 3n + 48t           a nibble n to be shifted left by one bit, t being the bit shifted in
=========  ==============================  =====================================================================

Adding scaled nibbles to a sum gives a sum: addition needs no look-up. The factor 3 is there because three answers are
wanted for one sum. They are interleaved in one table of stride 3, and the height decides which of them is read: with
one item more below the index, OP_PICK reaches one position less far.

The tables, position 0 being the top of the table area, where n and m are nibbles, s is a sum and t a bit::

    position                     height      entry                              look-up
    3s                           FRAME + 2   s mod 16, as a sum                 REDUCED
    3s + 1                       FRAME + 1   row(s mod 16)                      ROW
    3s + 2                       FRAME       s div 16, scaled                   CARRY
    row(m) - FRAME + 3n          FRAME       m ^ n, scaled                      XOR
    ROTOR_START + 3n + 48t       FRAME       (2n mod 16) + t, scaled            SHIFTED
    ROTOR_START + 3n + 48t - 1   FRAME + 1   rotor of 0 with the bit n div 8    SHIFTED_OUT
    PLAIN_START + 3n             FRAME       n                                  PLAIN

Adding what SHIFTED_OUT read to a scaled nibble makes that nibble's rotor. The xor table interleaves three rows at a
time: row(m) is 48(m div 3) + m mod 3 and a base. Sixteen rows by threes leave two of three places free beside the
last row. The rotor table fills them for t = 0, and the plain nibbles fill what it leaves free for t = 1, so hardly a
position is wasted.
"""

from __future__ import annotations

from collections.abc import Sequence

from bitcoin.core import script as op

from bitvm.script.builder import ScriptBuilder, push_number

FRAME = 128
"""State items above the tables between two steps: 16 words of 8 nibbles."""

SUM_TERMS = 5
"""How many nibbles a sum may hold. With the carry from below it stays under 80: 5 * 15 + 4 = 79.

The size of the sum table is a choice: with 7 terms there are fewer reductions and the whole script is 66 bytes
shorter, but 96 more items lie on the stack.
"""

REDUCED = FRAME + 2
ROW = FRAME + 1
CARRY = FRAME
XOR = FRAME
SHIFTED = FRAME
SHIFTED_OUT = FRAME + 1
PLAIN = FRAME
"""The heights at which the stored numbers expect each kind of look-up."""

_SUMS = 16 * SUM_TERMS
_XOR_START = 3 * _SUMS
_ROTOR_START = _XOR_START + 5 * 48 + 2
_PLAIN_START = _XOR_START + 6 * 48
"""First positions of the tables; the sum table is on top."""

SUM_BASE = REDUCED
ROTOR_BASE = SHIFTED + _ROTOR_START
PLAIN_BASE = PLAIN + _PLAIN_START
"""What the indices of those tables begin with."""


class NibbleError(ValueError):
    """A list that is no sequence of nibbles of whole bytes."""


def nibbles(data: bytes) -> list[int]:
    """Return two nibbles a byte, the low half first; nibble i of word w (little-endian) is element 8w + i."""
    return [nibble for byte in data for nibble in (byte & 15, byte >> 4)]


def from_nibbles(values: Sequence[int]) -> bytes:
    """Undo `nibbles`; raises NibbleError on an odd count or a value outside 0..15."""
    if len(values) % 2:
        raise NibbleError(f"{len(values)} nibbles are no whole number of bytes")
    if any(not 0 <= value <= 15 for value in values):
        raise NibbleError(f"nibbles are 0..15, got {list(values)}")
    return bytes(low | high << 4 for low, high in zip(values[::2], values[1::2], strict=True))


def scaled(nibble: int) -> int:
    """Encode a nibble as an addend and xor operand."""
    return 3 * nibble


def sum_of(total: int) -> int:
    """Encode a sum of at most SUM_TERMS nibbles."""
    return SUM_BASE + 3 * total


def row(nibble: int) -> int:
    """Encode the left operand of a xor."""
    return XOR + _XOR_START + 48 * (nibble // 3) + nibble % 3


def rotor(nibble: int, bit: int) -> int:
    """Encode a nibble that waits to be shifted left by one, with the bit to shift in."""
    return ROTOR_BASE + 3 * nibble + 48 * bit


def table() -> list[int]:
    """Return the table area, position 0 (the top) first."""
    entries: dict[int, int] = {}
    for total in range(_SUMS):
        entries[3 * total] = sum_of(total % 16)
        entries[3 * total + 1] = row(total % 16)
        entries[3 * total + 2] = scaled(total // 16)
    for left in range(16):
        for right in range(16):
            entries[row(left) - XOR + scaled(right)] = scaled(left ^ right)
    for nibble in range(16):
        for bit in range(2):
            entries[rotor(nibble, bit) - SHIFTED] = scaled((2 * nibble) % 16 + bit)
            entries[rotor(nibble, bit) - SHIFTED_OUT] = rotor(0, nibble // 8)
        entries[_PLAIN_START + scaled(nibble)] = nibble
    return [entries.get(position, 0) for position in range(max(entries) + 1)]


_TABLE, _TABLE_TOP = "table", "table top"

_COPIES = ((op.OP_3DUP, 3, 3), (op.OP_2DUP, 2, 2), (op.OP_2OVER, 4, 2), (op.OP_DUP, 1, 1), (op.OP_OVER, 2, 1))
"""Opcodes that copy: how many items below the new ones the copied ones begin, and how many they are."""


class TableBuilder(ScriptBuilder):
    """A script builder with the tables of this module on its stack."""

    def push_tables(self) -> None:
        """``… -> … tables``."""
        entries = table()
        self.push_constants([(entry, _TABLE) for entry in reversed(entries[1:])])
        self.number(entries[0], _TABLE_TOP)

    def push_constants(self, constants: Sequence[tuple[int, str]]) -> None:
        """``… -> … constants``, (value, name) each, bottom first; copies what is on top where that is shorter."""
        values = [value for value, _ in constants]
        position = 0
        while position < len(values):
            code, count = self._shortest_copy(values, position)
            if code is None:
                self.number(*constants[position])
            else:
                self.apply(code, 0, *(name for _, name in constants[position : position + count]))
            position += count

    @staticmethod
    def _shortest_copy(values: Sequence[int], position: int) -> tuple[int | None, int]:
        """Find the opcode that makes the next values out of those before `position`, and how many it makes."""
        for code, depth, count in _COPIES:
            start = position - depth
            worth_it = count > 1 or len(push_number(values[position])) > 1
            if start >= 0 and worth_it and values[start : start + count] == values[position : position + count]:
                return code, count
        return None, 1

    def drop_tables(self) -> None:
        """``… tables rest -> …``."""
        self.drop(self.depth(_TABLE_TOP) + len(table()))

    def look_up(self, height: int, name: str = "") -> None:
        """``… index -> … entry``: one byte at the `height` the index expects, a correction more elsewhere."""
        surplus = self.depth(_TABLE_TOP) - 1 - height
        with self.part("height corrections"):
            if abs(surplus) == 1:
                self.unary(op.OP_1ADD if surplus > 0 else op.OP_1SUB)
            elif surplus:
                self.number(abs(surplus))
                self.binary(op.OP_ADD if surplus > 0 else op.OP_SUB)
        self.unary(op.OP_PICK, name)

    def duplicate(self, name: str = "") -> None:
        """``… x -> … x x``."""
        self.pick_at(0, name)
