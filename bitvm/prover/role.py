"""The prover's role: it claims what its operator queued, once its own run has shown that the claim is true.

What the chain shows of a claim comes before what the queue says: after a restore from an older backup the queue may be
older than the claims. A slot with nothing in the queue waits, and goes back to the prover when its lock has run out.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.daemon.role import Bench, Judged, claimed_input
from bitvm.game.computation import Execution
from bitvm.game.moves import Decision, Wait
from bitvm.game.position import Position
from bitvm.game.prover import BOND_DECISION, decide_setup
from bitvm.prover.attesting import collected


class ProverRole:
    """The honest prover of one set-up."""

    def __init__(self, bench: Bench) -> None:
        """Take what the role works with."""
        self._bench = bench

    def decide(self, position: Position) -> Mapping[str, Decision]:
        """See `Role`; a claim whose run has not ended yet waits, and so does everything behind it."""
        bench = self._bench
        bench.missing.clear()
        roots = self._roots(position)
        runs = bench.runs(roots)
        known: list[Execution | None] = []
        waiting: dict[str, Decision] = {}
        for slot, (root, run) in enumerate(zip(roots, runs, strict=True), start=1):
            if root is not None and run is None:
                waiting[f"{slot}:{BOND_DECISION}"] = self._unrun(position, slot, root)
                break
            known.append(run)
        attested = collected(bench, {slot: root for slot, root in enumerate(roots, start=1) if root is not None})
        return {**decide_setup(position, known, attested), **waiting}

    def judged(self, position: Position, slot: int) -> Judged:
        """See `Role`; a prover judges its own claims, to notice one that is not what it computed."""
        return self._bench.judge(position, self._roots(position), slot)

    def _roots(self, position: Position) -> tuple[bytes | None, ...]:
        """Return the input root of every slot: that of its claim or, while there is none, the one in the queue."""
        queued = self._bench.store.queued(self._bench.name)
        return tuple(claimed_input(position, slot) or queued.get(slot) for slot in self._bench.slots)

    def _unrun(self, position: Position, slot: int, root: bytes) -> Wait:
        made = position.at_claim(slot).has("Claim")
        if root in self._bench.missing:
            return Wait(f"the input {root.hex()} of claim {slot} is not held", alarm=made)
        return Wait(f"the run of claim {slot} has not ended", alarm=False)
