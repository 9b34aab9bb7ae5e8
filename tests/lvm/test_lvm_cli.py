"""The commands `run`, `trace` and `root`, and the traces they show."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from elf_files import CODE_ADDRESS, ElfFile, Program, code

from lvm import isa
from lvm.boot import input_root
from lvm.cli import main
from lvm.elf import load_elf
from lvm.layout import INPUT_MAX_BYTES
from lvm.machine import boot
from lvm.trace import to_json, to_line, trace

# x5 = input length; sum the numbers 1..x5 into x10, storing each sum at 0x20000; halt with the sum
PROGRAM = code(
    isa.lui(6, 0x3F800),
    isa.lw(5, 6, 0),
    isa.lui(7, 0x20),
    isa.add(10, 10, 5),
    isa.sw(10, 7, 0),
    isa.addi(5, 5, -1),
    isa.bne(5, 0, -12),
    isa.ecall(),
)
FAULTY = code(isa.addi(1, 0, 1), 0)
LOOP = code(isa.jal(0, 0))


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "sum.elf"
    path.write_bytes(ElfFile([Program(PROGRAM)]).build())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "input"
    path.write_bytes(b"12345")
    return path


def invoke(*arguments: object) -> int:
    return main([str(argument) for argument in arguments] + ["--engine", "spec"])


def test_run_as_json(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("run", program, "--input", data, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["steps", "halted", "exit_code", "root", "prev_root", "input_root", "mips"]
    machine = boot(load_elf(program), b"12345", engine="spec")
    assert result["steps"] == machine.run(1000) == 3 + 4 * 5 + 1
    assert (result["halted"], result["exit_code"]) == (1, 15)
    assert result["root"] == machine.root().hex()
    assert result["prev_root"] == load_elf(program).root().hex()
    assert result["input_root"] == input_root(b"12345").hex()
    assert result["mips"] > 0


def test_run_for_people(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("run", program, "--input", data) == 0
    output = capsys.readouterr()
    assert "sum.elf: halted by ECALL, exit code 15" in output.out
    assert output.err == ""


def test_run_stops_where_it_is_told(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("run", program, "--input", data, "--max-steps", 4, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["steps"], result["halted"], result["exit_code"]) == (4, 0, 0)
    assert invoke("root", program, "--input", data, "--at", 4) == 0
    assert capsys.readouterr().out.strip() == result["root"]


def test_faults_are_results_not_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "faulty.elf"
    path.write_bytes(ElfFile([Program(FAULTY)]).build())
    assert invoke("run", path, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["steps"], result["halted"], result["exit_code"]) == (2, 2, 2)
    assert invoke("run", path) == 0
    assert "halted by a fault, exit code 2" in capsys.readouterr().out


def test_a_program_that_never_halts_ends_at_max_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "loop.elf"
    path.write_bytes(ElfFile([Program(LOOP)]).build())
    assert invoke("run", path, "--max-steps", "2^17", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["steps"], result["halted"]) == (1 << 17, 0)


def test_root_at_a_step(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = boot(load_elf(program), b"12345", engine="spec")
    for at in (0, 1, 7, 24, 1000):
        machine.run(at - machine.t)
        assert invoke("root", program, "--input", data, "--at", at, "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown == {"at": at, "halted": int(at >= 24), "root": machine.root().hex()}


def test_trace_as_json_lines(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("trace", program, "--input", data, "--from", 2, "--to", 100, "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["t"] for line in lines] == list(range(2, 24))
    machine = boot(load_elf(program), b"12345", engine="spec")
    assert lines == [to_json(record) for record in trace(machine, 2, 100)]
    store = lines[2]
    assert store == {
        "t": 4,
        "pc": CODE_ADDRESS + 16,
        "instr": isa.sw(10, 7, 0),
        "name": "sw",
        "rs1": 0x2_0000,
        "rs2": 5,
        "address": 0x2_0000,
        "mem": 0,
        "write_address": 0x2_0000,
        "written": 5,
        "next_pc": CODE_ADDRESS + 20,
        "outcome": "RETIRE",
        "halted": 0,
        "exit_code": 0,
    }
    assert (lines[-1]["name"], lines[-1]["outcome"], lines[-1]["exit_code"]) == ("ecall", "ECALL", 15)


def test_trace_for_people(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("trace", program, "--input", data, "--from", 4, "--to", 7) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert "sw" in lines[0]
    assert lines[0].endswith("[00020000]=00000000  [00020000] <- 00000005")
    assert lines[1].endswith("x5 <- 00000004")
    assert lines[2].endswith("-> 0001000c")
    assert invoke("trace", program, "--input", data, "--from", 23, "--to", 24) == 0
    assert capsys.readouterr().out.rstrip().endswith("ECALL  halted=1 exit_code=15")


def test_line_of_an_illegal_word(tmp_path: Path) -> None:
    machine = boot(load_elf(ElfFile([Program(FAULTY)]).build()), engine="spec")
    lines = [to_line(record) for record in trace(machine, 0, 9)]
    assert len(lines) == 2
    assert "?" in lines[1]
    assert lines[1].endswith("ILLEGAL  halted=2 exit_code=2")
    assert tmp_path.exists()


def test_trace_after_the_end_says_so(program: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke("trace", program, "--input", data, "--from", 24, "--to", 30) == 0
    output = capsys.readouterr()
    assert output.out == ""
    assert "halted after 24 steps" in output.err


def test_trace_range_of_a_machine_that_is_past_it(program: Path) -> None:
    machine = boot(load_elf(program), b"1", engine="spec")
    machine.run(5)
    for first, last in ((4, 9), (9, 8)):
        with pytest.raises(ValueError, match="machine stands at step 5"):
            trace(machine, first, last)


def test_what_cannot_be_done_exits_with_2(program: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(INPUT_MAX_BYTES + 1))
    text = tmp_path / "text"
    text.write_text("no program")
    for arguments, hint in (
        (("run", tmp_path / "missing.elf"), "missing.elf: file: cannot be read (No such file"),
        (("run", text), "not an ELF file"),
        (("root", program, "--at", 1, "--input", tmp_path / "none"), "input cannot be read"),
        (("run", program, "--input", tmp_path), "input cannot be read"),
        (("run", program, "--input", large), f"at most {INPUT_MAX_BYTES}"),
        (("trace", program, "--from", 2, "--to", 1), "is after"),
    ):
        assert invoke(*arguments) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("lvm: ")
        assert hint in output.err


@pytest.mark.parametrize(
    "arguments", [(), ("run",), ("fly", "x"), ("run", "x", "--max-steps", "-1"), ("root", "x"), ("trace", "x")]
)
def test_bad_usage_exits_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: lvm" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["ten", "2^", "2^99", "", "1.5", "2^63"])
def test_bad_numbers_of_steps(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["root", "x", "--at", number])
    assert "steps" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "trace", "root"])
def test_help_teaches(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for part in ("PROG.elf", "--input", "--engine", "--json", "example", f"lvm {command} sieve.elf"):
        assert part in text


def test_a_closed_pipe_is_no_error(program: Path, data: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lvm", "trace", str(program), "--input", str(data), "--from", "0", "--to", "9"]
    with os.fdopen(writer, "w") as stdout:
        done = subprocess.run([*command, "--engine", "spec"], stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
