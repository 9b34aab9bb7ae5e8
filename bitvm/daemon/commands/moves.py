"""``moves``: what the honest party would send now, and why; nothing is signed and nothing is sent."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text

from bitvm.chain.bidding import bid
from bitvm.chain.interface import ChainError
from bitvm.chain.payer import NO_HURRY, RELAYED_EVERYWHERE
from bitvm.daemon.commands.desk import Desk, SetupView, Side, open_desk, tell_unread
from bitvm.daemon.commands.framework import Command, HelpText, answer, said
from bitvm.daemon.commands.judging import steps_bar
from bitvm.daemon.computations import Computations, Job
from bitvm.daemon.role import Bench
from bitvm.game.computation import Execution
from bitvm.game.leaving import may_leave
from bitvm.game.moves import Decision, Move, Prove
from bitvm.game.position import Position
from bitvm.game.responder import Responder
from bitvm.game.urgency import Rivals, budget, since
from bitvm.graph.costs import CHILD_VSIZE
from bitvm.graph.fund import stake_output
from bitvm.graph.graph import FUND
from bitvm.keys.journal import Journal, Message
from bitvm.keys.secrets import OneTimeKeySpec, Secrets
from bitvm.keys.seed import Seed
from bitvm.script.onetime import Signature
from bitvm.script.weight import txid
from lvm.elf import ElfError, load_elf
from lvm.machine import Engine

LEAVE = "leave"
"""What the stake's way home is called; it is no part of the graph."""

FREE, SAME, OTHER = "free", "signed so before", "holds another message"
NOT_ONE_TIME = "none needed"


@dataclass(frozen=True, slots=True)
class PlannedMove:
    """A move that is due.

    by: the last block in which it is safe, left: how many blocks that are, both None where nobody can overtake it.
    budget: what parent and child may cost at most, in satoshi. feerate: what would be paid now, in sat/vB, None where
    the node does not say what the market asks. fee: that for the transaction with its child, at most. keys: whether
    its one-time keys are free, or hold this message or another one already. waiting: whether it is in the mempool.
    """

    setup: str
    slot: int
    transaction: str
    why: str
    by: int | None
    left: int | None
    budget: int
    feerate: float | None
    fee: int | None
    keys: str
    waiting: bool


@dataclass(frozen=True, slots=True)
class PlannedWait:
    """A decision to wait. until: the height at which that changes by itself."""

    setup: str
    key: str
    why: str
    until: int | None
    alarm: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due now in all set-ups, and what is not yet."""

    moves: tuple[PlannedMove, ...]
    waits: tuple[PlannedWait, ...]


def commands(side: Side) -> tuple[Command, ...]:
    """Return the command."""
    text = HelpText(
        "what would be sent now, and why",
        """\
Decide as the daemon does, from what the node shows now, and list the moves that are due: the transaction, the reason,
the last safe block, what it may cost and what the market asks, and whether the one-time keys that it needs are free or
have signed this message before. Runs the program on the inputs that are held. Signs nothing and sends nothing, with or
without --dry-run; the daemon makes the moves.""",
        f"""\
examples:
  {side.program} moves
  {side.program} moves ledger-1 --dry-run --waits
  {side.program} moves --json | jq -r '.moves[] | "\\(.transaction) by block \\(.by)"'""",
    )
    return (Command("moves", text, partial(_moves, side), _add),)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("setup", nargs="?", metavar="SETUP", help="this set-up alone")
    parser.add_argument("--waits", action="store_true", help="show what is waited for, too")
    parser.add_argument("--dry-run", action="store_true", help="say that nothing is to be sent; nothing ever is")


def _moves(side: Side, arguments: argparse.Namespace) -> int:
    plans: list[Plan] = []
    with open_desk(arguments, side) as desk, desk.home.open_journal() as journal:
        for view in desk.views(arguments.setup):
            try:
                plans.append(plan_of(desk, side, view, journal))
            except ElfError as error:
                if arguments.setup is not None:
                    raise
                desk.unread[view.name] = f"{desk.home.setup(view.name).program_path}: {error}"
        unread = dict(desk.unread)
    whole = Plan(
        tuple(move for plan in plans for move in plan.moves), tuple(wait for plan in plans for wait in plan.waits)
    )
    answer(arguments, whole, partial(_show, waits=arguments.waits))
    return tell_unread(arguments, unread)


def plan_of(desk: Desk, side: Side, view: SetupView, journal: Journal) -> Plan:
    """Decide on one set-up."""
    secrets = _Unsigning(desk.home.seed, journal, view.archive.setup_id, view.party)
    decisions = _decide(desk, side, view, secrets)
    rivals, position = Rivals(view.archive.graph), view.look.position
    moves: list[PlannedMove] = []
    waits: list[PlannedWait] = []
    for key, decision in decisions.items():
        if isinstance(decision, Move):
            moves.append(_planned(desk, view, rivals, secrets, decision))
        else:
            waits.append(PlannedWait(view.name, key, decision.why, decision.until, decision.alarm))
    moves += _extras(desk, view)
    return Plan(tuple(sorted(moves, key=lambda move: move.by or position.height + 10**6)), tuple(waits))


def _extras(desk: Desk, view: SetupView) -> Iterator[PlannedMove]:
    """Yield what no strategy decides: Fund, unless it is confirmed or given up, and the stake's way home at the end."""
    position, number = view.look.position, view.own_game
    if not position.has(FUND):
        if desk.store.is_given_up(view.name):
            return
        yield _plain_move(view, FUND, "Fund is not confirmed yet; every party sends it")
    elif number is not None and may_leave(position, number):
        outpoint = view.archive.graph[FUND].outpoint(stake_output(number))
        if desk.node.coin(outpoint, include_mempool=False) is not None:
            yield _plain_move(view, LEAVE, "nothing is left to guard: the stake goes home")


