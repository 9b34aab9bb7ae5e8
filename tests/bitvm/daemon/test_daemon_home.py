import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from plans import PLAN

from bitvm.daemon.home import Home, HomeError, HomeLockedError
from bitvm.keys.seed import Seed


@pytest.fixture
def home(tmp_path):
    return Home.create(tmp_path / "home", "prover")


def test_a_new_home_has_its_parts_for_the_owner_alone(home):
    found = {path.name: path.stat().st_mode & 0o777 for path in home.path.iterdir()}
    assert found == {"role": 0o600, "seed": 0o600, "identity": 0o600, "journal.sqlite": 0o600, "setups": 0o700}
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert list(home.path.parent.iterdir()) == [home.path], "no draft is left"
    again = Home.open(home.path)
    assert (again.role, again.identity.public) == ("prover", home.identity.public)
    assert again.seed.identity == home.seed.identity
    home.open_journal().close()


def test_an_earlier_seed_makes_the_same_wallet_and_homes_differ(tmp_path, home):
    same = Home.create(tmp_path / "same", "challenger", seed=home.seed)
    other = Home.create(tmp_path / "other", "challenger")
    assert same.wallet_key().script_pubkey == home.wallet_key().script_pubkey
    assert other.wallet_key().script_pubkey != home.wallet_key().script_pubkey


def test_a_wallet_key_never_changes(tmp_path):
    home = Home.create(tmp_path / "home", "prover", seed=Seed(bytes(32)))
    assert home.wallet_key().output_key.hex() == "5301bc9f121b69bda565357cba53d7082cfb7778e5fd2fb3bb8d79456c5285d5"


def test_a_home_is_made_in_an_empty_folder_and_never_over_anything(tmp_path):
    path = tmp_path / "deep" / "home"
    path.mkdir(parents=True)
    Home.create(path, "challenger")
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}
    for kept in (path, tmp_path / "deep"):
        with pytest.raises(HomeError, match="not empty"):
            Home.create(kept, "prover")
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(HomeError, match="cannot be made"):
        Home.create(file, "prover")
    for below in (file / "home", file / "deep" / "home"):
        with pytest.raises(HomeError, match=f"cannot be made: {file} is a file"):
            Home.create(below, "prover")
    assert file.read_text() == "mine"
    assert {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()} == before


@pytest.mark.soak
def test_a_home_whose_making_is_killed_is_not_there(tmp_path):
    """Killed before each system call that makes, links or renames something, the folder is complete or missing."""
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from bitvm.daemon.home import Home\n"
        "left = int(sys.argv[2])\n"
        "def hook(event, arguments):\n"
        "    global left\n"
        "    if event in ('open', 'os.mkdir', 'os.link', 'os.rename', 'sqlite3.connect'):\n"
        "        if str(arguments[0]).find('home') >= 0:\n"
        "            left -= 1\n"
        "            if left == 0:\n"
        "                os.kill(os.getpid(), 9)\n"
        "sys.addaudithook(hook)\n"
        "Home.create(Path(sys.argv[1]), 'prover')\n"
    )
    ended = []
    for cut in range(1, 60):
        path = tmp_path / str(cut) / "home"
        environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
        done = subprocess.run([sys.executable, "-c", script, path, str(cut)], env=environment, check=False)
        ended.append(done.returncode)
        if path.exists():
            Home.open(path).open_journal().close()
        if done.returncode == 0:
            break
    assert ended[-1] == 0
    assert set(ended[:-1]) == {-signal.SIGKILL}
    assert len(ended) > 8


@pytest.mark.parametrize("part", ["seed", "identity", "journal.sqlite", "role"])
def test_a_missing_part_is_named_and_not_made(home, part):
    (home.path / part).unlink()
    with pytest.raises(HomeError, match=part):
        Home.open(home.path)
    assert not (home.path / part).exists()


@pytest.mark.parametrize("part", ["seed", "identity", "journal.sqlite", "."])
def test_a_part_that_is_open_to_others_is_named(home, part):
    (home.path / part).chmod(0o750)
    with pytest.raises(HomeError, match=r"mode 0750 opens .* run chmod [67]00") as caught:
        Home.open(home.path)
    assert "from a backup" not in str(caught.value)


@pytest.mark.parametrize("part", ["seed", "identity"])
def test_a_backup_is_only_asked_for_where_a_part_is_gone_or_damaged(home, part, monkeypatch):
    (home.path / part).write_bytes(b"no such thing")
    with pytest.raises(HomeError, match="restore the home from a backup"):
        Home.open(home.path)
    opened = Path.open

    def denied(path, *words, **options):
        if path.name == part:
            raise PermissionError(13, "Permission denied")
        return opened(path, *words, **options)

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(HomeError, match="Permission denied; become the user") as caught:
        Home.open(home.path)
    assert "from a backup" not in str(caught.value)


def test_the_home_of_another_role_is_refused(home):
    with pytest.raises(HomeError, match="the home of a prover, not of a challenger"):
        Home.open(home.path, "challenger")
    (home.path / "role").write_text("judge\n")
    with pytest.raises(HomeError, match="prover or challenger needed, got 'judge'"):
        Home.open(home.path)
    with pytest.raises(HomeError, match="no such folder"):
        Home.open(home.path / "none")


def test_a_second_daemon_is_told_who_the_first_one_is(home):
    script = (
        "import sys\nfrom pathlib import Path\nfrom bitvm.daemon.home import Home\n"
        "with Home.open(Path(sys.argv[1])).lock():\n    print('locked', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", script, home.path]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"locked\n"
        with pytest.raises(HomeLockedError, match=f"process {first.pid}; stop it"), home.lock():
            pass
        assert home.running() == str(first.pid)
        first.kill()
        first.wait()
    assert home.running() is None, "the number that it left says nothing"
    with home.lock():
        assert home.lock_path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(HomeLockedError, match=f"process {os.getpid()}"), Home.open(home.path).lock():
            pass
    with home.lock():
        pass


def test_whether_a_daemon_runs_can_be_asked_while_one_starts(home):
    before = sorted(home.path.iterdir())
    assert home.running() is None
    assert sorted(home.path.iterdir()) == before
    with home.lock():
        pass
    asking = threading.Event()

    def ask():
        while not asking.is_set():
            home.running()
            time.sleep(0.001)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for _ in range(200):
            with home.lock():
                pass
    finally:
        asking.set()
        thread.join()


def test_set_ups_are_those_with_a_plan_in_name_order(home):
    assert home.setups() == ()
    for name in ("b", "a-2", "a-1"):
        folder = home.adopt(replace(PLAN, name=name), b"program")
        assert folder.plan() == replace(PLAN, name=name)
        assert folder.program_path.read_bytes() == b"program"
    (home.setups_path / "c").mkdir()
    (home.setups_path / "NOT").mkdir()
    assert home.setups() == ("a-1", "a-2", "b")
    with pytest.raises(HomeError, match="no name of a set-up"):
        home.setup("../a")


def test_a_set_up_never_changes(home):
    folder = home.adopt(PLAN, b"program")
    home.adopt(PLAN, b"program")
    with pytest.raises(HomeError, match=r"setup\.yaml: another plan"):
        home.adopt(replace(PLAN, network="main"), b"program")
    with pytest.raises(HomeError, match=r"program\.elf: another program"):
        home.adopt(PLAN, b"other")
    assert folder.plan() == PLAN
    (home.setups_path / "moved").mkdir()
    folder.plan_path.rename(home.setups_path / "moved" / "setup.yaml")
    with pytest.raises(HomeError, match="the plan of ledger-1, in the folder of moved"):
        home.setup("moved").plan()
