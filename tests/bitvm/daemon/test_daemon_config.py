import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bitvm.chain.rpc import Cookie
from bitvm.daemon.config import NAMES, PORTS, Config, ConfigError, Endpoint, Name, NodeConfig, Role
from bitvm.daemon.example import example
from bitvm.daemon.settings import Address, SettingError

SMALL = {"data_dir": "data", "node": {"cookie": "cookie"}}
PASSWORD = "correcthorse"


def written(folder: Path, content: object) -> Path:
    path = folder / "bitvm.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def refusal(folder: Path, content: object, environ: dict[str, str] | None = None, role: Role | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.load(written(folder, content), role, environ or {})
    return str(caught.value).replace(str(folder / "bitvm.yaml"), "FILE")


def with_field(label: str, value: object) -> dict[str, object]:
    section, _, name = label.rpartition(".")
    content: dict[str, object] = {"data_dir": "data", "node": {"cookie": "cookie"}}
    if section:
        inner = content.setdefault(section, {})
        assert isinstance(inner, dict)
        inner[name] = value
    else:
        content[name] = value
    return content


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    config = Config.load(written(tmp_path, SMALL), None, {})
    assert config == Config(
        data_dir=tmp_path / "data",
        node=NodeConfig(port=PORTS["regtest"], cookie=tmp_path / "cookie"),
        network="regtest",
    )
    assert (config.fees.max_feerate, config.fees.coin_value, config.fees.coins_per_game) == (500, 300_000, 2)
    assert (config.node.poll_seconds, config.node.stall_seconds, config.alerts.repeat_seconds) == (5, 10_800, 3_600)
    optional = (config.second_node, config.listen, config.setup_listen, config.http, config.alerts.command)
    assert optional == (None,) * 5


@pytest.mark.parametrize("role", get_args(Role))
def test_the_example_holds_every_field_and_loads(tmp_path: Path, role: Role) -> None:
    text = example(role)
    config = Config.load(written(tmp_path, text), None, {})
    assert config.data_dir == tmp_path / "data"
    for name in NAMES:
        if role == "prover" or name.field != "setup_listen":
            assert re.search(rf"Variable: {name.variable}\.\n *#? *{name.field}: ", text), name
        else:
            assert name.variable not in text
    loaded = yaml.safe_load(text)
    for name in NAMES:  # what it shows as defaults are the defaults
        inside = loaded.get(name.section, {}) if name.section else loaded
        if name.default is not None and name.field in inside:
            assert inside[name.field] == name.default, name


@pytest.mark.parametrize("left_out", ["url", "cookie"])
def test_the_example_loads_with_everything_switched_on(tmp_path: Path, left_out: str) -> None:
    lines = [re.sub(r"^( *)#([a-z])", r"\1\2", line) for line in example("prover").splitlines()]
    dropped = ("url",) if left_out == "url" else ("cookie", "host", "port")
    kept = [line for line in lines if not line.strip().startswith(tuple(f"{name}:" for name in dropped))]
    config = Config.load(written(tmp_path, "\n".join(kept)), None, {})
    assert config.listen == Address("0.0.0.0", 7410)
    assert config.alerts.command == ("/usr/local/bin/notify", "operator")
    assert config.node.zmq == "tcp://127.0.0.1:28332"
    assert config.second_node is not None
    assert config.second_node.address == config.node.address == Address("127.0.0.1", 18443)


