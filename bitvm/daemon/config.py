"""The configuration of a daemon: a YAML file, and environment variables over it.

`Config.load` returns a configuration that can be used, or raises a `ConfigError` that names the file (or the
variable), the field, what is allowed and how to put it right. Every field is declared once, below: its type, default,
meaning and limits. The example (`bitvm.daemon.example`) and the check of the environment are made from these.

A variable's name is BITVM_<SECTION>_<FIELD>, or BITVM_<FIELD> for a field outside of a section; it says what YAML
would say, and replaces what the file says. Passwords appear neither in `repr` nor in an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints
from urllib.parse import urlsplit

from bitvm.chain.rpc import Cookie
from bitvm.daemon.settings import (
    Address,
    FilePath,
    Host,
    Listening,
    NodeUrl,
    OneOf,
    Optional,
    Seconds,
    Setting,
    SettingError,
    Whole,
    Words,
    ZmqUrl,
)
from bitvm.strictyaml import StrictYamlError, parse_yaml
from lvm.machine import Engine

Role = Literal["prover", "challenger"]

PREFIX = "BITVM_"
FOREIGN = ("BITVM_BITCOIND", "BITVM_ALERT_", "BITVM_CONFIG")
"""Beginnings of variables that mean something else: the node of tests, what an alert's command is told, this file."""
PORTS = {"main": 8332, "test": 18332, "testnet4": 48332, "signet": 38332, "regtest": 18443}
"""Networks, as nodes call them, and where a node of each answers RPC if it was not told otherwise."""
DAY = 86_400
_USUAL_PORT = 0


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the file or variable, the field, and the fix."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How to reach a node's RPC: by host, port and cookie, or by a URL."""

    host: Annotated[str, Setting(Host(), "Where the node's RPC answers.")] = "127.0.0.1"
    port: Annotated[int, Setting(Whole(0, 65_535), "Its port; 0 is the usual one of the network.")] = _USUAL_PORT
    cookie: Annotated[
        Path | None,
        Setting(
            Optional(FilePath()),
            "The file in which the node keeps its credentials. Read at every connection. This, or url.",
            "/var/lib/bitcoind/regtest/.cookie",
        ),
    ] = None
    url: Annotated[
        str | None,
        Setting(
            Optional(NodeUrl()),
            "Host, port and credentials in one, in place of the three fields above. Keep the file private.",
            '"http://user:password@127.0.0.1:18443"',
        ),
    ] = field(default=None, repr=False)

    @property
    def address(self) -> Address:
        """Host and port, without credentials."""
        if self.url is None:
            return Address(self.host, self.port)
        parts = urlsplit(self.url)
        return Address(parts.hostname or "", parts.port or 0)

    @property
    def access(self) -> str | Cookie:
        """What an `Rpc` to the node is made from: the URL, or the cookie, which is read when it connects."""
        if self.url is not None:
            return self.url
        if self.cookie is None:
            raise ConfigError("node: neither cookie nor url is given; give one of them")
        return Cookie(self.cookie, f"[{self.host}]" if ":" in self.host else self.host, self.port)


