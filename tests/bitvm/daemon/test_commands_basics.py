"""The operators' commands without a node: help and guide, configurations, homes, plans, and how they fail."""

import argparse
import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny import tiny_parameters, write_program

import bitvm.daemon
from bitvm.cli import main as bitvm_main
from bitvm.daemon.commands.framework import Command, CommandError, HelpText, answer, plain, run_commands
from bitvm.daemon.config import Config
from bitvm.daemon.home import Home
from bitvm.daemon.status import Severity
from bitvm.graph.costs import defence
from bitvm.graph.parameters import Parameters
from bitvm.prover.commands import commands as prover_commands
from bitvm.prover.setup_commands import commands as setup_commands
from bitvm.setup.plan import SetupPlan
from challenger.cli import main as challenger_main
from challenger.commands import commands as challenger_commands

GUIDE = Path(bitvm.daemon.__file__).parent / "GUIDE.md"
GROUPS = {
    "bitvm prover": (prover_commands, lambda words: bitvm_main(["prover", *words])),
    "bitvm setup": (setup_commands, lambda words: bitvm_main(["setup", *words])),
    "challenger": (challenger_commands, challenger_main),
}
ALL = [(group, command) for group, (commands, _) in GROUPS.items() for command in commands()]
IDENTITY = "ab" * 32
OTHER = "cd" * 32


def run(capsys, group, *words, code=0):
    capsys.readouterr()
    found = GROUPS[group][1](list(map(str, words)))
    said = capsys.readouterr()
    assert found == code, said.out + said.err
    return said


def refused(capsys, group, *words):
    said = run(capsys, group, *words, code=2)
    assert said.out == ""
    assert said.err.startswith(f"{group}: ")
    assert len(said.err.splitlines()) == 1
    return said.err


# ---- help and guide


@pytest.mark.parametrize(("group", "command"), ALL, ids=[f"{group} {command.name}" for group, command in ALL])
def test_every_command_explains_itself_with_an_example(group, command, capsys):
    with pytest.raises(SystemExit) as stopped:
        GROUPS[group][1]([command.name, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "--json" in out
    assert ("--config" in out) == command.configured
    examples = out.partition("examples:\n")[2]
    assert f"{group} {command.name}" in examples


@pytest.mark.parametrize(("group", "command"), ALL, ids=[f"{group} {command.name}" for group, command in ALL])
def test_every_command_is_in_the_guide(group, command):
    assert re.search(rf"`([\w ]+ )?{command.name}\b", GUIDE.read_text()), f"{group} {command.name}"


def test_every_command_that_the_guide_calls_is_there():
    names = {group: {command.name for command in commands()} for group, (commands, _) in GROUPS.items()}
    code = [line for part in _code(GUIDE.read_text()) for line in part.splitlines()]
    called = [found for line in code for found in re.findall(r"(bitvm prover|bitvm setup|^challenger) ([a-z]+)", line)]
    assert len(called) > 5
    for group, name in called:
        assert name in names[group], f"{group} {name}"


def _code(text):
    """Yield the code of a document, in blocks and in lines."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return blocks + re.findall(r"`([^`\n]+)`", rest)


def test_bitvm_lists_its_groups_and_runs_them(capsys):
    with pytest.raises(SystemExit):
        bitvm_main(["--help"])
    out = capsys.readouterr().out
    assert "prover" in out
    assert "setup" in out
    with pytest.raises(SystemExit) as stopped:
        bitvm_main(["prover", "nonsense"])
    assert stopped.value.code == 2


def test_the_old_commands_do_not_load_a_daemon():
    code = "import sys, bitvm.cli; bitvm.cli.main(['blake3']); sys.exit('bitvm.daemon' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


# ---- how they fail


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "prover.yaml"
    path.write_text(yaml.safe_dump({"data_dir": "home", "node": {"url": "http://a:b@127.0.0.1:1"}}))
    return path


@pytest.mark.parametrize("group", ["bitvm prover", "challenger"])
@pytest.mark.parametrize("name", ["init", "run", "status", "claims", "games", "moves", "check", "wallet"])
def test_without_a_configuration_the_fix_is_named(group, name, capsys, monkeypatch):
    monkeypatch.delenv("BITVM_CONFIG", raising=False)
    assert "give --config FILE, or set BITVM_CONFIG" in refused(capsys, group, name)


def test_the_environment_names_the_configuration(config, capsys, monkeypatch):
    monkeypatch.setenv("BITVM_CONFIG", str(config))
    made = json.loads(run(capsys, "bitvm prover", "init", "--json").out)
    assert Home.open(config.parent / "home").identity.public.hex() == made["identity"]
    assert made["address"].startswith("bcrt1p")


def test_a_home_is_made_once_and_of_one_role(config, capsys):
    assert "no such folder" in refused(capsys, "bitvm prover", "status", "--config", config)
    run(capsys, "bitvm prover", "init", "--config", config)
    assert "not empty" in refused(capsys, "bitvm prover", "init", "--config", config)
    assert "home of a prover, not of a challenger" in refused(capsys, "challenger", "status", "--config", config)
    said = run(capsys, "bitvm prover", "status", "--config", config)
    assert "No finished set-up" in said.out
    assert "there is none yet" in refused(capsys, "bitvm prover", "show", "x", "--config", config)
    said = run(capsys, "bitvm prover", "moves", "--config", config)
    assert "Nothing is due now" in said.out
    assert not (config.parent / "home" / "daemon.sqlite").exists()
    assert not (config.parent / "home" / "wallet.sqlite").exists()


@pytest.mark.parametrize("group", ["bitvm prover", "challenger"])
def test_an_example_configuration_can_be_loaded(group, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("BITVM_CONFIG", raising=False)
    path = tmp_path / "example.yaml"
    path.write_text(run(capsys, group, "init", "--example").out)
    assert Config.load(path, None, {}).network == "regtest"
    assert "--json: the example is YAML" in refused(capsys, group, "init", "--example", "--json")


def test_a_wrong_configuration_is_named(config, capsys):
    config.write_text(config.read_text().replace("data_dir", "datadir"))
    message = refused(capsys, "bitvm prover", "status", "--config", config)
    assert "datadir: unknown field; did you mean data_dir?" in message
    assert str(config) in message


def test_run_answers_nothing(config, capsys):
    assert "set log.format to json" in refused(capsys, "bitvm prover", "run", "--json", "--config", config)
    assert "no such folder" in refused(capsys, "bitvm prover", "run", "--config", config)


@pytest.fixture
def taken():
    """A port of the loopback on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def refused_at(config, capsys, monkeypatch):
    """Run a daemon that listens at an address; return why it does not begin."""
    monkeypatch.setattr("bitvm.daemon.logs.configure", lambda _: None)  # it would last longer than the test
    run(capsys, "bitvm prover", "init", "--config", config)

    def begin(field, address):
        config.write_text(config.read_text() + f'{field}: "{address}"\n')
        return refused(capsys, "bitvm prover", "run", "--config", config)

    return begin


@pytest.mark.parametrize("field", ["listen", "http"])
@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:{port}", "Address already in use; stop the program that listens there, or choose another port"),
        ("192.0.2.1:7000", "Cannot assign requested address; choose an address of this machine"),
        ("no-such-host.invalid:7000", "correct the name no-such-host.invalid"),
    ],
)
def test_run_names_the_address_that_it_cannot_listen_on(refused_at, taken, field, address, said):
    address = address.format(port=taken)
    message = refused_at(field, address)
    assert f"{field}: cannot listen on {address}: " in message
    assert said in message