def _plain_move(view: SetupView, name: str, why: str) -> PlannedMove:
    """Return a transaction that pays for itself."""
    waiting = name in {view.archive.graph.by_txid()[txid(each)].name for each in view.look.waiting}
    return PlannedMove(view.name, 1, name, why, None, None, 0, None, None, NOT_ONE_TIME, waiting)


def _decide(desk: Desk, side: Side, view: SetupView, secrets: Secrets) -> Mapping[str, Decision]:
    """Decide, and run whatever the decision needs, until nothing more is needed."""
    image = load_elf(desk.home.setup(view.name).program_path)
    with steps_bar() as add:

        def execute(job: Job, engine: Engine) -> Execution:
            progress = add(f"{view.name}: {len(job.data):,} bytes of input")
            return Execution(
                job.parameters, job.image, job.data, previous=job.previous, engine=engine, progress=progress
            )

        computations = Computations(desk.config.engine, desk.config.computations.workers, execute)
        bench = Bench(view.name, view.archive, secrets, image, desk.store, desk.inputs, computations)
        role, position = side.make_role(bench), view.look.position
        while True:
            decisions = role.decide(position)
            if not computations.make_wanted():
                return decisions


def _planned(desk: Desk, view: SetupView, rivals: Rivals, secrets: _Unsigning, move: Move) -> PlannedMove:
    position, template = view.look.position, view.archive.graph[move.template]
    deadline = rivals.deadline(position, template)
    left = None if deadline is None else max(0, deadline - 1 - position.height)
    allowed = budget(position, template, deadline)
    size = template.vsize() + CHILD_VSIZE
    remaining = None if deadline is None else max(0, deadline - position.height)
    feerate = _feerate(desk, remaining, position.height - since(position, template), allowed / size)
    return PlannedMove(
        view.name,
        template.claim,
        template.name,
        move.why,
        None if deadline is None else deadline - 1,
        left,
        allowed,
        feerate,
        None if feerate is None else round(feerate * size),
        secrets.state(Responder(view.archive.signed, secrets), move, position),
        template.txid in map(txid, view.look.waiting),
    )


def _feerate(desk: Desk, left: int | None, elapsed: int, affordable: float) -> float | None:
    """Return what the daemon would pay now; None where the node does not say what the market asks."""
    highest = min(affordable, desk.config.fees.max_feerate)
    try:
        market = desk.node.market_feerate(NO_HURRY if left is None else max(left // 2, 1))
        minimum = desk.node.minimum_feerate()
    except ChainError:
        return None
    market = max(market, RELAYED_EVERYWHERE)
    made = bid(market=market, minimum=minimum, elapsed=max(0, elapsed), left=left, highest=highest)
    return round(made.feerate, 2)


class _WouldSign(Exception):  # noqa: N818 - no error: how a responder is stopped before it signs
    """Stops a responder that asks for one-time signatures."""


class _Unsigning(Secrets):
    """The secrets of a party that signs nothing: it only says what its journal holds."""

    def __init__(self, seed: Seed, journal: Journal, setup: bytes, party: str) -> None:
        """Take what `Secrets` takes."""
        super().__init__(seed, journal, setup, party)
        self._entries = journal
        self._asked: list[tuple[OneTimeKeySpec, Message]] = []

    def sign_schnorr(self, message: bytes) -> bytes:  # noqa: ARG002 - as `Secrets`
        """Sign nothing."""
        return bytes(64)

    def sign_once(self, messages: Sequence[tuple[OneTimeKeySpec, Message]]) -> Mapping[str, Signature]:
        """Take down what is to be signed, and stop."""
        self._asked = list(messages)
        raise _WouldSign

    def state(self, responder: Responder, move: Move, position: Position) -> str:
        """Return what the journal says of the one-time keys that a move needs."""
        if move.statement is None or isinstance(move.statement, Prove):
            return NOT_ONE_TIME
        try:
            responder.transaction(move, position)
        except _WouldSign:
            states = {self._state_of(spec, message) for spec, message in self._asked}
            return next(state for state in (OTHER, SAME, FREE) if state in states)
        return NOT_ONE_TIME

    def _state_of(self, spec: OneTimeKeySpec, message: Message) -> str:
        recorded = self._entries.recorded(self._one_time_path(spec))
        if recorded is None:
            return FREE
        return SAME if recorded.message == bytes(message) else OTHER


# ---- the picture

_KEY_STYLES = {OTHER: "bold red", SAME: "yellow"}


def _show(console: Console, plan: Plan, *, waits: bool) -> None:
    console.print(f"{len(plan.moves)} due now:" if plan.moves else "Nothing is due now.")
    for move in plan.moves:
        console.print(_picture(move))
    for wait in plan.waits:
        if waits or wait.alarm:
            until = "" if wait.until is None else f", until block {wait.until:,}"
            console.print(said(f"{wait.setup} {wait.key}: waits: {wait.why}{until}", "yellow" if wait.alarm else "dim"))
    console.print(said("Nothing was signed or sent.", "dim"))


def _picture(move: PlannedMove) -> Text:
    when = "without a deadline" if move.by is None else f"by block {move.by:,} ({move.left} left)"
    state = "in the mempool" if move.waiting else "not sent"
    text = Text(f"{move.setup} ")
    text.append(move.transaction, style="bold").append(f"  {when}, {state}\n  why     {move.why}")
    if move.budget:
        market = "" if move.feerate is None else f"{move.feerate:g} sat/vB, {move.fee:,} sat of "
        text.append(f"\n  pays    {market}at most {move.budget:,} sat")
    return text.append("\n  keys    ").append(move.keys, style=_KEY_STYLES.get(move.keys, ""))
