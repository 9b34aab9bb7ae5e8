"""The side path at level r: Demand_r, Outline_r, Pick_r, Detail_r, and the Sweeps that end it.

    Demand_r     challenger    D_r through ``covenant``              -> ``outline_due``    shows nothing
    Outline_r    prover        ``outline_due`` through ``outline``   -> ``pick_due``       every w-th point of list r
    Pick_r       challenger    ``pick_due`` through ``pick``         -> ``detail_due``     which group between them
    Detail_r     prover        ``detail_due`` through ``detail``     -> ``answered``       the points of that group

Lists are shown, not signed (``bitvm.leaves.node_list``). A challenger that was shown a list that does not hash to its
signed root, and cannot tell where it is false, demands signed points, w = sqrt(k) of them at a time; it compares with
them later (``bitvm.graph.compare``). Meanwhile it leaves O_r alone; Choice_r voids the demand.

A Sweep frees what a side path holds when O_r is spent, through ``covenant``, ``delta_long`` blocks after its last move:

    Sweep_side_r                                       to the challenger: nothing was demanded
    Sweep_outline_r, _pick_r, _detail_r, _answered_r   to the prover: the price of the demand

The lock is that of LatePayout, longer than any game: a Sweep while O_r is there would take a TakeStake or a Slash from
the other player, who needs the side path for it.

    outputs   also ``anchor``, the mover's; of a Sweep ``prover`` or ``challenger``
    signed    prover and challenger
"""

from __future__ import annotations

from bitvm.graph import side_due
from bitvm.graph.model import COVENANT, PROVER, Input, Template
from bitvm.graph.setting import GameView
from bitvm.graph.side_due import ANSWERED, DETAIL_DUE, OUTLINE_DUE, PICK_DUE, SIDE

SWEPT = {SIDE: "side", OUTLINE_DUE: "outline", PICK_DUE: "pick", DETAIL_DUE: "detail", ANSWERED: "answered"}
"""What a Sweep is called by, by the output that it spends."""


def build_demand(game: GameView, level: int, opener: Template) -> Template:
    """Build Demand_``level``; ``opener`` is Challenge or Reveal_``level``."""
    side = Input(opener, SIDE, (COVENANT,))
    outputs = (side_due.build_owed(game, OUTLINE_DUE, level),)
    return game.template(f"Demand_{level}", game.challenger, (side,), outputs)


def build_outline(game: GameView, level: int, demand: Template) -> Template:
    """Build Outline_``level``."""
    owed = Input(demand, OUTLINE_DUE, ("outline",))
    return game.template(f"Outline_{level}", PROVER, (owed,), (side_due.build_owed(game, PICK_DUE, level),))


def build_pick(game: GameView, level: int, outline: Template) -> Template:
    """Build Pick_``level``."""
    owed = Input(outline, PICK_DUE, ("pick",))
    return game.template(f"Pick_{level}", game.challenger, (owed,), (side_due.build_owed(game, DETAIL_DUE, level),))


def build_detail(game: GameView, level: int, pick: Template) -> Template:
    """Build Detail_``level``."""
    owed = Input(pick, DETAIL_DUE, ("detail",))
    return game.template(f"Detail_{level}", PROVER, (owed,), (side_due.build_answered(game),))


def build_sweep(game: GameView, level: int, source: Template, output: str) -> Template:
    """Build the Sweep of ``source``'s ``output`` at ``level``."""
    swept = Input(source, output, (COVENANT,), game.parameters.delta_long)
    party = game.challenger if output == SIDE else PROVER
    return game.template(f"Sweep_{SWEPT[output]}_{level}", party, (swept,), (game.pay(party, swept.spent.nValue),))