@pytest.mark.parametrize("field", ["listen", "setup_listen", "http"])
def test_an_address_that_no_socket_takes_is_named(refused_at, field):
    assert f"{field}: 'a..b:80' is not host:port" in refused_at(field, "a..b:80")


def test_a_backup_of_the_other_role_leaves_the_folder_free(config, capsys, tmp_path):
    run(capsys, "bitvm prover", "init", "--config", config)
    file, other = tmp_path / "backup.tar", tmp_path / "challenger.yaml"
    run(capsys, "bitvm prover", "backup", file, "--with-seed", "--config", config)
    other.write_text(config.read_text().replace("home", "theirs"))
    assert "not of a challenger" in refused(capsys, "challenger", "restore", file, "--config", other)
    assert not (tmp_path / "theirs").exists()


# ---- plans


@pytest.fixture
def program(tmp_path):
    return write_program(tmp_path)


@pytest.fixture
def new(tmp_path, program, capsys):
    """Run `bitvm setup new` for the program; return the plan."""

    def make(*words, parameters=None, code=0):
        output = tmp_path / "plan.yaml"
        line = ["new", "ledger-1", "--program", program, "-o", output, *words]
        if parameters is not None:
            file = tmp_path / "p.yaml"
            file.write_text(parameters)
            line += ["--parameters", file]
        if code:
            return refused(capsys, "bitvm setup", *line)
        run(capsys, "bitvm setup", *line)
        return SetupPlan.load(output)

    return make


PARTIES = ("--prover", f"{IDENTITY}@prover.example:7420", "--challenger", f"{OTHER}@[::1]:7410")


def test_a_plan_takes_root_and_entry_from_the_program(new, program):
    plan = new(*PARTIES, "--prover-address", "prover.example:7410", "--network", "signet")
    expected = tiny_parameters(program)
    assert (plan.parameters.image_root, plan.parameters.entry) == (expected.image_root, expected.entry)
    assert plan.parameters == Parameters(expected.image_root, entry=expected.entry)
    assert (plan.network, str(plan.setup_address)) == ("signet", "prover.example:7420")
    assert {name: str(party.address) for name, party in plan.parties.items()} == {
        "prover": "prover.example:7410",
        "challenger1": "[::1]:7410",
    }
    assert plan.identities == {"prover": bytes.fromhex(IDENTITY), "challenger1": bytes.fromhex(OTHER)}


