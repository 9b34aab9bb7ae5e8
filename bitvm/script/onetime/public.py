"""The public half of a one-time key as one object: its scheme and its chain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bitvm.script.onetime.chain import VALUE_BYTES
from bitvm.script.onetime.errors import PublicValueError
from bitvm.script.onetime.scheme import AnyScheme, Signature


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A scheme and the values of its chains, 20 bytes each. Raises PublicValueError for impossible values."""

    scheme: AnyScheme
    values: tuple[bytes, ...]

    def __post_init__(self) -> None:
        """Check number, size and distinctness of the values."""
        self.scheme.check_public(self.values)

    def verify(self, signature: Signature) -> Any:
        """Return the message that ``signature`` signs under this key; raises a OneTimeError."""
        return self.scheme.verify(self.values, signature)

    def to_bytes(self) -> bytes:
        """Return all values, one after another."""
        return b"".join(self.values)

    @classmethod
    def from_bytes(cls, scheme: AnyScheme, data: bytes) -> PublicKey:
        """Read what ``to_bytes`` wrote; raises PublicValueError."""
        if len(data) != VALUE_BYTES * scheme.chains:
            raise PublicValueError(f"{scheme.name}: {VALUE_BYTES * scheme.chains} bytes needed, got {len(data)}")
        return cls(scheme, tuple(data[i : i + VALUE_BYTES] for i in range(0, len(data), VALUE_BYTES)))