def test_every_field_of_the_classes_is_in_the_table() -> None:
    def leaves(kind: type) -> set[str]:
        return {item.name for item in fields(kind)}

    assert {name.field for name in NAMES if not name.section} <= leaves(Config)
    for item in fields(Config):
        sections = [name for name in NAMES if name.section == item.name]
        assert bool(sections) != (Name("", item.name) in NAMES)
    assert {name.field for name in NAMES if name.section == "node"} == leaves(NodeConfig)
    assert {name.field for name in NAMES if name.section == "second_node"} == leaves(Endpoint)
    assert all(is_dataclass(kind) for kind in (Config, NodeConfig, Endpoint))
    assert len({name.variable for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("fees.max_feerate", 0, "fees.max_feerate: 0 is out of range; allowed: a whole number from 1 to 100000"),
        ("fees.max_feerate", True, "True is not a whole number"),
        ("fees.max_feerate", 1.5, "1.5 is not a whole number"),
        ("fees.max_feerate", "12", "'12' is not a whole number"),
        ("fees.coin_value", -1, "fees.coin_value: -1 is out of range"),
        ("node.poll_seconds", float("nan"), "node.poll_seconds: nan is out of range"),
        ("node.poll_seconds", "often", "allowed: seconds, from 0.02 to 600"),
        ("node.host", "http://here", "node.host: 'http://here' is not a host"),
        ("node.port", 70_000, "node.port: 70000 is out of range"),
        ("node.zmq", "ipc:///x", 'allowed: "tcp://host:port", or none'),
        ("node.zmq", "tcp://127.0.0.1:0", "node.zmq"),
        ("network", "mainnet", "allowed: one of main, test, testnet4, signet, regtest"),
        ("listen", "7410", "listen: '7410' is not host:port"),
        ("listen", 7410, "listen: 7410 is not host:port in quotes"),
        ("listen", "host:99999", "is not host:port"),
        ("http", "::1:80", "is not host:port"),
        ("http", "a..b:80", "is not host:port"),
        ("http", "[::zz]:80", "is not host:port"),
        ("listen", f"{'a' * 64}:80", "is not host:port"),
        ("listen", "a\u200d:80", "is not host:port"),
        ("node.host", "a..b", "node.host: 'a..b' is not a host"),
        ("node.host", "::zz", "node.host: '::zz' is not a host"),
        ("node.zmq", "tcp://a..b:1", "is not host:port"),
        ("engine", "slow", "allowed: one of auto, spec, fast"),
        ("log.level", "loud", "log.level: 'loud' is not known"),
        ("log.format", None, "log.format: None is not known"),
        ("alerts.command", "notify operator", "alerts.command: not a list of words; allowed: a list of words"),
        ("alerts.command", [], "no program is named"),
        ("alerts.command", ["notify", 3], "not a list of words"),
        ("data_dir", 5, "data_dir: 5 is not a path"),
        ("data_dir", "", "data_dir: '' is not a path"),
        ("computations.workers", 0, "computations.workers: 0 is out of range"),
    ],
)
def test_impossible_values_are_refused_with_the_field_and_what_is_allowed(
    tmp_path: Path, label: str, value: object, said: str
) -> None:
    refused = refusal(tmp_path, with_field(label, value))
    assert refused.startswith(f"FILE: {label}: ")
    assert said in refused
    assert "allowed: " in refused


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("fees.max_ferate", "did you mean fees.max_feerate?"),
        ("netwrk", "did you mean network?"),
        ("fee", "did you mean fees?"),
        ("max_feerate", "did you mean fees.max_feerate?"),
        ("cookie", "did you mean node.cookie or second_node.cookie?"),
        ("log.xyz", "known: level, format"),
    ],
)
def test_unknown_fields_are_refused_with_the_nearest_name(tmp_path: Path, label: str, said: str) -> None:
    assert refusal(tmp_path, with_field(label, 1)) == f"FILE: {label}: unknown field; {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "FILE: holds no fields"),
        ("- a", "FILE: holds no fields"),
        ("data_dir: [", "FILE: no YAML near line 1"),
        ("a: 1\nnetwork: regtest\nnetwork: bitcoin\n", "FILE: a field is given twice near line 3"),
        ("data_dir: &here x\nlisten: *here\n", "FILE: an alias in place of a value near line 2"),
        ("data_dir: !!python/object:os.system {}", "FILE: no YAML"),
        ("data_dir: 2026-99-99", "FILE: no YAML"),
        ({"node": {"cookie": "c"}}, "FILE: data_dir: missing; add it, or set BITVM_DATA_DIR"),
        ({"data_dir": "d"}, "FILE: node: give node.cookie"),
        ({"data_dir": "d", "node": 5}, "FILE: node: is a section"),
        (
            SMALL | {"second_node": {}},
            "FILE: second_node: holds no fields; give one of host, port, cookie, url, or leave",
        ),
        (SMALL | {"alerts": None}, "FILE: alerts: holds no fields; give one of command, repeat_seconds"),
        ({**SMALL, "second_node": {"port": 1}}, "FILE: second_node: give second_node.cookie"),
        ({**SMALL, "listen": "a:1", "http": "a:1"}, "FILE: http: a:1 is taken by listen; choose another port"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, content: object, said: str) -> None:
    assert refusal(tmp_path, content).startswith(said)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing.yaml: cannot be read: .*name a file that exists"):
        Config.load(tmp_path / "nothing.yaml", None, {})
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match=r"bytes.yaml: not UTF-8"):
        Config.load(tmp_path / "bytes.yaml", None, {})


