"""The command ``regtest``: play disputes, one or all that are known, and say what they cost and what they guarantee.

With ``--json`` standard output holds one JSON value and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bitvm.chain.interface import ChainError
from regtest.cli import daemons, figures, matrix, simulate
from regtest.match import MatchError
from regtest.scenario import ScenarioError

FAILURE = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code.

    0; 2 where an option is impossible; 1 where a node, a match or a file failed, or a case of the matrix is wrong.
    Messages go to standard error.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except ScenarioError as error:
        return _fail(error, USAGE_ERROR)
    except (ChainError, MatchError, OSError) as error:
        return _fail(error, FAILURE)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)


def _fail(why: object, code: int) -> int:
    print(f"regtest: {why}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("regtest", description="Disputes on a private chain: play them, price them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    simulate.add(commands)
    matrix.add(commands)
    figures.add(commands)
    daemons.add(commands)
    return parser
