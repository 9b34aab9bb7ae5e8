"""The matrix: every lie of a prover, every false accusation of a challenger, and both at once, each played to its end.

A case is right if the party that must win has the bond, what must decide it is confirmed, what must not happen has not
happened, and nobody who did nothing wrong paid for it (`losses`). Each case has keys of its own, which follow from its
name, so on a chain of its own it makes the same transactions whatever is played beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from typing import Any

from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.interface import RegtestChain
from bitvm.game.ending import WON, ending
from bitvm.game.position import Position
from bitvm.graph.claim import BOND, NEXT
from bitvm.graph.fund import WITHDRAW, contribution, slot_output
from bitvm.graph.graph import FUND
from bitvm.graph.model import ANCHOR, PROVER, Input, Template, all_parties, challenger
from bitvm.graph.setting import game_name
from regtest.cases import Case, Seats, unique
from regtest.costs import family_of
from regtest.match import Confirmation, Match, Narrator

NOBODY = "nobody"
"""Who has the bond while it is locked."""

Catalogue = Callable[[], tuple[Case, ...]]
"""Returns cases; a function at the top of a module, so that other processes find it."""


def all_cases() -> tuple[Case, ...]:
    """Return the whole catalogue; raises ValueError where two cases have one name."""
    from regtest.accusations import challenger_cases, claims_cases, combined_cases
    from regtest.lies import prover_cases

    return tuple(unique([*prover_cases(), *challenger_cases(), *combined_cases(), *claims_cases()]))


def find_case(name: str, catalogue: Catalogue = all_cases) -> Case | None:
    """Return the case ``name``, or else ``lie/name``; None where there is neither."""
    named = {case.name: case for case in catalogue()}
    return named.get(name) or named.get(f"lie/{name}")


# ---- one case


@dataclass(frozen=True, slots=True)
class PlayedTransaction:
    """A confirmed transaction of a case: figures as in `Confirmation`, and nothing that another process cannot have."""

    name: str
    party: str
    txid: str
    vsize: int
    weight: int
    height: int
    child_vsize: int
    fee: int
    why: str


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case that was played.

    expected, winner: parties; ``nobody`` while the bond is locked. why_not: what is wrong, empty if nothing is.
    vbytes: by ``prover`` and ``challenger``, Fund and fee children apart. transactions: of the graph, without Fund.
    blocks: from Fund to the last of them. played: all of them, Fund too. leaves: what they were
    opened by.
    """

    name: str
    expected: str
    winner: str
    why_not: str
    vbytes: dict[str, int]
    transactions: int
    blocks: int
    played: tuple[PlayedTransaction, ...]
    leaves: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether the case is right."""
        return not self.why_not

    @property
    def templates(self) -> tuple[str, ...]:
        """Names of what was confirmed, in order."""
        return tuple(transaction.name for transaction in self.played)

    @property
    def reason(self) -> str:
        """What the winner said of the last transaction with which it did something, in a sentence."""
        mine = [transaction.why for transaction in self.played if transaction.party == self.winner]
        return mine[-1] if mine else "nobody has the bond"

    def to_json(self) -> dict[str, Any]:
        """Return the row of the table as JSON values."""
        return {
            "name": self.name,
            "expected": self.expected,
            "winner": self.winner,
            "ok": self.ok,
            "why_not": self.why_not,
            "vbytes": self.vbytes,
            "transactions": self.transactions,
            "blocks": self.blocks,
            "leaves": list(self.leaves),
        }


def play_case(
    case: Case, chain: RegtestChain, narrator: Narrator | None = None, *, seats: Seats | None = None, seed: int = 1
) -> CaseResult:
    """Play a case on a chain and judge it; ``seats`` in place of its own, ``seed`` to play it again on one chain.

    What breaks (a refused transaction, a match without an end) is a case that is wrong, not an exception.
    """
    played: list[Confirmation] = []
    try:
        chosen = seats or case.seats()
        with Match(chain, chosen.parameters, _seed(case, seed), narrator or Narrator()) as match:
            played = match.confirmations
            for party, strategy in chosen.strategies.items():
                match.seat(party, strategy)
            position = match.play()
    except Exception as error:  # one case that breaks must not end the others
        return _result(case, NOBODY, f"{type(error).__name__}: {error}", played, ())
    leaves = tuple(dict.fromkeys(leaves_used(position)))
    return _result(case, winner_of(position), "; ".join(complaints(case, position)), played, leaves)


def _seed(case: Case, seed: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{case.name} {seed}".encode()).digest()[:6])


def _result(
    case: Case, winner: str, why_not: str, played: Sequence[Confirmation], leaves: tuple[str, ...]
) -> CaseResult:
    vbytes = {PROVER: 0, "challenger": 0}
    after_fund = [confirmation for confirmation in played if confirmation.name != FUND]
    for confirmation in after_fund:
        vbytes[confirmation.party.rstrip("0123456789")] += confirmation.vsize
    rows = tuple(
        PlayedTransaction(c.name, c.party, c.txid, c.vsize, c.weight, c.height, c.child_vsize, c.fee, c.why)
        for c in played
    )
    blocks = played[-1].height - played[0].height if played else 0
    return CaseResult(case.name, case.winner, winner, why_not, vbytes, len(after_fund), blocks, rows, leaves)


# ---- judging


def complaints(case: Case, position: Position) -> Iterator[str]:
    """Yield what is wrong with the end of a case, in words; nothing if it is right."""
    winner = winner_of(position)
    if winner != case.winner:
        yield f"{winner} has the bond, not {case.winner}"
    names = {name for template in _confirmed(position) for name in _names_of(template)}
    yield from (f"{name} was not played" for name in case.decides if name not in names)
    yield from (f"{name} was played" for name in case.absent if name in names)
    leaves = set(leaves_used(position))
    used = leaves | set(map(family_of, leaves))
    if case.leaves and not used & set(case.leaves):
        yield f"none of the leaves {', '.join(case.leaves)} was used"
    yield from losses(position, case.winner)


def _confirmed(position: Position) -> list[Template]:
    return [position.graph[name] for name in position.confirmed]


def _names_of(template: Template) -> tuple[str, str, str]:
    """Return the names a case may call a transaction by: ``1/Step#2``, ``1/Step``, ``Step``."""
    return template.name, template.plain, template.plain.rpartition("/")[2]


