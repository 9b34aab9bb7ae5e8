"""The README's first command, as a process of its own."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT = 300
"""Seconds; what it takes where `.venv` has yet to be filled."""

STORY = (
    "A false claim",
    "The prover lies at step",
    "Challenge",
    "Choice_2",
    "Step",
    "Slash",
    "judged false in Script, and the bond was slashed",
    "An honest claim",
    "Payout",
    "prover wins",
)
"""What a newcomer is told, in this order."""


def run_demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / "demo"), *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=TIMEOUT, check=False)


@pytest.mark.parametrize("levels", ["2", pytest.param("5", marks=pytest.mark.soak)])
@pytest.mark.parametrize(
    "node", [(), pytest.param(("--node", "bitcoind"), marks=pytest.mark.bitcoind)], ids=["embedded", "bitcoind"]
)
def test_demo_tells_the_story(node, levels):
    done = run_demo("--levels", levels, *node)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())  # however the lines were wrapped
    position = 0
    for text in STORY:
        position = told.index(text, position)
    assert "Traceback" not in done.stderr


def test_demo_passes_on_what_it_cannot_play():
    done = run_demo("--levels", "0")
    assert done.returncode == 2
    assert "--levels 0" in done.stderr
