"""Finality, the one stake, and succession, over plain facts: every short history, against the definitions."""

import re
from dataclasses import replace
from itertools import pairwise, product

import pytest
from bitcoin.core import COutPoint

from bitvm.game.finality import (
    ClaimFacts,
    FinalityError,
    NotEndedError,
    Succession,
    Target,
    Verdict,
    earliest_false,
    ended_by,
    final,
    final_claims,
    succession,
)
from bitvm.graph.parameters import Parameters

IMAGE = b"\x0f" * 24
ROOTS = [bytes([number]) * 24 for number in (1, 2, 3)]
NEXT = COutPoint(b"\x77" * 32, 3)

OPEN = ClaimFacts(made=False)
MADE = ClaimFacts(made=True)
PAID = ClaimFacts(made=True, spender="Payout", buried=True)
LATE = ClaimFacts(made=True, spender="LatePayout", buried=True)
FRESH = ClaimFacts(made=True, spender="Payout", buried=False)
SLASHED = ClaimFacts(made=True, spender="2/Slash_after_Path", buried=True)
FRESH_SLASH = ClaimFacts(made=True, spender="1/Slash", buried=False)
WITHDRAWN = ClaimFacts(made=False, spender="Withdraw", buried=True)
FRESH_WITHDRAW = ClaimFacts(made=False, spender="Withdraw", buried=False)
KINDS = (OPEN, MADE, PAID, LATE, FRESH, SLASHED, FRESH_SLASH, WITHDRAWN, FRESH_WITHDRAW)


def possible(claims):
    return all(one.made or not other.made for one, other in pairwise(claims))


HISTORIES = [claims for count in (1, 2, 3) for claims in product(KINDS, repeat=count) if possible(claims)]


def told(verdict, challengeable=True, **known):
    return ClaimFacts(made=True, verdict=Verdict(verdict), challengeable=challengeable, **known)


# ---- finality


def test_final_is_the_recursion_of_the_protocol():
    def by_definition(claims, number):
        if number == 0:
            return True
        facts = claims[number - 1]
        return facts.spender in ("Payout", "LatePayout") and facts.buried and by_definition(claims, number - 1)

    assert len(HISTORIES) > 300
    for claims in HISTORIES:
        expected = [by_definition(claims, number) for number in range(1, len(claims) + 1)]
        assert [final(claims, number) for number in range(1, len(claims) + 1)] == expected
        assert final_claims(claims) == sum(expected)


@pytest.mark.parametrize("before", [MADE, FRESH, SLASHED, FRESH_SLASH])
def test_nothing_behind_a_claim_that_is_not_final_is(before):
    assert final_claims([PAID, before, PAID]) == 1
    assert not final([PAID, before, PAID], 3)


def test_a_slash_ends_the_setup_once_it_is_buried():
    assert ended_by([PAID, FRESH_SLASH, PAID]) is None
    assert ended_by([PAID, SLASHED, PAID]) == 2
    assert ended_by([SLASHED, SLASHED]) == 1
    assert ended_by([PAID, LATE, OPEN]) is None
    for name in ("Slash", "4/Slash", "1/Slash_after_Refute_after_Close", "2/Slash_after_Demand_3"):
        assert ended_by([ClaimFacts(made=True, spender=name, buried=True)]) == 1


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ([], "at least one"),
        ([OPEN, MADE], "claim 2 is made, but claim 1 is not"),
        ([ClaimFacts(made=True, spender="Withdraw")], "claim 1: 'Withdraw' cannot spend"),
        ([PAID, ClaimFacts(made=False, spender="Payout")], "claim 2: 'Payout' cannot spend"),
        ([ClaimFacts(made=True, spender="1/Reclaim")], "'1/Reclaim' cannot spend"),
        ([ClaimFacts(made=True, spender="1/TakeStake_after_Step")], "cannot spend"),
        ([ClaimFacts(made=True, spender="Slashed")], "cannot spend"),
        ([ClaimFacts(made=True, spender="Payout#2")], "cannot spend"),
        ([ClaimFacts(made=True, spender="")], "cannot spend"),
        ([ClaimFacts(made=True, buried=True)], "nothing is buried"),
    ],
)
def test_impossible_facts_are_named(claims, words):
    for asked in (final_claims, ended_by, earliest_false, lambda c: succession(c, IMAGE, ROOTS, NEXT)):
        with pytest.raises(FinalityError, match=re.escape(words)):
            asked(claims)


