"""The connector ``choice_due`` (O_r): the challenger owes Choice_r, once the prover has answered its demand.

    from     Challenge (r = 1), Reveal_r (r > 1)
    leaves   ``choice``      Choice_r; shows ``d_r``
             ``covenant``    the prover's TakeStake and the challenger's Slash at level r, together with the connector
                             of the side path (``bitvm.graph.side_due``) that says who owes

A Choice voids the demand at its level: neither TakeStake nor Slash of the side path can follow.
"""

from __future__ import annotations

from bitvm.graph.model import Output
from bitvm.graph.setting import GameView
from bitvm.leaves.choice import ChoiceLeaf

CHOICE_DUE = "choice_due"


def build(game: GameView, level: int, value: int) -> Output:
    """Return O_``level``, holding ``value`` satoshi."""
    digit = game.public[f"Choice_{level}/digit"]
    choice = ChoiceLeaf("choice", game.pair, game.pair_keys, digit, game.parameters.width)
    return Output.locked(CHOICE_DUE, value, (choice, game.covenant))
