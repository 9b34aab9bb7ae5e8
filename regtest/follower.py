"""Reads a set-up's position off a chain: for every template whose parent is confirmed, who spent its first input."""

from __future__ import annotations

from collections.abc import Iterator

from bitcoin.core import CTransaction

from bitvm.chain.interface import Chain
from bitvm.game.position import Position
from bitvm.graph.graph import Graph
from bitvm.graph.model import Input


def observe(chain: Chain, graph: Graph) -> Position:
    """Return the position that the active chain shows now."""
    return Position.fold(graph, chain.height(), _spends(chain, graph))


def _spends(chain: Chain, graph: Graph) -> Iterator[tuple[CTransaction, int]]:
    confirmed: set[bytes] = set()
    for template in graph.templates.values():  # parents before children
        first = template.inputs[0]
        if isinstance(first, Input) and first.source.txid not in confirmed:
            continue
        spend = chain.spender(first.outpoint)
        if spend is not None:
            confirmed.add(spend[0].GetTxid())
            yield spend
