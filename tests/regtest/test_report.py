"""The report: it holds the facts of the game, escapes what it is given, and makes sense for every way to end."""

import shutil
from itertools import pairwise

import pytest
from paged import Page

from bitvm.chain.embedded import EmbeddedChain
from bitvm.pages.markup import Markup, element, joined, stylesheet
from lvm.guest import elf_path
from regtest.match import Narrator
from regtest.players import Silence
from regtest.report import write_report
from regtest.report.assembly import disassemble
from regtest.report.facts import decisive_game, disputed_step, levels_of, verdict_leaf
from regtest.report.tree import rows_of
from regtest.scenario import Scenario, prepare
from regtest.simulate import simulate


def play(**options):
    scenario = Scenario(**{"levels": 2, **options})
    with EmbeddedChain() as chain:
        return simulate(scenario, prepare(scenario), chain, Narrator())


def page_of(result, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, result)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lie():
    return play(lie="written")


@pytest.fixture(scope="module")
def honest():
    return play()


def test_slashed_lie_shows_verdict_transactions_and_totals(lie, tmp_path):
    page = page_of(lie, tmp_path)
    assert "The false claim is slashed" in page.text
    assert "challenger1 wins." in page.text
    for confirmation in lie.confirmations:
        assert confirmation.txid in page.text
        assert f"{confirmation.vsize:,}" in page.text
        assert f"{confirmation.weight:,}" in page.text
        assert f"block {confirmation.height}" in page.text
    assert f"{lie.totals()['dispute']:,}" in page.text
    assert f"{lie.setup.exchanged:,} bytes exchanged" in page.text


def test_verdict_stands_before_everything_else(lie, tmp_path):
    page = page_of(lie, tmp_path)
    assert page.text.index("challenger1 wins.") < 600
    assert page.tags.index("h1") < page.tags.index("section")


def test_wrong_word_is_marked_and_no_other(lie, tmp_path):
    step = disputed_step(lie, 1)
    assert step.wrong() == ("written",)
    assert step.index == lie.prepared.lie_step
    page = page_of(lie, tmp_path)
    assert f"{step.claimed['written']:#010x}" in page.text
    assert f"{step.true['written']:#010x}" in page.text
    assert page.text.count("✗ false") == 1
    assert disassemble(step.record.instr, step.record.pc) in page.text


def test_leaf_that_judged_is_named_with_its_script(lie, tmp_path):
    leaf = verdict_leaf(lie, 1)
    slash = lie.position.confirmed["1/Slash"].transaction
    script = bytes(slash.wit.vtxinwit[0].scriptWitness.stack[-2])
    assert leaf.script_bytes == len(script)
    assert leaf.body_bytes < leaf.script_bytes < leaf.weight
    page = page_of(lie, tmp_path)
    assert leaf.leaf.name in page.text
    assert leaf.leaf.statement in page.text


def test_levels_narrow_to_the_disputed_step(lie):
    levels = levels_of(lie, decisive_game(lie))
    assert [level.number for level in levels] == [1, 2]
    for level, following in pairwise(levels):
        assert following.points[0] == level.points[level.choice]
        assert following.points[-1] == level.points[level.choice + 1]
    last = levels[-1]
    left, right = last.points[last.choice], last.points[last.choice + 1]
    assert (left.step, right.step) == (lie.prepared.lie_step, lie.prepared.lie_step + 1)
    assert left.agreed
    assert not right.agreed
    for level in levels:
        assert all(point.agreed for point in level.points[: level.choice + 1])


def test_bars_have_one_part_chosen_a_level(lie, tmp_path):
    page = page_of(lie, tmp_path)
    rectangles = page.classes("rect")
    assert rectangles.count("chosen") == 2
    assert sum(rectangles.count(kind) for kind in ("agreed", "disputed", "chosen")) == 2 * 64


