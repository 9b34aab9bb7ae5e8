"""The one stake of a challenger, before a thief that has read when it is spent and has challengers of its own."""

from dataclasses import replace

import pytest
from forging import HostileSigner, said
from offline import OfflineGame
from scripted import fork

from bitvm.game import challenger, prover
from bitvm.game.finality import Verdict
from bitvm.game.leaving import may_leave
from bitvm.game.moves import Move, Wait
from bitvm.game.position import Confirmed, Position
from bitvm.game.urgency import Rivals, budget
from bitvm.game.window import challenged_until, in_time, is_closing, latest_start
from bitvm.graph.claim import NEXT
from bitvm.graph.model import Input
from regtest.accusations import scene
from regtest.accusations.sequence import INPUTS, lied_in, lied_twice, true_runs
from regtest.hostile import LIES, tell

NOTHING = (None, None)
FIRST = 110
"""The height of the first claim."""


def roomy():
    """Parameters that leave time between a claim's burial and the last blocks of its window."""
    short = scene.parameters(challengers=2, claims=2)
    return replace(short, delta_claim=20, delta_long=short.delta_long + 10)


PARAMETERS = roomy()
UNTIL = FIRST + PARAMETERS.delta_claim
DEEP = PARAMETERS.confirmations


@pytest.fixture(scope="module")
def agreed(tmp_path_factory):
    return OfflineGame(roomy(), tmp_path_factory.mktemp("stake"))


@pytest.fixture(scope="module")
def plain(agreed):
    """Transactions without witnesses, for rules that read none."""

    def at(height, **heights):
        seen = {"Claim#2" if name == "Claim_2" else name: h for name, h in heights.items()}
        confirmed = {name: Confirmed(agreed.graph[name].unsigned, h) for name, h in seen.items()}
        return Position(agreed.graph, height, {**agreed.confirmed, **confirmed})

    return at


@pytest.fixture
def claimed(agreed, tmp_path):
    """Both claims in the same block; the second one's input root is a label that is no node, if the runs end there."""

    def claim(runs):
        game = fork(agreed, tmp_path)
        for slot in (1, 2):
            known = (*runs, *true_runs(2)[len(runs) :])
            move = prover.decide_setup(game.position, known)[f"{slot}:{prover.BOND_DECISION}"]
            signed = game.signed_move("prover", move)
            game.confirm(move.template, signed if slot <= len(runs) else without_input(game, signed, known[1]))
        both = {name: Confirmed(game.confirmed[name].transaction, FIRST) for name in ("Claim", "Claim#2")}
        return Position(game.graph, FIRST + DEEP, {**game.confirmed, **both})

    return claim


def without_input(game, honest, run):
    signer = HostileSigner(game, "prover")
    nodes = prover.claim_statement(run).nodes
    signatures = {name: signer.node(f"Claim#2/{name}", node) for name, node in nodes.items()}
    signatures["input_root"] = signer.no_node("Claim#2/input_root")
    others = [list(each.scriptWitness.stack) for each in honest.wit.vtxinwit[1:]]
    return said(game, "Claim#2", signatures, run.points(1, 0), others=others)


def with_moves(position, height, **heights):
    graph = position.graph
    names = {name.replace("g2_", "2/").replace("g1_", "1/").replace("__2", "#2"): h for name, h in heights.items()}
    moved = {name: Confirmed(graph[name].unsigned, h) for name, h in names.items()}
    return Position(graph, height, {**position.confirmed, **moved})


def decided(position, runs):
    """What challenger 1 stakes on, and all that it says."""
    decisions = challenger.decide_setup(position, runs, 1)
    return [each.template for each in decisions.values() if isinstance(each, Move)], decisions


def alarms(position, runs):
    found = challenger.decide_setup(position, runs, 1).get("setup")
    return () if found is None else tuple(found.why.split("; "))


# ---- the window


def test_a_claim_can_be_challenged_at_least_as_long_as_the_one_before_it(agreed):
    """Claim 2 spends an output of claim 1, so it is never in a block below it."""
    spent = [each for each in agreed.graph["Claim#2"].inputs if isinstance(each, Input)]
    assert ("Claim", NEXT) in [(each.source.name, each.output) for each in spent]


def test_the_last_blocks_bear_a_reorg(plain):
    """Sent at the last moment, confirmed, taken back with ``confirmations`` blocks, confirmed again: still in time."""
    sent = latest_start(plain(FIRST, Claim=FIRST))
    confirmed = sent + 1
    longer_branch = confirmed + DEEP
    assert in_time(plain(longer_branch, Claim=FIRST))
    assert longer_branch + 1 < challenged_until(plain(FIRST, Claim=FIRST)) == UNTIL
    assert [height for height in range(FIRST, UNTIL + 3) if is_closing(plain(height, Claim=FIRST))] == [
        *range(UNTIL - PARAMETERS.delta, UNTIL - 1)
    ]


