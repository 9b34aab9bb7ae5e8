"""`bitvm setup new` on files that are not what they should be, and what others wrote in the line that says why."""

import pytest
import trio
from tiny import write_program

from bitvm.cli import main
from bitvm.daemon.commands.framework import MAX_FAILURE, fail
from bitvm.daemon.enrol import TROUBLE_SECONDS, Standing, _told

PARTIES = ("--prover", f"{'ab' * 32}@prover.example:7420", "--challenger", "cd" * 32)


@pytest.fixture
def refused(tmp_path, capsys):
    """Run `bitvm setup new` with a program and parameters; return why it fails."""

    def run(program, parameters, *parties):
        file, output = tmp_path / "p.yaml", tmp_path / "plan.yaml"
        file.write_bytes(parameters)
        line = ["setup", "new", "ledger-1", "--program", program, "--parameters", file, "-o", output, *parties]
        assert main(list(map(str, line))) == 2
        assert not output.exists()
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (b"bond: 20000000\nlevels: 2\nbond: 30000000\n", "p.yaml: a field is given twice near line 3"),
        (b"bond: &b 20000000\nstake: *b\n", "p.yaml: an alias in place of a value"),
        (b"\xff", "p.yaml: not UTF-8"),
        (b"[" * 5_000, "p.yaml: more than 16 levels"),
    ],
)
def test_parameters_that_say_two_things_are_refused(refused, tmp_path, parameters, said):
    assert said in refused(write_program(tmp_path), parameters, *PARTIES)


def test_a_program_that_is_none_is_named(refused, tmp_path):
    program = tmp_path / "notelf"
    program.write_text("#!/bin/sh\n")
    assert f"bitvm setup: {program}: " in refused(program, b"levels: 2\n", *PARTIES)


@pytest.mark.parametrize("host", ["prover..example", "a" * 64 + ".example", "-\u200d", "\ud800", "a b", "[fe80::1%lo]"])
def test_a_host_that_no_socket_takes_is_refused(refused, tmp_path, host):
    parties = ("--prover", f"{'ab' * 32}@{host}:7420", *PARTIES[2:])
    assert "--prover: host:port needed" in refused(write_program(tmp_path), b"levels: 2\n", *parties)


def test_what_others_wrote_cannot_steer_a_terminal(capsys):
    assert fail("test", "refused: \x1b[2J\x07\u202eevil\ud800\nnext", 2) == 2
    assert capsys.readouterr().err == "test: refused: \\x1b[2J\\x07\\u202eevil\\ud800 next\n"
    fail("test", "\x1b" * 10 * MAX_FAILURE, 2)
    assert len(capsys.readouterr().err) == MAX_FAILURE + len("test: \n")


def test_a_standing_says_why_nothing_happens():
    assert str(Standing(1, ("prover",))) == "1 of 4 rounds are complete; waiting for prover"
    expected = "0 of 4 rounds are complete; waiting for a, b; last connection: wrong peer: \\x1b[1m"
    assert str(Standing(0, ("a", "b"), "wrong peer: \x1b[1m")) == expected
    assert len(str(Standing(0, (), "x" * 10_000))) < 600


async def test_new_trouble_is_told_at_once_and_then_not_too_often(autojump_clock):  # noqa: ARG001
    heard, standing = [], [Standing(0, ("prover",))]

    async def run():
        await trio.sleep(1)
        for number in range(100):
            standing[0] = Standing(0, ("prover",), f"stranger {number}")
            await trio.sleep(1)
        standing[0] = Standing(1, ("prover",), "stranger 99")
        await trio.sleep(1)

    await _told(run, lambda: standing[0], heard.append)
    assert heard[:2] == [Standing(0, ("prover",)), Standing(0, ("prover",), "stranger 0")]
    assert heard[-1] == Standing(1, ("prover",), "stranger 99"), "progress is always told"
    assert len(heard) <= 3 + 100 / TROUBLE_SECONDS + 1
