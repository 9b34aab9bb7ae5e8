"""The page of `show`: what it says of a real dispute, that it stands alone, and where it may be written."""

from dataclasses import replace

import pytest
import yaml
from operated import SETUP, Operators, lied
from paged import Page

from bitvm.daemon.commands import show
from bitvm.files import write_over
from challenger.cli import main as challenger_main

pytestmark = pytest.mark.bitcoind

DELTA = 5
HOSTILE = '"><script>alert(1)</script><b title=\'x\' onload="y">&amp;'


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    stage, company = lied(tmp_path_factory.mktemp("page"))
    with stage:
        yield stage, company


@pytest.fixture
def operators(scene, capsys):
    return Operators(scene[0], capsys)


@pytest.fixture
def page_of(operators, tmp_path):
    """Return the page that an operator gets, as soon as it stands alone."""

    def run(party="challenger1", *words):
        path = tmp_path / "page.html"
        operators.run(party, "show", SETUP, "--html", path, *words)
        page = Page(path.read_text(encoding="utf-8"))
        page.assert_alone()
        return page

    return run


def test_every_transaction_is_in_the_picture_and_in_the_table(page_of, operators):
    page, story = page_of(), operators.json("challenger1", "show", SETUP)
    boxes = page.boxes()
    assert [each["name"] for each in story["transactions"]] == ["Fund", "Claim", "1/Challenge", "1/Choice_1"]
    for each in story["transactions"]:
        name = each["name"].removeprefix("1/")
        class_ = f"box mover-{each['party'].rstrip('1')} played"
        assert boxes.count((name, f"{each['party']}, block {each['height']}", class_)) == 1
        row = f"{each['name']} {each['party']} {each['height']:,} {each['vsize']:,} "
        row += f"{each['fee']:,} " if each["fee"] else ""
        assert f"{row}{each['said']} {each['txid']}" in page.text
    (tree,) = page.svgs("tree")
    edges = [path.get("class") for path in tree.iter("path")]
    assert edges.count("edge played") == len(story["transactions"]) - 1
    assert f"our fees so far {story['spent']:,}" in page.text
    assert "Nothing of this set-up is in the mempool." in page.text
    assert "set-up, as challenger1 alpha Not our move." in page.text


def test_what_is_owed_and_its_penalty_are_ghosts_with_the_blocks_left(page_of, operators, scene):
    since = scene[0].position(SETUP).height_of("1/Choice_1")
    page = page_of()
    assert page.boxes()[-3:] == [
        ("Reveal_2", "prover, 4 blocks left", "box mover-prover coming"),
        ("Challenge", "challenger2, 2 blocks left", "box mover-challenger coming"),
        ("Slash_after_Choice_1", f"challenger1, from block {since + DELTA}", "box mover-challenger coming"),
    ]
    for game in operators.json("challenger1", "show", SETUP)["games"]:
        assert game["text"][1:] in page.text
    owed_bar, open_bar = page.svgs("time")
    assert owed_bar.get("aria-label") == "0 of 4 blocks used, 4 blocks left"
    assert [bar.get("width") for bar in owed_bar] == ["4", "0"]
    assert f"block {since} 0 of 4 blocks used, 4 blocks left block {since + DELTA - 1}" in page.text
    assert open_bar.get("aria-label") == "4 of 6 blocks used, 2 blocks left"
    assert "Our move." in page_of("prover").text


def test_one_game_alone(page_of):
    page = page_of("challenger1", "--claim", 1, "--game", 2)
    assert [name for name, _, _ in page.boxes()] == ["Fund", "Claim", "Challenge"]
    assert page.boxes()[-1][1] == "challenger2, 2 blocks left"
    assert "claim 1 alone, game of challenger2 alone" in page.text
    assert "Choice_1" not in page.text