def test_the_environment_replaces_the_file(tmp_path: Path) -> None:
    environ = {
        "BITVM_NETWORK": "main",
        "BITVM_FEES_MAX_FEERATE": "77",
        "BITVM_NODE_POLL_SECONDS": "0.5",
        "BITVM_NODE_COOKIE": "none",
        "BITVM_NODE_URL": f"http://me:{PASSWORD}@10.0.0.1:99",
        "BITVM_SECOND_NODE_COOKIE": "other",
        "BITVM_HTTP": "[::1]:80",
        "BITVM_LISTEN": "",
        "BITVM_ALERTS_COMMAND": '["notify", "a b"]',
        "BITVM_BITCOIND": "/usr/bin/bitcoind",
        "BITVM_CONFIG": "/etc/bitvm.yaml",
        "BITVM_ALERT_KIND": "node_stalled",
        "HOME": "/",
    }
    config = Config.load(written(tmp_path, {**SMALL, "listen": "h:1", "fees": {"max_feerate": 5}}), None, environ)
    assert config.network == "main"
    assert config.fees.max_feerate == 77
    assert config.node.poll_seconds == 0.5
    assert config.node.access == environ["BITVM_NODE_URL"]
    assert config.node.address == Address("10.0.0.1", 99)
    assert config.second_node == Endpoint(port=8332, cookie=tmp_path / "other")
    assert config.http == Address("::1", 80)
    assert config.listen is None
    assert config.alerts.command == ("notify", "a b")


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("BITVM_FEES_MAX_FEERATE", "much", "'much' is not a whole number; allowed: a whole number from 1"),
        ("BITVM_FEES_MAX_FEERATE", "", "'' is not a whole number"),
        ("BITVM_ALERTS_COMMAND", "notify", "not a list of words"),
        ("BITVM_ALERTS_COMMAND", "[", "not a list of words"),
        ("BITVM_HTTP", "8080", "'8080' is not host:port"),
        ("BITVM_FEES_MAXFEERATE", "5", "no field has this name; did you mean BITVM_FEES_MAX_FEERATE?"),
        ("BITVM_QQQQQQQQQQQQQQ", "5", "no field has this name; unset it"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, text: str, said: str) -> None:
    assert refusal(tmp_path, SMALL, {variable: text}).startswith(f"environment variable {variable}: {said}")


def test_the_process_environment_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITVM_COMPUTATIONS_WORKERS", "3")
    assert Config.load(written(tmp_path, SMALL), None).computations.workers == 3


@pytest.mark.parametrize(
    "content",
    [
        {"data_dir": "d", "node": {"url": f"https://me:{PASSWORD}@host:1"}},
        {"data_dir": "d", "node": {"url": f"http://me:{PASSWORD}@host"}},
        {"data_dir": "d", "node": {"url": f"http://me:{PASSWORD}@host:99999"}},
        {"data_dir": "d", "node": {"url": f"http://me:{PASSWORD}@[host:1"}},
        {"data_dir": "d", "node": {"url": [PASSWORD]}},
        {"data_dir": "d", "node": PASSWORD},
        {"data_dir": "d", "node": {"url": f"http://me:{PASSWORD}@host:1", "cookie": "c"}},
        {"data_dir": "d", "node": {"url": f"http://me:{PASSWORD}@host:1", "port": 5}},
        {**SMALL, "alerts": {"command": f"send {PASSWORD}"}},
        f"data_dir: d\nnode:\n  url: 'http://me:{PASSWORD}@host:1\n",
        f"data_dir: d\nnode:\n  url: {PASSWORD}: {PASSWORD}\n",
        f"data_dir: d\nnode:\n  url: {PASSWORD}\n  url: {PASSWORD}\n",
    ],
)
def test_a_password_is_never_shown(tmp_path: Path, content: object) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        Config.load(path, None, {})
    error: BaseException | None = caught.value
    while error is not None:
        assert PASSWORD not in str(error)
        error = None if error.__suppress_context__ else error.__context__


def test_a_configuration_does_not_show_its_secrets(tmp_path: Path) -> None:
    content = {
        "data_dir": "d",
        "node": {"url": f"http://me:{PASSWORD}@host:1"},
        "alerts": {"command": ["send", PASSWORD]},
    }
    config = Config.load(written(tmp_path, content), None, {})
    assert PASSWORD not in repr(config)
    assert config.alerts.command == ("send", PASSWORD)


def test_a_node_is_reached_by_its_cookie(tmp_path: Path) -> None:
    config = Config.load(written(tmp_path, with_field("node.host", "::1")), None, {})
    assert config.node.access == Cookie(tmp_path / "cookie", "[::1]", 18443)
    (tmp_path / "cookie").write_text("__cookie__:secret\n")
    assert isinstance(config.node.access, Cookie)
    assert config.node.access.url() == "http://__cookie__:secret@[::1]:18443/"


def test_paths_start_from_the_folder_of_the_file_or_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.chdir(tmp_path)
    written(tmp_path, {"data_dir": "/there", "node": {"cookie": "~/.cookie"}})
    config = Config.load(Path("bitvm.yaml"), None, {})
    assert (config.data_dir, config.node.cookie) == (Path("/there"), Path("/home/somebody/.cookie"))


@given(st.sampled_from(["host", "127.0.0.1", "::1", "a.b-c"]), st.integers(0, 65_535))
def test_addresses_are_written_as_they_are_read(host: str, port: int) -> None:
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@given(st.text(max_size=20))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Address.parse(text)
    except SettingError:
        return
    assert 0 <= address.port <= 65_535
    assert address.host


def test_a_challenger_is_told_that_set_ups_are_coordinated_by_provers(tmp_path: Path) -> None:
    content = with_field("setup_listen", "127.0.0.1:7420")
    said = refusal(tmp_path, content, role="challenger")
    assert said == "FILE: setup_listen: only a prover coordinates set-ups; leave it out, or say none"
    assert Config.load(written(tmp_path, content), "prover", {}).setup_listen is not None
    none = {"BITVM_SETUP_LISTEN": "none"}
    assert Config.load(written(tmp_path, content), "challenger", none).setup_listen is None
