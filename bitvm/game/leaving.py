"""When a challenger that has played no game takes its stake home.

A stake is on its owner's key alone; to spend it outside of the game is to leave. An honest challenger leaves when no
claim of the set-up is left that could still become final: each is paid, slashed or withdrawn, and that is buried. After
a buried Slash nothing behind it is ever final, so it need not wait for the slots behind. For those before it must: or a
prover would slash a later claim through a challenger of its own, and nobody would be left to dispute the earlier one.
"""

from __future__ import annotations

from bitvm.game.facts import all_facts
from bitvm.game.finality import ended_by
from bitvm.game.position import Position
from bitvm.graph.graph import FUND
from bitvm.graph.setting import game_name


def is_settled(position: Position) -> bool:
    """Whether no claim of the set-up can become final any more that is not yet.

    All are decided and buried; if one of them was slashed, all up to the first one that was.
    """
    facts = tuple(all_facts(position))
    return all(fact.buried and (fact.paid or fact.slashed or fact.withdrawn) for fact in facts[: ended_by(facts)])


def may_leave(position: Position, number: int) -> bool:
    """Whether challenger ``number`` still has its stake and nothing is left to guard with it."""
    return position.has(FUND) and not _is_staked(position, number) and is_settled(position)


def _is_staked(position: Position, number: int) -> bool:
    """Whether the stake went into a game, on any claim."""
    slots = range(1, position.graph.setting.parameters.claims + 1)
    return any(position.at_claim(slot).has(game_name(number, "Challenge")) for slot in slots)
