"""The connectors of a dispute after Step, in which the prover proves one statement of the step by a Merkle path.

    name            from       owed by       leaves beside ``covenant`` (see ``bitvm.leaves.path``)
    ``path_due``    Ask        prover        ``path.*``      Path          ``dismiss.*``   Dismiss_Ask
    ``descend_due`` Path       challenger    ``descend``     Descend       small proofs    Slash_after_Path
    ``inside_due``  Descend    prover        ``inside.*``    Inside        ``dismiss.*``   Dismiss_Descend
    ``narrow_due``  Inside     challenger    ``narrow``      Narrow        small proofs    Slash_after_Inside
                                                                           large proofs    Refute_after_Inside
    ``close_due``   Narrow     prover        ``close.*``     Close         ``dismiss.*``   Dismiss_Narrow
    ``proof_due``   Close      challenger                                  small proofs    Slash_after_Close
                                                                           large proofs    Refute_after_Close

Through ``covenant`` goes what punishes the one that does not move, ``delta`` blocks after it was its turn: the prover's
TakeStake where the challenger owes, the challenger's Slash where the prover owes. Proofs and dismissals ask for their
winner's signature alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bitvm.graph.model import PROVER, Output
from bitvm.graph.parameters import Parameters
from bitvm.graph.setting import GameView
from bitvm.leaves.message import Message
from bitvm.leaves.path.dismiss import ask_dismissals, descend_dismissals, narrow_dismissals
from bitvm.leaves.path.messages import close_messages, descend, inside_messages, narrow, path_messages
from bitvm.leaves.path.places import place_proofs
from bitvm.leaves.path.refutation import close_refutations, inside_refutations
from bitvm.leaves.path.restated import restated_proofs
from bitvm.leaves.path.turns import turn_proofs
from bitvm.leaves.path.words import word_proofs
from bitvm.leaves.proof import Proof
from lvm.boot import cpu_root

PATH_DUE = "path_due"
DESCEND_DUE = "descend_due"
INSIDE_DUE = "inside_due"
NARROW_DUE = "narrow_due"
CLOSE_DUE = "close_due"
PROOF_DUE = "proof_due"


@dataclass(frozen=True, slots=True)
class Spending:
    """How a connector is spent beside ``covenant``: by the next message, or by the proof of a party that wins."""

    messages: tuple[Message, ...] = ()
    proofs: tuple[Proof, ...] = ()
    winner: str = ""

    def leaf_names(self, *, large: bool = False) -> tuple[str, ...]:
        """Return the names of the proofs, the small or the large ones."""
        return tuple(proof.name for proof in self.proofs if proof.large == large)


@cache
def _catalogue(parameters: Parameters, first: bool) -> Mapping[str, Spending]:
    """Return how each connector is spent; the winner of a proof is the prover or "", the challenger.

    Cached, so that all games share one proof: what it writes is the same in all of them.
    """
    levels, width = parameters.levels, parameters.width
    restated = restated_proofs(levels, parameters.image_root if first else None)
    refutations = inside_refutations(width, cpu_root(parameters.entry))
    return {
        PATH_DUE: Spending(path_messages(levels, width), ask_dismissals(levels, width), PROVER),
        DESCEND_DUE: Spending((descend(),), (*place_proofs(levels, width), *restated)),
        INSIDE_DUE: Spending(inside_messages(width), descend_dismissals(width), PROVER),
        NARROW_DUE: Spending((narrow(),), (*word_proofs(), *refutations)),
        CLOSE_DUE: Spending(close_messages(), narrow_dismissals(), PROVER),
        PROOF_DUE: Spending((), (*turn_proofs(), *close_refutations())),
    }


def spending(game: GameView, name: str) -> Spending:
    """Return how the connector ``name`` is spent."""
    return _catalogue(game.parameters, game.claim.claim == 1)[name]


def build(game: GameView, name: str, value: int) -> Output:
    """Return the connector ``name``, holding ``value`` satoshi."""
    spent = spending(game, name)
    messages = [game.message(message) for message in spent.messages]
    proofs = [game.proof(proof, spent.winner or game.challenger) for proof in spent.proofs]
    return Output.locked(name, value, (game.covenant, *messages, *proofs))
