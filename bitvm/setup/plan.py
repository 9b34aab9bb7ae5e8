"""The public file about a set-up: what it is about, who takes part, and where each party is reached.

    name: ledger-1
    network: regtest
    program: SHA256 of the program's ELF file, 64 hex digits
    parameters: {image_root: …, levels: 5, …}           the fields of bitvm.graph.parameters
    parties:
      prover: {identity: …, setup_address: 'host:port', address: 'host:port'}
      challengers:                                       challenger1 first
      - {identity: …, address: 'host:port'}

Every party has the same plan; `digest` tells whether two have, however the file is written. It holds no secret. An
identity is 64 hex digits (`bitvm.setup.identity`). ``setup_address`` is where the prover coordinates the set-up,
``address`` where a party answers requests later (`bitvm.setup.peers`), null or left out where it answers none.

Reading is strict: a field that is missing, unknown, given twice or not of its form is a PlanError that names it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bitvm.files import write_new
from bitvm.graph.model import all_parties, challenger
from bitvm.graph.parameters import ParameterError, Parameters
from bitvm.hosts import is_host, is_ipv6
from bitvm.setup.identity import IdentityError, parse_key
from bitvm.strictyaml import StrictYamlError, parse_yaml

NETWORKS = ("main", "test", "testnet4", "signet", "regtest")
"""Names of networks, as nodes call them."""

MAX_PLAN_BYTES = 100_000
"""No plan is larger; a larger file is not read."""

SHA256_BYTES = 32

_NAME = re.compile(r"[a-z0-9-]{1,40}")


class PlanError(ValueError):
    """A plan that cannot be used; names the file, the field and what is needed."""


class Address(NamedTuple):
    """Where a party listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, the host of IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port``, the host a name or an address as `bitvm.hosts` says; raises PlanError."""
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            fits = is_ipv6(host)
        else:
            fits = is_host(host) and ":" not in host
        if not fits or not re.fullmatch(r"[0-9]{1,5}", port):
            raise PlanError(f"host:port needed (an IPv6 host in brackets), got {text!r:.80}")
        if not 1 <= int(port) <= 0xFFFF:
            raise PlanError(f"a port from 1 to {0xFFFF} needed, got {text!r:.80}")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class PlannedParty:
    """Who a party is: its identity (32 bytes), and where it answers requests, None where it does not."""

    identity: bytes
    address: Address | None = None


@dataclass(frozen=True)
class SetupPlan:
    """A plan. ``program``: SHA256 of the ELF file. ``setup_address``: where the prover coordinates."""

    name: str
    network: str
    parameters: Parameters
    program: bytes
    setup_address: Address
    prover: PlannedParty
    challengers: tuple[PlannedParty, ...]

    def __post_init__(self) -> None:
        """Check what the fields say together; raises PlanError."""
        if not is_setup_name(self.name):
            raise PlanError(f"name: 1 to 40 of a-z, 0-9 and - needed, got {self.name!r:.80}")
        if self.network not in NETWORKS:
            raise PlanError(f"network: one of {', '.join(NETWORKS)} needed, got {self.network!r:.80}")
        if len(self.program) != SHA256_BYTES:
            raise PlanError(f"program: a SHA256 of {SHA256_BYTES} bytes needed, got {len(self.program)}")
        if len(self.challengers) != self.parameters.challengers:
            raise PlanError(
                f"parties.challengers: parameters.challengers says {self.parameters.challengers}, "
                f"got {len(self.challengers)}"
            )
        seen: dict[bytes, str] = {}
        for party, planned in self.parties.items():
            if planned.identity in seen:
                raise PlanError(f"parties: {party} has the identity of {seen[planned.identity]}; each needs its own")
            seen[planned.identity] = party

    @cached_property
    def parties(self) -> Mapping[str, PlannedParty]:
        """Everybody by party name, the prover first."""
        names = all_parties(len(self.challengers))
        return dict(zip(names, (self.prover, *self.challengers), strict=True))

    @property
    def identities(self) -> Mapping[str, bytes]:
        """The identities by party name, the prover's first."""
        return {party: planned.identity for party, planned in self.parties.items()}

    def party_of(self, identity: bytes) -> str | None:
        """Return the name of the party with this identity, None where it takes no part."""
        return next((party for party, known in self.identities.items() if known == identity), None)

    def identity_of(self, party: str) -> bytes:
        """Return the identity of a party; raises PlanError."""
        return self._planned(party).identity

    def address_of(self, party: str) -> Address | None:
        """Return where a party answers requests, None where it does not; raises PlanError."""
        return self._planned(party).address

    def digest(self) -> bytes:
        """Return 32 bytes that commit to everything the plan says."""
        content = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"bitvm set-up plan" + content.encode()).digest()

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, as they stand in the file."""
        prover = {"setup_address": str(self.setup_address), **_party_json(self.prover)}
        return {
            "name": self.name,
            "network": self.network,
            "program": self.program.hex(),
            "parameters": self.parameters.to_json(),
            "parties": {"prover": prover, "challengers": [_party_json(party) for party in self.challengers]},
        }

    def to_yaml(self) -> str:
        """Return the file's content."""
        text: str = yaml.safe_dump(self.to_json(), sort_keys=False)
        return text

    def save(self, path: Path) -> None:
        """Write a new file, durably; raises PlanError when it exists or cannot be written."""
        try:
            write_new(path, self.to_yaml().encode(), 0o644)
        except FileExistsError:
            raise PlanError(f"{path}: exists; a plan is never overwritten") from None
        except OSError as error:
            raise PlanError(f"{path}: cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> SetupPlan:
        """Read a file; raises PlanError naming the file and the field."""
        try:
            with path.open("rb") as file:
                content = file.read(MAX_PLAN_BYTES + 1)
        except FileNotFoundError:
            raise PlanError(f"{path}: no such plan") from None
        except OSError as error:
            raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            return cls.parse(content)
        except PlanError as error:
            raise PlanError(f"{path}: {error}") from error

    @classmethod
    def parse(cls, content: bytes) -> SetupPlan:
        """Read a file's content; raises PlanError naming the field."""
        if len(content) > MAX_PLAN_BYTES:
            raise PlanError(f"more than {MAX_PLAN_BYTES} bytes; a plan is far smaller")
        try:
            values = parse_yaml(content)
        except StrictYamlError as error:
            raise PlanError(str(error)) from None
        fields = _fields(values, "", "name", "network", "program", "parameters", "parties")
        parties = _fields(fields["parties"], "parties", "prover", "challengers")
        prover = _fields(parties["prover"], "parties.prover", "identity", "setup_address", optional=("address",))
        if not isinstance(parties["challengers"], list):
            raise PlanError("parties.challengers: a list needed")
        challengers = [
            (f"parties.challengers[{position}] ({challenger(position + 1)})", value)
            for position, value in enumerate(parties["challengers"])
        ]
        return cls(
            _text(fields["name"], "name"),
            _text(fields["network"], "network"),
            _parameters(fields["parameters"]),
            _hex(fields["program"], "program"),
            _address(prover["setup_address"], "parties.prover.setup_address"),
            _planned(prover, "parties.prover"),
            tuple(
                _planned(_fields(value, where, "identity", optional=("address",)), where)
                for where, value in challengers
            ),
        )

    def _planned(self, party: str) -> PlannedParty:
        try:
            return self.parties[party]
        except KeyError:
            raise PlanError(f"{self.name}: no party {party!r}; there are {', '.join(self.parties)}") from None


def is_setup_name(text: str) -> bool:
    """Whether a set-up, and its folder, may be called so."""
    return _NAME.fullmatch(text) is not None


def _party_json(planned: PlannedParty) -> dict[str, Any]:
    return {
        "identity": planned.identity.hex(),
        "address": None if planned.address is None else str(planned.address),
    }


def _fields(value: Any, where: str, *needed: str, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the mapping with exactly these fields; those that are optional and missing are None."""
    prefix = f"{where}: " if where else ""
    if not isinstance(value, dict):
        raise PlanError(f"{prefix}a mapping of {', '.join((*needed, *optional))} needed")
    if unknown := [str(name)[:40] for name in value if name not in (*needed, *optional)]:
        raise PlanError(f"{prefix}unknown fields: {', '.join(unknown)}; known: {', '.join((*needed, *optional))}")
    if missing := [name for name in needed if name not in value]:
        raise PlanError(f"{prefix}missing: {', '.join(missing)}")
    return {name: value.get(name) for name in (*needed, *optional)}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise PlanError(f"{where}: text needed (in quotes where it looks like a number), got {value!r:.80}")
    return value


def _hex(value: Any, where: str) -> bytes:
    text = _text(value, where)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise PlanError(f"{where}: {2 * SHA256_BYTES} lower-case hex digits needed, got {text!r:.80}")
    return bytes.fromhex(text)


def _address(value: Any, where: str) -> Address:
    try:
        return Address.parse(_text(value, where))
    except PlanError as error:
        raise PlanError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error


def _planned(fields: Mapping[str, Any], where: str) -> PlannedParty:
    text = _text(fields["identity"], f"{where}.identity")
    try:
        identity = parse_key(text)
    except IdentityError as error:
        raise PlanError(f"{where}.identity: {error}") from error
    address = fields["address"]
    return PlannedParty(identity, None if address is None else _address(address, f"{where}.address"))


def _parameters(value: Any) -> Parameters:
    if not isinstance(value, dict):
        raise PlanError("parameters: a mapping of fields needed")
    try:
        return Parameters.from_mapping(value)
    except ParameterError as error:
        raise PlanError(f"parameters: {error}") from error