def test_trunk_is_the_dispute_and_branches_are_its_timeouts(lie):
    rows = rows_of(lie.position.graph, 1)
    names = [row.trunk.name.rpartition("/")[2] for row in rows]
    assert names == ["Fund", "Claim", "Challenge", "Choice_1", "Reveal_2", "Choice_2", "Step", "Slash"]
    branches = {branch.name for row in rows for branch in row.branches}
    assert {"Payout", "1/Demand_1", "1/Slash_after_Choice_1", "1/TakeStake_after_Step", "1/Ask"} <= branches


def test_played_transactions_and_only_those_are_filled(lie, honest, tmp_path):
    for result in (lie, honest):
        boxes = [name for name in page_of(result, tmp_path).classes("g") if name.startswith("box")]
        assert sum("played" in name.split() for name in boxes) == len(result.confirmations)


def test_honest_claim_has_no_dispute_to_show(honest, tmp_path):
    page = page_of(honest, tmp_path)
    assert "The prover is paid" in page.text
    assert "Nobody challenged" in page.text
    assert "The disputed instruction" not in page.text
    assert "disputed" not in page.classes("rect")
    assert disputed_step(honest, 1) is None
    assert verdict_leaf(honest, 1) is None


def test_false_accusation_shows_a_true_step(tmp_path):
    result = play(accuse=50)
    assert disputed_step(result, 1).wrong() == ()
    page = page_of(result, tmp_path)
    assert "all are true" in page.text
    assert "✗ false" not in page.text
    assert "TakeStake_after_Step" in page.text


@pytest.mark.parametrize(
    ("party", "move", "said"),
    [
        ("prover", "Claim", "Nobody wins"),
        ("prover", "Reveal_2", "The false claim is slashed"),
        ("prover", "Step", "The prover did not answer"),
        ("challenger1", "Challenge", "A false claim is paid"),
        ("challenger1", "Choice_2", "A false claim is paid"),
        ("challenger1", "Slash", "let its time to prove so pass"),
    ],
)
def test_silence_at_any_move_makes_sense(party, move, said, tmp_path):
    result = play(lie="written", silence=Silence(party, move))
    page = page_of(result, tmp_path)
    assert said in page.text
    assert f"{party} falls silent at {move}" in page.text
    assert verdict_leaf(result, 1) is None


def test_program_name_cannot_become_markup(tmp_path):
    program = tmp_path / 'a<script>alert("1")<'
    shutil.copy(elf_path("sieve"), program)
    numbers = tmp_path / "input"
    numbers.write_text("30\n")
    result = play(program=str(program), input_file=numbers)
    path = tmp_path / "report.html"
    write_report(path, result)
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags
    assert program.name in page.text
    assert str(tmp_path) not in page.text


def test_page_needs_nothing_from_outside(lie, tmp_path):
    page_of(lie, tmp_path).assert_alone()


def test_elements_escape_text_and_attributes():
    assert (
        element("b", 'a < b & "c"', title='"><i>') == '<b title="&quot;&gt;&lt;i&gt;">a &lt; b &amp; &quot;c&quot;</b>'
    )
    assert element("p", ["x", element("br"), None, 3], class_=None) == "<p>x<br>3</p>"
    assert isinstance(joined(["<"]), Markup)
    assert joined(["<", Markup("<hr>")]) == "&lt;<hr>"
    with pytest.raises(ValueError, match="end tag"):
        stylesheet("</style>")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0x00C58533, "add x10, x11, x12"),
        (0xFFF58513, "addi x10, x11, -1"),
        (0x40355513, "srai x10, x10, 3"),
        (0xFFC5A503, "lw x10, -4(x11)"),
        (0x00A5A223, "sw x10, 4(x11)"),
        (0xFEB50EE3, "beq x10, x11, 0xffc"),
        (0x123452B7, "lui x5, 0x12345"),
        (0x008000EF, "jal x1, 0x1008"),
        (0x00008067, "jalr x0, 0(x1)"),
        (0x00000073, "ecall"),
        (0x00000000, ".word 0x00000000"),
    ],
)
def test_disassembly(word, text):
    assert disassemble(word, 0x1000) == text
