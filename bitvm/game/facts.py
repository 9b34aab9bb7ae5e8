"""What everybody can see of a claim slot, as `bitvm.game.finality` needs it."""

from __future__ import annotations

from collections.abc import Iterator

from bitvm.game.finality import ClaimFacts, Verdict
from bitvm.game.position import Position
from bitvm.game.window import is_closing
from bitvm.graph.claim import BOND


def slot_facts(
    position: Position,
    verdict: Verdict = Verdict.UNKNOWN,
    *,
    challengeable: bool = False,
    challenged: bool = False,
) -> ClaimFacts:
    """Return the facts about the position's claim slot; ``verdict`` and the others are one's own."""
    if not position.has("Claim"):
        withdrawn = position.has("Withdraw")
        return ClaimFacts(False, "Withdraw" if withdrawn else None, withdrawn and position.buried("Withdraw"))
    spender = position.spent_by("Claim", BOND)
    buried = spender is not None and position.buried(spender)
    return ClaimFacts(True, spender, buried, verdict, challengeable, is_closing(position), challenged)


def all_facts(position: Position) -> Iterator[ClaimFacts]:
    """Yield the facts about every slot, without a verdict."""
    for slot in range(1, position.graph.setting.parameters.claims + 1):
        yield slot_facts(position.at_claim(slot))
