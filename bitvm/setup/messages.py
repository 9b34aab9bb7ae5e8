"""The messages of the set-up, as bytes.

Each is one JSON object ``{"kind": …, "party": …, "body": {…}}``; binary values are hexadecimal. On the network and on
disk those of a set-up stand behind their sender's seal (`bitvm.setup.seal`). Decoding is strict: unknown or missing
fields, wrong types and wrong lengths raise MessageError naming kind and field.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bitcoin.core import COutPoint, CTxOut
from bitcoin.core.script import CScript

from bitvm.graph.model import Coin

MAX_MESSAGE_BYTES = 16_000_000
"""No set-up message is larger; anything above is refused unread."""


MAX_EXCERPT = 120
"""Characters of what somebody sent that an error shows."""


class MessageError(ValueError):
    """A message that is not of its form; names kind, field and what was expected."""


def excerpt(value: object) -> str:
    """Return the beginning of a JSON value that somebody sent, for an error; of whatever size and depth it is."""
    return reprlib.repr(value)[:MAX_EXCERPT]


Reader = Callable[[Any, str], Any]
"""Reads a JSON value, given where it stands in the message; raises MessageError where it is not of its form."""


def hex_field(size: int | None = None) -> Callable[[Any, str], bytes]:
    """Return a `Reader` of hexadecimal text: of ``size`` bytes, or of any number."""

    def read(value: Any, where: str) -> bytes:
        try:
            data = bytes.fromhex(value)
        except (TypeError, ValueError) as error:
            raise MessageError(f"{where}: hexadecimal needed") from error
        if size is not None and len(data) != size:
            raise MessageError(f"{where}: {size} bytes needed, got {len(data)}")
        return data

    return read


def _amount(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 21_000_000 * 100_000_000:
        raise MessageError(f"{where}: an amount in satoshi needed, got {excerpt(value)}")
    return value


def _index(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise MessageError(f"{where}: an output index needed, got {excerpt(value)}")
    return value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MessageError(f"{where}: an object needed")
    return value


def take_fields(value: Any, where: str, /, **readers: Reader) -> dict[str, Any]:
    """Read an object that has exactly these fields; raises MessageError, naming the field after ``where``."""
    fields = _mapping(value, where)
    if unknown := sorted(set(fields) - set(readers)):
        raise MessageError(f"{where}: unknown fields {excerpt(unknown)}")
    if missing := sorted(set(readers) - set(fields)):
        raise MessageError(f"{where}: missing fields {missing}")
    return {name: read(fields[name], f"{where}.{name}") for name, read in readers.items()}


def _coins(value: Any, where: str) -> tuple[Coin, ...]:
    if not isinstance(value, list):
        raise MessageError(f"{where}: a list needed")
    coins = []
    for position, item in enumerate(value):
        fields = take_fields(
            item, f"{where}[{position}]", txid=hex_field(32), vout=_index, value=_amount, script=hex_field()
        )
        coins.append(
            Coin(COutPoint(fields["txid"], fields["vout"]), CTxOut(fields["value"], CScript(fields["script"])))
        )
    return tuple(coins)


def _hex_values(value: Any, where: str) -> dict[str, bytes]:
    return {name: hex_field()(item, f"{where}.{excerpt(name)}") for name, item in _mapping(value, where).items()}


@dataclass(frozen=True, slots=True)
class Offer:
    """Before the set-up id exists: what goes into it.

    parameters: SHA256 of ``Parameters.canonical()``, so that a difference shows at once. nonce: 32 fresh bytes.
    coins, change, change_script, payout_script: see ``bitvm.graph.setting.Participant``.
    """

    parameters: bytes
    nonce: bytes
    coins: tuple[Coin, ...]
    change: int
    change_script: bytes
    payout_script: bytes

    KIND = "offer"

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        coins = [
            {
                "txid": bytes(coin.outpoint.hash).hex(),
                "vout": coin.outpoint.n,
                "value": coin.spent.nValue,
                "script": bytes(coin.spent.scriptPubKey).hex(),
            }
            for coin in self.coins
        ]
        return {
            "parameters": self.parameters.hex(),
            "nonce": self.nonce.hex(),
            "coins": coins,
            "change": self.change,
            "change_script": self.change_script.hex(),
            "payout_script": self.payout_script.hex(),
        }

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fields; raises MessageError."""
        readers = {
            "parameters": hex_field(32),
            "nonce": hex_field(32),
            "coins": _coins,
            "change": _amount,
            "change_script": hex_field(),
            "payout_script": hex_field(),
        }
        return cls(**take_fields(body, cls.KIND, **readers))


