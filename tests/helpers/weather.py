"""Reorganisations as a script: every move of a dispute is taken back, when it lies some blocks deep.

In "returns" what was confirmed waits again; in "late" the opponent's moves are forgotten and come back some blocks
later; in "changes" the opponent's move is confirmed again with another signed message in its witness.
"""

from __future__ import annotations

from collections.abc import Collection

from storm import SETUP, Storm

from bitvm.graph.graph import FUND
from bitvm.graph.model import PROVER

FLAVOURS = ("returns", "late", "changes")
ABSENT = 3
"""Blocks for which an opponent's move stays away."""
MOST = 400


def weather(storm: Storm, name: str, depth: int, flavour: str, honest: Collection[str]) -> None:
    """Take back the newest blocks, ``name`` with them."""
    opponent = storm.stage.archives[SETUP].graph[name].mover not in honest and name != FUND
    forged = storm.forged(name) if opponent and flavour == "changes" else None
    storm.reorganise(depth, *([] if forged is None else [forged]))
    if forged is not None:
        confirmed = storm.stage.position(SETUP).confirmed[name].transaction
        assert confirmed.GetHash() == forged.GetHash()
        storm.changed.append(name)
    if opponent and flavour == "late":
        storm.forget_mempool()
        for _ in range(ABSENT):
            storm.tick(*honest)
            storm.mine_block()


def play(storm: Storm, depth: int, flavour: str, honest: Collection[str], *, at_once: bool = False) -> str:
    """Play until the dispute is decided and its end has been taken back too; return the transaction that decided."""
    age = 0 if at_once else depth - 1
    taken_back: set[str] = set()
    ended = False
    for _ in range(MOST):
        position = storm.stage.position(SETUP)
        ends = [name for name in position.confirmed if "/Slash" in name or "/TakeStake" in name]
        if ended:  # another end in the place of the first one is within the same time: once is what is promised
            taken_back.update(ends)
        due = [
            name
            for name, seen in position.confirmed.items()
            if name not in taken_back and position.height - seen.height >= age
        ]
        if due:
            taken_back.update(due)
            ended = ended or not taken_back.isdisjoint(ends)
            storm.tick()  # whoever answers too early has answered now
            weather(storm, due[-1], depth, flavour, honest)
        elif ends and taken_back.issuperset(ends) and all(map(position.buried, ends)):
            return ends[0]
        else:
            storm.mine()
    raise AssertionError(f"no end after {MOST} blocks: {list(storm.stage.position(SETUP).confirmed)}")


def check(storm: Storm, end: str, honest: Collection[str]) -> None:
    """See that who is right has won, and that no honest party signed twice or was confused."""
    wins = "/TakeStake" if PROVER in honest else "/Slash"
    assert wins in end, end
    assert storm.slashed() == (PROVER not in honest)
    for party in honest:
        assert storm.signed_twice(SETUP, [party]) == {}
        assert not storm.reused_coins.get(party)
        assert not storm.complaints(party), storm.complaints(party)
