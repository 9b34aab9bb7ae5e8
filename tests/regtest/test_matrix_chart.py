"""The chart: its points are the exact costs wherever a set-up can have them, and the picture is one."""

import json
from xml.etree import ElementTree

import pytest

from bitvm.graph.costs import reference_graph
from bitvm.graph.parameters import Parameters
from regtest.chart import CHARTED_ROUNDS, CHARTED_WIDTHS, point, points, svg
from regtest.cli import main
from regtest.costs import costs_of

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("width", "rounds"), [(4, 1), (4, 3), (16, 2), (64, 2)])
def test_points_are_the_costs_of_the_scenario(width, rounds):
    cost = costs_of(reference_graph(Parameters(bytes(24), levels=rounds, width=width))).scenarios["execution_lie"]
    found = point(width, rounds)
    assert (found.vbytes, found.transactions) == (cost.vsize, cost.transactions)


def test_more_rounds_and_wider_lists_cost_more():
    found = {(p.width, p.rounds): p.vbytes for p in points()}
    assert len(found) == len(CHARTED_WIDTHS) * len(CHARTED_ROUNDS)
    for width in CHARTED_WIDTHS:
        line = [found[width, rounds] for rounds in CHARTED_ROUNDS]
        assert line == sorted(set(line))
    for rounds in CHARTED_ROUNDS:
        column = [found[width, rounds] for width in CHARTED_WIDTHS]
        assert column == sorted(set(column))


def test_points_that_no_set_up_can_have_are_told():
    possible = {(p.width, p.rounds) for p in points() if p.possible}
    assert {(4, 8), (16, 8), (64, 5)} <= possible
    assert not {(64, 6), (256, 1), (256, 4)} & possible


def test_the_picture_shows_every_point():
    root = ElementTree.fromstring(svg(points()))
    circles = root.findall(f"{SVG}circle")
    assert len(circles) == len(points())
    told = {circle.find(f"{SVG}title").text for circle in circles}
    assert any(text.startswith("k = 64, m = 5: ") and text.endswith("1,073,741,824 steps") for text in told)
    _, _, width, height = map(float, root.get("viewBox").split())
    for circle in circles:
        assert 0 < float(circle.get("cx")) < width
        assert 0 < float(circle.get("cy")) < height
    names = [text for text in root.findall(f"{SVG}text") if (text.text or "").startswith("k = ")]
    assert len(names) == 2 * len(CHARTED_WIDTHS)


def test_the_command_writes_picture_and_points(capsys, tmp_path):
    out = tmp_path / "chart.svg"
    assert main(["chart", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [p.to_json() for p in points()]
    assert out.read_text().startswith("<svg")
    assert main(["chart"]) == 2
    assert "OUT.svg" in capsys.readouterr().err
    assert main(["chart", str(tmp_path / "none" / "chart.svg")]) == 1
