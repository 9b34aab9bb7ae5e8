"""The command: what it prints, for people and for programs, and what it says to nonsense."""

import json
import re
from pathlib import Path

import pytest
from arena import SMALL_INPUT

from lvm.guest import elf_path
from regtest.cli import main

SMALL = ["--levels", "2", "--input", str(SMALL_INPUT)]
TRANSACTION = {"name": str, "party": str, "txid": str, "vsize": int, "weight": int, "height": int}


def printed_json(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def test_json_has_the_promised_shape(capsys):
    printed = printed_json(capsys, "simulate", *SMALL, "--lie", "written")
    assert {"winner", "reason", "levels", "steps", "transactions", "totals"} <= set(printed)
    assert (printed["winner"], printed["levels"], printed["steps"]) == ("challenger1", 2, 663)
    assert "judged false" in printed["reason"]
    names = [transaction["name"] for transaction in printed["transactions"]]
    assert names[:3] == ["Fund", "Claim", "1/Challenge"]
    assert names[-1] == "1/Slash"
    for transaction in printed["transactions"]:
        for field, kind in TRANSACTION.items():
            assert type(transaction[field]) is kind
        assert len(bytes.fromhex(transaction["txid"])) == 32
    heights = [transaction["height"] for transaction in printed["transactions"]]
    assert heights == sorted(heights)
    sizes = dict.fromkeys(("prover", "challenger1"), 0)
    for transaction in printed["transactions"]:
        sizes[transaction["party"]] += transaction["vsize"]
    assert printed["totals"]["vsize"] == sizes
    assert printed["totals"]["all"] == sum(sizes.values())


def test_a_seed_gives_the_same_transactions_again_and_another_seed_others(capsys):
    def txids(seed):
        printed = printed_json(capsys, "simulate", *SMALL, "--lie", "halt@100", "--seed", seed)
        return [transaction["txid"] for transaction in printed["transactions"]]

    first = txids("7")
    assert txids("7") == first
    assert not set(txids("8")) & set(first)


def test_the_story_fits_into_its_columns(capsys, monkeypatch):
    told = ["An honest claim", "Claim", "Payout", "prover wins", "vB", "Cost in virtual bytes"]
    for columns in ("80", None):
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns is not None:
            monkeypatch.setenv("COLUMNS", columns)
        assert main(["simulate", *SMALL]) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in told)
        assert max(map(len, out.splitlines())) <= int(columns or "120")
        assert "\x1b" not in out
        assert "running the program" not in out
        assert re.search(
            r"^ +\d{3}  prover       Claim                       2,88\d  claim the result and", out, re.MULTILINE
        )


def test_the_story_tells_who_fell_silent_and_who_never_could(capsys):
    assert main(["simulate", *SMALL, "--lie", "written", "--silent", "prover@Step"]) == 0
    out = capsys.readouterr().out
    assert "stays silent" in out
    assert "did not answer Choice_2 in time" in out
    assert main(["simulate", *SMALL, "--silent", "challenger@Choice_1"]) == 0
    assert "never came to Choice_1" in capsys.readouterr().out


def test_a_report_is_written_beside_the_json(capsys, tmp_path):
    report = tmp_path / "out.html"
    printed_json(capsys, "simulate", *SMALL, "--lie", "written", "--report", str(report))
    assert "Slash" in report.read_text()


def truncated_elf(folder: Path) -> Path:
    broken = folder / "broken.elf"
    broken.write_bytes(elf_path("sieve").read_bytes()[:100])
    return broken


