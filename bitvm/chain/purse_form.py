"""The purse's database and errors: which coins are known, what they are promised to, which transactions were made."""

from __future__ import annotations

from bitvm.chain.interface import ChainError
from bitvm.database import Form

SCHEMA = """
CREATE TABLE wallet (script BLOB NOT NULL, height INTEGER NOT NULL, scanned INTEGER NOT NULL) STRICT;
CREATE TABLE coins (
    txid BLOB NOT NULL, n INTEGER NOT NULL, value INTEGER NOT NULL,
    spendable_from INTEGER, pending INTEGER NOT NULL, gone_since INTEGER,
    PRIMARY KEY (txid, n)
) STRICT;
CREATE TABLE reservations (
    number INTEGER PRIMARY KEY, txid BLOB NOT NULL, n INTEGER NOT NULL, purpose TEXT NOT NULL, amount INTEGER NOT NULL,
    UNIQUE (txid, n)
) STRICT;
CREATE TABLE recorded (purpose TEXT PRIMARY KEY, raw BLOB NOT NULL, fee INTEGER NOT NULL) STRICT
"""


class PurseError(ChainError):
    """A purse that cannot be used, or cannot do what was asked."""


class PurseMissingError(PurseError):
    """There is no database at this path."""


class ForeignPurseError(PurseError):
    """Not a purse, or the purse of another key."""


class PurseCorruptError(PurseError):
    """The database is damaged."""


class InsufficientFundsError(PurseError):
    """The free coins do not reach; the message gives both amounts in satoshi."""


FORM = Form(
    0x4256_5731,
    1,
    absent="no wallet; `Purse.create` makes one, and it finds the coins of its key again",
    precious="a wallet",
    error=PurseError,
    missing=PurseMissingError,
    foreign=ForeignPurseError,
    corrupt=PurseCorruptError,
)