@pytest.mark.parametrize("number", [0, -1, 3])
def test_there_are_only_so_many_claims(number):
    with pytest.raises(FinalityError, match="slots are 1 to 2"):
        final([PAID, PAID], number)


# ---- the one stake


def test_the_stake_goes_to_the_earliest_false_claim():
    invalid, valid = told("INVALID"), told("VALID")
    assert earliest_false([invalid, invalid, invalid]) == Target(1, ())
    assert earliest_false([valid, invalid, invalid]) == Target(2, ())
    assert earliest_false([PAID, LATE, invalid]).claim == 3
    assert earliest_false([valid, valid, OPEN]) == Target(None, ())
    assert earliest_false([OPEN, OPEN, OPEN]) == Target(None, ())


def test_only_invalid_challenges_and_unknown_alarms():
    target = earliest_false([told("UNKNOWN"), told("INVALID", closing=True), told("UNKNOWN")])
    assert target.claim == 2
    assert len(target.alarms) == 1
    assert "claim 1 is UNKNOWN" in target.alarms[0]
    kept = earliest_false([told("UNKNOWN"), told("INVALID"), told("UNKNOWN")])
    assert kept.claim is None
    assert [alarm[:18] for alarm in kept.alarms] == ["claim 1 is UNKNOWN", "claim 2 is INVALID"]
    alone = earliest_false([told("UNKNOWN"), told("VALID"), told("UNKNOWN")])
    assert alone.claim is None
    assert [alarm[:7] for alarm in alone.alarms] == ["claim 1", "claim 3"]
    assert earliest_false([told("UNKNOWN", challengeable=False)]) == Target(None, ())


def test_a_false_claim_that_was_missed_alarms_and_the_next_one_is_challenged():
    for missed in (told("INVALID", False), ClaimFacts(True, "Payout", True, Verdict.INVALID)):
        target = earliest_false([missed, told("INVALID")])
        assert target.claim == 2
        assert "claim 1 is INVALID" in target.alarms[0]


@pytest.mark.parametrize("slash", [SLASHED, FRESH_SLASH])
def test_behind_a_slash_nothing_is_worth_a_stake(slash):
    assert earliest_false([slash, told("INVALID"), told("UNKNOWN")]) == Target(None, ())
    assert earliest_false([told("INVALID"), slash]).claim == 1


def test_a_slash_counts_when_it_is_buried():
    closing = told("INVALID", closing=True)
    assert earliest_false([SLASHED, closing]).claim is None
    assert earliest_false([FRESH_SLASH, closing]).claim == 2
    fresh = replace(closing, spender="1/Slash")
    assert earliest_false([fresh, closing]).claim == 1
    assert earliest_false([replace(fresh, closing=False), told("INVALID")]).claim is None
    assert earliest_false([replace(fresh, buried=True), closing]).claim is None


def test_who_disputes_a_claim_looks_out_for_those_before_it_alone():
    mine, missed = told("INVALID", False, challenged=True), told("INVALID", False)
    assert earliest_false([mine, missed, told("UNKNOWN", False, closing=True)]) == Target(None, ())
    assert [alarm[:18] for alarm in earliest_false([missed, mine]).alarms] == ["claim 1 is INVALID"]
    assert earliest_false([told("UNKNOWN", False), mine]).alarms == ()
    assert "our stake is not there" in earliest_false([told("UNKNOWN", False, closing=True), mine]).alarms[0]
    paid = replace(mine, spender="LatePayout")
    assert [alarm[:18] for alarm in earliest_false([paid, missed]).alarms] == [
        "claim 1 is INVALID",
        "claim 2 is INVALID",
    ]


def kinds_of_a_claim():
    yield from KINDS
    for verdict, challengeable, closing in product(Verdict, (True, False), (True, False)):
        yield told(verdict, challengeable, closing=closing)
        yield told(verdict, challengeable, closing=closing, spender="2/Slash_after_Path")
    yield told("INVALID", False, challenged=True)


