"""Which claims of a set-up are final, which one an honest challenger stakes on, and what a successor starts from.

    final(c)    Payout_c or LatePayout_c spent bond c, that is buried, and final(c-1)

A Slash of c ends the set-up: nothing from c on is ever final, so only the earliest false claim matters and one stake a
challenger is enough. A claim that a challenger found VALID is not final by that, and nothing is released before it is.

The one stake is what a thief is after: on a later claim it would be wasted, should an earlier one be false. So it is
kept while an earlier claim may turn out to be the one to challenge, and goes onto a later one when the time for that
would run out otherwise (`bitvm.game.window`).

Everything here is a function of plain facts about each claim slot, first slot first; whoever folds the chain makes
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from bitcoin.core import COutPoint

from bitvm.graph.parameters import Parameters

PAYOUTS = ("Payout", "LatePayout")
"""Plain names of the prover's spends of a bond."""

SLASH = "Slash"
"""How the plain names of a challenger's spends of a bond begin, behind ``number/``."""


class FinalityError(ValueError):
    """Facts that no chain can hold; names the slot."""


class NotEndedError(ValueError):
    """A set-up that still runs has no successor yet; names the claim that is open."""


class Verdict(StrEnum):
    """What a challenger thinks of a claim."""

    VALID = "VALID"
    INVALID = "INVALID"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """What is known of one claim slot.

    made: whether Claim is confirmed. spender: plain name ("Payout", "1/Slash_after_Path") of the confirmed transaction
    that spent the bond, None while there is none; of a slot whose claim was not made, "Withdraw" or None.
    buried: whether that spender is. verdict: one's own. challengeable: whether one can make a Challenge that is of use:
    connector and stake are unspent, and it would come in time. closing: whether Challenge would still come in time, but
    can be put off no longer. challenged: whether one's own stake is in a game about the claim, which is not lost.
    """

    made: bool
    spender: str | None = None
    buried: bool = False
    verdict: Verdict = Verdict.UNKNOWN
    challengeable: bool = False
    closing: bool = False
    challenged: bool = False

    def check(self, number: int, previous: ClaimFacts | None) -> None:
        """Raise FinalityError for what cannot be in slot ``number`` behind ``previous``."""
        if self.made and previous is not None and not previous.made:
            raise FinalityError(f"claim {number} is made, but claim {number - 1} is not, whose output it spends")
        if self.spender is not None and not self.paid and not self.slashed and not self.withdrawn:
            raise FinalityError(f"claim {number}: {self.spender!r} cannot spend what is there")
        if self.buried and self.spender is None:
            raise FinalityError(f"claim {number}: nothing is buried, as nothing spent the bond")

    @property
    def paid(self) -> bool:
        """Whether the prover got its bond back."""
        return self.made and self.spender in PAYOUTS

    @property
    def slashed(self) -> bool:
        """Whether a challenger took the bond."""
        name = "" if self.spender is None else self.spender.rpartition("/")[2]
        return self.made and (name == SLASH or name.startswith(f"{SLASH}_after_"))

    @property
    def withdrawn(self) -> bool:
        """Whether the prover took back the slot without a claim."""
        return not self.made and self.spender == "Withdraw"


def final_claims(claims: Sequence[ClaimFacts]) -> int:
    """Return how many claims are final: they are the first ones. Raises FinalityError."""
    _check(claims)
    for number, facts in enumerate(claims):
        if not (facts.paid and facts.buried):
            return number
    return len(claims)


def final(claims: Sequence[ClaimFacts], number: int) -> bool:
    """Return whether claim ``number`` (from 1) is final; raises FinalityError, also for a number that is no slot."""
    if not 1 <= number <= len(claims):
        raise FinalityError(f"there is no claim {number}; slots are 1 to {len(claims)}")
    return number <= final_claims(claims)


def ended_by(claims: Sequence[ClaimFacts]) -> int | None:
    """Return the first claim whose bond a buried Slash took, None if there is none; raises FinalityError."""
    _check(claims)
    return next((number for number, facts in enumerate(claims, 1) if facts.slashed and facts.buried), None)