def winner_of(position: Position) -> str:
    """Return who has the bond: who slashed the earliest claim that was slashed, or else the prover, if paid.

    A claim that is slashed ends the set-up. A slot that was withdrawn is paid.
    """
    parameters = position.graph.setting.parameters
    paid = False
    for slot in range(1, parameters.claims + 1):
        looked_at = position.at_claim(slot)
        if not looked_at.has("Claim"):
            paid |= looked_at.has(WITHDRAW.capitalize())
            continue
        spender = looked_at.spent_by("Claim", BOND)
        if spender is None:
            return NOBODY
        number = spender.rpartition("/")[0]
        if number:
            return challenger(int(number))
        paid = True
    return PROVER if paid else NOBODY


def leaves_used(position: Position) -> Iterator[str]:
    """Yield the leaf that opened every input of the confirmed transactions, read from their witnesses."""
    for name, seen in position.confirmed.items():
        template = position.graph[name]
        for spent, given in zip(template.inputs, seen.transaction.wit.vtxinwit, strict=True):
            tree = spent.source.output(spent.output).tree if isinstance(spent, Input) else None
            if tree is not None:
                leaf, _ = tree.read_witness([bytes(item) for item in given.scriptWitness.stack])
                yield leaf.name


def losses(position: Position, winner: str) -> Iterator[str]:
    """Yield who paid without having done wrong, in words.

    The winner must not have less than it gave. A challenger that made no move has its stake. One that won its game
    after the bond was gone has its stake less what it chose to spend: the prices of its demands and Refute's fee.
    """
    parameters = position.graph.setting.parameters
    spent = parameters.levels * parameters.answer_price + parameters.refute_fee
    moved = {template.mover for template in _confirmed(position)}
    for party, balance in balances(position).items():
        number = int(party.removeprefix("challenger")) if party != PROVER else 0
        won = number and any(_won(position.at_claim(slot), number) for slot in range(1, parameters.claims + 1))
        if (party == winner or party not in moved) and balance < 0:
            yield f"{party} lost {-balance:,} sat"
        elif won and balance < -spent:
            yield f"{party} won its game and lost {-balance:,} sat"


def _won(position: Position, number: int) -> bool:
    if not position.has("Claim") or not position.has(game_name(number, "Challenge")):
        return False
    return (ending(position, number) or "").startswith(WON)


def balances(position: Position) -> dict[str, int]:
    """Return what every party has in the end less what it gave to Fund, in satoshi, fee children apart.

    It has what it was paid, what lies on a key of its own, and slots that no claim took: those it can withdraw.
    """
    parameters = position.graph.setting.parameters
    found = {party: -contribution(parameters, party) for party in all_parties(parameters.challengers)}
    spent = {(i.source.name, i.output) for t in _confirmed(position) for i in t.inputs if isinstance(i, Input)}
    for template in _confirmed(position):
        for output in template.outputs:
            owner = _owner(template, output.name)
            if owner is not None and (template.name, output.name) not in spent:
                found[owner] += output.value
    return found


def _owner(template: Template, output: str) -> str | None:
    """Return whose an output is that no transaction of the graph spends; None where it is locked, burnt or change."""
    if output in (PROVER, "challenger", ANCHOR):
        return template.mover
    what, _, number = output.rpartition("_")
    if output == NEXT or (number.isdecimal() and output == slot_output(int(number))):
        return PROVER
    return challenger(int(number)) if what in ("compensation", "stake") else None


# ---- many cases

Chair = Callable[[Case], Seats]
"""Seats a case differently than it says; a function at the top of a module or a ``partial`` of one."""


@dataclass(frozen=True, slots=True)
class Task:
    """A case to play, by name, and how its parties are seated where not as it says."""

    name: str
    chair: Chair | None = None


@cache
def _named(catalogue: Catalogue) -> dict[str, Case]:
    return {case.name: case for case in catalogue()}


def _play_alone(catalogue: Catalogue, task: Task) -> CaseResult:
    """Play a task on a chain of its own."""
    with EmbeddedChain() as chain:
        return _play(catalogue, task, chain)


def _play(catalogue: Catalogue, task: Task, chain: RegtestChain) -> CaseResult:
    case = _named(catalogue)[task.name]
    return play_case(case, chain, seats=task.chair(case) if task.chair else None)


def play_tasks(
    tasks: Iterable[Task], *, catalogue: Catalogue = all_cases, chain: RegtestChain | None = None, jobs: int = 1
) -> Iterator[tuple[int, CaseResult]]:
    """Play tasks and yield each one's place and result, as they come.

    On ``chain`` one after the other; without it each on an embedded chain of its own, in ``jobs`` processes.
    """
    if chain is not None or jobs == 1:
        for place, task in enumerate(tasks):
            yield place, _play_alone(catalogue, task) if chain is None else _play(catalogue, task, chain)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures: dict[Future[CaseResult], int] = {
            pool.submit(_play_alone, catalogue, task): place for place, task in enumerate(tasks)
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)
