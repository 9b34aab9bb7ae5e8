"""The watchtower's own commands: inputs by hand, the monitor without a seed, and a set-up from plan to Fund."""

import json
import shutil
import subprocess
import sys

import pytest
import trio
import yaml
from operated import SETUP, Operators, contents, lied, run_main
from tiny import INPUT, OTHER_INPUT, tiny_parameters, write_program

from bitvm.cli import main as bitvm_main
from bitvm.daemon.commands.lookout import QuietNode
from bitvm.graph.model import PROVER
from bitvm.setup.archive import Archive
from bitvm.setup.input_store import InputStore
from bitvm.setup.plan import SetupPlan
from challenger.cli import main as challenger_main
from lvm.boot import input_root
from regtest.stage import Stage, free_port

pytestmark = pytest.mark.bitcoind


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    stage, company = lied(tmp_path_factory.mktemp("tower"))
    with stage:
        yield stage, company


@pytest.fixture
def operators(scene, capsys):
    return Operators(scene[0], capsys)


@pytest.fixture
def public(operators, tmp_path):
    """The two public files of the set-up, and a configuration whose home is not there."""
    folder = tmp_path / "public"
    folder.mkdir()
    held = operators.stage.actors["challenger2"].home().setup(SETUP)
    for path in (held.plan_path, held.exchange_path):
        shutil.copy(path, folder)
    config = tmp_path / "monitor.yaml"
    content = {"data_dir": str(tmp_path / "nothing"), "node": {"url": operators.stage.node.url, "poll_seconds": 0.1}}
    config.write_text(yaml.safe_dump(content))
    return folder, config


def monitor(capsys, *words, code=0):
    return run_main(capsys, "challenger1", ["monitor", *map(str, words)], code)


def test_the_monitor_needs_no_seed_and_touches_nothing(operators, public, capsys):
    folder, config = public
    before = contents(folder)
    out, _ = monitor(capsys, folder, "--config", config, "--json")
    sight = json.loads(out)
    (watched,) = sight["setups"]
    position = operators.stage.position(SETUP)
    assert (sight["height"], watched["height"], watched["funded"]) == (position.height, position.height, True)
    claim, game, other, second = watched["forecasts"]
    deadline = position.height_of("1/Choice_1") + 5
    assert (game["winner"], game["by"]) == ("challenger1", deadline - 1)
    assert game["text"].startswith("challenger1 wins unless the prover confirms Reveal_2 by block")
    assert (claim["winner"], claim["challenger"], other["text"]) == ("challenger1", None, "not challenged")
    assert "nothing is claimed" in second["text"]
    assert contents(folder) == before
    assert not (config.parent / "nothing").exists()
    text, _ = monitor(capsys, folder, "--config", config)
    assert "challenger1 wins unless the prover" in text


def test_with_the_input_the_monitor_knows_the_truth(operators, public, capsys, tmp_path):
    folder, config = public
    file = tmp_path / "input"
    file.write_bytes(INPUT)
    _, err = monitor(capsys, folder, "--config", config, "--input", file, code=2)
    assert "program.elf: no program" in err
    shutil.copy(operators.stage.program, folder / "program.elf")
    out, _ = monitor(capsys, folder, "--config", config, "--input", file, "--json")
    (watched,) = json.loads(out)["setups"]
    assert watched["truths"] == {"1": "INVALID"}
    claim, game, *_ = watched["forecasts"]
    assert "the claim is false: the prover can only delay; Slash by block" in claim["text"]
    assert "the prover can only delay" in game["text"]
    file.write_bytes(OTHER_INPUT)
    _, err = monitor(capsys, folder, "--config", config, "--input", file, code=2)
    assert input_root(OTHER_INPUT).hex() in err


def test_the_monitor_refuses_what_it_would_not_use(operators, public, capsys, tmp_path):
    folder, config = public
    height = operators.stage.chain.height()
    for first in (height + 1, -1):
        _, err = monitor(capsys, folder, "--config", config, "--from", first, code=2)
        assert f"--from {first}: the node has blocks 0 to {height}" in err
    monitor(capsys, folder, "--config", config, "--from", 0)
    _, err = monitor(capsys, "--config", config, "--input", tmp_path / "none", code=2)
    assert f"{tmp_path / 'none'}: cannot be read" in err


def test_the_monitor_shows_the_home_and_names_what_it_does_not_find(operators, public, capsys):
    folder, config = public
    assert operators.json("challenger2", "monitor")["setups"][0]["setup"] == SETUP
    assert operators.json("challenger2", "monitor", SETUP)["setups"][0]["setup"] == SETUP
    assert "neither a folder with setup.yaml" in operators.refused("challenger2", "monitor", "beta")
    _, err = monitor(capsys, "--config", config, code=2)
    assert "no set-up; name a folder" in err
    (folder / "setup.yaml").write_text("name: x\n")
    _, err = monitor(capsys, folder, "--config", config, code=2)
    assert "setup.yaml" in err


def test_the_monitor_follows_with_one_line_a_block(operators, public):
    folder, config = public
    words = ["monitor", str(folder), "--follow", "--json", "--config", str(config)]
    with subprocess.Popen([sys.executable, "-m", "challenger", *words], stdout=subprocess.PIPE, text=True) as process:
        first = json.loads(process.stdout.readline())
        operators.stage.chain.mine(1)
        second = json.loads(process.stdout.readline())
        process.terminate()
    assert second["height"] == first["height"] + 1 == operators.stage.chain.height()
    game = [sight["setups"][0]["forecasts"][1] for sight in (first, second)]
    assert game[1]["left"] == game[0]["left"] - 1


