"""What all schemes share: the list rule, signing, verification. Subclasses say how a message becomes indices.

A scheme has `chains` hash chains, `slots` slots with distinct levels, and a *list* from which each slot takes one
chain: at first the chains 0 .. width-1, chain 0 at index 0; after every slot the next chain, while there is one,
enters at index 0. A permutation starts with all its chains (width = chains), so its list only shrinks. The indices
chosen, in the order of the slots, are the message's encoding; the secrets shown are the chosen chains' items at the
slots' levels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Generic, TypeVar

from bitvm.script.onetime.chain import (
    VALUE_BYTES,
    chain_from_head,
    chain_head,
    cheapest_levels,
    descend,
    item_bytes,
)
from bitvm.script.onetime.errors import (
    ChainError,
    IndexRangeError,
    ItemCountError,
    PublicValueError,
    SchemeError,
    SecretSizeError,
)
from bitvm.script.onetime.nibbles import NibbleLayout

Message = TypeVar("Message")

MAX_LIST = 128
"""An index stays below this, so that it is a one-byte script number."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One opened slot: the index into the list (a number, not its encoding) and the item at the slot's level."""

    index: int
    secret: bytes


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature independent of the form it was shown in: the slots in the scheme's order."""

    slots: tuple[Slot, ...]

    @property
    def indices(self) -> tuple[int, ...]:
        """The index vector, which is what was signed."""
        return tuple(slot.index for slot in self.slots)


