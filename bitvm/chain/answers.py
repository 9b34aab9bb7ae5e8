"""What a node's answer is made of, read strictly.

An `Answer` is a value of any type that the node chose. Each of its readers returns what it names, or raises a
BadAnswerError that says which call was answered with what: a node that is broken or hostile makes errors of the chain,
never others.

Amounts are satoshi, feerates satoshi per virtual byte; hashes and ids are 32 bytes in internal order.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from bitcoin.core import CTransaction

from bitvm.chain.rpc import LONGEST_WORDS, BadAnswerError
from bitvm.printable import printable
from bitvm.script.weight import txid

NO_PARENT = bytes(32)
"""What the genesis block names as the block before."""

_COIN = 100_000_000
_PER_KILOBYTE = 1_000
_MOST_COINS = 21_000_000
_MOST = 2**32
"""No whole number that is read comes near: neither heights, sizes and counts, nor seconds since 1970."""
_HASH_DIGITS = 64
_SHOWN = 60


class Answer:
    """A value in the answer to `method`; `where` names it within the whole."""

    def __init__(self, method: str, value: object, where: str = "the result") -> None:
        """Take it as it is."""
        self._method, self._value, self._where = method, value, where

    def __getitem__(self, name: str) -> Answer:
        """The field `name` of an object."""
        found = self.get(name)
        if found is None:
            raise self._wrong(f"an object with {name}")
        return found

    def get(self, name: str) -> Answer | None:
        """The field `name` of an object, or None if the object has none."""
        if not isinstance(self._value, dict):
            raise self._wrong("an object")
        return Answer(self._method, self._value[name], name) if name in self._value else None

    def items(self) -> Iterator[Answer]:
        """The elements of a list."""
        if not isinstance(self._value, list):
            raise self._wrong("a list")
        return (Answer(self._method, each, f"an element of {self._where}") for each in self._value)

    def values(self) -> Iterator[Answer]:
        """The fields of an object whose names do not matter."""
        if not isinstance(self._value, dict):
            raise self._wrong("an object")
        return (Answer(self._method, each, f"a field of {self._where}") for each in self._value.values())

    @property
    def missing(self) -> bool:
        """Whether it is null."""
        return self._value is None

    # ---- values

    def text(self) -> str:
        """A text, as one short line."""
        if not isinstance(self._value, str):
            raise self._wrong("a text")
        return printable(self._value, LONGEST_WORDS)

    def texts(self) -> tuple[str, ...]:
        """A list of texts; older nodes have one text, or none, in its place."""
        if isinstance(self._value, str):
            return (self.text(),) if self._value else ()
        return tuple(each.text() for each in self.items())

    def flag(self) -> bool:
        """Whether it is true or false."""
        if not isinstance(self._value, bool):
            raise self._wrong("true or false")
        return self._value

    def whole(self) -> int:
        """A whole number that is not negative."""
        if type(self._value) is not int or not 0 <= self._value < _MOST:
            raise self._wrong("a whole number")
        return self._value

    def satoshi(self) -> int:
        """An amount, which nodes write in bitcoins."""
        return int(self._coins() * _COIN)

    def valued(self) -> int:
        """A fee as miners count it, in satoshi; ``prioritisetransaction`` can make it negative."""
        return int(self._coins(least=-_MOST_COINS) * _COIN)

    def feerate(self) -> float:
        """A feerate, which nodes write in bitcoins a thousand virtual bytes."""
        return float(self._coins() * _COIN / _PER_KILOBYTE)

    def raw(self) -> bytes:
        """Bytes in hexadecimal."""
        try:
            return bytes.fromhex(self._value)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise self._wrong("hexadecimal") from error

    def hash(self) -> bytes:
        """A hash or an id, which nodes write reversed."""
        return self._hash(self._value, "a hash")

    def hashes(self) -> tuple[bytes, ...]:
        """A list of hashes or ids, of which there may be hundreds of thousands."""
        if not isinstance(self._value, list):
            raise self._wrong("a list")
        return tuple(self._hash(each, "a list of hashes") for each in self._value)

    def transaction(self, tx_id: bytes) -> CTransaction:
        """The transaction with the id `tx_id`."""
        raw = self.raw()
        try:
            found = CTransaction.deserialize(raw)
        except Exception as error:  # the library has no class of its own for what it cannot read
            raise self._wrong("a transaction") from error
        if txid(found) != tx_id:
            raise self._wrong(f"the transaction {tx_id[::-1].hex()}")
        return found

    # ---- errors

    def _coins(self, least: int = 0) -> Decimal | int:
        value = self._value
        if type(value) is not int and not isinstance(value, Decimal):
            raise self._wrong("an amount of bitcoins")
        if not least <= value <= _MOST_COINS:
            raise self._wrong("an amount of bitcoins that can exist")
        return value

    def _hash(self, name: object, wanted: str) -> bytes:
        try:
            found = bytes.fromhex(name)[::-1]  # type: ignore[arg-type]
        except (TypeError, ValueError):
            found = b""
        if len(found) != _HASH_DIGITS // 2:
            raise self._wrong(wanted)
        return found

    def _wrong(self, wanted: str) -> BadAnswerError:
        shown = printable(self._value, _SHOWN) if isinstance(self._value, str) else type(self._value).__name__
        return BadAnswerError(self._method, f"{self._where} is {shown or 'empty'}, not {wanted}")
