"""What must always hold, as checks of the states of a symbolic game; each names its number in the list of invariants.

Those about a whole run are checked where the hostile party may wait for ever (`*_end`).
"""

from __future__ import annotations

from collections.abc import Mapping

from symbolic_game import Check, Exploration, ViolationError
from symbolic_position import SymbolicPosition

from bitvm.game import challenger as challenger_strategy
from bitvm.game import side
from bitvm.game.computation import Computation
from bitvm.game.ending import LOST, WON, ending
from bitvm.game.moves import Move, SayChoice
from bitvm.game.side import Standing, standing
from bitvm.game.side_list import answered_points
from bitvm.game.trace_list import interval_start
from bitvm.graph.claim import BOND, connector
from bitvm.graph.model import PROVER, Input

PAYOUTS = ("Payout", "LatePayout")


def fail(exploration: Exploration, number: int, message: str) -> None:
    raise ViolationError(number, f"{message}, after {' | '.join(exploration.run)}")


# ---- of the game


def one_spender(exploration: Exploration, position: SymbolicPosition) -> None:
    """10. The bond is spent once, and Payout only while no connector is."""
    spenders = [
        name
        for name in position.confirmed
        for spent in position.graph[name].inputs
        if isinstance(spent, Input) and (spent.source.plain, spent.output) == ("Claim", BOND)
    ]
    if len(spenders) > 1:
        fail(exploration, 10, f"the bond is spent by {spenders}")
    for number in range(1, exploration.parameters.challengers + 1):
        spender = position.spent_by("Claim", connector(number)) if position.has("Claim") else None
        if "Payout" in position.confirmed and spender != "Payout":
            fail(exploration, 10, "Payout did not spend all connectors")


def one_owes(exploration: Exploration, position: SymbolicPosition) -> None:
    """9. Never do the timeouts of both parties run at once, and a win on the side path needs O_r."""
    for number in range(1, exploration.parameters.challengers + 1):
        prefix = f"{number}/"
        running: dict[str, list[str]] = {"prover": [], "challenger": []}
        found = {t.name: t for name in position.confirmed for t in exploration.children[name]}
        for name, template in found.items():
            if not name.startswith(prefix) or "Sweep" in name or name in position.confirmed:
                continue
            locked = any(isinstance(i, Input) and i.sequence < 2**16 for i in template.inputs)
            of_game = [i for i in template.inputs if isinstance(i, Input) and i.output != BOND]
            there = all(i.source.name in position.confirmed and not position.is_spent(i) for i in of_game)
            if locked and there:
                running["prover" if template.mover == PROVER else "challenger"].append(name)
        if running["prover"] and running["challenger"]:
            fail(exploration, 9, f"both timeouts run: {running}")


def nothing_stuck_end(exploration: Exploration, position: SymbolicPosition) -> None:
    """8. Every output behind leaves that is left has a transaction that can still spend it."""
    for name in position.confirmed:
        for output in position.graph[name].outputs:
            if not output.leaves or output.value == 0:
                continue
            spenders = [
                t
                for t in position.graph.templates.values()
                if any(isinstance(i, Input) and (i.source.name, i.output) == (name, output.name) for i in t.inputs)
            ]
            if any(t.name in position.confirmed for t in spenders):
                continue
            left = [
                t
                for t in spenders
                if all(
                    isinstance(i, Input) and i.source.name in position.confirmed and not position.is_spent(i)
                    for i in t.inputs
                )
            ]
            if not left:
                fail(exploration, 8, f"nothing can spend {output.name} of {name} any more")


# ---- of an honest prover


def prover_keeps_bond(exploration: Exploration, position: SymbolicPosition) -> None:
    """1, 14. Nobody slashes an honest prover, or has its stake back."""
    for number in range(1, exploration.parameters.challengers + 1):
        over = ending(position, number)
        if over is not None and over.startswith(WON):
            fail(exploration, 1, f"game {number} ended with {over}")