@dataclass(frozen=True, slots=True)
class Target:
    """What a challenger should do with its stake.

    claim: the claim (from 1) to challenge now, None if there is none. alarms: what somebody has to look at, now.
    """

    claim: int | None
    alarms: tuple[str, ...]


def earliest_false(claims: Sequence[ClaimFacts]) -> Target:
    """Return on which claim an honest challenger puts its one stake: the earliest INVALID one that it can challenge.

    It waits while an earlier claim that it could challenge is UNKNOWN, since that one may be false; and while a Slash
    of the claim or of an earlier one is not buried, since it may stand, or be taken back. It waits until the claim's
    own window closes, and no longer.

    What is behind a buried Slash, or behind a claim that it disputes itself, does not matter. Before that, a claim
    alarms that is UNKNOWN while something can be done about it; one behind it that is INVALID, since the one stake is
    wanted for both; and one that is INVALID and can be challenged no more: unless others do, it will be final. Raises
    FinalityError.
    """
    _check(claims)
    alarms: list[str] = []
    unknown = slashed = False
    for number, facts in enumerate(claims, 1):
        if not facts.made or (facts.slashed and facts.buried) or (facts.challenged and not facts.paid):
            break
        slashed = slashed or facts.slashed
        if facts.verdict == Verdict.INVALID and facts.challengeable:
            waits = (unknown or slashed) and not facts.closing
            if waits and unknown:
                alarms.append(
                    f"claim {number} is INVALID: our stake is kept for one before it that we cannot judge yet"
                )
            return Target(None if waits else number, tuple(alarms))
        unknown = unknown or (facts.verdict == Verdict.UNKNOWN and facts.challengeable)
        alarms += () if slashed else _alarms(number, facts)
    return Target(None, tuple(alarms))


def _alarms(number: int, facts: ClaimFacts) -> Iterator[str]:
    """Yield what is alarming about a claim on which the stake does not go."""
    if facts.verdict == Verdict.INVALID:
        yield f"claim {number} is INVALID and we can challenge it no more"
    elif facts.verdict == Verdict.UNKNOWN and facts.challengeable:
        yield f"claim {number} is UNKNOWN and can still be challenged"
    elif facts.verdict == Verdict.UNKNOWN and facts.closing:
        yield f"claim {number} is UNKNOWN, its time runs out, and our stake is not there for it"


@dataclass(frozen=True, slots=True)
class Succession:
    """What a successor set-up must have.

    image_root: the state root, 24 bytes, that its first claim starts from. predecessor: the ``next`` output of the last
    claim, which its Fund spends; None where the predecessor ended early or had one slot, and there is no such output.
    """

    image_root: bytes
    predecessor: COutPoint | None

    def parameters(self, predecessors: Parameters) -> Parameters:
        """Return the predecessor's parameters with the new image root."""
        return replace(predecessors, image_root=self.image_root)


def succession(
    claims: Sequence[ClaimFacts], image_root: bytes, final_roots: Sequence[bytes | None], last_next: COutPoint | None
) -> Succession:
    """Return what the successor of a set-up must have.

    image_root: the set-up's own, 24 bytes. final_roots: signed by each claim that was made, in order, None for a label
    that encodes no node. last_next: the ``next`` output of the claim in the last slot, keyed to the prover; None in a
    set-up of one slot.

    A set-up has ended when all its claims are final, or behind its final claims there is a slashed or withdrawn one,
    buried. Raises NotEndedError before that, and FinalityError for impossible facts or a final claim without a root.
    """
    count = final_claims(claims)
    if len(final_roots) < count:
        raise FinalityError(f"{count} claims are final, {len(final_roots)} final roots are given")
    root = final_roots[count - 1] if count else image_root
    if root is None:
        raise FinalityError(f"claim {count} is final and its final root is no node: nothing can start there")
    if count == len(claims):
        return Succession(root, last_next)
    following = claims[count]
    if not (following.buried and (following.slashed or following.withdrawn)):
        raise NotEndedError(f"claim {count + 1} is neither final, slashed nor withdrawn")
    return Succession(root, None)


def _check(claims: Sequence[ClaimFacts]) -> None:
    if not claims:
        raise FinalityError("a set-up has at least one claim slot")
    previous = None
    for number, facts in enumerate(claims, 1):
        facts.check(number, previous)
        previous = facts