def test_the_printed_parameters_are_a_start(new, program, capsys):
    capsys.readouterr()
    assert bitvm_main(["parameters"]) == 0
    text = capsys.readouterr().out.replace("levels: 5", "levels: 2").replace("challengers: 1", "challengers: 2")
    third = ("--challenger", "ef" * 32)
    found, expected = new(*PARTIES, *third, parameters=text).parameters, tiny_parameters(program)
    assert (found.levels, found.challengers) == (2, 2)
    assert (found.image_root, found.entry) == (expected.image_root, expected.entry)


@pytest.mark.parametrize(
    ("words", "parameters", "said"),
    [
        (("--prover", IDENTITY, "--challenger", OTHER), None, "--prover: IDENTITY@HOST:PORT needed"),
        (("--prover", f"{IDENTITY}@host", "--challenger", OTHER), None, "--prover: host:port needed"),
        (("--prover", f"{IDENTITY}@h:1"), None, "--challenger: at least one is needed"),
        (("--prover", "ab@h:1", "--challenger", OTHER), None, "an identity is 64 hex digits"),
        ((*PARTIES[:2], "--challenger", IDENTITY), None, "challenger1 has the identity of prover"),
        (PARTIES, "challengers: 3", "parameters.challengers says 3, got 1"),
        (PARTIES, "levels: 99", "p.yaml: levels: a whole number from 1 to 8"),
        (PARTIES, "entry: 8", "entry: 8, but"),
        (PARTIES, "- 1", "a mapping of fields needed"),
        (PARTIES, "a: [", "p.yaml"),
    ],
)
def test_a_wrong_plan_is_named(new, words, parameters, said):
    assert said in new(*words, parameters=parameters, code=2)


def test_a_plan_is_never_overwritten_and_the_name_is_checked(new, capsys, program, tmp_path):
    new(*PARTIES)
    assert "a plan is never overwritten" in new(*PARTIES, code=2)
    line = ["new", "Ledger", "--program", program, "-o", tmp_path / "q.yaml", *PARTIES]
    assert "name: 1 to 40 of a-z" in refused(capsys, "bitvm setup", *line)
    line[3] = tmp_path / "none.elf"
    assert "none.elf: cannot be read" in refused(capsys, "bitvm setup", *line)


def test_a_plan_is_shown_with_its_money(new, capsys, program, tmp_path):
    plan = new(*PARTIES, parameters="attesters: 1\nquorum: 1\n")
    path = tmp_path / "plan.yaml"
    said = run(capsys, "bitvm setup", "show", path, "--program", program)
    assert plan.digest().hex() in said.out
    for party in plan.parties:
        assert party in said.out
        assert f"{defence(plan.parameters, party).fees:,}" in said.out
    assert "1 of 1 attesters" in said.out
    found = json.loads(run(capsys, "bitvm setup", "show", path, "--json").out)
    assert found["digest"] == plan.digest().hex()
    assert found["plan"] == plan.to_json()
    money = found["money"]["challenger1"]
    assert money["total"] == money["contribution"] + money["fund_fee"] + money["fees"]
    assert money["contribution"] == plan.parameters.stake
    other = tmp_path / "other.elf"
    other.write_bytes(b"\x7fELF")
    assert "the plan says" in refused(capsys, "bitvm setup", "show", path, "--program", other)
    assert "no such plan" in refused(capsys, "bitvm setup", "show", tmp_path / "none.yaml")


# ---- the frame


def test_an_answer_is_json_or_text(capsys):
    value = {"root": b"\x01\xff", "path": Path("/a"), "severity": Severity.WARNING, "many": (1, None)}
    answer(argparse.Namespace(json=True), value, lambda _, __: None)
    expected = {"root": "01ff", "path": "/a", "severity": "warning", "many": [1, None]}
    assert json.loads(capsys.readouterr().out) == expected == plain(value)


AB = "test: 'a'; 'b'\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (CommandError("no such\n  thing"), 2, "test: no such thing\n"),
        (KeyError("told"), 2, "test: 'told'\n"),
        (KeyboardInterrupt(), 130, "test: interrupted\n"),
        (BrokenPipeError(), 0, ""),
        (ExceptionGroup("side by side", [ExceptionGroup("", [KeyError("a"), KeyError("b")]), KeyError("a")]), 2, AB),
        (BaseExceptionGroup("side by side", [KeyboardInterrupt()]), 130, "test: interrupted\n"),
    ],
)
def test_errors_are_one_line(error, code, said, capfd):
    def fail(_):
        raise error

    command = Command("fail", HelpText("fails", "Fails.", ""), fail)
    assert run_commands("test", "A test.", (command,), ["fail"], (KeyError,)) == code
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("error", [ZeroDivisionError(), ExceptionGroup("", [KeyError("told"), ZeroDivisionError()])])
def test_an_error_of_the_program_is_not_hidden(error):
    def fail(_):
        raise error

    command = Command("fail", HelpText("fails", "Fails.", ""), fail)
    with pytest.raises(type(error)):
        run_commands("test", "A test.", (command,), ["fail"], (KeyError,))