def test_the_target_is_the_first_false_claim_in_time_and_doubt_delays_it_to_the_last_blocks():
    for claims in product(kinds_of_a_claim(), repeat=3):
        if not possible(claims):
            continue
        gone = [not c.made or (c.slashed and c.buried) or c.challenged for c in claims]
        alive = claims[: gone.index(True)] if True in gone else claims
        wanted = [n for n, c in enumerate(alive, 1) if c.verdict == "INVALID" and c.challengeable]
        found = earliest_false(claims).claim
        if not wanted:
            assert found is None
            continue
        first = wanted[0]
        doubt = [c for c in alive[: first - 1] if c.verdict == "UNKNOWN" and c.challengeable]
        doubt += [c for c in alive[:first] if c.slashed]
        assert found == (None if doubt and not alive[first - 1].closing else first)


WINDOW, LAST = 12, 5
"""Blocks in which a claim can be challenged, and how many of them are its last."""


def seen(height, made, verdict):
    """A claim that is open: what is known of it at a height."""
    left = made + WINDOW - height
    return told(verdict, left > 1, closing=1 < left <= LAST)


@pytest.mark.parametrize("gap", range(WINDOW + 2))
def test_the_stake_waits_for_an_earlier_claim_and_never_too_long(gap):
    """Claim 2, made ``gap`` blocks after claim 1, is false at sight; claim 1 is judged ``learnt`` blocks after it."""
    for truth, learnt in product(("VALID", "INVALID"), range(WINDOW + 2)):
        for height in range(gap, gap + WINDOW):
            first = truth if height >= learnt else "UNKNOWN"
            staked = earliest_false([seen(height, 0, first), seen(height, gap, "INVALID")]).claim
            if staked is not None:
                break
        soon_enough = max(learnt, gap) < WINDOW - 1 and learnt <= gap + WINDOW - LAST
        assert staked == (1 if truth == "INVALID" and soon_enough else 2)
        assert gap + WINDOW - height >= LAST


# ---- succession


def test_the_successor_of_a_setup_that_ran_to_its_end_spends_its_last_output():
    assert succession([PAID, LATE, PAID], IMAGE, ROOTS, NEXT) == Succession(ROOTS[2], NEXT)
    assert succession([PAID], IMAGE, ROOTS[:1], NEXT) == Succession(ROOTS[0], NEXT)


@pytest.mark.parametrize("end", [SLASHED, WITHDRAWN])
def test_after_an_early_end_the_successor_starts_at_the_last_final_root(end):
    rest = [MADE] if end is SLASHED else [OPEN]
    assert succession([PAID, end, *rest], IMAGE, ROOTS, NEXT) == Succession(ROOTS[0], None)
    assert succession([end, *rest], IMAGE, ROOTS, NEXT) == Succession(IMAGE, None)
    if end is SLASHED:
        assert succession([end, PAID, PAID], IMAGE, ROOTS, NEXT) == Succession(IMAGE, None), "paid is not final"


def test_a_setup_has_a_successor_only_when_it_has_ended():
    for claims in HISTORIES:
        count = final_claims(claims)
        if count == len(claims) or claims[count] in (SLASHED, WITHDRAWN):
            found = succession(claims, IMAGE, ROOTS, NEXT)
            assert found.image_root == [IMAGE, *ROOTS][count]
            assert found.predecessor == (NEXT if count == len(claims) else None)
        else:
            with pytest.raises(NotEndedError, match=f"claim {count + 1} is neither"):
                succession(claims, IMAGE, ROOTS, NEXT)


def test_a_final_root_that_is_no_node_starts_nothing():
    with pytest.raises(FinalityError, match="claim 2 is final and its final root is no node"):
        succession([PAID, PAID], IMAGE, [ROOTS[0], None], NEXT)
    assert succession([PAID, SLASHED], IMAGE, [ROOTS[0], None], NEXT) == Succession(ROOTS[0], None)
    with pytest.raises(FinalityError, match="2 claims are final, 1 final roots"):
        succession([PAID, PAID], IMAGE, ROOTS[:1], NEXT)


def test_the_successors_parameters_differ_in_the_root_alone():
    mine = Parameters(IMAGE, levels=3, challengers=2)
    theirs = Succession(ROOTS[0], NEXT).parameters(mine)
    assert theirs == Parameters(ROOTS[0], levels=3, challengers=2)
    assert theirs.canonical() != mine.canonical()
