"""By when a move must be confirmed, and what it may cost.

The opponent's answer to silence is a transaction that spends an output which the move would have spent, behind a
relative lock. So the deadline of a move is the height at which the first such rival unlocks: the move must be in a
block below it. A move that nobody can overtake has none.

Challenge always has one. What overtakes it, Payout, spends the connectors of all challengers, so anybody's Challenge
makes Payout impossible. But a reorganisation may take that back, and an honest challenger stakes within ``delta_claim``
of Claim or not at all. So that is its deadline, whatever other challengers do.

Where other challengers play for the same bond, a Slash has less time. If one of theirs is confirmed first, Reclaim
takes our stake back, but only when that one is buried: it must be ``confirmations`` + 2 blocks below the prover's
timeout. A challenger of the prover's own would come later than that, so ours has to be there before. There is a block
for it where ``delta`` is at least ``2 * confirmations + 3``, since Step is buried first.

What may be paid for a move with a deadline is half of what silence would cost: the prover its bond, a challenger its
stake. Money that is saved and lost with the game is not saved. A move without a deadline can wait for a better price
and costs what the parameters' ``fee_ceiling`` allows.
"""

from __future__ import annotations

import math

from bitvm.chain.fees import TRUC_CHILD_LIMIT
from bitvm.game.ending import ending
from bitvm.game.position import Position
from bitvm.game.window import challenged_until
from bitvm.graph.graph import Graph
from bitvm.graph.model import NO_LOCK, PROVER, Input, Template, challenger, challenger_number
from bitvm.graph.setting import game_name

SHARE_OF_STAKE = 2
"""A move may cost one part in so many of what silence would lose."""

_CHALLENGE = "/Challenge"
"""How the name of a Challenge ends, behind the game's number."""

_WINS = ("Slash_after_", "Reclaim_after_", "TakeStake_after_")
"""How the names of what wins by a timeout begin, behind ``number/``."""


class Rivals:
    """Which transactions of a graph compete for an output, and which of them wait for somebody's silence."""

    def __init__(self, graph: Graph) -> None:
        """Index the graph by what is spent."""
        self._by_output: dict[tuple[str, str], list[Template]] = {}
        self._timeouts: dict[tuple[int, int], list[Template]] = {}
        for template in graph.templates.values():
            for spent in template.inputs:
                if isinstance(spent, Input):
                    self._by_output.setdefault((spent.source.name, spent.output), []).append(template)
            number, _, name = template.plain.rpartition("/")
            if _is_timeout(template) and name.startswith(_WINS):
                self._timeouts.setdefault((template.claim, int(number)), []).append(template)

    def of(self, template: Template) -> tuple[Template, ...]:
        """Return the other transactions that spend an output which ``template`` spends."""
        found = {
            rival.name: rival
            for spent in template.inputs
            if isinstance(spent, Input)
            for rival in self._by_output[(spent.source.name, spent.output)]
            if rival.name != template.name
        }
        return tuple(found.values())

    def deadline(self, position: Position, template: Template) -> int | None:
        """Return the height from which an opponent's timeout can be confirmed in the place of ``template``.

        Of a Challenge that can still be made, the height from which it comes too late.
        """
        at = position.at_claim(template.claim)
        if template.plain.endswith(_CHALLENGE) and at.has("Claim"):
            return None if any(map(at.is_spent, template.inputs)) else challenged_until(at)
        possible = (rival for rival in self.of(template) if not any(map(position.is_spent, rival.inputs)))
        timeouts = (rival for rival in possible if _are_opponents(rival, template) and _is_timeout(rival))
        heights = (position.unlock_height(rival) for rival in timeouts)
        until = min((height for height in heights if height is not None), default=None)
        if until is None or not self._can_be_outrun(position, template):
            return until
        return until - position.graph.setting.parameters.confirmations - 1

    def _can_be_outrun(self, position: Position, template: Template) -> bool:
        """Whether a comrade plays for the bond that ``template`` slashes: has challenged, and has not lost."""
        movers = {comrade.mover for comrade in self.comrades(template)}
        at = position.at_claim(template.claim)
        numbers = (challenger_number(mover) for mover in movers)
        return any(at.has(game_name(number, "Challenge")) and ending(at, number) is None for number in numbers)

    def comrades(self, template: Template) -> tuple[Template, ...]:
        """Return rivals that serve the same end: other challengers' Slashes of the bond that a challenger slashes."""
        if template.mover == PROVER:
            return ()
        return tuple(rival for rival in self.of(template) if rival.mover not in (PROVER, template.mover))

    def is_void(self, position: Position, template: Template) -> bool:
        """Whether a buried rival has made ``template`` impossible."""
        return any(
            rival.name in position.confirmed and position.at_claim(rival.claim).buried(rival.plain)
            for rival in self.of(template)
        )

    def owed(self, position: Position, number: int) -> tuple[str, int] | None:
        """Return who owes a move in challenger ``number``'s game of the position's claim, and when it is too late.

        The height is the first at which the opponent can win by timeout. None where no such timeout runs.
        """
        running: list[tuple[int, str]] = []
        for template in self._timeouts.get((position.slot, number), ()):
            unlocks = position.unlock_height(template)
            if unlocks is not None and not any(map(position.is_spent, template.inputs)):
                running.append((unlocks, challenger(number) if template.mover == PROVER else PROVER))
        if not running:
            return None
        height, debtor = min(running)
        return debtor, height


def since(position: Position, template: Template) -> int:
    """Return the height at which ``template`` became possible: its inputs confirmed, its locks run out."""
    heights = [0]
    for spent in template.inputs:
        source = position.confirmed.get(spent.source.name) if isinstance(spent, Input) else None
        if isinstance(spent, Input) and source is not None:
            heights.append(source.height + (spent.sequence if spent.sequence < NO_LOCK else 0))
    return min(max(heights), position.height)


def budget(position: Position, template: Template, deadline: int | None) -> int:
    """Return what fees of ``template`` and its child may come to, in satoshi."""
    parameters = position.graph.setting.parameters
    if deadline is None:
        return math.ceil(parameters.fee_ceiling * (template.vsize() + TRUC_CHILD_LIMIT))
    return (parameters.bond if template.mover == PROVER else parameters.stake) // SHARE_OF_STAKE


def _are_opponents(one: Template, other: Template) -> bool:
    """Whether one is the prover's and the other a challenger's; a comrade's Slash takes nothing but the reward."""
    return (one.mover == PROVER) != (other.mover == PROVER)


def _is_timeout(template: Template) -> bool:
    return any(spent.sequence != NO_LOCK for spent in template.inputs)
