"""Every execution leaf that a lie about the small sieve can lead to slashes on chain, under the node's policy too."""

import pytest
from arena import SMALL_INPUT, Arena, prepared

from bitvm.leaves.execution.catalogue import find_winning
from bitvm.leaves.statement import words_of
from regtest.hostile import LIES, LieError, tell
from regtest.scenario import Scenario


def lies_by_leaf() -> dict[str, tuple[str, int]]:
    """Return the first lie, with its step, for each leaf that catches one; lies that heal are left out."""
    true = prepared(Scenario(levels=2, input_file=SMALL_INPUT)).true
    found: dict[str, tuple[str, int]] = {}
    for step in range(true.executed):
        record = true.step(step).record
        for lie in LIES.values():
            false = lie.says(record)
            caught = None if false is None or false == record else find_winning(words_of(false))
            if caught is None or caught[0].name in found:
                continue
            try:
                tell(true, lie, step)
            except LieError:
                continue
            found[caught[0].name] = (lie.name, step)
    return found


@pytest.mark.soak
def test_every_leaf_within_reach_slashes(arena: Arena):
    reached = lies_by_leaf()
    assert len(reached) > 20
    for leaf, (lie, step) in reached.items():
        fought = arena.play(lie=lie, lie_step=step)
        assert fought.result.outcome.winner == "challenger1", leaf
        graph = fought.graph
        script = fought.result.position.confirmed["1/Slash"].transaction.wit.vtxinwit[0].scriptWitness.stack[-2]
        assert bytes(script) == graph["1/Slash"].inputs[0].leaf(leaf).script, leaf
