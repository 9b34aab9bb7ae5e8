"""The operator's guide names what there is: nothing can be added, renamed or reworded without it."""

import re
import shlex
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from bitvm.daemon.alerts import Alert, environment
from bitvm.daemon.config import NAMES, PREFIX, Name
from bitvm.daemon.status import Notice, NoticeKind, Severity
from bitvm.daemon.telemetry import METERS, METRIC_NAMES, RUN_SECONDS, Meter

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "bitvm" / "daemon" / "GUIDE.md").read_text()
UNITS = sorted((ROOT / "scripts" / "systemd").glob("*.service"))


def row_of_field(name: Name) -> str:
    default = name.default
    if default is None:
        shown = "needed" if name.required else "none"
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    return f"| `{name.label}` | {name.setting.kind.allowed} | {shown} | {name.setting.meaning} |"


def row_of_metric(meter: Meter) -> str:
    return f"| `{meter.name}` | {', '.join(f'`{label}`' for label in meter.labels)} | {meter.meaning} |"


@pytest.mark.parametrize("row", [*map(row_of_field, NAMES), *map(row_of_metric, METERS)])
def test_every_field_and_metric_has_its_row(row: str) -> None:
    assert row in GUIDE.splitlines()


def test_no_row_is_about_something_else() -> None:
    rows = Counter(re.findall(r"^\| `([^`]+)` \|", GUIDE, re.MULTILINE))
    known = {name.label for name in NAMES} | set(METRIC_NAMES) | {kind.value for kind in NoticeKind}
    known |= set(environment(Alert(Notice(NoticeKind.GAME_ALARM, Severity.WARNING, ""), resolved=False), {}))
    commands = {"init", "run", "status", "show", "moves", "verify", "check", "wallet"}
    assert set(rows) - known == commands
    assert known <= set(rows)
    assert RUN_SECONDS in rows
    assert max(rows.values()) == 1


def test_names_in_the_text_exist() -> None:
    sections = {name.section for name in NAMES} - {""}
    labels = {name.label for name in NAMES}
    for word in re.findall(r"`([a-z_]+\.[a-z_]+)`", GUIDE):
        if word.partition(".")[0] in sections:
            assert word in labels
    variables = {name.variable for name in NAMES} | {"BITVM_CONFIG"}
    for word in re.findall(rf"`({PREFIX}[A-Z_]+[A-Z])`", GUIDE):
        assert word in variables or word.startswith("BITVM_ALERT_")
    for word in re.findall(r"bitvm_[a-z_]+", GUIDE):
        assert word in METRIC_NAMES


def test_links_within_the_guide_lead_somewhere() -> None:
    headings = re.findall(r"^## (.+)$", GUIDE, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    linked = set(re.findall(r"\]\(#([^)]+)\)", GUIDE))
    assert linked == anchors


def directives(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_there_is_a_unit_for_each_role() -> None:
    assert [unit.name for unit in UNITS] == ["bitvm-challenger.service", "bitvm-prover.service"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_starts_a_program_that_is_installed_and_never_gives_up(unit: Path) -> None:
    found = directives(unit)
    role = unit.stem.removeprefix("bitvm-")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    program, *words = shlex.split(found["ExecStart"][0])
    assert Path(program).name in scripts
    expected = (["prover"] if role == "prover" else []) + ["run", "--config", f"/etc/bitvm/{role}.yaml"]
    assert words == expected
    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["User"] == found["StateDirectory"] == [f"bitvm-{role}"]
    assert found["StateDirectoryMode"] == ["0700"]
    for key, value in {"ProtectSystem": "strict", "ProtectHome": "yes", "NoNewPrivileges": "yes"}.items():
        assert found[key] == [value]
    assert found["CapabilityBoundingSet"] == [""]
    assert "WatchdogSec" not in found  # nobody would notify it
    assert "MemoryDenyWriteExecute" not in found  # the fast engine compiles


def test_the_guide_makes_the_folder_of_the_unit_before_anybody_writes_into_it() -> None:
    """`useradd --system` makes none, and the unit's own comes too late for `init`."""
    (prover,) = (directives(unit) for unit in UNITS if unit.stem == "bitvm-prover")
    folder = f"/var/lib/{prover['StateDirectory'][0]}"
    made = f"install -d -m {prover['StateDirectoryMode'][0]} -o {prover['User'][0]} -g {prover['Group'][0]} {folder}\n"
    assert made in GUIDE
    assert f"--home-dir {folder} " in GUIDE
    assert f"`data_dir: {folder}/home`" in GUIDE
    programs = {shlex.split(directives(unit)["ExecStart"][0])[0] for unit in UNITS}
    assert f"ln -s {' '.join(sorted(programs))} /usr/local/bin/\n" in GUIDE


def test_the_units_differ_in_the_role_alone() -> None:
    challenger, prover = (unit.read_text() for unit in UNITS)
    assert prover.replace("bin/bitvm prover run", "bin/challenger run").replace("prover", "challenger") == challenger
