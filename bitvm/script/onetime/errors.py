"""Errors of the one-time signatures, one class a cause, all of them `OneTimeError`."""


class OneTimeError(ValueError):
    """Anything that is wrong with a one-time key, signature, message or witness."""


class SchemeError(OneTimeError):
    """Parameters that make no scheme: too few chains for the slots or for the messages."""


class SeedError(OneTimeError):
    """A seed that is not 32 bytes."""


class PublicValueError(OneTimeError):
    """Public values that are not 20 bytes, occur twice, or are not as many as the scheme has chains."""


class MessageError(OneTimeError):
    """A message outside the scheme's domain."""


class ItemCountError(OneTimeError):
    """A witness, signature or index vector with another number of items than the keys need."""


class NumberError(OneTimeError):
    """A witness item that consensus cannot read as a number: more than four bytes."""


class IndexRangeError(OneTimeError):
    """An index that is negative or points past the key's list."""


class SecretSizeError(OneTimeError):
    """A secret whose size is not that of its slot's level (20 or 32 bytes)."""


class ChainError(OneTimeError):
    """A secret that does not hash to the public value that its index selects."""


class NotANodeError(OneTimeError):
    """A legal label, possibly under a valid signature, that encodes no 24-byte node and so equals no hash.

    ``indices`` is the index vector: two labels are equal exactly when these are.
    """

    def __init__(self, indices: tuple[int, ...]) -> None:
        """Keep the label's index vector."""
        super().__init__(f"the index vector {indices} is a label that encodes no node")
        self.indices = indices


class FormError(OneTimeError):
    """A script or witness that cannot be put together as asked: names, item counts, order of the stack."""