# ---- a later false claim as bait


def test_the_stake_is_kept_while_the_claim_before_may_be_false(claimed):
    """Claim 1's input is withheld, claim 2 is false at sight; then the input comes, and claim 1 is what was stolen."""
    position = claimed(lied_in(1, 1))
    moves, decisions = decided(position, NOTHING)
    assert moves == []
    assert decisions["2:1"] == Wait(
        "INVALID: no input has the claimed root; the stake is kept for an earlier claim", UNTIL - PARAMETERS.delta
    )
    assert alarms(position, NOTHING) == (
        "claim 1 is UNKNOWN and can still be challenged",
        "claim 2 is INVALID: our stake is kept for one before it that we cannot judge yet",
    )
    late = replace(position, height=UNTIL - PARAMETERS.delta - 1)
    assert decided(late, NOTHING)[0] == []
    assert decided(late, (true_runs(1)[0], None))[0] == ["1/Challenge"]


def test_the_stake_is_spent_in_time_though_the_claim_before_stays_unknown(claimed):
    position = replace(claimed(true_runs(1)), height=UNTIL - PARAMETERS.delta)
    assert decided(position, NOTHING)[0] == ["1/Challenge#2"]
    last = replace(position, height=UNTIL - 2)
    assert decided(last, NOTHING)[0] == ["1/Challenge#2"]
    assert decided(replace(position, height=UNTIL - 1), NOTHING)[0] == []


def test_the_stake_is_spent_at_once_where_the_claim_before_is_known_to_be_true(claimed):
    assert decided(claimed(true_runs(1)), (true_runs(1)[0], None))[0] == ["1/Challenge#2"]


def test_who_has_staked_still_calls_for_help_over_the_claim_before(claimed):
    position = with_moves(claimed(lied_in(1, 1)), UNTIL - PARAMETERS.delta - 2, g1_Challenge__2=FIRST + 5)
    assert alarms(position, NOTHING) == ()
    assert alarms(replace(position, height=UNTIL - PARAMETERS.delta), NOTHING) == (
        "claim 1 is UNKNOWN, its time runs out, and our stake is not there for it",
    )
    known = (true_runs(1)[0], None)
    moves, decisions = decided(position, known)
    assert moves == ["1/Choice_1#2"]
    assert decisions["setup"] == Wait("claim 1 is INVALID and we can challenge it no more", alarm=True)


def test_who_disputes_a_claim_is_not_called_over_those_behind_it(claimed):
    position = with_moves(claimed(lied_twice()), UNTIL - 2, g1_Challenge=FIRST + 5)
    assert alarms(position, true_runs(2)) == ()
    lost = with_moves(position, UNTIL + 9, g1_TakeStake_after_Challenge=UNTIL + 2)
    assert alarms(lost, true_runs(2))[0] == "claim 1 is INVALID and we can challenge it no more"


# ---- behind a Slash by somebody else


def slashed(position, height):
    return with_moves(position, height, g2_Challenge=FIRST + 1, g2_Choice_1=FIRST + 2, g2_Slash_after_Choice_1=height)


def test_behind_a_fresh_slash_the_stake_is_kept_for_what_a_reorg_brings_back(claimed):
    """A sybil slashes claim 1 and would take its Slash back; it waits for our stake to be on claim 2."""
    before = claimed(lied_in(1, 1))
    runs = (true_runs(1)[0], None)
    position = slashed(before, FIRST + 2 + PARAMETERS.delta)
    assert decided(position, runs)[0] == []
    assert decided(replace(before, height=position.height + 1), runs)[0] == ["1/Challenge"]  # taken back
    buried = replace(position, height=position.height + DEEP)
    moves, decisions = decided(buried, runs)
    assert moves == []
    assert decisions["2:1"] == Wait("claim 1 was slashed, and nothing behind it is ever final", over=True)
    assert decided(replace(buried, height=UNTIL - 2), runs)[0] == []
    assert may_leave(buried, 1)


def test_a_fresh_slash_does_not_let_the_time_run_out(claimed):
    """The sybil slashes in the last block but one; if a reorg takes that back, our Challenge must be there."""
    runs = (true_runs(1)[0], None)
    assert decided(slashed(claimed(lied_in(1, 1)), UNTIL - 3), runs)[0] == ["1/Challenge"]
    assert decided(slashed(claimed(true_runs(1)), UNTIL - 3), runs)[0] == ["1/Challenge#2"]
    assert decided(slashed(claimed(lied_in(1, 1)), UNTIL - PARAMETERS.delta - 1), runs)[0] == []