def test_what_others_said_cannot_become_markup(page_of, monkeypatch):
    real = show.story_of

    def hostile(*arguments):
        story = real(*arguments)
        shown = tuple(replace(each, said=HOSTILE) for each in story.transactions)
        games = tuple(replace(game, text=HOSTILE) for game in story.games)
        return replace(story, setup=HOSTILE, problem=HOSTILE, transactions=shown, games=games)

    plain = page_of()
    monkeypatch.setattr(show, "story_of", hostile)
    page = page_of()
    assert page.text.count(HOSTILE) == 1 + 1 + 1 + 4 + 1 + 2  # title, heading, problem, said, headline, games
    assert {*page.tags} == {*plain.tags}


def test_what_is_printed_stays_the_same(operators, tmp_path):
    for words in ((), ("--json",)):
        without = operators.run("challenger1", "show", SETUP, *words)
        assert operators.run("challenger1", "show", SETUP, *words, "--html", tmp_path / "page.html") == without


def test_a_page_is_replaced_and_nothing_else(operators, tmp_path):
    path, kept = tmp_path / "page.html", tmp_path / "seed"
    operators.run("challenger1", "show", SETUP, "--html", path)
    path.write_text(path.read_text() + "old")
    operators.run("challenger1", "show", SETUP, "--html", path)
    assert path.read_text().endswith("</html>\n")
    assert path.stat().st_mode & 0o777 == 0o644
    kept.write_bytes(bytes(32))
    assert f"--html {kept}: exists and is no page" in operators.refused("challenger1", "show", SETUP, "--html", kept)
    assert kept.read_bytes() == bytes(32)
    assert sorted(tmp_path.iterdir()) == [path, kept]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none/page.html", "there is no folder"),
        (".", "exists and is no page"),
        ("x" * 300, "cannot be written: File name too long"),
    ],
)
def test_where_no_page_can_be_the_command_says_so(operators, tmp_path, name, said):
    path = tmp_path / name
    message = operators.refused("challenger1", "show", SETUP, "--html", path)
    assert message.startswith(f"challenger: --html {path}: ")
    assert said in message


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_over(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bitvm.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_over(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_node_the_page_says_that_it_is_old(operators, tmp_path):
    actor = operators.stage.actors["challenger1"]
    config, path = tmp_path / "cut.yaml", tmp_path / "page.html"
    content = yaml.safe_load(actor.config_path.read_text())
    content |= {"data_dir": str(actor.home_path), "node": {"url": "http://a:b@127.0.0.1:1"}}
    config.write_text(yaml.safe_dump(content))
    assert challenger_main(["show", SETUP, "--config", str(config), "--html", str(path)]) == 0
    page = Page(path.read_text())
    assert "Not up to date. The node: " in page.text
    assert "What is in the mempool is not known." in page.text
    assert "problem" in page.classes("p")


def test_a_move_in_the_mempool_is_dashed_then_nobody_comes_and_time_is_over(page_of, scene):
    """Changes the scene, so it is the last."""
    stage, company = scene
    company.start("prover")
    stage.chain.mine(1)
    company.tick("prover")
    company.stop()
    page = page_of("prover")
    assert ("Reveal_2", "prover, 3 blocks left", "box mover-prover waiting") in page.boxes()
    assert "edge waiting" in page.classes("path")
    assert "Our move is in the mempool." in page.text
    assert "In the mempool: 1/Reveal_2." in page.text
    txid = stage.archives[SETUP].graph["1/Reveal_2"].txid[::-1].hex()
    assert f"1/Reveal_2 prover mempool {txid}" in page.text
    stage.chain.mine(8)  # confirms it, and then it is the challenger that is silent
    late = stage.position(SETUP).height_of("1/Reveal_2") + DELTA
    page = page_of("challenger1")
    assert f"challenger1, late since block {late}" in {note for _, note, _ in page.boxes()}
    assert "We are late." in page.text
    assert "late" in page.classes("div")
    assert "We can win now." in page_of("prover").text
    assert len(page.svgs("time")) == 1  # nobody has to challenge
