"""Games in which one side plays at random, on real transactions: whatever it does, it must not win.

By seed, either the prover or all challengers are hostile. A hostile party does at each turn one of these: what its
honest strategy would do, for a computation of its choice; the same with something else signed; any other transaction
that the chain would take from it; nothing for some blocks; nothing ever again. The other side is honest and must come
out as the matrix demands: it has the bond, and has lost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from math import isqrt
from random import Random
from typing import Any

from bitvm.chain.interface import RegtestChain
from bitvm.game import challenger as honest_challenger
from bitvm.game import prover as honest_prover
from bitvm.game.computation import Computation, Execution
from bitvm.game.moves import Decision, Move, Prove, Say, SayChoice, SayCommitment, SayStep, Statement, Wait
from bitvm.game.position import Position
from bitvm.game.proofs import find_proof
from bitvm.graph.graph import FUND
from bitvm.graph.model import COVENANT, PROVER, Input, Template, challenger
from bitvm.leaves.fields import ENTRIES, READS, Kind
from bitvm.leaves.path.messages import list_height
from bitvm.leaves.statement import FIELDS
from lvm.boot import BOOT_HEIGHT
from lvm.control import CONTROL_FIELDS
from lvm.layout import TREE_HEIGHT
from regtest.cases import Decisions, flipped, plain_name
from regtest.hostile import LIES, LieError
from regtest.lies.telling import (
    Forge,
    Lying,
    Story,
    Tell,
    afterwards,
    beside,
    elsewhere,
    false_above,
    false_below,
    misread,
    replaced,
    says,
    stored,
)
from regtest.match import Confirmation, Match, Narrator
from regtest.matrix import losses, winner_of
from regtest.players import Strategy
from regtest.worlds import DATA, GUEST, WIDTH

QUESTIONS = {"Ask": ("kind", 16), "Descend": ("gap", 8), "Narrow": ("gap", 4)}
"""The challenger's questions after Step: field, and how many symbols its key can sign."""

STATED = {"Claim": ("trace_root", "final_root"), "Reveal": ("trace_root",)}
"""Nodes that a hostile prover signs falsely. Not the input's root: who says another one speaks of another run."""


class RandomPlayError(AssertionError):
    """A random player won, or the honest side broke; shows the seed and the story."""


@dataclass
class RandomGame(Narrator):
    """A game that is played at random.

    seed: repeats it. hostile: the parties that play at random. story: a line a transaction.
    """

    seed: int
    hostile: tuple[str, ...]
    story: list[str] = field(default_factory=list)

    def confirmed(self, confirmation: Confirmation) -> None:
        """Keep a line."""
        self.story.append(f"{confirmation.height:>5}  {confirmation.party:<12} {confirmation.name}: {confirmation.why}")

    def error(self, complaint: str) -> RandomPlayError:
        """Return what to raise about a complaint."""
        lines = "\n".join((f"seed {self.seed}, hostile: {', '.join(self.hostile)}: {complaint}", *self.story))
        return RandomPlayError(lines)


def play_random(seed: int, chain: RegtestChain) -> RandomGame:
    """Play game ``seed`` on a chain and return it; raises RandomPlayError where the honest side does not come out."""
    rng = Random(seed)
    challengers = rng.choice((1, 1, 2))
    parameters = GUEST.parameters(challengers=challengers)
    liar = rng.random() < 0.6
    names = [challenger(number) for number in range(1, challengers + 1)]
    game = RandomGame(seed, (PROVER, *names[1:]) if liar else tuple(names))
    try:
        with Match(chain, parameters, seed, game) as match:
            for party, strategy in _seats(rng, liar, challengers).items():
                match.seat(party, strategy)
            position = match.play()
            won_by_truth = position.claim().nodes["final_root"] == _true().final_root
            expected = PROVER if won_by_truth or not liar else names[0]
            complaints = list(_complaints(position, expected, game))
    except Exception as error:
        raise game.error(f"{type(error).__name__}: {error}") from error
    if complaints:
        raise game.error("; ".join(complaints))
    return game