def test_a_buried_slash_of_a_later_claim_does_not_shield_the_earlier_one(claimed):
    position = claimed(lied_twice())
    heights = {"g2_Challenge__2": FIRST + 1, "g2_Choice_1__2": FIRST + 2, "g2_Slash_after_Choice_1__2": FIRST + 8}
    position = with_moves(position, FIRST + 8 + DEEP, **heights)
    assert decided(position, true_runs(2))[0] == ["1/Challenge"]


# ---- behind a false claim that was missed


def stored_lie():
    """Runs of which the first leaves a false memory, and the second is true of it."""
    false = tell(true_runs(1)[0], LIES["written"], 3)[0]
    return false, scene.run(INPUTS[1], false)


def test_a_claim_that_is_true_of_a_false_start_is_not_disputed(claimed):
    """Claim 1 was missed. Who disputes claim 2 by a run from the true state accuses step 0 in vain, and loses."""
    runs, known = stored_lie(), true_runs(2)
    assert runs[1].final_root != known[1].final_root
    position = replace(claimed(runs), height=UNTIL - 1)
    later = Confirmed(position.confirmed["Claim#2"].transaction, UNTIL - 4)
    position = replace(position, confirmed={**position.confirmed, "Claim#2": later})
    moves, decisions = decided(position, known)
    assert moves == []
    assert "may be true of that state" in decisions["2:1"].why
    assert challenger.claim_facts(position, known, 1)[1].verdict is Verdict.INVALID
    assert alarms(position, known)[0] == "claim 1 is INVALID and we can challenge it no more"


# ---- leaving


def test_a_slash_of_a_later_claim_does_not_send_the_stake_home(plain):
    """The prover slashes claim 2 through a challenger of its own, while claim 1 can still be challenged."""
    heights = {"Claim": FIRST, "Claim_2": FIRST + 1, "2/Challenge#2": FIRST + 2, "2/Choice_1#2": FIRST + 3}
    position = plain(FIRST + 12, **heights, **{"2/Slash_after_Choice_1#2": FIRST + 9})
    assert position.at_claim(2).buried("2/Slash_after_Choice_1")
    assert not may_leave(position, 1)
    paid = plain(UNTIL + DEEP - 1, **heights, **{"2/Slash_after_Choice_1#2": FIRST + 9, "Payout": UNTIL})
    assert not may_leave(paid, 1)
    assert may_leave(replace(paid, height=UNTIL + DEEP), 1)


def test_a_slash_of_the_first_claim_sends_the_stake_home_at_once(plain):
    heights = {"Claim": FIRST, "Claim_2": FIRST + 1, "2/Challenge": FIRST + 2, "2/Choice_1": FIRST + 3}
    position = plain(FIRST + 9 + DEEP, **heights, **{"2/Slash_after_Choice_1": FIRST + 9})
    assert may_leave(position, 1)
    assert not may_leave(replace(position, height=FIRST + 8 + DEEP), 1)


# ---- how urgent a Challenge is


def test_a_sybils_challenge_takes_no_urgency_from_ours(plain):
    """It spends a connector, without which Payout is impossible; our Challenge is as urgent as before."""
    rivals, ours = Rivals(plain(FIRST).graph), plain(FIRST).graph["1/Challenge"]
    alone = plain(FIRST + 3, Claim=FIRST)
    sybil = plain(FIRST + 3, Claim=FIRST, **{"2/Challenge": FIRST + 1})
    assert rivals.deadline(alone, ours) == rivals.deadline(sybil, ours) == UNTIL
    assert budget(sybil, ours, rivals.deadline(sybil, ours)) == PARAMETERS.stake // 2
    over = plain(FIRST + 12, Claim=FIRST, **{"2/Challenge": FIRST + 1, "2/TakeStake_after_Challenge": FIRST + 9})
    assert rivals.deadline(over, ours) == UNTIL


def test_the_deadline_of_a_challenge_is_that_of_its_own_claim(plain):
    rivals, graph = Rivals(plain(FIRST).graph), plain(FIRST).graph
    both = plain(FIRST + 9, Claim=FIRST, Claim_2=FIRST + 5)
    assert rivals.deadline(both, graph["1/Challenge#2"]) == UNTIL + 5
    assert rivals.deadline(both.at_claim(2), graph["1/Challenge"]) == UNTIL


def test_a_challenge_that_cannot_be_made_has_no_deadline(plain):
    rivals, ours = Rivals(plain(FIRST).graph), plain(FIRST).graph["1/Challenge"]
    assert rivals.deadline(plain(FIRST), ours) is None
    assert rivals.deadline(plain(UNTIL + 1, Claim=FIRST, Payout=UNTIL), ours) is None
    assert rivals.deadline(plain(FIRST + 3, Claim=FIRST, **{"1/Challenge": FIRST + 2}), ours) is None