def test_inputs_are_given_by_hand(operators, tmp_path):
    file = tmp_path / "input"
    file.write_bytes(INPUT)
    (missing,) = operators.json("challenger2", "input", "list")
    assert (missing["root"], missing["size"], missing["claimed"]) == (input_root(INPUT).hex(), None, True)
    kept = operators.json("challenger2", "input", "add", SETUP, file)
    assert (kept["slot"], kept["size"], kept["claimed"]) == (1, 4, True)
    assert operators.json("challenger2", "input", "list")[0]["size"] == 4
    file.write_bytes(OTHER_INPUT)
    message = operators.refused("challenger2", "input", "add", SETUP, file)
    assert f"no claim of alpha states its root {input_root(OTHER_INPUT).hex()}" in message
    assert "--slot" in message
    assert operators.json("challenger2", "input", "add", SETUP, file, "--slot", 2)["claimed"] is False
    home = operators.stage.actors["challenger2"].home()
    with InputStore(home.inputs_path) as store:
        setup_id = operators.stage.archives[SETUP].setup_id
        assert store.roots(setup_id, 1) == (input_root(INPUT),)
        assert store.read(store.roots(setup_id, 2)[0]) == OTHER_INPUT
    out, _ = operators.run("challenger2", "input", "list", SETUP)
    assert input_root(INPUT).hex() in out


# ---- from a plan to Fund


@pytest.fixture(scope="module")
def unplanned(tmp_path_factory):
    """Homes with coins, and no set-up."""
    folder = tmp_path_factory.mktemp("unplanned")
    program = write_program(folder)
    with Stage(folder / "stage", tiny_parameters(program), program) as stage:
        stage.fund()
        yield stage


def test_a_set_up_from_plan_to_fund(unplanned, tmp_path, capsys):
    stage = unplanned
    parameters, plan_file = tmp_path / "p.yaml", tmp_path / "plan.yaml"
    values = {name: value for name, value in stage.parameters.to_json().items() if name not in ("image_root", "entry")}
    parameters.write_text(yaml.safe_dump(values))
    identities = {name: actor.home().identity.public.hex() for name, actor in stage.actors.items()}
    words = ["setup", "new", "ledger-1", "--program", str(stage.program), "--parameters", str(parameters)]
    words += ["--prover", f"{identities[PROVER]}@127.0.0.1:{free_port()}", "--challenger", identities["challenger1"]]
    assert bitvm_main([*words, "-o", str(plan_file)]) == 0
    plan = SetupPlan.load(plan_file)
    assert plan.parameters == stage.parameters
    assert plan.digest().hex() in capsys.readouterr().out

    ends = {}

    async def both():
        async with trio.open_nursery() as nursery:
            for name, main, command in (
                (PROVER, bitvm_main, ["setup", "run"]),
                ("challenger1", challenger_main, ["join"]),
            ):
                config = str(stage.actors[name].config_path)
                line = [*command, str(plan_file), "--program", str(stage.program), "--config", config]
                nursery.start_soon(run, name, main, line)

    async def run(name, main, line):
        ends[name] = await trio.to_thread.run_sync(main, line)

    trio.run(both)
    said = capsys.readouterr()
    assert ends == {PROVER: 0, "challenger1": 0}, said.err
    assert "4 of 4 rounds are complete" in said.err
    assert "we are prover" in said.out
    assert "we are challenger1" in said.out
    homes = [actor.home().setup("ledger-1") for actor in stage.actors.values()]
    ours, theirs = (Archive.load(folder.exchange_path, plan.parameters) for folder in homes)
    assert ours.fund.serialize() == theirs.fund.serialize()

    operators = Operators(stage, capsys)
    (move,) = operators.json("prover", "moves")["moves"]
    assert (move["transaction"], move["waiting"]) == ("Fund", False)
    with QuietNode(stage.node.url) as quiet:
        quiet.submit([ours.fund])
    assert stage.remote.mempool_txids() == ()
    stage.remote.submit([ours.fund])
    assert operators.json("prover", "moves")["moves"][0]["waiting"]
    stage.chain.mine(1)
    assert operators.json("challenger1", "status")["setups"][0]["funded"]
    assert "Nothing is due" in operators.run("challenger1", "moves")[0]

    stage.start("challenger1")
    stage.settle()
    assert operators.json("challenger1", "status")["ticks"] > 0
    lines = {line["name"]: line for line in operators.json("challenger1", "check")}
    assert lines["daemon"]["text"].startswith("runs; its last tick ended")
    assert "a daemon runs on this home already" in operators.refused("challenger1", "run")
    assert stage.actors["challenger1"].end() == 0


def test_a_set_up_that_cannot_be_paid_says_where_to_pay(unplanned, tmp_path, capsys):
    plan_file = tmp_path / "plan.yaml"
    unplanned.plan("dear-1").save(plan_file)
    operators = Operators(unplanned, capsys)
    address = operators.json("challenger1", "wallet")["address"]
    message = operators.refused("challenger1", "join", plan_file, "--program", unplanned.program)
    assert "sat needed" in message
    assert address in message
    other = tmp_path / "other.elf"
    other.write_bytes(b"\x7fELF")
    assert "SHA256" in operators.refused("challenger1", "join", plan_file, "--program", other)