def prover_wins_end(exploration: Exploration, position: SymbolicPosition) -> None:
    """1, 8, 14. In the end the prover has every stake that was put against it, and its bond, or only waits for it."""
    spender = position.spent_by("Claim", BOND)
    challenged = False
    for number in range(1, exploration.parameters.challengers + 1):
        if position.has(f"{number}/Challenge"):
            challenged = True
            over = ending(position, number)
            if over is None or not over.startswith(LOST):
                fail(exploration, 8, f"game {number} never ends: {over}")
    if spender not in (PAYOUTS if not challenged else (None, "LatePayout")):
        fail(exploration, 1, f"the bond went to {spender}")


# ---- of an honest challenger


def challenger_keeps_stake(number: int) -> Check:
    def check(exploration: Exploration, position: SymbolicPosition) -> None:
        """3. Nobody takes the stake of an honest challenger."""
        over = ending(position, number)
        if over is not None and over.startswith(LOST):
            fail(exploration, 3, f"game {number} ended with {over}")
        if any(payout in position.confirmed for payout in PAYOUTS):
            fail(exploration, 2, "the bond of a false claim was paid out")

    return check


def challenger_slashes_end(number: int) -> Check:
    def check(exploration: Exploration, position: SymbolicPosition) -> None:
        """2, 5. In the end a false claim, if it stands, is slashed, and the honest challenger has its stake."""
        if not position.has("Claim"):
            return
        spender = position.spent_by("Claim", BOND)
        if spender is None or "/Slash" not in spender:
            fail(exploration, 2, f"the bond went to {spender}, game {number}: {ending(position, number)}")
        if position.has(f"{number}/Challenge") and not (ending(position, number) or "").startswith(WON):
            fail(exploration, 2, f"the stake of challenger {number} stays where it is")

    return check


def never_challenges_end(number: int) -> Check:
    def check(exploration: Exploration, position: SymbolicPosition) -> None:
        """16. Nobody challenges a claim that is true, or that it cannot judge."""
        if position.has(f"{number}/Challenge"):
            fail(exploration, 16, f"challenger {number} challenges")

    return check


def unknown_is_silent(number: int, computation: Computation) -> Check:
    def check(exploration: Exploration, position: SymbolicPosition) -> None:
        """16. Without its computation a challenger makes no move but those that need none."""
        blind = challenger_strategy.decide(position, None, number)
        if any(isinstance(decision, Move) for decision in blind.values()):
            seeing = challenger_strategy.decide(position, computation, number)
            for key, decision in blind.items():
                if isinstance(decision, Move) and decision != seeing[key]:
                    fail(exploration, 16, f"without a computation challenger {number} moves {decision.template}")

    return check


def choices_are_disputes(number: int, computation: Computation) -> Check:
    def check(exploration: Exploration, position: SymbolicPosition) -> None:
        """6. A choice points at an interval whose left end is agreed and whose right end is disputed."""
        for decision in challenger_strategy.decide(position, computation, number).values():
            if not isinstance(decision, Move) or not isinstance(decision.statement, SayChoice):
                continue
            parameters = exploration.parameters
            level = int(decision.template.rpartition("_")[2])
            choices = [position.choice(number, r).choice for r in range(1, level)]
            truth = computation.points(level, interval_start(choices, parameters.width, parameters.levels))
            claimed: Mapping[int, bytes | None] = dict(enumerate(position.reveal(number, level).listed, start=1))
            state = standing(position, number, level)
            if state is not Standing.UNTOUCHED:
                if state is not Standing.ANSWERED:
                    fail(exploration, 6, f"{side.last_move(state, level)} is followed by a choice")
                claimed = answered_points(position.said(number), level, parameters.width)
            choice = decision.statement.choice
            if choice > 0 and claimed[choice] != truth[choice - 1]:
                fail(exploration, 6, f"point {choice} of list {level} is agreed, but false")
            if choice < parameters.width - 1 and claimed[choice + 1] == truth[choice]:
                fail(exploration, 6, f"point {choice + 1} of list {level} is disputed, but true")

    return check


def stale_demand_is_void(exploration: Exploration, position: SymbolicPosition) -> None:
    """9. Where O_r is spent, nothing is won on the side path of level r any more."""
    for name in position.confirmed:
        template = position.graph[name]
        if "Demand" in name and "Slash" in name:
            outputs = [i.output for i in template.inputs if isinstance(i, Input)]
            if "choice_due" not in outputs:
                fail(exploration, 9, f"{name} does not spend O_r")


GAME = (one_spender, one_owes, stale_demand_is_void)