class Scheme(ABC, Generic[Message]):
    """An immutable description of one kind of key; equal names mean equal schemes."""

    name: str
    chains: int
    slots: int
    width: int
    levels: tuple[int, ...]
    layout: NibbleLayout | None = None
    """How the used form turns digits into nibbles; None where the numbers it leaves are the indices themselves."""

    def __init__(self, name: str, chains: int, slots: int, width: int) -> None:
        """Give slot j the j-th of the cheapest levels; raises SchemeError for a list that runs out or is too long."""
        if slots < 1 or not 1 <= width <= MAX_LIST or not slots <= chains <= width + slots - 1:
            raise SchemeError(f"{name}: {chains} chains, {slots} slots and a list of {width} do not fit together")
        self.name, self.chains, self.slots, self.width = name, chains, slots, width
        self.levels = cheapest_levels(slots)

    def __eq__(self, other: object) -> bool:
        """Compare by name, which holds all parameters."""
        return isinstance(other, Scheme) and self.name == other.name

    def __hash__(self) -> int:
        """Hash the name."""
        return hash(self.name)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<{type(self).__name__} {self.name}>"

    # ---- messages

    @abstractmethod
    def encode(self, message: Message) -> tuple[int, ...]:
        """Return the index vector of `message`; raises MessageError outside the domain."""

    @abstractmethod
    def decode(self, indices: Sequence[int]) -> Message:
        """Return the message of an index vector, by the same rule as the script.

        Raises ItemCountError, IndexRangeError, and NotANodeError for a label that encodes no message.
        """

    @abstractmethod
    def zero_probability(self, slot: int) -> Fraction:
        """Return how often, over all messages, the index of `slot` is zero (an empty witness item)."""

    @property
    def numbers(self) -> int:
        """How many numbers the used form leaves."""
        return self.slots if self.layout is None else len(self.layout.sources)

    # ---- the list

    def list_size(self, slot: int) -> int:
        """Return how many chains `slot` chooses from; its index is below this."""
        return min(self.width + slot, self.chains) - slot

    def chains_of(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return the chain that each slot opens; raises ItemCountError and IndexRangeError."""
        if len(indices) != self.slots:
            raise ItemCountError(f"{self.name} has {self.slots} slots, not {len(indices)}")
        entries, entering = list(range(self.width)), self.width
        opened = []
        for slot, index in enumerate(indices):
            if not 0 <= index < len(entries):
                raise IndexRangeError(f"{self.name}, slot {slot}: index {index} in a list of {len(entries)}")
            opened.append(entries.pop(index))
            if entering < self.chains:
                entries.insert(0, entering)
                entering += 1
        return tuple(opened)

    # ---- keys

    def secret_key(self, seed: bytes) -> SecretKey[Message]:
        """Return the key of a 32-byte seed that no other key has; nothing is hashed before it is needed."""
        return SecretKey(self, seed)

    def check_public(self, public: Sequence[bytes]) -> None:
        """Raise PublicValueError unless `public` can be a key of this scheme."""
        if len(public) != self.chains:
            raise PublicValueError(f"{self.name} has {self.chains} public values, not {len(public)}")
        check_public_values([public])

    def check_sizes(self, signature: Signature) -> None:
        """Raise ItemCountError or SecretSizeError unless the slots and the secrets' sizes are this scheme's."""
        if len(signature.slots) != self.slots:
            raise ItemCountError(f"{self.name} has {self.slots} slots, not {len(signature.slots)}")
        for number, (slot, level) in enumerate(zip(signature.slots, self.levels, strict=True)):
            if len(slot.secret) != item_bytes(level):
                raise SecretSizeError(
                    f"{self.name}, slot {number}: a secret of {len(slot.secret)} bytes, {item_bytes(level)} expected"
                )

    def check(self, public: Sequence[bytes], signature: Signature) -> None:
        """Raise a OneTimeError of the kind of the first fault unless `signature` is valid, node or not."""
        self.check_public(public)
        self.check_sizes(signature)
        opened = self.chains_of(signature.indices)
        for number, (slot, chain, level) in enumerate(zip(signature.slots, opened, self.levels, strict=True)):
            if descend(slot.secret, level) != public[chain]:
                raise ChainError(f"{self.name}, slot {number}: the secret does not open chain {chain}")

    def verify(self, public: Sequence[bytes], signature: Signature) -> Message:
        """Return the message that `signature` signs under `public`.

        Raises as `check` does, and then NotANodeError: that signature is valid, and signs a label that equals no hash.
        """
        self.check(public, signature)
        return self.decode(signature.indices)


class SecretKey(Generic[Message]):
    """One key pair. It signs one message; who remembers that is `bitvm.keys.journal`, not this class."""

    def __init__(self, scheme: Scheme[Message], seed: bytes) -> None:
        """Check the seed's size (SeedError) and hash nothing yet."""
        chain_head(seed, scheme.name, 0)
        self.scheme = scheme
        self._seed = seed

    def __repr__(self) -> str:
        """Show the scheme, never the seed."""
        return f"<SecretKey {self.scheme.name}>"

    @cached_property
    def _chains(self) -> tuple[tuple[bytes, ...], ...]:
        """All items by chain and level."""
        top = max(self.scheme.levels)
        top += top % 2
        return tuple(
            chain_from_head(chain_head(self._seed, self.scheme.name, chain), top) for chain in range(self.scheme.chains)
        )

    @cached_property
    def public(self) -> tuple[bytes, ...]:
        """The public values, 20 bytes a chain."""
        return tuple(items[0] for items in self._chains)

    def sign(self, message: Message) -> Signature:
        """Sign `message`; raises MessageError outside the domain. Record the message durably before calling."""
        return self.open(self.scheme.encode(message))

    def open(self, indices: Sequence[int]) -> Signature:
        """Sign an index vector, whether it encodes a message or not; raises ItemCountError and IndexRangeError."""
        opened = self.scheme.chains_of(indices)
        return Signature(
            tuple(
                Slot(index, self._chains[chain][level])
                for index, chain, level in zip(indices, opened, self.scheme.levels, strict=True)
            )
        )


AnyScheme = Scheme[Any]


def check_public_values(keys: Iterable[Sequence[bytes]]) -> None:
    """Raise PublicValueError unless all values of all `keys` together are 20 bytes and distinct."""
    seen: set[bytes] = set()
    for public in keys:
        for value in public:
            if len(value) != VALUE_BYTES:
                raise PublicValueError(f"a public value has {VALUE_BYTES} bytes, {value.hex()} has {len(value)}")
            if value in seen:
                raise PublicValueError(f"the public value {value.hex()} occurs twice")
            seen.add(value)
