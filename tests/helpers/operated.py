"""A stage whose operators use the commands: run in this process, on real homes and a real node."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from company import LIE, Company, new_stage
from tiny import INPUT, LIE_STEP

from bitvm.cli import main as bitvm_main
from bitvm.graph.model import PROVER
from challenger.cli import main as challenger_main
from regtest.hostile_roles import lying
from regtest.stage import Stage

SETUP = "alpha"


class Operators:
    """Runs commands as the operator of a party; ``said`` is what they wrote."""

    def __init__(self, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        self.stage, self._capsys = stage, capsys

    def run(self, party: str, *words: object, code: int = 0) -> tuple[str, str]:
        """Run a command with the party's configuration; return what it wrote, after checking the exit code."""
        config = str(self.stage.actors[party].config_path)
        return run_main(self._capsys, party, [*map(str, words), "--config", config], code)

    def json(self, party: str, *words: object, code: int = 0) -> Any:
        """Return a command's answer as JSON."""
        out, _ = self.run(party, *words, "--json", code=code)
        return json.loads(out)

    def refused(self, party: str, *words: object) -> str:
        """Return the last line of standard error of a command that must not be carried out."""
        out, err = self.run(party, *words, code=2)
        assert out == ""
        return err.splitlines()[-1]


def run_main(capsys: pytest.CaptureFixture[str], party: str, words: Sequence[str], code: int) -> tuple[str, str]:
    """Run the command line of a party's role."""
    capsys.readouterr()
    main: Callable[[Sequence[str]], int] = challenger_main
    if party == PROVER:
        main, words = bitvm_main, ["prover", *words]
    found = main(words)
    captured = capsys.readouterr()
    assert found == code, captured.out + captured.err
    return captured.out, captured.err


def lied(folder: Path, until: str = "1/Choice_1") -> tuple[Stage, Company]:
    """Return a stage of a lying prover and an honest challenger1, played until a transaction is confirmed, stopped."""
    stage = new_stage(folder, SETUP, challengers=2, claims=2)
    stage.queue_claim(SETUP, INPUT)
    stage.give_input("challenger1", SETUP, INPUT)
    company = Company(stage, runs={PROVER: lying(LIE, LIE_STEP)})
    company.start()
    company.mine_until(SETUP, until)
    company.stop()
    return stage, company


def contents(home: Path) -> dict[str, bytes]:
    """Return all files of a home, but for those that SQLite keeps beside a database that is open."""
    files = (path for path in sorted(home.rglob("*")) if path.is_file() and not path.name.endswith(("-wal", "-shm")))
    return {str(path.relative_to(home)): path.read_bytes() for path in files}
