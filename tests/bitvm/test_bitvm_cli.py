"""The command ``bitvm``: what it prints is what the scripts are, and mistakes are named."""

import json

import pytest
import yaml

from bitvm.cli import main
from bitvm.figures import leaf_figures, scheme_figures, winternitz_weight
from bitvm.graph.documentation import parameter_meanings
from bitvm.graph.parameters import Parameters
from bitvm.leaves.execution.catalogue import EXECUTION_LEAVES
from bitvm.script.listing import TruncatedScriptError, listing, tokens


def run(capsys, *arguments):
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def run_json(capsys, *arguments):
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_leaves_lists_every_leaf_once(capsys):
    found = run_json(capsys, "leaves")
    assert [leaf["name"] for leaf in found] == [leaf.name for leaf in EXECUTION_LEAVES]
    for leaf in found:
        assert 0 < leaf["body_bytes"] < leaf["script_bytes"] < leaf["weight"]


def test_leaves_are_smaller_than_bitvmx():
    compared = [leaf for leaf in leaf_figures() if leaf.bitvmx_bytes is not None]
    assert compared
    assert all(leaf.body_bytes < leaf.bitvmx_bytes for leaf in compared)


def test_leaves_as_text_names_all(capsys):
    code, out, _ = run(capsys, "leaves")
    assert code == 0
    assert all(leaf.name in out for leaf in EXECUTION_LEAVES)


def test_leaf_shows_the_script_that_is_used(capsys):
    leaf = EXECUTION_LEAVES[0]
    found = run_json(capsys, "leaf", leaf.name, "--asm")
    figures = next(figure for figure in leaf_figures() if figure.name == leaf.name)
    assert found["body_bytes"] == figures.body_bytes
    assert found["asm"][-1] == "1"
    code, out, _ = run(capsys, "leaf", leaf.name, "--asm")
    assert code == 0
    script = out.partition("\n\n")[2]
    assert script.split() == found["asm"]


def test_unknown_leaf_is_named_with_those_alike(capsys):
    code, out, err = run(capsys, "leaf", "addi")
    assert (code, out) == (2, "")
    assert "no leaf 'addi'" in err
    assert "written.addi" in err


def test_signatures_reach_their_targets(capsys):
    found = {scheme["signs"]: scheme for scheme in run_json(capsys, "signatures")}
    assert found["node"]["shown"] <= 3_000
    assert found["node, used later"]["used"] <= 3_800
    assert found["5 words"]["used"] <= 5 * 630
    assert all(max(filter(None, (s.shown, s.used))) < s.winternitz for s in scheme_figures())
    code, out, _ = run(capsys, "signatures")
    assert code == 0
    assert "Winternitz" in out


@pytest.mark.parametrize(("bits", "digits"), [(192, 48 + 3), (160, 40 + 3), (6, 2 + 2), (30, 8 + 2)])
def test_winternitz_counts_its_checksum(bits, digits):
    assert winternitz_weight(bits) == 97 * digits


def test_parameters_are_a_file_that_loads_again(capsys, tmp_path):
    code, out, _ = run(capsys, "parameters")
    assert code == 0
    path = tmp_path / "p.yaml"
    path.write_text(out)
    assert Parameters.load(path) == Parameters(bytes(24))
    assert set(yaml.safe_load(out)) == set(parameter_meanings())
    code, again, err = run(capsys, "parameters", "--file", str(path))
    assert (code, again) == (0, out)
    assert "is valid" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("levels: 5", "image_root: missing"),
        ("image_root: xyz", "image_root: not hexadecimal"),
        (f'image_root: "{"00" * 24}"\nlevels: 9', "levels: a whole number from 1 to 8"),
        (f'image_root: "{"00" * 24}"\ncolour: 1', "unknown fields: colour"),
        (f'image_root: "{"00" * 24}"\nbond: 1000', "bond"),
        ("- 1", "a mapping of fields needed"),
        ("a: [", "p.yaml"),
    ],
)
def test_wrong_parameters_name_file_and_field(text, said, capsys, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    code, out, err = run(capsys, "parameters", "--file", str(path))
    assert (code, out) == (2, "")
    assert said in err
    assert str(path) in err


def test_missing_file_is_an_error_not_a_traceback(capsys, tmp_path):
    code, _, err = run(capsys, "parameters", "--file", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "none.yaml" in err


def test_blake3_parts_add_up(capsys):
    found = run_json(capsys, "blake3")
    assert found["bytes"] == sum(found["parts"].values()) <= 43_000
    code, out, _ = run(capsys, "blake3")
    assert code == 0
    assert f"{found['bytes']:,} bytes" in out


@pytest.mark.parametrize("command", ["leaves", "leaf", "signatures", "parameters", "blake3"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_listing_reads_all_kinds_of_pushes():
    script = bytes.fromhex("00 51 60 4f 01ff 021027 05 0102030405 4c02 e803 4d0500 0102030405 69 ac".replace(" ", ""))
    expected = ["0", "1", "16", "-1", "-127", "10000", "<0102030405>", "1000", "<0102030405>", "VERIFY", "CHECKSIG"]
    assert list(tokens(script)) == expected


def test_listing_indents_branches():
    # IF 2 ELSE 3 NOTIF 4 ENDIF ENDIF
    lines = list(listing(bytes.fromhex("6352675364546868")))
    assert lines == ["IF", "    2", "ELSE", "    3 NOTIF", "        4", "    ENDIF", "ENDIF"]


def test_listing_names_a_push_past_the_end():
    with pytest.raises(TruncatedScriptError, match="goes past"):
        list(tokens(bytes.fromhex("5103aabb")))