NONSENSE = {
    "levels 0": (["--levels", "0"], "--levels 0: a whole number from 1 to 5"),
    "levels 6": (["--levels", "6"], "--levels 6: a whole number from 1 to 5"),
    "levels word": (["--levels", "six"], "--levels: invalid int value"),
    "levels few": (["--levels", "1"], "--levels 1: sieve does not halt within 64 steps; take more levels"),
    "challengers 0": (["--challengers", "0"], "--challengers: a whole number from 1 to 16"),
    "challengers 17": (["--challengers", "17"], "--challengers: a whole number from 1 to 16"),
    "lie unknown": (["--lie", "nonsense"], "--lie nonsense: there is no lie 'nonsense'; take one of written"),
    "lie empty": (["--lie", ""], "there is no lie ''; take one of"),
    "lie word": (["--lie", "written@last"], "--lie written@last: STEP is a whole number from 0"),
    "lie negative": (["--lie", "written@-1"], "--lie written@-1: STEP is a whole number from 0"),
    "lie beyond": ([*SMALL, "--lie", "written@663"], "--lie written@663: the run has the steps 0 to 662"),
    "lie impossible": ([*SMALL, "--lie", "address@0"], "--lie address@0: not possible at that step; leave the step"),
    "silent party": (
        ["--silent", "bob@Step"],
        "--silent bob@Step: PARTY@MOVE needed, PARTY one of prover, challenger1",
    ),
    "silent nobody": (["--silent", ""], "PARTY@MOVE needed"),
    "silent other": (["--silent", "challenger2@Choice_1"], "PARTY one of prover, challenger1"),
    "silent move": (["--levels", "2", "--silent", "prover@Reveal_3"], "MOVE of the prover is one of"),
    "silent theirs": (["--levels", "2", "--silent", "challenger@Step"], "MOVE of the challenger1 is one of Challenge"),
    "silent no move": (["--levels", "2", "--silent", "prover"], "MOVE of the prover is one of"),
    "silent set-up": (["--levels", "2", "--silent", "prover@Fund"], "MOVE of the prover is one of"),
    "accuse negative": (["--accuse", "-1"], "--accuse -1: a claim of 5 levels has the steps 0 to 1073741823"),
    "accuse beyond": (["--levels", "2", "--accuse", "4096"], "--accuse 4096: a claim of 2 levels has the steps 0 to"),
    "accuse and lie": (["--accuse", "5", "--lie", "written"], "--accuse: falsely accuses an honest claim; leave --lie"),
    "input missing": (["--input", "/nowhere/input"], "--input /nowhere/input: No such file or directory; give a"),
    "input folder": (["--input", "/"], "--input /: Is a directory; give a readable file"),
    "program missing": (
        ["--program", "/nowhere.elf"],
        "--program /nowhere.elf: no such file; give an ELF file or one of",
    ),
    "program folder": (["--program", "/"], "--program /: file: not a regular file"),
    "program text": (["--program", __file__], "not an ELF file; give a linked RISC-V executable"),
    "report folder": (["--report", "/"], "--report /: is a directory; give a file"),
    "report nowhere": (["--report", "/nowhere/out.html"], "--report /nowhere/out.html: there is no directory /nowhere"),
    "node unknown": (["--node", "btcd"], "--node: invalid choice: 'btcd'"),
    "seed word": (["--seed", "lucky"], "--seed: invalid int value"),
}


def refused(capsys, *arguments):
    """Run what has to be refused as a usage error; return the message."""
    try:
        code = main(list(arguments))
    except SystemExit as stopped:  # argparse
        code = stopped.code
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_refused_before_anything_is_played(capsys, case):
    options, message = NONSENSE[case]
    assert message in refused(capsys, "simulate", *options)


def test_a_broken_program_is_refused(capsys, tmp_path):
    message = refused(capsys, "simulate", "--program", str(truncated_elf(tmp_path)))
    assert "--program" in message
    assert "broken.elf" in message


def test_input_that_the_program_rejects_is_refused(capsys, tmp_path):
    transfers = tmp_path / "overdraft"
    transfers.write_text("open alice 1\nopen bob 1\npay alice bob 5\n")
    message = refused(capsys, "simulate", "--program", "ledger", "--levels", "4", "--input", str(transfers))
    assert "--program ledger" in message
    assert "no accepted result to claim" in message


def test_costs_of_impossible_games_are_refused(capsys):
    assert "--levels 0" in refused(capsys, "costs", "--levels", "0")
    assert "--levels 6" in refused(capsys, "costs", "--levels", "6")


def test_a_command_is_needed(capsys):
    assert "COMMAND" in refused(capsys)


def test_help_lists_every_lie(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "written" in out
    assert "--silent" in out


def test_a_node_that_does_not_run_is_a_failure(capsys, monkeypatch):
    monkeypatch.setenv("BITVM_BITCOIND", "/nowhere/bitcoind")
    assert main(["node"]) == 1
    assert "BITVM_BITCOIND" in capsys.readouterr().err
    assert main(["simulate", *SMALL, "--node", "bitcoind"]) == 1


@pytest.mark.bitcoind
def test_node_tells_which_bitcoind_there_is(capsys):
    found = printed_json(capsys, "node")
    assert Path(found["path"]).name == "bitcoind"
    assert found["command"][-1] == found["path"]
    assert "bitcoin" in found["version"].lower()
    assert main(["node"]) == 0
    assert capsys.readouterr().out.splitlines() == [found["version"], found["path"]]


@pytest.mark.bitcoind
def test_the_same_game_on_a_real_node(capsys):
    assert main(["simulate", *SMALL, "--lie", "exit_code", "--node", "bitcoind"]) == 0
    out = capsys.readouterr().out
    assert "Node: Bitcoin" in out
    assert "challenger1 wins" in out