def _complaints(position: Position, expected: str, game: RandomGame) -> Iterator[str]:
    winner = winner_of(position)
    slashed_by_sybil = expected not in (PROVER, winner) and winner in game.hostile and winner != PROVER
    if winner != expected and not slashed_by_sybil:
        yield f"{winner} has the bond, not {expected}"
    honest = [loss for loss in losses(position, expected) if loss.split()[0] not in game.hostile]
    yield from honest


def _seats(rng: Random, liar: bool, challengers: int) -> dict[str, Strategy]:
    """Return the strategies by party, the hostile ones with random numbers of their own."""
    true = _true()
    seats: dict[str, Strategy] = {PROVER: lambda position: honest_prover.decide(position, true)}
    known: tuple[Computation, ...] = (true,)
    first_hostile = 1
    if liar:
        known = (_lie(rng), true)
        seats[PROVER] = RandomPlayer(PROVER, known, Random(rng.random()))
        seats[challenger(1)] = lambda position: honest_challenger.decide(position, true, 1)
        first_hostile = 2
    for number in range(first_hostile, challengers + 1):
        seats[challenger(number)] = RandomPlayer(challenger(number), known, Random(rng.random()))
    return seats


# ---- false computations


@cache
def _true() -> Execution:
    return GUEST.run()


def _lie(rng: Random) -> Lying:
    """Return a computation that goes wrong at some steps and ends in a false state."""
    true = _true()
    while True:
        steps = rng.sample(range(true.executed), rng.choice((1, 1, 2)))
        forged = _forged(rng) if rng.random() < 0.3 else None
        try:
            lying = Lying(true, Story({step: _tell(rng) for step in steps}, forged=forged))
        except LieError:
            continue
        if lying.final_root != true.final_root:
            return lying


def _tell(rng: Random) -> Tell:
    flip = 1 << rng.randrange(32)
    address = DATA + 4 * rng.randrange(16)
    options: Sequence[Tell] = (
        says(LIES[rng.choice(sorted(LIES))]),
        misread(rng.choice(("instr", "rs1", "rs2", "mem", *CONTROL_FIELDS)), flip),
        beside(address, flip),
        stored,
        afterwards(address, flip),
        elsewhere(address, flip),
        replaced(address),
    )
    return rng.choice(options)


def _forged(rng: Random) -> Mapping[Kind, Forge]:
    """Return a false path for one kind of statement."""
    kind = rng.choice(list(Kind))
    if kind in ENTRIES:
        return {kind: false_below(rng.randrange(1, list_height(WIDTH) + 1))}
    lowest = BOOT_HEIGHT if kind is Kind.START else 0
    if kind not in READS and rng.random() < 0.5:
        return {kind: false_above(rng.randrange(lowest, TREE_HEIGHT))}
    return {kind: false_below(rng.randrange(lowest + 1, TREE_HEIGHT + 1))}


# ---- hostile parties


