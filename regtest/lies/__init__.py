"""Cases of lying provers: what is false, and how the prover goes on when it is disputed."""

from __future__ import annotations

from regtest.cases import Case
from regtest.lies.ends import end_cases
from regtest.lies.lists import list_cases
from regtest.lies.paths import path_cases
from regtest.lies.said import said_cases


def prover_cases() -> tuple[Case, ...]:
    """Return all of them."""
    return (*said_cases(), *path_cases(), *end_cases(), *list_cases())
