"""Every leaf by which somebody wins, spent against an opponent that was honest: no hints and no signatures open it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from bitcoin.core import CTransaction, CTxOut
from bitcoin.core.script import CScript
from offline import OfflineGame
from scripted import fork, play

from bitvm.game.moves import Move, Prove
from bitvm.game.position import Position
from bitvm.game.proofs import find_proof
from bitvm.graph.model import Input, Template
from bitvm.keys.schnorr import SigningKey
from bitvm.leaves.fields import ENTRIES, NARROW_GAPS, START_GAPS, TREE_GAPS, Kind
from bitvm.leaves.proof import ProofLeaf
from bitvm.script.engine import failing_input
from regtest.accusations import scene
from regtest.accusations.alone import ENTRY_GAPS, FIRST, LAST, MIDDLE, point, to_step
from regtest.accusations.together import MISREAD, lying

HINTS = (0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 30, 37, 38, 63, 255, -1, 2**31 - 1, 2**35)
"""In range of some leaf and out of it; the last is no number to Script."""


@dataclass(frozen=True)
class Stage:
    """A moment at which somebody may try: the script that leads there, its last move, what is then spent falsely."""

    script: str
    until: str
    spenders: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.script.replace("Challenge ", "").replace(" ", ",") + f"-{self.until[2:]}"


def steps() -> Iterator[Stage]:
    for choices in (FIRST, (0, 1), MIDDLE, (3, 10), (7, 8), LAST):
        yield Stage(to_step(choices), "1/Step", ("1/Slash",))


def compared() -> Iterator[Stage]:
    for page in ("Compare_left", "Compare_right"):
        for choice, second in ((3, 0), (3, 15), (4, 2), (8, 3), (8, 15)):
            script = (
                f"Challenge Demand_1 Pick_1={choice // 4} Detail_1 Choice_1={choice} "
                f"Demand_2 Pick_2={second // 4} Detail_2 Choice_2={second} {page}"
            )
            yield Stage(script, f"1/{page}", (f"1/Slash_after_{page}",))


def asked() -> Iterator[Stage]:
    for kind in Kind:
        script = f"{to_step(point(kind))} Ask={int(kind)}"
        yield Stage(script, "1/Ask", ("1/Dismiss_Ask",))
        yield Stage(script, "1/Path", ("1/Slash_after_Path",))


def descended() -> Iterator[Stage]:
    for kind in Kind:
        for gap in range(ENTRY_GAPS if kind in ENTRIES else START_GAPS if kind is Kind.START else TREE_GAPS + 1):
            script = f"{to_step(point(kind))} Ask={int(kind)} Descend={gap}"
            yield Stage(script, "1/Descend", ("1/Dismiss_Descend",))
            if kind >= Kind.LEFT or gap == TREE_GAPS:  # in other gaps nothing is judged before Close
                yield Stage(script, "1/Inside", ("1/Slash_after_Inside", "1/Refute_after_Inside"))


def narrowed() -> Iterator[Stage]:
    for kind in (kind for kind in Kind if kind < Kind.LEFT):
        for gap in range(TREE_GAPS):
            for narrow in range(NARROW_GAPS):
                script = f"{to_step()} Ask={int(kind)} Descend={gap} Narrow={narrow}"
                yield Stage(script, "1/Narrow", ("1/Dismiss_Narrow",))
                yield Stage(script, "1/Close", ("1/Slash_after_Close", "1/Refute_after_Close"))


FAMILIES = {"step": steps, "compare": compared, "ask": asked, "descend": descended, "narrow": narrowed}
EVERY = [stage for family in FAMILIES.values() for stage in family()]
SAMPLE = [stage for family in FAMILIES.values() for stage in Random(5).sample(list(family()), 4)]


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> tuple[OfflineGame, Path]:
    """A set-up with two claims and two challengers, the first claim made."""
    folder = tmp_path_factory.mktemp("forged")
    game = OfflineGame(scene.parameters(challengers=2, claims=2), folder)
    game.confirm("Claim", game.play({"prover": scene.run()}, "Claim"))
    return game, folder


def winning_leaves(template: Template) -> Iterator[ProofLeaf]:
    spent = template.inputs[0]
    assert isinstance(spent, Input)
    for name in spent.leaves:
        leaf = spent.leaf(name)
        assert isinstance(leaf, ProofLeaf)
        yield leaf


def spend(
    game: OfflineGame, position: Position, template: Template, leaf: ProofLeaf, hints: tuple[int, ...]
) -> int | None:
    """Return the input that fails when the leaf is spent with what the opponent signed."""
    transaction = game.responders[template.mover].transaction(
        Move(template.name, "falsely", Prove(hints), leaf.name), position
    )
    return failing_input(transaction, template.spent)


def attack(game: OfflineGame, template: Template, tries: int, rng: Random) -> set[str]:
    """Spend the template through all of its leaves that can be opened; return their names."""
    position = game.position
    heard = position.heard(1).keys()
    attacked = set()
    for leaf in winning_leaves(template):
        if not set(leaf.proof.keys) <= heard:
            continue
        attacked.add(leaf.name)
        wanted = len(leaf.proof.hints)
        for _ in range(tries if wanted else 1):
            hints = tuple(rng.choice(HINTS) for _ in range(wanted))
            assert spend(game, position, template, leaf, hints) == 0, (template.name, leaf.name, hints)
    return attacked


def attack_stage(table: tuple[OfflineGame, Path], stage: Stage, tries: int) -> set[str]:
    game = fork(*table)
    play(game, scene.run(), scene.run(), stage.script, stage.until)
    rng = Random(stage.name)
    attacked = set()
    for name in stage.spenders:
        template = game.graph[name]
        if not name.startswith("1/Refute"):
            assert find_proof(template, game.position.said(1)) is None
        attacked |= attack(game, template, tries, rng)
    return attacked


@pytest.mark.parametrize("stage", SAMPLE, ids=lambda stage: stage.name)
def test_no_leaf_opens_against_an_honest_party(table, stage):
    assert attack_stage(table, stage, tries=2)


@pytest.mark.soak
def test_no_leaf_at_all_opens_against_an_honest_party(table):
    attacked = {name for stage in EVERY for name in attack_stage(table, stage, tries=12)}
    spenders = {name for stage in EVERY for name in stage.spenders}
    every = {leaf.name for name in spenders for leaf in winning_leaves(table[0].graph[name])}
    assert attacked == every


# ---- signatures of another place


def lies_in_another_place(table: tuple[OfflineGame, Path], number: int, slot: int) -> OfflineGame:
    """The prover is honest in game 1 of claim 1, and misreads a word of memory in another game."""
    game = fork(*table)
    liar = lying(MISREAD)
    index = next(index for index in range(scene.STEPS) if liar.step(index).b != scene.run().step(index).b)
    choices = divmod(index, scene.WIDTH)
    script = f"{to_step(choices)} Ask={int(Kind.MEM)} Descend={TREE_GAPS}"
    play(game, scene.run(), scene.run(), script, "1/Inside")
    if slot > 1:
        play(game, liar, scene.run(), "", "Claim", slot=slot)
    play(game, liar, scene.run(), script, f"{number}/Inside", number=number, slot=slot)
    return game


@pytest.mark.parametrize(("number", "slot"), [(2, 1), (2, 2)], ids=["of another game", "of another claim"])
def test_what_was_signed_elsewhere_proves_nothing_here(table, number, slot):
    game = lies_in_another_place(table, number, slot)
    elsewhere = game.position.at_claim(slot)
    there = elsewhere.template(f"{number}/Slash_after_Inside")
    found = find_proof(there, elsewhere.said(number))
    assert found is not None
    leaf = next(leaf for leaf in winning_leaves(there) if leaf.name == found.leaf)
    assert spend(game, game.position, there, leaf, found.hints) is None
    here = game.graph["1/Slash_after_Inside"]
    responder = game.responders[here.mover]
    honest, foreign = game.position.heard(1), elsewhere.heard(number)
    mine = next(leaf for leaf in winning_leaves(here) if leaf.name == found.leaf)
    for stolen in (mine.proof.keys, *((key,) for key in mine.proof.keys)):
        signatures = {**honest, **{key: foreign[key] for key in stolen}}
        transaction = responder.transaction(Move(here.name, "falsely", Prove(found.hints), mine.name), game.position)
        schnorr = responder._schnorr(here, 0, mine.name, here.mover)
        items = here.input_witness(0, mine.name, mine.witness([schnorr], signatures, found.hints))
        others = [list(wit.scriptWitness.stack) for wit in transaction.wit.vtxinwit[1:]]
        assert failing_input(here.with_witness([items, *others]), here.spent) == 0


# ---- a winning witness in other hands


@pytest.fixture(scope="module")
def won(table) -> tuple[OfflineGame, Template, CTransaction]:
    """A Slash that wins, not confirmed yet."""
    game = fork(*table)
    liar = lying()
    index = next(index for index in range(scene.STEPS) if liar.step(index).b != scene.run().step(index).b)
    play(game, liar, scene.run(), to_step(divmod(index, scene.WIDTH)), "1/Step")
    template = game.graph["1/Slash"]
    found = find_proof(template, game.position.said(1))
    assert found is not None
    transaction = game.signed_move("challenger1", Move(template.name, "won", Prove(found.hints), found.leaf))
    assert failing_input(transaction, template.spent) is None
    return game, template, transaction


def test_a_stranger_cannot_take_a_winning_witness_elsewhere(won):
    _, template, transaction = won
    thief = CTxOut(template.spent[0].nValue, CScript(b"\x51\x20" + bytes([7]) * 32))
    for inputs in (1, 2):
        witness = replace_witness(transaction, inputs)
        copied = CTransaction(transaction.vin[:inputs], [thief], 0, transaction.nVersion, witness)
        assert failing_input(copied, template.spent[:inputs]) == 0


@pytest.mark.parametrize("party", ["prover", "challenger2", "a stranger"])
def test_nobody_else_can_sign_a_winning_witness(won, party):
    game, template, transaction = won
    items = [bytes(item) for item in transaction.wit.vtxinwit[0].scriptWitness.stack]
    leaf = next(leaf for leaf in winning_leaves(template) if leaf.script == items[-2])
    message = template.sighash(0, leaf.name)
    if party == "a stranger":
        signature = SigningKey(bytes([9]) * 32).sign(message, bytes(32))
    else:
        signature = game.secrets[party].sign_schnorr(message)
    others = [list(wit.scriptWitness.stack) for wit in transaction.wit.vtxinwit[1:]]
    for forged in (signature, b"", signature + b"\x01"):
        resigned = template.with_witness([[*items[:-3], forged, *items[-2:]], *others])
        assert failing_input(resigned, template.spent) == 0


def replace_witness(transaction: CTransaction, inputs: int):
    return type(transaction.wit)(transaction.wit.vtxinwit[:inputs])