@dataclass
class RandomPlayer:
    """The strategy of a hostile party (see the module). computations: what it knows, the one that it claims first."""

    party: str
    computations: tuple[Computation, ...]
    rng: Random
    _dead: bool = False
    _rests_until: int = 0

    def __call__(self, position: Position) -> Decisions:
        """Make at most one move."""
        options = [] if self._dead else list(self._options(position))
        if not options:
            return {}
        if position.height < self._rests_until:
            return {"random": Wait("rests", self._rests_until)}
        claims = [move for move in options if plain_name(move) == "Claim"]
        draw = self.rng.random()
        if draw < 0.03 and not claims:
            self._dead = True
            return {}
        if draw < 0.2 and not claims:
            self._rests_until = position.height + self.rng.randint(1, position.graph.setting.parameters.delta + 1)
            return {"random": Wait("rests", self._rests_until)}
        return {"random": self.rng.choice(claims or options)}

    def _options(self, position: Position) -> Iterator[Move]:
        """Yield moves that the chain would take."""
        legal = {template.name: template for template in _legal(position, self.party)}
        for decision in self._honest(position):
            if isinstance(decision, Move) and decision.template in legal:
                yield decision
                statement = self._falsified(decision)
                if statement is not None and self.rng.random() < 0.4:
                    yield replace(decision, why=f"{decision.why} (falsified)", statement=statement)
        for template in legal.values():
            yield from self._plain(position, template)

    def _honest(self, position: Position) -> Iterator[Decision]:
        """Yield what honesty would do, for a computation of our choice, also before it would be safe."""
        hasty = replace(position, height=position.height + position.graph.setting.parameters.confirmations)
        claimed = position.has("Claim")
        computation = self.computations[0] if not claimed or self.rng.random() < 0.7 else self.computations[-1]
        looked_at = self.rng.choice((position, hasty))
        if self.party == PROVER:
            yield from honest_prover.decide(looked_at, computation).values()
        else:
            number = int(self.party.removeprefix("challenger"))
            yield from honest_challenger.decide(looked_at, computation, number).values()

    def _plain(self, position: Position, template: Template) -> Iterator[Move]:
        """Yield moves of a transaction that no computation is needed for."""
        spent, name = template.inputs[0], template.plain.rpartition("/")[2]
        assert isinstance(spent, Input)
        move = name.partition("_")[0]
        why = "at random"
        width = position.graph.setting.parameters.width
        if not spent.leaves or COVENANT in spent.leaves:
            yield Move(template.name, why)
        elif move == "Choice":
            yield Move(template.name, why, SayChoice(self.rng.randrange(width)))
        elif move == "Pick":
            yield Move(template.name, why, Say({f"{name}/group": (self.rng.randrange(isqrt(width)),)}))
        elif move in QUESTIONS:
            asked, symbols = QUESTIONS[move]
            yield Move(template.name, why, Say({f"{name}/{asked}": (self.rng.randrange(symbols),)}))
        elif move in ("Slash", "Reclaim", "Refute", "Dismiss"):
            found = find_proof(template, position.said(int(template.plain.partition("/")[0])))
            if found is not None:
                yield Move(template.name, found.statement, Prove(found.hints), found.leaf)

    def _falsified(self, move: Move) -> Statement | None:
        """Return another statement in place of a move's, which the checks of its leaf let pass; None if it has none."""
        match move.statement:
            case SayCommitment(nodes, listed):
                kind = plain_name(move).partition("_")[0]
                name = self.rng.choice(("", *STATED[kind]))
                if not name:
                    place = self.rng.randrange(len(listed))
                    shown = (*listed[:place], _other(listed[place]), *listed[place + 1 :])
                    return SayCommitment(nodes, shown)
                return SayCommitment({**nodes, name: _other(nodes[name])}, listed)
            case SayStep(choices, roots, words):
                name = self.rng.choice((*roots, *FIELDS))
                if name in roots:
                    return SayStep(choices, {**roots, name: _other(roots[name])}, words)
                return SayStep(choices, roots, {**words, name: words[name] ^ 1 << FIELDS[name].shift})
            case Say(messages):
                return self._other_messages(messages)
        return None

    def _other_messages(self, messages: Mapping[str, Any]) -> Say | None:
        """Change one field; what repeats the challenger's question has to stay."""
        if self.party != PROVER:
            return None
        paths = [path for path in messages if not path.endswith(("/gap", "/group"))]
        path = self.rng.choice(paths)
        place = 2 if path.endswith("/where") else 0  # the kind or the gaps have to stay
        return Say({**messages, path: flipped(messages[path], place)})


def _other(node: bytes) -> bytes:
    return bytes([node[0] ^ 1]) + node[1:]


def _legal(position: Position, party: str) -> Iterator[Template]:
    """Yield the transactions of a party that the next block may hold."""
    for template in position.graph.templates.values():
        mine = template.mover == party and template.name != FUND and template.name not in position.confirmed
        if mine and not any(map(position.is_spent, template.inputs)) and position.unlocked(template):
            yield template
