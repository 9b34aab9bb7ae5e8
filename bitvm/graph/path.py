"""Ask, Path, Descend, Inside, Narrow, Close: the prover proves one statement of the step by a Merkle path.

Ask        challenger    Step.verdict_due through ``ask``        -> ``path_due``       which statement
Path       prover        ``path_due`` through ``path.*``         -> ``descend_due``    where, and nodes on the path
Descend    challenger    ``descend_due`` through ``descend``     -> ``inside_due``     between which nodes
Inside     prover        ``inside_due`` through ``inside.*``     -> ``narrow_due``     nodes between, or a leaf
Narrow     challenger    ``narrow_due`` through ``narrow``       -> ``close_due``      between which of these
Close      prover        ``close_due`` through ``close.*``       -> ``proof_due``      node and siblings between

outputs   the connector (``bitvm.graph.path_due``), and ``anchor``, the mover's
signed    prover and challenger
"""

from __future__ import annotations

from bitvm.graph import path_due
from bitvm.graph.model import PROVER, Input, Template
from bitvm.graph.path_due import CLOSE_DUE, DESCEND_DUE, INSIDE_DUE, NARROW_DUE, PATH_DUE, PROOF_DUE
from bitvm.graph.setting import GameView
from bitvm.graph.verdict_due import ASK, VERDICT_DUE

MOVES = {
    "Path": (PATH_DUE, DESCEND_DUE),
    "Descend": (DESCEND_DUE, INSIDE_DUE),
    "Inside": (INSIDE_DUE, NARROW_DUE),
    "Narrow": (NARROW_DUE, CLOSE_DUE),
    "Close": (CLOSE_DUE, PROOF_DUE),
}
"""The connectors between which a message after Ask lies, in the order of play."""

ANSWERS = ("Path", "Inside", "Close")
"""Those that are the prover's."""


def build_ask(game: GameView, step: Template) -> Template:
    """Build Ask."""
    owed = Input(step, VERDICT_DUE, (ASK,))
    return game.template("Ask", game.challenger, (owed,), (path_due.build(game, PATH_DUE, owed.spent.nValue),))


def build(game: GameView, name: str, previous: Template) -> Template:
    """Build the message ``name`` of ``MOVES``, which follows ``previous``."""
    owes, then = MOVES[name]
    messages = path_due.spending(game, owes).messages
    owed = Input(previous, owes, tuple(message.name for message in messages))
    mover = PROVER if name in ANSWERS else game.challenger
    return game.template(name, mover, (owed,), (path_due.build(game, then, owed.spent.nValue),))
