"""The prover's role: it claims what its operator queued, once its own run has shown that the claim is true.

What the chain shows of a claim comes before what the queue says: after a restore from an older backup the queue may be
older than the claims. A slot with nothing in the queue waits, and goes back to the prover when its lock has run out.
"""

from __future__ import annotations

from collections.abc import Mapping

from bitvm.daemon.role import Bench, Judged, claimed_input
from bitvm.game.computation import Computation, Unfinished
from bitvm.game.moves import Decision
from bitvm.game.position import Position
from bitvm.game.prover import decide_setup
from bitvm.prover.attesting import collected


class ProverRole:
    """The honest prover of one set-up."""

    def __init__(self, bench: Bench) -> None:
        """Take what the role works with."""
        self._bench = bench

    def decide(self, position: Position) -> Mapping[str, Decision]:
        """See `Role`; what needs a run that has not ended waits for it, and nothing else does."""
        bench = self._bench
        bench.missing.clear()
        roots = self._roots(position)
        runs = bench.runs(roots)
        for root, slot in bench.missing.items():
            if position.at_claim(slot).has("Claim"):  # it was here once: the claim was made from it
                bench.failures[slot] = f"the input {root.hex()} is not held"
        computations: list[Computation | None] = [
            run if root is None or run is not None else Unfinished(self._why_unrun(slot))
            for slot, (root, run) in enumerate(zip(roots, runs, strict=True), start=1)
        ]
        unclaimed = {
            slot: root
            for slot, root in enumerate(roots, start=1)
            if root is not None and not position.at_claim(slot).has("Claim")
        }
        return decide_setup(position, computations, collected(bench, unclaimed))

    def judged(self, position: Position, slot: int) -> Judged:
        """See `Role`; a prover judges its own claims, to notice one that is not what it computed."""
        return self._bench.judge(position, self._roots(position), slot)

    def _roots(self, position: Position) -> tuple[bytes | None, ...]:
        """Return the input root of every slot: that of its claim or, while there is none, the one in the queue."""
        queued = self._bench.store.queued(self._bench.name)
        return tuple(claimed_input(position, slot) or queued.get(slot) for slot in self._bench.slots)

    def _why_unrun(self, slot: int) -> str:
        failed = self._bench.failures.get(slot)
        return f"the run of claim {slot} " + ("has not ended" if failed is None else f"failed: {failed}")
