"""The permutation signature P(m, n): n slots take n different ones of m chains, so there are m!/(m-n)! messages.

`Permutation` reads the index vector in the mixed radix m, m-1, …, slot 0 the lowest digit. It is the cheapest to show,
and two of its messages are equal exactly when their index vectors are. Most labels encode no node: 54!/16! is
1.76 * 2^192, so 43 % of all vectors decode to NotANodeError.

`NibblePermutation` gives slot j floor(log2(m-j)) bits (see `nibbles`), so that a script gets the message as nibbles.
Every vector encodes a node, but several vectors may encode the same one.

A node of 24 bytes is read as a little-endian number; nibble 2i is the low half of byte i, nibble 2i + 1 its high half,
which is nibble 0 … 7 of word 0 (little-endian, lowest first), then of word 1, and so on.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import perm

from bitvm.script.onetime.errors import MessageError, NotANodeError, SchemeError
from bitvm.script.onetime.nibbles import NibbleLayout
from bitvm.script.onetime.scheme import Scheme

NODE_BYTES = 24


class Permutation(Scheme[bytes]):
    """Messages of `message_bytes` bytes in exact mixed radix."""

    def __init__(self, chains: int, slots: int, message_bytes: int = NODE_BYTES) -> None:
        """Raise SchemeError when there are fewer labels than messages."""
        super().__init__(f"permutation-{chains}-{slots}-bytes-{message_bytes}", chains, slots, width=chains)
        self.message_bytes = message_bytes
        self.labels = perm(chains, slots)
        if self.labels < 1 << 8 * message_bytes:
            raise SchemeError(f"{self.name}: {self.labels} labels are fewer than the messages")

    def encode(self, message: bytes) -> tuple[int, ...]:
        """Return the mixed-radix digits of the little-endian number; raises MessageError on another size."""
        if len(message) != self.message_bytes:
            raise MessageError(f"{self.name} signs {self.message_bytes} bytes, not {len(message)}")
        rest = int.from_bytes(message, "little")
        indices = []
        for slot in range(self.slots):
            rest, index = divmod(rest, self.list_size(slot))
            indices.append(index)
        return tuple(indices)

    def decode(self, indices: Sequence[int]) -> bytes:
        """Return the message; raises ItemCountError, IndexRangeError, and NotANodeError past the last message."""
        self.chains_of(indices)
        value = 0
        for slot in reversed(range(self.slots)):
            value = value * self.list_size(slot) + indices[slot]
        try:
            return value.to_bytes(self.message_bytes, "little")
        except OverflowError:
            raise NotANodeError(tuple(indices)) from None

    def zero_probability(self, slot: int) -> Fraction:
        """Count the messages whose digit is zero."""
        messages = 1 << 8 * self.message_bytes
        place = perm(self.chains, slot)
        cycles, rest = divmod(messages, place * self.list_size(slot))
        return Fraction(cycles * place + min(rest, place), messages)


class NibblePermutation(Scheme[bytes]):
    """Messages of `message_bytes` bytes that the used form leaves as 2 * `message_bytes` nibbles."""

    layout: NibbleLayout

    def __init__(self, chains: int, slots: int, message_bytes: int = NODE_BYTES) -> None:
        """Raise SchemeError when the slots hold fewer bits than a message."""
        super().__init__(f"nibble-permutation-{chains}-{slots}-bytes-{message_bytes}", chains, slots, width=chains)
        self.message_bytes = message_bytes
        sizes = [self.list_size(slot) for slot in range(slots)]
        self.layout = NibbleLayout.fit(sizes, 2 * message_bytes)

    def encode(self, message: bytes) -> tuple[int, ...]:
        """Return the digits of the nibbles; raises MessageError on another size."""
        if len(message) != self.message_bytes:
            raise MessageError(f"{self.name} signs {self.message_bytes} bytes, not {len(message)}")
        return self.layout.digits([half for byte in message for half in (byte & 15, byte >> 4)])

    def decode(self, indices: Sequence[int]) -> bytes:
        """Return the message, clamping as the script does; raises ItemCountError and IndexRangeError."""
        self.chains_of(indices)
        nibbles = self.layout.nibbles(indices)
        return bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))

    def zero_probability(self, slot: int) -> Fraction:
        """Every digit value is equally frequent."""
        return Fraction(1, 1 << self.layout.bits[slot])


NODE = Permutation(54, 38)
"""A 24-byte node that is shown, and compared at most."""

NODE_USED = NibblePermutation(56, 42)
"""A 24-byte node whose nibbles a script computes with."""
