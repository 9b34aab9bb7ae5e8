"""A script builder that knows what is on the stack.

Every item on the main and the alt stack has a name (anonymous items have the name ``""``), so code asks for
``pick("rs1.3")`` and the builder finds the depth and the cheapest opcodes. The builder checks, while the script is
being written, what Bitcoin Core would find out only when it runs: underflow, and more than 1,000 items on both stacks
together (BIP342 keeps that limit of the original script rules). It writes no branches: some nodes do not relay
tapscripts that run OP_IF.

Stack pictures in this project are written bottom to top, left to right: ``a b c`` has ``c`` on top; ``|`` separates the
main stack from the alt stack, whose top is on the right too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from bitcoin.core import script as op

MAX_STACK_ITEMS = 1_000
"""Consensus limit on main and alt stack together (BIP342)."""

MAX_NUMBER = 2**31 - 1
"""Largest operand that arithmetic opcodes accept (4-byte sign-magnitude numbers)."""


class ScriptError(ValueError):
    """A script that cannot run as written: unknown name, underflow, too many items."""


_SMALL = (b"", *(bytes([value]) for value in range(1, 0x80)))
"""The numbers that are one byte at most, which most items of a witness are."""


def encode_number(value: int) -> bytes:
    """Return ``value`` as a minimal script number: little-endian, sign-magnitude, zero is empty."""
    if 0 <= value < len(_SMALL):
        return _SMALL[value]
    magnitude = abs(value)
    body = bytearray(magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "little"))
    if body[-1] & 0x80:
        body.append(0)
    if value < 0:
        body[-1] |= 0x80
    return bytes(body)


def decode_number(item: bytes, *, max_size: int = 4) -> int:
    """Read a stack item as consensus does: not necessarily minimal, at most ``max_size`` bytes.

    Raises ScriptError when the item is longer.
    """
    if len(item) > max_size:
        raise ScriptError(f"a script number has at most {max_size} bytes, this one has {len(item)}")
    if not item:
        return 0
    magnitude = int.from_bytes(item[:-1] + bytes([item[-1] & 0x7F]), "little")
    return -magnitude if item[-1] & 0x80 else magnitude


def push_data(data: bytes) -> bytes:
    """Return the minimal push of ``data``, at most 520 bytes (MINIMALDATA: small numbers use their opcode)."""
    if len(data) > 520:
        raise ScriptError(f"a push has at most 520 bytes, this one has {len(data)}")
    if not data:
        return bytes([op.OP_0])
    if len(data) == 1 and 1 <= data[0] <= 16:
        return bytes([op.OP_1 + data[0] - 1])
    if data == b"\x81":
        return bytes([op.OP_1NEGATE])
    if len(data) <= 75:
        return bytes([len(data)]) + data
    if len(data) <= 255:
        return bytes([op.OP_PUSHDATA1, len(data)]) + data
    return bytes([op.OP_PUSHDATA2]) + len(data).to_bytes(2, "little") + data


@lru_cache(maxsize=1 << 12)
def push_number(value: int) -> bytes:
    """Return the minimal push of a number."""
    return push_data(encode_number(value))


class ScriptBuilder:
    """Writes a script and tracks the stacks it works on.

    ``witness`` names the items that the witness supplies, bottom first.
    """

    def __init__(self, witness: Sequence[str] = ()) -> None:
        """Start with the witness items on the main stack and nothing on the alt stack."""
        self._code = bytearray()
        self._last = b""
        self.stack: list[str] = list(witness)
        self.alt: list[str] = []
        self.peak = len(self.stack)
        self._parts: dict[str, int] = {}
        self._part: str | None = None

    # ---- output

    def script(self) -> bytes:
        """Return the bytes written so far."""
        return bytes(self._code)

    def __len__(self) -> int:
        """Bytes written so far."""
        return len(self._code)

    @property
    def budget(self) -> dict[str, int]:
        """Bytes by the part names given to ``part``."""
        return dict(self._parts)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Account the bytes written inside to ``name`` (the innermost part counts)."""
        outer, self._part = self._part, name
        try:
            yield
        finally:
            self._part = outer

    def _emit(self, code: bytes) -> None:
        self._code += code
        self._last = code
        if self._part is not None:
            self._parts[self._part] = self._parts.get(self._part, 0) + len(code)

    def _grown(self, rise: int = 0) -> None:
        size = len(self.stack) + len(self.alt) + rise
        if size > MAX_STACK_ITEMS:
            raise ScriptError(f"{size} items on the stacks; consensus allows {MAX_STACK_ITEMS}")
        self.peak = max(self.peak, size)

    # ---- pushing

    def number(self, value: int, name: str = "") -> None:
        """``… -> … value``."""
        self._emit(push_number(value))
        self.stack.append(name)
        self._grown()

    def data(self, data: bytes, name: str = "") -> None:
        """``… -> … data``."""
        self._emit(push_data(data))
        self.stack.append(name)
        self._grown()

    # ---- moving

    def depth(self, name: str) -> int:
        """Return how many items lie above the topmost item called ``name``."""
        try:
            return self.stack[::-1].index(name)
        except ValueError:
            raise ScriptError(f"no item {name!r} on the stack {self.stack}") from None

    def pick(self, name: str, new_name: str = "") -> None:
        """Copy the item to the top: ``… x … -> … x … new_name``."""
        self.pick_at(self.depth(name), new_name)

    def pick_at(self, depth: int, new_name: str = "") -> None:
        """Copy the item at ``depth`` (0 is the top) to the top."""
        self._require(depth + 1)
        if depth == 0:
            self._emit(bytes([op.OP_DUP]))
        elif depth == 1:
            self._emit(bytes([op.OP_OVER]))
        else:
            self._emit(push_number(depth) + bytes([op.OP_PICK]))
        self.stack.append(new_name)
        self._grown()

    def roll(self, name: str, new_name: str | None = None) -> None:
        """Move the item to the top: ``… x … -> … … x`` (renamed when ``new_name`` is given)."""
        self.roll_at(self.depth(name), new_name)

    def roll_at(self, depth: int, new_name: str | None = None) -> None:
        """Move the item at ``depth`` (0 is the top) to the top."""
        self._require(depth + 1)
        if depth == 1:
            self._emit(bytes([op.OP_SWAP]))
        elif depth == 2:
            self._emit(bytes([op.OP_ROT]))
        elif depth > 2:
            self._emit(push_number(depth) + bytes([op.OP_ROLL]))
        item = self.stack.pop(-1 - depth)
        self.stack.append(item if new_name is None else new_name)

    def rename(self, name: str) -> None:
        """Give the top item another name; writes nothing."""
        self._require(1)
        self.stack[-1] = name

    def to_alt(self, count: int = 1) -> None:
        """``… x | … -> … | … x``, ``count`` times."""
        for _ in range(count):
            self._require(1)
            self._emit(bytes([op.OP_TOALTSTACK]))
            self.alt.append(self.stack.pop())

    def from_alt(self, count: int = 1) -> None:
        """``… | … x -> … x | …``, ``count`` times."""
        for _ in range(count):
            if not self.alt:
                raise ScriptError("the alt stack is empty")
            self._emit(bytes([op.OP_FROMALTSTACK]))
            self.stack.append(self.alt.pop())

    def drop(self, count: int = 1) -> None:
        """Drop ``count`` items from the top, two a byte."""
        self._require(count)
        self._emit(bytes([op.OP_2DROP]) * (count // 2) + bytes([op.OP_DROP]) * (count % 2))
        del self.stack[len(self.stack) - count :]

    # ---- everything else

    def apply(self, code: int | bytes, consumes: int, *produces: str) -> None:
        """Write an opcode (or a fragment) that replaces the top ``consumes`` items by ``produces``."""
        self._require(consumes)
        self._emit(bytes([code]) if isinstance(code, int) else code)
        del self.stack[len(self.stack) - consumes :]
        self.stack.extend(produces)
        self._grown()

    def fragment(
        self, code: bytes, consumes: int, *, from_alt: int = 0, to_alt: Sequence[str] = (), rise: int = 0
    ) -> None:
        """Write what another builder wrote once: ``… x | … y -> … | … z`` for `consumes` x, `from_alt` y, `to_alt` z.

        rise: how many items more than before both stacks hold at most on the way.
        """
        self._require(consumes)
        if len(self.alt) < from_alt:
            raise ScriptError(f"{from_alt} items needed on the alt stack, it holds {len(self.alt)}")
        self._grown(rise)
        self._emit(code)
        del self.stack[len(self.stack) - consumes :]
        del self.alt[len(self.alt) - from_alt :]
        self.alt.extend(to_alt)

    def unary(self, code: int, name: str = "") -> None:
        """``… x -> … f(x)``."""
        self.apply(code, 1, name)

    def binary(self, code: int, name: str = "") -> None:
        """``… x y -> … f(x, y)``."""
        self.apply(code, 2, name)

    def add(self, name: str = "") -> None:
        """``… x y -> … x+y``."""
        self.binary(op.OP_ADD, name)

    def sub(self, name: str = "") -> None:
        """``… x y -> … x-y``."""
        self.binary(op.OP_SUB, name)

    def within(self, low: int, high: int, name: str = "") -> None:
        """``… x -> … (low <= x < high)``."""
        self.number(low)
        self.number(high)
        self.apply(op.OP_WITHIN, 3, name)

    def equals_number(self, value: int, name: str = "") -> None:
        """``… x -> … (x == value)`` by number, so that non-minimal zeros compare equal."""
        if value == 0:
            self.unary(op.OP_NOT, name)
            return
        self.number(value)
        self.binary(op.OP_NUMEQUAL, name)

    def verify(self) -> None:
        """``… x -> …``; fails unless x is true. Fuses with a preceding EQUAL or NUMEQUAL written by the builder."""
        fused = {op.OP_EQUAL: op.OP_EQUALVERIFY, op.OP_NUMEQUAL: op.OP_NUMEQUALVERIFY}
        if len(self._last) == 1 and self._last[0] in fused:
            self._code[-1] = fused[self._last[0]]
            self._last = b""
            self._require(1)
            self.stack.pop()
            return
        self.apply(op.OP_VERIFY, 1)

    def _require(self, count: int) -> None:
        if len(self.stack) < count:
            raise ScriptError(f"{count} items needed, the stack holds {self.stack}")
