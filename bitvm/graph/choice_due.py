"""The connector ``choice_due`` (O_r): the challenger owes Choice_r.

    from     Challenge (r = 1), Reveal_r (r > 1)
    leaves   ``choice``      Choice_r; shows ``d_r``
             ``covenant``    TakeStake, ``delta`` blocks after it confirmed
"""

from __future__ import annotations

from bitvm.graph.model import COVENANT, PROVER, Output, challenger
from bitvm.graph.setting import Setting, game_name
from bitvm.leaves.authority import CovenantLeaf
from bitvm.leaves.choice import ChoiceLeaf

CHOICE_DUE = "choice_due"


def build(setting: Setting, number: int, level: int, value: int) -> Output:
    """Return O_``level`` of challenger ``number``'s game, holding ``value`` satoshi."""
    pair = (PROVER, challenger(number))
    keys = setting.keys(*pair)
    digit = setting.public[game_name(number, f"Choice_{level}/digit")]
    leaves = (
        ChoiceLeaf("choice", pair, keys, digit, setting.parameters.width),
        CovenantLeaf(COVENANT, pair, keys),
    )
    return Output.locked(CHOICE_DUE, value, leaves)
