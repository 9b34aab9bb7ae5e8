"""The names of keys: every key of a party belongs to one place in one game, and its path says which.

A path has one canonical text, `bitvm/<set-up>/<party>/<claim>/<attempt>/<challenger>/<transaction>/<leaf>/<field>`,
and different paths have different texts: each part is percent-encoded, so `/` only ever separates, and the number of
parts is fixed. Its bytes, the text in ASCII, go into the PRF and the journal, where people can read them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

SETUP_ID_BYTES = 32

_ROOT = "bitvm"
_NUMBER = re.compile(r"0|[1-9][0-9]*")


class KeyPathError(ValueError):
    """A path with a part that is missing, out of range or not canonical."""


@dataclass(frozen=True, slots=True, order=True)
class KeyPath:
    """The place of one key; raises KeyPathError when a part is not of its form.

    setup: 32 bytes, the set-up id.
    party: who holds the key, "prover" for instance; not empty.
    claim, attempt: numbers from 0; an attester has one key a try of the same claim, everybody else attempt 0.
    challenger: whose game it is; empty in a transaction that all games share.
    transaction: its name in the graph; not empty.
    leaf: the name of the leaf; empty for what every leaf of the output shares.
    field: what is signed; empty for the key that signs the transaction itself.
    """

    setup: bytes
    party: str
    claim: int = 0
    attempt: int = 0
    challenger: str = ""
    transaction: str = ""
    leaf: str = ""
    field: str = ""

    def __post_init__(self) -> None:
        """Refuse a path that has no canonical text."""
        if not isinstance(self.setup, bytes) or len(self.setup) != SETUP_ID_BYTES:
            raise KeyPathError(f"the set-up id is {SETUP_ID_BYTES} bytes, not {self.setup!r}")
        for name in ("claim", "attempt"):
            number = getattr(self, name)
            if type(number) is not int or number < 0:
                raise KeyPathError(f"{name} is a number from 0, not {number!r}")
        for name in ("party", "challenger", "transaction", "leaf", "field"):
            text = getattr(self, name)
            if not isinstance(text, str):
                raise KeyPathError(f"{name} is text, not {text!r}")
            if not text and name in ("party", "transaction"):
                raise KeyPathError(f"{name} is empty")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise KeyPathError(f"{name} is no text that UTF-8 can hold: {text!r}") from error

    def __str__(self) -> str:
        """Return the canonical text."""
        names = (self.challenger, self.transaction, self.leaf, self.field)
        parts = (_ROOT, self.setup.hex(), self.party, str(self.claim), str(self.attempt), *names)
        return "/".join(quote(part, safe="") for part in parts)

    def __bytes__(self) -> bytes:
        """Return the canonical text in ASCII."""
        return str(self).encode("ascii")

    @classmethod
    def parse(cls, text: str) -> KeyPath:
        """Return the path whose canonical text this is; raises KeyPathError for any other text."""
        parts = text.split("/")
        if len(parts) != 9 or parts[0] != _ROOT:
            raise KeyPathError(f"a key path is {_ROOT}/ and eight more parts, not {text!r}")
        _, setup, party, claim, attempt, *names = parts
        if not re.fullmatch(r"([0-9a-f]{2})*", setup):
            raise KeyPathError(f"the set-up id of {text!r} is not lower-case hex")
        if not (_NUMBER.fullmatch(claim) and _NUMBER.fullmatch(attempt)):
            raise KeyPathError(f"claim and attempt of {text!r} are not decimal numbers")
        path = cls(bytes.fromhex(setup), unquote(party), int(claim), int(attempt), *(unquote(name) for name in names))
        if str(path) != text:
            raise KeyPathError(f"{text!r} is not canonical, {str(path)!r} is")
        return path