@dataclass(frozen=True, slots=True)
class NodeConfig(Endpoint):
    """Our own node."""

    poll_seconds: Annotated[float, Setting(Seconds(0.02, 600), "How often to ask it for new blocks.")] = 5
    stall_seconds: Annotated[
        float, Setting(Seconds(1, 30 * DAY), "Without a new block for so long, the notice node_stalled is raised.")
    ] = 10_800
    zmq: Annotated[
        str | None,
        Setting(
            Optional(ZmqUrl()),
            "Where it publishes hashblock (its zmqpubhashblock): a hint to look at once. Needs the extra 'zmq'.",
            '"tcp://127.0.0.1:28332"',
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class FeesConfig:
    """What transactions may cost."""

    max_feerate: Annotated[
        int, Setting(Whole(1, 100_000), "Never pay more than this, in sat/vB. Too low loses games when fees are high.")
    ] = 500
    coin_value: Annotated[
        int, Setting(Whole(10_000, 2_100_000_000), "How large to make a fee coin, in satoshi; a move takes one.")
    ] = 300_000
    coins_per_game: Annotated[
        int, Setting(Whole(1, 100), "How many confirmed fee coins to hold ready for every game that runs.")
    ] = 2


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """Whom to tell that somebody should look."""

    command: Annotated[
        tuple[str, ...] | None,
        Setting(
            Optional(Words()),
            "Run for every notice, without a shell; told in JSON on its standard input and in BITVM_ALERT_*.",
            '["/usr/local/bin/notify", "operator"]',
        ),
    ] = field(default=None, repr=False)
    repeat_seconds: Annotated[
        float, Setting(Seconds(1, 30 * DAY), "Tell again after so long, as long as a notice lasts.")
    ] = 3_600
    unknown_blocks: Annotated[
        int,
        Setting(
            Whole(1, 10_000),
            "So many blocks before the time to challenge runs out, or delta, a claim not yet judged is a notice.",
        ),
    ] = 6


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What to say on standard error, and how."""

    level: Annotated[str, Setting(OneOf(("debug", "info", "warning", "error")), "The least that is said.")] = "info"
    format: Annotated[str, Setting(OneOf(("text", "json")), "text for people, json for programs.")] = "text"


@dataclass(frozen=True, slots=True)
class ComputationsConfig:
    """Runs of the machine."""

    workers: Annotated[int, Setting(Whole(1, 256), "How many runs go on at once.")] = 1


@dataclass(frozen=True, slots=True)
class Config:
    """What a daemon is told."""

    data_dir: Annotated[
        Path, Setting(FilePath(), "The folder of seed, journal, wallet and set-ups. One daemon a folder.", "data")
    ]
    node: Annotated[NodeConfig, "Our own node; it may be pruned, and needs no wallet and no txindex."]
    network: Annotated[str, Setting(OneOf(tuple(PORTS)), "The chain that all nodes must show.")] = "regtest"
    second_node: Annotated[
        Endpoint | None, "Somebody else's node, if any: only compared with ours, to notice that ours is cut off."
    ] = None
    listen: Annotated[
        Address | None,
        Setting(
            Optional(Listening()),
            "Where to answer the other parties of our set-ups: inputs by their root, attestations.",
            '"0.0.0.0:7410"',
        ),
    ] = None
    setup_listen: Annotated[
        Address | None,
        Setting(
            Optional(Listening()),
            "Where challengers find the set-ups that we coordinate. A prover's; a challenger leaves it out.",
            '"0.0.0.0:7420"',
        ),
    ] = None
    http: Annotated[
        Address | None,
        Setting(
            Optional(Listening()),
            "Where to answer /metrics, /health and /status. Anybody who can reach it can read it.",
            '"127.0.0.1:7430"',
        ),
    ] = None
    engine: Annotated[
        Engine,
        Setting(
            OneOf(get_args(Engine)), "Which interpreter runs the machine; auto is the fast one if it is installed."
        ),
    ] = "auto"
    fees: Annotated[FeesConfig, "Money for transactions."] = FeesConfig()
    alerts: Annotated[AlertsConfig, "Notices for an operator."] = AlertsConfig()
    log: Annotated[LogConfig, "The log, on standard error."] = LogConfig()
    computations: Annotated[ComputationsConfig, "Runs of the machine."] = ComputationsConfig()

    @classmethod
    def load(cls, path: Path, role: Role | None, environ: Mapping[str, str] | None = None) -> Config:
        """Read and check a file and the environment (the process's own if none is given); or ConfigError.

        role: whose configuration it has to be; None where only the chain is read.
        """
        given = _from_file(path)
        sources = {name: f"{path}: {name.label}" for name in given}
        for name, value in _from_environment(os.environ if environ is None else environ).items():
            given[name] = value
            sources[name] = f"environment variable {name.variable}"
        values: dict[Name, Any] = {}
        for name, value in given.items():
            try:
                read = name.setting.kind.read(value)
            except SettingError as error:
                raise ConfigError(f"{sources[name]}: {error}; allowed: {name.setting.kind.allowed}") from None
            values[name] = path.absolute().parent / read if isinstance(read, Path) else read
        for name in NAMES:
            if name.required and name not in values:
                raise ConfigError(f"{path}: {name.label}: missing; add it, or set {name.variable}")
        config = cls(**_assemble(values))
        if role == "challenger" and config.setup_listen is not None:
            raise ConfigError(f"{sources[PROVERS]}: only a prover coordinates set-ups; leave it out, or say none")
        _check(path, config, values)
        return _with_usual_ports(config)


class Name(NamedTuple):
    """The name of a field, its section empty for one outside of sections."""

    section: str
    field: str

    @property
    def label(self) -> str:
        """What the field is called in messages and documents."""
        return f"{self.section}.{self.field}" if self.section else self.field

    @property
    def variable(self) -> str:
        """The environment variable that replaces it."""
        return PREFIX + self.label.replace(".", "_").upper()

    @property
    def setting(self) -> Setting:
        """What is to be known about it."""
        return _SETTINGS[self]

    @property
    def default(self) -> object:
        """The value of a field that is not given; None also where it has to be."""
        return None if self.required else _DEFAULTS[self].default

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return _DEFAULTS[self].default is MISSING


def _section_types() -> dict[str, tuple[type, str]]:
    """Return the section's classes and meanings by name; the fields outside of sections are in the section ''."""
    sections: dict[str, tuple[type, str]] = {"": (Config, "")}
    for name, hint in get_type_hints(Config, include_extras=True).items():
        kind, said = get_args(hint)
        if isinstance(said, str):
            sections[name] = (kind if isinstance(kind, type) else get_args(kind)[0], said)
    return sections


SECTIONS = _section_types()
_DEFAULTS: dict[Name, Field[Any]] = {
    Name(section, item.name): item
    for section, (kind, _) in SECTIONS.items()
    for item in fields(kind)
    if section or item.name not in SECTIONS
}
_SETTINGS: dict[Name, Setting] = {
    name: get_args(get_type_hints(SECTIONS[name.section][0], include_extras=True)[name.field])[1] for name in _DEFAULTS
}
NAMES: tuple[Name, ...] = tuple(_DEFAULTS)
"""All fields, in the order in which they are declared."""
PROVERS = Name("", "setup_listen")
"""The one field that is a prover's alone."""


def _from_file(path: Path) -> dict[Name, object]:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; name a file that exists and can be read") from error
    try:
        return dict(_flatten(path, parse_yaml(content)))
    except StrictYamlError as error:
        raise ConfigError(f"{path}: {error}") from None


def _flatten(path: Path, content: object) -> Iterator[tuple[Name, object]]:
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds no fields; write 'field: value' lines")
    for key, value in content.items():
        if key in SECTIONS and key:
            if value == "none":
                continue
            if not value:  # who writes its name alone wants something, and would get nothing
                inside = ", ".join(name.field for name in NAMES if name.section == key)
                raise ConfigError(f"{path}: {key}: holds no fields; give one of {inside}, or leave the section out")
            if not isinstance(value, dict):
                raise ConfigError(f"{path}: {key}: is a section; write its fields below it, indented")
            for inner, inner_value in value.items():
                yield _known(path, Name(key, str(inner))), inner_value
        else:
            yield _known(path, Name("", str(key))), value


def _known(path: Path, name: Name) -> Name:
    if name in _SETTINGS:
        return name
    raise ConfigError(f"{path}: {name.label}: unknown field; {_suggest(name)}")


def _suggest(name: Name) -> str:
    inside = [known.field for known in NAMES if known.section == name.section]
    if not name.section:
        inside += [section for section in SECTIONS if section]
    if near := get_close_matches(name.field, inside, 1):
        return f"did you mean {Name(name.section, near[0]).label}?"
    if elsewhere := [known.label for known in NAMES if known.field == name.field]:
        return f"did you mean {' or '.join(elsewhere)}?"
    return f"known: {', '.join(inside)}"


def _from_environment(environ: Mapping[str, str]) -> dict[Name, object]:
    names = {name.variable: name for name in NAMES}
    found: dict[Name, object] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(FOREIGN):
            continue
        if variable not in names:
            near = get_close_matches(variable, names, 1)
            fix = f"did you mean {near[0]}?" if near else "unset it"
            raise ConfigError(f"environment variable {variable}: no field has this name; {fix}")
        found[names[variable]] = names[variable].setting.kind.from_text(text)
    return found


def _assemble(values: Mapping[Name, Any]) -> dict[str, Any]:
    """Make the sections; a section that may be absent is there if anything in it is said."""
    arguments: dict[str, Any] = {name.field: value for name, value in values.items() if not name.section}
    for section, (kind, _) in SECTIONS.items():
        inner = {name.field: value for name, value in values.items() if name.section == section}
        if section and (inner or section == "node"):
            arguments[section] = kind(**inner)
    return arguments


def _check(path: Path, config: Config, given: Mapping[Name, object]) -> None:
    """Refuse what cannot be together."""
    for section, endpoint in (("node", config.node), ("second_node", config.second_node)):
        if endpoint is None:
            continue
        if endpoint.cookie is None and endpoint.url is None:
            raise ConfigError(f"{path}: {section}: give {section}.cookie (the node's .cookie file) or {section}.url")
        if endpoint.url is not None:
            for other in ("cookie", "host", "port"):
                if given.get(Name(section, other)) is not None:
                    raise ConfigError(f"{path}: {section}.{other}: {section}.url says it too; leave one of them out")
    listening = [("listen", config.listen), ("setup_listen", config.setup_listen), ("http", config.http)]
    taken: dict[Address, str] = {}
    for label, address in listening:
        if address is None or not address.port:
            continue
        if address in taken:
            raise ConfigError(f"{path}: {label}: {address} is taken by {taken[address]}; choose another port")
        taken[address] = label


def _with_usual_ports(config: Config) -> Config:
    port = PORTS[config.network]
    node, second = config.node, config.second_node
    if node.port == _USUAL_PORT:
        node = replace(node, port=port)
    if second is not None and second.port == _USUAL_PORT:
        second = replace(second, port=port)
    return replace(config, node=node, second_node=second)
