"""Who will win: a forecast of every claim and game from what the chain shows; pure, and believed by no strategy.

Without the truth of a claim, a game's forecast is that who owes a move loses unless it comes. With it (one's own run of
the input), the side that tells the truth wins as long as it makes its moves in time, and the other can only delay. What
is decided already is told as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bitvm.daemon.commands.outlook import Owed, named, owed, short_name
from bitvm.daemon.reports import game_state
from bitvm.game.ending import ending
from bitvm.game.facts import all_facts
from bitvm.game.finality import Verdict, final_claims
from bitvm.game.position import Position
from bitvm.game.window import challenged_until
from bitvm.graph.claim import BOND
from bitvm.graph.model import PROVER, challenger
from bitvm.graph.setting import game_name


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will become of a claim (``challenger`` None) or of one game of it.

    winner: a party, None where nobody can be named. decided: whether that can change no more, but for a
    reorganisation. by: the last block in which the move that matters is safe, left: how many blocks that are; None
    where no move matters. text: all of it in a sentence.
    """

    slot: int
    challenger: int | None
    winner: str | None
    decided: bool
    by: int | None
    left: int | None
    text: str


def forecast_claim(at: Position, truth: Verdict = Verdict.UNKNOWN) -> Forecast:
    """Return the forecast of the position's claim; ``truth``: what one's own run says of it."""
    if not at.has("Claim"):
        if at.has("Withdraw"):
            return _claim(at, None, "withdrawn without a claim", decided=True)
        return _claim(at, None, "nothing is claimed yet")
    spender = at.spent_by("Claim", BOND)
    if spender is not None:
        return _spent(at, spender)
    numbers = range(1, at.graph.setting.parameters.challengers + 1)
    running = [number for number in numbers if game_state(at, number) == "running"]
    if running:
        return _disputed(at, running, truth)
    if any(at.has(game_name(number, "Challenge")) for number in numbers):
        return _beaten(at, truth)
    return _unchallenged(at, truth)


def forecast_game(at: Position, number: int, truth: Verdict = Verdict.UNKNOWN) -> Forecast:
    """Return the forecast of challenger ``number``'s game of the position's claim."""
    who = challenger(number)
    state = game_state(at, number)
    over = ending(at, number)
    if over is not None:
        winner = who if state == "won" else PROVER
        return Forecast(at.slot, number, winner, True, None, None, f"{named(winner)} won by {over}")
    if state != "running":
        text = "not challenged" if state == "open" else "never played"
        return Forecast(at.slot, number, None, state == "closed", None, None, text)
    due = owed(at, number)
    if due is None:
        return Forecast(at.slot, number, who, False, None, None, f"{who} wins: nothing can answer its proof any more")
    return _running(at, number, due, truth)


def forecasts(position: Position, truths: dict[int, Verdict]) -> Iterator[Forecast]:
    """Yield the forecasts of all claims that were made, each before those of its games; ``truths``: by slot."""
    parameters = position.graph.setting.parameters
    for slot in range(1, parameters.claims + 1):
        at, truth = position.at_claim(slot), truths.get(slot, Verdict.UNKNOWN)
        yield forecast_claim(at, truth)
        if at.has("Claim"):
            for number in range(1, parameters.challengers + 1):
                yield forecast_game(at, number, truth)


# ---- games


def _running(at: Position, number: int, due: Owed, truth: Verdict) -> Forecast:
    left, penalty = due.left(at.height), short_name(due.penalty)
    debtor, creditor = named(due.debtor), named(due.creditor)
    if left == 0:
        text = f"{creditor} wins by {penalty}, unless {debtor} is faster: it is late with {due.wanted()}"
        return Forecast(at.slot, number, due.creditor, False, due.by, left, text)
    right = _right_side(number, truth)
    move = f"{due.wanted()} by block {due.by:,} ({left} left)"
    if right is None:
        text = f"{creditor} wins unless {debtor} confirms {move}"
        return Forecast(at.slot, number, due.creditor, False, due.by, left, text)
    told = "false" if truth is Verdict.INVALID else "true"
    if right == due.debtor:
        text = f"the claim is {told}: {debtor} wins if it confirms {move}; else {creditor} by {penalty}"
        return Forecast(at.slot, number, right, False, due.by, left, text)
    text = f"the claim is {told}: {debtor} can only delay; it owes {move}, and {creditor} wins in the end"
    return Forecast(at.slot, number, right, False, due.by, left, text)


