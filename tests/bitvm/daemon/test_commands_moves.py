"""`moves`, and the commands that write, while a dispute goes on."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
from operated import SETUP, Operators, contents, lied

from bitvm.daemon.backup import recovery_pending
from bitvm.game.recall import double_signed, recall

pytestmark = pytest.mark.bitcoind


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    stage, company = lied(tmp_path_factory.mktemp("moves"), until="Claim")
    with stage:
        yield stage, company


@pytest.fixture
def operators(scene, capsys):
    return Operators(scene[0], capsys)


def test_moves_are_those_that_the_daemon_makes(operators, scene):
    stage, company = scene
    home = stage.actors["challenger1"].home_path
    made = stage.position(SETUP).height_of("Claim")
    plan = operators.json("challenger1", "moves")
    assert plan["moves"] == []
    assert "Claim is not buried yet" in plan["waits"][0]["why"]
    stage.chain.mine(1)
    before = contents(home)
    (move,) = operators.json("challenger1", "moves", SETUP, "--dry-run")["moves"]
    assert (move["transaction"], move["slot"], move["keys"], move["waiting"]) == (
        "1/Challenge",
        1,
        "none needed",
        False,
    )
    assert (move["by"], move["left"]) == (made + 6, made + 6 - stage.chain.height())
    assert move["why"] == "INVALID: the run ends in another state"
    assert 0 < move["fee"] < move["budget"] == stage.parameters.stake // 2
    planned = move["feerate"]
    assert contents(home) == before
    assert stage.remote.mempool_txids() == ()

    company.start("challenger1")
    company.tick("challenger1")
    assert operators.json("challenger1", "moves")["moves"][0]["waiting"]
    entry = stage.remote.mempool_entry(stage.archives[SETUP].graph["1/Challenge"].txid)
    assert entry.descendants_fee / entry.descendants_vsize == pytest.approx(planned, rel=0.02)
    assert entry.descendants_fee <= move["fee"]
    company.stop()
    stage.chain.mine(2)

    (move,) = operators.json("challenger1", "moves")["moves"]
    assert (move["transaction"], move["keys"], move["waiting"]) == ("1/Choice_1", "free", False)
    company.start("challenger1")
    company.tick("challenger1")
    company.stop()
    (move,) = operators.json("challenger1", "moves")["moves"]
    assert (move["keys"], move["waiting"]) == ("signed so before", True)
    out, _ = operators.run("challenger1", "moves")
    assert out.startswith("1 due now:")
    assert f"alpha 1/Choice_1  by block {move['by']} ({move['left']} left), in the mempool" in out
    assert "keys    signed so before" in out
    assert "Nothing was signed or sent." in out


def test_moves_see_that_a_key_holds_another_message(operators, scene):
    """The liar's home has signed a false step; an honest look at it says so, and signs nothing."""
    stage, company = scene
    company.start()
    company.mine_until(SETUP, "1/Choice_2")
    stage.chain.mine(1)
    company.tick("prover")
    company.stop()
    moves = {move["transaction"]: move for move in operators.json("prover", "moves")["moves"]}
    assert moves["1/Step"]["keys"] == "holds another message"
    assert moves["1/Step"]["waiting"]


def test_what_is_missing_is_waited_for(operators):
    plan = operators.json("challenger2", "moves")
    assert plan["moves"] == []
    assert any("UNKNOWN" in wait["why"] and wait["alarm"] for wait in plan["waits"])
    out, _ = operators.run("challenger2", "moves")
    assert "Nothing is due now." in out
    assert "UNKNOWN" in out


def test_wallet_pays_and_cuts(operators, scene):
    stage, _ = scene
    before = operators.json("challenger2", "wallet", "--scan")
    other = operators.json("challenger1", "wallet")["address"]
    sent = operators.json("challenger2", "wallet", "send", other, 50_000, "--feerate", 2)
    assert sent["feerate"] == pytest.approx(2, rel=0.01)
    assert bytes.fromhex(sent["txid"])[::-1] in stage.remote.mempool_txids()
    stage.chain.mine(1)
    after = operators.json("challenger2", "wallet", "--scan")
    assert after["balance"] == before["balance"] - 50_000 - sent["fee"]
    split = operators.json("challenger2", "wallet", "split", 2, "--value", 20_000)
    (line,) = (line for line in operators.json("challenger2", "check") if line["name"] == "wallet")
    free, coming = re.match(r"([\d,]+) sat free, ([\d,]+) in use or on their way", line["text"]).groups()
    assert sum(int(each.replace(",", "")) for each in (free, coming)) >= after["balance"] - split["fee"]
    stage.chain.mine(1)
    cut = operators.json("challenger2", "wallet", "--scan")
    assert cut["balance"] == after["balance"] - split["fee"]
    assert [coin["value"] for coin in cut["coins"] if coin["promised_to"] is None].count(20_000) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("send", "nonsense", 50_000), "ADDRESS 'nonsense': not an address on regtest"),
        (("send", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", 50_000), "not an address on regtest"),
        (("send", "ours", 10), "AMOUNT 10: at least 1,000 sat needed"),
        (("send", "ours", 10**12), "pay less, or add --anyway"),
        (("send", "ours", 10**12, "--anyway"), "are needed, but the free coins hold"),
        (("send", "ours", 5_000, "--feerate", 9_999), "--feerate 9999: more than 0 and at most fees.max_feerate = 500"),
        (("split", 0), "COUNT 0: 1 to 200 needed"),
        (("split", 1, "--value", 5), "--value 5"),
    ],
)
def test_wallet_refuses_before_it_sends(operators, scene, words, said):
    ours = operators.json("challenger1", "wallet")["address"]
    mempool = scene[0].remote.mempool_txids()
    assert said in operators.refused("challenger1", "wallet", *[ours if word == "ours" else word for word in words])
    assert scene[0].remote.mempool_txids() == mempool


