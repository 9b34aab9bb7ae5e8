"""The operators' commands on real homes, in the middle of a dispute about a false claim, and a real node."""

import json
import os
from dataclasses import replace
from io import StringIO

import pytest
import trio
import yaml
from operated import SETUP, Operators, contents, lied
from rich.console import Console
from tiny import INPUT, OTHER_INPUT

from bitvm.cli import main as bitvm_main
from bitvm.daemon.board import Board
from bitvm.daemon.commands.snapshots import Standing, snapshot_of
from bitvm.daemon.commands.status import picture
from bitvm.daemon.http import serve_http
from bitvm.daemon.settings import Address
from bitvm.daemon.status import Notice, NoticeKind, Severity
from bitvm.daemon.store import DaemonStore
from bitvm.game.computation import Execution
from bitvm.graph.costs import defence
from bitvm.setup.input_store import InputStore
from challenger.cli import main as challenger_main
from lvm.boot import input_root

pytestmark = pytest.mark.bitcoind

READING = (
    ("status",),
    ("claims",),
    ("games",),
    ("show", SETUP),
    ("moves", "--waits"),
    ("check",),
    ("wallet",),
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    stage, company = lied(tmp_path_factory.mktemp("live"))
    with stage:
        yield stage, company


@pytest.fixture
def operators(scene, capsys):
    return Operators(scene[0], capsys)


def test_commands_that_look_change_nothing(operators):
    for party in ("challenger1", "prover"):
        home = operators.stage.actors[party].home_path
        before = contents(home)
        mempool = operators.stage.remote.mempool_txids()
        for command in READING:
            operators.run(party, *command)
            operators.json(party, *command)
        assert contents(home) == before
        assert operators.stage.remote.mempool_txids() == mempool


def test_status_is_what_the_daemon_says_of_itself(operators, scene):
    _, company = scene
    told = company.snapshots["challenger1"]
    found = snapshot(operators.json("challenger1", "status"))
    assert (found.role, found.tip, found.tip_hash) == (told.role, told.tip, told.tip_hash)
    (setup,), (expected,) = found.setups, told.setups
    assert setup.claims == expected.claims
    assert setup.games == tuple(replace(game, decision="", move=None) for game in expected.games)
    assert found.wallet.reserve == told.wallet.reserve
    assert snapshot_of(json.loads(json.dumps(told.to_json()))) == told


def snapshot(said):
    """Return the snapshot in what `status --json` says without a daemon."""
    mine = {"told_by", "daemon_runs", "notices_unknown", "found"}
    return snapshot_of({key: value for key, value in said.items() if key not in mine} | {"notices": said["found"]})


def test_status_says_that_it_does_not_know_the_daemons_notices(operators):
    home = operators.stage.actors["challenger1"].home()
    said = operators.json("challenger1", "status")
    assert (said["told_by"], said["daemon_runs"], said["notices"], said["found"]) == ("home", False, None, [])
    assert said["notices_unknown"].startswith("no daemon runs on this home")
    assert "notices are not known: no daemon runs on this home" in operators.run("challenger1", "status")[0]
    lines = {line["name"]: line for line in operators.json("challenger1", "check")}
    assert (lines["daemon"]["mark"], lines["daemon"]["fix"]) == ("warning", "start it")
    with home.lock():
        said = operators.json("challenger1", "status")
        assert (said["daemon_runs"], said["notices"]) == (True, None)
        assert f"process {os.getpid()}, does not answer at 127.0.0.1:" in said["notices_unknown"]
        lines = {line["name"]: line for line in operators.json("challenger1", "check")}
        assert "does not answer" in lines["daemon"]["text"]


def test_without_http_a_daemon_that_runs_is_no_daemon_that_tells(operators, monkeypatch):
    monkeypatch.setenv("BITVM_HTTP", "none")
    with operators.stage.actors["challenger1"].home().lock():
        said = operators.json("challenger1", "status")
        lines = {line["name"]: line for line in operators.json("challenger1", "check")}
    assert (said["daemon_runs"], said["notices"]) == (True, None)
    assert "over `http` alone, which is not configured; set http" in said["notices_unknown"]
    assert (lines["daemon"]["mark"], lines["daemon"]["fix"]) == ("warning", "set http")


def test_claims_and_games_are_filtered(operators):
    (claim,) = operators.json("challenger1", "claims", "--verdict", "INVALID")
    assert (claim["slot"], claim["input_root"]) == (1, input_root(INPUT).hex())
    for command in ("claims", "games"):
        message = operators.refused("challenger1", command, "--setup", "other")
        assert f"--setup 'other': no finished set-up has this name; there are {SETUP}" in message
    assert len(operators.json("challenger1", "claims")) == 2
    (game,) = operators.json("challenger1", "games", "--state", "running")
    assert (game["challenger"], game["turn"], game["last"]) == (1, "prover", "1/Choice_1")
    (other,) = operators.json("challenger1", "games", "--state", "open")
    assert other["challenger"] == 2
    out, _ = operators.run("challenger1", "claims")
    assert "disputed" in out


def test_show_tells_what_every_transaction_said(operators):
    story = operators.json("challenger1", "show", SETUP)
    said = {each["name"]: each["said"] for each in story["transactions"]}
    assert list(said) == ["Fund", "Claim", "1/Challenge", "1/Choice_1"]
    assert said["1/Choice_1"] == "agrees at step 0, not at step 4"
    assert input_root(INPUT).hex()[:16] in said["Claim"]
    parents = {each["name"]: each["parent"] for each in story["transactions"]}
    assert parents == {"Fund": None, "Claim": "Fund", "1/Challenge": "Claim", "1/Choice_1": "1/Challenge"}
    position = operators.stage.position(SETUP)
    for each in story["transactions"]:
        assert each["height"] == position.confirmed[each["name"]].height
        assert each["party"] == position.graph[each["name"]].mover
    ours = [each["fee"] for each in story["transactions"] if each["party"] == "challenger1"]
    assert all(ours)
    assert story["spent"] == sum(ours)
    game = story["games"][0]
    deadline = position.height_of("1/Choice_1") + 5
    assert (game["owed"]["debtor"], game["owed"]["deadline"]) == ("prover", deadline)
    assert game["owed"]["penalty"] == "1/Slash_after_Choice_1"
    assert f"the prover owes Reveal_2 by block {deadline - 1}" in game["text"]
    out, _ = operators.run("challenger1", "show", SETUP, "--claim", 1, "--game", 2)
    assert "Choice_1" not in out
    assert "challenger2: not challenged" in out


def test_show_refuses_what_is_not_there(operators):
    assert "no set-up 'beta'; there are alpha" in operators.refused("challenger1", "show", "beta")
    assert "--claim 3: alpha has 1 to 2" in operators.refused("challenger1", "show", SETUP, "--claim", 3)
    assert "--game 0: alpha has 1 to 2" in operators.refused("challenger1", "show", SETUP, "--game", 0)


def test_verify_runs_the_claim_again(operators, tmp_path):
    found = operators.json("challenger1", "verify", SETUP, 1, code=1)
    assert found["verdict"] == "INVALID"
    assert found["claimed_root"] != found["our_root"]
    out, _ = operators.run("challenger1", "verify", SETUP, 1, code=1)
    assert found["claimed_root"] in out
    assert found["our_root"] in out
    held = tmp_path / "input"
    held.write_bytes(INPUT)
    out, err = operators.run("challenger2", "verify", SETUP, 1, code=2)
    assert out.startswith("UNKNOWN")
    assert "give it with --input FILE" in err.splitlines()[-1]
    assert operators.json("challenger2", "verify", SETUP, 1, "--input", held, code=1)["verdict"] == "INVALID"
    held.write_bytes(OTHER_INPUT)
    message = operators.refused("challenger2", "verify", SETUP, 1, "--input", held)
    assert input_root(OTHER_INPUT).hex() in message
    assert input_root(INPUT).hex() in message
    assert "claim 2 is not made" in operators.refused("challenger1", "verify", SETUP, 2)
    assert "cannot be read" in operators.refused("challenger1", "verify", SETUP, 1, "--input", tmp_path / "none")


def test_check_passes_and_says_what_could_be_better(operators):
    lines = {line["name"]: line for line in operators.json("challenger1", "check")}
    assert {line["mark"] for line in lines.values()} == {"ok", "warning"}
    assert all(line["fix"] for line in lines.values() if line["mark"] != "ok")
    assert lines["wallet"]["mark"] == lines["journal"]["mark"] == lines["set-up alpha"]["mark"] == "ok"
    reserve = defence(operators.stage.parameters, "challenger1", graph=operators.stage.archives[SETUP].graph).fees
    assert f"{reserve:,} sat" in lines["wallet"]["text"]


@pytest.fixture
def configured(operators, tmp_path, capsys):
    """Run `check` with another configuration on the same home; return its lines by name and the exit code."""

    def run(party="challenger1", **changes):
        actor = operators.stage.actors[party]
        content = yaml.safe_load(actor.config_path.read_text()) | {"data_dir": str(actor.home_path)}
        for key, value in changes.items():
            section, _, field = key.partition("__")
            content[section] = {**content.get(section, {}), field: value} if field else value
        path = tmp_path / "other.yaml"
        path.write_text(yaml.safe_dump(content))
        capsys.readouterr()
        words = ["check", "--json", "--config", str(path)]
        code = bitvm_main(["prover", *words]) if party == "prover" else challenger_main(words)
        return {line["name"]: line for line in json.loads(capsys.readouterr().out)}, code

    return run


@pytest.mark.parametrize(
    ("changes", "name", "mark", "said"),
    [
        ({"fees__max_feerate": 3}, "fees", "failed", "fees.max_feerate is 3 sat/vB, alpha counts on 20"),
        ({"node__poll_seconds": 500}, "polling", "warning", "500"),
        ({"network": "signet"}, "network", "failed", "the node is on regtest, the configuration says signet"),
        ({"alerts__command": ["/nowhere/notify"]}, "alerts", "failed", "/nowhere/notify"),
        ({"node": {"url": "http://a:b@127.0.0.1:1"}}, "node", "failed", "refused"),
        ({"second_node": {"url": "http://a:b@127.0.0.1:1"}}, "second node", "warning", "refused"),
        ({"http": "0.0.0.0:17430"}, "http", "warning", "reads everything"),
    ],
)
def test_check_finds_a_dangerous_configuration(configured, changes, name, mark, said):
    lines, code = configured(**changes)
    assert lines[name]["mark"] == mark
    assert said in lines[name]["text"]
    assert lines[name]["fix"]
    assert code == (1 if mark == "failed" else 0)


def test_check_compares_the_second_node(configured, operators):
    lines, code = configured(second_node={"url": operators.stage.node.url})
    assert (lines["second node"]["mark"], code) == ("ok", 0)
    assert "agrees at block" in lines["second node"]["text"]


def test_check_finds_damage_in_the_home(configured, operators):
    home = operators.stage.actors["challenger2"].home_path
    program = home / "setups" / SETUP / "program.elf"
    journal = home / "journal.sqlite"
    for path, name in ((program, f"set-up {SETUP}"), (journal, "journal")):
        content = path.read_bytes()
        path.write_bytes(content[:-100])
        try:
            lines, code = configured("challenger2")
        finally:
            path.write_bytes(content)
        assert (lines[name]["mark"], code) == ("failed", 1)
        assert lines["node"]["mark"] == "ok"
    (home / "seed").chmod(0o644)
    try:
        lines, code = configured("challenger2")
    finally:
        (home / "seed").chmod(0o600)
    assert (lines["home"]["mark"], code) == ("failed", 1)
    assert "chmod 600" in lines["home"]["text"]
    (home / "setups" / SETUP / "setup.yaml").chmod(0o644)
    try:
        lines, code = configured("challenger2")
    finally:
        (home / "setups" / SETUP / "setup.yaml").chmod(0o600)
    assert (lines["file modes"]["mark"], code) == ("warning", 0)


def test_without_a_node_what_was_recorded_is_shown(operators, tmp_path, capsys):
    actor = operators.stage.actors["challenger1"]
    path = tmp_path / "cut.yaml"
    content = yaml.safe_load(actor.config_path.read_text())
    content |= {"data_dir": str(actor.home_path), "node": {"url": "http://a:b@127.0.0.1:1"}}
    path.write_text(yaml.safe_dump(content))
    assert challenger_main(["show", SETUP, "--config", str(path), "--json"]) == 0
    story = json.loads(capsys.readouterr().out)
    assert "the node" in story["problem"]
    assert story["transactions"] == operators.json("challenger1", "show", SETUP)["transactions"]
    assert challenger_main(["status", "--config", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["notices"] is None
    (notice,) = said["found"]
    assert (notice["kind"], notice["severity"]) == ("node_unreachable", "critical")


def test_wallet_counts_what_the_node_has(operators):
    wallet = operators.json("challenger1", "wallet")
    actor = operators.stage.actors["challenger1"]
    unspent = operators.stage.remote.coins_of(actor.home().wallet_key().script_pubkey)
    free = [coin for coin in wallet["coins"] if coin["promised_to"] is None]
    assert wallet["balance"] == sum(coin["value"] for coin in free) > 0
    held = {(outpoint.hash[::-1].hex(), outpoint.n) for outpoint in unspent}
    assert {(coin["txid"], coin["n"]) for coin in free} <= held
    graph = operators.stage.archives[SETUP].graph
    assert wallet["reserve"] == defence(operators.stage.parameters, "challenger1", graph=graph).fees


def test_claim_queues_nothing_that_is_not_accepted(operators, tmp_path, monkeypatch):
    file = tmp_path / "next"
    file.write_bytes(OTHER_INPUT)

    class Refused(Execution):
        def __init__(self, *words, **options):
            super().__init__(*words, **options)
            self.accepted = False

    monkeypatch.setattr("bitvm.prover.commands.Execution", Refused)
    for words in ((), ("--check",)):
        message = operators.refused("prover", "claim", SETUP, "--input", file, *words)
        assert f"on the input {input_root(OTHER_INPUT).hex()}; nothing was queued" in message
    store = operators.stage.actors["prover"].home().daemon_path
    with DaemonStore.open(store) as opened:
        assert 2 not in opened.queued(SETUP)


def test_claim_queues_once_and_only_what_is_accepted(operators, tmp_path):
    file = tmp_path / "next"
    file.write_bytes(OTHER_INPUT)
    root = input_root(OTHER_INPUT)
    assert "--slot 1: claimed in block" in operators.refused("prover", "claim", SETUP, "--input", file, "--slot", 1)
    assert "has 1 to 2" in operators.refused("prover", "claim", SETUP, "--input", file, "--slot", 3)
    found = operators.json("prover", "claim", SETUP, "--input", file)
    assert found == {"setup": SETUP, "slot": 2, "input_root": root.hex(), "size": 4, "checked": True}
    out, _ = operators.run("prover", "claim", SETUP, "--input", file, "--slot", 2, "--unchecked")
    assert "if the daemon's run is not accepted, the slot is lost" in out
    archive, home = operators.stage.archives[SETUP], operators.stage.actors["prover"].home()
    with InputStore(home.inputs_path) as store:
        assert store.roots(archive.setup_id, 2) == (root,)
        assert store.read(root) == OTHER_INPUT
    assert "no claim slot is free" in operators.refused("prover", "claim", SETUP, "--input", file)
    file.write_bytes(INPUT + b"x")
    message = operators.refused("prover", "claim", SETUP, "--input", file, "--slot", 2)
    assert f"queued for the input {root.hex()}" in message
    with InputStore(home.inputs_path) as store:
        assert store.roots(archive.setup_id, 2) == (root,)


def test_status_comes_from_the_daemon_if_it_tells(operators, scene):
    _, company = scene
    actor = operators.stage.actors["challenger1"]
    notice = Notice(NoticeKind.GAME_ALARM, Severity.CRITICAL, "1:1: only the daemon knows", SETUP)
    told = replace(company.snapshots["challenger1"], notices=(notice,), ticks=4_711)

    async def ask(*words):
        board = Board()
        board.publish(told)
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_http, Address("127.0.0.1", actor.http), board)
            found = await trio.to_thread.run_sync(operators.run, "challenger1", *words)
            nursery.cancel_scope.cancel()
        return found[0]

    said = json.loads(trio.run(ask, "status", "--json"))
    assert (said["ticks"], said["told_by"], said["daemon_runs"]) == (4_711, "daemon", True)
    assert [found["text"] for found in said["notices"]] == [notice.text]
    out = trio.run(ask, "status")
    assert "critical: alpha: game_alarm: 1:1: only the daemon knows" in out
    assert "the prover owes" in out or "owes an answer" in out
    games = json.loads(trio.run(ask, "games", "--json"))
    assert [game["decision"] for game in games] == [game.decision for game in told.setups[0].games]


def test_the_picture_survives_text_that_looks_like_markup(scene):
    _, company = scene
    notice = Notice(NoticeKind.GAME_ALARM, Severity.WARNING, "[bold]not markup[/]", None)
    console = Console(width=120, record=True, file=StringIO())
    console.print(picture(Standing(replace(company.snapshots["challenger1"], notices=(notice,)), runs=True)))
    assert "[bold]not markup[/]" in console.export_text()
