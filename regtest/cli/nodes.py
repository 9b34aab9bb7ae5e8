"""Which chain a command plays on: Core's engine in this process, or a node."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console

from bitvm.chain.bitcoind import BitcoindChain, BitcoindNode
from bitvm.chain.embedded import EmbeddedChain
from bitvm.chain.interface import RegtestChain
from bitvm.chain.node import Bitcoind, find_bitcoind, install_bitcoind

EMBEDDED, BITCOIND = "embedded", "bitcoind"

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Where each module of this package adds its commands."""


def add_node_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--node``."""
    parser.add_argument(
        "--node",
        choices=(EMBEDDED, BITCOIND),
        default=EMBEDDED,
        help="Core's consensus engine in this process, or a real node with its mempool policy (default embedded)",
    )


@contextmanager
def open_chain(node: str, console: Console) -> Iterator[RegtestChain]:
    """Start a private chain: "embedded" or "bitcoind"; raises ChainError."""
    if node == EMBEDDED:
        with EmbeddedChain() as embedded:
            yield embedded
        return
    with BitcoindNode(provide(console)) as running, BitcoindChain(running) as chain:
        console.print(f"Node: {running.version}")
        yield chain


def provide(console: Console) -> Bitcoind:
    """Return a bitcoind, installed now if there is none; raises ChainError."""
    found = find_bitcoind()
    if found is None:
        console.print("No bitcoind here yet; installing one ...")
    return found or install_bitcoind()