@pytest.fixture
def evil(operators):
    """A folder of a set-up that cannot be read, in the home of challenger1."""
    folder = operators.stage.actors["challenger1"].home().setups_path / "evil"
    folder.mkdir(mode=0o700)
    (folder / "setup.yaml").write_bytes(b"\xff\x00garbage")
    (folder / "setup.yaml").chmod(0o600)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.usefixtures("evil")
def test_a_set_up_that_cannot_be_read_hides_no_other(operators):
    said = operators.json("challenger1", "status", code=1)
    assert [setup["name"] for setup in said["setups"]] == [SETUP]
    assert [(found["kind"], found["setup"]) for found in said["found"]] == [("setup_failed", "evil")]
    assert "critical: evil: setup_failed: " in operators.run("challenger1", "status", code=1)[0]
    for command in (("claims",), ("games",), ("moves",), ("wallet",), ("input", "list")):
        out, err = operators.run("challenger1", *command, "--json", code=1)
        assert "set-up evil is left out: " in err
        assert "setup.yaml" in err
        assert json.loads(out)
        operators.run("challenger1", *command, code=1)
    assert operators.json("challenger1", "claims", "--setup", SETUP)
    assert "--setup evil: " in operators.refused("challenger1", "games", "--setup", "evil")
    assert "setup.yaml" in operators.refused("challenger1", "moves", "evil")
    ours = operators.json("challenger1", "wallet", code=1)["address"]
    assert "set-up evil cannot be read" in operators.refused("challenger1", "wallet", "send", ours, 5_000)


@pytest.mark.usefixtures("evil")
def test_check_and_monitor_show_what_can_be_read(operators):
    lines = {line["name"]: line for line in operators.json("challenger1", "check", code=1)}
    assert [name for name, line in lines.items() if line["mark"] == "failed"] == ["set-up evil"]
    assert lines["wallet"]["text"].endswith("without those of evil")
    assert lines[f"set-up {SETUP}"]["mark"] == lines["node"]["mark"] == "ok"
    sight = operators.json("challenger1", "monitor", code=1)
    assert [watched["setup"] for watched in sight["setups"]] == [SETUP]
    assert "setup.yaml" in sight["unread"]["evil"]
    assert "evil: left out: " in operators.run("challenger1", "monitor", code=1)[0]
    assert "setup.yaml" in operators.refused("challenger1", "monitor", "evil")


def test_a_program_that_cannot_be_read_hides_no_move_of_another(operators):
    program = operators.stage.actors["challenger1"].home().setup(SETUP).program_path
    content = program.read_bytes()
    program.write_bytes(b"no program")
    try:
        out, err = operators.run("challenger1", "moves", "--json", code=1)
    finally:
        program.write_bytes(content)
    assert json.loads(out)["moves"] == []
    assert f"set-up {SETUP} is left out: {program}: " in err


def test_backup_and_restore(operators, tmp_path, capsys):
    actor = operators.stage.actors["challenger1"]
    file = tmp_path / "backup.tar"
    assert operators.json("challenger1", "backup", file)["with_seed"] is False
    assert "exists" in operators.refused("challenger1", "backup", file)
    config = tmp_path / "restored.yaml"
    config.write_text(actor.config_path.read_text().replace("data_dir: home", f"data_dir: {tmp_path / 'again'}"))

    def restored(*words):
        from challenger.cli import main

        capsys.readouterr()
        return main([*map(str, words), "--config", str(config)]), capsys.readouterr()

    code, said = restored("restore", file)
    assert code == 2
    assert "holds no seed" in said.err
    code, said = restored("restore", file, "--seed", actor.home_path / "seed")
    assert code == 0
    assert actor.home().identity.public.hex() in said.out
    assert recovery_pending(tmp_path / "again")
    code, said = restored("check", "--json")
    assert '"recovery"' in said.out
    assert "run the daemon with a node until" in said.out
    code, said = restored("status", "--json")
    assert json.loads(said.out)["recovering"]
    code, said = restored("status")
    assert "recovering from a restore: nothing is signed yet" in said.out


@pytest.fixture
def ctrl_c():
    """See that a process started now hears SIGINT, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_status_watch_is_a_picture_that_keeps_up(operators):
    """Watched by a process of its own, until Ctrl-C."""
    config = operators.stage.actors["challenger1"].config_path
    command = [sys.executable, "-m", "challenger", "status", "--watch", "--every", "0.2", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        heads = [next(line for line in process.stdout if line.startswith("challenger, block")) for _ in range(2)]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert f"block {operators.stage.chain.height()}," in heads[-1]
    assert "leave --json out" in operators.refused("challenger1", "status", "--watch", "--json")
    assert "--every 0" in operators.refused("challenger1", "status", "--watch", "--every", 0)


def test_nobody_signed_twice(scene):
    """After all these commands beside the daemons, no key of the honest challenger has two messages."""
    stage, company = scene
    seen = list(company.histories[SETUP].values())
    assert double_signed(recall(stage.archives[SETUP].graph, "challenger1", seen)) == {}
