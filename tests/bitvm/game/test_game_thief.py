"""Thieves who know the rules: a prover that signs as it likes and has miners on its side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

import pytest
from bitcoin.core import CTransaction
from offline import OfflineGame
from pathreferee import liar
from small_run import INPUT, honest, image, lying, parameters

from bitvm.game import challenger
from bitvm.game.computation import Execution, ForeignImageError
from bitvm.game.moves import Decision, Move, Wait
from bitvm.game.opening import close_fields, inside_fields, message_name, path_fields
from bitvm.game.position import Confirmed
from bitvm.graph.model import Template
from bitvm.graph.setting import key_plan
from bitvm.keys.seed import Purpose
from bitvm.leaves.fields import ENTRIES, Kind
from bitvm.leaves.statement import FIELDS, GROUPS, nibbles_of, words_of
from bitvm.leaves.step import ROOTS, index_symbols
from bitvm.script.engine import failing_input
from bitvm.script.onetime import Signature
from lvm.layout import CONTROL_BASE, physical_word, register_address
from lvm.machine import StepRoots, step_roots
from regtest.hostile import LyingExecution

Messages = Mapping[str, object]


class Thief:
    """Signs whatever its party's keys can sign, as often as it likes: no journal."""

    def __init__(self, game: OfflineGame, party: str) -> None:
        self._game, self._secrets = game, game.secrets[party]
        self._specs = {spec.path: spec for spec in key_plan(game.parameters) if spec.owner == party}

    def sign(self, path: str, message: object) -> Signature:
        spec = self._specs[path]
        path_in_seed = bytes(self._secrets._one_time_path(spec))
        seed = self._secrets._seed.prf(Purpose.ONE_TIME, path_in_seed, spec.scheme.name.encode())
        return spec.scheme.secret_key(seed).sign(message)

    def step(self, words: Mapping[str, int], roots: tuple[bytes, bytes, bytes]) -> CTransaction:
        levels = range(1, self._game.parameters.levels + 1)
        choices = [self._game.position.choice(1, level) for level in levels]
        said: dict[str, object] = dict(zip(ROOTS, roots, strict=True))
        said |= {group: nibbles_of(group, words) for group in GROUPS}
        said["index"] = index_symbols([choice.choice for choice in choices], self._game.parameters.width)
        signatures = {field: self.sign(f"1/Step/{field}", message) for field, message in said.items()}
        return self._spend("Step", "step", signatures, [choice.signature for choice in choices])

    def answer(self, name: str, leaf: str, messages: Messages) -> CTransaction:
        own = {path: self.sign(f"1/{path}", message) for path, message in messages.items()}
        return self._spend(name, leaf, {**self._game.position.heard(1), **own})

    def _spend(self, name: str, leaf_name: str, *said: object) -> CTransaction:
        template = self._game.graph[f"1/{name}"]
        leaf = template.inputs[0].leaf(leaf_name)
        responder = self._game.responders[template.mover]
        schnorr = [responder._schnorr(template, 0, leaf_name, party) for party in leaf.signers]
        return template.with_witness([template.input_witness(0, leaf_name, leaf.witness(schnorr, *said))])


def challenge(game: OfflineGame) -> Decision:
    return challenger.decide(game.position, honest(), 1)["1"]


# ---- reorgs


def with_other_list(game: OfflineGame, name: str, transaction: CTransaction) -> CTransaction:
    """The same message under a list that is not the signed one."""
    stack = list(transaction.wit.vtxinwit[0].scriptWitness.stack)
    place = next(place for place, item in enumerate(stack) if len(item) == 72)
    return game.graph[name].with_witness([[*stack[:place], bytes(72), *stack[place + 1 :]]])


def test_nothing_is_compared_with_a_step_that_a_reorg_can_replace(tmp_path) -> None:
    """Compare gives up all other answers to Step. A Step that contradicts a signed point lures the challenger there;
    one that contradicts none, put in its place by a reorg, would then take its stake and let the false claim stand."""
    game, false = OfflineGame(parameters(), tmp_path), lying("written")
    computations = {"prover": false, "challenger1": honest()}
    for name in ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Demand_2", "1/Outline_2", "1/Pick_2"):
        transaction = game.play(computations, name)
        game.confirm(name, with_other_list(game, name, transaction) if name == "1/Reveal_2" else transaction)
    for name in ("1/Detail_2", "1/Choice_2"):
        game.confirm(name, game.play(computations, name))
    thief, true, told = Thief(game, "prover"), honest().step(false._step), false.step(false._step)
    lure = thief.step(words_of(true.record), (true.a, true.m, true.b))
    lie = thief.step(words_of(told.record), (told.a, told.m, told.b))
    assert lure.GetTxid() == lie.GetTxid()
    game.confirm("1/Step", lure)
    included = game.confirmed["1/Step"].height
    for depth in range(game.parameters.confirmations):
        game.height = included + depth
        assert isinstance(challenge(game), Wait)
    game.height = included + game.parameters.confirmations
    decision = challenge(game)
    assert isinstance(decision, Move)
    assert decision.template == "1/Compare_right"
    game.confirmed["1/Step"] = Confirmed(lie, included)
    decision = challenge(game)
    assert isinstance(decision, Move)
    assert decision.template == "1/Slash"


# ---- false statements, and whatever is signed to prove them


