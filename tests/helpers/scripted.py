"""Games without a chain that are played by script, up to some move, many times over one set-up."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from itertools import count
from pathlib import Path

from offline import OfflineGame, seed_of

from bitvm.game import prover
from bitvm.game.computation import Computation
from bitvm.game.moves import Move
from bitvm.game.responder import Responder
from bitvm.keys.journal import Journal
from bitvm.keys.secrets import Secrets
from regtest.accusations.accuser import accuser

_forks = count()


def fork(game: OfflineGame, folder: Path) -> OfflineGame:
    """The same set-up where it stands, with journals that remember nothing: a history that could have been."""
    other = copy(game)
    other.confirmed = dict(game.confirmed)
    other.responders = {}
    for party, signed in game.signed.items():
        seed = seed_of(party, game.salt)
        journal = Journal.create(folder / f"{party}-fork-{next(_forks)}.sqlite", seed)
        other.responders[party] = Responder(signed, Secrets(seed, journal, signed.setup_id, party))
    return other


def play(
    game: OfflineGame,
    said: Computation,
    true: Computation,
    script: str,
    until: str,
    *,
    number: int = 1,
    slot: int = 1,
) -> None:
    """Let the prover answer challenger ``number``'s script honestly about what it ``said``, until ``until``."""
    hostile = accuser(script, true, number, slot)
    for _ in range(200):
        decisions = [*_answers(game, said, number, slot).values(), *hostile(game.position).values()]
        moves = [decision for decision in decisions if isinstance(decision, Move)]
        for move in moves:
            game.confirm(move.template, game.signed_move(game.graph[move.template].mover, move))
            if game.position.at_claim(slot).has(until):
                return
        game.height += not moves
    raise AssertionError(f"{script}: {until} was never due")


def _answers(game: OfflineGame, said: Computation, number: int, slot: int) -> Mapping[str, object]:
    position = game.position.at_claim(slot)
    decisions = prover.decide(position, said)
    mine = (prover.BOND_DECISION, str(number)) if not position.has("Claim") else (str(number),)
    return {key: decision for key, decision in decisions.items() if key in mine}