@dataclass(frozen=True, slots=True)
class Keys:
    """A party's public keys in this set-up: three x-only keys, and its one-time values in the order of the key plan."""

    key: bytes
    stake_key: bytes
    anchor_key: bytes
    one_time: bytes

    KIND = "keys"

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {name: getattr(self, name).hex() for name in ("key", "stake_key", "anchor_key", "one_time")}

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fields; raises MessageError."""
        return cls(
            **take_fields(
                body,
                cls.KIND,
                key=hex_field(32),
                stake_key=hex_field(32),
                anchor_key=hex_field(32),
                one_time=hex_field(),
            )
        )


@dataclass(frozen=True, slots=True)
class Agreement:
    """The hash of the graph, and the party's signatures on it, 64 bytes each, in the order of the graph's slots."""

    graph: bytes
    signatures: bytes

    KIND = "agreement"

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"graph": self.graph.hex(), "signatures": self.signatures.hex()}

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fields; raises MessageError."""
        return cls(**take_fields(body, cls.KIND, graph=hex_field(32), signatures=hex_field()))


@dataclass(frozen=True, slots=True)
class FundSignatures:
    """The party's witnesses on its own coins in Fund: one Taproot key-path signature a coin, by input index."""

    witnesses: Mapping[str, bytes]

    KIND = "fund"

    def body(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"witnesses": {index: witness.hex() for index, witness in self.witnesses.items()}}

    @classmethod
    def read(cls, body: Any) -> Self:
        """Read the fields; raises MessageError."""
        return cls(**take_fields(body, cls.KIND, witnesses=_hex_values))


Body = Offer | Keys | Agreement | FundSignatures
_KINDS: Mapping[str, type[Body]] = {kind.KIND: kind for kind in (Offer, Keys, Agreement, FundSignatures)}


def encode(party: str, body: Body) -> bytes:
    """Return a message of ``party`` as bytes."""
    return write_envelope(body.KIND, party, body.body())


def decode(data: bytes) -> tuple[str, Body]:
    """Return sender and body of a message; raises MessageError."""
    name, party, body = read_envelope(data, MAX_MESSAGE_BYTES)
    kind = _KINDS.get(name)
    if kind is None:
        raise MessageError(f"message.kind: one of {sorted(_KINDS)} needed, got {name!r:.40}")
    return party, kind.read(body)


# ---- what every message is wrapped in


def write_envelope(kind: str, party: str, body: Mapping[str, Any]) -> bytes:
    """Return a message as bytes; ``body`` holds JSON values."""
    return json.dumps({"kind": kind, "party": party, "body": body}, sort_keys=True, separators=(",", ":")).encode()


def read_envelope(data: bytes, most: int) -> tuple[str, str, Any]:
    """Return kind, party and body of a message of at most ``most`` bytes; raises MessageError."""
    if len(data) > most:
        raise MessageError(f"a message of {len(data)} bytes; at most {most} are read")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MessageError("not a JSON message") from error
    envelope = take_fields(message, "message", kind=_text, party=_text, body=lambda value, _: value)
    return envelope["kind"], envelope["party"], envelope["body"]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise MessageError(f"{where}: text needed")
    return value
