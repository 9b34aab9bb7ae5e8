"""All runs of a small game between honest strategies and a hostile party that makes any legal move, block by block.

A state is what is confirmed, with its age, and what the honest parties have sent that is not confirmed yet. Before each
block the honest parties decide; the hostile party fills the block: with its own moves, any, in any order, and with the
honest ones, which it may hold up for ``lag`` blocks. A run ends where the hostile party may wait for ever. Up to
``reorgs`` times the last blocks, at most ``confirmations``, are taken back and filled anew.

Ages count as far as a lock or a burial depends on them, so a game has finitely many states; LatePayout is left out, and
the longest run from Claim is compared with its lock instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from symbolic_position import SymbolicPosition, Uttered

from bitvm.game.ending import ending
from bitvm.game.moves import Decision, Move, Statement
from bitvm.game.position import Confirmed, Position
from bitvm.graph.claim import BOND
from bitvm.graph.graph import Graph
from bitvm.graph.model import Input, Template

sys.setrecursionlimit(20_000)

Strategy = Callable[[Position], Mapping[str, Decision]]
Option = tuple[int, str | None, Statement | None]
"""What a hostile party may say: how much of its budget that takes, through which leaf, what."""
Alphabet = Callable[[SymbolicPosition, Template], Iterable[Option]]
Key = tuple[object, ...]

NEVER = ("LatePayout", "Withdraw")
"""Locked for longer than any game."""


class ViolationError(AssertionError):
    """An invariant does not hold; its number in the list of what must always hold, and the run."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(f"invariant {number}: {message}")
        self.number = number


@dataclass(frozen=True)
class Sent:
    """An honest move that is not confirmed: since when it has been sent; None if a reorg may have made it stale."""

    uttered: Uttered
    since: int | None


@dataclass(frozen=True)
class State:
    """See the module. journal: what honest parties have signed, by template; kept only where there are reorgs."""

    height: int
    confirmed: Mapping[str, Confirmed]
    sent: Mapping[str, Sent]
    journal: Mapping[str, Uttered]
    reorgs: int
    budget: int
    silent: bool = False


Check = Callable[["Exploration", SymbolicPosition], None]