class AfterChoices:
    """Games that begin with Step, one after another, on the same choices."""

    def __init__(self, game: OfflineGame, false: LyingExecution) -> None:
        self.game, self.false = game, false
        for name in ("Claim", "1/Challenge", "1/Choice_1", "1/Reveal_2", "1/Choice_2"):
            game.confirm(name, game.play({"prover": false, "challenger1": honest()}, name))
        self.thief, asking = Thief(game, "prover"), Thief(game, "challenger1")

        def sign_again(template: Template, messages: Messages) -> Mapping[str, Signature]:
            return {field: asking.sign(f"{template.name}/{field}", message) for field, message in messages.items()}

        game.responders["challenger1"]._sign_once = sign_again  # as in another set-up, with a journal of its own
        self._begun, self._height = dict(game.confirmed), game.height

    def dispute(self, rng: Random, words: Mapping[str, int], roots: tuple[bytes, bytes, bytes]) -> str:
        """Play until the challenger wins; return the leaf by which it does."""
        game = self.game
        game.confirmed, game.height = dict(self._begun), self._height
        self._confirm("1/Step", self.thief.step(words, roots))
        while True:
            decision = challenge(game)
            assert isinstance(decision, Move), decision
            transaction = game.signed_move("challenger1", decision)
            if decision.template.startswith(("1/Slash", "1/Refute")):
                assert failing_input(transaction, game.graph[decision.template].spent) is None
                return str(decision.leaf)
            self._confirm(decision.template, transaction)
            answer, leaf, messages = self._prove(rng, decision.template.removeprefix("1/"), roots)
            self._confirm(f"1/{answer}", self.thief.answer(answer, leaf, messages))

    def _confirm(self, name: str, transaction: CTransaction) -> None:
        self.game.height += 1
        self.game.confirmed[name] = Confirmed(transaction, self.game.height)
        self.game.height += self.game.parameters.confirmations

    def _prove(self, rng: Random, question: str, roots: tuple[bytes, bytes, bytes]) -> tuple[str, str, Messages]:
        """An answer that is distorted in up to three places and, often, says again what Step said."""
        asked = self.game.position.said(1).words
        kind, gap = Kind(asked["ask.kind"]), asked.get("descend.gap", 0)
        run = self.false if kind in (*ENTRIES, Kind.START) else honest()
        opening = liar(rng, run.opening(kind, self.false._step))()
        match question:
            case "Ask":
                answer, messages = "Path", dict(path_fields(opening))
                if rng.random() < 0.9:
                    messages |= restated(kind, roots)
                if rng.random() < 0.2:
                    place = list(messages["Path/where"])
                    place[rng.randrange(2, 8)] = rng.randrange(16)
                    messages["Path/where"] = tuple(place)
            case "Descend":
                answer, messages = "Inside", dict(inside_fields(opening, gap))
            case _:
                answer, messages = "Close", dict(close_fields(opening, gap, asked["narrow.gap"]))
        return answer, message_name(answer, opening, gap), messages


def restated(kind: Kind, roots: tuple[bytes, bytes, bytes]) -> dict[str, bytes]:
    before, written, after = roots
    match kind:
        case Kind.DATA:
            return {"Path/top": before, "Path/top_after": written}
        case Kind.STATE:
            return {"Path/top": written, "Path/top_after": after}
        case Kind.LEFT:
            return {"Path/before_0": before}
        case Kind.RIGHT:
            return {"Path/before_0": after}
        case Kind.START:
            return {"Path/top_after": before}
    return {"Path/top": before}


def misread(rng: Random, true: StepRoots, kind: Kind) -> StepRoots:
    """The step of a machine in whose state the word read is another one."""
    record = true.record
    address = {
        Kind.CONTROL: CONTROL_BASE,
        Kind.INSTR: physical_word(record.before.window, record.pc),
        Kind.RS1: register_address(record.instr >> 15 & 31),
        Kind.RS2: register_address(record.instr >> 20 & 31),
        Kind.MEM: physical_word(record.before.window, record.address),
    }[kind]
    machine = honest()._at(record.t)
    machine.write_state_word(address, machine.read_word(address) ^ 4 << rng.randrange(20))
    step = step_roots(machine)
    return replace(step, a=true.a)


def false_steps(true: StepRoots, end: bytes) -> Mapping[str, Callable[[Random], StepRoots]]:
    """Steps with one false statement each; ``end`` is the state that the prover's list has after it."""
    reads = (Kind.CONTROL, Kind.INSTR, Kind.RS1, Kind.RS2, Kind.MEM)
    return {
        **{kind.name: lambda rng, kind=kind: misread(rng, true, kind) for kind in reads},
        "A": lambda rng: replace(true, a=rng.randbytes(24), b=end),
        "M": lambda rng: replace(true, m=rng.choice((rng.randbytes(24), true.a)), b=end),
        "B": lambda _: replace(true, b=end),
        "nothing": lambda _: true,  # but then B is not what the list has
    }


@pytest.mark.parametrize("step", [0, None], ids=["first", "later"])
def test_whatever_a_liar_signs_the_challenger_wins_by_a_proof(tmp_path, step) -> None:
    rng, false = Random(21), lying("written", step)
    games = AfterChoices(OfflineGame(parameters(), tmp_path), false)
    true, end = honest().step(false._step), false.step(false._step).b
    leaves = set()
    for make in false_steps(true, end).values():
        for _ in range(2):
            told = make(rng)
            words = words_of(told.record)
            assert set(words) == set(FIELDS)
            leaves.add(games.dispute(rng, words, (told.a, told.m, told.b)).partition(".")[0])
    assert leaves >= {"place", "compress"}


# ---- programs


def test_a_run_that_begins_elsewhere_than_the_set_ups_is_refused() -> None:
    """Its first state would not be Boot's: whoever claimed it would lose the bond, though it ran the program."""
    with pytest.raises(ForeignImageError, match="begin"):
        Execution(replace(parameters(), entry=image().entry ^ 4), image(), INPUT)