def _right_side(number: int, truth: Verdict) -> str | None:
    """Return the party that tells the truth, None where that is not known."""
    return {Verdict.VALID: PROVER, Verdict.INVALID: challenger(number)}.get(truth)


# ---- claims


def _claim(at: Position, winner: str | None, text: str, *, decided: bool = False, by: int | None = None) -> Forecast:
    left = None if by is None else max(0, by - at.height)
    return Forecast(at.slot, None, winner, decided, by, left, text)


def _spent(at: Position, spender: str) -> Forecast:
    template = at.template(spender)
    height, buried = at.height_of(spender), at.buried(spender)
    if template.mover != PROVER:
        return _claim(at, template.mover, f"slashed by {template.mover} in block {height:,}", decided=buried)
    final = at.slot <= final_claims(tuple(all_facts(at)))
    depth = at.graph.setting.parameters.confirmations
    if final:
        text = f"paid in block {height:,}, final"
    elif buried:
        text = f"paid in block {height:,}; final when the claims before it are"
    else:
        text = f"paid in block {height:,}; buried in block {height + depth:,}"
    return _claim(at, PROVER, text, decided=buried)


def _unchallenged(at: Position, truth: Verdict) -> Forecast:
    """Nobody has challenged yet: until Payout can be confirmed, somebody still may."""
    payable = challenged_until(at)
    by = payable - 1
    left = max(0, by - at.height)
    if left == 0:
        return _claim(at, PROVER, "nobody challenged: Payout can be confirmed in the next block", by=by)
    if truth is Verdict.INVALID:
        text = f"the claim is false, and still paid unless a Challenge is confirmed by block {by:,} ({left} left)"
        return _claim(at, None, text, by=by)
    known = "the claim is true and " if truth is Verdict.VALID else ""
    text = f"{known}nobody challenged: paid at block {payable:,}, unless a Challenge is confirmed by block {by:,}"
    return _claim(at, PROVER, text, by=by)


def _beaten(at: Position, truth: Verdict) -> Forecast:
    """Every game that was played is over, and none of them took the bond."""
    late = at.height_of("Claim") + at.graph.setting.parameters.delta_long
    payable = challenged_until(at)
    text = f"all challengers so far have lost: paid at block {late:,}"
    if at.height + 1 < payable and truth is not Verdict.VALID:
        text = f"{text}, unless another one challenges by block {payable - 1:,}"
        return _claim(at, PROVER, text, by=payable - 1)
    return _claim(at, PROVER, text)


def _disputed(at: Position, running: list[int], truth: Verdict) -> Forecast:
    parameters = at.graph.setting.parameters
    games = [forecast_game(at, number, truth) for number in running]
    late = at.height_of("Claim") + parameters.delta_long
    longest = [at.height_of(game_name(number, "Challenge")) + parameters.longest_game for number in running]
    latest = min(late - 1, *longest)
    winning = [game for game in games if game.winner != PROVER]
    winner = winning[0].winner if winning else PROVER
    by = min((game.by for game in games if game.by is not None), default=None)
    if truth is Verdict.INVALID and winner != PROVER:
        text = f"the claim is false: the prover can only delay; Slash by block {latest:,} at the latest"
    elif truth is Verdict.VALID and winner == PROVER:
        text = f"the claim is true: challengers can only delay; paid at block {late:,} at the latest"
    else:
        names = ", ".join(challenger(number) for number in running)
        text = f"disputed by {names}; as it stands {named(winner or PROVER)} wins; over by block {latest:,}"
    return _claim(at, winner, text, by=by)