@dataclass
class Exploration:
    """One configuration.

    honest: strategies by party. alphabet: what hostile parties may say. checks: of every state; ends: of every state in
    which the hostile party may wait for ever. lag: blocks by which an honest move is held up at most. patient: whether
    the hostile party may move at any time, or only at once or (but for timeouts) never more. sweeps: whether it sweeps.
    """

    graph: Graph
    honest: Mapping[str, Strategy]
    alphabet: Alphabet
    checks: tuple[Check, ...]
    ends: tuple[Check, ...]
    lag: int = 0
    reorgs: int = 0
    budget: int = 0
    patient: bool = True
    sweeps: bool = False
    moves_a_block: int = 2
    run: list[str] = field(default_factory=list)
    runs: int = 0
    longest: int = 0
    ended: set[str] = field(default_factory=set)
    _longest: dict[Key, int] = field(default_factory=dict)
    _interned: dict[Uttered, Uttered] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parameters = self.graph.setting.parameters
        self._blank = SymbolicPosition(self.graph, 0, {})

    @property
    def states(self) -> int:
        return len(self._longest)

    # ---- the graph

    @cached_property
    def children(self) -> Mapping[str, tuple[Template, ...]]:
        found: dict[str, list[Template]] = {name: [] for name in self.graph.templates}
        for template in self.graph.templates.values():
            if template.plain not in NEVER:
                for spent in template.inputs:
                    if isinstance(spent, Input):
                        found[spent.source.name].append(template)
        return {name: tuple({t.name: t for t in each}.values()) for name, each in found.items()}

    @cached_property
    def locks(self) -> Mapping[str, Mapping[str, int]]:
        """The longest lock on each output, by template."""
        found: dict[str, dict[str, int]] = {name: {} for name in self.graph.templates}
        for template in self.graph.templates.values():
            for spent in template.inputs:
                if isinstance(spent, Input) and template.plain not in NEVER:
                    lock = spent.sequence if spent.sequence < 2**16 else 0
                    known = found[spent.source.name]
                    known[spent.output] = max(lock, known.get(spent.output, 0))
        return found

    def legal(self, position: SymbolicPosition, template: Template) -> bool:
        """Whether the next block may hold a template."""
        inputs_there = all(isinstance(i, Input) and i.source.name in position.confirmed for i in template.inputs)
        if template.name in position.confirmed or not inputs_there:
            return False
        return not any(map(position.is_spent, template.inputs)) and position.unlocked(template)

    def open_templates(self, position: SymbolicPosition) -> list[Template]:
        found = {t.name: t for name in position.confirmed for t in self.children[name]}
        return [template for template in found.values() if self.legal(position, template)]

    # ---- states

    def uttered(self, leaf: str | None, statement: Statement | None) -> Uttered:
        said = Uttered.of(leaf, statement, self.parameters.width)
        return self._interned.setdefault(said, said)

    def position(self, state: State) -> SymbolicPosition:
        return self._blank.with_(state.height, state.confirmed)

    def key(self, state: State) -> Key:
        spent = {
            (i.source.name, i.output)
            for name in state.confirmed
            for i in self.graph[name].inputs
            if isinstance(i, Input)
        }
        ages = []
        for name, seen in state.confirmed.items():
            locks = [lock for output, lock in self.locks[name].items() if (name, output) not in spent]
            clip = max([self.parameters.confirmations, *locks])
            ages.append((name, self._number(seen.transaction), min(state.height - seen.height, clip)))
        sent = [
            (name, self._number(s.uttered), None if s.since is None else min(state.height - s.since, self.lag))
            for name, s in state.sent.items()
        ]
        journal = [(name, self._number(said)) for name, said in state.journal.items()]
        parts = (frozenset(ages), frozenset(sent), frozenset(journal))
        return (*parts, state.reorgs, state.budget, state.silent)

    def _number(self, said: Uttered) -> int:
        return self._numbers.setdefault(id(said), len(self._numbers))

    def start(self, **said: tuple[str | None, Statement | None]) -> State:
        """Return the state after Fund and the transactions of these names, all buried."""
        confirmed = {"Fund": Confirmed(self.uttered(None, None), 100)}
        height = 100 + self.parameters.confirmations
        for name, (leaf, statement) in said.items():
            height += 1
            confirmed[name] = Confirmed(self.uttered(leaf, statement), height)
        return State(height, confirmed, {}, {}, self.reorgs, self.budget)

    # ---- runs

    def explore(self, state: State) -> int:
        """Explore all runs from ``state``; return the most blocks until a claim is settled. Raises ViolationError."""
        key = self.key(state)
        if key in self._longest:
            return self._longest[key]
        position = self.position(state)
        for check in self.checks:
            check(self, position)
        state = self._decided(state, position)
        longest = 0
        following: dict[Key, tuple[str, State]] = {}
        for story, after in (*self._blocks(state), *self._taken_back(state)):
            following.setdefault(self.key(after), (story, after))
        if key in following:
            del following[key]
            self.runs += 1
            for check in self.ends:
                check(self, position)
            for number in range(1, self.parameters.challengers + 1):
                self.ended.add(ending(position, number) or "")
        counts = self._is_running(position)
        for story, after in following.values():
            self.run.append(story)
            longest = max(longest, self.explore(after) + (after.height - state.height if counts else 0))
            self.run.pop()
        self._longest[key] = longest
        return longest

    def _is_running(self, position: SymbolicPosition) -> bool:
        """Whether a claim is made, its bond not spent, and no game that was played for it has ended."""
        if not position.has("Claim"):
            return False
        games = [n for n in range(1, self.parameters.challengers + 1) if position.has(f"{n}/Challenge")]
        ended = games and all(ending(position, number) is not None for number in games)
        return not ended and position.spent_by("Claim", BOND) is None

    def _decided(self, state: State, position: SymbolicPosition) -> State:
        """Let the honest parties decide, and keep what they send."""
        sent = {name: s for name, s in state.sent.items() if self._may_come(position, name)}
        journal = dict(state.journal)
        for party, strategy in self.honest.items():
            for decision in strategy(position).values():
                if not isinstance(decision, Move):
                    continue
                template, said = self.graph[decision.template], self.uttered(decision.leaf, decision.statement)
                if template.mover != party or not self.legal(position, template):
                    raise ViolationError(8, f"{party} makes the move {template.name}, which is not legal")
                known = journal.get(template.name) or (sent[template.name].uttered if template.name in sent else said)
                if said.fields and known.fields != said.fields:
                    raise ViolationError(7, f"{party} signs two messages in {template.name}")
                if self.reorgs and said.fields:
                    journal[template.name] = said
                if template.name not in sent or sent[template.name].since is None:
                    sent[template.name] = Sent(said, state.height)
        return replace(state, sent=sent, journal=journal)

    def _may_come(self, position: SymbolicPosition, name: str) -> bool:
        return name not in position.confirmed and not any(map(position.is_spent, self.graph[name].inputs))

    def _blocks(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield every block that may come next, with what follows."""
        yield from self._filled(state, (), self.moves_a_block, set())

    def _filled(
        self, state: State, names: tuple[str, ...], moves_left: int, seen: set[Key]
    ) -> Iterator[tuple[str, State]]:
        key = (frozenset((n, id(c.transaction)) for n, c in state.confirmed.items()), state.budget)
        if key in seen:
            return
        seen.add(key)
        position = self.position(state)
        overdue = False
        for name, sent in state.sent.items():
            if name in state.confirmed or not self.legal(position, self.graph[name]):
                continue
            overdue |= sent.since is not None and state.height - sent.since >= self.lag
            yield from self._filled(self.with_confirmed(state, name, sent.uttered), (*names, name), moves_left, seen)
        moved = any(self.graph[name].mover not in self.honest for name in names)
        moves = list(self._hostile_moves(state, position)) if moves_left else []
        for name, cost, said in moves:
            after = replace(self.with_confirmed(state, name, said), budget=state.budget - cost)
            yield from self._filled(after, (*names, name), moves_left - 1, seen)
        if not overdue:
            silent = state.silent or bool(not self.patient and moves and not moved)
            yield "+".join(names) or ".", replace(state, height=state.height + 1, silent=silent)

    def with_confirmed(self, state: State, name: str, said: Uttered) -> State:
        confirmed = {**state.confirmed, name: Confirmed(said, state.height + 1)}  # type: ignore[arg-type]
        return replace(state, confirmed=confirmed, sent={n: s for n, s in state.sent.items() if n != name})

    def _hostile_moves(self, state: State, position: SymbolicPosition) -> Iterator[tuple[str, int, Uttered]]:
        over: dict[str, bool] = {}
        for template in self.open_templates(position):
            if template.mover in self.honest or ("/Sweep" in template.name and not self.sweeps):
                continue
            game, separator, _ = template.plain.partition("/")
            if separator and over.setdefault(game, ending(position, int(game)) is not None):
                continue
            timeout = any(isinstance(i, Input) and i.sequence < 2**16 for i in template.inputs)
            if state.silent and not timeout:
                continue
            for cost, leaf, statement in self.alphabet(position, template):
                if cost <= state.budget:
                    yield template.name, cost, self.uttered(leaf, statement)

    def _taken_back(self, state: State) -> Iterator[tuple[str, State]]:
        """Yield the states after the last blocks are taken back; what honest parties sent then is still around."""
        if not state.reorgs:
            return
        for depth in range(1, self.parameters.confirmations + 1):
            height = state.height - depth
            confirmed = {name: seen for name, seen in state.confirmed.items() if seen.height <= height}
            if len(confirmed) == len(state.confirmed):
                continue
            gone = {n: seen.transaction for n, seen in state.confirmed.items() if n not in confirmed}
            sent = {n: Sent(said, None) for n, said in gone.items() if self.graph[n].mover in self.honest}
            sent |= {n: replace(s, since=None) for n, s in state.sent.items()}
            back = replace(state, height=height, confirmed=confirmed, sent=sent, reorgs=state.reorgs - 1)
            yield f"reorg {depth}", back
