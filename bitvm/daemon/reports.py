"""A set-up as people see it: claims and games as plain values, folded from a position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bitvm.daemon.role import Judged
from bitvm.daemon.status import ClaimStatus, GameStatus, SetupStatus
from bitvm.game.ending import LOST, ending
from bitvm.game.facts import all_facts
from bitvm.game.finality import final_claims
from bitvm.game.leaving import is_settled
from bitvm.game.moves import Decision, Move
from bitvm.game.position import Position
from bitvm.game.urgency import Rivals
from bitvm.game.window import challenged_until
from bitvm.graph.claim import BOND, connector
from bitvm.graph.graph import FUND
from bitvm.graph.model import full_name
from bitvm.graph.setting import game_name
from bitvm.leaves.authority import WitnessError

Judge = Callable[[int], Judged]
"""Says what we think of the claim in a slot, which was made."""


def setup_status(
    name: str,
    party: str,
    setup_id: bytes,
    position: Position,
    rivals: Rivals,
    *,
    judge: Judge,
    decisions: Mapping[str, Decision],
    fees: Mapping[str, int],
    taken_back: int | None,
) -> SetupStatus:
    """Return a set-up as plain values.

    decisions: by ``slot:key``, ours, empty for one who only looks on. fees: what our children pay, by transaction.
    taken_back: the block in which our coins for Fund were seen spent otherwise. It is over only when that is buried:
    until then whoever holds all signatures may still get Fund confirmed, and we have to defend what it starts.
    """
    claims = tuple(_claims(name, position, judge))
    games = tuple(_games(name, position, rivals, decisions, fees))
    running = any(game.state in ("open", "running") for game in games)
    buried = taken_back is not None and position.height - taken_back >= position.graph.setting.parameters.confirmations
    over = buried if not position.has(FUND) else is_settled(position) and not running
    return SetupStatus(name, setup_id.hex(), party, position.height, position.has(FUND), over, claims, games)


def _slots(position: Position) -> range:
    return range(1, position.graph.setting.parameters.claims + 1)


def _claims(name: str, position: Position, judge: Judge) -> Iterator[ClaimStatus]:
    final = final_claims(tuple(all_facts(position)))
    for slot in _slots(position):
        at = position.at_claim(slot)
        if not at.has("Claim"):
            yield ClaimStatus(name, slot, spender="Withdraw" if at.has("Withdraw") else None)
            continue
        nodes = _said(at)
        found = judge(slot)
        made = at.height_of("Claim")
        yield ClaimStatus(
            name,
            slot,
            made=made,
            input_root=nodes.get("input_root"),
            final_root=nodes.get("final_root"),
            verdict=found.verdict.value,
            why=found.why,
            spender=at.spent_by("Claim", BOND),
            final=slot <= final,
            until=challenged_until(at),
            seconds=found.seconds,
        )


def _said(at: Position) -> dict[str, str | None]:
    """Return the nodes that a claim signs, in hexadecimal; nothing where it cannot be read."""
    try:
        return {field: None if node is None else node.hex() for field, node in at.claim().nodes.items()}
    except WitnessError:
        return {}


def _games(
    name: str, position: Position, rivals: Rivals, decisions: Mapping[str, Decision], fees: Mapping[str, int]
) -> Iterator[GameStatus]:
    for slot in _slots(position):
        at = position.at_claim(slot)
        if not at.has("Claim"):
            continue
        for number in range(1, position.graph.setting.parameters.challengers + 1):
            state = game_state(at, number)
            owed = rivals.owed(at, number) if state == "running" else None
            decision = decisions.get(f"{slot}:{number}")
            yield GameStatus(
                name,
                slot,
                number,
                state,
                last=_last(at, number),
                turn=owed[0] if owed else None,
                deadline=owed[1] if owed else None,
                decision=decision.why if decision is not None else "",
                move=decision.template if isinstance(decision, Move) else None,
                fees=sum(fee for template, fee in fees.items() if _is_of_game(template, slot, number)),
            )


def game_state(at: Position, number: int) -> str:
    """Return the state of challenger ``number``'s game of the position's claim, as `GameStatus` names it."""
    over = ending(at, number)
    if over is not None:
        return "lost" if over.startswith(LOST) else "won"
    if at.has(game_name(number, "Challenge")):
        return "running"
    closed = at.spent_by("Claim", BOND) is not None or at.spent_by("Claim", connector(number)) is not None
    return "closed" if closed else "open"


def _last(at: Position, number: int) -> str | None:
    """Return the plain name of the game's newest transaction."""
    prefix = f"{number}/"
    played = [
        (seen.height, order, at.graph[name].plain)
        for order, (name, seen) in enumerate(at.confirmed.items())
        if at.graph[name].claim == at.slot and at.graph[name].plain.startswith(prefix)
    ]
    return max(played)[2] if played else None


def _is_of_game(template: str, slot: int, number: int) -> bool:
    plain = template.partition("#")[0]
    return plain.startswith(f"{number}/") and template == full_name(plain, slot)
