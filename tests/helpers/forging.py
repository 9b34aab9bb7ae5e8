"""A party that signs what its keys can sign, and shows what Script accepts: no journal, no strategy, no domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitcoin.core import CTransaction
from offline import OfflineGame

from bitvm.graph.model import Input
from bitvm.graph.setting import key_plan
from bitvm.keys.seed import Purpose
from bitvm.script.onetime import Signature


class HostileSigner:
    """Signs whatever its party's keys can sign, as often as it likes."""

    def __init__(self, game: OfflineGame, party: str) -> None:
        self._secrets = game.secrets[party]
        self._specs = {spec.path: spec for spec in key_plan(game.parameters) if spec.owner == party}

    def open(self, path: str, indices: Sequence[int]) -> Signature:
        spec = self._specs[path]
        seed = self._secrets._seed.prf(
            Purpose.ONE_TIME, bytes(self._secrets._one_time_path(spec)), spec.scheme.name.encode()
        )
        return spec.scheme.secret_key(seed).open(indices)

    def node(self, path: str, node: bytes) -> Signature:
        return self.open(path, self._specs[path].scheme.encode(node))

    def no_node(self, path: str) -> Signature:
        """The label with the highest indices: above every 24-byte number."""
        scheme = self._specs[path].scheme
        return self.open(path, [scheme.list_size(slot) - 1 for slot in range(scheme.slots)])


def said(
    game: OfflineGame,
    name: str,
    signatures: Mapping[str, Signature],
    *shown: Any,
    others: Sequence[Sequence[bytes]] = (),
) -> CTransaction:
    """A hostile party's transaction with these one-time signatures; ``others``: the witnesses of its other inputs."""
    template = game.graph[name]
    spent = template.inputs[0]
    assert isinstance(spent, Input)
    leaf: Any = spent.leaf(spent.leaves[0])
    responder = game.responders[template.mover]
    schnorr = [responder._schnorr(template, 0, leaf.name, party) for party in leaf.signers]
    items = leaf.witness(schnorr, signatures, *shown)
    return template.with_witness([template.input_witness(0, leaf.name, items), *others])
